/// A variational autoencoder (Kingma, Welling, "Auto-encoding variational Bayes", 2014): learns what digits look like,
/// and draws new ones.
///
///   vae $(scripts/fetch_digits) --picture drawn.png

#include <digits/digits.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

namespace {

struct Vae : tern::Module {
  tern::Linear hidden{64, 128}, mean{128, 8}, log_variance{128, 8};
  tern::Sequential decoder{tern::Linear(8, 128), tern::ReLU(), tern::Linear(128, 64)};

  tern::Members members() override {
    return {.modules = {{"hidden", &hidden}, {"mean", &mean}, {"log_variance", &log_variance}, {"decoder", &decoder}}};
  }

  struct Result {
    tern::Tensor logits;              ///< of the pixels, [n, 64]
    tern::Tensor mean, log_variance;  ///< of the code that was drawn, [n, 8]
  };
  Result operator()(const tern::Tensor& x) {
    return call([&] {
      const tern::Tensor h = relu(hidden(x.flatten(1)));
      const tern::Tensor m = mean(h), v = log_variance(h);
      return Result{decoder(m + exp(v / 2) * randn_like(m)), m, v};
    });
  }
};

/// What an image costs on average, in nats: its pixels, given the code, and the code itself (appendix B).
tern::Tensor loss_of(const Vae::Result& y, const tern::Tensor& x) {
  const tern::Tensor pixels = binary_cross_entropy_with_logits(y.logits, x.flatten(1), {}, tern::Reduction::sum);
  const tern::Tensor code = -0.5 * sum(1 + y.log_variance - square(y.mean) - exp(y.log_variance));
  return (pixels + code) / x.size(0);
}

}  // namespace

int main(int argc, char** argv) try {
  std::string data, picture;
  int epochs = 60;
  std::uint64_t seed = 0;
  CLI::App app("Learns what digits look like, and draws new ones");
  app.add_option("DATA", data, "digits.csv, as scripts/fetch_digits gets it")->required();
  app.add_option("--epochs", epochs, "Times to go over the data")->capture_default_str();
  app.add_option("--seed", seed, "Of weights, order, codes and new digits")->capture_default_str();
  app.add_option("--picture", picture, "A PNG file for fifty new digits");
  CLI11_PARSE(app, argc, argv);

  tern::manual_seed(seed);
  const auto [train, test] = Digits::load(data);
  Vae vae;
  tern::Adam optimizer(vae.parameters(), {.lr = 1e-3});
  tern::DataLoader loader(train, {.batch_size = 32, .shuffle = true, .seed = seed});
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    double sum = 0;
    for (const auto& [x, label] : loader) {
      const tern::Tensor loss = loss_of(vae(x), x);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      sum += loss.item();
    }
    const tern::NoGradGuard no_grad;
    std::printf("epoch %d, loss %.3f, test loss %.3f\n", epoch, sum / static_cast<double>(loader.size()),
                loss_of(vae(test.inputs()), test.inputs()).item());
  }
  const tern::NoGradGuard no_grad;
  if (!picture.empty()) write_digits(picture, sigmoid(vae.decoder(tern::randn({50, 8}))).reshape({-1, 1, 8, 8}), 10);
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
