#pragma once

#include <tern/core/device.hpp>
#include <tern/core/dtype.hpp>
#include <tern/core/shape.hpp>
#include <tern/kernels/error.hpp>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace tern {

class Tensor;
struct EllipsisType;
struct MaxResult;
struct Node;
struct Slice;
struct SortResult;
/// What may stand in x.index({...}): see index() in ops.hpp.
using TensorIndex = std::variant<std::int64_t, Slice, Tensor, std::nullopt_t, EllipsisType>;

/// A block of a device's memory, freed with its last tensor.
class Storage {
 public:
  Storage(Device device, std::size_t bytes);  ///< uninitialised; throws Error where there is not so much
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// Where it lies, its size, and whose it is.
  /// @{
  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }

  /// @}

  /// Counts the in-place changes, so that a gradient can tell that what it saved is no longer there.
  /// @{
  std::uint32_t version() const { return version_; }
  void bump_version() { ++version_; }

  /// @}

  /// Whether it holds ones and nobody may write to it: what Tensor::backward() begins with. graph_access.hpp
  bool is_unit() const { return is_unit_; }

 private:
  kernels::Backend& backend_;
  Device device_;
  std::size_t bytes_;
  void* data_;
  std::uint32_t version_ = 0, recorded_ = 0;  ///< changes in place, and those that are in a graph
  bool is_unit_ = false;

  friend class Tensor;
  friend struct GraphAccess;
};

/// What a new tensor is like: its dtype, its device, and whether it requires_grad.
struct TensorOptions {
  std::optional<DType> dtype = {};  ///< of the elements; none: float32 unless the function says otherwise
  Device device = Device::cpu;      ///< where the elements lie
  bool requires_grad = false;       ///< whether it is a leaf that collects a gradient; floating dtypes only
};

/// What registering a hook returns. Letting it go leaves the hook where it is.
class RemovableHandle {
 public:
  explicit RemovableHandle(std::function<void()> remove) : remove_(std::move(remove)) {}  ///< what remove() does
  void remove() const { remove_(); }  ///< the hook; without effect the second time

 private:
  std::function<void()> remove_;
};

/// A cheap handle on an n-dimensional array: copies share the array, as in PyTorch. Views (reshape, permute, narrow,
/// expand, ...) share memory and, where recorded, gradients. The default-made Tensor is undefined: it only answers
/// defined().
///
/// Everything throws tern::Error on bad input before anything is changed.
///
/// Handles may be copied, read and let go by any number of threads, and graphs that share tensors be built and freed in
/// any. Who writes to an array, or runs backward() into the same leaves, must be alone with it.
class Tensor {
 public:
  Tensor() = default;

  /// Whether it is a tensor at all.
  bool defined() const { return impl_ != nullptr; }
  /// Sizes, the steps between neighbours of each dimension in elements, and the number of dimensions.
  /// @{
  const Shape& shape() const;
  const Shape& strides() const;
  int dim() const { return shape().size(); }

  /// @}

  /// The size of one dimension; negative counts from the end.
  std::int64_t size(std::int64_t dim) const;
  /// How many elements, of what type, where; and whether they lie densely in row-major order.
  /// @{
  std::int64_t numel() const;
  DType dtype() const;
  Device device() const;
  bool is_contiguous() const;
  /// @}

  /// The first element. T must be the dtype's C++ type. Memory of a cuda device is not for the host to touch.
  /// Writing through the pointer is not seen by autograd's version check.
  template <class T>
  T* data() const {
    return static_cast<T*>(checked_data(dtype_of<T>()));
  }
  /// The only element, converted to T. Waits for the device.
  template <class T = double>
  T item() const {
    return dtype() == DType::int64 ? kernels::converted<T>(item_int64()) : kernels::converted<T>(item_double());
  }
  /// All elements in row-major order, converted to T. Waits for the device.
  template <class T>
  std::vector<T> to_vector() const;
  /// The memory, which other tensors may share.
  const std::shared_ptr<Storage>& storage() const;

  /// Views: no element is copied, except that reshape copies what cannot be viewed. One size may be -1.
  /// @{
  Tensor reshape(const Shape& shape) const;
  Tensor view(const Shape& shape) const;  ///< throws where reshape would copy
  Tensor flatten(std::int64_t start_dim = 0, std::int64_t end_dim = -1) const;
  Tensor permute(const Shape& dims) const;
  Tensor transpose(std::int64_t dim0, std::int64_t dim1) const;
  Tensor t() const;  ///< a matrix's transpose
  Tensor T() const;  ///< all dimensions in reverse order
  Tensor narrow(std::int64_t dim, std::int64_t start, std::int64_t length) const;
  Tensor select(std::int64_t dim, std::int64_t index) const;
  Tensor operator[](std::int64_t index) const { return select(0, index); }
  Tensor operator[](const Tensor& index) const;  ///< what a mask or int64 places choose of the first dimensions: a copy
  Tensor squeeze() const;                        ///< every dimension of size 1 goes
  Tensor squeeze(std::int64_t dim) const;
  Tensor unsqueeze(std::int64_t dim) const;
  Tensor expand(const Shape& shape) const;  ///< sizes of 1 stretch; -1 keeps a size
  Tensor reshape_as(const Tensor& other) const { return reshape(other.shape()); }
  Tensor view_as(const Tensor& other) const { return view(other.shape()); }
  Tensor expand_as(const Tensor& other) const { return expand(other.shape()); }

  /// @}

  /// In row-major order: itself where it is so already, else a copy; or a copy always. Gradients flow through both.
  /// @{
  Tensor contiguous() const;
  Tensor clone() const;
  /// @}
  Tensor detach() const;  ///< shares memory, cut off from the graph
  /// On that device: itself where it is there already, else a copy.
  Tensor to(Device device) const;
  /// Towards zero from floats to integers: the nearest there is where those are too small, 0 from NaN. Modulo 256 from
  /// int64 to uint8.
  Tensor to(DType dtype) const;
  /// to() such a device.
  /// @{
  Tensor cpu() const { return to(Device::cpu); }
  Tensor cuda() const { return to(Device::cuda); }

  /// @}

  /// In place. Where something requires grad they are recorded: this becomes the op's result, and the gradient of an
  /// earlier op that needs what was there before is an Error. Refused are then leaves that require grad, which want a
  /// NoGradGuard around it, and views; other tensors that show the same memory can no longer be used in the graph.
  /// fill_, uniform_ and normal_ are not recorded. An expanded tensor is refused, as its elements are there once but
  /// shown several times. +=, -=, *= and /= are the same.
  /// @{
  const Tensor& add_(Scalar number) const;
  const Tensor& add_(const Tensor& other, Scalar alpha = 1) const;  ///< this += alpha * other
  const Tensor& sub_(const Tensor& other, Scalar alpha = 1) const;
  const Tensor& sub_(Scalar number) const;
  const Tensor& mul_(const Tensor& other) const;
  const Tensor& mul_(Scalar factor) const;
  const Tensor& div_(const Tensor& other) const;
  const Tensor& div_(Scalar number) const;
  const Tensor& clamp_(std::optional<Scalar> min, std::optional<Scalar> max = {}) const;
  const Tensor& exp_() const;
  const Tensor& masked_fill_(const Tensor& mask, Scalar value) const;
  const Tensor& pow_(double exponent) const;
  const Tensor& relu_() const;
  const Tensor& sqrt_() const;
  const Tensor& index_put_(const std::vector<TensorIndex>& indices, const Tensor& values,
                           bool accumulate = false) const;
  /// @}

  /// With numbers from default_generator().
  /// @{
  const Tensor& uniform_(double low = 0, double high = 1) const;
  const Tensor& normal_(double mean = 0, double std = 1) const;
  /// @}
  /// One number everywhere.
  /// @{
  const Tensor& fill_(Scalar value) const;
  const Tensor& zero_() const { return fill_(0); }

  /// @}
  const Tensor& copy_(const Tensor& source) const;  ///< from any device and dtype, broadcasting

  /// The same functions stand free in ops.hpp, with their comments.
  /// @{
  Tensor neg() const;
  Tensor add(const Tensor& other, Scalar alpha = 1) const;  ///< this + alpha * other
  Tensor sub(const Tensor& other, Scalar alpha = 1) const;
  Tensor mul(const Tensor& other) const;
  Tensor div(const Tensor& other) const;
  Tensor exp() const;
  Tensor log() const;
  Tensor sqrt() const;
  Tensor pow(double exponent) const;
  Tensor pow(const Tensor& exponent) const;
  Tensor tanh() const;
  Tensor relu() const;
  Tensor sigmoid() const;
  Tensor sin() const;
  Tensor cos() const;
  Tensor rsqrt() const;
  Tensor abs() const;
  Tensor round() const;
  Tensor floor() const;
  Tensor ceil() const;
  Tensor sign() const;
  Tensor log1p() const;
  Tensor expm1() const;
  Tensor erf() const;
  Tensor reciprocal() const;
  Tensor square() const;
  Tensor clamp(std::optional<Scalar> min, std::optional<Scalar> max = {}) const;
  Tensor sum() const;
  Tensor sum(const Shape& dims, bool keepdim = false) const;
  Tensor mean() const;
  Tensor mean(const Shape& dims, bool keepdim = false) const;
  Tensor prod() const;
  Tensor prod(std::int64_t dim, bool keepdim = false) const;
  Tensor var(const Shape& dims = {}, double correction = 1, bool keepdim = false) const;
  Tensor std(const Shape& dims = {}, double correction = 1, bool keepdim = false) const;
  Tensor norm(double p = 2, const Shape& dims = {}, bool keepdim = false) const;
  Tensor logsumexp(const Shape& dims, bool keepdim = false) const;
  Tensor all(const Shape& dims = {}, bool keepdim = false) const;
  Tensor any(const Shape& dims = {}, bool keepdim = false) const;
  Tensor cumsum(std::int64_t dim) const;
  Tensor cumprod(std::int64_t dim) const;
  Tensor max() const;
  MaxResult max(std::int64_t dim, bool keepdim = false) const;
  Tensor min() const;
  MaxResult min(std::int64_t dim, bool keepdim = false) const;
  Tensor amax(const Shape& dims = {}, bool keepdim = false) const;
  Tensor amin(const Shape& dims = {}, bool keepdim = false) const;
  Tensor argmax() const;
  Tensor argmax(std::int64_t dim, bool keepdim = false) const;
  Tensor argmin() const;
  Tensor argmin(std::int64_t dim, bool keepdim = false) const;
  SortResult sort(std::int64_t dim = -1, bool descending = false) const;
  Tensor argsort(std::int64_t dim = -1, bool descending = false) const;
  SortResult topk(std::int64_t k, std::int64_t dim = -1, bool largest = true) const;
  Tensor softmax(std::int64_t dim) const;
  Tensor log_softmax(std::int64_t dim) const;
  Tensor matmul(const Tensor& other) const;
  Tensor mm(const Tensor& other) const;
  Tensor bmm(const Tensor& other) const;
  Tensor mv(const Tensor& other) const;
  Tensor dot(const Tensor& other) const;
  Tensor eq(const Tensor& other) const;
  Tensor isnan() const;
  Tensor isinf() const;
  Tensor isfinite() const;
  Tensor where(const Tensor& condition, const Tensor& other) const;  ///< this where the condition holds
  Tensor masked_fill(const Tensor& mask, Scalar value) const;
  Tensor masked_select(const Tensor& mask) const;
  Tensor nonzero() const;
  Tensor index(const std::vector<TensorIndex>& indices) const;
  Tensor gather(std::int64_t dim, const Tensor& index) const;
  Tensor scatter(std::int64_t dim, const Tensor& index, const Tensor& src) const;
  Tensor scatter_add(std::int64_t dim, const Tensor& index, const Tensor& src) const;
  Tensor index_add(std::int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha = 1) const;
  std::vector<Tensor> split(std::int64_t split_size, std::int64_t dim = 0) const;
  std::vector<Tensor> split(const std::vector<std::int64_t>& sizes, std::int64_t dim = 0) const;
  std::vector<Tensor> chunk(std::int64_t chunks, std::int64_t dim = 0) const;
  std::vector<Tensor> unbind(std::int64_t dim = 0) const;
  Tensor unflatten(std::int64_t dim, const Shape& sizes) const;
  Tensor movedim(std::int64_t source, std::int64_t destination) const;
  Tensor repeat(const Shape& repeats) const;
  Tensor flip(const Shape& dims) const;
  Tensor roll(const Shape& shifts, const Shape& dims = {}) const;
  Tensor tril(std::int64_t diagonal = 0) const;
  Tensor triu(std::int64_t diagonal = 0) const;
  Tensor index_select(std::int64_t dim, const Tensor& index) const;
  /// @}

  // Autograd.
  bool requires_grad() const;  ///< set by the user, or computed from something that requires grad
  /// Of a leaf. Returns itself.
  const Tensor& set_requires_grad(bool value = true) const;
  /// Whether no recorded op made it.
  bool is_leaf() const { return grad_node() == nullptr; }
  Tensor grad() const;  ///< undefined before the first backward
  /// Puts another tensor of its shape, dtype and device in its place, or an undefined one.
  void set_grad(const Tensor& grad) const;
  /// The gradient of this, a single element, by every leaf it was computed from, added to the leaves' grad().
  /// The graph is freed on the way unless retain_graph. With create_graph, which retains it, the gradients are computed
  /// from what they depend on as any result is, and can be differentiated again; as a leaf's grad() then leads back to
  /// the leaf, both stay until it is set to another. tern::grad() has no such circle.
  void backward(bool retain_graph = false, bool create_graph = false) const;
  /// The same for any shape, with the gradient by this tensor given.
  void backward(const Tensor& gradient, bool retain_graph = false, bool create_graph = false) const;
  /// Has passes from now on call `hook` with the gradient by this tensor, once it is complete: Tensor hook(const
  /// Tensor&) returns another one for its place, or an undefined tensor for none; what it returns may also be void. A
  /// leaf's sees what one pass adds to grad(). Hooks run in their order. Throws where nothing requires grad.
  template <class F>
  RemovableHandle register_hook(F hook) const {
    if constexpr (std::is_void_v<std::invoke_result_t<F, const Tensor&>>) {
      return add_hook([hook = std::move(hook)](const Tensor& gradient) mutable {
        hook(gradient);
        return Tensor();
      });
    } else {
      return add_hook(std::move(hook));
    }
  }
  /// Has backward() fill grad() of this result of an op as it does a leaf's. A leaf has it anyway.
  void retain_grad() const;
  /// The recorded op that made this; null for a leaf.
  const std::shared_ptr<Node>& grad_node() const;

  /// A new handle on the same memory, seen with another shape, strides and offset (in elements). Not recorded. Throws
  /// Error for negative numbers and for what does not lie within the storage.
  Tensor as_strided(const Shape& shape, const Shape& strides, std::int64_t offset) const;
  /// Where its first element lies in the storage, in elements.
  std::int64_t storage_offset() const;
  /// Whether both are the same array, not just equal ones.
  bool is_same(const Tensor& other) const { return impl_ == other.impl_; }

 private:
  struct Impl;
  explicit Tensor(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const;
  void* checked_data(DType expected) const;
  double item_double() const;
  std::int64_t item_int64() const;
  RemovableHandle add_hook(std::function<Tensor(const Tensor&)> hook) const;

  std::shared_ptr<Impl> impl_;

  friend Tensor empty(const Shape& shape, const TensorOptions& options);
  friend struct GraphAccess;
};

/// Uninitialised elements.
Tensor empty(const Shape& shape, const TensorOptions& options = {});
/// The same number everywhere.
/// @{
Tensor zeros(const Shape& shape, const TensorOptions& options = {});
Tensor ones(const Shape& shape, const TensorOptions& options = {});
Tensor full(const Shape& shape, Scalar value, const TensorOptions& options = {});
/// @}

/// The shape, dtype and device of another tensor.
/// @{
Tensor empty_like(const Tensor& x);
Tensor zeros_like(const Tensor& x);
Tensor ones_like(const Tensor& x);
/// @}

/// [0, 1, ..., n - 1], int64 unless the options name a dtype.
Tensor arange(std::int64_t n, const TensorOptions& options = {});

Tensor stack(const std::vector<Tensor>& tensors, std::int64_t dim);

/// A copy of the elements, in T's dtype: [n], or reshaped: tensor(values).reshape({2, 3}).
template <class T>
Tensor tensor(const std::vector<T>& values, Device device = Device::cpu);
/// Of what stands there: int64 of whole numbers, uint8 of bools. tensor({{1, 2}, {3, 4}}) is [2, 2].
/// @{
template <class T>
Tensor tensor(std::initializer_list<T> values, Device device = Device::cpu) {
  using Whole =
      std::conditional_t<std::is_same_v<T, bool> || std::is_same_v<T, std::uint8_t>, std::uint8_t, std::int64_t>;
  using Element = std::conditional_t<std::is_integral_v<T>, Whole, T>;
  return tensor(std::vector<Element>(values.begin(), values.end()), device);
}
template <class T>
Tensor tensor(std::initializer_list<std::initializer_list<T>> values, Device device = Device::cpu) {
  std::vector<Tensor> slices;
  for (const auto& slice : values) slices.push_back(tensor(slice, device));
  return stack(slices, 0);
}
template <class T>
Tensor tensor(std::initializer_list<std::initializer_list<std::initializer_list<T>>> values,
              Device device = Device::cpu) {
  std::vector<Tensor> slices;
  for (const auto& slice : values) slices.push_back(tensor(slice, device));
  return stack(slices, 0);
}

/// @}

/// Prints as PyTorch does, with dtype and shape at the end. Beyond 1000 elements a dimension shows three at either end;
/// the format follows from what is shown, and no more than that is copied.
std::ostream& operator<<(std::ostream& out, const Tensor& x);

}  // namespace tern
