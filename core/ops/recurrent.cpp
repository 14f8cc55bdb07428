#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/ops/recurrent.hpp>

/// One op for all steps, so that the gradient by the weights is one product over all of them.

namespace tern {
namespace {

/// Where a step finds what it needs: step s of the walk is at time t.
struct Walk {
  kernels::CellShape shape;
  std::int64_t T;
  bool reverse;

  bool is_lstm() const { return shape.cell == Cell::lstm; }
  std::int64_t time(std::int64_t s) const { return reverse ? T - 1 - s : s; }
  std::int64_t elements() const { return shape.N * shape.H; }

  /// The state h before step s.
  template <class F>
  F* before(std::int64_t s, F* first, F* y) const {
    return s == 0 ? first : y + time(s - 1) * elements();
  }
};

}  // namespace

Tensor recurrent(Cell cell, const Tensor& in_x, const Tensor& in_weight, const Tensor& in_bias, const Tensor& in_h,
                 const Tensor& in_c, bool reverse, std::optional<Precision> asked_precision) {
  const Precision precision = asked_precision.value_or(precision_of(in_x));
  if (is_half(in_x.dtype())) {
    return recurrent(cell, widened(in_x), widened(in_weight), widened(in_bias), widened(in_h), widened(in_c), reverse,
                     precision)
        .to(in_x.dtype());
  }
  const Tensor x = in_x.contiguous(), weight = in_weight.contiguous(), h = in_h.contiguous(),
               bias = in_bias.defined() ? in_bias.contiguous() : in_bias, c = in_c.defined() ? in_c.contiguous() : in_c;
  const Walk walk{{cell, h.size(0), h.size(1)}, x.size(0), reverse};
  const std::int64_t T = walk.T, N = walk.shape.N, H = walk.shape.H, sums = walk.shape.sums();
  const kernels::LinearShape product{.rows = N, .in = H, .out = sums * H, .precision = precision};
  const TensorOptions like{.dtype = x.dtype(), .device = x.device()};
  const std::vector<Tensor> inputs{x, weight, bias, h, c};
  const bool recorded = records(inputs);
  const Tensor y = empty({walk.is_lstm() ? T + 1 : T, N, H}, like);
  const Tensor cs = walk.is_lstm() ? empty({T + 1, N, H}, like) : Tensor();  // before each step, and after the last
  const Tensor kept = empty({recorded ? T : 1, N, walk.shape.kept() * H}, like), sum = empty({N, sums * H}, like);
  {
    NoGradGuard no_grad;
    if (walk.is_lstm()) copy_into(c, cs.select(0, 0));
    for_floating("recurrent", x, [&]<class F>(kernels::FloatKernels<F>& k) {
      const std::int64_t n = walk.elements();
      for (std::int64_t s = 0; s < T; ++s) {
        const std::int64_t t = walk.time(s);
        const F* const was = walk.before(s, h.data<F>(), y.data<F>());
        F *const out = y.data<F>() + t * n, *const c_before = walk.is_lstm() ? cs.data<F>() + s * n : nullptr;
        k.linear(product, was, weight.data<F>(), data_or_null<F>(bias), sum.data<F>());
        k.recurrent_cell(walk.shape, x.data<F>() + t * n * sums, sum.data<F>(), walk.is_lstm() ? c_before : was,
                         kept.data<F>() + (recorded ? t * n * walk.shape.kept() : 0),
                         walk.is_lstm() ? c_before + n : out, walk.is_lstm() ? out : nullptr);
      }
    });
    if (walk.is_lstm()) copy_into(cs.select(0, T), y.select(0, T));
  }
  if (!recorded) return y;

  const bool needs_h = h.requires_grad(), needs_c = walk.is_lstm() && c.requires_grad(),
             needs_weight = weight.requires_grad() || (bias.defined() && bias.requires_grad());
  return record("recurrent", inputs, y,
                [=, has_bias = bias.defined(), kept = Saved(kept), weight = Saved(weight), h = Saved(h), y = Saved(y),
                 cs = Saved(cs)](const Tensor& gradient) {
                  const Tensor g = gradient.contiguous();
                  const std::int64_t n = walk.elements();
                  const Tensor dx = walk.is_lstm() ? kept.reuse() : empty({T, N, sums * H}, like);
                  const Tensor dr = cell == Cell::gru ? empty_like(dx) : dx;  // by the state's part of the sums
                  const Tensor dh = empty({N, H}, like);
                  Tensor carry;
                  if (walk.is_lstm()) carry = g.select(0, T).clone();
                  if (cell == Cell::gru) carry = zeros({N, H}, like);
                  for_floating("recurrent", g, [&]<class F>(kernels::FloatKernels<F>& k) {
                    for (std::int64_t s = T - 1; s >= 0; --s) {
                      const std::int64_t t = walk.time(s);
                      const F* const was = walk.before(s, (*h).data<F>(), (*y).data<F>());
                      const F* const c_before = walk.is_lstm() ? (*cs).data<F>() + s * n : nullptr;
                      k.recurrent_cell_backward(
                          walk.shape, (*kept).data<F>() + t * n * walk.shape.kept(), walk.is_lstm() ? c_before : was,
                          walk.is_lstm() ? c_before + n : (*y).data<F>() + t * n, g.data<F>() + t * n,
                          s == T - 1 ? nullptr : dh.data<F>(), data_or_null<F>(carry), dx.data<F>() + t * n * sums,
                          cell == Cell::gru ? dr.data<F>() + t * n * sums : nullptr);
                      if (s == 0 && !needs_h) continue;
                      k.matmul({.m = N, .n = H, .k = sums * H, .precision = precision}, dr.data<F>() + t * n * sums,
                               (*weight).data<F>(), dh.data<F>());
                    }
                  });
                  Grads grads{dx, Tensor(), Tensor(), Tensor(), needs_c ? carry : Tensor()};
                  if (needs_h) grads[3] = cell == Cell::gru ? dh + carry : dh;
                  if (needs_weight) {
                    const Tensor first = (*h).unsqueeze(0), others = (*y).narrow(0, reverse ? 1 : 0, T - 1);
                    const Tensor states = reverse ? cat({others, first}) : cat({first, others});
                    grads[1] = empty({sums * H, H}, like);
                    if (has_bias) grads[2] = empty({sums * H}, like);
                    const kernels::LinearShape all{.rows = T * N, .in = H, .out = sums * H, .precision = precision};
                    for_floating("recurrent", g, [&]<class F>(kernels::FloatKernels<F>& k) {
                      k.linear_backward(all, states.data<F>(), nullptr, nullptr, dr.data<F>(), nullptr,
                                        grads[1].data<F>(), data_or_null<F>(grads[2]));
                    });
                  }
                  return grads;
                });
}

}  // namespace tern
