/// tern_cuda_step: a few training steps of the article's network with batch normalisation and dropout, on the cuda device
/// and on images that are drawn and augmented, at a rate that falls and with a moving average, from the same start each
/// time.
///
///   tern_cuda_step eager|graphed [STEPS [BATCH]]
///
/// Prints each step's loss in hexadecimal, then the md5 sum of all that was trained: whatever runs it, and by graph or
/// not, is to print the same. How long the later half of the steps took goes to standard error. Exits with 77 where there
/// is no CUDA device.

#include <tern/tern.hpp>

#include <tern/data/md5.hpp>

#include <chrono>
#include <iostream>
#include <string>
#include <vector>

namespace {

using tern::Activation;
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
    Tensor out = dropout(norm1.max_pool2d(conv1(x), 2, Activation::tanh));
    out = dropout(norm2(conv2.max_pool2d(out, 2, Activation::tanh)));
    return fc2(fc1(out.flatten(1), Activation::tanh));
  }
};

std::string md5_of(const std::vector<tern::StateDict>& states) {
  std::vector<std::uint8_t> bytes;
  for (const tern::StateDict& state : states) {
    for (const auto& [name, x] : state) {
      for (const double value : x.to(tern::DType::float64).to_vector<double>()) {
        const auto* at = reinterpret_cast<const std::uint8_t*>(&value);
        bytes.insert(bytes.end(), at, at + sizeof value);
      }
    }
  }
  return tern::md5(bytes);
}

void train(bool graphed, int steps, std::int64_t batch) {
  const tern::TensorOptions on_device{.device = tern::Device::cuda};
  tern::manual_seed(7);
  const tern::TensorDataset images = tern::synthetic_birds_and_planes(batch * 4);
  tern::ImageBatches batches(images.inputs().to(tern::Device::cuda), images.targets().to(tern::Device::cuda),
                             {.batch_size = batch, .shift = 2, .cutout = 8});
  Net net;
  net.to(tern::Device::cuda);
  tern::SGD optimizer(net.parameters(), {.lr = 0.02, .momentum = 0.9, .weight_decay = 1e-3});
  tern::StepLR schedule(optimizer, 3, 0.9);
  tern::AveragedModel average(net, 0.9);
  const Tensor loss_of_step = zeros({}, on_device), losses = zeros({steps}, on_device);
  const auto loss_of = [&](const Tensor& number) {
    const auto [input, target] = batches.gather(number);
    const Tensor loss = cross_entropy(net(input), target);
    loss_of_step.copy_(loss.detach());
    return loss;
  };
  tern::GraphedStep by_graph(optimizer, loss_of, {.schedule = &schedule, .average = &average});
  const Tensor number = tern::zeros({1}, {.dtype = tern::DType::int64, .device = tern::Device::cuda});
  const auto eager = [&](int i) {
    schedule.set_epoch(i);
    number.fill_(batches.state().position);
    const Tensor loss = loss_of(number);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    average.update();
  };

  using Clock = std::chrono::steady_clock;
  Clock::time_point start;
  for (int i = 0; i < steps; ++i, batches.advance()) {
    if (i == steps / 2) {
      tern::cuda::synchronize();
      start = Clock::now();
    }
    if (graphed) {
      if (batches.state().position == 0) by_graph.begin(i, batches.size());
      by_graph();
    } else {
      eager(i);
    }
    losses.narrow(0, i, 1).copy_(loss_of_step);
  }
  tern::cuda::synchronize();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::cerr << seconds / (steps - steps / 2) * 1e6 << " us a step\n";

  for (const float loss : losses.to_vector<float>()) std::cout << std::hexfloat << loss << '\n';
  std::cout << md5_of({net.state_dict(), average.state_dict(), optimizer.state_dict()}) << '\n';
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
