/// The CUDA kernels at the shapes of the birds-and-planes net, batch 64, cuDNN's beside them where the build has cuDNN,
/// and a training step of that net with and without a graph. Each line gives GFLOP/s, GB/s of what the kernel must
/// move, or steps a second. Times are the host's over 100 calls and a wait for the device at the end. Under
/// TERN_CUDA=EMULATE they say nothing.

#include <tern/tern.hpp>

#include <benchmark/benchmark.h>

#include <cstdint>
#include <iostream>
#include <string>

namespace {

using namespace tern::kernels;
using benchmark::Counter;
using benchmark::State;
using tern::ConvBackend;
using tern::Device;
using tern::Tensor;

constexpr int calls = 100;

/// Calls f with that backend; `work` of each call becomes `unit`, in `scale` a
/// second.
template <class F>
void measure(State& state, ConvBackend backend, const char* unit, double work, double scale, const F& f) {
  tern::set_conv_backend(backend);
  f();  // makes handles, loads kernels
  tern::cuda::synchronize();
  while (state.KeepRunningBatch(calls)) {
    for (int i = 0; i < calls; ++i) f();
    tern::cuda::synchronize();
  }
  tern::set_conv_backend(ConvBackend::handwritten);
  state.counters[unit] = Counter(work * static_cast<double>(state.iterations()) / scale, Counter::kIsRate);
}

FloatKernels<float>& kernels() { return tern::backend(Device::cuda).floating(float{}); }
Tensor random(const tern::Shape& shape) { return tern::randn(shape).to(Device::cuda); }
float* data(const Tensor& x) { return x.data<float>(); }

/// Arguments of the benchmarks: C, K, H = W.
struct Convolution {
  explicit Convolution(const State& state)
      : s{.N = 64,
          .C = state.range(0),
          .H = state.range(2),
          .W = state.range(2),
          .K = state.range(1),
          .R = 3,
          .S = 3,
          .pad_h = 1,
          .pad_w = 1} {}

  Conv2dShape s;
  Tensor x = random({s.N, s.C, s.H, s.W}), w = random({s.K, s.C, s.R, s.S}), b = random({s.K}),
         y = random({s.N, s.K, s.P(), s.Q()});
  double flop = 2.0 * static_cast<double>(s.N * s.K * s.P() * s.Q() * s.C * s.R * s.S);
};

void conv2d(State& state, ConvBackend backend) {
  const Convolution c(state);
  measure(state, backend, "GFLOP/s", c.flop, 1e9,
          [&] { kernels().conv2d(c.s, data(c.x), data(c.w), data(c.b), data(c.y)); });
}

void conv2d_backward_input(State& state, ConvBackend backend) {
  const Convolution c(state);
  measure(state, backend, "GFLOP/s", c.flop, 1e9,
          [&] { kernels().conv2d_backward_input(c.s, data(c.w), data(c.y), data(c.x)); });
}

void conv2d_backward_weight(State& state, ConvBackend backend) {
  const Convolution c(state);
  measure(state, backend, "GFLOP/s", c.flop, 1e9,
          [&] { kernels().conv2d_backward_weight(c.s, data(c.x), data(c.y), data(c.w), data(c.b)); });
}

/// The output of Net's first convolution.
constexpr std::int64_t N = 64, C = 16, H = 32, elements = N * C * H * H;
constexpr BatchNorm2dShape norm{.N = N, .C = C, .HW = H * H};

void batch_norm2d(State& state, ConvBackend backend) {
  const Tensor x = random({elements}), y = random({elements}), w = random({C}), mean = random({C}),
               invstd = random({C});
  measure(state, backend, "GB/s", 12.0 * elements, 1e9, [&] {
    kernels().batch_norm2d(norm, 0.1, data(x), data(w), data(w), nullptr, nullptr, nullptr, nullptr, data(mean),
                           data(invstd), data(y));
  });
}

void batch_norm2d_backward(State& state, ConvBackend backend) {
  const Tensor x = random({elements}), dy = random({elements}), dx = random({elements}), w = random({C}),
               mean = random({C}), invstd = random({C}), dw = random({C}), db = random({C});
  measure(state, backend, "GB/s", 20.0 * elements, 1e9, [&] {
    kernels().batch_norm2d_backward(norm, true, data(x), data(w), data(mean), data(invstd), nullptr, data(dy), data(dx),
                                    data(dw), data(db), nullptr);
  });
}

void avg_pool2d(State& state, ConvBackend backend) {
  const Pool2dShape s{.N = N, .C = C, .H = H, .W = H, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
  const Tensor x = random({elements}), y = random({elements / 4});
  measure(state, backend, "GB/s", 5.0 * elements, 1e9, [&] { kernels().avg_pool2d(s, data(x), data(y)); });
}

void tanh(State& state) {
  const Tensor x = random({elements}), y = random({elements});
  measure(state, ConvBackend::handwritten, "GB/s", 8.0 * elements, 1e9,
          [&] { kernels().tanh(elements, data(x), data(y)); });
}

/// Two convolutions, two linear layers, SGD: examples/birds_vs_planes' Net.
void training_step(State& state, ConvBackend backend, bool graphed) {
  tern::Sequential net(
      tern::Conv2d({.in_channels = 3, .out_channels = 16, .kernel_size = 3, .padding = 1}), tern::Tanh(),
      tern::MaxPool2d(2), tern::Conv2d({.in_channels = 16, .out_channels = 8, .kernel_size = 3, .padding = 1}),
      tern::Tanh(), tern::MaxPool2d(2), tern::Flatten(), tern::Linear(512, 32), tern::Tanh(), tern::Linear(32, 2));
  net.to(Device::cuda);
  tern::SGD optimizer(net.parameters(), {.lr = 1e-2});
  const Tensor input = tern::rand({N, 3, H, H}), target = tern::zeros({N}, {.dtype = tern::DType::int64});
  const auto loss_of = [&](const Tensor& x, const Tensor& y) { return tern::cross_entropy(net(x), y); };
  tern::GraphedStep step(optimizer, loss_of);
  measure(state, backend, "steps/s", 1, 1, [&] {
    if (graphed) {
      step(input, target);
      return;
    }
    const Tensor loss = loss_of(input.to(Device::cuda), target.to(Device::cuda));
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
  });
}

void add(const char* backend_name, ConvBackend backend) {
  const auto named = [&](const char* name, auto function) {
    return benchmark::RegisterBenchmark((std::string(name) + "/" + backend_name).c_str(), function, backend)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  };
  for (auto* b : {named("conv2d", conv2d), named("conv2d_backward_input", conv2d_backward_input),
                  named("conv2d_backward_weight", conv2d_backward_weight)}) {
    b->ArgNames({"C", "K", "HW"})->Args({3, 16, 32})->Args({16, 8, 16})->Args({64, 64, 32})->Args({256, 256, 8});
  }
  named("batch_norm2d", batch_norm2d);
  named("batch_norm2d_backward", batch_norm2d_backward);
  named("avg_pool2d", avg_pool2d);
  for (const bool graphed : {false, true}) {
    named(graphed ? "training_step/graphed" : "training_step",
          [graphed](State& state, ConvBackend b) { training_step(state, b, graphed); });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (!tern::cuda::is_available()) {
    std::cerr << "tern_cuda_bench: no CUDA device was found\n";
    return 1;
  }
  add("handwritten", ConvBackend::handwritten);
#ifdef TERN_HAS_CUDNN
  add("cudnn", ConvBackend::cudnn);
#endif
  benchmark::RegisterBenchmark("tanh", tanh)->UseRealTime()->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
