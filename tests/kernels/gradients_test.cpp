/// The reference's backward kernels against finite differences of its forward kernels, in double.

#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

#include <catch2/catch.hpp>

#include <random.hpp>
#include <unary_cases.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

namespace tern::test {

using Values = std::vector<double>;

ReferenceFloat<double>& floating() {
  static ReferenceFloat<double> kernels;
  return kernels;
}

ReferenceArray<double>& array() {
  static ReferenceArray<double> kernels;
  return kernels;
}

double dot(const Values& a, const Values& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

/// Whether `gradient` is that of loss(x), to 1e-6: along some of the axes, and along one random direction, which all
/// elements have a part in. Central differences of fourth order: the error is of the size of h^4 times the fifth
/// derivative, and rounding adds 1e-16 / h.
template <class F>
void check_gradient(Random& random, const std::string& name, const Values& x, const Values& gradient, F loss) {
  REQUIRE(x.size() == gradient.size());
  if (x.empty()) return;
  constexpr double h = 1e-3;
  const auto slope = [&](const Values& direction) {
    const auto at = [&](double t) {
      Values moved = x;
      for (std::size_t i = 0; i < x.size(); ++i) moved[i] += t * direction[i];
      return loss(moved);
    };
    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
  };
  double largest = 0;
  for (const double g : gradient) largest = std::max(largest, std::abs(g));

  for (int sample = 0; sample < 8; ++sample) {
    const std::size_t i = random.integer(0, static_cast<int64_t>(x.size()) - 1);
    Values axis(x.size());
    axis[i] = 1;
    const double want = slope(axis);
    INFO(name << "[" << i << "] is " << gradient[i] << ", finite differences say " << want);
    CHECK(std::abs(gradient[i] - want) <= 1e-6 * std::max(std::abs(want), 0.01 * largest) + 1e-9);
  }

  const Values direction = random.between<double>(x.size(), -1, 1);
  double size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) size += std::abs(gradient[i] * direction[i]);
  const double got = dot(gradient, direction), want = slope(direction);
  INFO(name << " along a random direction is " << got << ", finite differences say " << want);
  CHECK(std::abs(got - want) <= 1e-6 * size + 1e-9);
}

/// Numbers of which no two are closer than 0.01, so that no step of a difference changes which is the largest, and none
/// is that close to 0.
Values apart(Random& random, int64_t n) {
  Values values(n);
  for (int64_t i = 0; i < n; ++i) values[i] = 0.01 * static_cast<double>(i - n / 2) + 0.005;
  for (int64_t i = n - 1; i > 0; --i) std::swap(values[i], values[random.integer(0, i)]);
  return values;
}

TEST_CASE("gradients of elementwise functions", "[gradients]") {
  for (const UnaryCase& c : unary_cases()) {
    for_each_case(10, [&](Random& random) {
      const int64_t n = random.integer(1, 30);
      const Values x = c.values(random, n), dy = random.values<double>(n);
      Values y(n), dx(n, NAN);
      const auto loss = [&](const Values& v) {
        floating().unary(c.kernel, n, v.data(), y.data());
        return dot(dy, y);
      };
      loss(x);
      const bool of_output = gradient_of(c.kernel.op) == GradientOf::output;
      floating().unary_backward(c.kernel, n, of_output ? y.data() : x.data(), dy.data(), dx.data());
      check_gradient(random, c.name, x, dx, loss);
    });
  }
}

TEST_CASE("gradient of max", "[gradients]") {
  for_each_case(20, [](Random& random) {
    const ReduceShape r{random.integer(1, 4), random.integer(1, 9), random.integer(1, 4)};
    CAPTURE(r);
    const Values x = apart(random, r.outer * r.n * r.inner), dy = random.values<double>(r.outer * r.inner);
    Values y(dy.size()), dx(x.size(), NAN);
    std::vector<int64_t> indices(dy.size());
    array().extreme(Extreme::max, r, x.data(), y.data(), indices.data());
    array().extreme_backward(r, indices.data(), dy.data(), dx.data());
    check_gradient(random, "max", x, dx, [&](const Values& v) {
      array().extreme(Extreme::max, r, v.data(), y.data(), nullptr);
      return dot(dy, y);
    });
  });
}

TEST_CASE("gradient of index_select", "[gradients]") {
  for_each_case(20, [](Random& random) {
    const ReduceShape r{random.integer(1, 4), random.integer(1, 9), random.integer(1, 4)};
    const int64_t count = random.integer(0, 20);
    CAPTURE(r, count);
    const std::vector<int64_t> index = random.indices(count, r.n);
    const Values x = random.values<double>(r.outer * r.n * r.inner),
                 dy = random.values<double>(r.outer * count * r.inner);
    Values y(dy.size()), dx(x.size(), NAN);
    array().index_select_backward(r, count, index.data(), dy.data(), dx.data());
    check_gradient(random, "index_select", x, dx, [&](const Values& v) {
      array().index_select(r, count, v.data(), index.data(), y.data());
      return dot(dy, y);
    });
  });
}

TEST_CASE("gradients of conv2d", "[gradients]") {
  for_each_case(40, [](Random& random) {
    const Conv2dShape s = random_conv2d(random);
    CAPTURE(s);
    const Values x = random.values<double>(s.N * s.C * s.H * s.W),
                 w = random.values<double>(s.K * (s.C / s.groups) * s.R * s.S), bias = random.values<double>(s.K),
                 dy = random.values<double>(s.N * s.K * s.P() * s.Q());
    Values y(dy.size()), dx(x.size(), NAN), dw(w.size(), NAN), dbias(bias.size(), NAN);
    floating().conv2d_backward_input(s, w.data(), dy.data(), dx.data());
    floating().conv2d_backward_weight(s, x.data(), dy.data(), dw.data(), dbias.data());
    const auto loss = [&](const Values& x_, const Values& w_, const Values& bias_) {
      floating().conv2d(s, x_.data(), w_.data(), bias_.data(), y.data());
      return dot(dy, y);
    };
    check_gradient(random, "dx", x, dx, [&](const Values& v) { return loss(v, w, bias); });
    check_gradient(random, "dw", w, dw, [&](const Values& v) { return loss(x, v, bias); });
    check_gradient(random, "dbias", bias, dbias, [&](const Values& v) { return loss(x, w, v); });
  });
}

/// The smallest distance of a window's largest element from the others, and from 0.
double least_lead(const Conv2dMaxPool2dShape& s, const Values& convolved) {
  const int64_t H = s.conv.P(), W = s.conv.Q();
  double least = INFINITY;
  for (int64_t i = 0; i < s.conv.N * s.conv.K * s.P() * s.Q(); ++i) {
    const int64_t plane = i / s.Q() / s.P(), p = i / s.Q() % s.P(), q = i % s.Q();
    Values all;
    for (int64_t j = 0; j < s.R * s.S; ++j) {
      all.push_back(convolved[(plane * H + p * s.R + j / s.S) * W + q * s.S + j % s.S]);
    }
    std::sort(all.rbegin(), all.rend());
    least = std::min(least, std::abs(all[0]));
    if (all.size() > 1) least = std::min(least, all[0] - all[1]);
  }
  return least;
}

TEST_CASE("gradients of conv2d_max_pool2d", "[gradients]") {
  for_each_case(60, [](Random& random) {
    Conv2dShape conv;
    conv.groups = random.integer(1, 2);
    conv.N = random.integer(1, 2);
    conv.C = conv.groups;
    conv.K = conv.groups;
    conv.R = random.integer(1, 3);
    conv.S = random.integer(1, 3);
    conv.stride_h = random.integer(1, 2);
    conv.pad_h = random.integer(0, 1);
    conv.dilation_w = random.integer(1, 2);
    conv.H = conv.R + random.integer(0, 5);
    conv.W = conv.dilation_w * conv.S + random.integer(0, 5);
    Conv2dMaxPool2dShape s = random_windows(random, conv);
    s.R = std::min<int64_t>(s.R, 4);
    s.S = std::min<int64_t>(s.S, 4);
    CAPTURE(s);

    // No step of a difference, which moves an element by 2e-3 times the sum of at most 9 factors, may change what is
    // picked, or the side of 0 it lies on.
    Values x, w, bias, convolved(conv.N * conv.K * conv.P() * conv.Q());
    int tries = 0;
    do {
      x = random.between<double>(conv.N * conv.C * conv.H * conv.W, -1, 1);
      w = random.between<double>(conv.K * conv.R * conv.S, -1, 1);
      bias = random.values<double>(conv.K);
      floating().conv2d(conv, x.data(), w.data(), bias.data(), convolved.data());
    } while (least_lead(s, convolved) < 0.04 && ++tries < 2000);
    if (tries == 2000) return;

    const Values dy = random.values<double>(conv.N * conv.K * s.P() * s.Q());
    Values y(dy.size()), dx(x.size(), NAN), dw(w.size(), NAN), dbias(bias.size(), NAN);
    std::vector<uint8_t> picked(dy.size(), 255);
    const auto loss = [&](const Values& x_, const Values& w_, const Values& bias_) {
      floating().conv2d_max_pool2d(s, x_.data(), w_.data(), bias_.data(), y.data(), picked.data());
      return dot(dy, y);
    };
    loss(x, w, bias);
    floating().conv2d_max_pool2d_backward(s, x.data(), w.data(), y.data(), picked.data(), dy.data(), dx.data(),
                                          dw.data(), dbias.data());
    check_gradient(random, "dx", x, dx, [&](const Values& v) { return loss(v, w, bias); });
    check_gradient(random, "dw", w, dw, [&](const Values& v) { return loss(x, v, bias); });
    check_gradient(random, "dbias", bias, dbias, [&](const Values& v) { return loss(x, w, v); });
  });
}

TEST_CASE("gradients of pooling", "[gradients]") {
  for_each_case(60, [](Random& random) {
    const Pool2dShape s = random.chance(0.5) ? random_pool2d(random) : random_other_pool2d(random, true);
    CAPTURE(s);
    const Values x = apart(random, s.N * s.C * s.H * s.W), dy = random.values<double>(s.N * s.C * s.P() * s.Q());
    Values y(dy.size()), dx(x.size(), NAN);
    std::vector<int64_t> indices(dy.size());
    floating().max_pool2d(s, x.data(), y.data(), indices.data());
    floating().max_pool2d_backward(s, indices.data(), dy.data(), dx.data());
    check_gradient(random, "max_pool2d", x, dx, [&](const Values& v) {
      floating().max_pool2d(s, v.data(), y.data(), nullptr);
      return dot(dy, y);
    });
    floating().avg_pool2d_backward(s, dy.data(), dx.data());
    check_gradient(random, "avg_pool2d", x, dx, [&](const Values& v) {
      floating().avg_pool2d(s, v.data(), y.data());
      return dot(dy, y);
    });
  });
}

TEST_CASE("gradient of dropout", "[gradients]") {
  for_each_case(10, [](Random& random) {
    const int64_t group = random.integer(1, 5);
    const DropoutShape s{.n = group * random.integer(1, 20), .group = group, .p = random.real(0.1, 0.9)};
    const PhiloxState state{static_cast<std::uint64_t>(random.integer(0, 1'000'000)), 5};
    CAPTURE(s, state.seed);
    const Values x = random.values<double>(s.n), dy = random.values<double>(s.n);
    Values y(s.n), dx(s.n, NAN);
    floating().dropout(s, state, dy.data(), dx.data());
    check_gradient(random, "dropout", x, dx, [&](const Values& v) {
      floating().dropout(s, state, v.data(), y.data());
      return dot(dy, y);
    });
  });
}

TEST_CASE("gradients of batch_norm2d", "[gradients]") {
  for_each_case(40, [](Random& random) {
    // A large eps keeps the derivatives of 1 / sqrt(var + eps) small where two numbers happen to be close. relu's kink
    // is tested through tanh, which has none, and in batch_norm2d_test.cpp.
    const BatchNorm2dShape s{random.integer(1, 4), random.integer(1, 4), random.integer(2, 9), random.pick({0.3, 1.0}),
                             random.pick({Activation::none, Activation::tanh})};
    const bool training = random.chance(0.5), affine = random.chance(0.7), adds = random.chance(0.5);
    CAPTURE(s, training, affine, adds);
    const int64_t n = s.N * s.C * s.HW;
    const Values x = random.values<double>(n), dy = random.values<double>(n), weight = random.values<double>(s.C),
                 bias = random.values<double>(s.C), residual = random.values<double>(n),
                 running_mean = random.values<double>(s.C), running_var = random.between<double>(s.C, 0.5, 2);
    Values mean = running_mean, invstd(s.C), y(n), dx(n, NAN), dweight(s.C, NAN), dbias(s.C, NAN), dresidual(n, NAN);
    const auto loss = [&](const Values& x_, const Values& weight_, const Values& bias_, const Values& residual_) {
      const double* r = adds ? residual_.data() : nullptr;
      const double *w = affine ? weight_.data() : nullptr, *b = affine ? bias_.data() : nullptr;
      if (training) {
        floating().batch_norm2d(s, 0.1, x_.data(), w, b, r, nullptr, nullptr, nullptr, mean.data(), invstd.data(),
                                y.data());
      } else {
        floating().batch_norm2d_eval(s, x_.data(), w, b, r, running_mean.data(), running_var.data(), invstd.data(),
                                     y.data());
      }
      return dot(dy, y);
    };
    loss(x, weight, bias, residual);
    floating().batch_norm2d_backward(s, training, x.data(), affine ? weight.data() : nullptr, mean.data(),
                                     invstd.data(), y.data(), dy.data(), dx.data(), dweight.data(), dbias.data(),
                                     dresidual.data());
    check_gradient(random, "dx", x, dx, [&](const Values& v) { return loss(v, weight, bias, residual); });
    if (adds) {
      check_gradient(random, "dresidual", residual, dresidual,
                     [&](const Values& v) { return loss(x, weight, bias, v); });
    }
    if (!affine) return;
    check_gradient(random, "dweight", weight, dweight, [&](const Values& v) { return loss(x, v, bias, residual); });
    check_gradient(random, "dbias", bias, dbias, [&](const Values& v) { return loss(x, weight, v, residual); });
  });
}

TEST_CASE("gradients of batch_norm2d_max_pool2d", "[gradients]") {
  for_each_case(40, [](Random& random) {
    Pool2dShape s = random_pool2d(random);
    s.N = std::max<int64_t>(s.N, s.H * s.W == 1 ? 2 : 1);
    s.C = std::min<int64_t>(s.C, 3);
    const Activation activation = random.pick({Activation::none, Activation::tanh});
    CAPTURE(s, activation);
    const Values x = apart(random, s.N * s.C * s.H * s.W), dy = random.values<double>(s.N * s.C * s.P() * s.Q()),
                 weight = random.between<double>(s.C, 0.3, 2), bias = random.values<double>(s.C);
    Values mean(s.C), invstd(s.C), picked(dy.size()), y(dy.size()), dx(x.size(), NAN), dweight(s.C, NAN),
        dbias(s.C, NAN);
    const auto loss = [&](const Values& x_, const Values& weight_, const Values& bias_) {
      floating().batch_norm2d_max_pool2d(s, activation, 0.3, 0.1, x_.data(), weight_.data(), bias_.data(), nullptr,
                                         nullptr, nullptr, mean.data(), invstd.data(), picked.data(), y.data());
      return dot(dy, y);
    };
    loss(x, weight, bias);
    floating().batch_norm2d_max_pool2d_backward(s, activation, x.data(), weight.data(), mean.data(), invstd.data(),
                                                picked.data(), y.data(), dy.data(), dx.data(), dweight.data(),
                                                dbias.data());
    check_gradient(random, "dx", x, dx, [&](const Values& v) { return loss(v, weight, bias); });
    check_gradient(random, "dweight", weight, dweight, [&](const Values& v) { return loss(x, v, bias); });
    check_gradient(random, "dbias", bias, dbias, [&](const Values& v) { return loss(x, weight, v); });
  });
}

TEST_CASE("gradient of linear", "[gradients]") {
  for_each_case(30, [](Random& random) {
    const LinearShape s{.rows = random.integer(1, 6),
                        .in = random.integer(1, 6),
                        .out = random.integer(1, 6),
                        .activation = random.pick({Activation::none, Activation::tanh})};
    CAPTURE(s);
    const Values x = random.between<double>(s.rows * s.in, -1, 1), w = random.between<double>(s.out * s.in, -1, 1),
                 bias = random.values<double>(s.out), dy = random.values<double>(s.rows * s.out);
    Values y(dy.size()), dx(x.size(), NAN), dw(w.size(), NAN), dbias(bias.size(), NAN);
    const auto loss = [&](const Values& x_, const Values& w_, const Values& bias_) {
      floating().linear(s, x_.data(), w_.data(), bias_.data(), y.data());
      return dot(dy, y);
    };
    loss(x, w, bias);
    floating().linear_backward(s, x.data(), w.data(), y.data(), dy.data(), dx.data(), dw.data(), dbias.data());
    check_gradient(random, "dx", x, dx, [&](const Values& v) { return loss(v, w, bias); });
    check_gradient(random, "dw", w, dw, [&](const Values& v) { return loss(x, v, bias); });
    check_gradient(random, "dbias", bias, dbias, [&](const Values& v) { return loss(x, w, v); });
  });
}

TEST_CASE("gradient of cross_entropy", "[gradients]") {
  for_each_case(60, [](Random& random) {
    CrossEntropyShape s = random_cross_entropy(random);
    s.N = random.integer(1, 10);
    const bool has_weight = random.chance(0.5);
    CAPTURE(s, has_weight);
    std::vector<int64_t> target = random.indices(s.N, s.C);
    for (int64_t& t : target) {
      if (random.chance(0.2)) t = s.ignore_index;
    }
    if (s.ignore_index < 0) target[0] = 0;  // the mean over no targets is NaN
    if (s.ignore_index >= 0 && s.C > 1) target[0] = (s.ignore_index + 1) % s.C;
    if (s.ignore_index == 0 && s.C == 1) s.reduction = Reduction::sum;
    const Values logits = random.values<double>(s.N * s.C), weight = random.between<double>(s.C, 0.1, 3),
                 dloss = random.values<double>(s.reduction == Reduction::none ? s.N : 1);
    const double* w = has_weight ? weight.data() : nullptr;
    Values loss(dloss.size()), dlogits(logits.size(), NAN);
    const auto projected = [&](const Values& v) {
      floating().cross_entropy(s, v.data(), target.data(), w, loss.data(), nullptr);
      return dot(dloss, loss);
    };
    floating().cross_entropy(s, logits.data(), target.data(), w, loss.data(), dlogits.data());
    for (int64_t i = 0; i < s.N * s.C; ++i) dlogits[i] *= dloss[s.reduction == Reduction::none ? i / s.C : 0];
    check_gradient(random, "dlogits", logits, dlogits, projected);
  });
}

}  // namespace tern::test
