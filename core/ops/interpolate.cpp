#include <tern/core/ops.hpp>
#include <tern/core/ops/linear_op.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>
#include <cmath>

namespace tern {
namespace {

bool is_linear(InterpolateMode mode) { return mode == InterpolateMode::linear || mode == InterpolateMode::bilinear; }

}  // namespace

void check_options(const char* who, const InterpolateOptions& o) {
  check(o.size.has_value() != o.scale_factor.has_value(), "{}: {}, expected a size or a scale_factor", who,
        o.size ? "both" : "neither");
  check(!o.size || (o.size->h > 0 && o.size->w > 0), "{}: size [{}, {}], expected 1 or more", who, o.size.value_or(0).h,
        o.size.value_or(0).w);
  const ScaleFactor by = o.scale_factor.value_or(1);
  check(by.h > 0 && by.w > 0 && std::isfinite(by.h) && std::isfinite(by.w),
        "{}: scale_factor [{}, {}], expected positive numbers", who, by.h, by.w);
  check(!o.align_corners || is_linear(o.mode), "{}: align_corners, expected linear or bilinear", who);
  check(!o.recompute_scale_factor || o.scale_factor, "{}: recompute_scale_factor, expected a scale_factor", who);
}

namespace {

/// The size of what `in` elements become, and elements of x to one of it: PyTorch's compute_output_size and
/// area_pixel_compute_scale.
std::int64_t scaled(const char* op, std::int64_t in, double factor) {
  const double out = std::floor(static_cast<double>(in) * factor);
  check(out >= 1 && out <= static_cast<double>(most_elements), "{}: size {} times {}, expected 1 to 2^48", op, in,
        factor);
  return static_cast<std::int64_t>(out);
}
double scale_of(std::int64_t in, std::int64_t out, const InterpolateOptions& o, double factor) {
  const auto a = static_cast<double>(in), b = static_cast<double>(out);
  if (in == out && is_linear(o.mode)) return 1;
  if (o.align_corners) return out > 1 ? (a - 1) / (b - 1) : 0;
  return o.scale_factor && !o.recompute_scale_factor ? 1 / factor : a / b;
}

}  // namespace

Tensor interpolate(const Tensor& in, const InterpolateOptions& o) {
  constexpr const char* op = "interpolate";
  check_defined(op, "x", in);
  check_options(op, o);
  using Mode = InterpolateMode;
  const bool is_line = in.dim() == 3;
  check(is_line || in.dim() == 4, "interpolate: input {}, expected [N, C, H, W] or [N, C, L]", in.shape());
  check(o.mode != (is_line ? Mode::bilinear : Mode::linear),
        "interpolate: input {}, expected {} dimensions of this mode", in.shape(), is_line ? 4 : 3);
  const Tensor x = is_line ? in.unsqueeze(2) : in;
  const std::int64_t H = x.size(2), W = x.size(3);
  check(x.size(1) > 0 && H > 0 && W > 0, "interpolate: input {}, expected at least one channel and element",
        in.shape());
  const ScaleFactor by = o.scale_factor.value_or(1);
  const std::int64_t P = is_line ? 1 : o.size ? o.size->h : scaled(op, H, by.h);
  const std::int64_t Q = o.size ? o.size->w : scaled(op, W, by.w);
  check(P <= most_elements / std::max<std::int64_t>(1, x.size(0) * x.size(1)) / Q,
        "interpolate: input {} to [{}, {}], expected at most 2^48 elements", in.shape(), P, Q);
  const auto back = [is_line](const Tensor& y) { return is_line ? y.squeeze(2) : y; };
  if (o.mode == Mode::area) return back(adaptive_avg_pool2d(x, {P, Q}));

  if (Trace* const trace = Trace::current()) {
    const bool by_factor = o.scale_factor && !o.recompute_scale_factor && !o.align_corners;
    return back(trace->run("interpolate", {x},
                           {{"mode", static_cast<int>(o.mode)},
                            {"align_corners", o.align_corners},
                            {"by_factor", by_factor},
                            {"factor_h", is_line ? 1 : by.h},
                            {"factor_w", by.w}},
                           [&] { return is_line ? interpolate(in, o).unsqueeze(2) : interpolate(in, o); }));
  }
  const bool linear = is_linear(o.mode), centres = linear && !o.align_corners;
  const kernels::Interpolate2dShape s{.N = x.size(0) * x.size(1),
                                      .H = H,
                                      .W = W,
                                      .P = P,
                                      .Q = Q,
                                      .linear = linear,
                                      .scale_h = scale_of(H, P, o, by.h),
                                      .scale_w = scale_of(W, Q, o, by.w),
                                      .outer = centres || o.mode == Mode::nearest_exact ? 0.5 : 0,
                                      .inner = centres ? 0.5 : 0};
  return back(linear_op(
      op, x, {x.size(0), x.size(1), P, Q}, [s](auto& k, const auto* from, auto* to) { k.interpolate2d(s, from, to); },
      [s](auto& k, const auto* from, auto* to) { k.interpolate2d_backward(s, from, to); }));
}

Tensor pixel_shuffle(const Tensor& x, std::int64_t r) {
  check_defined("pixel_shuffle", "x", x);
  check(x.dim() >= 3 && r > 0 && x.size(-3) % r == 0 && x.size(-3) / r % r == 0,
        "pixel_shuffle: input {} by {}, expected [..., C {} {}, H, W]", x.shape(), r, r, r);
  const std::int64_t H = x.size(-2), W = x.size(-1), C = x.size(-3) / r / r;
  Shape to = x.shape();
  to[x.dim() - 3] = C;
  to[x.dim() - 2] = H * r;
  to[x.dim() - 1] = W * r;
  const std::int64_t n = x.dim() == 3 ? 1 : x.flatten(0, -4).size(0);
  return x.reshape({n, C, r, r, H, W}).permute({0, 1, 4, 2, 5, 3}).reshape(to);
}

Tensor pixel_unshuffle(const Tensor& x, std::int64_t r) {
  check_defined("pixel_unshuffle", "x", x);
  check(x.dim() >= 3 && r > 0 && x.size(-2) % r == 0 && x.size(-1) % r == 0,
        "pixel_unshuffle: input {} by {}, expected [..., C, H {}, W {}]", x.shape(), r, r, r);
  const std::int64_t H = x.size(-2) / r, W = x.size(-1) / r, C = x.size(-3);
  Shape to = x.shape();
  to[x.dim() - 3] = C * r * r;
  to[x.dim() - 2] = H;
  to[x.dim() - 1] = W;
  const std::int64_t n = x.dim() == 3 ? 1 : x.flatten(0, -4).size(0);
  return x.reshape({n, C, H, r, W, r}).permute({0, 1, 3, 5, 2, 4}).reshape(to);
}

}  // namespace tern
