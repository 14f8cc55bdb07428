/// Learns to read handwritten digits, and saves what it learned.
///
///   digits $(scripts/fetch_digits) --save digits.safetensors

#include <digits/digits.hpp>
#include <digits/net.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

namespace {

/// The share of the images that the net, in evaluation, gets right.
double accuracy(const tern::Module& net, const tern::TensorDataset& data) {
  const tern::NoGradGuard no_grad;
  const tern::Tensor right = net(data.inputs()).argmax(1) == data.targets();
  return right.to(tern::DType::float32).mean().item();
}

}  // namespace

int main(int argc, char** argv) try {
  std::string data, save;
  int epochs = 20;
  std::uint64_t seed = 0;
  CLI::App app("Learns to read handwritten digits");
  app.add_option("DATA", data, "digits.csv, as scripts/fetch_digits gets it")->required();
  app.add_option("--epochs", epochs, "Times to go over the data")->capture_default_str();
  app.add_option("--seed", seed, "Of weights and order")->capture_default_str();
  app.add_option("--save", save, "A file for the weights, safetensors");
  CLI11_PARSE(app, argc, argv);

  tern::manual_seed(seed);
  const auto [train, test] = Digits::load(data);
  tern::Sequential net = make_net();
  tern::Adam optimizer(net.parameters(), {.lr = 1e-3});
  tern::DataLoader loader(train, {.batch_size = 32, .shuffle = true, .seed = seed});
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    double sum = 0;
    net.train();
    for (const auto& [x, y] : loader) {
      const tern::Tensor loss = cross_entropy(net(x), y);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      sum += loss.item();
    }
    net.eval();
    std::printf("epoch %d, loss %.4f, test accuracy %.4f\n", epoch, sum / static_cast<double>(loader.size()),
                accuracy(net, test));
  }
  if (!save.empty()) tern::save_safetensors(save, {net.state_dict(), {{"format", "pt"}}});
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
