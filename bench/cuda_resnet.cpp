/// tern_cuda_resnet: training steps of a ResNet-18 for CIFAR, batch 128, on the cuda device, each precision by itself.
///
///   tern_cuda_resnet [--small]
///
/// A step is one graph launch: loss, gradients, SGD with momentum, on one batch that stays on the device. Prints a JSON
/// object for each of float32, tf32 and bfloat16 (autocast): the median milliseconds of a step, by the clock, and the
/// first and the last loss, which is to have fallen. --small is for the emulator: a batch of 2 small images, an eighth
/// of the channels, a step or two. Exits with 77 where there is no CUDA device.

#include <tern/tern.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iostream>
#include <vector>

namespace {

struct Effort {
  std::int64_t batch, size, width;
  int warm, timed, of_one;  ///< steps: before, times, and in each of these
};

void train(const std::string& precision, const Effort& e) {
  const tern::TensorOptions on_device{.device = tern::Device::cuda};
  tern::manual_seed(7);
  tern::set_float32_precision(precision == "tf32" ? tern::Precision::high : tern::Precision::highest);
  tern::ResNet net({.num_classes = 10, .stem = tern::ResNet::Stem::cifar, .width = e.width});
  net.to(tern::Device::cuda);
  const tern::Tensor x = randn({e.batch, 3, e.size, e.size}, on_device);
  const tern::Tensor target = tern::randint(0, 10, {e.batch}, on_device);
  tern::SGD optimizer(net.parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 5e-4});
  const tern::Tensor loss_of_step = zeros({}, on_device);
  tern::GraphedStep step(optimizer, [&](const tern::Tensor&) {
    const tern::AutocastGuard autocast(precision == "bfloat16" ? tern::DType::bfloat16 : tern::DType::float32);
    const tern::Tensor loss = cross_entropy(net(x), target);
    loss_of_step.copy_(loss.detach());
    return loss;
  });
  step.begin(0, e.warm + e.timed * e.of_one);
  step();
  const double first = loss_of_step.item();
  for (int i = 1; i < e.warm; ++i) step();
  tern::cuda::synchronize();
  std::vector<double> times;
  for (int i = 0; i < e.timed; ++i) {
    const auto start = std::chrono::steady_clock::now();
    for (int j = 0; j < e.of_one; ++j) step();
    tern::cuda::synchronize();
    times.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() * 1e3 / e.of_one);
  }
  std::nth_element(times.begin(), times.begin() + e.timed / 2, times.end());
  std::cout
      << fmt::format(
             R"({{"name": "resnet18", "by": "tern", "precision": "{}", "batch": {}, "ms": {}, "losses": [{}, {}]}})",
             precision, e.batch, times[static_cast<std::size_t>(e.timed / 2)], first, loss_of_step.item())
      << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  const bool small = argc == 2 && std::strcmp(argv[1], "--small") == 0;
  if (argc != 1 && !small) {
    std::cerr << "usage: tern_cuda_resnet [--small]\n";
    return 2;
  }
  if (!tern::cuda::is_available()) {
    std::cout << "skipped: no CUDA device was found\n";
    return 77;
  }
  try {
    const Effort effort = small ? Effort{.batch = 2, .size = 16, .width = 8, .warm = 2, .timed = 1, .of_one = 1}
                                : Effort{.batch = 128, .size = 32, .width = 64, .warm = 10, .timed = 9, .of_one = 10};
    for (const char* precision : {"float32", "tf32", "bfloat16"}) train(precision, effort);
  } catch (const tern::Error& e) {
    std::cerr << "tern_cuda_resnet: " << e.what() << '\n';
    return 1;
  }
}
