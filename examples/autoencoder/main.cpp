/// Learns to write each digit down as eight numbers, and to draw it from them.
///
///   autoencoder $(scripts/fetch_digits) --picture digits.png

#include <digits/digits.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

namespace {

struct Autoencoder : tern::Module {
  tern::Sequential encoder{
      tern::Conv2d({.in_channels = 1, .out_channels = 16, .kernel_size = 3, .stride = 2, .padding = 1}),
      tern::ReLU(),
      tern::Conv2d({.in_channels = 16, .out_channels = 32, .kernel_size = 3, .stride = 2, .padding = 1}),
      tern::ReLU(),
      tern::Flatten(),
      tern::Linear(32 * 2 * 2, 8)};
  tern::Sequential decoder{
      tern::Linear(8, 32 * 2 * 2),
      tern::ReLU(),
      tern::Unflatten(1, {32, 2, 2}),
      tern::ConvTranspose2d({.in_channels = 32, .out_channels = 16, .kernel_size = 4, .stride = 2, .padding = 1}),
      tern::ReLU(),
      tern::ConvTranspose2d({.in_channels = 16, .out_channels = 1, .kernel_size = 4, .stride = 2, .padding = 1}),
      tern::Sigmoid()};

  tern::Members members() override { return {.modules = {{"encoder", &encoder}, {"decoder", &decoder}}}; }
  tern::Tensor forward(const tern::Tensor& x) override { return decoder(encoder(x)); }
};

}  // namespace

int main(int argc, char** argv) try {
  std::string data, picture;
  int epochs = 60;
  std::uint64_t seed = 0;
  CLI::App app("Learns to write each digit down as eight numbers, and to draw it from them");
  app.add_option("DATA", data, "digits.csv, as scripts/fetch_digits gets it")->required();
  app.add_option("--epochs", epochs, "Times to go over the data")->capture_default_str();
  app.add_option("--seed", seed, "Of weights and order")->capture_default_str();
  app.add_option("--picture", picture, "A PNG file for ten digits of the test, and below them what was drawn");
  CLI11_PARSE(app, argc, argv);

  tern::manual_seed(seed);
  const auto [train, test] = Digits::load(data);
  Autoencoder net;
  tern::Adam optimizer(net.parameters(), {.lr = 2e-3});
  tern::DataLoader loader(train, {.batch_size = 32, .shuffle = true, .seed = seed});
  tern::Tensor drawn;
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    double sum = 0;
    for (const auto& [x, label] : loader) {
      const tern::Tensor loss = mse_loss(net(x), x);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      sum += loss.item();
    }
    const tern::NoGradGuard no_grad;
    drawn = net(test.inputs());
    std::printf("epoch %d, loss %.5f, test error %.5f\n", epoch, sum / static_cast<double>(loader.size()),
                mse_loss(drawn, test.inputs()).item());
  }
  const tern::Tensor mean_digit = train.inputs().mean({0}, true).expand_as(test.inputs());
  std::printf("error of the mean digit %.5f\n", mse_loss(mean_digit, test.inputs()).item());
  if (!picture.empty()) write_digits(picture, tern::cat({test.inputs().narrow(0, 0, 10), drawn.narrow(0, 0, 10)}), 10);
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
