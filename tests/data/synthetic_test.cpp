#include <tern/data/md5.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/kernels/error.hpp>

#include <random.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr std::size_t bytes = 3 * 32 * 32;

/// How many of the images are nearer, in mean colour, to the mean of their own class than to the other's.
int told_by_colour(const tern::TensorDataset& dataset) {
  const auto n = static_cast<std::size_t>(dataset.size());
  const auto* image = dataset.inputs().data<std::uint8_t>();
  using Colour = std::array<double, 3>;
  std::vector<Colour> mean(n);
  std::array<Colour, 2> centre{};
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < bytes; ++j) mean[i][j / 1024] += image[i * bytes + j] / 1024.0;
    for (std::size_t c = 0; c < 3; ++c) centre[i % 2][c] += mean[i][c] / (static_cast<double>(n) / 2);
  }
  const auto distance2 = [](const Colour& a, const Colour& b) {
    double sum = 0;
    for (std::size_t c = 0; c < 3; ++c) sum += (a[c] - b[c]) * (a[c] - b[c]);
    return sum;
  };
  int right = 0;
  for (std::size_t i = 0; i < n; ++i) {
    right += distance2(mean[i], centre[i % 2]) < distance2(mean[i], centre[1 - i % 2]);
  }
  return right;
}

}  // namespace

TEST_CASE("Drawn images depend on the seed and their number alone") {
  const std::uint64_t seed = tern::test::base_seed();
  const auto few = tern::synthetic_birds_and_planes(10, seed), many = tern::synthetic_birds_and_planes(40, seed);
  CHECK(few.inputs().to_vector<std::uint8_t>() == many.inputs().narrow(0, 0, 10).to_vector<std::uint8_t>());

  std::set<std::string> seen;
  const auto other = tern::synthetic_birds_and_planes(40, seed + 1);
  for (std::int64_t i = 0; i < 40; ++i) {
    seen.insert(tern::md5(many.inputs()[i].to_vector<std::uint8_t>()));
    seen.insert(tern::md5(other.inputs()[i].to_vector<std::uint8_t>()));
    CHECK(many.targets()[i].item<std::int64_t>() == i % 2);
  }
  CHECK(seen.size() == 80);
  CHECK(many.inputs().shape() == tern::Shape{40, 3, 32, 32});
  CHECK(tern::synthetic_birds_and_planes(0).size() == 0);
  CHECK_THROWS_AS(tern::synthetic_birds_and_planes(-1), tern::Error);
}

TEST_CASE("Drawn birds and planes are not told apart by their mean colour") {
  const int n = 1000, right = told_by_colour(tern::synthetic_birds_and_planes(n, tern::test::base_seed()));
  INFO(right << " of " << n);
  CHECK(right < 0.8 * n);
}
