/// tern_cuda_bench: times the CUDA kernels on the device, at the shapes of the models' training steps.
///
///   tern_cuda_bench [--small]
///
/// Each kernel is called on several sets of arguments in turn, three times the L2 cache together, so that it finds its
/// inputs in memory; the calls are recorded as a graph, and events around its replays give the time of one. Where cuDNN
/// has a counterpart, and the build has cuDNN, it is timed as well. A kernel's floor is the longer of two times: to move
/// its arguments once as fast as a large copy, and to do its arithmetic as fast as a large product of cuBLAS; these are
/// measured first, products in float32 and in TensorFloat-32, of which a float32 product takes three and two bfloat16
/// products the time of one. Wide convolutions are timed in each precision.
///
/// Prints one JSON object a line. --small is for the emulator, whose times say nothing: a call or two on one set, batches
/// of 2. The exit status is 0 unless a kernel fails (1), for other arguments 2, and 77 where there is no CUDA device.

#include "padded_conv2d.hpp"

#include <tern/kernels/optim.hpp>
#include <tern/kernels/cuda/graph.hpp>
#include <tern/kernels/cuda/stream.hpp>
#ifdef TERN_HAS_CUDNN
#include <tern/kernels/cuda/cudnn.hpp>
#endif

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <functional>
#include <iostream>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace tern::kernels;
using nlohmann::ordered_json;
using Call = std::function<void()>;
using Kernels = FloatKernels<float>;

std::int64_t N = 64;  ///< the batch

/// How much is done of each.
struct Effort {
  std::size_t bytes;     ///< of the sets of arguments together, at least
  std::size_t calls;     ///< in a graph, at least
  int replays;           ///< timed
  std::size_t copied;    ///< bytes of the copy
  std::int64_t product;  ///< rows and columns of the product's matrices
};

/// One set of a kernel's arguments, random numbers in device memory.
class Arguments {
 public:
  explicit Arguments(Backend& backend) : backend_(backend) {}
  ~Arguments() {
    for (const auto& [data, bytes] : arrays_) backend_.release(data, bytes);
  }
  Arguments(Arguments&& other) noexcept
      : backend_(other.backend_), arrays_(std::exchange(other.arrays_, {})), moved_(other.moved_) {}
  Arguments& operator=(Arguments&&) = delete;

  /// Uniform in [0.5, 1), which suits variances too; read or written.
  float* floats(std::int64_t n) {
    static const std::vector<float> numbers = [] {
      std::vector<float> all(std::size_t{1} << 20);
      std::mt19937 engine(1);
      for (float& x : all) x = std::uniform_real_distribution<float>(0.5F, 1)(engine);
      return all;
    }();
    const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(float);
    char* const data = place(bytes);
    for (std::size_t at = 0; at < bytes;) {
      const std::size_t part = std::min(bytes - at, numbers.size() * sizeof(float));
      backend_.upload(part, numbers.data(), data + at);
      at += part;
    }
    return reinterpret_cast<float*>(data);
  }
  /// Read and written.
  float* updated(std::int64_t n) {
    moved_ += static_cast<std::size_t>(n) * sizeof(float);
    return floats(n);
  }
  /// Of [0, bound), read or written.
  std::int64_t* indices(std::int64_t n, std::int64_t bound) { return integers<std::int64_t>(n, bound); }
  std::uint8_t* bytes(std::int64_t n, std::int64_t bound) { return integers<std::uint8_t>(n, bound); }
  /// Bytes of which no more than that many are read.
  std::uint8_t* table(std::int64_t n, std::int64_t read) {
    moved_ -= static_cast<std::size_t>(n - read);
    return bytes(n, 256);
  }

  /// Bytes that a kernel moves at least.
  std::size_t moved() const { return moved_; }

 private:
  char* place(std::size_t bytes) {
    arrays_.emplace_back(backend_.allocate(bytes), bytes);
    moved_ += bytes;
    return static_cast<char*>(arrays_.back().first);
  }

  template <class T>
  T* integers(std::int64_t n, std::int64_t bound) {
    std::mt19937 engine(2);
    std::vector<T> values(static_cast<std::size_t>(n));
    for (T& i : values) i = static_cast<T>(std::uniform_int_distribution<std::int64_t>(0, bound - 1)(engine));
    char* const data = place(values.size() * sizeof(T));
    backend_.upload(values.size() * sizeof(T), values.data(), data);
    return reinterpret_cast<T*>(data);
  }

  Backend& backend_;
  std::vector<std::pair<void*, std::size_t>> arrays_;
  std::size_t moved_ = 0;
};

struct Case {
  std::string name, shape;
  double flop;  ///< of multiplications and additions, where they may matter
  bool cudnn;   ///< whether cuDNN has it
  std::function<Call(Arguments&, Backend&)> make;
  std::optional<Precision> precision = {};  ///< of one that is timed in each
};

const char* name_of(Precision p) {
  return p == Precision::highest ? "highest" : p == Precision::high ? "high" : "medium";
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

/// The median and the least microseconds of a call.
struct Time {
  double median, least;
};

Time time(const std::vector<Call>& calls, const Effort& effort) {
  for (const Call& call : calls) call();  // loads kernels, makes handles
  cuda::synchronize();
  const std::size_t rounds = (effort.calls + calls.size() - 1) / calls.size();
  cuda::Graph graph(0, {}, [&] {
    for (std::size_t i = 0; i < rounds; ++i) {
      for (const Call& call : calls) call();
    }
    return 0;
  });
  graph.launch({});
  cudaEvent_t start{}, end{};
  cuda::check(cudaEventCreate(&start), "cudaEventCreate");
  cuda::check(cudaEventCreate(&end), "cudaEventCreate");
  std::vector<double> times;
  for (int i = 0; i < effort.replays; ++i) {
    cuda::check(cudaEventRecord(start, cuda::current_stream()), "cudaEventRecord");
    graph.launch({});
    cuda::check(cudaEventRecord(end, cuda::current_stream()), "cudaEventRecord");
    cuda::check(cudaEventSynchronize(end), "cudaEventSynchronize");
    float milliseconds = 0;
    cuda::check(cudaEventElapsedTime(&milliseconds, start, end), "cudaEventElapsedTime");
    times.push_back(milliseconds * 1e3 / static_cast<double>(rounds * calls.size()));
  }
  cuda::check(cudaEventDestroy(start), "cudaEventDestroy");
  cuda::check(cudaEventDestroy(end), "cudaEventDestroy");
  return {median(times), *std::min_element(times.begin(), times.end())};
}

/// What the card does at best: bytes and operations in a microsecond.
struct Ceilings {
  double bytes, float32, tf32;

  /// Operations, in products of that precision.
  double flop(Precision p) const {
    if (p == Precision::medium) return 2 * tf32;
    return p == Precision::high ? tf32 : std::max(float32, tf32 / 3);
  }
};

void say(const ordered_json& line) { std::cout << line.dump() << std::endl; }

Ceilings measure_ceilings(Backend& backend, const Effort& effort) {
  Effort few = effort;
  few.calls = 5;
  Ceilings ceilings{};
  {
    Arguments a(backend);
    const auto n = static_cast<std::int64_t>(effort.copied / sizeof(float));
    const float* from = a.floats(n);
    float* to = a.floats(n);
    const Time t = time({[&] {
                          cuda::check(cudaMemcpyAsync(to, from, effort.copied, cudaMemcpyDeviceToDevice,
                                                      cuda::current_stream()),
                                      "cudaMemcpyAsync");
                        }},
                        few);
    ceilings.bytes = static_cast<double>(a.moved()) / t.median;
    say({{"name", "copy"}, {"bytes", a.moved()}, {"us", t.median}, {"us_least", t.least}, {"GB/s", ceilings.bytes / 1e3}});
  }
  for (const Precision precision : {Precision::highest, Precision::high}) {
    Arguments a(backend);
    const std::int64_t n = effort.product;
    const float *x = a.floats(n * n), *w = a.floats(n * n);
    float* y = a.floats(n * n);
    const MatmulShape s{.m = n, .n = n, .k = n, .precision = precision};
    const Time t = time({[&] { backend.floating(float{}).matmul(s, x, w, y); }}, few);
    const double flop = 2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n);
    (precision == Precision::high ? ceilings.tf32 : ceilings.float32) = flop / t.median;
    say({{"name", "product"}, {"precision", name_of(precision)}, {"flop", flop}, {"us", t.median},
         {"us_least", t.least}, {"TFLOP/s", flop / t.median / 1e6}});
  }
  return ceilings;
}

void add_convolutions(std::vector<Case>& cases, const Conv2dShape& s, const std::string& shape,
                      std::optional<Precision> precision = {}) {
  const std::int64_t C = s.C, K = s.K, x = s.N * C * s.H * s.W, y = s.N * K * s.P() * s.Q(), w = K * C * s.R * s.S;
  const double flop = 2.0 * static_cast<double>(y * C * s.R * s.S);
  const bool cudnn = precision != Precision::medium;
  cases.push_back({"conv2d", shape, flop, cudnn,
                   [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(x), w = a.floats(w), y = a.floats(y)] {
                       k.conv2d(s, x, w, nullptr, y);
                     };
                   },
                   precision});
  if (C > 3) {  // nobody asks for an image's
    cases.push_back({"conv2d_backward_input", shape, flop, cudnn,
                     [=](Arguments& a, Backend& b) -> Call {
                       return [s, &k = b.floating(float{}), w = a.floats(w), dy = a.floats(y), dx = a.floats(x)] {
                         k.conv2d_backward_input(s, w, dy, dx);
                       };
                     },
                     precision});
  }
  cases.push_back({"conv2d_backward_weight", shape, flop, cudnn,
                   [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(x), dy = a.floats(y), dw = a.floats(w)] {
                       k.conv2d_backward_weight(s, x, dy, dw, nullptr);
                     };
                   },
                   precision});
}

void add_thin_convolutions(std::vector<Case>& cases, std::int64_t C, std::int64_t size, std::int64_t K) {
  add_convolutions(cases, padded_conv2d(N, C, size, K),
                   fmt::format("{} -> {}, {} x {}", C, K, size, size));
}

void add_wide_convolutions(std::vector<Case>& cases, std::int64_t batch, std::int64_t C, std::int64_t size,
                           std::int64_t K, std::int64_t filter, std::int64_t stride) {
  for (const Precision precision : {Precision::highest, Precision::high, Precision::medium}) {
    add_convolutions(cases, padded_conv2d(batch, C, size, K, filter, stride, precision),
                     fmt::format("{} of {} -> {}, {} x {}, filter {}, stride {}", batch, C, K, size, size, filter, stride),
                     precision);
  }
}

/// With windows of 2 x 2 and tanh. Of the gradient by the convolution's result one in four elements is not zero.
void add_conv_max_pools(std::vector<Case>& cases, std::int64_t C, std::int64_t size, std::int64_t K) {
  const Conv2dMaxPool2dShape s{
      .conv = padded_conv2d(N, C, size, K),
      .R = 2,
      .S = 2,
      .activation = Activation::tanh};
  const std::int64_t x = N * C * size * size, y = N * K * s.P() * s.Q(), w = K * C * 9;
  const std::string shape = fmt::format("{} -> {}, {} x {}", C, K, size, size);
  const bool by_input = C > 3;  // nobody asks for an image's
  const double product = 2.0 * static_cast<double>(y * C * 9);
  cases.push_back({"conv2d_max_pool2d", shape, 4 * product, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(x), w = a.floats(w), bias = a.floats(K),
                             y = a.floats(y), picked = a.bytes(y, 4)] {
                       k.conv2d_max_pool2d(s, x, w, bias, y, picked);
                     };
                   }});
  cases.push_back({"conv2d_max_pool2d_backward", shape, (by_input ? 2 : 1) * product, false,
                   [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(x), w = by_input ? a.floats(w) : nullptr,
                             y = a.floats(y), picked = a.bytes(y, 4), dy = a.floats(y),
                             dx = by_input ? a.floats(x) : nullptr, dw = a.floats(w), db = a.floats(K)] {
                       k.conv2d_max_pool2d_backward(s, x, w, y, picked, dy, dx, dw, db);
                     };
                   }});
}

void add_pools(std::vector<Case>& cases, std::int64_t C, std::int64_t size) {
  const Pool2dShape s{.N = N, .C = C, .H = size, .W = size, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
  const std::int64_t x = N * C * size * size, y = x / 4;
  const std::string shape = fmt::format("[{}, {}, {}, {}], 2 x 2", N, C, size, size);
  cases.push_back({"max_pool2d", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(x), y = a.floats(y), i = a.indices(y, 1)] {
                       k.max_pool2d(s, x, y, i);
                     };
                   }});
  cases.push_back({"max_pool2d_backward", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), i = a.indices(y, size * size), dy = a.floats(y),
                             dx = a.floats(x)] { k.max_pool2d_backward(s, i, dy, dx); };
                   }});
  cases.push_back({"avg_pool2d", shape, 0, true, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(x), y = a.floats(y)] { k.avg_pool2d(s, x, y); };
                   }});
}

void add_batch_norms(std::vector<Case>& cases, std::int64_t C, std::int64_t size) {
  const BatchNorm2dShape s{.N = N, .C = C, .HW = size * size};
  const Pool2dShape pool{.N = N, .C = C, .H = size, .W = size, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
  const std::int64_t n = N * C * size * size;
  const std::string shape = fmt::format("[{}, {}, {}, {}]", N, C, size, size);
  cases.push_back({"batch_norm2d", shape, 0, true, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(n), w = a.floats(C), bias = a.floats(C),
                             mean = a.floats(C), var = a.floats(C), batches = a.indices(1, 1), m = a.floats(C),
                             i = a.floats(C), y = a.floats(n)] {
                       k.batch_norm2d(s, 0.1, x, w, bias, nullptr, mean, var, batches, m, i, y);
                     };
                   }});
  cases.push_back({"batch_norm2d_backward", shape, 0, true, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(n), w = a.floats(C), m = a.floats(C),
                             i = a.floats(C), dy = a.floats(n), dx = a.floats(n), dw = a.floats(C), db = a.floats(C)] {
                       k.batch_norm2d_backward(s, true, x, w, m, i, nullptr, dy, dx, dw, db, nullptr);
                     };
                   }});
  cases.push_back({"batch_norm2d_max_pool2d, tanh", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s, pool, &k = b.floating(float{}), x = a.floats(n), w = a.floats(C), bias = a.floats(C),
                             mean = a.floats(C), var = a.floats(C), batches = a.indices(1, 1), m = a.floats(C),
                             i = a.floats(C), picked = a.floats(n / 4), y = a.floats(n / 4)] {
                       k.batch_norm2d_max_pool2d(pool, Activation::tanh, s.eps, 0.1, x, w, bias, mean, var, batches, m,
                                                 i, picked, y);
                     };
                   }});
  cases.push_back({"batch_norm2d_max_pool2d_backward, tanh", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [pool, &k = b.floating(float{}), x = a.floats(n), w = a.floats(C), m = a.floats(C),
                             i = a.floats(C), picked = a.floats(n / 4), y = a.floats(n / 4), dy = a.floats(n / 4),
                             dx = a.floats(n), dw = a.floats(C), db = a.floats(C)] {
                       k.batch_norm2d_max_pool2d_backward(pool, Activation::tanh, x, w, m, i, picked, y, dy, dx, dw,
                                                          db);
                     };
                   }});
}

/// The end of a residual block: relu(batch_norm2d(x) + residual).
void add_residual_batch_norms(std::vector<Case>& cases, std::int64_t C, std::int64_t size) {
  const BatchNorm2dShape s{.N = N, .C = C, .HW = size * size, .activation = Activation::relu};
  const std::int64_t n = N * C * size * size;
  const std::string shape = fmt::format("[{}, {}, {}, {}]", N, C, size, size);
  cases.push_back({"batch_norm2d, residual, relu", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(n), w = a.floats(C), bias = a.floats(C),
                             residual = a.floats(n), mean = a.floats(C), var = a.floats(C), batches = a.indices(1, 1),
                             m = a.floats(C), i = a.floats(C), y = a.floats(n)] {
                       k.batch_norm2d(s, 0.1, x, w, bias, residual, mean, var, batches, m, i, y);
                     };
                   }});
  cases.push_back({"batch_norm2d_backward, residual, relu", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(n), w = a.floats(C), m = a.floats(C),
                             i = a.floats(C), y = a.floats(n), dy = a.floats(n), dx = a.floats(n), dw = a.floats(C),
                             db = a.floats(C), dresidual = a.floats(n)] {
                       k.batch_norm2d_backward(s, true, x, w, m, i, y, dy, dx, dw, db, dresidual);
                     };
                   }});
}

void add_elementwise(std::vector<Case>& cases) {
  const std::int64_t n = N * 32 * 16 * 16;
  const std::string shape = fmt::format("[{}, 32, 16, 16]", N);
  cases.push_back({"add", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s = Strided{.ndim = 1, .size = {n}, .a = {1}, .b = {1}}, &k = b.array(float{}),
                             x = a.floats(n), z = a.floats(n), y = a.floats(n)] {
                       k.binary(BinaryOp::add, s, x, z, y);
                     };
                   }});
  cases.push_back({"dropout2d", shape, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s = DropoutShape{.n = n, .group = 16 * 16, .p = 0.4}, &k = b.floating(float{}),
                             x = a.floats(n), y = a.floats(n)] { k.dropout(s, {1, 2}, x, y); };
                   }});
}

/// The strong recipe's.
void add_image_batch(std::vector<Case>& cases) {
  const ImageBatchShape s{.N = N, .C = 3, .H = 32, .W = 32, .shift = 4, .cutout = 10};
  const std::int64_t images = 1000, pixels = s.C * s.H * s.W;
  cases.push_back({"image_batch", fmt::format("{} of [{}, 3, 32, 32], augmented", N, images), 0, false,
                   [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), all = a.table(images * pixels, N * pixels),
                             labels = a.indices(images, 2), order = a.indices(N, images), step = a.indices(1, 1),
                             x = a.floats(N * pixels), target = a.indices(N, 1)] {
                       k.image_batch(s, {1, 2}, {1, 3}, all, labels, order, step, x, target);
                     };
                   }});
}

void add_linear(std::vector<Case>& cases) {
  const std::int64_t in = 512, out = 32, classes = 2;
  const std::string shape = fmt::format("[{}, {}] by [{}, {}]", N, in, in, out);
  const double flop = 2.0 * static_cast<double>(N * in * out);
  const LinearShape linear{.rows = N, .in = in, .out = out, .activation = Activation::tanh};
  cases.push_back({"linear, tanh", shape, flop, false, [=](Arguments& a, Backend& b) -> Call {
                     return [linear, &k = b.floating(float{}), x = a.floats(N * in), w = a.floats(out * in),
                             bias = a.floats(out), y = a.floats(N * out)] { k.linear(linear, x, w, bias, y); };
                   }});
  cases.push_back({"linear_backward, tanh", shape, 2 * flop, false, [=](Arguments& a, Backend& b) -> Call {
                     return [linear, &k = b.floating(float{}), x = a.floats(N * in), w = a.floats(out * in),
                             y = a.floats(N * out), dy = a.floats(N * out), dx = a.floats(N * in),
                             dw = a.floats(out * in), db = a.floats(out)] {
                       k.linear_backward(linear, x, w, y, dy, dx, dw, db);
                     };
                   }});
  cases.push_back({"matmul: the product of linear", shape, flop, false, [=](Arguments& a, Backend& b) -> Call {
                     return [=, &k = b.floating(float{}), x = a.floats(N * in), w = a.floats(out * in),
                             y = a.floats(N * out)] {
                       k.matmul({.m = N, .n = out, .k = in, .trans_b = true}, x, w, y);
                     };
                   }});
  const CrossEntropyShape s{.N = N, .C = classes};
  const std::string logits = fmt::format("[{}, {}]", N, classes);
  cases.push_back({"cross_entropy", logits, 0, false, [=](Arguments& a, Backend& b) -> Call {
                     return [s, &k = b.floating(float{}), x = a.floats(N * classes), t = a.indices(N, classes),
                             loss = a.floats(1), dx = a.floats(N * classes)] {
                       k.cross_entropy(s, x, t, nullptr, loss, dx);
                     };
                   }});
}

/// Of all parameters of Net at once.
void add_steps(std::vector<Case>& cases) {
  static constexpr std::int64_t sizes[] = {16 * 27, 16, 8 * 144, 8, 32 * 512, 32, 2 * 32, 2};
  cases.push_back({"sum_of_squares", "Net's parameters", 0, false, [](Arguments& a, Backend& b) -> Call {
                     std::vector<Segment<float>> all;
                     for (const std::int64_t n : sizes) all.push_back({n, a.floats(n), nullptr});
                     return [=, &k = b.floating(float{}), y = a.floats(1)] { k.sum_of_squares(all, y); };
                   }});
  cases.push_back({"scale_all", "Net's parameters", 0, false, [](Arguments& a, Backend& b) -> Call {
                     std::vector<Segment<float>> all;
                     for (const std::int64_t n : sizes) all.push_back({n, a.floats(n), a.floats(n)});
                     return [=, &k = b.floating(float{}), factor = a.floats(1)] { k.scale_all(all, 0.1, factor); };
                   }});
  cases.push_back({"lerp_all", "Net's parameters", 0, false, [](Arguments& a, Backend& b) -> Call {
                     std::vector<Segment<float>> all;
                     for (const std::int64_t n : sizes) all.push_back({n, a.floats(n), a.updated(n)});
                     return [=, &k = b.floating(float{})] { k.lerp_all(all, 0.1); };
                   }});
  cases.push_back({"sgd_step", "Net's parameters", 0, false, [](Arguments& a, Backend& b) -> Call {
                     std::vector<OptimizerParam<float>> all;
                     for (const std::int64_t n : sizes) all.push_back({n, a.updated(n), a.floats(n), {}});
                     const OptimizerStep step{.op = OptimizerOp::sgd, .lr = 1e-6};
                     return [=, &k = b.floating(float{})] { k.optimizer_step(step, all); };
                   }});
  cases.push_back({"adamw_step", "Net's parameters", 0, false, [](Arguments& a, Backend& b) -> Call {
                     std::vector<OptimizerParam<float>> all;
                     for (const std::int64_t n : sizes)
                       all.push_back({n, a.updated(n), a.floats(n), {a.updated(n), a.updated(n)}});
                     const OptimizerStep step{.op = OptimizerOp::adamw, .lr = 1e-6, .momentum = 0.9,
                                              .correction1 = 0.271, .correction2 = 0.002997, .decay = 0.999,
                                              .eps = 1e-8, .weight_decay = 0.01};
                     return [=, &k = b.floating(float{})] { k.optimizer_step(step, all); };
                   }});
}

/// The job's kernels: Net's, NetBatchNorm's, and of the strong recipe's those of its residual blocks; and the layers of
/// a ResNet-18 for CIFAR.
std::vector<Case> all_cases(bool small) {
  std::vector<Case> cases;
  add_conv_max_pools(cases, 3, 32, 16);
  add_conv_max_pools(cases, 16, 16, 8);
  add_thin_convolutions(cases, 3, 32, 32);
  add_thin_convolutions(cases, 32, 16, 16);
  add_wide_convolutions(cases, N, 32, 16, 32, 3, 1);
  if (!small) {
    add_wide_convolutions(cases, N, 64, 8, 64, 3, 1);
    add_wide_convolutions(cases, N, 128, 4, 128, 3, 1);
    for (const std::int64_t C : {64, 128, 256, 512}) {
      const std::int64_t size = 32 * 64 / C;
      add_wide_convolutions(cases, 128, C, size, C, 3, 1);
      if (C == 64 || C == 256) add_wide_convolutions(cases, 128, C, size, 2 * C, 3, 2);
      if (C == 64) add_wide_convolutions(cases, 128, C, size, 2 * C, 1, 2);
    }
  }
  add_pools(cases, 16, 32);
  add_batch_norms(cases, 32, 32);
  add_residual_batch_norms(cases, 32, 16);
  add_elementwise(cases);
  add_image_batch(cases);
  add_linear(cases);
  add_steps(cases);
  return cases;
}

/// Whether it went well.
bool run(const Case& c, const char* by, Backend& backend, const Ceilings& ceilings, const Effort& effort) {
  ordered_json line{{"name", c.name}, {"shape", c.shape}, {"by", by}};
  if (c.precision) line["precision"] = name_of(*c.precision);
  try {
    std::vector<Arguments> sets;
    std::vector<Call> calls;
    std::size_t bytes = 0;
    do {
      Arguments& a = sets.emplace_back(backend);
      calls.push_back(c.make(a, backend));
      bytes += a.moved();
    } while (bytes < effort.bytes && calls.size() < effort.calls);
    const Time t = time(calls, effort);
    const auto moved = static_cast<double>(sets[0].moved());
    const double flop = ceilings.flop(c.precision.value_or(Precision::highest));
    const double floor = std::max(moved / ceilings.bytes, c.flop / flop);
    line.update({{"bytes", moved},
                 {"flop", c.flop},
                 {"us", t.median},
                 {"us_least", t.least},
                 {"us_floor", floor},
                 {"share", floor / t.median},
                 {"sets", sets.size()}});
    say(line);
    return true;
  } catch (const tern::Error& e) {
    line["error"] = e.what();
    say(line);
    return false;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool small = argc == 2 && std::strcmp(argv[1], "--small") == 0;
  if (argc != 1 && !small) {
    std::cerr << "usage: tern_cuda_bench [--small]\n";
    return 2;
  }
  if (!cuda::is_available()) {
    std::cout << "skipped: no CUDA device was found\n";
    return 77;
  }
  try {
    cudaDeviceProp card{};
    cuda::check(cudaGetDeviceProperties(&card, 0), "cudaGetDeviceProperties");
    const auto cache = static_cast<std::size_t>(card.l2CacheSize);
    say({{"name", "card"},
         {"card", card.name},
         {"capability", fmt::format("{}.{}", card.major, card.minor)},
         {"multiprocessors", card.multiProcessorCount},
         {"l2_bytes", cache},
         {"memory_bytes", card.totalGlobalMem}});
    const Effort effort = small ? Effort{.bytes = 1, .calls = 1, .replays = 1, .copied = 4096, .product = 16}
                                : Effort{.bytes = 3 * cache,
                                         .calls = 100,
                                         .replays = 15,
                                         .copied = std::size_t{512} << 20,
                                         .product = 4096};
    if (small) N = 2;
    Backend& handwritten = cuda_backend(0);
    const Ceilings ceilings = measure_ceilings(handwritten, effort);
    bool good = true;
    for (const Case& c : all_cases(small)) {
      good &= run(c, "tern", handwritten, ceilings, effort);
#ifdef TERN_HAS_CUDNN
      if (c.cudnn) good &= run(c, "cudnn", cudnn_backend(0), ceilings, effort);
#endif
    }
    return good ? 0 : 1;
  } catch (const tern::Error& e) {
    std::cerr << "tern_cuda_bench: " << e.what() << '\n';
    return 1;
  }
}
