#include <tern/data/dataset.hpp>
#include <tern/kernels/error.hpp>

#include <random.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <vector>

using Catch::Matchers::Contains;
using tern::DType;
using tern::test::Random;

namespace {

tern::Tensor labels_up_to(std::int64_t n) { return tern::arange(n); }

}  // namespace

TEST_CASE("TensorDataset gathers rows in the order asked for, repeats included") {
  tern::test::for_each_case(30, [](Random& random) {
    const std::int64_t n = random.integer(1, 20), c = random.integer(1, 4), h = random.integer(1, 9);
    const std::vector<std::int64_t> indices = random.indices(random.integer(0, 40), n);

    const auto run = [&]<class T>(T) {
      const auto values = random.values<T>(n * c * h);
      const tern::TensorDataset dataset(tern::tensor(values).reshape({n, c, h}), labels_up_to(n));
      REQUIRE(dataset.size() == n);
      const auto [input, target] = dataset.get(indices);
      REQUIRE(input.shape() == tern::Shape{static_cast<std::int64_t>(indices.size()), c, h});
      REQUIRE(input.dtype() == tern::dtype_of<T>());
      std::vector<T> expected;
      for (const std::int64_t i : indices) {
        expected.insert(expected.end(), values.begin() + i * c * h, values.begin() + (i + 1) * c * h);
      }
      CHECK(input.to_vector<T>() == expected);
      CHECK(target.to_vector<std::int64_t>() == indices);
    };
    run(float{});
    run(double{});
  });
}

TEST_CASE("TensorDataset gives bytes as the floats nearest to x / 255") {
  std::vector<std::uint8_t> bytes(256);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  const tern::TensorDataset dataset(tern::tensor(bytes).reshape({1, 256}), tern::tensor<std::int64_t>({7}));
  const std::int64_t index = 0;
  const auto [input, target] = dataset.get({&index, 1});
  REQUIRE(input.dtype() == tern::DType::float32);
  const auto values = input.to_vector<float>();
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == static_cast<float>(static_cast<double>(i) / 255));
  CHECK(target.item<std::int64_t>() == 7);
}

TEST_CASE("TensorDataset takes targets of any dtype and shape, and whole numbers for inputs") {
  const tern::Tensor tokens = tern::arange(12).reshape({4, 3}),
                     numbers = tern::rand({4, 2, 2}, {.dtype = DType::float64});
  const std::vector<std::int64_t> indices = {3, 0, 3};
  const auto [input, target] = tern::TensorDataset(tokens, numbers).get(indices);
  CHECK(input.to_vector<std::int64_t>() == std::vector<std::int64_t>{9, 10, 11, 0, 1, 2, 9, 10, 11});
  REQUIRE(target.shape() == tern::Shape{3, 2, 2});
  REQUIRE(target.dtype() == DType::float64);
  const auto all = numbers.to_vector<double>(), got = target.to_vector<double>();
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == all[indices[i / 4] * 4 + i % 4]);

  const auto [images, masks] = tern::TensorDataset(tern::full({2, 1}, 255, {.dtype = DType::uint8}),
                                                   tern::full({2, 1}, 255, {.dtype = DType::uint8}))
                                   .get(std::vector<std::int64_t>{1});
  CHECK(images.item<float>() == 1);
  CHECK(masks.dtype() == DType::uint8);
  CHECK(masks.item<std::int64_t>() == 255);

  const tern::TensorDataset nothing(tern::ones({0, 3}), tern::ones({0, 2}));
  CHECK(nothing.size() == 0);
  CHECK(nothing.get({}).target.shape() == tern::Shape{0, 2});
}

TEST_CASE("A batch is the caller's own: writing into it changes no dataset") {
  const tern::TensorDataset dataset(tern::ones({3, 2}), labels_up_to(3));
  const std::vector<std::int64_t> all = {0, 1, 2};
  dataset.get(all).input.fill_(9);
  dataset.get(all).target.fill_(9);
  CHECK(dataset.get(all).input.to_vector<float>() == std::vector<float>(6, 1));
  CHECK(dataset.get(all).target.to_vector<std::int64_t>() == all);
}

TEST_CASE("TensorDataset takes views as they are seen") {
  const tern::Tensor x = tern::tensor<float>({0, 1, 2, 3, 4, 5}).reshape({2, 3}).t();
  const tern::TensorDataset dataset(x, labels_up_to(6).narrow(0, 3, 3));
  const std::vector<std::int64_t> indices = {2, 0};
  CHECK(dataset.get(indices).input.to_vector<float>() == std::vector<float>{2, 5, 0, 3});
  CHECK(dataset.get(indices).target.to_vector<std::int64_t>() == std::vector<std::int64_t>{5, 3});
}

TEST_CASE("ConcatDataset is one dataset after another, in any order of asking") {
  const tern::TensorDataset letters(tern::tensor({1.0, 2.0, 3.0}).reshape({3, 1}),
                                    tern::tensor(std::vector<std::int64_t>{10, 20, 30}));
  const tern::TensorDataset more(tern::tensor({4.0, 5.0}).reshape({2, 1}),
                                 tern::tensor(std::vector<std::int64_t>{40, 50}));
  const tern::ConcatDataset all(letters, more);
  REQUIRE(all.size() == 5);
  for (const std::vector<std::int64_t>& asked : {std::vector<std::int64_t>{4, 0, 3, 2, 2, 1}, {1, 0}, {4, 3}, {}}) {
    const tern::Batch batch = all.get(asked);
    const auto x = batch.input.to_vector<double>();
    const auto y = batch.target.to_vector<std::int64_t>();
    REQUIRE(x.size() == asked.size());
    for (std::size_t i = 0; i < asked.size(); ++i) {
      CHECK(x[i] == static_cast<double>(asked[i] + 1));
      CHECK(y[i] == 10 * (asked[i] + 1));
    }
  }
  for (const std::int64_t bad : {-1, 5}) {
    CHECK_THROWS_WITH(all.get({&bad, 1}), Contains("ConcatDataset: index " + std::to_string(bad)));
  }
}

TEST_CASE("Subset renumbers, and subsets nest") {
  const tern::TensorDataset dataset(tern::tensor<float>({0, 10, 20, 30, 40}), labels_up_to(5));
  const tern::Subset odd(dataset, {3, 1, 3}), one(odd, {2});
  CHECK(odd.size() == 3);
  CHECK(one.size() == 1);
  const std::vector<std::int64_t> indices = {1, 0};
  CHECK(odd.get(indices).input.to_vector<float>() == std::vector<float>{10, 30});
  CHECK(one.get(std::vector<std::int64_t>{0}).target.to_vector<std::int64_t>() == std::vector<std::int64_t>{3});
}

TEST_CASE("Datasets refuse what cannot be") {
  CHECK_THROWS_WITH(tern::TensorDataset(tern::ones({3}), labels_up_to(2)), Contains("[3]") && Contains("[2]"));
  CHECK_THROWS_WITH(tern::TensorDataset(tern::ones({}), labels_up_to(1)), Contains("expected [n, ...] both"));
  CHECK_THROWS_WITH(tern::TensorDataset(tern::ones({1}), tern::ones({})), Contains("expected [n, ...] both"));
  CHECK_THROWS_AS(tern::TensorDataset(tern::Tensor(), labels_up_to(3)), tern::Error);

  const tern::TensorDataset dataset(tern::ones({3}), labels_up_to(3));
  const tern::Subset subset(dataset, {0, 1});
  for (const std::int64_t bad : {-1, 3}) {
    CHECK_THROWS_WITH(dataset.get({&bad, 1}), Contains("index " + std::to_string(bad)));
    CHECK_THROWS_WITH(subset.get({&bad, 1}), Contains("Subset: index " + std::to_string(bad)));
    CHECK_THROWS_WITH(tern::Subset(dataset, {0, bad}), Contains("index " + std::to_string(bad)));
  }
}
