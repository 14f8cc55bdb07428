#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

#include <cmath>
#include <type_traits>

namespace tern {
namespace {

/// value(i) for each i, made on the host: of whole numbers int64, else float32, unless the options name a dtype.
template <class T, class F>
Tensor made_of(std::int64_t n, const TensorOptions& options, F value) {
  constexpr DType unless_named = std::is_integral_v<T> ? DType::int64 : DType::float32;
  std::vector<T> values(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = value(i);
  const Tensor x = tensor(values).to(options.dtype.value_or(unless_named)).to(options.device);
  return options.requires_grad ? x.set_requires_grad() : x;
}

}  // namespace

Tensor arange(Scalar start, Scalar end, Scalar step, const TensorOptions& options) {
  const double first = start.to<double>(), last = end.to<double>(), by = step.to<double>();
  check(std::isfinite(first) && std::isfinite(last) && std::isfinite(by) && by != 0,
        "arange: from {} to {} by {}, expected finite numbers and a step other than 0", start, end, step);
  check((by > 0 && first <= last) || (by < 0 && first >= last),
        "arange: from {} to {} by {}, expected the end in the direction of the step", start, end, step);
  if (start.is_whole() && end.is_whole() && step.is_whole()) {
    const auto from = start.to<std::int64_t>(), way = step.to<std::int64_t>();
    const auto distance = by > 0
                              ? static_cast<std::uint64_t>(end.to<std::int64_t>()) - static_cast<std::uint64_t>(from)
                              : static_cast<std::uint64_t>(from) - static_cast<std::uint64_t>(end.to<std::int64_t>());
    const std::uint64_t stride = by > 0 ? static_cast<std::uint64_t>(way) : 0 - static_cast<std::uint64_t>(way);
    const std::uint64_t n = distance == 0 ? 0 : (distance - 1) / stride + 1;
    check(n <= PTRDIFF_MAX / sizeof(std::int64_t), "arange: from {} to {} by {}, too many elements", start, end, step);
    return made_of<std::int64_t>(static_cast<std::int64_t>(n), options, [&](std::int64_t i) { return from + i * way; });
  }
  const double n = std::ceil((last - first) / by);
  check(n <= static_cast<double>(PTRDIFF_MAX / sizeof(double)), "arange: from {} to {} by {}, too many elements", start,
        end, step);
  return made_of<double>(static_cast<std::int64_t>(n), options,
                         [&](std::int64_t i) { return first + static_cast<double>(i) * by; });
}

Tensor linspace(double start, double end, std::int64_t steps, const TensorOptions& options) {
  check(steps >= 0, "linspace: {} steps, expected 0 or more", steps);
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
  return made_of<double>(steps, options, [&](std::int64_t i) {  // from the nearer end, so that both are met
    return i < steps / 2 || steps == 1 ? start + step * static_cast<double>(i)
                                       : end - step * static_cast<double>(steps - 1 - i);
  });
}

Tensor logspace(double start, double end, std::int64_t steps, double base, const TensorOptions& options) {
  const Tensor x = linspace(start, end, steps, {.dtype = DType::float64});
  const double* const exponent = x.data<double>();
  return made_of<double>(steps, options, [&](std::int64_t i) { return std::pow(base, exponent[i]); });
}

Tensor tril_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset) {
  return nonzero(tril(ones({rows, columns}), offset)).t().contiguous();
}
Tensor triu_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset) {
  return nonzero(triu(ones({rows, columns}), offset)).t().contiguous();
}

Tensor eye(std::int64_t n, std::int64_t m, const TensorOptions& options) {
  const Tensor x = zeros({n, m}, {.dtype = options.dtype, .device = options.device});
  diagonal(x).fill_(1);
  return options.requires_grad ? x.set_requires_grad() : x;
}

Tensor eye(std::int64_t n, const TensorOptions& options) { return eye(n, n, options); }

Tensor full_like(const Tensor& x, Scalar value) {
  check_defined("full_like", "x", x);
  return full(x.shape(), value, {.dtype = x.dtype(), .device = x.device()});
}

}  // namespace tern
