#include "check.hpp"
#include "shapes.hpp"

#include <unary_cases.hpp>

#include <hwy/targets.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace tern::test {

namespace {

/// Calls f once for each of the instruction sets that this machine has, with the kernels held to it.
template <class F>
void for_each_target(F f) {
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    INFO("on " << hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    f();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

/// Floats with memory that may not be touched right behind the last or right before the first.
class Guarded {
 public:
  Guarded(const std::vector<float>& values, bool behind)
      : bytes_(values.size() * sizeof(float)), page_(static_cast<std::size_t>(getpagesize())) {
    const std::size_t inner = (bytes_ + page_ - 1) / page_ * page_;
    mapped_ = inner + 2 * page_;
    pages_ = static_cast<std::byte*>(mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(mprotect(pages_ + page_, inner, PROT_READ | PROT_WRITE) == 0);
    data_ = reinterpret_cast<float*>(pages_ + page_ + (behind ? inner - bytes_ : 0));
    std::copy(values.begin(), values.end(), data_);
  }
  ~Guarded() { munmap(pages_, mapped_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  float* data() const { return data_; }
  std::vector<float> values() const { return {data_, data_ + bytes_ / sizeof(float)}; }

 private:
  std::size_t bytes_, page_, mapped_;
  std::byte* pages_;
  float* data_;
};

float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

TEST_CASE("tanh is good to 3 ulp over all floats, on every instruction set", "[cpu]") {
  std::vector<float> x;
  const std::uint32_t start = static_cast<std::uint32_t>(base_seed() % 1000);
  for (std::uint32_t bits = start; bits < 0x7f800000; bits += 3001) x.push_back(from_bits(bits));
  for (const float v : {0.0f, 1e-45f, 9.0f, 9.02f, 10.0f, 3e38f, INFINITY}) x.push_back(v);
  std::vector<float> y(x.size()), minus(x);
  for (float& v : minus) v = -v;
  for_each_target([&] {
    cpu_backend().floating(float{}).unary({UnaryOp::tanh}, x.size(), x.data(), y.data());
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = std::tanh(double{x[i]});
      const float near = static_cast<float>(want);
      worst = std::max(worst, std::abs(y[i] - want) / (std::nextafter(near, 2.0f) - double{near}));
    }
    CHECK(worst < 3);
    std::vector<float> mirrored(x.size());
    cpu_backend().floating(float{}).unary({UnaryOp::tanh}, x.size(), minus.data(), mirrored.data());
    std::size_t odd = 0;
    for (std::size_t i = 0; i < x.size(); ++i) odd += mirrored[i] == -y[i] && std::signbit(mirrored[i]);
    CHECK(odd == x.size());
    float nan = NAN;
    cpu_backend().floating(float{}).unary({UnaryOp::tanh}, 1, &nan, &nan);
    CHECK(std::isnan(nan));
  });
}

TEST_CASE("convolutions touch nothing outside of their arrays, on every instruction set", "[cpu]") {
  for_each_target([] {
    for_each_case(12, [](Random& random) {
      Conv2dShape c{.N = random.integer(1, 5), .R = 3, .S = 3};
      c.precision = random.pick({Precision::highest, Precision::high});
      c.C = random.integer(2, 12);
      c.K = random.integer(4, 12);
      c.pad_h = random.integer(0, 2);
      c.pad_w = random.chance(0.2) ? random.integer(3, 12) : random.integer(0, 2);
      c.H = random.chance(0.5) ? 4 * random.integer(1, 5) : random.integer(3, 20);
      c.W = random.chance(0.5) ? 16 * random.integer(1, 3) : random.integer(3, 40);
      const bool behind = random.chance(0.5);
      CAPTURE(c, behind);
      const int64_t nx = c.N * c.C * c.H * c.W, ny = c.N * c.K * c.P() * c.Q(), nw = c.K * c.C * 9;
      const auto x = random.values<float>(nx), w = random.values<float>(nw), b = random.values<float>(c.K),
                 dy = random.values<float>(ny);
      const Guarded gx(x, behind), gw(w, behind), gb(b, behind), gdy(dy, behind), gy(dy, behind), gdx(x, behind),
          gdw(w, behind), gdb(b, behind);
      std::vector<float> y(ny), dx(nx), dw(nw), db(c.K);
      auto& kernels = cpu_backend().floating(float{});
      kernels.conv2d(c, gx.data(), gw.data(), gb.data(), gy.data());
      kernels.conv2d(c, x.data(), w.data(), b.data(), y.data());
      CHECK(gy.values() == y);
      kernels.conv2d_backward_input(c, gw.data(), gdy.data(), gdx.data());
      kernels.conv2d_backward_input(c, w.data(), dy.data(), dx.data());
      CHECK(gdx.values() == dx);
      kernels.conv2d_backward_weight(c, gx.data(), gdy.data(), gdw.data(), gdb.data());
      kernels.conv2d_backward_weight(c, x.data(), dy.data(), dw.data(), db.data());
      CHECK(gdw.values() == dw);
      CHECK(gdb.values() == db);

      const Conv2dMaxPool2dShape s{c, 2, random.integer(1, std::min<int64_t>(3, c.Q())), Activation::tanh};
      if (c.P() < 2) return;
      const int64_t windows = c.N * c.K * s.P() * s.Q();
      const auto slope = random.values<float>(windows);
      const Guarded gpooled(slope, behind), gslope(slope, behind);
      std::vector<float> pooled(windows);
      std::vector<uint8_t> picked(windows), gpicked(windows);
      kernels.conv2d_max_pool2d(s, gx.data(), gw.data(), gb.data(), gpooled.data(), gpicked.data());
      kernels.conv2d_max_pool2d(s, x.data(), w.data(), b.data(), pooled.data(), picked.data());
      CHECK(gpooled.values() == pooled);
      CHECK(gpicked == picked);
      kernels.conv2d_max_pool2d_backward(s, gx.data(), gw.data(), gpooled.data(), picked.data(), gslope.data(),
                                         gdx.data(), gdw.data(), gdb.data());
      kernels.conv2d_max_pool2d_backward(s, x.data(), w.data(), pooled.data(), picked.data(), slope.data(), dx.data(),
                                         dw.data(), db.data());
      CHECK(gdx.values() == dx);
      CHECK(gdw.values() == dw);
      CHECK(gdb.values() == db);
    });
  });
}

TEST_CASE("floats that two by two are too large have a sum, on every instruction set", "[cpu]") {
  for_each_target([] {
    for_each_case(20, [](Random& random) {
      std::vector<float> x(static_cast<std::size_t>(random.integer(1, 300)));
      for (float& v : x) v = random.chance(0.5) ? 3e38F : -3e38F;
      if (random.chance(0.3)) random.spoil(x, 0.01);
      check_close<float>(
          random, whole_or_one,
          [&](auto& run) { run.array().reduce({ReduceOp::sum}, {.n = std::ssize(x)}, run.in(x), run.out("y", {1})); },
          cpu_alone());
    });
  });
}

TEST_CASE("every instruction set is as the reference", "[cpu]") {
  for_each_target([] {
    for_each_case(25, [](Random& random) {
      Conv2dShape c;
      c.groups = random.pick<std::int64_t>({1, 1, 2});
      c.N = random.integer(1, 4);
      c.C = c.groups * random.integer(1, 5);
      c.K = c.groups * random.integer(1, 11);
      c.R = random.integer(1, 3);
      c.S = random.integer(1, 3);
      c.stride_h = random.integer(1, 2);
      c.stride_w = random.integer(1, 2);
      c.pad_h = random.integer(0, 2);
      c.pad_w = random.integer(0, 2);
      c.dilation_w = random.integer(1, 2);
      c.H = random.integer(5, 20);
      c.W = random.integer(5, 40);
      if (random.chance(0.3)) {  // as Winograd's algorithm takes them
        c.C = c.groups * random.integer(2, 20);
        c.R = c.S = 3;
        c.stride_h = c.stride_w = c.dilation_w = 1;
        c.pad_h = random.integer(0, 1);
        c.pad_w = random.chance(0.3) ? random.integer(2, 12) : 1;
        c.K = c.groups * random.integer(4, random.pick({20, 40}));
        c.H = random.chance(0.5) ? 4 * random.integer(1, 5) : random.integer(4, 18);
        c.W = random.chance(0.5) ? 16 * random.integer(1, 3) : random.integer(4, 40);
      }
      CAPTURE(c);
      const auto x = random.values<float>(c.N * c.C * c.H * c.W), b = random.values<float>(c.K);
      const auto w = random.values<float>(c.K * c.C / c.groups * c.R * c.S);
      const auto dy = random.values<float>(c.N * c.K * c.P() * c.Q());
      check_close<float>(
          random, whole,
          [&](auto& run) {
            run.floating().conv2d(c, run.in(x), run.in(w), run.in(b), run.out("y", {c.N, c.K, c.P(), c.Q()}));
          },
          cpu_alone());
      check_close<float>(
          random, whole,
          [&](auto& run) {
            run.floating().conv2d_backward_input(c, run.in(w), run.in(dy), run.out("dx", {c.N, c.C, c.H, c.W}));
          },
          cpu_alone());
      check_close<float>(
          random, whole_or_one,
          [&](auto& run) {
            run.floating().conv2d_backward_weight(c, run.in(x), run.in(dy),
                                                  run.out("dw", {c.K, c.C / c.groups, c.R, c.S}), run.out("db", {c.K}));
          },
          cpu_alone());

      const Conv2dMaxPool2dShape pooled{c, std::min<int64_t>(2, c.P()), std::min<int64_t>(2, c.Q())};
      std::vector<float> z(c.N * c.K * c.P() * c.Q()), apart(c.N * c.K * pooled.P() * pooled.Q()), fused(apart);
      std::vector<std::int64_t> indices(apart.size());
      std::vector<uint8_t> picked(apart.size());
      auto& kernels = cpu_backend().floating(float{});
      kernels.conv2d(c, x.data(), w.data(), b.data(), z.data());
      kernels.max_pool2d({c.N, c.K, c.P(), c.Q(), pooled.R, pooled.S, pooled.R, pooled.S}, z.data(), apart.data(),
                         indices.data());
      kernels.conv2d_max_pool2d(pooled, x.data(), w.data(), b.data(), fused.data(), picked.data());
      CHECK(fused == apart);
      std::size_t same = 0;
      for (std::size_t i = 0; i < indices.size(); ++i) {
        const std::int64_t h = indices[i] / c.Q(), at = indices[i] % c.Q();
        same += picked[i] == h % pooled.R * pooled.S + at % pooled.S;
      }
      CHECK(same == indices.size());

      auto special = random.values<float>(c.N * c.C * c.H * c.W);
      random.spoil(special);
      const std::int64_t n = static_cast<std::int64_t>(special.size());
      for (const UnaryCase& unary : unary_cases()) {
        std::vector<float> want(n), got(n, 7);
        reference_backend().floating(float{}).unary(unary.kernel, n, special.data(), want.data());
        cpu_backend().floating(float{}).unary(unary.kernel, n, special.data(), got.data());
        const auto agree = [](float ours, float theirs) {
          return std::isfinite(theirs) ? std::abs(ours - theirs) <= 1e-6 * std::abs(theirs) + 1e-7
                                       : std::isnan(theirs) == std::isnan(ours) && !std::isfinite(ours);
        };
        const auto i = std::ranges::mismatch(got, want, agree).in1 - got.begin();
        if (i < n) FAIL_CHECK(unary.name << "(" << special[i] << "), element " << i << ": " << got[i]);
      }
      Pool2dShape p{.N = c.N, .C = c.C, .H = c.H, .W = c.W, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
      for (const bool plain : {true, false}) {
        if (!plain) {
          p.R = random.integer(1, std::min<std::int64_t>(3, p.H));
          p.S = random.integer(1, std::min<std::int64_t>(3, p.W));
          p.stride_w = random.integer(1, 2);
          p.pad_h = random.integer(0, p.R / 2);
          p.pad_w = random.integer(0, p.S / 2);
        }
        CAPTURE(p);
        std::vector<std::int64_t> at(p.N * p.C * p.P() * p.Q()), want_at(at);
        std::vector<float> y(at.size(), 7), want(at.size()), dx(n, 7), want_dx(n);
        cpu_backend().floating(float{}).max_pool2d(p, special.data(), y.data(), at.data());
        reference_backend().floating(float{}).max_pool2d(p, special.data(), want.data(), want_at.data());
        CHECK(at == want_at);
        if (!plain) continue;
        cpu_backend().floating(float{}).max_pool2d_backward(p, at.data(), x.data(), dx.data());
        reference_backend().floating(float{}).max_pool2d_backward(p, at.data(), x.data(), want_dx.data());
        CHECK(dx == want_dx);
      }
    });
  });
}

}  // namespace tern::test
