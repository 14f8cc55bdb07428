#pragma once

#include <tern/kernels/backend.hpp>

#include <array>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>

namespace tern {

/// A short list of sizes, strides or dimensions, held in place: at most 8.
class Shape {
 public:
  /// How long it may be.
  static constexpr int max_dims = kernels::max_dims;

  constexpr Shape() = default;
  Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}  ///< {2, 3}
  /// One number alone: zeros(3), x.sum(0), x.reshape(-1).
  template <std::integral T>
  Shape(T dim) : Shape({static_cast<std::int64_t>(dim)}) {}
  /// Throws Error for more than 8.
  explicit Shape(std::span<const std::int64_t> dims);

  /// As of a std::vector; indices are not checked.
  /// @{
  int size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::int64_t operator[](int i) const { return dims_[static_cast<std::size_t>(i)]; }
  std::int64_t& operator[](int i) { return dims_[static_cast<std::size_t>(i)]; }
  const std::int64_t* begin() const { return dims_.data(); }
  const std::int64_t* end() const { return dims_.data() + size_; }
  std::int64_t back() const { return (*this)[size_ - 1]; }

  /// @}
  /// Puts one at the end or before another, or takes one out. Throws Error for more than 8.
  /// @{
  void push_back(std::int64_t dim);
  void insert(int at, std::int64_t dim);
  void erase(int at);
  /// @}

  /// The product of all; 1 for none. Throws Error where int64 cannot hold it.
  std::int64_t numel() const;
  /// "[64, 3, 32, 32]"
  std::string str() const;

  /// Whether they have the same numbers.
  friend bool operator==(const Shape& a, const Shape& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

 private:
  std::array<std::int64_t, max_dims> dims_{};
  int size_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);  ///< as str()

/// The strides, in elements, of dense row-major memory.
Shape dense_strides(const Shape& shape);

/// NumPy's rule: sizes are matched from the right, and a size of 1 (or none) stretches to the other.
/// Throws Error naming `op` where two sizes differ and neither is 1.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

/// Counts a negative dimension from the end. Throws Error naming `op` unless -ndim <= dim < ndim. A tensor without
/// dimensions counts as one with one: 0 and -1 name that.
int wrap_dim(const char* op, std::int64_t dim, int ndim);
/// The same for ops that want the dimension to be there.
int existing_dim(const char* op, std::int64_t dim, int ndim);

}  // namespace tern
