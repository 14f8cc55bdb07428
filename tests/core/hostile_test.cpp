#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>

/// Shapes, strides, sizes and dimensions that nobody means: errors, never another's memory or a wrong shape.

namespace tern::test {

namespace {

constexpr std::int64_t most = INT64_MAX, least = INT64_MIN, huge = std::int64_t{1} << 62;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr const char* nothing = "(nothing was thrown)";

/// Of these, one is what a careful caller gives.
std::int64_t any_number(Random& random) {
  return random.chance(0.6) ? random.integer(-2, 7)
                            : random.pick({most, most - 1, least, least + 1, huge, -huge, huge / 2, huge + 1,
                                           std::int64_t{1} << 32, (std::int64_t{1} << 31) - 1});
}

Shape any_shape(Random& random, int dims) {
  Shape shape;
  for (int d = 0; d < dims; ++d) shape.push_back(any_number(random));
  return shape;
}

}  // namespace

TEST_CASE("as_strided shows what lies within the storage, and nothing else", "[hostile]") {
  for (const Device device : devices()) {
    int shown = 0;
    for_each_case(600, [&](Random& random) {
      const std::int64_t n = random.integer(0, 20);
      std::vector<double> memory(static_cast<std::size_t>(n));
      std::iota(memory.begin(), memory.end(), 0);
      const Tensor x = tensor(memory, device);
      const int dims = static_cast<int>(random.integer(0, 3));
      const bool sane = random.chance(0.5);
      Shape shape = any_shape(random, dims), strides = any_shape(random, random.chance(0.05) ? 1 : dims);
      if (sane) {
        for (std::int64_t& size : std::span(&shape[0], static_cast<std::size_t>(dims))) size = random.integer(0, 3);
        for (std::int64_t& stride : std::span(&strides[0], static_cast<std::size_t>(strides.size()))) {
          stride = random.integer(0, 4);
        }
      }
      const std::int64_t offset = sane ? random.integer(0, 4) : any_number(random);
      CAPTURE(n, shape, strides, offset);
      bool valid = shape.size() == strides.size() && offset >= 0, has_elements = true;
      long double last = static_cast<long double>(offset), count = 1;
      for (int d = 0; valid && d < dims; ++d) {
        valid = shape[d] >= 0 && strides[d] >= 0;
        has_elements = has_elements && shape[d] != 0;
        count *= static_cast<long double>(std::max<std::int64_t>(shape[d], 1));
        last +=
            static_cast<long double>(std::max<std::int64_t>(shape[d], 1) - 1) * static_cast<long double>(strides[d]);
      }
      valid = valid && count <= static_cast<long double>(most) && (has_elements ? last < n : offset <= n);
      if (!valid) {
        CHECK(message_of([&] { x.as_strided(shape, strides, offset); }) != nothing);
        return;
      }
      const Tensor view = x.as_strided(shape, strides, offset);
      if (has_elements && count > 1e6L) return;  // one number, shown without end
      ++shown;
      check_equal(view, Dense(shape, [&](const Shape& index) {
                    std::int64_t at = offset;
                    for (int d = 0; d < dims; ++d) at += index[d] * strides[d];
                    return memory.at(static_cast<std::size_t>(at));
                  }));
    });
    CHECK(shown > 100);
  }
  const Tensor x = zeros({2, 3});
  CHECK(message_of([&] {
          x.as_strided({2}, {1, 1}, 0);
        }) == "as_strided: shape [2] with strides [1, 1], expected a stride for each size");
  CHECK(message_of([&] { x.as_strided({2}, {-1}, 1); }) ==
        "as_strided: shape [2], strides [-1], offset 1, expected no negative numbers");
  CHECK(message_of([&] { x.as_strided({-1}, {1}, 0); }) ==
        "as_strided: shape [-1], strides [1], offset 0, expected no negative numbers");
  CHECK(message_of([&] { x.as_strided({1}, {1}, -1); }) ==
        "as_strided: shape [1], strides [1], offset -1, expected no negative numbers");
  CHECK(message_of([&] {
          x.as_strided({2, 2}, {3, 2}, 1);
        }) == "as_strided: shape [2, 2], strides [3, 2], offset 1, expected all within a storage of 6 elements");
  CHECK(message_of([&] {
          x.as_strided({2, 3}, {huge, huge}, 0);
        }) ==
        "as_strided: shape [2, 3], strides [4611686018427387904, 4611686018427387904], offset 0, expected all within "
        "a storage of 6 elements");
}

TEST_CASE("views of any arguments are within the storage or errors", "[hostile]") {
  for (const Device device : {Device(Device::cpu), Device(Device::reference)}) {
    for_each_case(1500, [&](Random& random) {
      const Tensor x = random_view(random, random_shape(random, 0, 3, 4, 0.1), DType::float32, device);
      const std::int64_t a = any_number(random), b = any_number(random), c = any_number(random);
      const Shape shape = any_shape(random, static_cast<int>(random.integer(0, 4)));
      CAPTURE(x.shape(), x.strides(), a, b, c, shape);
      const std::function<Tensor()> views[] = {
          [&] { return x.narrow(a, b, c); },
          [&] { return x.select(a, b); },
          [&] { return x.squeeze(a); },
          [&] { return x.unsqueeze(a); },
          [&] { return x.expand(shape); },
          [&] { return x.reshape(shape); },
          [&] { return x.view(shape); },
          [&] { return x.permute(shape); },
          [&] { return x.transpose(a, b); },
          [&] { return x.flatten(a, b); },
          [&] { return x.as_strided(shape, shape, a); },
      };
      const std::size_t which = static_cast<std::size_t>(random.integer(0, std::ssize(views) - 1));
      CAPTURE(which);
      Tensor y;
      try {
        y = views[which]();
      } catch (const Error& e) {
        CHECK(std::string(e.what()).find('\n') == std::string::npos);
        return;
      }
      std::int64_t last = y.storage_offset();
      for (int d = 0; d < y.dim(); ++d) {
        REQUIRE(y.shape()[d] >= 0);
        REQUIRE(y.strides()[d] >= 0);
        if (y.shape()[d] > 1) last += (y.shape()[d] - 1) * y.strides()[d];
      }
      const auto elements = static_cast<std::int64_t>(y.storage()->bytes() / sizeof(float));
      REQUIRE(y.storage_offset() >= 0);
      REQUIRE((y.numel() == 0 ? y.storage_offset() <= elements : last < elements));
      if (y.numel() < 1000) CHECK(y.to_vector<double>().size() == static_cast<std::size_t>(y.numel()));
    });
  }
  const Tensor x = zeros({4, 3});
  CHECK(message_of([&] { x.narrow(0, most, most); }) ==
        "narrow: 9223372036854775807 elements from 9223372036854775807 on of dimension 0 of shape [4, 3], expected "
        "within 0 to 4");
  // Where the elements end, an empty part may still be taken.
  CHECK(x.narrow(1, 1, 1).narrow(0, 4, 0).shape() == Shape{0, 1});
  CHECK(x.narrow(0, 4, 0).narrow(1, 1, 2).shape() == Shape{0, 2});
  CHECK(message_of([&] {
          x.reshape({huge, 4, -1});
        }) == "shape: [4611686018427387904, 4, 1], expected no more elements than int64 counts");
}

TEST_CASE("a tensor without dimensions has a dimension 0, or -1, for all ops but those that cut", "[hostile]") {
  for (const Device device : devices()) {
    const Tensor x = tensor({5.0, 3.0}, device)[1];
    for (const std::int64_t dim : {0, -1}) {
      for (const bool keepdim : {false, true}) {
        check_equal(sum(x, {dim}, keepdim), Dense({}, [](const Shape&) { return 3; }));
        check_equal(mean(x, {dim}, keepdim), Dense({}, [](const Shape&) { return 3; }));
        check_equal(max(x, dim, keepdim).values, Dense({}, [](const Shape&) { return 3; }));
        check_equal(max(x, dim, keepdim).indices, Dense({}, [](const Shape&) { return 0; }));
        check_equal(argmax(x, dim, keepdim), Dense({}, [](const Shape&) { return 0; }));
      }
      check_equal(softmax(x, dim), Dense({}, [](const Shape&) { return 1; }));
      check_equal(log_softmax(x, dim), Dense({}, [](const Shape&) { return 0; }));
      check_equal(x.squeeze(dim), x);
      check_equal(x.transpose(dim, dim), x);
      check_equal(x.transpose(0, -1), x);
      CHECK(x.unsqueeze(dim).shape() == Shape{1});
      CHECK(x.flatten(dim, dim).shape() == Shape{1});
      CHECK(stack({x, x}, dim).to_vector<double>() == std::vector<double>{3, 3});
      check_equal(index_select(x, dim, tensor<std::int64_t>({0}, device)), x);
      const Tensor leaf = x.clone().set_requires_grad();
      (softmax(leaf, dim) + sum(leaf, {dim}) + max(leaf, dim).values + mean(leaf, {dim})).backward();
      CHECK(leaf.grad().item() == 3);
      index_select(leaf, dim, tensor<std::int64_t>({0}, device)).backward();
      CHECK(leaf.grad().item() == 4);

      const auto error = [&](auto f) { return message_of([&] { static_cast<void>(f()); }); };
      const std::string missing = " of a tensor without dimensions, expected one of them";
      CHECK(error([&] { return x.size(dim); }) == text("size: dimension ", dim, missing));
      CHECK(error([&] { return x.select(dim, 0); }) == text("select: dimension ", dim, missing));
      CHECK(error([&] { return x.narrow(dim, 0, 1); }) == text("narrow: dimension ", dim, missing));
      CHECK(error([&] { return cat({x, x}, dim); }) == text("cat: dimension ", dim, missing));
    }
    for (const std::int64_t dim : {std::int64_t{1}, std::int64_t{-2}, most, least}) {
      const std::string range = text(": dimension ", dim, " of a tensor with 0 dimensions, expected -1 to 0");
      CHECK(message_of([&] { sum(x, {dim}); }) == "sum" + range);
      CHECK(message_of([&] { max(x, dim); }) == "max" + range);
      CHECK(message_of([&] { softmax(x, dim); }) == "softmax" + range);
      CHECK(message_of([&] { log_softmax(x, dim); }) == "log_softmax" + range);
      CHECK(message_of([&] { x.squeeze(dim); }) == "squeeze" + range);
      CHECK(message_of([&] { x.flatten(dim, dim); }) == "flatten" + range);
      CHECK(message_of([&] { x.transpose(dim, 0); }) == "transpose" + range);
      CHECK(message_of([&] { index_select(x, dim, tensor<std::int64_t>({0}, device)); }) == "index_select" + range);
    }
    CHECK(message_of([&] {
            index_select(x, 0, tensor<std::int64_t>({0, 0}, device));
          }) == "index_select: 2 indices of a tensor without dimensions, expected one");
    // What was one element along a dimension has none after it is gone.
    const Tensor bare = x.unsqueeze(0).squeeze(0);
    check_equal(bare.squeeze(0), x);
  }
}

TEST_CASE("conv2d and pooling with sizes that overflow", "[hostile]") {
  for (const Device device : devices()) {
    const Tensor x = ones({1, 2, 5, 5}, {.dtype = DType::float64, .device = device}),
                 w = ones({2, 2, 3, 3}, {.dtype = DType::float64, .device = device});
    for (const std::int64_t big : {most, most - 1, huge, huge + 1, huge / 2, std::int64_t{1} << 48}) {
      CAPTURE(device, big);
      const auto error = [&](auto f) { return message_of([&] { static_cast<void>(f()); }); };
      CHECK(error([&] { return conv2d(x, w, {}, {.padding = big}); }) ==
            text("conv2d: input [1, 2, 5, 5] with padding [", big, ", ", big, "], expected at most 2^48 elements"));
      CHECK(error([&] {
              return conv2d(x, w, {}, {.padding = {0, big}});
            }) == text("conv2d: input [1, 2, 5, 5] with padding [0, ", big, "], expected at most 2^48 elements"));
      CHECK(error([&] { return conv2d(x, w, {}, {.dilation = big}); }) ==
            text("conv2d: weight [2, 2, 3, 3] with dilation [", big, ", ", big,
                 "] is larger than input [1, 2, 5, 5] with padding [0, 0]"));
      CHECK(error([&] { return conv2d(x, w, {}, {.padding = big, .dilation = big}); }) != nothing);
      CHECK(error([&] { return conv2d(x, w, {}, {.groups = big}); }) ==
            text("conv2d: ", big, " groups for 2 input and 2 output channels, expected a divisor of both"));
      CHECK(error([&] { return conv2d_max_pool2d(x, w, {}, {.padding = big}, 2); }) != nothing);
      CHECK(error([&] { return conv2d_max_pool2d(x, w, {}, {}, {big, 1}); }) != nothing);
      CHECK(error([&] { return conv2d_max_pool2d(x, w, {}, {}, {-big, 2}); }) != nothing);
      // A stride is never too long: one place is left.
      check_equal(conv2d(x, w, {}, {.stride = big}), Dense({1, 2, 1, 1}, [](const Shape&) { return 18; }));
      check_equal(conv2d(x, ones({2, 2, 1, 1}, {.dtype = DType::float64, .device = device}), {},
                         {.stride = 3, .dilation = big}),
                  Dense({1, 2, 2, 2}, [](const Shape&) { return 2; }));
      for (const auto pool : {max_pool2d, avg_pool2d}) {
        const std::string op = pool == max_pool2d ? "max_pool2d" : "avg_pool2d";
        CHECK(error([&] { return pool(x, big, {}); }) ==
              text(op, ": kernel [", big, ", ", big, "] is larger than input [1, 2, 5, 5] with padding [0, 0]"));
        CHECK(error([&] { return pool(x, 3, {.padding = big}); }) ==
              text(op, ": padding [", big, ", ", big, "] for kernel [3, 3], expected at most half of it"));
        CHECK(error([&] { return pool(x, big, {.padding = big / 2}); }) ==
              text(op, ": input [1, 2, 5, 5] with padding [", big / 2, ", ", big / 2,
                   "], expected at most 2^48 elements"));
        check_equal(pool(x, 3, {.stride = HeightWidth(big)}), Dense({1, 2, 1, 1}, [](const Shape&) { return 1; }));
        CHECK(error([&] {
                BatchNorm2dOptions training{.training = true};
                return batch_norm2d_max_pool2d(x, {}, {}, {}, {}, training, big);
              }) != nothing);
        CHECK(error([&] {
                BatchNorm2dOptions training{.training = true};
                return conv2d_batch_norm2d_max_pool2d(x, w, {}, {.padding = 1}, {}, {}, {}, {}, training, big);
              }) != nothing);
      }
    }
    // Numbers beyond 32 bits that are right: a window that is nearly all padding, and strides across it.
    const std::int64_t far = std::int64_t{1} << 33;
    const Tensor row = arange(5, {.dtype = DType::float64, .device = device}).reshape({1, 1, 1, 5}).detach();
    row.set_requires_grad();
    const Tensor all = max_pool2d(row, {1, 2 * far}, {.stride = HeightWidth(1, far), .padding = {0, far}});
    CHECK(all.to_vector<double>() == std::vector<double>{4});
    all.sum().backward();
    CHECK(row.grad().to_vector<double>() == std::vector<double>{0, 0, 0, 0, 1});
    const Tensor one = ones({1, 1, 1, 1}, {.dtype = DType::float64, .device = device});
    const Tensor wide = conv2d(row, one, {}, {.stride = HeightWidth(1, far + 1), .padding = {0, far}});
    CHECK(wide.to_vector<double>() == std::vector<double>{0, 1, 0});
    row.set_grad({});
    wide.sum().backward();
    CHECK(row.grad().to_vector<double>() == std::vector<double>{0, 1, 0, 0, 0});
  }
  CHECK(message_of([] {
          conv2d(zeros({1, 0, 4, 4}), zeros({0, 2, 3, 3}), {}, {.groups = huge});
        }) == "conv2d: input [1, 0, 4, 4] has 0 channels, weight [0, 2, 3, 3] wants 9223372036854775808");
}

TEST_CASE("making tensors of too many elements", "[hostile]") {
  CHECK(message_of([] { arange(most); }) ==
        "empty: shape [9223372036854775807] of int64, expected at most 1152921504606846975 elements");
  CHECK(message_of([] { arange(least); }) == "arange: -9223372036854775808 elements, expected 0 or more");
  const Tensor wide = zeros({1}, {.dtype = DType::uint8}).expand({huge});
  CHECK(message_of([&] {
          cat({wide, wide, wide});
        }) == "cat: dimension 0 of all shapes together, expected no more than int64 counts");
  CHECK(message_of([&] { cat({wide}); }).starts_with("allocate: no 4611686018427387904 bytes"));
  CHECK(message_of([&] { wide.clone(); }).starts_with("allocate: no 4611686018427387904 bytes"));
  CHECK(message_of([&] { wide.to_vector<double>(); }).starts_with("allocate: no 4611686018427387904 bytes"));
  CHECK(message_of([&] {
          stack({wide, wide});
        }) == "shape: [2, 4611686018427387904], expected no more elements than int64 counts");
  CHECK(message_of([] {
          empty({std::int64_t{1} << 40, std::int64_t{1} << 40});
        }) == "shape: [1099511627776, 1099511627776], expected no more elements than int64 counts");
  for (const Device device : devices()) {
    const std::string message = message_of([&] { empty({std::int64_t{1} << 50}, {.device = device}); });
    CAPTURE(device, message);
    CHECK(message.find("4503599627370496") != std::string::npos);
  }
}

TEST_CASE("int64 wraps", "[hostile]") {
  using Whole = std::vector<std::int64_t>;
  for (const Device device : devices()) {
    const auto whole = [&](std::initializer_list<std::int64_t> values) { return tensor<std::int64_t>(values, device); };
    const auto values = [](const Tensor& x) { return x.to_vector<std::int64_t>(); };
    const Tensor x = whole({most, least, -1, 3});
    CHECK(values(x + x) == Whole{-2, 0, -2, 6});
    CHECK(values(x + 1) == Whole{least, least + 1, 0, 4});
    CHECK(values(x - 1) == Whole{most - 1, most, -2, 2});
    CHECK(values(whole({-2}) - x) == Whole{most, most - 1, -1, -5});
    CHECK(values(x * x) == Whole{1, 0, 1, 9});
    CHECK(values(x * 3) == Whole{most - 2, least, -3, 9});
    CHECK(values(-x) == Whole{-most, least, 1, -3});
    CHECK(sum(whole({most, most, 3})).item<std::int64_t>() == 1);
    CHECK(values(sum(whole({least, least, -1, 0}).reshape({2, 2}), {0})) == Whole{most, least});
    std::vector<std::int64_t> many(10'000, huge);  // 10,000 * 2^62 is 0 modulo 2^64
    CHECK(sum(tensor(many, device)).item<std::int64_t>() == 0);
    many.push_back(7);
    CHECK(values(sum(tensor(many, device).reshape({73, 137}), {0}).sum().reshape({1})) == Whole{7});
    x.add_(whole({1, -1, 0, 0}), most);
    CHECK(values(x) == Whole{-2, 1, -1, 3});
  }
}

TEST_CASE("floats that no integer is", "[hostile]") {
  using Whole = std::vector<std::int64_t>;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> x{nan, infinity, -infinity, 1e30, -1e30, 0x1p63, -0x1p63, 255.9, 256, -0.9, -1, 300};
  const Whole of_int64{0, most, least, most, least, most, least, 255, 256, 0, -1, 300},
      of_uint8{0, 255, 0, 255, 0, 255, 0, 255, 255, 0, 0, 255};
  for (const Device device : devices()) {
    for (const DType dtype : {DType::float32, DType::float64}) {
      const Tensor from = tensor(x, device).to(dtype);
      CHECK(from.to(DType::int64).to_vector<std::int64_t>() == of_int64);
      CHECK(from.to(DType::uint8).to_vector<std::int64_t>() == of_uint8);
      for (std::size_t i = 0; i < x.size(); ++i) {
        CHECK(from[static_cast<std::int64_t>(i)].item<std::int64_t>() == of_int64[i]);
      }
      CHECK(from[0].item<int>() == 0);
      CHECK(from[3].item<int>() == INT32_MAX);
    }
    CHECK(tensor<std::int64_t>({-1, 256, 300}, device).to(DType::uint8).to_vector<std::int64_t>() == Whole{255, 0, 44});
  }
}

}  // namespace tern::test
