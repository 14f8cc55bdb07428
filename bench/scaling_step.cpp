/// Times one configuration of a small convolutional net's training step: batch, width (channels), image size, threads.
/// Prints the median seconds of a step. bench/scaling runs it, and bench/torch_step.py, which is the same in PyTorch.

#include <tern/tern.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <vector>

namespace {

/// Two 3 x 3 convolutions, each with pooling and tanh, the mean over the image, and a linear layer.
struct SmallNet : tern::Module {
  explicit SmallNet(std::int64_t width)
      : conv1({.in_channels = 3, .out_channels = width, .kernel_size = 3, .padding = 1}),
        conv2({.in_channels = width, .out_channels = width, .kernel_size = 3, .padding = 1}),
        fc(width, 2) {}

  tern::Members members() override { return {.modules = {{"conv1", &conv1}, {"conv2", &conv2}, {"fc", &fc}}}; }
  tern::Tensor forward(const tern::Tensor& x) override {
    const tern::Tensor half = tanh(max_pool2d(conv1(x), 2)), quarter = tanh(max_pool2d(conv2(half), 2));
    return fc(quarter.mean({2, 3}));
  }

  tern::Conv2d conv1, conv2;
  tern::Linear fc;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::cerr << "usage: tern_scaling_step BATCH WIDTH IMAGE_SIZE THREADS\n";
    return 1;
  }
  const std::int64_t batch = std::atoll(argv[1]), width = std::atoll(argv[2]), size = std::atoll(argv[3]);
  tern::set_num_threads(std::atoi(argv[4]));
  SmallNet net(width);
  tern::SGD optimizer(net.parameters(), {.lr = 1e-2});
  const tern::Tensor images = tern::rand({batch, 3, size, size});
  const tern::Tensor labels = tern::zeros({batch}, {.dtype = tern::DType::int64});

  using Clock = std::chrono::steady_clock;
  const auto seconds_since = [](Clock::time_point t) {
    return std::chrono::duration<double>(Clock::now() - t).count();
  };
  std::vector<double> seconds;
  const auto start = Clock::now();
  // The first two warm up.
  while (seconds.size() < 5 || (seconds_since(start) < 1 && seconds.size() < 1000)) {
    const auto step_start = Clock::now();
    const tern::Tensor loss = cross_entropy(net(images), labels);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    seconds.push_back(seconds_since(step_start));
  }
  seconds.erase(seconds.begin(), seconds.begin() + 2);
  const auto median = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), median, seconds.end());
  std::cout << *median << '\n';
}
