#include "support.hpp"

#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>

#include <cmath>
#include <thread>

namespace tern::test {

namespace {

struct Moments {
  double mean = 0, variance = 0, skew = 0, kurtosis = 0, smallest = INFINITY, largest = -INFINITY;
};

Moments moments(const std::vector<double>& values) {
  Moments m;
  const double n = static_cast<double>(values.size());
  for (const double v : values) {
    m.mean += v / n;
    m.smallest = std::min(m.smallest, v);
    m.largest = std::max(m.largest, v);
  }
  for (const double v : values) m.variance += (v - m.mean) * (v - m.mean) / n;
  for (const double v : values) {
    m.skew += std::pow((v - m.mean) / std::sqrt(m.variance), 3) / n;
    m.kurtosis += std::pow((v - m.mean) / std::sqrt(m.variance), 4) / n;
  }
  return m;
}

bool same_state(kernels::PhiloxState a, kernels::PhiloxState b) { return a.seed == b.seed && a.offset == b.offset; }

}  // namespace

TEST_CASE("Philox gives the numbers of its authors", "[generator]") {
  // The first known answer of Random123 for philox4x32-10; with a 64-bit counter the others are out of reach.
  const kernels::PhiloxBlock zero = kernels::philox(0, 0);
  CHECK(zero.word[0] == 0x6627e8d5);
  CHECK(zero.word[1] == 0xe169c58d);
  CHECK(zero.word[2] == 0xbc57ac4c);
  CHECK(zero.word[3] == 0x9b00dbd8);
  for (std::uint64_t i = 0; i < 12; ++i) {
    CHECK(kernels::philox_bits({5, 7}, i) == kernels::philox(5, 7 + i / 4).word[i % 4]);
  }
}

TEST_CASE("equal states give equal numbers, on every device and in both dtypes", "[generator]") {
  for_each_case(20, [](Random& random) {
    const kernels::PhiloxState start{static_cast<std::uint64_t>(random.integer(0, 1'000'000)),
                                     static_cast<std::uint64_t>(random.integer(0, 1'000'000))};
    const Shape shape = random_shape(random, 0, 3, 6);
    for (const auto draw : {rand, randn}) {
      Generator generator;
      const auto from_start = [&](DType dtype, Device device) {
        generator.set_state(start);
        return draw(shape, {.dtype = dtype, .device = device}, generator);
      };
      const Tensor want = from_start(DType::float64, Device::reference);
      const kernels::PhiloxState end = generator.state();
      CHECK(end.seed == start.seed);
      CHECK(end.offset > start.offset);
      for (const Device device : devices()) {
        const Tensor got = from_start(DType::float64, device);
        CHECK(got.device() == device);
        CHECK(got.to_vector<double>() == want.to_vector<double>());
        CHECK(same_state(generator.state(), end));
        CHECK(from_start(DType::float32, device).to_vector<float>() ==
              from_start(DType::float32, Device::reference).to_vector<float>());
        CHECK(same_state(generator.state(), end));
      }
      // Going on from the end gives other numbers.
      CHECK(draw(shape, {.dtype = DType::float64}, generator).to_vector<double>() != want.to_vector<double>());
    }
  });
}

TEST_CASE("seeds, and the default generator", "[generator]") {
  Generator a(1), b(2), c(1);
  const std::vector<float> first = rand({8}, {}, a).to_vector<float>();
  CHECK(first != rand({8}, {}, b).to_vector<float>());
  CHECK(first == rand({8}, {}, c).to_vector<float>());
  b.manual_seed(1);
  CHECK(first == rand({8}, {}, b).to_vector<float>());
  const kernels::PhiloxState before = default_generator().state();
  manual_seed(1);
  CHECK(first == rand({8}).to_vector<float>());
  CHECK(first != rand({8}).to_vector<float>());
  default_generator().set_state(before);
}

TEST_CASE("advance reserves whole blocks", "[generator]") {
  Generator generator(3);
  CHECK(generator.advance(0).offset == 0);
  CHECK(generator.advance(1).offset == 0);
  CHECK(generator.advance(4).offset == 1);
  CHECK(generator.advance(5).offset == 2);
  CHECK(generator.state().offset == 4);
}

TEST_CASE("below is uniform", "[generator]") {
  Generator generator(7);
  for (const std::uint64_t bound : {2, 3, 10, 100}) {
    constexpr int per_value = 1000;
    std::vector<double> count(bound);
    for (std::uint64_t i = 0; i < bound * per_value; ++i) count.at(generator.below(bound)) += 1;
    double chi_square = 0;
    for (const double n : count) chi_square += (n - per_value) * (n - per_value) / per_value;
    // Its mean is bound - 1 and its variance twice that; this is five deviations off.
    const double freedom = static_cast<double>(bound - 1);
    CHECK(chi_square < freedom + 5 * std::sqrt(2 * freedom));
  }
  for (int i = 0; i < 10; ++i) CHECK(generator.below(1) == 0);
  // Taking the remainder of 64 bits would fall below 2^62 three times out of five here... without bias it is two in
  // three.
  const std::uint64_t bound = 3 * (std::uint64_t{1} << 61);
  int low = 0;
  for (int i = 0; i < 3000; ++i) low += generator.below(bound) < (std::uint64_t{1} << 62);
  CHECK(std::abs(low - 2000) < 130);
  CHECK(message_of([&] { generator.below(0); }) == "below: bound 0, expected at least 1");
}

TEST_CASE("randperm is a permutation, each as likely", "[generator]") {
  Generator generator(11);
  for (const std::int64_t n : {0, 1, 2, 5, 1000}) {
    std::vector<std::int64_t> order = randperm(n, generator).to_vector<std::int64_t>();
    if (n == 1000) CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
    std::sort(order.begin(), order.end());
    CHECK(order == arange(n).to_vector<std::int64_t>());
  }
  double count[6] = {};
  for (int i = 0; i < 6000; ++i) {
    const std::vector<std::int64_t> p = randperm(3, generator).to_vector<std::int64_t>();
    count[p[0] * 2 + (p[1] > p[2])] += 1;
  }
  double chi_square = 0;
  for (const double n : count) chi_square += (n - 1000) * (n - 1000) / 1000;
  CHECK(chi_square < 5 + 5 * std::sqrt(10));
  Generator again(11), other(12);
  generator.manual_seed(11);
  CHECK(randperm(50, generator).to_vector<double>() == randperm(50, again).to_vector<double>());
  CHECK(randperm(50, generator).to_vector<double>() != randperm(50, other).to_vector<double>());
  CHECK(message_of([] { randperm(-1); }) == "randperm: -1 elements, expected 0 or more");
}

TEST_CASE("rand and uniform_", "[generator]") {
  Generator generator(13);
  constexpr std::int64_t n = 40'000;
  for (const DType dtype : {DType::float32, DType::float64}) {
    const Moments m = moments(rand({n}, {.dtype = dtype}, generator).to_vector<double>());
    CHECK(std::abs(m.mean - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
    CHECK(std::abs(m.variance - 1.0 / 12) < 5 * std::sqrt(1.0 / 180 / n));
    CHECK(std::abs(m.kurtosis - 1.8) < 0.05);
    CHECK(m.smallest >= 0);
    CHECK(m.smallest < 0.001);
    CHECK(m.largest > 0.999);
    CHECK(m.largest < 1);
    const Tensor x = empty({n}, {.dtype = dtype});
    uniform_(x, -3, 5, generator);
    const Moments u = moments(x.to_vector<double>());
    CHECK(std::abs(u.mean - 1) < 5 * std::sqrt(64.0 / 12 / n));
    CHECK(u.smallest >= -3);
    CHECK(u.largest < 5);
  }
}

TEST_CASE("uniform numbers stay below the end of the interval, however they are rounded", "[generator]") {
  // The first word of this block begins with 25 ones: float32 has no number between it and 1.
  const kernels::PhiloxState state{0, 38471471};
  REQUIRE(kernels::philox_bits(state, 0) >= 0xffffff80);
  Generator generator;
  for (const Device device : devices()) {
    const TensorOptions options{.dtype = DType::float32, .device = device};
    generator.set_state(state);
    CHECK(rand({1}, options, generator).item() == 1 - 0x1p-24);
    const Tensor x = empty({1}, options);
    generator.set_state(state);
    uniform_(x, -2, -1, generator);
    CHECK(x.item() == -1 - 0x1p-23);
    generator.set_state(state);
    uniform_(x, 16, 17, generator);
    CHECK(x.item() == 17 - 0x1p-19);
    generator.set_state(state);
    uniform_(x, 3, 3, generator);
    CHECK(x.item() == 3);
  }
}

TEST_CASE("randn and normal_", "[generator]") {
  Generator generator(17);
  constexpr std::int64_t n = 40'001;
  for (const DType dtype : {DType::float32, DType::float64}) {
    const std::vector<double> values = randn({n}, {.dtype = dtype}, generator).to_vector<double>();
    const Moments m = moments(values);
    CHECK(std::abs(m.mean) < 5 / std::sqrt(n));
    CHECK(std::abs(m.variance - 1) < 5 * std::sqrt(2.0 / n));
    CHECK(std::abs(m.skew) < 5 * std::sqrt(6.0 / n));
    CHECK(std::abs(m.kurtosis - 3) < 5 * std::sqrt(24.0 / n));
    double together = 0;  // the two of a pair are independent
    for (std::size_t i = 0; i + 1 < values.size(); i += 2) together += values[i] * values[i + 1];
    CHECK(std::abs(together / (n / 2)) < 5 / std::sqrt(n / 2));
    const Tensor x = empty({n}, {.dtype = dtype});
    normal_(x, 3, 0.5, generator);
    const Moments shifted = moments(x.to_vector<double>());
    CHECK(std::abs(shifted.mean - 3) < 5 * 0.5 / std::sqrt(n));
    CHECK(std::abs(std::sqrt(shifted.variance) - 0.5) < 0.01);
  }
}

TEST_CASE("random fills of views, and what they refuse", "[generator]") {
  Generator generator(19);
  for (const Device device : devices()) {
    const Tensor x = zeros({3, 4}, {.device = device});
    const std::uint32_t version = x.storage()->version();
    uniform_(x.t().narrow(0, 1, 2), 1, 2, generator);
    const std::vector<double> values = x.to_vector<double>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      CHECK((i % 4 == 1 || i % 4 == 2 ? values[i] >= 1 && values[i] < 2 : values[i] == 0));
    }
    CHECK(x.storage()->version() > version);
  }
  const kernels::PhiloxState before = generator.state();
  CHECK(message_of([&] { uniform_(arange(3), 0, 1, generator); }) ==
        "uniform_: got int64, expected float32 or float64");
  CHECK(message_of([&] { normal_(arange(3), 0, 1, generator); }) == "normal_: got int64, expected float32 or float64");
  CHECK(message_of([&] { uniform_(zeros({3}), 1, 0, generator); }) ==
        "uniform_: from 1 to 0, expected the lower first, and neither they nor the way between beyond float32");
  CHECK(message_of([&] { rand({2}, {.dtype = DType::uint8}, generator); }) ==
        "uniform_: got uint8, expected float32 or float64");
  CHECK(same_state(generator.state(), before));
  CHECK(rand({2}, {.requires_grad = true}, generator).requires_grad());
  CHECK(randn({2}, {.requires_grad = true}, generator).is_leaf());
}

TEST_CASE("a guard makes another generator this thread's default, and no other thread's") {
  Generator& usual = default_generator();
  Generator a(1), b(2), as_a(1);
  {
    const GeneratorGuard outer(a);
    {
      const GeneratorGuard inner(b);
      CHECK(&default_generator() == &b);
      Generator* elsewhere = nullptr;
      std::thread([&] { elsewhere = &default_generator(); }).join();
      CHECK(elsewhere == &usual);
    }
    CHECK(&default_generator() == &a);
    CHECK(rand({5}).to_vector<float>() == rand({5}, {}, as_a).to_vector<float>());
  }
  CHECK(&default_generator() == &usual);
}

}  // namespace tern::test
