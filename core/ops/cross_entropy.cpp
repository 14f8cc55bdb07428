#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/ops/options.hpp>

namespace tern {

void check_options(const char* who, const CrossEntropyOptions& options) {
  check(options.label_smoothing >= 0 && options.label_smoothing <= 1, "{}: label smoothing {}, expected 0 to 1", who,
        options.label_smoothing);
}

namespace {

/// The value in ops, for a pass with create_graph.
Tensor composed(const kernels::CrossEntropyShape& s, const Tensor& logits, const Tensor& target, const Tensor& weight) {
  const DType dtype = logits.dtype();
  const Tensor ignored = eq(target, s.ignore_index).unsqueeze(1);
  const Tensor others = ne(target.unsqueeze(1), arange(s.C).to(logits.device()));
  const Tensor factor = weight.defined() ? weight : ones({s.C}, {.dtype = dtype, .device = logits.device()});
  const auto in_rows = [&](const Tensor& x, const Tensor& mask) {
    return masked_fill(x.expand({s.N, s.C}), mask.expand({s.N, s.C}), 0);
  };
  const Tensor of_target = in_rows(factor, others);  // a row where that is ignored is 0
  Tensor share = of_target * (1 - s.label_smoothing);
  if (s.label_smoothing > 0) {
    share = share + in_rows(factor * (s.label_smoothing / static_cast<double>(s.C)), ignored);
  }
  share = masked_fill(share, ignored.expand({s.N, s.C}), 0);
  const Tensor loss = -(in_rows(log_softmax(logits, 1), eq(share, 0)) * share).sum({1});
  if (s.reduction == Reduction::none) return loss;
  return s.reduction == Reduction::sum ? loss.sum() : loss.sum() / in_rows(of_target, ignored).sum();
}

}  // namespace

Tensor cross_entropy(const Tensor& in, const Tensor& labels, const CrossEntropyOptions& options) {
  check_defined("cross_entropy", "logits", in);
  check_defined("cross_entropy", "target", labels);
  check_options("cross_entropy", options);
  check(in.dim() == 2, "cross_entropy: logits {}, expected [N, C]", in.shape());
  check_device("cross_entropy", in, labels);
  const kernels::CrossEntropyShape s{.N = in.size(0),
                                     .C = in.size(1),
                                     .label_smoothing = options.label_smoothing,
                                     .ignore_index = options.ignore_index,
                                     .reduction = options.reduction};
  check(labels.dtype() == DType::int64 && labels.shape() == Shape{s.N},
        "cross_entropy: target {} {}, expected int64 [{}]", labels.dtype(), labels.shape(), s.N);
  if (options.weight.defined()) {
    check_alike("cross_entropy", in, options.weight);
    check(options.weight.shape() == Shape{s.C}, "cross_entropy: class weights {}, expected [{}]",
          options.weight.shape(), s.C);
  }
  const Tensor logits = in.contiguous(), target = labels.contiguous();
  const Tensor weight = options.weight.defined() ? options.weight.contiguous() : options.weight;
  if (target.device().on_host()) {
    for (std::int64_t i = 0; i < s.N; ++i) {
      const std::int64_t t = target.data<std::int64_t>()[i];
      check((t >= 0 && t < s.C) || t == s.ignore_index,
            "cross_entropy: target {} at {}, expected 0 to {} or {} to ignore", t, i, s.C - 1, s.ignore_index);
    }
  }
  const TensorOptions like{.dtype = in.dtype(), .device = in.device()};
  const bool each = s.reduction == Reduction::none;
  const Tensor loss = empty(each ? Shape{s.N} : Shape{}, like);
  const Tensor dlogits = is_grad_enabled() && logits.requires_grad() ? empty_like(logits) : Tensor();
  for_floating("cross_entropy", logits, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.cross_entropy(s, logits.data<T>(), target.data<std::int64_t>(), weight.defined() ? weight.data<T>() : nullptr,
                    loss.data<T>(), dlogits.defined() ? dlogits.data<T>() : nullptr);
  });
  return record("cross_entropy", {logits}, loss,
                [s, each, ignore = s.ignore_index, dlogits = Saved(dlogits), target = Saved(target),
                 logits = Saved(logits), weight = Saved(weight)](const Tensor& g) {
                  if (is_grad_enabled()) {
                    return composed_gradients(g, {*logits}, [&](const std::vector<Tensor>& inputs) {
                      return composed(s, inputs[0], *target, weight.value());
                    })[0];
                  }
                  if (g.storage()->is_unit()) return *dlogits;
                  const Tensor rows = each ? g : g.expand((*target).shape());
                  return *dlogits * masked_fill(rows, eq(*target, ignore), 0).unsqueeze(1);
                });
}

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  check_defined("mse_loss", "x", x);
  check_defined("mse_loss", "target", target);
  check(x.shape() == target.shape(), "mse_loss: input {} and target {}, expected one shape", x.shape(), target.shape());
  const Tensor squares = pow(x - target, 2);
  switch (reduction) {
    case Reduction::mean:
      return mean(squares);
    case Reduction::sum:
      return sum(squares);
    case Reduction::none:
      break;
  }
  return squares;
}

}  // namespace tern
