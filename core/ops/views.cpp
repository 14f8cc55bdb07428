#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/trace.hpp>

#include <optional>

/// Views share their source's memory. Recorded, their gradient is the reverse rearrangement.

namespace tern {
namespace {

/// Resolves a size of -1 and checks that the number of elements stays.
Shape resolved(const char* op, const Tensor& x, Shape shape) {
  int unknown = -1;
  Shape others = shape;
  for (int d = 0; d < shape.size(); ++d) {
    check(shape[d] >= -1 && (shape[d] >= 0 || unknown < 0),
          "{}: shape {}, expected sizes of 0 or more and one -1 at most", op, shape);
    if (shape[d] >= 0) continue;
    unknown = d;
    others[d] = 1;
  }
  const std::int64_t known = others.numel();
  if (unknown >= 0 && known > 0) shape[unknown] = x.numel() / known;
  check(shape.numel() == x.numel() && (unknown < 0 || known > 0), "{}: shape {} with {} elements does not go into {}",
        op, x.shape(), x.numel(), shape);
  return shape;
}

/// The strides that show x's elements as `shape`, if no copy is needed for that.
std::optional<Shape> strides_as(const Tensor& x, const Shape& shape) {
  if (x.is_contiguous() || x.numel() == 0) return dense_strides(shape);
  // Walk both shapes from the right. A run of x's dimensions that lies evenly in memory may be cut up anew.
  Shape strides = shape;
  int d = shape.size() - 1;
  std::int64_t run = 1, run_stride = x.strides().back();
  std::int64_t placed = 1;
  for (int own = x.dim() - 1; own >= 0; --own) {
    run *= x.shape()[own];
    const bool ends = own == 0 || (x.shape()[own - 1] != 1 && x.strides()[own - 1] != run * run_stride);
    if (!ends) continue;
    while (d >= 0 && (placed < run || shape[d] == 1)) {
      strides[d] = placed * run_stride;
      placed *= shape[d];
      --d;
    }
    if (placed != run) return std::nullopt;
    if (own > 0) {
      run_stride = x.strides()[own - 1];
      run = placed = 1;
    }
  }
  return strides;
}

Tensor viewed(const char* name, const Tensor& x, const Shape& shape, const Shape& strides) {
  if (Trace* const trace = Trace::current()) {
    return trace->run("reshape", {x}, {}, [&] { return viewed(name, x, shape, strides); });
  }
  return record(name, {x}, x.as_strided(shape, strides, x.storage_offset()),
                [from = x.shape()](const Tensor& g) { return g.reshape(from); });
}

}  // namespace

Tensor Tensor::view(const Shape& target) const {
  const Shape shape = resolved("view", *this, target);
  const std::optional<Shape> strides = strides_as(*this, shape);
  check(strides.has_value(), "view: shape {} with strides {} cannot be seen as {} without a copy, expected reshape",
        this->shape(), this->strides(), shape);
  return viewed("view", *this, shape, *strides);
}

Tensor Tensor::reshape(const Shape& target) const {
  const Shape shape = resolved("reshape", *this, target);
  if (shape == this->shape()) return *this;
  if (const std::optional<Shape> strides = strides_as(*this, shape)) return viewed("reshape", *this, shape, *strides);
  return viewed("reshape", contiguous(), shape, dense_strides(shape));
}

Tensor Tensor::flatten(std::int64_t start_dim, std::int64_t end_dim) const {
  const int first = wrap_dim("flatten", start_dim, dim()), last = wrap_dim("flatten", end_dim, dim());
  check(first <= last, "flatten: dimensions {} to {}, expected the first before the last", first, last);
  if (dim() == 0) return reshape({1});
  Shape flat;
  std::int64_t merged = 1;
  for (int d = 0; d < dim(); ++d) {
    if (d >= first && d <= last) merged *= shape()[d];
    if (d == last)
      flat.push_back(merged);
    else if (d < first || d > last)
      flat.push_back(shape()[d]);
  }
  return reshape(flat);
}

Tensor Tensor::permute(const Shape& dims) const {
  if (Trace* const trace = Trace::current()) {
    return trace->run("permute", {*this}, {{"dims", dims}}, [&] { return permute(dims); });
  }
  check(dims.size() == dim(), "permute: {} names {} dimensions of shape {}, expected {}", dims, dims.size(), shape(),
        dim());
  Shape order = dims, shape = this->shape(), strides = this->strides(), inverse = dims;
  unsigned seen = 0;
  for (int d = 0; d < dim(); ++d) {
    order[d] = wrap_dim("permute", dims[d], dim());
    shape[d] = this->shape()[static_cast<int>(order[d])];
    strides[d] = this->strides()[static_cast<int>(order[d])];
    inverse[static_cast<int>(order[d])] = d;
    seen |= 1u << order[d];
  }
  check(seen == (1u << dim()) - 1, "permute: {}, expected each dimension of {} once", dims, this->shape());
  return record("permute", {*this}, as_strided(shape, strides, storage_offset()),
                [inverse](const Tensor& g) { return g.permute(inverse); });
}

Tensor Tensor::transpose(std::int64_t dim0, std::int64_t dim1) const {
  Shape order = shape();
  for (int d = 0; d < dim(); ++d) order[d] = d;
  std::swap(order[wrap_dim("transpose", dim0, dim())], order[wrap_dim("transpose", dim1, dim())]);
  return permute(order);
}

Tensor Tensor::t() const {
  check(dim() == 2, "t: shape {}, expected two dimensions", shape());
  return transpose(0, 1);
}

Tensor Tensor::T() const {
  Shape dims;
  for (int d = dim() - 1; d >= 0; --d) dims.push_back(d);
  return permute(dims);
}

namespace {

/// A tensor of that shape with x where narrow() would show it, else zeros: the gradient of narrow.
Tensor widened(const Tensor& x, const Shape& shape, int dim, std::int64_t start) {
  const Tensor y = zeros(shape, {.dtype = x.dtype(), .device = x.device()});
  const std::int64_t length = x.shape()[dim];
  copy_into(x, y.narrow(dim, start, length));
  return record("narrow_backward", {x}, y,
                [dim, start, length](const Tensor& g) { return g.narrow(dim, start, length); });
}

}  // namespace

Tensor Tensor::narrow(std::int64_t dim, std::int64_t start, std::int64_t length) const {
  const int d = existing_dim("narrow", dim, this->dim());
  check(start >= 0 && length >= 0 && start <= shape()[d] - length,
        "narrow: {} elements from {} on of dimension {} of shape {}, expected within 0 to {}", length, start, d,
        shape(), shape()[d]);
  if (Trace* const trace = Trace::current()) {
    return trace->run("narrow", {*this}, {{"dim", d}, {"start", start}, {"length", length}},
                      [&] { return narrow(d, start, length); });
  }
  Shape part = shape();
  part[d] = length;
  // What has no elements lies where it did: there may be nothing where it would begin.
  const std::int64_t begin = part.numel() == 0 ? 0 : start * strides()[d];
  return record("narrow", {*this}, as_strided(part, strides(), storage_offset() + begin),
                [from = shape(), d, start](const Tensor& g) { return widened(g, from, d, start); });
}

Tensor Tensor::select(std::int64_t dim, std::int64_t index) const {
  const int d = existing_dim("select", dim, this->dim());
  check(-shape()[d] <= index && index < shape()[d], "select: index {} of dimension {} of shape {}, expected {} to {}",
        index, d, shape(), -shape()[d], shape()[d] - 1);
  return narrow(d, index < 0 ? index + shape()[d] : index, 1).squeeze(d);
}

Tensor Tensor::squeeze() const {
  Shape shape, strides;
  for (int d = 0; d < dim(); ++d) {
    if (this->shape()[d] == 1) continue;
    shape.push_back(this->shape()[d]);
    strides.push_back(this->strides()[d]);
  }
  return shape.size() == dim() ? *this : viewed("squeeze", *this, shape, strides);
}

Tensor Tensor::squeeze(std::int64_t dim) const {
  const int d = wrap_dim("squeeze", dim, this->dim());
  if (this->dim() == 0 || shape()[d] != 1) return *this;
  Shape shape = this->shape(), strides = this->strides();
  shape.erase(d);
  strides.erase(d);
  return viewed("squeeze", *this, shape, strides);
}

Tensor Tensor::unsqueeze(std::int64_t dim) const {
  const int d = wrap_dim("unsqueeze", dim, this->dim() + 1);
  Shape shape = this->shape(), strides = this->strides();
  const std::int64_t stride = d < this->dim() ? shape[d] * strides[d] : 1;
  shape.insert(d, 1);
  strides.insert(d, stride);
  return viewed("unsqueeze", *this, shape, strides);
}

Tensor Tensor::expand(const Shape& target) const {
  if (Trace* const trace = Trace::current()) {
    return trace->run("expand", {*this}, {}, [&] { return expand(target); });
  }
  const int extra = target.size() - dim();
  check(extra >= 0, "expand: shape {} to {}, expected no fewer dimensions", shape(), target);
  Shape wide = target, strides = target;
  for (int d = 0; d < target.size(); ++d) {
    const std::int64_t own = d < extra ? 1 : shape()[d - extra];
    if (wide[d] == -1 && d >= extra) wide[d] = own;
    check(wide[d] >= 0 && (own == wide[d] || own == 1), "expand: shape {} to {}, expected sizes of 1 where they differ",
          shape(), target);
    strides[d] = own == wide[d] && d >= extra ? this->strides()[d - extra] : 0;
  }
  wide.numel();  // throws for too many
  return record("expand", {*this}, as_strided(wide, strides, storage_offset()),
                [from = shape()](const Tensor& g) { return sum_to(g, from); });
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::clone() const {
  if (Trace* const trace = Trace::current()) return trace->run("clone", {*this}, {}, [&] { return clone(); });
  const Tensor y = empty_like(*this);
  copy_into(*this, y);
  return record("clone", {*this}, y, [](const Tensor& g) { return g; });
}

Tensor Tensor::to(Device target) const {
  if (target == device()) return *this;
  if (Trace* const trace = Trace::current()) return trace->run("clone", {*this}, {}, [&] { return to(target); });
  const Tensor x = contiguous(), y = empty(shape(), {.dtype = dtype(), .device = target});
  const std::size_t bytes = static_cast<std::size_t>(numel()) * size_of(dtype());
  for_moved(x, [&]<class T>(kernels::MoveKernels<T>&) {
    if (device().on_host()) {
      backend(target).upload(bytes, x.data<T>(), y.data<T>());
    } else if (target.on_host()) {
      backend(device()).download(bytes, x.data<T>(), y.data<T>());
    } else {
      const Tensor host = x.to(Device::cpu);
      backend(target).upload(bytes, host.data<T>(), y.data<T>());
    }
  });
  return record("to", {x}, y, [from = device()](const Tensor& g) { return g.to(from); });
}

Tensor Tensor::to(DType target) const {
  if (target == dtype()) return *this;
  if (Trace* const trace = Trace::current()) return trace->run("to", {*this}, {}, [&] { return to(target); });
  if (is_half(target) ? dtype() != DType::float32 : is_half(dtype()) && target != DType::float32) {
    return to(DType::float32).to(target);
  }
  const Tensor x = contiguous(), y = empty(shape(), {.dtype = target, .device = device()});
  if (is_half(target)) {
    for_half(y, [&]<class T>(kernels::HalfKernels<T>& k) { k.cast(numel(), x.data<float>(), y.data<T>()); });
  } else if (is_half(dtype())) {
    for_half(x, [&]<class T>(kernels::HalfKernels<T>& k) { k.cast(numel(), x.data<T>(), y.data<float>()); });
  } else {
    for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
      switch (target) {
        case DType::uint8:
          return k.cast(numel(), x.data<T>(), y.data<std::uint8_t>());
        case DType::int64:
          return k.cast(numel(), x.data<T>(), y.data<std::int64_t>());
        case DType::float64:
          return k.cast(numel(), x.data<T>(), y.data<double>());
        default:
          return k.cast(numel(), x.data<T>(), y.data<float>());
      }
    });
  }
  if (!is_floating(target)) return y;
  return record("to", {x}, y, [from = dtype()](const Tensor& g) { return g.to(from); });
}

}  // namespace tern
