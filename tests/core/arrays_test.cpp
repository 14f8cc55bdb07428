#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>

#include <cmath>
#include <set>

/// What tests/torch does not: errors, indices out of range on cuda, integers beyond 2^53, random numbers, memory
/// shared.

namespace tern::test {

namespace {

using Integers = std::vector<std::int64_t>;

constexpr std::int64_t big = (std::int64_t{1} << 53) + 1;  // the next double is another

Tensor integers(Device device) { return tensor(Integers{big + 2, big, -big, big + 1, INT64_MAX, big}, device); }

}  // namespace

TEST_CASE("integers beyond 2^53 stay themselves", "[arrays]") {
  for (const Device device : devices()) {
    CAPTURE(device);
    const Tensor x = integers(device), mask = tensor<std::uint8_t>({1, 0, 0, 1, 1, 0}, device);
    CHECK(where(mask, x, big).to_vector<std::int64_t>() == Integers{big + 2, big, big, big + 1, INT64_MAX, big});
    CHECK(where(mask, big, -big).to_vector<std::int64_t>() == Integers{big, -big, -big, big, big, -big});
    CHECK(masked_fill(x, mask, big).to_vector<std::int64_t>() == Integers{big, big, -big, big, big, big});
    CHECK(sort(x).values.to_vector<std::int64_t>() == Integers{-big, big, big, big + 1, big + 2, INT64_MAX});
    CHECK(argsort(x).to_vector<std::int64_t>() == Integers{2, 1, 5, 3, 0, 4});
    CHECK(topk(x, 2).values.to_vector<std::int64_t>() == Integers{INT64_MAX, big + 2});
    CHECK(unique(x).output.to_vector<std::int64_t>() == Integers{-big, big, big + 1, big + 2, INT64_MAX});
    CHECK(unique(x).counts.to_vector<std::int64_t>() == Integers{1, 2, 1, 1, 1});
    CHECK(searchsorted(sort(x).values, tensor(Integers{big + 1}, device)).item<std::int64_t>() == 3);
    const Tensor at = tensor(Integers{0, 0}, device), two = tensor(Integers{big, 1}, device);
    CHECK(scatter_add(zeros_like(at), 0, at, two).to_vector<std::int64_t>() == Integers{big + 1, 0});
    CHECK(index_add(zeros_like(at), 0, at, two, 3).to_vector<std::int64_t>() == Integers{3 * big + 3, 0});
    CHECK(pad(two, {1, 0}, PadMode::constant, big + 2).to_vector<std::int64_t>() == Integers{big + 2, big, 1});
    CHECK(full_like(at, big).to_vector<std::int64_t>() == Integers{big, big});
    CHECK(take(x, tensor(Integers{-1, 0}, device)).to_vector<std::int64_t>() == Integers{big, big + 2});
  }
  CHECK(arange(big, big + 3).to_vector<std::int64_t>() == Integers{big, big + 1, big + 2});
  CHECK(arange(INT64_MAX, INT64_MIN, INT64_MIN).to_vector<std::int64_t>() == Integers{INT64_MAX, -1});
}

TEST_CASE("what is gathered, scattered and added up, index by index", "[arrays]") {
  for (const Device device : devices()) {
    for_each_case(40, [&](Random& random) {
      const Shape shape = random_shape(random, 1, 4, 4);
      const int d = static_cast<int>(random.integer(0, shape.size() - 1));
      Shape at = shape;
      for (int i = 0; i < at.size(); ++i) at[i] = i == d ? random.integer(0, 6) : random.integer(1, at[i]);
      const DType dtype = random.pick({DType::uint8, DType::int64, DType::float64});
      const Tensor x = random_view(random, shape, dtype, device), src = random_view(random, at, dtype, device);
      const Tensor index = tensor(random.indices(at.numel(), shape[d]), device).reshape(at);
      const Dense full(x), picked(src), places(index);
      CAPTURE(shape, at, d, dtype, device);
      const auto moved = [&](Shape i) {
        i[d] = static_cast<std::int64_t>(places[i]);
        return i;
      };
      check_equal(gather(x, d, index), Dense(at, [&](const Shape& i) { return full[moved(i)]; }));
      Dense last = full, sums = full;
      for_each_index(at, [&](const Shape& i) {  // along d in rising order, as no other dimension decides
        std::size_t to = 0;
        const Shape target = moved(i);
        for (int k = 0; k < shape.size(); ++k) {
          to = to * static_cast<std::size_t>(shape[k]) + static_cast<std::size_t>(target[k]);
        }
        last.values[to] = picked[i];
        sums.values[to] += picked[i];
        if (dtype == DType::uint8) sums.values[to] = std::fmod(sums.values[to], 256);
      });
      check_equal(scatter(x, d, index, src), last);
      const std::vector<double> got = scatter_add(x, d, index, src).to_vector<double>();
      for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(sums.values[i]).margin(1e-12));
    });
  }
}

TEST_CASE("equals stay in their order, NaN is the largest", "[arrays]") {
  for (const Device device : devices()) {
    CAPTURE(device);
    const Tensor x = tensor<double>({1, NAN, -0.0, 0, -INFINITY, NAN, 1, INFINITY}, device);
    CHECK(argsort(x).to_vector<std::int64_t>() == Integers{4, 2, 3, 0, 6, 7, 1, 5});
    CHECK(argsort(x, 0, true).to_vector<std::int64_t>() == Integers{1, 5, 7, 0, 6, 2, 3, 4});
    CHECK(topk(x, 3).indices.to_vector<std::int64_t>() == Integers{1, 5, 7});
  }
}

TEST_CASE("a scatter-add gives the same bits each time", "[arrays]") {
  for (const Device device : devices()) {
    for_each_case(5, [&](Random& random) {
      const std::int64_t n = random.integer(500, 3000);
      const Tensor index = tensor(random.indices(n, 3), device), x = zeros({5}, {.device = device});
      const Tensor src = tensor(random.between<float>(n, -1, 1), device);
      const std::vector<float> first = scatter_add(x, 0, index, src).to_vector<float>();
      for (int again = 0; again < 3; ++again) CHECK(scatter_add(x, 0, index, src).to_vector<float>() == first);
    });
  }
}

TEST_CASE("views share their memory, the others do not", "[arrays]") {
  for (const Device device : devices()) {
    const auto shares = [&](auto f) {
      const Tensor x = arange(0, 6, 1, {.dtype = DType::float32, .device = device}).reshape({2, 3});
      const Tensor y = f(x);
      y.fill_(9);
      return x.to_vector<double>() != std::vector<double>{0, 1, 2, 3, 4, 5};
    };
    CHECK(shares([](const Tensor& x) { return slice(x, 1, 0, {}, 2); }));
    CHECK(shares([](const Tensor& x) { return index(x, {Slice{1}, 0}); }));
    CHECK(shares([](const Tensor& x) { return diagonal(x); }));
    CHECK(shares([](const Tensor& x) { return split(x, 2, 1)[1]; }));
    CHECK(shares([](const Tensor& x) { return movedim(x, 0, 1); }));
    CHECK(!shares([](const Tensor& x) { return repeat(x, {1, 1}); }));
    CHECK(!shares([](const Tensor& x) { return repeat_interleave(x, 1, 0); }));
    CHECK(!shares([](const Tensor& x) { return pad(x, {}); }));
    CHECK(!shares([](const Tensor& x) { return pad(x, {0, 0}, PadMode::replicate); }));
    CHECK(!shares([](const Tensor& x) { return flip(x, {}); }));
    CHECK(!shares([](const Tensor& x) { return diag(x); }));
    CHECK(!shares([](const Tensor& x) { return index(x, {tensor(Integers{0, 1}, x.device())}); }));
  }
}

TEST_CASE("random numbers are the same on every device", "[arrays]") {
  const auto draws = [](Device device) {
    Generator generator(7);
    std::vector<double> all;
    const auto add = [&](const Tensor& x) {
      CHECK(x.device() == device);
      for (const double v : x.to_vector<double>()) all.push_back(v);
    };
    const Tensor p = tensor({0.2, 0.0, 1.0, 0.5}, device);
    add(randint(-5, 5, {9}, {.device = device}, generator));
    add(randint(0, 3, {2}, {.dtype = DType::float32, .device = device}, generator));
    add(randperm(9, {.device = device}, generator));
    add(bernoulli(p, generator));
    add(multinomial(p, 3, false, generator));
    add(multinomial(p.reshape({2, 2}), 5, true, generator));
    return all;
  };
  const std::vector<double> first = draws(Device::reference);
  for (const Device device : devices()) CHECK(draws(device) == first);
}

TEST_CASE("multinomial and bernoulli draw as often as is said", "[arrays]") {
  Generator generator(3);
  const std::vector<double> p{0.5, 0, 1.5, 2};
  const Tensor weights = tensor(p), many = multinomial(weights, 20'000, true, generator);
  const Integers counts = bincount(many, {}, 4).to_vector<std::int64_t>();
  Integers first(4);
  for (int i = 0; i < 4000; ++i) ++first[static_cast<std::size_t>(multinomial(weights, 3, false, generator)[0].item())];
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::abs(static_cast<double>(counts[i]) - 5000 * p[i]) < 350);
    CHECK(std::abs(static_cast<double>(first[i]) - 1000 * p[i]) < 160);
  }
  CHECK(std::abs(sum(bernoulli(full({10'000}, 0.3), generator)).item() - 3000) < 230);
  const Integers whole = randint(-2, 3, {10'000}, {}, generator).to_vector<std::int64_t>();
  for (std::int64_t v = -2; v < 3; ++v) CHECK(std::abs(std::count(whole.begin(), whole.end(), v) - 2000) < 200);
}

TEST_CASE("errors of indexing and arranging name what is wrong", "[arrays]") {
  const Tensor x = zeros({2, 3}), one = tensor(Integers{1}), at = tensor(Integers{0, 3}).reshape({1, 2});
  CHECK(message_of([&] { gather(x, 1, at); }) == "gather: index 3 of dimension 1 of shape [2, 3], expected 0 to 2");
  CHECK(message_of([&] { gather(x, 1, one); }) == "gather: index [1] for shape [2, 3], expected as many dimensions");
  CHECK(message_of([&] { gather(x, 1, x); }) == "gather: index of float32, expected int64");
  CHECK(message_of([&] { scatter(x, 1, at, 1); }) ==
        "scatter: index 3 of dimension 1 of shape [2, 3], expected 0 to 2");
  CHECK(message_of([&] {
          scatter_add(x, 1, at - 1, zeros({1, 2}));
        }) == "scatter_add: index -1 of dimension 1 of shape [2, 3], expected 0 to 2");
  CHECK(message_of([&] {
          scatter_add(x, 1, at * 0, zeros({1, 1}));
        }) == "scatter_add: src [1, 1] for index [1, 2], expected no dimension smaller");
  CHECK(message_of([&] {
          index(x, {Slice(), one * 3});
        }) == "index: index 3 of dimension 1 of shape [2, 3], expected -3 to 2");
  CHECK(message_of([&] {
          index(x, {0, 0, 0});
        }) == "index: 3 indices of shape [2, 3], expected one for each dimension at most");
  CHECK(message_of([&] { index(x, {ones({3}, {.dtype = DType::uint8})}); }) ==
        "index: a mask [3] for dimensions 0 and on of shape [2, 3]");
  CHECK(message_of([&] {
          index_add(x, 0, one * 2, zeros({1, 3}));
        }) == "index_add: index 2 of dimension 0 of shape [2, 3], expected 0 to 1");
  CHECK(message_of([&] { take(x, one * 6); }) == "index: index 6 of dimension 0 of shape [6], expected -6 to 5");
  CHECK(message_of([&] { where(x, x, x); }) == "where: a mask of float32, expected uint8");
  CHECK(message_of([&] { masked_fill(one, one.to(DType::uint8), 0.5); }) ==
        "masked_fill: 0.5 into int64, which cannot hold it");
  CHECK(message_of([&] { topk(x, 4); }) == "topk: 4 of dimension 1 of shape [2, 3], expected 0 to 3");
  CHECK(message_of([&] { one_hot(one * 3, 3); }) == "one_hot: got 3, expected less than 3");
  CHECK(message_of([&] { bincount(-one); }) == "bincount: got -1, expected 0 or more");
  CHECK(message_of([&] {
          split(x, std::vector<std::int64_t>{1, 1}, 1);
        }) == "split: 1 elements of dimension 1 of shape [2, 3] left over, expected sizes for all");
  CHECK(message_of([&] {
          pad(x, {3, 0}, PadMode::reflect);
        }) == "pad: 3 and 0 of dimension 1 of shape [2, 3], expected no more than 2");
  CHECK(message_of([&] { flip(x, {0, -2}); }) == "flip: dimensions [0, -2], expected each once");
  CHECK(message_of([&] { slice(x, 0, 0, 2, 0); }) == "slice: a step of 0, expected 1 or more");
  CHECK(message_of([&] {
          unflatten(x, 1, {2, -1});
        }) == "unflatten: dimension 1 of shape [2, 3] does not go into [2, -1]");
  CHECK(message_of([&] { arange(0, 1, 0); }) ==
        "arange: from 0 to 1 by 0, expected finite numbers and a step other than 0");
  CHECK(message_of([&] {
          multinomial(tensor({1.0, 0.0}), 2);
        }) == "multinomial: 2 samples of 1 weights that are not 0, expected no more");
  CHECK(message_of([&] {
          const Tensor leaf = zeros({2}).set_requires_grad();
          index_put_(leaf, {0}, ones({}));
        }) == "copy_: in-place on a leaf that requires grad, expected a NoGradGuard around it");
}

TEST_CASE("an undefined tensor is named", "[arrays]") {
  const Tensor none, x = ones({2, 2}), mask = ones({2, 2}, {.dtype = DType::uint8}),
                     at = zeros_like(mask).to(DType::int64);
  for (const auto& call :
       std::initializer_list<std::function<void()>>{[&] { where(none, x, x); },
                                                    [&] { where(mask, none, x); },
                                                    [&] { where(mask, x, none); },
                                                    [&] { where(mask, none, 1); },
                                                    [&] { where(none, 1, 1); },
                                                    [&] { masked_fill(none, mask, 0); },
                                                    [&] { masked_fill(x, none, 0); },
                                                    [&] { logical_and(none, x); },
                                                    [&] { logical_or(x, none); },
                                                    [&] { logical_not(none); },
                                                    [&] { isnan(none); },
                                                    [&] { isinf(none); },
                                                    [&] { isfinite(none); },
                                                    [&] { isclose(none, x); },
                                                    [&] { allclose(x, none); },
                                                    [&] { equal(none, x); },
                                                    [&] { hstack({none}); },
                                                    [&] { vstack({none}); },
                                                    [&] { split(none, 1); },
                                                    [&] { split(none, std::vector<std::int64_t>{1}); },
                                                    [&] { chunk(none, 1); },
                                                    [&] { unbind(none); },
                                                    [&] { slice(none); },
                                                    [&] { diagonal(none); },
                                                    [&] { diag(none); },
                                                    [&] { tril(none); },
                                                    [&] { triu(none); },
                                                    [&] { flip(none, {0}); },
                                                    [&] { roll(none, 1); },
                                                    [&] { repeat(none, {1}); },
                                                    [&] { tile(none, {1}); },
                                                    [&] { repeat_interleave(none, 1); },
                                                    [&] { repeat_interleave(none, at); },
                                                    [&] { repeat_interleave(x, none); },
                                                    [&] { movedim(none, 0, 1); },
                                                    [&] { unflatten(none, 0, {1}); },
                                                    [&] { broadcast_tensors({none}); },
                                                    [&] { meshgrid({none}); },
                                                    [&] { pad(none, {}); },
                                                    [&] { gather(none, 0, at); },
                                                    [&] { gather(x, 0, none); },
                                                    [&] { take_along_dim(none, at, 0); },
                                                    [&] { take_along_dim(x, none, 0); },
                                                    [&] { scatter(none, 0, at, x); },
                                                    [&] { scatter(x, 0, none, x); },
                                                    [&] { scatter(x, 0, at, none); },
                                                    [&] { scatter(none, 0, at, 1); },
                                                    [&] { scatter(x, 0, none, 1); },
                                                    [&] { scatter_add(x, 0, at, none); },
                                                    [&] { index_add(none, 0, at, x); },
                                                    [&] { index_add(x, 0, none, x); },
                                                    [&] { index_add(x, 0, at, none); },
                                                    [&] { take(none, at); },
                                                    [&] { take(x, none); },
                                                    [&] { masked_select(none, mask); },
                                                    [&] { masked_select(x, none); },
                                                    [&] { nonzero(none); },
                                                    [&] { index(none, {0}); },
                                                    [&] { index(x, {none}); },
                                                    [&] { index_put(none, {0}, x); },
                                                    [&] { index_put(x, {0}, none); },
                                                    [&] { sort(none); },
                                                    [&] { argsort(none); },
                                                    [&] { topk(none, 1); },
                                                    [&] { kthvalue(none, 1); },
                                                    [&] { unique(none); },
                                                    [&] { unique_consecutive(none); },
                                                    [&] { bincount(none); },
                                                    [&] { searchsorted(none, x); },
                                                    [&] { searchsorted(x, none); },
                                                    [&] { one_hot(none); },
                                                    [&] { full_like(none, 1); },
                                                    [&] { nan_to_num(none); },
                                                    [&] { isin(none, x); },
                                                    [&] { isin(x, none); },
                                                    [&] { tensor_split(none, 1); },
                                                    [&] { diag_embed(none); },
                                                    [&] { rot90(none); },
                                                    [&] { index_copy(none, 0, at, x); },
                                                    [&] { index_copy(x, 0, none, x); },
                                                    [&] { index_copy(x, 0, at, none); },
                                                    [&] { index_fill(none, 0, at, 1); },
                                                    [&] { index_fill(x, 0, none, 1); },
                                                    [&] { bernoulli(none); },
                                                    [&] { multinomial(none, 1); }}) {
    const std::string message = message_of(call);
    CAPTURE(message);
    CHECK(message.find(" is undefined, expected a tensor") != std::string::npos);
  }
}

TEST_CASE("on cuda an index out of range reads NaN, of integers 0, and writes nothing", "[arrays][cuda]") {
  if (devices().back().on_host()) return;
  for (const DType dtype : all_dtypes) {
    CAPTURE(dtype);
    const Tensor x = tensor({1.0, 2.0, 3.0}).to(dtype).to(Device::cuda);
    const Tensor at = tensor<std::int64_t>({1, 3, 0, -1, std::int64_t{1} << 32, INT64_MIN}, Device::cuda);
    const double none = is_floating(dtype) ? NAN : 0;
    check_equal(gather(x, 0, at), Dense(tensor({2.0, none, 1.0, none, none, none})));
    const Tensor src = tensor({5.0, 6.0, 7.0, 8.0, 9.0, 10.0}).to(dtype).to(Device::cuda);
    check_equal(scatter(x, 0, at, src), Dense(tensor({7.0, 5.0, 3.0})));
    check_equal(scatter_add(x, 0, at, src), Dense(tensor({8.0, 7.0, 3.0})));
    check_equal(index_add(x, 0, at, src), Dense(tensor({8.0, 7.0, 3.0})));
    check_equal(index(x, {at}), Dense(tensor({2.0, none, 1.0, 3.0, none, none})));
    check_equal(index_put(x, {at}, src), Dense(tensor({7.0, 5.0, 8.0})));
    // One that is outside in the first of two dimensions must not be taken for another place.
    check_equal(index(x.reshape({1, 3}), {at.narrow(0, 0, 3), at.narrow(0, 0, 3) * 0}),
                Dense(tensor({none, none, 1.0})));
    // Many to few, which are sorted.
    const Tensor many = arange(2000).to(Device::cuda), to = where(lt(many, 100), many * 0, many + 3);
    check_equal(scatter_add(x, 0, to, ones({2000}, {.dtype = dtype, .device = Device::cuda})),
                Dense(tensor({101.0, 2.0, 3.0})));
  }
}

}  // namespace tern::test
