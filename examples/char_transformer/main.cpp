/// Learns to write as a text is written, character by character: a transformer that sees 64 of them, and guesses the
/// next (Radford et al., "Improving language understanding by generative pre-training", 2018).
///
///   char_transformer --text /usr/share/common-licenses/GPL-3 --write 400

#include <tern/tern.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

constexpr std::int64_t length = 64, width = 64;

/// Every piece of a text, int64 [n], with the same piece one character on.
struct Pieces : tern::Dataset {
  explicit Pieces(const tern::Tensor& t) : text(t) {}

  std::int64_t size() const override { return text.numel() - length; }
  tern::Batch get(std::span<const std::int64_t> indices) const override {
    const tern::Tensor begin = tern::tensor(std::vector<std::int64_t>(indices.begin(), indices.end()));
    const tern::Tensor places = begin.unsqueeze(1) + tern::arange(length);
    return {text[places], text[places + 1]};
  }

  tern::Tensor text;
};

struct Transformer : tern::Module {
  explicit Transformer(std::int64_t characters)
      : embedding(characters, width),
        position(length, width),
        encoder(tern::TransformerEncoderLayer({.d_model = width,
                                               .nhead = 4,
                                               .dim_feedforward = 4 * width,
                                               .activation = tern::GELU(),
                                               .batch_first = true,
                                               .norm_first = true}),
                2, tern::LayerNorm({width})),
        head(width, characters) {}

  tern::Members members() override {
    return {.modules = {{"embedding", &embedding}, {"position", &position}, {"encoder", &encoder}, {"head", &head}}};
  }
  /// Characters int64 [n, up to 64] -> logits of the next after each, [n, as many, characters].
  tern::Tensor forward(const tern::Tensor& x) override {
    const std::int64_t n = x.size(1);
    const tern::Tensor later = triu(tern::ones({n, n}, {.dtype = tern::DType::uint8}), 1);
    return head(encoder(embedding(x) + position(tern::arange(n)), later));
  }

  tern::Embedding embedding, position;
  tern::TransformerEncoder encoder;
  tern::Linear head;
};

tern::Tensor loss_of(const tern::Tensor& logits, const tern::Tensor& next) {
  return cross_entropy(logits.flatten(0, 1), next.flatten());
}

/// The mean over all of a text, cut into pieces that do not overlap.
double loss_of(const Transformer& model, const tern::Tensor& text) {
  const tern::NoGradGuard no_grad;
  const std::int64_t n = (text.numel() - 1) / length;
  const auto cut = [&](std::int64_t begin) { return text.narrow(0, begin, n * length).reshape({n, length}); };
  return loss_of(model(cut(0)), cut(1)).item();
}

}  // namespace

int main(int argc, char** argv) try {
  std::string file = "/usr/share/common-licenses/GPL-3", save;
  int steps = 600, write = 0;
  std::uint64_t seed = 0;
  CLI::App app("Learns to write as a text is written, character by character");
  app.add_option("--text", file, "The text; its last tenth is the test")->capture_default_str();
  app.add_option("--steps", steps, "Batches of 32 pieces to learn from")->capture_default_str();
  app.add_option("--seed", seed, "Of weights, pieces, dropout and what is written")->capture_default_str();
  app.add_option("--write", write, "Characters to write at the end")->capture_default_str();
  app.add_option("--save", save, "A file for the weights, safetensors");
  CLI11_PARSE(app, argc, argv);

  tern::manual_seed(seed);
  const std::string bytes = tern::read_bytes(file, "char_transformer");
  const auto [characters, text, counts] = unique(tern::tensor(std::vector<std::uint8_t>(bytes.begin(), bytes.end())));
  const std::int64_t train = text.numel() * 9 / 10;
  const Pieces pieces(text.narrow(0, 0, train));
  const tern::Tensor test = text.narrow(0, train, text.numel() - train);

  Transformer model(characters.numel());
  tern::AdamW optimizer(model.parameters(), {.lr = 3e-3});
  tern::DataLoader loader(pieces, {.batch_size = 32, .shuffle = true, .drop_last = true, .seed = seed});
  double sum = 0;
  for (int step = 0; step < steps;) {
    for (const auto& [x, y] : loader) {
      const tern::Tensor loss = loss_of(model(x), y);
      optimizer.zero_grad();
      loss.backward();
      clip_grad_norm_(optimizer.params(), 1);
      optimizer.step();
      sum += loss.item();
      if (++step % 100 == 0 || step == steps) {
        model.eval();
        std::printf("step %d, loss %.4f, test loss %.4f\n", step, sum / ((step - 1) % 100 + 1), loss_of(model, test));
        std::fflush(stdout);
        model.train();
        sum = 0;
      }
      if (step == steps) break;
    }
  }
  if (!save.empty()) tern::save_safetensors(save, {model.state_dict(), {{"format", "pt"}}});

  model.eval();
  const tern::NoGradGuard no_grad;
  tern::Tensor written = test.narrow(0, 0, 1).unsqueeze(0);
  for (int i = 0; i < write; ++i) {
    const tern::Tensor logits = model(slice(written, 1, -length));
    const tern::Tensor next = multinomial(softmax(logits.select(1, -1), -1), 1);
    written = tern::cat({written, next}, 1);
    std::putchar(characters[next.item<std::int64_t>()].item<int>());
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
