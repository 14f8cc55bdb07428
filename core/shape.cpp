#include <tern/core/check.hpp>
#include <tern/core/shape.hpp>

#include <algorithm>
#include <ostream>

namespace tern {

Shape::Shape(std::span<const std::int64_t> dims) {
  check(dims.size() <= max_dims, "shape: {} dimensions, expected at most {}", dims.size(), max_dims);
  std::copy(dims.begin(), dims.end(), dims_.begin());
  size_ = static_cast<int>(dims.size());
}

void Shape::push_back(std::int64_t dim) { insert(size_, dim); }

void Shape::insert(int at, std::int64_t dim) {
  check(size_ < max_dims, "shape: a dimension too many for {}, expected at most {}", *this, max_dims);
  std::copy_backward(dims_.begin() + at, dims_.begin() + size_, dims_.begin() + size_ + 1);
  dims_[at] = dim;
  ++size_;
}

void Shape::erase(int at) {
  std::copy(dims_.begin() + at + 1, dims_.begin() + size_, dims_.begin() + at);
  --size_;
}

std::int64_t Shape::numel() const {
  std::int64_t product = 1;  // of sizes other than 0: strides multiply those, too
  bool empty = false, overflows = false;
  for (std::int64_t dim : *this) {
    empty = empty || dim == 0;
    overflows = overflows || (dim != 0 && __builtin_mul_overflow(product, dim, &product));
  }
  check(!overflows, "shape: {}, expected no more elements than int64 counts", *this);
  return empty ? 0 : product;
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(begin(), end(), ", ")); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.str(); }

Shape dense_strides(const Shape& shape) {
  Shape strides = shape;
  std::int64_t stride = 1;
  for (int d = shape.size() - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= shape[d];
  }
  return strides;
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  Shape out = a.size() >= b.size() ? a : b;
  const Shape& other = a.size() >= b.size() ? b : a;
  const int shift = out.size() - other.size();
  for (int d = 0; d < other.size(); ++d) {
    std::int64_t& size = out[d + shift];
    check(size == other[d] || size == 1 || other[d] == 1, "{}: shapes {} and {} do not broadcast: {} against {}", op, a,
          b, size, other[d]);
    if (size == 1) size = other[d];
  }
  return out;
}

int wrap_dim(const char* op, std::int64_t dim, int ndim) {
  const int n = std::max(ndim, 1);
  check(-n <= dim && dim < n, "{}: dimension {} of a tensor with {} dimensions, expected {} to {}", op, dim, ndim, -n,
        n - 1);
  return static_cast<int>(dim < 0 ? dim + n : dim);
}

int existing_dim(const char* op, std::int64_t dim, int ndim) {
  check(ndim > 0, "{}: dimension {} of a tensor without dimensions, expected one of them", op, dim);
  return wrap_dim(op, dim, ndim);
}

}  // namespace tern
