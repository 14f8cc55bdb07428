#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

#include <cmath>

namespace tern::test {

/// What a convolution with pooling is given, and the shapes of what it makes.
template <class T>
struct Pooled {
  Conv2dMaxPool2dShape s;
  Pool2dShape pool;
  Dims x_dims, w_dims, y_dims, convolved_dims;
  std::vector<T> x, w, bias, dy;
  bool has_bias;

  Pooled(Random& random, const Conv2dMaxPool2dShape& shape)
      : s(shape),
        pool(s.pool()),
        x_dims{s.conv.N, s.conv.C, s.conv.H, s.conv.W},
        w_dims{s.conv.K, s.conv.C / s.conv.groups, s.conv.R, s.conv.S},
        y_dims{s.conv.N, s.conv.K, s.P(), s.Q()},
        convolved_dims{s.conv.N, s.conv.K, s.conv.P(), s.conv.Q()},
        x(random.values<T>(numel(x_dims))),
        w(random.values<T>(numel(w_dims))),
        bias(random.values<T>(s.conv.K)),
        dy(random.values<T>(numel(y_dims))),
        has_bias(random.chance(0.5)) {
    // Sums of about 1, as those of layers are: through tanh goes the error of the sum.
    for (T& v : w) v /= std::sqrt(static_cast<T>(s.conv.C / s.conv.groups * s.conv.R * s.conv.S));
  }

  auto* bias_in(Run<T>& run) const { return has_bias ? run.in(bias) : nullptr; }
};

/// Against the reference in double. It is not asked what it picked: of two elements that are almost equal either may be
/// the larger one after rounding.
template <class T>
void check_values(Random& random, const Conv2dMaxPool2dShape& s, const std::vector<Subject>& backends) {
  const Pooled<T> c(random, s);
  const bool want_dx = random.chance(0.8), want_dw = random.chance(0.8), want_dbias = random.chance(0.7);
  CAPTURE(s, c.has_bias, want_dx, want_dw, want_dbias);
  check_close<T>(
      random, whole_or_one,
      [&](auto& run) {
        run.floating().conv2d_max_pool2d(s, run.in(c.x), run.in(c.w), c.has_bias ? run.in(c.bias) : nullptr,
                                         run.out("y", c.y_dims), nullptr);
      },
      backends);

  std::vector<uint8_t> picked(c.dy.size());
  std::vector<T> y(c.dy.size());
  ReferenceFloat<T>().conv2d_max_pool2d(s, c.x.data(), c.w.data(), c.has_bias ? c.bias.data() : nullptr, y.data(),
                                        picked.data());
  check_close<T>(
      random, whole_or_one,
      [&](auto& run) {
        auto* dx = want_dx ? run.out("dx", c.x_dims) : nullptr;
        auto* dw = want_dw ? run.out("dw", c.w_dims) : nullptr;
        auto* dbias = want_dbias ? run.out("dbias", {s.conv.K}) : nullptr;
        run.floating().conv2d_max_pool2d_backward(s, run.in(c.x), run.in(c.w),
                                                  s.activation == Activation::none ? nullptr : run.in(y),
                                                  s.pools() ? run.in(picked) : nullptr, run.in(c.dy), dx, dw, dbias);
      },
      backends);
}

/// Against the kernels that it stands for, on the same backend: the same numbers, and so the same picked.
template <class T>
void check_as_composed(Random& random, const Conv2dMaxPool2dShape& s, const std::vector<Subject>& backends) {
  Pooled<T> c(random, s);
  if (random.chance(0.5)) {  // small whole numbers, for the sake of ties
    c.x = random.ties<T>(static_cast<int64_t>(c.x.size()));
    c.w = random.ties<T>(static_cast<int64_t>(c.w.size()));
  }
  if (random.chance(0.5)) random.spoil(c.x, random.pick({0.01, 0.3}));
  if (random.chance(0.2)) random.spoil(c.w);
  if (random.chance(0.3)) random.spoil(c.dy);
  const int64_t n = numel(c.y_dims);
  CAPTURE(s, c.has_bias);
  for (const Subject& subject : backends) {
    INFO("backend " << subject.name);
    auto& kernels = subject.backend->floating(T{});
    Run<T> apart(*subject.backend, random), fused(*subject.backend, random);
    {
      auto *convolved = apart.out("convolved", c.convolved_dims), *y = apart.out("y", c.y_dims);
      auto* indices = apart.template out<int64_t>("indices", c.y_dims);
      kernels.conv2d(s.conv, apart.in(c.x), apart.in(c.w), c.bias_in(apart), convolved);
      kernels.max_pool2d(c.pool, convolved, y, indices);
      if (s.activation != Activation::none) kernels.unary(unary_of(s.activation), n, y, y);
    }
    {
      auto* y = fused.out("y", c.y_dims);
      auto* picked = fused.template out<uint8_t>("picked", c.y_dims);
      kernels.conv2d_max_pool2d(s, fused.in(c.x), fused.in(c.w), c.bias_in(fused), y, picked);
    }
    const std::vector<Output> want = apart.finish(), got = fused.finish();
    CHECK(first_mismatch(want[1], got[0], nullptr) == "");
    std::vector<int64_t> indices;
    std::vector<uint8_t> picked;
    for (int64_t i = 0; i < n; ++i) {
      indices.push_back(static_cast<int64_t>(want[2].values[i]));
      const int64_t h = indices[i] / s.conv.Q(), w = indices[i] % s.conv.Q();
      picked.push_back(static_cast<uint8_t>(h % s.R * s.S + w % s.S));
    }
    Output places = got[1];
    places.values.assign(picked.begin(), picked.end());
    CHECK(first_mismatch(places, got[1], nullptr) == "");

    const std::vector<T> y(want[1].values.begin(), want[1].values.end());
    Run<T> apart_back(*subject.backend, random), fused_back(*subject.backend, random);
    {
      auto *dx = apart_back.out("dx", c.x_dims), *dw = apart_back.out("dw", c.w_dims),
           *dbias = apart_back.out("dbias", {s.conv.K}), *pooled = apart_back.inout("dpooled", c.y_dims, c.dy),
           *convolved = apart_back.out("dconvolved", c.convolved_dims);
      const T* before = apart_back.in(y);
      if (s.activation != Activation::none) kernels.unary_backward(unary_of(s.activation), n, before, pooled, pooled);
      kernels.max_pool2d_backward(c.pool, apart_back.in(indices), pooled, convolved);
      kernels.conv2d_backward_input(s.conv, apart_back.in(c.w), convolved, dx);
      kernels.conv2d_backward_weight(s.conv, apart_back.in(c.x), convolved, dw, dbias);
    }
    {
      auto *dx = fused_back.out("dx", c.x_dims), *dw = fused_back.out("dw", c.w_dims),
           *dbias = fused_back.out("dbias", {s.conv.K});
      kernels.conv2d_max_pool2d_backward(s, fused_back.in(c.x), fused_back.in(c.w), fused_back.in(y),
                                         fused_back.in(picked), fused_back.in(c.dy), dx, dw, dbias);
    }
    const std::vector<Output> want_back = apart_back.finish(), got_back = fused_back.finish();
    for (std::size_t i = 0; i < got_back.size(); ++i) {
      CHECK(first_mismatch(want_back[i], got_back[i], nullptr) == "");
    }
  }
}

/// conv2d_batch_norm2d_max_pool2d against the two kernels that it stands for, on the same backend: the same numbers.
template <class T>
void check_with_batch_norm(Random& random, const Conv2dMaxPool2dShape& s, const std::vector<Subject>& backends) {
  Pooled<T> c(random, s);
  if (random.chance(0.3)) random.spoil(c.x, 0.01);
  const auto numbers = [&] { return random.between<T>(s.conv.K, -2, 2); };
  std::vector<T> weight = numbers();
  if (random.chance(0.3) && s.conv.K > 0) weight[0] = 0;
  const std::vector<T> bias = numbers(), moved = numbers();
  const bool affine = random.chance(0.7), moves = random.chance(0.5), want_dx = random.chance(0.4),
             want_dw = random.chance(0.8), want_db = random.chance(0.7), want_dweight = random.chance(0.8),
             over_conv = random.chance(0.5);
  CAPTURE(s, c.has_bias, affine, moves, want_dx, want_dw, want_db, want_dweight, over_conv);
  const Dims channels{s.conv.K};
  for (const Subject& subject : backends) {
    INFO("backend " << subject.name);
    auto& kernels = subject.backend->floating(T{});
    std::vector<Output> results[2];
    for (const bool fused : {false, true}) {
      Run<T> run(*subject.backend, random);
      auto *conv = run.out("conv", c.convolved_dims), *mean = run.out("mean", channels),
           *invstd = run.out("invstd", channels), *picked = run.out("picked", c.y_dims), *y = run.out("y", c.y_dims);
      auto *running_mean = moves ? run.inout("running_mean", channels, moved) : nullptr,
           *running_var = moves ? run.inout("running_var", channels, moved) : nullptr;
      int64_t* num_batches = moves ? run.inout("num_batches", {1}, std::vector<int64_t>{41}) : nullptr;
      const auto *x = run.in(c.x), *w = run.in(c.w), *b = c.bias_in(run), *gain = affine ? run.in(weight) : nullptr,
                 *shift = affine ? run.in(bias) : nullptr;
      if (fused) {
        kernels.conv2d_batch_norm2d_max_pool2d(s, 1e-3, 0.1, x, w, b, gain, shift, running_mean, running_var,
                                               num_batches, mean, invstd, conv, picked, y);
      } else {
        kernels.conv2d(s.conv, x, w, b, conv);
        kernels.batch_norm2d_max_pool2d(c.pool, s.activation, 1e-3, 0.1, conv, gain, shift, running_mean, running_var,
                                        num_batches, mean, invstd, picked, y);
      }
      results[fused] = run.finish();
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      CHECK(first_mismatch(results[0][i], results[1][i], nullptr) == "");
    }

    const auto values = [&](int i) { return std::vector<T>(results[0][i].values.begin(), results[0][i].values.end()); };
    const std::vector<T> convolved = values(0), mean = values(1), invstd = values(2), picked = values(3), y = values(4);
    for (const bool fused : {false, true}) {
      Run<T> run(*subject.backend, random);
      auto *dx = want_dx ? run.out("dx", c.x_dims) : nullptr, *dw = want_dw ? run.out("dw", c.w_dims) : nullptr,
           *db = want_db ? run.out("db", channels) : nullptr,
           *dweight = want_dweight ? run.out("dweight", channels) : nullptr, *dbias = run.out("dbias", channels);
      auto* conv = run.inout("conv", c.convolved_dims, convolved);
      auto* dconv = over_conv ? conv : run.inout("dconv", c.convolved_dims, convolved);
      const auto *x = run.in(c.x), *w = run.in(c.w), *gain = affine ? run.in(weight) : nullptr, *m = run.in(mean),
                 *i = run.in(invstd), *from = run.in(picked),
                 *out = s.activation != Activation::none ? run.in(y) : nullptr, *dy = run.in(c.dy);
      if (fused) {
        kernels.conv2d_batch_norm2d_max_pool2d_backward(s, x, w, conv, gain, m, i, from, out, dy, dconv, dx, dw, db,
                                                        dweight, dbias);
      } else {
        kernels.batch_norm2d_max_pool2d_backward(c.pool, s.activation, conv, gain, m, i, from, out, dy, dconv, dweight,
                                                 dbias);
        kernels.conv2d_max_pool2d_backward({.conv = s.conv}, x, w, nullptr, nullptr, dconv, dx, dw, db);
      }
      results[fused] = run.finish();
    }
    for (std::size_t i = 0; i < results[0].size(); ++i) {
      const std::string& name = results[0][i].name;
      if (name == "conv" || name == "dconv") continue;  // room, which each uses as it likes
      CHECK(first_mismatch(results[0][i], results[1][i], nullptr) == "");
    }
  }
}

/// Either, in each precision.
template <class T, class Check>
void check_each(Random& random, Conv2dMaxPool2dShape s, Check check) {
  for_each_precision<T>([&](Precision precision, const std::vector<Subject>& backends) {
    s.conv.precision = precision;
    check(random, s, backends);
  });
}

/// Also as the CPU's tiles have it: enough channels, whole tiles or not.
Conv2dMaxPool2dShape random_conv2d_max_pool2d(Random& random) {
  Conv2dShape conv = random.chance(0.5) ? random_conv2d(random) : random_conv3x3(random);
  if (random.chance(0.2)) {
    conv = {.N = random.integer(1, 6), .C = 2 * random.integer(1, 20), .K = 2 * random.integer(4, 12), .R = 3, .S = 3};
    conv.groups = random.integer(1, 2);
    conv.pad_h = conv.pad_w = random.integer(0, 2);
    conv.H = random.chance(0.5) ? 4 * random.integer(1, 8) : random.integer(4, 32);
    conv.W = random.chance(0.5) ? 16 * random.integer(1, 3) : random.integer(4, 40);
  }
  return random_windows(random, conv);
}

TEMPLATE_TEST_CASE("conv2d_max_pool2d", "[conv2d][pool2d]", float, double) {
  for_each_case(100, [](Random& random) {
    check_each<TestType>(random, random_conv2d_max_pool2d(random), check_values<TestType>);
  });
}

TEMPLATE_TEST_CASE("conv2d_max_pool2d is what it stands for", "[conv2d][pool2d]", float, double) {
  for_each_case(100, [](Random& random) {
    check_each<TestType>(random, random_conv2d_max_pool2d(random), check_as_composed<TestType>);
  });
}

TEMPLATE_TEST_CASE("conv2d_batch_norm2d_max_pool2d is what it stands for", "[conv2d][batch_norm2d][pool2d]", float,
                   double) {
  for_each_case(40, [](Random& random) {
    Conv2dMaxPool2dShape s = random_conv2d_max_pool2d(random);
    if (random.chance(0.5)) s.R = std::min<int64_t>(2, s.conv.P()), s.S = std::min<int64_t>(2, s.conv.Q());
    if (s.conv.N * s.conv.P() * s.conv.Q() < 2) s.conv.N = 2;
    check_each<TestType>(random, s, check_with_batch_norm<TestType>);
  });
  for_each_case(1, [](Random& random) {
    const int64_t N = random.integer(2, 7);
    const Conv2dShape first{.N = N, .C = 3, .H = 32, .W = 32, .K = 32, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        large{.N = 2, .C = 3, .H = 66, .W = 68, .K = 5, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        deep{.N = 2, .C = 70, .H = 40, .W = 38, .K = 9, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1};
    check_each<TestType>(random, {first, 2, 2, Activation::tanh}, check_with_batch_norm<TestType>);
    check_each<TestType>(random, {large, 2, 2, Activation::relu}, check_with_batch_norm<TestType>);
    check_each<TestType>(random, {large, 20, 21, Activation::none}, check_with_batch_norm<TestType>);
    check_each<TestType>(random, {deep, 2, 2, Activation::tanh}, check_with_batch_norm<TestType>);  // in several blocks
  });
}

TEMPLATE_TEST_CASE("conv2d_max_pool2d of layers in use", "[conv2d][pool2d]", float, double) {
  for_each_case(1, [](Random& random) {
    const int64_t N = random.integer(1, 9);
    const Conv2dShape first{.N = N, .C = 3, .H = 32, .W = 32, .K = 16, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        second{.N = N, .C = 16, .H = 16, .W = 16, .K = 8, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        wide{.N = 1, .C = 66, .H = 44, .W = 36, .K = 6, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1},
        strided{.N = 2, .C = 3, .H = 60, .W = 60, .K = 16, .R = 7, .S = 7, .stride_h = 2, .stride_w = 2};
    check_each<TestType>(random, {first, 2, 2, Activation::tanh}, check_values<TestType>);
    check_each<TestType>(random, {second, 2, 2, Activation::tanh}, check_values<TestType>);
    check_each<TestType>(random, {wide, 3, 3, Activation::relu}, check_values<TestType>);  // an image in several blocks
    check_each<TestType>(random, {wide, 3, 2, Activation::tanh}, check_as_composed<TestType>);
    check_each<TestType>(random, {strided, 3, 3, Activation::relu}, check_values<TestType>);
  });
}

}  // namespace tern::test
