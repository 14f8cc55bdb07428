#pragma once

#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>

namespace tern {

/// y, of the shape `to`, where f(kernels, x's elements, y's elements) is linear in x. `transposed` maps the gradient by
/// y to that by x, likewise, and is recorded in its turn, with f for a gradient.
template <class F, class G>
Tensor linear_op(const char* name, const Tensor& in, const Shape& to, F f, G transposed) {
  if (is_half(in.dtype())) return linear_op(name, widened(in), to, f, transposed).to(in.dtype());
  const Tensor x = in.contiguous(), y = empty(to, {.dtype = x.dtype(), .device = x.device()});
  for_floating(name, x,
               [&]<class T>(kernels::FloatKernels<T>& k) { f(k, static_cast<const T*>(x.data<T>()), y.data<T>()); });
  return record(name, {x}, y, [name, f, transposed, from = x.shape()](const Tensor& gradient) {
    return linear_op(name, gradient, from, transposed, f);
  });
}

}  // namespace tern
