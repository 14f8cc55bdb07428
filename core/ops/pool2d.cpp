#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/linear_op.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/ops/pool2d.hpp>
#include <tern/core/trace.hpp>

#include <algorithm>

namespace tern {

void check_options(const char* who, HeightWidth kernel, const Pool2dOptions& o) {
  const HeightWidth stride = o.stride.value_or(kernel);
  check(kernel.h > 0 && kernel.w > 0 && stride.h > 0 && stride.w > 0,
        "{}: kernel [{}, {}], stride [{}, {}], expected 1 or more", who, kernel.h, kernel.w, stride.h, stride.w);
  check(o.dilation.h > 0 && o.dilation.w > 0, "{}: dilation [{}, {}], expected 1 or more", who, o.dilation.h,
        o.dilation.w);
  check(o.divisor_override != 0, "{}: divisor_override 0, expected another number", who);
  check(o.padding.h >= 0 && o.padding.w >= 0 && o.padding.h <= kernel.h / 2 && o.padding.w <= kernel.w / 2,
        "{}: padding [{}, {}] for kernel [{}, {}], expected at most half of it", who, o.padding.h, o.padding.w,
        kernel.h, kernel.w);
}

HeightWidth padded_size(const char* op, const Tensor& x, HeightWidth padding) {
  const std::int64_t H = x.size(-2), W = x.size(-1);
  check(padding.h <= most_elements && padding.w <= most_elements && H <= most_elements && W <= most_elements,
        "{}: input {} with padding [{}, {}], expected at most 2^48 elements", op, x.shape(), padding.h, padding.w);
  const HeightWidth padded(H + 2 * padding.h, W + 2 * padding.w);
  std::int64_t n = 1;
  bool overflows = false;
  const auto times = [&](std::int64_t size) {
    overflows = overflows || __builtin_mul_overflow(n, std::max<std::int64_t>(size, 1), &n);
  };
  for (int d = 0; d < x.dim() - 2; ++d) times(x.size(d));
  times(padded.h);
  times(padded.w);
  check(!overflows && n <= most_elements, "{}: input {} with padding [{}, {}], expected at most 2^48 elements", op,
        x.shape(), padding.h, padding.w);
  return padded;
}

namespace {

/// One axis of a pooling, of which each number is at most 2^48 and so may be added up, and the windows on it, 0 for
/// none.
struct Axis {
  std::int64_t size, kernel, stride, pad, dilation, beyond = 0, windows = 0;

  Axis(std::int64_t n, std::int64_t k, std::int64_t step, std::int64_t padding, std::int64_t gap, bool ceil)
      : size(n), kernel(k), stride(step), pad(padding), dilation(k == 1 ? 1 : gap) {
    const std::int64_t padded = size + 2 * pad;
    if (kernel > most_elements || (kernel > 1 && dilation > most_elements / (kernel - 1))) return;
    const std::int64_t span = dilation * (kernel - 1) + 1, room = padded - span;
    stride = std::min(stride, padded + span);  // a longer one is never taken
    const std::int64_t over = ceil ? room + stride - 1 : room;
    if (over < 0) return;
    windows = over / stride + 1;
    if (ceil && (windows - 1) * stride >= size + pad) --windows;  // all of it beyond
    beyond = std::max<std::int64_t>(0, (windows - 1) * stride - room);
    stride = std::min(stride, padded);
  }
  /// Whether no window is all padding, which a dilation may leap from one side to the other.
  bool meets_elements() const { return pad == 0 || dilation <= size; }
};

Shape output_shape(const kernels::Pool2dShape& s) { return {s.N, s.C, s.P(), s.Q()}; }

/// f(x), of [N, C, H, W]; where N is left out, it is put in, and taken away again.
template <class F>
Tensor of_batch(const Tensor& x, F f) {
  return x.dim() == 3 ? f(x.unsqueeze(0)).squeeze(0) : f(x);
}

/// Of the gradient g by max_pool2d's output. Its own gradient is what stands at the indices.
Tensor max_gradient(const kernels::Pool2dShape& s, const Shape& from, const Tensor& gradient, const Tensor& indices) {
  if (is_half(gradient.dtype())) return max_gradient(s, from, widened(gradient), indices).to(gradient.dtype());
  const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
  for_floating("max_pool2d", g, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.max_pool2d_backward(s, indices.data<std::int64_t>(), g.data<T>(), dx.data<T>());
  });
  return record("max_pool2d", {g}, dx, [s, indices = Saved(indices)](const Tensor& by_dx) {
    return gather(by_dx.flatten(2), 2, (*indices).flatten(2)).reshape(output_shape(s));
  });
}

/// What a trace says of a pooling. The windows of an adaptive one are its output's size.
std::vector<Trace::Attribute> attributes_of(const kernels::Pool2dShape& s) {
  return {{"kernel", {s.R, s.S}},
          {"stride", {s.stride_h, s.stride_w}},
          {"padding", {s.pad_h, s.pad_w}},
          {"dilation", {s.dilation_h, s.dilation_w}},
          {"beyond", {s.beyond_h, s.beyond_w}},
          {"adaptive", s.adaptive},
          {"count_include_pad", s.count_include_pad},
          {"divisor", s.divisor}};
}

MaxResult largest(const char* op, const kernels::Pool2dShape& s, const Tensor& in, bool want_indices) {
  if (Trace* const trace = Trace::current()) {
    return trace->run("max_pool", {in}, attributes_of(s), [&] { return largest(op, s, in, want_indices); });
  }
  if (is_half(in.dtype())) {
    const MaxResult of = largest(op, s, widened(in), want_indices);
    return {of.values.to(in.dtype()), of.indices};
  }
  const Tensor x = in.contiguous(), y = empty(output_shape(s), {.dtype = x.dtype(), .device = x.device()});
  const Tensor indices =
      want_indices || records({&x, 1}) ? empty(y.shape(), {.dtype = DType::int64, .device = x.device()}) : Tensor();
  for_floating(op, x, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.max_pool2d(s, x.data<T>(), y.data<T>(), data_or_null<std::int64_t>(indices));
  });
  return {record(op, {x}, y,
                 [s, from = x.shape(), indices = Saved(indices)](const Tensor& g) {
                   return max_gradient(s, from, g, *indices);
                 }),
          indices};
}

/// Without a batch the indices go without one, too.
MaxResult largest_of_batch(const char* op, const kernels::Pool2dShape& s, const Tensor& x, bool want_indices) {
  if (x.dim() == 4) return largest(op, s, x, want_indices);
  const MaxResult all = largest(op, s, x.unsqueeze(0), want_indices);
  return {all.values.squeeze(0), all.indices.defined() ? all.indices.squeeze(0) : Tensor()};
}

Tensor average(const char* op, const kernels::Pool2dShape& s, const Tensor& in) {
  return of_batch(in, [&](const Tensor& x) {
    if (Trace* const trace = Trace::current()) {
      return trace->run("avg_pool", {x}, attributes_of(s), [&] { return average(op, s, x); });
    }
    return linear_op(
        op, x, output_shape(s), [s](auto& k, const auto* from, auto* to) { k.avg_pool2d(s, from, to); },
        [s](auto& k, const auto* from, auto* to) { k.avg_pool2d_backward(s, from, to); });
  });
}

kernels::Pool2dShape adaptive_shape(const char* op, const Tensor& x, OutputSize size) {
  check_defined(op, "x", x);
  const int d = x.dim();
  check(d == 3 || d == 4, "{}: input {}, expected [N, C, H, W] or [C, H, W]", op, x.shape());
  const kernels::Pool2dShape s{.N = d == 4 ? x.size(0) : 1,
                               .C = x.size(-3),
                               .H = x.size(-2),
                               .W = x.size(-1),
                               .R = size.h.value_or(x.size(-2)),
                               .S = size.w.value_or(x.size(-1)),
                               .adaptive = true};
  check(s.H > 0 && s.W > 0, "{}: input {}, expected a height and a width", op, x.shape());
  check(s.R >= 0 && s.S >= 0 && s.R <= most_elements / s.H && s.S <= most_elements / s.W,
        "{}: output size [{}, {}] of input {}, expected no negative one, nor 2^48 elements", op, s.R, s.S, x.shape());
  return s;
}

/// x [N, C, L] or [C, L] as [N, C, 1, L] or [C, 1, L], to f, and back.
template <class F>
Tensor of_line(const char* op, const Tensor& x, F f) {
  check_defined(op, "x", x);
  check(x.dim() == 2 || x.dim() == 3, "{}: input {}, expected [N, C, L] or [C, L]", op, x.shape());
  return f(x.unsqueeze(-2)).squeeze(-2);
}

Pool2dOptions in_two(const Pool1dOptions& o) {
  Pool2dOptions two{.padding = {0, o.padding},
                    .dilation = {1, o.dilation},
                    .ceil_mode = o.ceil_mode,
                    .count_include_pad = o.count_include_pad};
  if (o.stride) two.stride = HeightWidth(1, *o.stride);
  return two;
}

}  // namespace

kernels::Pool2dShape pool2d_shape(const char* op, const Tensor& x, HeightWidth kernel, const Pool2dOptions& o) {
  check_defined(op, "x", x);
  check_options(op, kernel, o);
  const int d = x.dim();
  check(d == 3 || d == 4, "{}: input {}, expected [N, C, H, W] or [C, H, W]", op, x.shape());
  const HeightWidth stride = o.stride.value_or(kernel);
  padded_size(op, x, o.padding);
  const Axis rows(x.size(-2), kernel.h, stride.h, o.padding.h, o.dilation.h, o.ceil_mode),
      columns(x.size(-1), kernel.w, stride.w, o.padding.w, o.dilation.w, o.ceil_mode);
  check(rows.size > 0 && columns.size > 0 && rows.windows > 0 && columns.windows > 0,
        "{}: kernel [{}, {}] is larger than input {} with padding [{}, {}]", op, kernel.h, kernel.w, x.shape(),
        o.padding.h, o.padding.w);
  check(rows.meets_elements() && columns.meets_elements(),
        "{}: dilation [{}, {}] of input {} with padding, expected no window of padding alone", op, o.dilation.h,
        o.dilation.w, x.shape());
  check(x.size(-3) > 0, "{}: input {} without channels, expected at least one", op, x.shape());
  return {.N = d == 4 ? x.size(0) : 1,
          .C = x.size(-3),
          .H = rows.size,
          .W = columns.size,
          .R = rows.kernel,
          .S = columns.kernel,
          .stride_h = rows.stride,
          .stride_w = columns.stride,
          .pad_h = rows.pad,
          .pad_w = columns.pad,
          .dilation_h = rows.dilation,
          .dilation_w = columns.dilation,
          .beyond_h = rows.beyond,
          .beyond_w = columns.beyond};
}

MaxResult max_pool2d_with_indices(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options) {
  return largest_of_batch("max_pool2d", pool2d_shape("max_pool2d", x, kernel_size, options), x, true);
}

Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options) {
  return largest_of_batch("max_pool2d", pool2d_shape("max_pool2d", x, kernel_size, options), x, false).values;
}

Tensor avg_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options) {
  check(options.dilation.h == 1 && options.dilation.w == 1, "avg_pool2d: dilation [{}, {}], expected 1",
        options.dilation.h, options.dilation.w);
  kernels::Pool2dShape s = pool2d_shape("avg_pool2d", x, kernel_size, options);
  s.count_include_pad = options.count_include_pad;
  s.divisor = options.divisor_override.value_or(0);
  return average("avg_pool2d", s, x);
}

Tensor max_pool1d(const Tensor& x, std::int64_t kernel_size, const Pool1dOptions& options) {
  return of_line("max_pool1d", x, [&](const Tensor& line) {
    return max_pool2d(line, {1, kernel_size}, in_two(options));
  });
}

Tensor avg_pool1d(const Tensor& x, std::int64_t kernel_size, const Pool1dOptions& options) {
  return of_line("avg_pool1d", x, [&](const Tensor& line) {
    return avg_pool2d(line, {1, kernel_size}, in_two(options));
  });
}

Tensor adaptive_avg_pool2d(const Tensor& x, OutputSize output_size) {
  const kernels::Pool2dShape s = adaptive_shape("adaptive_avg_pool2d", x, output_size);
  if (s.P() == 1 && s.Q() == 1) return mean(x, {-2, -1}, true);
  return average("adaptive_avg_pool2d", s, x);
}

MaxResult adaptive_max_pool2d_with_indices(const Tensor& x, OutputSize output_size) {
  return largest_of_batch("adaptive_max_pool2d", adaptive_shape("adaptive_max_pool2d", x, output_size), x, true);
}

Tensor adaptive_max_pool2d(const Tensor& x, OutputSize output_size) {
  return largest_of_batch("adaptive_max_pool2d", adaptive_shape("adaptive_max_pool2d", x, output_size), x, false)
      .values;
}

Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output_size) {
  return of_line("adaptive_avg_pool1d", x, [&](const Tensor& line) {
    return adaptive_avg_pool2d(line, {1, output_size});
  });
}

Tensor adaptive_max_pool1d(const Tensor& x, std::int64_t output_size) {
  return of_line("adaptive_max_pool1d", x, [&](const Tensor& line) {
    return adaptive_max_pool2d(line, {1, output_size});
  });
}

}  // namespace tern
