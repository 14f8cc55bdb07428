#include "check.hpp"
#include "shapes.hpp"

#include <tern/kernels/reference/reference.hpp>

#include <algorithm>
#include <cmath>

// Convolutions by tensor cores: what is left of a float's accuracy, and that it is always the same.

namespace tern::test {
namespace {

/// Channels, filters and strides for which products by tensor cores are chosen.
Conv2dShape random_wide_conv2d(Random& random) {
  Conv2dShape s;
  s.N = random.pick<int64_t>({1, 1, 2, 5});
  s.groups = random.pick<int64_t>({1, 1, 1, 2, 3});
  s.C = s.groups * random.integer(8, random.pick({20, 70}));
  s.K = s.groups * random.integer(8, random.pick({20, 70}));
  s.R = random.pick<int64_t>({1, 1, 2, 3, 3, 5, 7});
  s.S = random.chance(0.7) ? s.R : random.integer(1, 7);
  s.stride_h = random.pick<int64_t>({1, 1, 2, 3});
  s.stride_w = random.chance(0.7) ? s.stride_h : random.integer(1, 4);
  s.pad_h = random.chance(0.3) ? 0 : random.integer(0, 3);
  s.pad_w = random.chance(0.7) ? s.pad_h : random.integer(0, 3);
  s.dilation_h = random.pick<int64_t>({1, 1, 1, 2, 3});
  s.dilation_w = random.chance(0.7) ? s.dilation_h : random.integer(1, 3);
  s.H = std::max<int64_t>(1, s.dilation_h * (s.R - 1) + 1 - 2 * s.pad_h) + random.integer(0, 9);
  s.W = std::max<int64_t>(1, s.dilation_w * (s.S - 1) + 1 - 2 * s.pad_w) + random.integer(0, 9);
  return s;
}

/// y, dx, dw and dbias of one shape.
struct Convolution {
  Conv2dShape s;
  std::vector<float> x, w, bias, dy;

  Convolution(Random& random, const Conv2dShape& shape)
      : s(shape),
        x(random.values<float>(s.N * s.C * s.H * s.W)),
        w(random.values<float>(s.K * (s.C / s.groups) * s.R * s.S)),
        bias(random.values<float>(s.K)),
        dy(random.values<float>(s.N * s.K * s.P() * s.Q())) {}

  std::vector<Output> by(const Subject& subject, Random& random) const {
    Run<float> run(*subject.backend, random);
    auto& kernels = run.floating();
    kernels.conv2d(s, run.in(x), run.in(w), run.in(bias), run.out("y", {s.N, s.K, s.P(), s.Q()}));
    kernels.conv2d_backward_input(s, run.in(w), run.in(dy), run.out("dx", {s.N, s.C, s.H, s.W}));
    float *dw = run.out("dw", {s.K, s.C / s.groups, s.R, s.S}), *dbias = run.out("dbias", {s.K});
    kernels.conv2d_backward_weight(s, run.in(x), run.in(dy), dw, dbias);
    return run.finish();
  }

  /// By the reference in double; of the numbers' sizes, what the sums of their products' sizes are.
  std::vector<std::vector<double>> exact(bool of_sizes) const {
    const auto wide = [&](const std::vector<float>& numbers) {
      std::vector<double> all(numbers.begin(), numbers.end());
      if (of_sizes) std::ranges::transform(all, all.begin(), [](double v) { return std::abs(v); });
      return all;
    };
    const std::vector<double> of_x = wide(x), of_w = wide(w), of_bias = wide(bias), of_dy = wide(dy);
    std::vector<double> y(dy.size()), dx(x.size()), dw(w.size()), dbias(bias.size());
    ReferenceFloat<double> kernels;
    kernels.conv2d(s, of_x.data(), of_w.data(), of_bias.data(), y.data());
    kernels.conv2d_backward_input(s, of_w.data(), of_dy.data(), dx.data());
    kernels.conv2d_backward_weight(s, of_x.data(), of_dy.data(), dw.data(), dbias.data());
    return {y, dx, dw, dbias};
  }

  /// The largest error of any output, relative to the sum of its products' sizes.
  double error_of(const std::vector<Output>& got) const {
    const auto want = exact(false), sizes = exact(true);
    double most = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      for (std::size_t j = 0; j < want[i].size(); ++j) {
        const double error = std::abs(static_cast<double>(got[i].values[j]) - want[i][j]);
        if (error != 0) most = std::max(most, error / sizes[i][j]);
      }
    }
    return most;
  }
};

/// The CUDA device, where the build and the machine have one.
std::vector<Subject> cuda_alone() {
  std::vector<Subject> found;
  std::ranges::copy_if(subjects(), std::back_inserter(found), [](const Subject& s) { return s.name == "cuda"; });
  return found;
}

TEST_CASE("conv2d by tensor cores is as good as fp32 sums, and by one product each as TF32 or bfloat16", "[conv2d]") {
  for_each_case(40, [](Random& random) {
    Convolution c(random, random_wide_conv2d(random));
    CAPTURE(c.s);
    for (const Subject& subject : cuda_alone()) {
      c.s.precision = Precision::highest;
      CHECK(c.error_of(c.by(subject, random)) <= 1e-6);
      c.s.precision = Precision::high;
      CHECK(c.error_of(c.by(subject, random)) <= 0x1p-10);
      c.s.precision = Precision::medium;
      CHECK(c.error_of(c.by(subject, random)) <= 0x1p-7);
    }
  });
}

TEST_CASE("conv2d by tensor cores gives the same bits each time", "[conv2d]") {
  for_each_case(6, [](Random& random) {
    Convolution c(random, random_wide_conv2d(random));
    c.s.precision = random.pick({Precision::highest, Precision::high, Precision::medium});
    CAPTURE(c.s);
    for (const Subject& subject : cuda_alone()) {
      const std::vector<Output> once = c.by(subject, random), again = c.by(subject, random);
      for (std::size_t i = 0; i < once.size(); ++i) CHECK(first_mismatch(once[i], again[i], nullptr) == "");
    }
  });
}

TEST_CASE("conv2d on tensor cores heeds the precision that it is asked for", "[conv2d]") {
  for_each_case(1, [](Random& random) {
    Convolution c(random, {.N = 2, .C = 64, .H = 8, .W = 8, .K = 64, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1});
    for (const Subject& subject : cuda_alone()) {
      c.s.precision = Precision::high;
      CHECK(c.error_of(c.by(subject, random)) > 0x1p-16);
      c.s.precision = Precision::medium;
      CHECK(c.error_of(c.by(subject, random)) > 0x1p-13);
    }
  });
}

/// As plain sums have it: neither splits an infinity into two that make NaN, nor multiplies it by what is not there.
TEST_CASE("conv2d by tensor cores with infinities, NaN, and numbers at the ends of their range", "[conv2d]") {
  for_each_case(8, [](Random& random) {
    Convolution c(random, random_wide_conv2d(random));
    c.s.precision = random.pick({Precision::highest, Precision::high, Precision::medium});
    CAPTURE(c.s);
    if (random.chance(0.2)) {
      c.x[0] = std::numeric_limits<float>::max();
    } else {
      random.spoil(c.x, 0.001);
      if (random.chance(0.5)) random.spoil(c.w, 0.001);
      if (random.chance(0.5)) random.spoil(c.dy, 0.001);
    }
    const auto want = c.exact(false);
    for (const Subject& subject : cuda_alone()) {
      const std::vector<Output> got = c.by(subject, random);
      for (std::size_t i = 0; i < want.size(); ++i) {
        int wrong = 0;
        for (std::size_t j = 0; j < want[i].size(); ++j) {
          const auto expected = static_cast<float>(want[i][j]), is = static_cast<float>(got[i].values[j]);
          if (std::isfinite(expected)) continue;
          wrong += std::isnan(expected) ? !std::isnan(is) : is != expected;
        }
        INFO("output " << i);
        CHECK(wrong == 0);
      }
    }
  });
}

}  // namespace
}  // namespace tern::test
