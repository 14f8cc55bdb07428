#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/trace.hpp>

namespace tern {

// Written in other ops, which supply the gradient. Subtracting the largest keeps exp from overflowing and, as a
// constant, changes neither the value nor the gradient. Of nothing there is no largest.

Tensor log_softmax(const Tensor& x, std::int64_t dim) {
  check_defined("log_softmax", "x", x);
  wrap_dim("log_softmax", dim, x.dim());
  if (x.numel() == 0) return neg(x);
  if (Trace* const trace = Trace::current()) {
    return trace->run("log_softmax", {x}, {{"dim", dim}}, [&] { return log_softmax(x, dim); });
  }
  const Tensor shifted = x - max(x.detach(), dim, true).values;
  return shifted - log(sum(exp(shifted), {dim}, true));
}

Tensor softmax(const Tensor& x, std::int64_t dim) {
  check_defined("softmax", "x", x);
  wrap_dim("softmax", dim, x.dim());
  if (x.numel() == 0) return exp(x);
  if (Trace* const trace = Trace::current()) {
    return trace->run("softmax", {x}, {{"dim", dim}}, [&] { return softmax(x, dim); });
  }
  const Tensor e = exp(x - max(x.detach(), dim, true).values);
  return e / sum(e, {dim}, true);
}

}  // namespace tern
