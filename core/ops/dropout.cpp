#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/options.hpp>

namespace tern {
namespace {

/// The mask is linear, and its own gradient.
Tensor masked(const char* name, const kernels::DropoutShape& s, kernels::PhiloxState state, const Tensor& in) {
  if (is_half(in.dtype())) return masked(name, s, state, widened(in)).to(in.dtype());
  const Tensor x = in.contiguous(), y = empty_like(x);
  for_floating(name, x, [&]<class T>(kernels::FloatKernels<T>& k) { k.dropout(s, state, x.data<T>(), y.data<T>()); });
  return record(name, {x}, y, [=](const Tensor& g) { return masked(name, s, state, g); });
}

Tensor grouped_dropout(const char* name, const Tensor& x, std::int64_t group, double p, bool training,
                       Generator& generator) {
  check_probability(name, p);
  check(is_floating(x.dtype()), "{}: got {}, expected float32 or float64", name, x.dtype());
  if (!training || p == 0 || x.numel() == 0) return x;
  const kernels::DropoutShape s{.n = x.numel(), .group = group, .p = p};
  const kernels::PhiloxState state = generator.state();
  const Tensor y = masked(name, s, state, x);
  generator.advance(static_cast<std::uint64_t>(s.n / s.group));  // last, when nothing can fail any more
  return y;
}

}  // namespace

void check_probability(const char* who, double p) {
  check(p >= 0 && p <= 1, "{}: probability {}, expected 0 to 1", who, p);
}

Tensor dropout(const Tensor& x, double p, bool training, Generator& generator) {
  check_defined("dropout", "x", x);
  return grouped_dropout("dropout", x, 1, p, training, generator);
}

Tensor dropout2d(const Tensor& x, double p, bool training, Generator& generator) {
  check_defined("dropout2d", "x", x);
  check(x.dim() >= 2, "dropout2d: input {}, expected [N, C, ...]", x.shape());
  std::int64_t channel = 1;
  for (int d = 2; d < x.dim(); ++d) channel *= x.size(d);
  return grouped_dropout("dropout2d", x, channel, p, training, generator);
}

}  // namespace tern
