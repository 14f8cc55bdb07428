#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

namespace tern {
namespace {

/// The stride of x along dimension d of a shape that x broadcasts to.
std::int64_t stretched_stride(const Tensor& x, const Shape& shape, int d) {
  const int own = d - (shape.size() - x.dim());
  return own < 0 || x.shape()[own] == 1 ? 0 : x.strides()[own];
}

}  // namespace

kernels::Strided broadcast_walk(const Tensor& a, const Tensor& b, const Shape& shape) {
  kernels::Strided walk;
  for (int d = 0; d < shape.size(); ++d) {
    if (shape[d] == 1) continue;
    const std::int64_t stride_a = stretched_stride(a, shape, d), stride_b = stretched_stride(b, shape, d);
    const int last = walk.ndim - 1;
    if (last >= 0 && walk.a[last] == stride_a * shape[d] && walk.b[last] == stride_b * shape[d]) {
      walk.size[last] *= shape[d];  // the outer dimension carries on where this one ends: one loop does for both
      walk.a[last] = stride_a;
      walk.b[last] = stride_b;
    } else {
      walk.size[walk.ndim] = shape[d];
      walk.a[walk.ndim] = stride_a;
      walk.b[walk.ndim] = stride_b;
      ++walk.ndim;
    }
  }
  return walk;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Shape stretched;
  const int extra = x.dim() - shape.size();
  for (int d = 0; d < x.dim(); ++d) {
    if (d < extra || (shape[d - extra] == 1 && x.shape()[d] != 1)) stretched.push_back(d);
  }
  return sum(x, stretched).reshape(shape);
}

namespace {

/// Calls f with y, or where that is of 16 bits with a tensor of float32, and gives y its values.
template <class F>
void in_float32(const Tensor& y, F f) {
  if (!is_half(y.dtype())) return f(y);
  NoGradGuard no_grad;
  const Tensor wide = empty(y.shape(), {.dtype = DType::float32, .device = y.device()});
  f(wide);
  for_half(y, [&]<class T>(kernels::HalfKernels<T>& k) { k.cast(y.numel(), wide.data<float>(), y.data<T>()); });
}

}  // namespace

void binary_into(kernels::BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& y) {
  in_float32(y, [&, x = widened(a), z = widened(b)](const Tensor& to) {
    const kernels::Strided walk = broadcast_walk(x, z, to.shape());
    for_array(
        to, [&]<class T>(kernels::ArrayKernels<T>& k) { k.binary(op, walk, x.data<T>(), z.data<T>(), to.data<T>()); });
  });
}

void binary_into(kernels::BinaryOp op, const Tensor& a, Scalar b, const Tensor& y) {
  in_float32(y, [&, x = widened(a)](const Tensor& to) {
    const kernels::Strided walk = broadcast_walk(x, x, to.shape());
    for_array(to,
              [&]<class T>(kernels::ArrayKernels<T>& k) { k.binary(op, walk, x.data<T>(), b.to<T>(), to.data<T>()); });
  });
}

void binary_into(kernels::BinaryOp op, Scalar a, const Tensor& b, const Tensor& y) {
  in_float32(y, [&, x = widened(b)](const Tensor& to) {
    const kernels::Strided walk = broadcast_walk(x, x, to.shape());
    for_array(to,
              [&]<class T>(kernels::ArrayKernels<T>& k) { k.binary(op, walk, a.to<T>(), x.data<T>(), to.data<T>()); });
  });
}

void copy_into(const Tensor& source, const Tensor& target) {
  const kernels::Strided walk = broadcast_walk(source, target, target.shape());
  for_moved(target, [&]<class T>(kernels::MoveKernels<T>& k) { k.copy(walk, source.data<T>(), target.data<T>()); });
}

}  // namespace tern
