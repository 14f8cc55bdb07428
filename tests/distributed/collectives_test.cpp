#include <tern/core/ops.hpp>
#include <tern/distributed/distributed.hpp>

#include <ranks.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

using namespace tern;
using namespace tern::distributed;
using Catch::Matchers::Contains;
using tern::test::for_each_case;
using tern::test::Random;
using tern::test::same_bits;
using tern::test::values_of;

namespace {

Shape any_shape(Random& random) {
  if (random.chance(0.2)) return Shape{};
  Shape shape{random.length()};
  if (random.chance(0.3)) shape.push_back(random.integer(0, 5));
  return shape;
}

/// all_reduce of rank r's values_of(r, stream, shape) beside the same in double.
template <class T>
void check_all_reduce(ReduceOp op, std::uint64_t stream, const Shape& shape) {
  const Tensor x = values_of<T>(rank(), stream, shape);
  std::vector<double> expected, size;  // and how large an error may be
  for (int r = 0; r < world_size(); ++r) {
    const std::vector<double> v = values_of<T>(r, stream, shape).template to_vector<double>();
    if (r == 0) {
      expected = v;
      size.assign(v.size(), 0);
    }
    for (std::size_t i = 0; i < v.size(); ++i) {
      size[i] += std::abs(v[i]);
      if (r == 0) continue;
      if (op == ReduceOp::sum || op == ReduceOp::avg) expected[i] += v[i];
      if (op == ReduceOp::min) expected[i] = std::min(expected[i], v[i]);
      if (op == ReduceOp::max) expected[i] = std::max(expected[i], v[i]);
      if (op == ReduceOp::product) expected[i] *= v[i];
    }
  }
  const std::uint32_t version = x.storage()->version();
  all_reduce(x, op);
  if (world_size() > 1) CHECK(x.storage()->version() > version);
  const std::vector<double> got = x.to_vector<double>();
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (op == ReduceOp::avg) expected[i] /= world_size();
    INFO("element " << i << ", op " << static_cast<int>(op));
    if constexpr (std::is_same_v<T, std::uint8_t>) {
      REQUIRE(got[i] == static_cast<double>(static_cast<std::uint8_t>(static_cast<std::int64_t>(expected[i]))));
    } else if constexpr (std::is_same_v<T, std::int64_t>) {
      REQUIRE(got[i] == expected[i]);
    } else {
      const double eps = std::is_same_v<T, float> ? 1.2e-7 : 2.3e-16;
      const double scale = op == ReduceOp::product ? std::abs(expected[i]) : size[i];
      REQUIRE(std::abs(got[i] - expected[i]) <= 4 * eps * scale);
    }
  }
  for (const Tensor& other : all_gather(x)) CHECK(same_bits(other, x));
}

}  // namespace

TEST_CASE("all_reduce is what double sums say, on every rank alike") {
  for_each_case(25, [](Random& random) {
    const Shape shape = any_shape(random);
    const auto stream = static_cast<std::uint64_t>(random.integer(0, 1'000'000));
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::min, ReduceOp::max, ReduceOp::product}) {
      check_all_reduce<float>(op, stream, shape);
      check_all_reduce<double>(op, stream, shape);
      check_all_reduce<std::int64_t>(op, stream, shape);
      check_all_reduce<std::uint8_t>(op, stream, shape);
    }
    check_all_reduce<float>(ReduceOp::avg, stream, shape);
    check_all_reduce<double>(ReduceOp::avg, stream, shape);
  });
}

TEST_CASE("sums are along a tree of the ranks") {
  // In float32 2^24 + 1 is 2^24, but 1 - 2^24 is exact: which sum is formed first shows.
  const std::vector<float> of_rank{16777216, 1, 1, -16777216};
  const float expected[] = {16777216, 16777216, 16777216, 1};
  const int n = world_size();
  const Tensor x = tensor({of_rank[static_cast<std::size_t>(rank() % 4)]});
  all_reduce(x);
  if (n <= 4) CHECK(x.item<float>() == expected[n - 1]);
}

TEST_CASE("non-finite numbers go through") {
  const float infinity = std::numeric_limits<float>::infinity();
  const Tensor x = tensor({rank() == world_size() - 1 ? std::nanf("") : 1.0F, rank() == 0 ? infinity : 0.0F});
  all_reduce(x);
  CHECK(std::isnan(x.to_vector<float>()[0]));
  CHECK(x.to_vector<float>()[1] == infinity);
}

TEST_CASE("broadcast and all_gather bring what the rank has") {
  for_each_case(15, [](Random& random) {
    const Shape shape = any_shape(random);
    const auto stream = static_cast<std::uint64_t>(random.integer(0, 1'000'000));
    const int root = static_cast<int>(random.integer(0, world_size() - 1));
    const Tensor x = values_of<float>(rank(), stream, shape);
    const std::vector<Tensor> all = all_gather(x);
    REQUIRE(std::ssize(all) == world_size());
    for (int r = 0; r < world_size(); ++r) {
      CHECK(same_bits(all[static_cast<std::size_t>(r)], values_of<float>(r, stream, shape)));
    }
    CHECK(same_bits(x, values_of<float>(rank(), stream, shape)));
    broadcast(x, root);
    CHECK(same_bits(x, values_of<float>(root, stream, shape)));

    // A view in the middle of an array, whose other elements stay as they are.
    const Tensor array = values_of<std::int64_t>(rank(), stream, {5, 7}), before = array.clone();
    broadcast(array.narrow(0, 2, 2), root);
    CHECK(same_bits(array.narrow(0, 2, 2), values_of<std::int64_t>(root, stream, {5, 7}).narrow(0, 2, 2)));
    CHECK(same_bits(array.narrow(0, 0, 2), before.narrow(0, 0, 2)));
    CHECK(same_bits(array.narrow(0, 4, 1), before.narrow(0, 4, 1)));
  });
}

TEST_CASE("all_gather_object brings bytes of any length") {
  const auto of = [](int r) {
    return std::string(static_cast<std::size_t>(r * 1000), static_cast<char>('a' + r)) + '\0';
  };
  const std::vector<std::string> all = all_gather_object(of(rank()));
  REQUIRE(std::ssize(all) == world_size());
  for (int r = 0; r < world_size(); ++r) CHECK(all[static_cast<std::size_t>(r)] == of(r));
}

TEST_CASE("several collectives may be under way, and are waited for in any order") {
  constexpr int count = 20;
  std::vector<Tensor> xs;
  std::vector<Work> works;
  for (int i = 0; i < count; ++i) {
    xs.push_back(values_of<double>(rank(), 7000 + static_cast<std::uint64_t>(i), {i * i * 100}));
    works.push_back(all_reduce_async(xs.back()));
  }
  barrier();
  for (int i = count - 1; i >= 0; --i) works[static_cast<std::size_t>(i)].wait();
  for (int i = 0; i < count; ++i) {
    std::vector<double> sum(static_cast<std::size_t>(i * i * 100));
    for (int r = 0; r < world_size(); ++r) {
      const auto v = values_of<double>(r, 7000 + static_cast<std::uint64_t>(i), {i * i * 100}).to_vector<double>();
      for (std::size_t k = 0; k < v.size(); ++k) sum[k] += v[k];
    }
    const auto got = xs[static_cast<std::size_t>(i)].to_vector<double>();
    for (std::size_t k = 0; k < sum.size(); ++k) REQUIRE(std::abs(got[k] - sum[k]) <= 1e-14);
    CHECK(works[static_cast<std::size_t>(i)].is_completed());
  }
}

TEST_CASE("check_same names what differs") {
  check_same({{"seed", "1"}, {"data", "CIFAR-10"}});
  if (world_size() == 1) return;
  CHECK_THROWS_WITH(check_same({{"data", "CIFAR-10"}, {"seed", rank() == 1 ? "2" : "1"}}),
                    "check_same: seed is 2 on rank 1 and 1 on rank 0, expected the same on every rank");
  std::map<std::string, std::string> settings{{"seed", "1"}};
  if (rank() == 1) settings["width"] = "32";
  CHECK_THROWS_WITH(check_same(settings),
                    "check_same: width is 32 on rank 1 and absent on rank 0, expected the same on every rank");
}

TEST_CASE("what cannot be sent is refused before anything is") {
  CHECK_THROWS_WITH(all_reduce({}), Contains("all_reduce: x is undefined"));
  CHECK_THROWS_WITH(all_reduce(zeros({2, 3}).t()), Contains("not contiguous"));
  CHECK_THROWS_WITH(all_reduce(zeros({2}).set_requires_grad()), Contains("requires grad"));
  CHECK_THROWS_WITH(all_reduce(tensor({1, 2}), ReduceOp::avg), Contains("avg of int64"));
  CHECK_THROWS_WITH(broadcast(zeros({2}), world_size()), Contains("expected 0 to"));
  CHECK_THROWS_WITH(init(), Contains("called before"));
  barrier();
}
