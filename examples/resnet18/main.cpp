/// ResNet-18 (He et al., "Deep residual learning for image recognition", 2015), with the stem that small images get,
/// tells the ten classes of CIFAR-10 apart.
///
///   resnet18 $(scripts/fetch_cifar10) --device cuda --save resnet18.safetensors

#include <tern/tern.hpp>

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>
#include <string>

namespace {

/// Images of [0, 1] with the mean 0 and the deviation 1 in each channel.
struct Normalized : tern::Module {
  tern::Tensor mean, deviation;  // [3, 1, 1]
  tern::ResNet net;

  Normalized(const tern::ChannelStatistics& of, const tern::ResNet& n)
      : mean(of.mean.reshape({3, 1, 1})), deviation(of.std.reshape({3, 1, 1})), net(n) {}

  tern::Members members() override {
    return {.buffers = {{"mean", mean}, {"deviation", deviation}}, .modules = {{"net", &net}}};
  }
  tern::Tensor forward(const tern::Tensor& x) override { return net((x - mean) / deviation); }
};

/// The share of the images that the model, in evaluation, gets right.
double accuracy(const tern::Module& model, const tern::Dataset& data, tern::Device device) {
  const tern::NoGradGuard no_grad;
  std::int64_t right = 0;
  tern::DataLoader loader(data, {.batch_size = 500});
  for (const auto& [x, y] : loader) {
    right += sum(model(x.to(device)).argmax(1) == y.to(device)).item<std::int64_t>();
  }
  return static_cast<double>(right) / static_cast<double>(data.size());
}

}  // namespace

int main(int argc, char** argv) try {
  std::string folder, device_name = "cpu", save;
  int epochs = 30;
  std::int64_t width = 64, images = 50000;
  std::uint64_t seed = 0;
  CLI::App app("ResNet-18 tells the ten classes of CIFAR-10 apart");
  app.add_option("FOLDER", folder, "CIFAR-10, as scripts/fetch_cifar10 gets it")->required();
  app.add_option("--epochs", epochs, "Times to go over the images")->capture_default_str();
  app.add_option("--width", width, "Channels of the first stage")->capture_default_str();
  app.add_option("--images", images, "Train on the first so many")
      ->capture_default_str()
      ->check(CLI::Range(128, 50000));
  app.add_option("--device", device_name, "cpu, cuda or cuda:1")->capture_default_str();
  app.add_option("--seed", seed, "Of weights, order, flips and shifts")->capture_default_str();
  app.add_option("--save", save, "A file for the weights, safetensors");
  CLI11_PARSE(app, argc, argv);

  tern::manual_seed(seed);
  const tern::Device device = tern::Device::parse(device_name);
  const tern::TensorDataset all = tern::Cifar10::load(folder, tern::Cifar10::train);
  const tern::TensorDataset train(all.inputs().narrow(0, 0, images), all.targets().narrow(0, 0, images));
  const tern::TensorDataset test = tern::Cifar10::load(folder, tern::Cifar10::test);

  Normalized model(tern::channel_statistics(train.inputs()),
                   tern::ResNet({.num_classes = 10, .stem = tern::ResNet::Stem::cifar, .width = width}));
  model.to(device);
  tern::DataLoader loader(train, {.batch_size = 128, .shuffle = true, .drop_last = true, .seed = seed});
  tern::SGD optimizer(model.parameters(), {.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4, .nesterov = true});
  tern::OneCycleLR schedule(optimizer, {.max_lr = {0.1}, .total_steps = epochs * loader.size()});
  for (int epoch = 1; epoch <= epochs; ++epoch) {
    double sum = 0;
    model.train();
    for (const auto& [x, y] : loader) {
      const tern::Tensor loss = cross_entropy(model(random_flip_and_shift(x, 4).to(device)), y.to(device));
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      schedule.step();
      sum += loss.item();
    }
    model.eval();
    std::printf("epoch %d, loss %.4f, test accuracy %.4f\n", epoch, sum / static_cast<double>(loader.size()),
                accuracy(model, test, device));
    std::fflush(stdout);
  }
  if (!save.empty()) tern::save_safetensors(save, {model.state_dict(), {{"format", "pt"}}});
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
