#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/trace.hpp>

namespace tern {

namespace {

Tensor softmax_of(const char* name, bool log, const Tensor& in, std::int64_t dim) {
  if (const Autocast cast(Autocast::float32); cast) return softmax_of(name, log, cast(in), dim);
  check_defined(name, "x", in);
  const int d = wrap_dim(name, dim, in.dim());
  if (Trace* const trace = Trace::current()) {
    return trace->run(name, {in}, {{"dim", d}}, [&] { return softmax_of(name, log, in, dim); });
  }
  if (is_half(in.dtype())) return softmax_of(name, log, widened(in), d).to(in.dtype());
  kernels::ReduceShape r;
  for (int k = 0; k < in.dim(); ++k) (k < d ? r.outer : k == d ? r.n : r.inner) *= in.shape()[k];
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating(name, x, [&]<class T>(kernels::FloatKernels<T>& k) { k.softmax(log, r, x.data<T>(), y.data<T>()); });
  return record(name, {in}, y, [name, log, d, r, y = Saved(y)](const Tensor& gradient) {
    if (is_grad_enabled()) {
      if (log) return gradient - exp(*y) * sum(gradient, {d}, true);
      return *y * (gradient - sum(*y * gradient, {d}, true));
    }
    const Tensor g = gradient.contiguous();
    const Tensor& v = *y;
    const Tensor dx = y.reuse();
    for_floating(name, g, [&]<class T>(kernels::FloatKernels<T>& k) {
      k.softmax_backward(log, r, v.data<T>(), g.data<T>(), dx.data<T>());
    });
    return dx;
  });
}

}  // namespace

Tensor log_softmax(const Tensor& x, std::int64_t dim) { return softmax_of("log_softmax", true, x, dim); }
Tensor softmax(const Tensor& x, std::int64_t dim) { return softmax_of("softmax", false, x, dim); }

}  // namespace tern
