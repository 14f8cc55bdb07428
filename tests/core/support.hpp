#pragma once

/// What the tests of tensors share: the devices, random shapes and layouts, expected values index by index, and
/// messages.

#include <tern/core/tensor.hpp>

#include <random.hpp>

#include <algorithm>
#include <functional>
#include <iostream>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

namespace tern {

inline std::ostream& operator<<(std::ostream& out, DType dtype) { return out << name_of(dtype); }
inline std::ostream& operator<<(std::ostream& out, Device device) { return out << device.str(); }

}  // namespace tern

namespace tern::test {

/// Every device that this build and this machine have, the reference first.
inline const std::vector<Device>& devices() {
  static const std::vector<Device> all = [] {
    std::vector<Device> list{Device::reference, Device::cpu};
    try {
      backend(Device::cuda);
      list.push_back(Device::cuda);
    } catch (const Error& e) {
      std::cout << "cuda is skipped: " << e.what() << "; TERN_CUDA=EMULATE checks its kernels on the host" << std::endl;
    }
    return list;
  }();
  return all;
}

inline const DType all_dtypes[] = {DType::uint8,    DType::int64,   DType::float16,
                                    DType::bfloat16, DType::float32, DType::float64};

/// All of these as one line, numbers with every digit.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  out.precision(17);
  (out << ... << parts);
  return out.str();
}

/// The message of the Error that f throws.
template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "(nothing was thrown)";
}

/// Calls f(index) for every index into `shape`, in row-major order.
template <class F>
void for_each_index(const Shape& shape, F f) {
  Shape index = shape;
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    std::int64_t rest = i;
    for (int d = shape.size() - 1; d >= 0; --d) {
      index[d] = rest % shape[d];
      rest /= shape[d];
    }
    f(static_cast<const Shape&>(index));
  }
}

/// An array that is read by its indices: where expected values come from.
struct Dense {
  Shape shape;
  std::vector<double> values;

  explicit Dense(const Tensor& x) : shape(x.shape()), values(x.to_vector<double>()) {}

  /// value(index) for every index.
  template <class F>
  Dense(const Shape& of, F value) : shape(of) {
    for_each_index(shape, [&](const Shape& index) { values.push_back(value(index)); });
  }

  double operator[](const Shape& index) const {
    std::int64_t at = 0;
    for (int d = 0; d < shape.size(); ++d) at = at * shape[d] + index[d];
    return values[static_cast<std::size_t>(at)];
  }

  /// The element that NumPy's broadcasting puts at an index of a wider shape.
  double broadcast(const Shape& index) const {
    Shape own = shape;
    for (int d = 0; d < shape.size(); ++d) own[d] = shape[d] == 1 ? 0 : index[index.size() - shape.size() + d];
    return (*this)[own];
  }
};

/// Bit by bit, but one NaN is as good as another.
inline bool same(double a, double b) { return a == b || (a != a && b != b); }

inline std::string first_difference(const std::vector<double>& want, const std::vector<double>& got) {
  if (want.size() != got.size()) return text(got.size(), " elements, expected ", want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (!same(want[i], got[i])) return text("element ", i, " is ", got[i], ", expected ", want[i]);
  }
  return "";
}

/// Fails the test unless x has this shape and exactly these values.
inline void check_equal(const Tensor& x, const Dense& want) {
  CHECK(x.shape() == want.shape);
  CHECK(first_difference(want.values, x.to_vector<double>()) == "");
}
inline void check_equal(const Tensor& x, const Tensor& want) {
  CHECK(x.dtype() == want.dtype());
  check_equal(x, Dense(want));
}

/// Sizes of 1 often, others up to `largest`, one of 0 with the chance given.
inline Shape random_shape(Random& random, int min_dims, int max_dims, std::int64_t largest, double empty = 0) {
  Shape shape;
  const auto dims = random.integer(min_dims, max_dims);
  for (int d = 0; d < dims; ++d) {
    shape.push_back(random.chance(empty) ? 0 : random.chance(0.25) ? 1 : random.integer(2, largest));
  }
  return shape;
}

inline Shape random_order(Random& random, int dims) {
  Shape order;
  for (int d = 0; d < dims; ++d) order.push_back(d);
  for (int d = dims - 1; d > 0; --d) std::swap(order[d], order[static_cast<int>(random.integer(0, d))]);
  return order;
}

/// How a tensor of some shape may come to lie in memory: as it is, permuted, cut out of a larger one, or repeated. A
/// view of a tensor of `source_shape` has the shape that was asked for.
struct Layout {
  Shape source_shape;
  std::function<Tensor(const Tensor&)> view = [](const Tensor& x) { return x; };

  Layout(Random& random, const Shape& shape, bool may_repeat = true) : source_shape(shape) {
    const int dims = shape.size();
    switch (dims == 0 ? random.integer(3, 4) : random.integer(0, may_repeat ? 5 : 4)) {
      case 0: {
        const Shape order = random_order(random, dims);
        for (int d = 0; d < dims; ++d) source_shape[static_cast<int>(order[d])] = shape[d];
        view = [order](const Tensor& x) { return x.permute(order); };
        break;
      }
      case 1: {
        const int d = static_cast<int>(random.integer(0, dims - 1));
        const std::int64_t before = random.integer(0, 2), length = shape[d];
        source_shape[d] = before + length + random.integer(0, 2);
        view = [=](const Tensor& x) { return x.narrow(d, before, length); };
        break;
      }
      case 2:
      case 3:
        if (dims == Shape::max_dims) break;
        source_shape.insert(0, 2);
        view = [](const Tensor& x) { return x.select(0, 1); };
        break;
      case 5:
        for (int d = 0; d < dims; ++d) {
          if (random.chance(0.5)) source_shape[d] = 1;
        }
        view = [shape](const Tensor& x) { return x.expand(shape); };
        break;
      default:
        break;
    }
  }
};

/// Values as the dtype has them, NaN and infinities included where `spoilt`.
inline Tensor random_tensor(Random& random, const Shape& shape, DType dtype, Device device, bool spoilt = false) {
  std::vector<double> values = dtype == DType::uint8 ? random.between<double>(shape.numel(), 0, 256)
                               : is_floating(dtype)  ? random.between<double>(shape.numel(), -3, 3)
                                                     : random.between<double>(shape.numel(), -9, 9);
  if (spoilt && is_floating(dtype)) random.spoil(values);
  return tensor(values).to(dtype).to(device).reshape(shape);
}

/// The same, lying in memory in any way.
inline Tensor random_view(Random& random, const Shape& shape, DType dtype, Device device, bool may_repeat = true) {
  const Layout layout(random, shape, may_repeat);
  return layout.view(random_tensor(random, layout.source_shape, dtype, device));
}

}  // namespace tern::test
