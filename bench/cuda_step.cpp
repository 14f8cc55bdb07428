/// tern_cuda_step: a few training steps of the article's network with batch normalisation and dropout, on the cuda device
/// and on images that are drawn, from the same start each time.
///
///   tern_cuda_step eager|graphed [STEPS [BATCH]]
///
/// Prints each step's loss in hexadecimal, then the md5 sum of all that was trained: whatever runs it, and by graph or
/// not, is to print the same. How long the later half of the steps took goes to standard error. Exits with 77 where there
/// is no CUDA device.

#include <tern/tern.hpp>

#include <tern/data/md5.hpp>

#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

namespace {

using tern::Tensor;

struct Net : tern::Module {
  tern::Conv2d conv1{{.in_channels = 3, .out_channels = 32, .kernel_size = 3, .padding = 1}};
  tern::BatchNorm2d norm1{32};
  tern::Conv2d conv2{{.in_channels = 32, .out_channels = 16, .kernel_size = 3, .padding = 1}};
  tern::BatchNorm2d norm2{16};
  tern::Dropout2d dropout{0.4};
  tern::Linear fc1{16 * 8 * 8, 32}, fc2{32, 2};

  tern::Members members() override {
    return {.modules = {{"conv1", &conv1}, {"norm1", &norm1}, {"conv2", &conv2}, {"norm2", &norm2},
                        {"dropout", &dropout}, {"fc1", &fc1}, {"fc2", &fc2}}};
  }
  Tensor forward(const Tensor& x) override {
    Tensor out = dropout(tanh(norm1.max_pool2d(conv1(x), 2)));
    out = dropout(tanh(max_pool2d(norm2(conv2(out)), 2)));
    return fc2(tanh(fc1(out.flatten(1))));
  }
};

void train(bool graphed, int steps, std::int64_t batch) {
  tern::manual_seed(7);
  const tern::TensorDataset images = tern::synthetic_birds_and_planes(batch * 4);
  tern::DataLoader loader(images, {.batch_size = batch, .shuffle = true, .drop_last = true});
  Net net;
  net.to(tern::Device::cuda);
  tern::SGD optimizer(net.parameters(), {.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-3});
  const auto loss_of = [&](const Tensor& x, const Tensor& y) { return cross_entropy(net(x), y); };
  tern::GraphedStep by_graph(optimizer, loss_of);
  const auto eager = [&](const Tensor& x, const Tensor& y) {
    const Tensor loss = loss_of(x.to(tern::Device::cuda), y.to(tern::Device::cuda));
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    return loss.detach();
  };

  using Clock = std::chrono::steady_clock;
  std::vector<Tensor> losses;
  Clock::time_point start;
  const auto done = [&] { return static_cast<int>(losses.size()); };
  while (done() < steps) {
    for (const auto& [input, target] : loader) {
      if (done() == steps) break;
      if (done() == steps / 2) {
        tern::cuda::synchronize();
        start = Clock::now();
      }
      losses.push_back(graphed ? by_graph(input, target) : eager(input, target));
    }
  }
  tern::cuda::synchronize();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::cerr << seconds / (steps - steps / 2) * 1e6 << " us a step\n";

  for (const Tensor& loss : losses) std::cout << std::hexfloat << loss.item() << '\n';
  std::vector<std::uint8_t> bytes;
  for (const auto& [name, x] : net.state_dict()) {
    for (const double value : x.to(tern::DType::float64).to_vector<double>()) {
      const auto* at = reinterpret_cast<const std::uint8_t*>(&value);
      bytes.insert(bytes.end(), at, at + sizeof value);
    }
  }
  std::cout << tern::md5(bytes) << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  const std::string how = argc > 1 ? argv[1] : "";
  const int steps = argc > 2 ? std::atoi(argv[2]) : 20, batch = argc > 3 ? std::atoi(argv[3]) : 64;
  if ((how != "eager" && how != "graphed") || argc > 4 || steps < 1 || batch < 1) {
    std::cerr << "usage: tern_cuda_step eager|graphed [STEPS [BATCH]]\n";
    return 2;
  }
  if (!tern::cuda::is_available()) {
    std::cout << "skipped: no CUDA device was found\n";
    return 77;
  }
  try {
    train(how == "graphed", steps, batch);
  } catch (const tern::Error& e) {
    std::cerr << "tern_cuda_step: " << e.what() << '\n';
    return 1;
  }
}
