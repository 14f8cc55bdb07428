/// tern-kernels: runs the CUDA kernels of a training step once, on the shapes of the article's models at batch 64, and
/// checks each against the reference.
///
///   tern-kernels [--profile]
///
/// --profile adds, on the emulator, what each kernel asked of memory. The exit status is 0 where all agree, 1 where one
/// does not, 2 for other arguments, and 77 where there is no CUDA device and so nothing was checked.

#include <tern/kernels/backend.hpp>
#include <tern/kernels/error.hpp>
#include <tern/kernels/optim.hpp>
#ifdef TERN_CUDA_EMULATED
#include <tern/kernels/cuda/emulator/emulator.hpp>
#endif

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

using namespace tern::kernels;

namespace {

constexpr int64_t batch = 64;

struct Output {
  std::vector<double> values;
  bool exact;  ///< whole numbers
};

/// One call of a kernel on a backend, floats in Real. Outputs begin as garbage.
template <class Real>
class Call {
 public:
  explicit Call(Backend& backend) : backend_(backend) {}
  ~Call() {
    for (const Array& a : arrays_) backend_.release(a.data, a.bytes);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  FloatKernels<Real>& kernels() { return backend_.floating(Real{}); }
  ArrayKernels<Real>& array_kernels() { return backend_.array(Real{}); }

  const Real* in(const std::vector<float>& values) {
    return place(std::vector<Real>(values.begin(), values.end()), false);
  }
  const int64_t* in(const std::vector<int64_t>& values) { return place(values, false); }
  const uint8_t* in(const std::vector<uint8_t>& values) { return place(values, false); }
  Real* inout(const std::vector<float>& values) { return place(std::vector<Real>(values.begin(), values.end()), true); }
  int64_t* inout(const std::vector<int64_t>& values) { return place(values, true); }
  template <class T = Real>
  T* out(int64_t n) {
    return place(std::vector<T>(static_cast<std::size_t>(n), static_cast<T>(-77)), true);
  }

  /// An output that nothing is said of.
  template <class T>
  T* unread(int64_t n) {
    T* const data = out<T>(n);
    arrays_.back().read = {};
    return data;
  }

  std::vector<Output> outputs() {
    std::vector<Output> all;
    for (const Array& a : arrays_)
      if (a.read) all.push_back(a.read());
    return all;
  }

 private:
  struct Array {
    void* data;
    std::size_t bytes;
    std::function<Output()> read;  ///< empty for inputs
  };

  template <class T>
  T* place(const std::vector<T>& values, bool is_output) {
    const std::size_t bytes = values.size() * sizeof(T);
    T* const data = static_cast<T*>(backend_.allocate(bytes));
    arrays_.push_back({data, bytes, {}});
    backend_.upload(bytes, values.data(), data);
    if (!is_output) return data;
    arrays_.back().read = [this, data, n = values.size()] {
      std::vector<T> host(n);
      backend_.download(n * sizeof(T), data, host.data());
      return Output{{host.begin(), host.end()}, std::is_integral_v<T>};
    };
    return data;
  }

  Backend& backend_;
  std::vector<Array> arrays_;
};

struct Case {
  std::string name;
  std::function<void(Call<double>&)> on_reference;
  std::function<void(Call<float>&)> on_cuda;
};

class Numbers {
 public:
  std::vector<float> floats(int64_t n, float low = -1, float high = 1) {
    std::vector<float> values(static_cast<std::size_t>(n));
    for (float& v : values) v = std::uniform_real_distribution<float>(low, high)(engine_);
    return values;
  }
  std::vector<int64_t> indices(int64_t n, int64_t bound) {
    std::vector<int64_t> values(static_cast<std::size_t>(n));
    for (int64_t& v : values) v = std::uniform_int_distribution<int64_t>(0, bound - 1)(engine_);
    return values;
  }

 private:
  std::mt19937_64 engine_{1};
};

template <class F>
void add(std::vector<Case>& cases, const std::string& name, F call) {
  cases.push_back({name, call, call});
}

void add_conv2d(std::vector<Case>& cases, Numbers& numbers, int64_t C, int64_t size, int64_t K) {
  const Conv2dShape s{.N = batch, .C = C, .H = size, .W = size, .K = K, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1};
  const int64_t n_x = batch * C * size * size, n_y = batch * K * size * size, n_w = K * C * 9;
  const std::vector<float> x = numbers.floats(n_x), w = numbers.floats(n_w), bias = numbers.floats(K),
                           dy = numbers.floats(n_y);
  const std::string shape = fmt::format("{} -> {}, {} x {}", C, K, size, size);
  add(cases, "conv2d " + shape, [=](auto& c) { c.kernels().conv2d(s, c.in(x), c.in(w), c.in(bias), c.out(n_y)); });
  add(cases, "conv2d_backward_input " + shape,
      [=](auto& c) { c.kernels().conv2d_backward_input(s, c.in(w), c.in(dy), c.out(n_x)); });
  add(cases, "conv2d_backward_weight " + shape,
      [=](auto& c) { c.kernels().conv2d_backward_weight(s, c.in(x), c.in(dy), c.out(n_w), c.out(K)); });
}

/// And with what follows them in the models: windows of 2 x 2, and tanh. It is not compared what was picked: of two
/// elements that are almost equal either may be the larger one after rounding.
void add_conv2d_max_pool2d(std::vector<Case>& cases, Numbers& numbers, int64_t C, int64_t size, int64_t K) {
  const Conv2dMaxPool2dShape s{
      .conv = {.N = batch, .C = C, .H = size, .W = size, .K = K, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
      .R = 2,
      .S = 2,
      .activation = Activation::tanh};
  const int64_t n_x = batch * C * size * size, n_y = batch * K * size * size / 4, n_w = K * C * 9;
  const std::vector<float> x = numbers.floats(n_x), w = numbers.floats(n_w, -0.2F, 0.2F), bias = numbers.floats(K),
                           dy = numbers.floats(n_y);
  std::vector<float> y(dy.size());
  std::vector<uint8_t> picked(dy.size());
  reference_backend().floating(float{}).conv2d_max_pool2d(s, x.data(), w.data(), bias.data(), y.data(), picked.data());
  const std::string shape = fmt::format("{} -> {}, {} x {}", C, K, size, size);
  add(cases, "conv2d_max_pool2d " + shape, [=](auto& c) {
    c.kernels().conv2d_max_pool2d(s, c.in(x), c.in(w), c.in(bias), c.out(n_y), c.template unread<uint8_t>(n_y));
  });
  add(cases, "conv2d_max_pool2d_backward " + shape, [=](auto& c) {
    c.kernels().conv2d_max_pool2d_backward(s, c.in(x), c.in(w), c.in(y), c.in(picked), c.in(dy), c.out(n_x), c.out(n_w),
                                           c.out(K));
  });
}

void add_pools(std::vector<Case>& cases, Numbers& numbers, int64_t C, int64_t size) {
  const Pool2dShape s{.N = batch, .C = C, .H = size, .W = size, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
  const int64_t n_x = batch * C * size * size, n_y = n_x / 4;
  const std::vector<float> x = numbers.floats(n_x), dy = numbers.floats(n_y);
  std::vector<float> y(dy.size());
  std::vector<int64_t> places(dy.size());
  reference_backend().floating(float{}).max_pool2d(s, x.data(), y.data(), places.data());
  const std::string shape = fmt::format("{}, {} x {}", C, size, size);
  add(cases, "max_pool2d " + shape,
      [=](auto& c) { c.kernels().max_pool2d(s, c.in(x), c.out(n_y), c.template out<int64_t>(n_y)); });
  add(cases, "max_pool2d_backward " + shape,
      [=](auto& c) { c.kernels().max_pool2d_backward(s, c.in(places), c.in(dy), c.out(n_x)); });
  add(cases, "avg_pool2d " + shape, [=](auto& c) { c.kernels().avg_pool2d(s, c.in(x), c.out(n_y)); });
  add(cases, "avg_pool2d_backward " + shape,
      [=](auto& c) { c.kernels().avg_pool2d_backward(s, c.in(dy), c.out(n_x)); });
}

/// Twice as large each way.
void add_interpolate(std::vector<Case>& cases, Numbers& numbers) {
  const Interpolate2dShape s{.N = batch * 16,
                             .H = 16,
                             .W = 16,
                             .P = 32,
                             .Q = 32,
                             .linear = true,
                             .scale_h = 0.5,
                             .scale_w = 0.5,
                             .outer = 0.5,
                             .inner = 0.5};
  const int64_t n_x = s.N * s.H * s.W, n_y = s.N * s.P * s.Q;
  const std::vector<float> x = numbers.floats(n_x), dy = numbers.floats(n_y);
  add(cases, "interpolate2d, linear", [=](auto& c) { c.kernels().interpolate2d(s, c.in(x), c.out(n_y)); });
  add(cases, "interpolate2d_backward, linear",
      [=](auto& c) { c.kernels().interpolate2d_backward(s, c.in(dy), c.out(n_x)); });
}

void add_elementwise(std::vector<Case>& cases, Numbers& numbers) {
  const int64_t n = batch * 16 * 32 * 32;
  const std::vector<float> x = numbers.floats(n), dy = numbers.floats(n);
  add(cases, "tanh", [=](auto& c) { c.kernels().unary(unary_of(Activation::tanh), n, c.in(x), c.out(n)); });
  add(cases, "tanh_backward",
      [=](auto& c) { c.kernels().unary_backward(unary_of(Activation::tanh), n, c.in(x), c.in(dy), c.out(n)); });

  const DropoutShape s{.n = batch * 32 * 16 * 16, .group = 16 * 16, .p = 0.4};
  const std::vector<float> ones = numbers.floats(s.n, 0.5F, 1);
  add(cases, "dropout2d", [=](auto& c) { c.kernels().dropout(s, {1, 2}, c.in(ones), c.out(s.n)); });
}

/// As the strong recipe gathers it, from four batches' images.
void add_image_batch(std::vector<Case>& cases, Numbers& numbers) {
  const ImageBatchShape s{.N = batch, .C = 3, .H = 32, .W = 32, .shift = 4, .cutout = 8};
  const int64_t n = 4 * batch, pixels = s.C * s.H * s.W;
  std::vector<uint8_t> images;
  for (const int64_t v : numbers.indices(n * pixels, 256)) images.push_back(static_cast<uint8_t>(v));
  const std::vector<int64_t> labels = numbers.indices(n, 2), order = numbers.indices(n, n), step{3};
  add(cases, "image_batch", [=](auto& c) {
    c.kernels().image_batch(s, {1, 2}, {1, 50}, c.in(images), c.in(labels), c.in(order), c.in(step),
                            c.out(batch * pixels), c.template out<int64_t>(batch));
  });
}

void add_batch_norm2d(std::vector<Case>& cases, Numbers& numbers) {
  const BatchNorm2dShape s{.N = batch, .C = 32, .HW = 32 * 32};
  const int64_t n = s.N * s.C * s.HW;
  const std::vector<float> x = numbers.floats(n), dy = numbers.floats(n), weight = numbers.floats(s.C),
                           bias = numbers.floats(s.C), mean = numbers.floats(s.C, -0.1F, 0.1F),
                           var = numbers.floats(s.C, 0.5F, 2);
  const std::vector<int64_t> batches{3};
  add(cases, "batch_norm2d", [=](auto& c) {
    c.kernels().batch_norm2d(s, 0.1, c.in(x), c.in(weight), c.in(bias), nullptr, c.inout(mean), c.inout(var),
                             c.inout(batches), c.out(s.C), c.out(s.C), c.out(n));
  });
  add(cases, "batch_norm2d_eval", [=](auto& c) {
    c.kernels().batch_norm2d_eval(s, c.in(x), c.in(weight), c.in(bias), nullptr, c.in(mean), c.in(var), c.out(s.C),
                                  c.out(n));
  });
  add(cases, "batch_norm2d_backward", [=](auto& c) {
    c.kernels().batch_norm2d_backward(s, true, c.in(x), c.in(weight), c.in(mean), c.in(var), nullptr, c.in(dy),
                                      c.out(n), c.out(s.C), c.out(s.C), nullptr);
  });
  BatchNorm2dShape with_relu = s;
  with_relu.activation = Activation::relu;
  add(cases, "batch_norm2d, residual, relu", [=](auto& c) {
    c.kernels().batch_norm2d(with_relu, 0.1, c.in(x), c.in(weight), c.in(bias), c.in(dy), c.inout(mean), c.inout(var),
                             c.inout(batches), c.out(s.C), c.out(s.C), c.out(n));
  });
  add(cases, "batch_norm2d_backward, residual, relu", [=](auto& c) {
    c.kernels().batch_norm2d_backward(with_relu, true, c.in(x), c.in(weight), c.in(mean), c.in(var), c.in(x), c.in(dy),
                                      c.out(n), c.out(s.C), c.out(s.C), c.out(n));
  });

  const Pool2dShape pool{.N = batch, .C = 32, .H = 32, .W = 32, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
  const int64_t windows = n / 4;
  std::vector<float> mu(static_cast<std::size_t>(s.C)), invstd(mu.size()), picked(static_cast<std::size_t>(windows)),
      y(picked.size());
  reference_backend().floating(float{}).batch_norm2d_max_pool2d(pool, Activation::tanh, s.eps, 0.1, x.data(),
                                                                weight.data(), bias.data(), nullptr, nullptr, nullptr,
                                                                mu.data(), invstd.data(), picked.data(), y.data());
  add(cases, "batch_norm2d_max_pool2d, tanh", [=](auto& c) {
    c.kernels().batch_norm2d_max_pool2d(pool, Activation::tanh, s.eps, 0.1, c.in(x), c.in(weight), c.in(bias),
                                        c.inout(mean), c.inout(var), c.inout(batches), c.out(s.C), c.out(s.C),
                                        c.out(windows), c.out(windows));
  });
  const std::vector<float> dpooled = numbers.floats(windows);
  add(cases, "batch_norm2d_max_pool2d_backward, tanh", [=](auto& c) {
    c.kernels().batch_norm2d_max_pool2d_backward(pool, Activation::tanh, c.in(x), c.in(weight), c.in(mu), c.in(invstd),
                                                 c.in(picked), c.in(y), c.in(dpooled), c.out(n), c.out(s.C),
                                                 c.out(s.C));
  });
}

/// Forward, and from its statistics the gradient.
void add_group_norm(std::vector<Case>& cases, Numbers& numbers, const char* name, const GroupNormShape& s) {
  const int64_t n = s.rows() * s.n(), C = s.groups * s.channels;
  const std::vector<float> x = numbers.floats(n), dy = numbers.floats(n), weight = numbers.floats(C),
                           bias = numbers.floats(C);
  add(cases, name, [=](auto& c) {
    double *mean = c.template out<double>(s.rows()), *invstd = c.template out<double>(s.rows());
    const auto *in = c.in(x), *w = c.in(weight);
    c.kernels().group_norm(s, in, w, c.in(bias), mean, invstd, c.out(n));
    c.kernels().group_norm_backward(s, in, w, mean, invstd, c.in(dy), c.out(n), c.out(C), c.out(C));
  });
}

/// What a step looks up of a table, and the gradient by it.
void add_embedding(std::vector<Case>& cases, Numbers& numbers) {
  const ReduceShape table{.n = 5000, .inner = 128};
  const int64_t count = 2048;
  const std::vector<float> x = numbers.floats(table.n * table.inner), dy = numbers.floats(count * table.inner);
  const std::vector<int64_t> index = numbers.indices(count, table.n);
  add(cases, "embedding and its gradient", [=](auto& c) {
    c.array_kernels().index_select(table, count, c.in(x), c.in(index), c.out(count * table.inner));
    c.array_kernels().index_select_backward(table, count, c.in(index), c.in(dy), c.out(table.n * table.inner));
  });
}

/// tanh(x w^T + bias), its gradients, and the loss.
void add_linear(std::vector<Case>& cases, Numbers& numbers) {
  const int64_t in = 512, out = 32, classes = 2;
  const LinearShape linear{.rows = batch, .in = in, .out = out, .activation = Activation::tanh};
  const std::vector<float> x = numbers.floats(batch * in), w = numbers.floats(out * in),
                           y = numbers.floats(batch * out), g = numbers.floats(batch * out), bias = numbers.floats(out);
  add(cases, "linear, tanh",
      [=](auto& c) { c.kernels().linear(linear, c.in(x), c.in(w), c.in(bias), c.out(batch * out)); });
  add(cases, "linear_backward", [=](auto& c) {
    c.kernels().linear_backward(linear, c.in(x), c.in(w), c.in(y), c.in(g), c.out(batch * in), c.out(out * in),
                                c.out(out));
  });

  const CrossEntropyShape s{.N = batch, .C = classes};
  const std::vector<float> logits = numbers.floats(batch * classes, -3, 3);
  const std::vector<int64_t> target = numbers.indices(batch, classes);
  add(cases, "cross_entropy", [=](auto& c) {
    c.kernels().cross_entropy(s, c.in(logits), c.in(target), nullptr, c.out(1), c.out(batch * classes));
  });
  add(cases, "max, argmax", [=](auto& c) {
    c.array_kernels().extreme(Extreme::max, {batch, classes, 1}, c.in(logits), c.out(batch),
                              c.template out<int64_t>(batch));
  });
}

/// Between the products of a small transformer and of a recurrent layer, and those of the former.
void add_sequences(std::vector<Case>& cases, Numbers& numbers) {
  const AttentionShape s{.B = 16, .L = 64, .S = 64, .E = 32, .V = 32, .scale = 0.1, .dropout_p = 0.1};
  const int64_t n = s.B * s.L * s.E, rows = s.B * s.L;
  const std::vector<float> q = numbers.floats(n), k = numbers.floats(n), v = numbers.floats(n), y = numbers.floats(n),
                           dy = numbers.floats(n), log_sum = numbers.floats(rows, 4, 5);
  add(cases, "attention", [=](auto& c) {
    c.kernels().attention(s, {1, 2}, c.in(q), c.in(k), c.in(v), nullptr, c.out(n), c.out(rows));
  });
  add(cases, "attention_backward", [=](auto& c) {
    c.kernels().attention_backward(s, {1, 2}, c.in(q), c.in(k), c.in(v), nullptr, c.in(y), c.in(log_sum), c.in(dy),
                                   c.out(n), c.out(n), c.out(n));
  });
  for (const Cell cell : {Cell::lstm, Cell::gru, Cell::tanh}) {
    const CellShape step{.cell = cell, .N = batch, .H = 128};
    const int64_t states = step.N * step.H, sums = states * step.sums(), kept = states * step.kept();
    const bool is_lstm = cell == Cell::lstm, is_gru = cell == Cell::gru;
    const std::vector<float> x = numbers.floats(sums), r = numbers.floats(sums), before = numbers.floats(states),
                             was = numbers.floats(kept, 0, 1), g = numbers.floats(states);
    add(cases,
        is_lstm  ? "recurrent_cell, lstm"
        : is_gru ? "recurrent_cell, gru"
                 : "recurrent_cell, tanh",
        [=](auto& c) {
          c.kernels().recurrent_cell(step, c.in(x), c.in(r), c.in(before), kept > 0 ? c.out(kept) : nullptr,
                                     c.out(states), is_lstm ? c.out(states) : nullptr);
        });
    add(cases, "its gradient", [=](auto& c) {
      c.kernels().recurrent_cell_backward(step, c.in(was), c.in(before), c.in(before), c.in(g), c.in(g),
                                          kept > 0 ? c.inout(g) : nullptr, c.out(sums), is_gru ? c.out(sums) : nullptr);
    });
  }
}

/// All parameters of the first model in one step.
void add_steps(std::vector<Case>& cases, Numbers& numbers) {
  std::vector<std::vector<float>> params, grads, first, second;
  for (const int64_t n : {16 * 27, 16, 8 * 144, 8, 32 * 512, 32, 2 * 32, 2}) {
    params.push_back(numbers.floats(n));
    grads.push_back(numbers.floats(n));
    first.push_back(numbers.floats(n));
    second.push_back(numbers.floats(n, 0.1F, 1));
  }
  add(cases, "sgd_step", [=]<class Real>(Call<Real>& c) {
    std::vector<OptimizerParam<Real>> all;
    for (std::size_t i = 0; i < params.size(); ++i)
      all.push_back({static_cast<int64_t>(params[i].size()), c.inout(params[i]), c.in(grads[i]), {c.inout(first[i])}});
    c.kernels().optimizer_step({.op = OptimizerOp::sgd, .lr = 0.01, .momentum = 0.9, .weight_decay = 0.001}, all);
  });
  add(cases, "adamw_step", [=]<class Real>(Call<Real>& c) {
    std::vector<OptimizerParam<Real>> all;
    for (std::size_t i = 0; i < params.size(); ++i)
      all.push_back({static_cast<int64_t>(params[i].size()),
                     c.inout(params[i]),
                     c.in(grads[i]),
                     {c.inout(first[i]), c.inout(second[i])}});
    c.kernels().optimizer_step({.op = OptimizerOp::adamw,
                                .lr = 0.001,
                                .momentum = 0.9,
                                .correction1 = 0.271,
                                .correction2 = 0.002997,
                                .decay = 0.999,
                                .eps = 1e-8,
                                .weight_decay = 0.01},
                               all);
  });
}

/// The largest difference between the two, in parts of the largest element or of 1; infinite where whole numbers
/// differ.
double difference(const std::vector<Output>& want, const std::vector<Output>& got) {
  double most = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    double largest = 1, apart = 0;
    for (std::size_t j = 0; j < want[i].values.size(); ++j) {
      const double w = want[i].values[j], g = got[i].values[j];
      largest = std::max(largest, std::abs(w));
      if (w != g) apart = std::isfinite(w - g) && !want[i].exact ? std::max(apart, std::abs(w - g)) : INFINITY;
    }
    most = std::max(most, apart / largest);
  }
  return most;
}

}  // namespace

int main(int argc, char** argv) {
  const bool profile = argc == 2 && std::strcmp(argv[1], "--profile") == 0;
  if (argc != 1 && !profile) {
    fmt::print(stderr, "usage: tern-kernels [--profile]\n");
    return 2;
  }
  Backend* cuda = nullptr;
  try {
    cuda = &cuda_backend(0);
  } catch (const tern::Error&) {
    fmt::print("skipped: no CUDA device was found; TERN_CUDA=EMULATE checks the kernels here\n");
    return 77;
  }
#ifdef TERN_CUDA_EMULATED
  tern::emulator::set_profiling(profile);
#endif

  Numbers numbers;
  std::vector<Case> cases;
  add_conv2d(cases, numbers, 3, 32, 16);
  add_conv2d(cases, numbers, 16, 16, 8);
  add_conv2d_max_pool2d(cases, numbers, 3, 32, 16);
  add_conv2d_max_pool2d(cases, numbers, 16, 16, 8);
  add_pools(cases, numbers, 16, 32);
  add_pools(cases, numbers, 8, 16);
  add_interpolate(cases, numbers);
  add_elementwise(cases, numbers);
  add_image_batch(cases, numbers);
  add_batch_norm2d(cases, numbers);
  add_group_norm(cases, numbers, "layer_norm and its gradient", {.N = 1024, .channels = 768});
  add_group_norm(cases, numbers, "group_norm and its gradient", {.N = 64, .groups = 8, .channels = 4, .run = 256});
  add_embedding(cases, numbers);
  add_linear(cases, numbers);
  add_sequences(cases, numbers);
  add_steps(cases, numbers);

  int wrong = 0;
  for (const Case& c : cases) {
    try {
      Call<double> truth(reference_backend());
      Call<float> call(*cuda);
      c.on_reference(truth);
      c.on_cuda(call);
      const double apart = difference(truth.outputs(), call.outputs());
      const bool good = apart <= 1e-5;
      wrong += !good;
      fmt::print("{:<40} {} {:.1e}\n", c.name, good ? "agrees to" : "DIFFERS by", apart);
    } catch (const tern::Error& e) {
      ++wrong;
      fmt::print("{:<40} FAILS: {}\n", c.name, e.what());
    }
  }
  fmt::print("{} of {} kernels agree with the reference\n", cases.size() - static_cast<std::size_t>(wrong),
             cases.size());
  if (profile) {
#ifdef TERN_CUDA_EMULATED
    fmt::print("\n{}", tern::emulator::profile_table());
#else
    fmt::print("--profile counts on the emulator only (TERN_CUDA=EMULATE)\n");
#endif
  }
  return wrong == 0 ? 0 : 1;
}
