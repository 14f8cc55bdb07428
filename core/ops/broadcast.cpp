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

void binary_into(kernels::BinaryOp op, const Tensor& a, const Tensor& b, const Tensor& y) {
  const kernels::Strided walk = broadcast_walk(a, b, y.shape());
  for_array(y,
            [&]<class T>(kernels::ArrayKernels<T>& k) { k.binary(op, walk, a.data<T>(), b.data<T>(), y.data<T>()); });
}

void binary_into(kernels::BinaryOp op, const Tensor& a, Scalar b, const Tensor& y) {
  const kernels::Strided walk = broadcast_walk(a, a, y.shape());
  for_array(y, [&]<class T>(kernels::ArrayKernels<T>& k) { k.binary(op, walk, a.data<T>(), b.to<T>(), y.data<T>()); });
}

void binary_into(kernels::BinaryOp op, Scalar a, const Tensor& b, const Tensor& y) {
  const kernels::Strided walk = broadcast_walk(b, b, y.shape());
  for_array(y, [&]<class T>(kernels::ArrayKernels<T>& k) { k.binary(op, walk, a.to<T>(), b.data<T>(), y.data<T>()); });
}

void copy_into(const Tensor& source, const Tensor& target) {
  const kernels::Strided walk = broadcast_walk(source, target, target.shape());
  for_array(target, [&]<class T>(kernels::ArrayKernels<T>& k) { k.copy(walk, source.data<T>(), target.data<T>()); });
}

}  // namespace tern
