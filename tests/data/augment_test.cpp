#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/data/augment.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cmath>
#include <map>
#include <set>
#include <tuple>
#include <vector>

using namespace tern;

namespace {

Tensor images(test::Random& random, std::int64_t n, std::int64_t C, std::int64_t H, std::int64_t W) {
  return tensor(random.between<float>(n * C * H * W, 0, 1)).reshape({n, C, H, W});
}

/// Position i of a side of n, reflected as often as it takes.
std::int64_t mirror(std::int64_t i, std::int64_t n) {
  while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
  return i;
}

/// x [C, H, W] flipped and moved, pixel by pixel.
std::vector<float> moved(const Tensor& x, bool flip, std::int64_t down, std::int64_t right) {
  const std::int64_t C = x.size(0), H = x.size(1), W = x.size(2);
  const auto v = x.to_vector<float>();
  std::vector<float> y;
  for (std::int64_t c = 0; c < C; ++c) {
    for (std::int64_t h = 0; h < H; ++h) {
      for (std::int64_t w = 0; w < W; ++w) {
        const std::int64_t column = mirror(w - right, W);
        const std::int64_t at = (c * H + mirror(h - down, H)) * W + (flip ? W - 1 - column : column);
        y.push_back(v[static_cast<std::size_t>(at)]);
      }
    }
  }
  return y;
}

}  // namespace

TEST_CASE("random_flip_and_shift gives each image flipped or not and moved, all ways alike often") {
  test::for_each_case(3, [](test::Random& random) {
    const std::int64_t shift = random.integer(1, 2), C = random.integer(1, 3), H = random.integer(4, 6),
                       W = random.integer(4, 6), n = 600;
    const Tensor x = images(random, n, C, H, W);
    Generator generator(test::base_seed());
    const Tensor y = random_flip_and_shift(x, shift, generator);
    REQUIRE(y.shape() == x.shape());
    std::map<std::tuple<bool, std::int64_t, std::int64_t>, int> seen;
    for (std::int64_t i = 0; i < n; ++i) {
      const auto got = y[i].to_vector<float>();
      int ways = 0;
      for (const bool flip : {false, true}) {
        for (std::int64_t down = -shift; down <= shift; ++down) {
          for (std::int64_t right = -shift; right <= shift; ++right) {
            if (got != moved(x[i], flip, down, right)) continue;
            ++ways;
            ++seen[{flip, down, right}];
          }
        }
      }
      REQUIRE(ways == 1);
    }
    const auto kinds = static_cast<double>(2 * (2 * shift + 1) * (2 * shift + 1));
    CHECK(static_cast<double>(seen.size()) == kinds);
    const double mean = n / kinds;
    for (const auto& [way, times] : seen) CHECK(std::abs(times - mean) < 6 * std::sqrt(mean));
  });
}

TEST_CASE("random_flip_and_shift follows the generator") {
  test::Random random(test::base_seed(), 0);
  const Tensor x = images(random, 20, 3, 8, 8);
  Generator a(7), b(7), fresh(7);
  CHECK(random_flip_and_shift(x, 2, a).to_vector<float>() == random_flip_and_shift(x, 2, b).to_vector<float>());
  CHECK(a.state().offset == b.state().offset);
  CHECK(a.state().offset > 0);
  CHECK(random_flip_and_shift(x, 2, a).to_vector<float>() != random_flip_and_shift(x, 2, fresh).to_vector<float>());
}

TEST_CASE("random_flip_and_shift says what it cannot take") {
  CHECK_THROWS_WITH(random_flip_and_shift(zeros({3, 8, 8}), 1),
                    "random_flip_and_shift: got [3, 8, 8], expected float32 [N, C, H, W] on the cpu");
  CHECK_THROWS_WITH(random_flip_and_shift(zeros({1, 3, 8, 6}), 6),
                    "random_flip_and_shift: shift 6 of images of 8 x 6, expected 0 to 5");
  CHECK_THROWS_AS(random_flip_and_shift(zeros({1, 3, 8, 6}), -1), Error);
}

TEST_CASE("random_cutout_ greys a square whose centre is any pixel, and nothing else") {
  test::for_each_case(4, [](test::Random& random) {
    const std::int64_t n = 400, C = random.integer(1, 3), H = random.integer(3, 6), W = random.integer(3, 6),
                       size = random.integer(0, 5);
    const Tensor x = images(random, n, C, H, W), y = x.clone();
    Generator generator(test::base_seed());
    random_cutout_(y, size, 2, generator);
    std::set<std::vector<float>> expected, seen;  // of where the grey may be
    for (std::int64_t row = 0; row < H; ++row) {
      for (std::int64_t column = 0; column < W; ++column) {
        std::vector<float> mask;
        for (std::int64_t h = 0; h < H; ++h) {
          for (std::int64_t w = 0; w < W; ++w) {
            const std::int64_t top = row - size / 2, left = column - size / 2;
            mask.push_back(top <= h && h < top + size && left <= w && w < left + size);
          }
        }
        expected.insert(mask);
      }
    }
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t c = 0; c < C; ++c) {
        const auto before = x[i][c].to_vector<float>(), after = y[i][c].to_vector<float>();
        std::vector<float> mask;
        for (std::size_t p = 0; p < after.size(); ++p) {
          mask.push_back(after[p] == 2);
          if (after[p] != 2) REQUIRE(after[p] == before[p]);
        }
        REQUIRE(expected.contains(mask));
        seen.insert(mask);
      }
    }
    CHECK(seen == expected);
  });
  CHECK_THROWS_AS(random_cutout_(zeros({3, 8, 8}), 1, 0), Error);
  CHECK_THROWS_AS(random_cutout_(zeros({1, 3, 8, 8}), -1, 0), Error);
  for (const double value : {NAN + 0.0, HUGE_VAL, 1e39})
    CHECK_THROWS_AS(random_cutout_(zeros({1, 3, 8, 8}), 1, value), Error);
}

TEST_CASE("channel_statistics are the mean and deviation of each channel") {
  test::for_each_case(5, [](test::Random& random) {
    const std::int64_t n = random.integer(1, 20), C = random.integer(1, 4), H = random.integer(1, 8);
    const Tensor bytes = (images(random, n, C, H, 5) * 255).to(DType::uint8);
    const ChannelStatistics s = channel_statistics(bytes);
    REQUIRE(s.mean.shape() == Shape{C});
    const Tensor x = bytes.to(DType::float64) / 255;
    for (std::int64_t c = 0; c < C; ++c) {
      const Tensor one = x.narrow(1, c, 1).contiguous();
      const double mean = one.mean().item(), deviation = std::sqrt((one - mean).pow(2).mean().item());
      CHECK(s.mean[c].item() == Approx(mean).margin(1e-6));
      CHECK(s.std[c].item() == Approx(deviation).margin(1e-6));
    }
  });
  CHECK_THROWS_AS(channel_statistics(zeros({1, 3, 2, 2})), Error);
  CHECK_THROWS_AS(channel_statistics(zeros({0, 3, 2, 2}, {.dtype = DType::uint8})), Error);
}
