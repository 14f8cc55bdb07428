#include "support.hpp"

#include <tern/core/ops.hpp>

#include <cstddef>

namespace tern::test {

namespace {

/// The elements, read one by one from the storage.
std::vector<double> read_strided(const Tensor& x) {
  std::vector<double> memory(x.storage()->bytes() / sizeof(double));
  backend(x.device()).download(x.storage()->bytes(), x.storage()->data(), memory.data());
  std::vector<double> values;
  for_each_index(x.shape(), [&](const Shape& index) {
    std::int64_t at = x.storage_offset();
    for (int d = 0; d < x.dim(); ++d) at += index[d] * x.strides()[d];
    values.push_back(memory.at(static_cast<std::size_t>(at)));
  });
  return values;
}

/// y shows x's memory as `want`.
void check_view(const Tensor& x, const Tensor& y, const Dense& want) {
  check_equal(y, want);
  CHECK(y.storage() == x.storage());
  CHECK(y.dtype() == x.dtype());
  CHECK_FALSE(y.requires_grad());
}

/// Views of views on every device.
template <class F>
void for_each_view(int min_dims, F f) {
  for (const Device device : devices()) {
    for_each_case(100, [&](Random& random) {
      const Layout outer(random, random_shape(random, min_dims, 5, 4, 0.03)), inner(random, outer.source_shape);
      const Tensor x = outer.view(inner.view(random_tensor(random, inner.source_shape, DType::float64, device)));
      CAPTURE(x.shape(), x.strides(), device);
      f(random, x);
    });
  }
}

}  // namespace

TEST_CASE("to_vector reads in row-major order, whatever the strides", "[view]") {
  for_each_view(0, [](Random&, const Tensor& x) {
    CHECK(x.to_vector<double>() == read_strided(x));
    const Tensor dense = x.contiguous();
    CHECK(dense.is_contiguous());
    for (int d = 0; d < x.dim(); ++d) {
      if (x.numel() > 0 && x.shape()[d] > 1) CHECK(dense.strides()[d] == dense_strides(x.shape())[d]);
    }
    CHECK(read_strided(dense) == read_strided(x));
    CHECK(dense.is_same(x) == x.is_contiguous());
    const Tensor copy = x.clone();
    CHECK(read_strided(copy) == read_strided(x));
    CHECK(copy.storage() != x.storage());
  });
}

TEST_CASE("permute and transpose", "[view]") {
  for_each_view(0, [](Random& random, const Tensor& x) {
    const Dense values(x);
    const Shape order = random_order(random, x.dim());
    Shape shape = x.shape(), named = order;
    for (int d = 0; d < x.dim(); ++d) {
      shape[d] = x.shape()[static_cast<int>(order[d])];
      if (random.chance(0.5)) named[d] -= x.dim();
    }
    check_view(x, x.permute(named), Dense(shape, [&](const Shape& index) {
                 Shape from = index;
                 for (int d = 0; d < x.dim(); ++d) from[static_cast<int>(order[d])] = index[d];
                 return values[from];
               }));
    if (x.dim() == 0) return;
    const int a = static_cast<int>(random.integer(0, x.dim() - 1)),
              b = static_cast<int>(random.integer(0, x.dim() - 1));
    Shape swapped = x.shape();
    std::swap(swapped[a], swapped[b]);
    const Dense want(swapped, [&](const Shape& index) {
      Shape from = index;
      std::swap(from[a], from[b]);
      return values[from];
    });
    check_view(x, x.transpose(a, b - x.dim()), want);
    if (x.dim() == 2) check_view(x, x.t(), Dense(x.transpose(0, 1)));
  });
  CHECK(message_of([] {
          zeros({2, 3}).permute({0});
        }) == "permute: [0] names 1 dimensions of shape [2, 3], expected 2");
  CHECK(message_of([] {
          zeros({2, 3}).permute({1, -1});
        }) == "permute: [1, -1], expected each dimension of [2, 3] once");
  CHECK(message_of([] {
          zeros({2, 3}).permute({0, 2});
        }) == "permute: dimension 2 of a tensor with 2 dimensions, expected -2 to 1");
  CHECK(message_of([] { zeros({2, 3, 4}).t(); }) == "t: shape [2, 3, 4], expected two dimensions");
  CHECK(message_of([] { zeros({2}).transpose(0, 1); }) ==
        "transpose: dimension 1 of a tensor with 1 dimensions, expected -1 to 0");
}

TEST_CASE("narrow and select", "[view]") {
  for_each_view(1, [](Random& random, const Tensor& x) {
    const Dense values(x);
    const int d = static_cast<int>(random.integer(0, x.dim() - 1));
    const std::int64_t start = random.integer(0, x.shape()[d]), length = random.integer(0, x.shape()[d] - start);
    Shape part = x.shape();
    part[d] = length;
    check_view(x, x.narrow(random.chance(0.5) ? d : d - x.dim(), start, length), Dense(part, [&](const Shape& index) {
                 Shape from = index;
                 from[d] += start;
                 return values[from];
               }));
    if (x.shape()[d] == 0) return;
    const std::int64_t at = random.integer(-x.shape()[d], x.shape()[d] - 1);
    Shape rest = x.shape();
    rest.erase(d);
    const Dense want(rest, [&](const Shape& index) {
      Shape from = index;
      from.insert(d, at < 0 ? at + x.shape()[d] : at);
      return values[from];
    });
    check_view(x, x.select(d, at), want);
    if (d == 0) check_view(x, x[at], want);
  });
  CHECK(message_of([] {
          zeros({2, 3}).narrow(1, 2, 2);
        }) == "narrow: 2 elements from 2 on of dimension 1 of shape [2, 3], expected within 0 to 3");
  CHECK(message_of([] {
          zeros({2, 3}).narrow(1, -1, 2);
        }) == "narrow: 2 elements from -1 on of dimension 1 of shape [2, 3], expected within 0 to 3");
  CHECK(message_of([] {
          zeros({2, 3}).narrow(0, 1, -1);
        }) == "narrow: -1 elements from 1 on of dimension 0 of shape [2, 3], expected within 0 to 2");
  CHECK(message_of([] {
          zeros({2, 3}).select(1, 3);
        }) == "select: index 3 of dimension 1 of shape [2, 3], expected -3 to 2");
  CHECK(message_of([] { zeros({2, 3})[-3]; }) == "select: index -3 of dimension 0 of shape [2, 3], expected -2 to 1");
}

TEST_CASE("squeeze, unsqueeze and expand", "[view]") {
  for_each_view(0, [](Random& random, const Tensor& x) {
    const Dense values(x);
    const int d = static_cast<int>(random.integer(0, x.dim()));
    Shape wider = x.shape();
    wider.insert(d, 1);
    const Tensor with = x.unsqueeze(random.chance(0.5) ? d : d - x.dim() - 1);
    check_view(x, with, Dense(wider, [&](const Shape& index) {
                 Shape from = index;
                 from.erase(d);
                 return values[from];
               }));
    check_view(x, with.squeeze(d), values);
    for (int own = 0; own < x.dim(); ++own) {
      Shape shape = x.shape();
      if (shape[own] == 1) shape.erase(own);
      CHECK(x.squeeze(own - x.dim()).shape() == shape);
      CHECK(x.squeeze(own).to_vector<double>() == values.values);
    }

    Shape target = x.shape(), named = x.shape();
    for (int own = 0; own < x.dim(); ++own) {
      if (x.shape()[own] == 1 && random.chance(0.7))
        target[own] = named[own] = random.integer(0, 3);
      else if (random.chance(0.5))
        named[own] = -1;
    }
    while (target.size() < 7 && random.chance(0.3)) {
      const std::int64_t size = random.integer(0, 3);
      target.insert(0, size);
      named.insert(0, size);
    }
    check_view(x, x.expand(named), Dense(target, [&](const Shape& index) { return values.broadcast(index); }));
  });
  CHECK(message_of([] { zeros({2, 3}).expand({3}); }) == "expand: shape [2, 3] to [3], expected no fewer dimensions");
  CHECK(message_of([] {
          zeros({2, 3}).expand({4, 3});
        }) == "expand: shape [2, 3] to [4, 3], expected sizes of 1 where they differ");
  CHECK(message_of([] {
          zeros({3}).expand({-1, 3});
        }) == "expand: shape [3] to [-1, 3], expected sizes of 1 where they differ");
  CHECK(message_of([] {
          zeros({1, 1, 1, 1, 1, 1, 1, 1}).unsqueeze(0);
        }) == "shape: a dimension too many for [1, 1, 1, 1, 1, 1, 1, 1], expected at most 8");
  CHECK(message_of([] { zeros({2}).squeeze(1); }) ==
        "squeeze: dimension 1 of a tensor with 1 dimensions, expected -1 to 0");
}

TEST_CASE("reshape, view and flatten keep the order of the elements", "[view]") {
  int copied = 0, viewed = 0;
  for_each_view(0, [&](Random& random, const Tensor& x) {
    // Any shape of as many elements: x's factors in another grouping, 1s among them.
    Shape target;
    std::int64_t merged = 1;
    for (const std::int64_t size : x.shape()) {
      merged *= size;
      if (random.chance(0.5)) continue;
      target.push_back(merged);
      merged = 1;
      if (random.chance(0.2)) target.push_back(1);
    }
    if (merged != 1 || x.numel() == 0) target.push_back(merged);
    if (target.size() > 0 && target[0] % 2 == 0 && target[0] > 0 && random.chance(0.5)) {
      target[0] /= 2;
      target.insert(static_cast<int>(random.integer(0, 1)), 2);
    }
    REQUIRE(target.numel() == x.numel());
    Shape named = target;
    if (x.numel() > 0 && target.size() > 0 && random.chance(0.5))
      named[static_cast<int>(random.integer(0, target.size() - 1))] = -1;
    CAPTURE(target, named);
    const Tensor y = x.reshape(named);
    check_equal(y, Dense(target, [&, i = std::size_t{0}](const Shape&) mutable { return x.to_vector<double>()[i++]; }));

    // view is reshape where that needs no copy, and it needs none exactly if the elements in row-major order lie on
    // strides: the first step along each dimension foretells all others.
    const bool copies = y.storage() != x.storage();
    (copies ? copied : viewed) += 1;
    if (copies)
      CHECK(message_of([&] { x.view(named); }) == text("view: shape ", x.shape(), " with strides ", x.strides(),
                                                       " cannot be seen as ", target,
                                                       " without a copy, expected reshape"));
    else
      check_view(x, x.view(named), Dense(y));
    std::vector<std::int64_t> places;
    for_each_index(x.shape(), [&](const Shape& index) {
      places.push_back(0);
      for (int d = 0; d < x.dim(); ++d) places.back() += index[d] * x.strides()[d];
    });
    const Shape dense = dense_strides(target);
    bool strided = true;
    std::int64_t i = 0;
    for_each_index(target, [&](const Shape& index) {
      std::int64_t place = 0;
      for (int d = 0; d < target.size(); ++d) {
        if (target[d] > 1) place += index[d] * places[static_cast<std::size_t>(dense[d])];
      }
      strided = strided && place == places[static_cast<std::size_t>(i++)];
    });
    CHECK(copies != strided);
  });
  CHECK(copied > 20);
  CHECK(viewed > 20);

  const Tensor x = zeros({2, 3, 4});
  CHECK(x.flatten().shape() == Shape{24});
  CHECK(x.flatten(1).shape() == Shape{2, 12});
  CHECK(x.flatten(0, 1).shape() == Shape{6, 4});
  CHECK(x.flatten(-2, -1).shape() == Shape{2, 12});
  CHECK(x.flatten(1, 1).shape() == Shape{2, 3, 4});
  CHECK(zeros({}).flatten().shape() == Shape{1});
  CHECK(x.reshape({-1}).storage() == x.storage());
  CHECK(x.reshape({2, 3, 4}).is_same(x));
  CHECK(zeros({0, 3}).reshape({-1, 3}).shape() == Shape{0, 3});
  CHECK(zeros({0, 3}).reshape({3, -1}).shape() == Shape{3, 0});
  CHECK(message_of([&] { x.reshape({5, -1}); }) == "reshape: shape [2, 3, 4] with 24 elements does not go into [5, 4]");
  CHECK(message_of([&] {
          x.reshape({-1, -1});
        }) == "reshape: shape [-1, -1], expected sizes of 0 or more and one -1 at most");
  CHECK(message_of([&] {
          x.view({24, -2});
        }) == "view: shape [24, -2], expected sizes of 0 or more and one -1 at most");
  CHECK(message_of([&] {
          zeros({0, 3}).reshape({0, -1});
        }) == "reshape: shape [0, 3] with 0 elements does not go into [0, -1]");
  CHECK(message_of([&] { x.flatten(2, 1); }) == "flatten: dimensions 2 to 1, expected the first before the last");
}

TEST_CASE("views, detach and copies of a handle share memory and its version", "[view]") {
  for (const Device device : devices()) {
    const Tensor x = arange(6).to(DType::float64).to(device).reshape({2, 3});
    const Tensor handle = x;
    const std::vector<Tensor> views{x.t(), x[1], x.narrow(1, 0, 2), x.reshape({3, 2}), x.detach(), x.unsqueeze(0)};
    const std::uint32_t before = x.storage()->version();
    views[1].fill_(7);
    CHECK(x.to_vector<double>() == std::vector<double>{0, 1, 2, 7, 7, 7});
    CHECK(views[0].to_vector<double>() == std::vector<double>{0, 7, 1, 7, 2, 7});
    CHECK(handle.is_same(x));
    CHECK_FALSE(views[4].is_same(x));
    for (const Tensor& view : views) CHECK(view.storage()->version() == before + 1);
    x.clone().fill_(0);
    CHECK(x[0][1].item() == 1);
    CHECK(x.storage()->version() == before + 1);
  }
}

TEST_CASE("a view keeps the memory of a tensor that is gone", "[view]") {
  for (const Device device : devices()) {
    const Tensor part = arange(5).to(device).narrow(0, 3, 2);
    CHECK(part.to_vector<std::int64_t>() == std::vector<std::int64_t>{3, 4});
  }
}

TEST_CASE("an undefined tensor only says that it is none", "[view]") {
  const Tensor none;
  CHECK_FALSE(none.defined());
  const std::string message = "tensor: undefined, expected one that holds an array";
  CHECK(message_of([&] { none.shape(); }) == message);
  CHECK(message_of([&] { none.reshape({1}); }) == message);
  CHECK(message_of([&] { none.item(); }) == message);
  CHECK(message_of([&] { none.backward(); }) == message);
}

}  // namespace tern::test
