/// The CPU backend's kernels at the shapes of the birds-and-planes nets and of ResNets on CIFAR, batch 64, on one
/// thread unless TERN_BENCH_THREADS says otherwise. Each line gives GFLOP/s, or GB/s of what the kernel must move. The
/// machine may be busy: rates are per second of processor time, all threads together; compare the best of several
/// repetitions.

#include "padded_conv2d.hpp"

#include <tern/kernels/cpu/threads.hpp>

#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

using namespace tern::kernels;
using benchmark::Counter;
using benchmark::State;

FloatKernels<float>& kernels() { return cpu_backend().floating(float{}); }

/// Memory from the backend, as a tensor's is.
class Buffer {
 public:
  explicit Buffer(int64_t n) : bytes_(n * sizeof(float)), data_(static_cast<float*>(cpu_backend().allocate(bytes_))) {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    std::generate_n(data_, n, [&] { return normal(engine); });
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { cpu_backend().release(data_, bytes_); }

  operator float*() const { return data_; }

 private:
  std::size_t bytes_;
  float* data_;
};

/// Runs f until the time is stable; `work` per run, in FLOP or bytes, becomes `unit`, in 1e9 a second.
template <class F>
void measure(State& state, const char* unit, double work, const F& f) {
  const char* threads = std::getenv("TERN_BENCH_THREADS");
  tern::set_num_threads(threads ? std::atoi(threads) : 1);
  for (auto _ : state) {
    f();
    benchmark::ClobberMemory();
  }
  state.counters[unit] = Counter(work * static_cast<double>(state.iterations()) * 1e-9, Counter::kIsRate);
}

void sgemm(State& state) {
  const int n = static_cast<int>(state.range(0));
  const Buffer a(n * n), b(n * n), c(n * n);
  measure(state, "GFLOP/s", 2.0 * n * n * n,
          [&] { cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n); });
}
BENCHMARK(sgemm)->Arg(256)->Arg(1024)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

/// Arguments: C, K, H = W, filter size, stride.
struct Convolution {
  explicit Convolution(const State& state)
      : s(padded_conv2d(64, state.range(0), state.range(2), state.range(1), state.range(3), state.range(4),
                        Precision::high)) {}

  Conv2dShape s;
  Buffer x{s.N * s.C * s.H * s.W}, w{s.K * s.C * s.R * s.S}, b{s.K}, y{s.N * s.K * s.P() * s.Q()};
  double flop = 2.0 * static_cast<double>(s.N * s.K * s.P() * s.Q() * s.C * s.R * s.S);
};

void conv2d(State& state) {
  const Convolution c(state);
  measure(state, "GFLOP/s", c.flop, [&] { kernels().conv2d(c.s, c.x, c.w, c.b, c.y); });
}

void conv2d_backward_input(State& state) {
  const Convolution c(state);
  measure(state, "GFLOP/s", c.flop, [&] { kernels().conv2d_backward_input(c.s, c.w, c.y, c.x); });
}

void conv2d_backward_weight(State& state) {
  const Convolution c(state);
  measure(state, "GFLOP/s", c.flop, [&] { kernels().conv2d_backward_weight(c.s, c.x, c.y, c.w, c.b); });
}

void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"C", "K", "HW", "RS", "stride"})->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);
  for (const auto& args : std::vector<std::vector<int64_t>>{{3, 16, 32, 3, 1},
                                                            {16, 8, 16, 3, 1},
                                                            {3, 32, 32, 3, 1},
                                                            {32, 16, 16, 3, 1},
                                                            {64, 64, 32, 3, 1},
                                                            {64, 128, 32, 3, 2},
                                                            {64, 128, 32, 1, 2},
                                                            {128, 128, 16, 3, 1},
                                                            {256, 256, 8, 3, 1},
                                                            {512, 512, 4, 3, 1}}) {
    b->Args(args);
  }
}
BENCHMARK(conv2d)->Apply(shapes);
BENCHMARK(conv2d_backward_input)->Apply(shapes);
BENCHMARK(conv2d_backward_weight)->Apply(shapes);

/// The output of Net's first convolution.
constexpr int64_t N = 64, C = 16, H = 32, elements = N * C * H * H;

void tanh(State& state) {
  const Buffer x(elements), y(elements);
  measure(state, "GB/s", 8.0 * elements, [&] { kernels().unary(unary_of(Activation::tanh), elements, x, y); });
}
BENCHMARK(tanh)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

void tanh_backward(State& state) {
  const Buffer y(elements), dy(elements), dx(elements);
  measure(state, "GB/s", 12.0 * elements, [&] { kernels().unary_backward(unary_of(Activation::tanh), elements, y, dy, dx); });
}
BENCHMARK(tanh_backward)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

constexpr Pool2dShape pool{.N = N, .C = C, .H = H, .W = H, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};

void max_pool2d(State& state) {
  const Buffer x(elements), y(elements / 4);
  std::vector<int64_t> indices(elements / 4);
  measure(state, "GB/s", 7.0 * elements, [&] { kernels().max_pool2d(pool, x, y, indices.data()); });
}
BENCHMARK(max_pool2d)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

void max_pool2d_backward(State& state) {
  const Buffer x(elements), y(elements / 4);
  std::vector<int64_t> indices(elements / 4);
  kernels().max_pool2d(pool, x, y, indices.data());
  measure(state, "GB/s", 7.0 * elements, [&] { kernels().max_pool2d_backward(pool, indices.data(), y, x); });
}
BENCHMARK(max_pool2d_backward)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

constexpr BatchNorm2dShape norm{.N = N, .C = C, .HW = H * H};

void batch_norm2d(State& state) {
  const Buffer x(elements), y(elements), w(C), mean(C), invstd(C);
  measure(state, "GB/s", 12.0 * elements,
          [&] { kernels().batch_norm2d(norm, 0.1, x, w, w, nullptr, nullptr, nullptr, nullptr, mean, invstd, y); });
}
BENCHMARK(batch_norm2d)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

void batch_norm2d_backward(State& state) {
  const Buffer x(elements), dy(elements), dx(elements), w(C), mean(C), invstd(C), dw(C), db(C);
  measure(state, "GB/s", 20.0 * elements,
          [&] { kernels().batch_norm2d_backward(norm, true, x, w, mean, invstd, nullptr, dy, dx, dw, db, nullptr); });
}
BENCHMARK(batch_norm2d_backward)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

void dropout(State& state) {
  const Buffer x(elements), y(elements);
  measure(state, "GB/s", 8.0 * elements, [&] {
    kernels().dropout({.n = elements, .group = 1, .p = 0.5}, {1, 2}, x, y);
  });
}
BENCHMARK(dropout)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

void linear(State& state) {
  const MatmulShape s{.m = 64, .n = 32, .k = 512, .trans_b = true};
  const Buffer a(s.m * s.k), b(s.k * s.n), y(s.m * s.n);
  measure(state, "GFLOP/s", 2.0 * static_cast<double>(s.m * s.n * s.k), [&] { kernels().matmul(s, a, b, y); });
}
BENCHMARK(linear)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond);

}  // namespace
