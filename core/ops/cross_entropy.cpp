#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/trace.hpp>

namespace tern {

void check_options(const char* who, const CrossEntropyOptions& options) {
  check(options.label_smoothing >= 0 && options.label_smoothing <= 1, "{}: label smoothing {}, expected 0 to 1", who,
        options.label_smoothing);
}

namespace {

/// The value of x [N, C] in ops, for a pass with create_graph.
Tensor composed(const kernels::CrossEntropyShape& s, const Tensor& x, const Tensor& target, const Tensor& weight) {
  const DType dtype = x.dtype();
  const Tensor ignored = eq(target, s.ignore_index).unsqueeze(1);
  const Tensor others = ne(target.unsqueeze(1), arange(s.C).to(x.device()));
  const Tensor factor = weight.defined() ? weight : ones({s.C}, {.dtype = dtype, .device = x.device()});
  const auto in_rows = [&](const Tensor& v, const Tensor& mask) {
    return masked_fill(v.expand({s.N, s.C}), mask.expand({s.N, s.C}), 0);
  };
  const Tensor of_target = in_rows(factor, others);  // a row where that is ignored is 0
  Tensor share = of_target * (1 - s.label_smoothing);
  if (s.label_smoothing > 0) {
    share = share + in_rows(factor * (s.label_smoothing / static_cast<double>(s.C)), ignored);
  }
  share = masked_fill(share, ignored.expand({s.N, s.C}), 0);
  const Tensor log_probs = s.of_log_probs ? x : log_softmax(x, 1);
  const Tensor loss = -(in_rows(log_probs, eq(share, 0)) * share).sum({1});
  if (s.reduction == Reduction::none) return loss;
  return s.reduction == Reduction::sum ? loss.sum() : loss.sum() / in_rows(of_target, ignored).sum();
}

/// x [N, C, ...] as [N ..., C]; [C] is one row.
Tensor rows_of(const Tensor& x) {
  if (x.dim() == 1) return x.unsqueeze(0);
  if (x.dim() == 2) return x;
  Shape order{0};
  for (int d = 2; d < x.dim(); ++d) order.push_back(d);
  order.push_back(1);
  const Tensor last = x.permute(order);
  return last.reshape({x.size(1) == 0 ? 0 : x.numel() / x.size(1), x.size(1)});
}

/// What logits [N, C, ...] or [C], and the weights of the C classes, must be.
void check_classes(const char* name, const Tensor& x, const Tensor& target, const CrossEntropyOptions& options) {
  check_defined(name, "logits", x);
  check_defined(name, "target", target);
  check(x.dim() >= 1, "{}: logits {}, expected [N, C, ...] or [C]", name, x.shape());
  check_device(name, x, target);
  check(options.reduction != Reduction::batchmean, "{}: reduction batchmean, expected none, mean or sum", name);
  if (!options.weight.defined()) return;
  check_alike(name, x, options.weight);
  const Shape classes{x.size(x.dim() == 1 ? 0 : 1)};
  check(options.weight.shape() == classes, "{}: class weights {}, expected {}", name, options.weight.shape(), classes);
}

/// Of class indices.
Tensor of_classes(const char* name, const Tensor& x, const Tensor& labels, const CrossEntropyOptions& options,
                  bool of_log_probs) {
  const Tensor in = rows_of(x);
  Shape of_target = x.shape();
  of_target.erase(x.dim() == 1 ? 0 : 1);
  kernels::CrossEntropyShape s{.N = in.size(0),
                               .C = in.size(1),
                               .of_log_probs = of_log_probs,
                               .label_smoothing = options.label_smoothing,
                               .ignore_index = options.ignore_index,
                               .reduction = options.reduction};
  check(labels.dtype() == DType::int64 && labels.shape() == of_target, "{}: target {} {}, expected int64 {}", name,
        labels.dtype(), labels.shape(), of_target);
  const Tensor logits = in.contiguous(), target = labels.reshape({s.N}).contiguous();
  const Tensor weight = options.weight.defined() ? options.weight.contiguous() : options.weight;
  if (Trace::current()) {
    const Tensor loss = composed(s, logits, target, weight);
    return s.reduction == Reduction::none ? loss.reshape(of_target) : loss;
  }
  if (target.device().on_host()) {
    for (std::int64_t i = 0; i < s.N; ++i) {
      const std::int64_t t = target.data<std::int64_t>()[i];
      check((t >= 0 && t < s.C) || t == s.ignore_index, "{}: target {} at {}, expected 0 to {} or {} to ignore", name,
            t, i, s.C - 1, s.ignore_index);
    }
  }
  const TensorOptions like{.dtype = in.dtype(), .device = in.device()};
  const bool each = s.reduction == Reduction::none;
  const Tensor loss = empty(each ? of_target : Shape{}, like);
  const Tensor dlogits = is_grad_enabled() && logits.requires_grad() ? empty_like(logits) : Tensor();
  for_floating(name, logits, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.cross_entropy(s, logits.data<T>(), target.data<std::int64_t>(), weight.defined() ? weight.data<T>() : nullptr,
                    loss.data<T>(), dlogits.defined() ? dlogits.data<T>() : nullptr);
  });
  return record(name, {logits}, loss,
                [s, each, ignore = s.ignore_index, dlogits = Saved(dlogits), target = Saved(target),
                 logits = Saved(logits), weight = Saved(weight)](const Tensor& g) {
                  if (is_grad_enabled()) {
                    const Tensor rows = each ? g.reshape((*target).shape()) : g;
                    return composed_gradients(rows, {*logits}, [&](const std::vector<Tensor>& inputs) {
                      return composed(s, inputs[0], *target, weight.value());
                    })[0];
                  }
                  if (g.storage()->is_unit()) return *dlogits;
                  const Tensor rows = each ? g.reshape((*target).shape()) : g.expand((*target).shape());
                  return *dlogits * masked_fill(rows, eq(*target, ignore), 0).unsqueeze(1);
                });
}

/// Of the classes' probabilities.
Tensor of_probabilities(const Tensor& x, const Tensor& target, const CrossEntropyOptions& options) {
  const int dim = x.dim() == 1 ? 0 : 1;
  const double classes = static_cast<double>(x.size(dim)), e = options.label_smoothing;
  Tensor terms = log_softmax(x, dim) * (e > 0 ? target * (1 - e) + e / classes : target);
  if (options.weight.defined()) {
    Shape along{x.size(dim)};
    while (along.size() < x.dim() - dim) along.push_back(1);
    terms = terms * options.weight.reshape(along);
  }
  if (options.reduction == Reduction::none) return -sum(terms, {dim});
  return options.reduction == Reduction::sum ? -sum(terms) : -sum(terms) / (static_cast<double>(x.numel()) / classes);
}

}  // namespace

Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options) {
  if (const Autocast cast(Autocast::float32); cast) return cross_entropy(cast(logits), cast(target), options);
  check_options("cross_entropy", options);
  check_classes("cross_entropy", logits, target, options);
  if (is_half(logits.dtype())) {
    CrossEntropyOptions wide = options;
    wide.weight = widened(options.weight);
    return cross_entropy(widened(logits), widened(target), wide).to(logits.dtype());
  }
  const bool probabilities = is_floating(target.dtype()) && target.shape() == logits.shape();
  if (!probabilities) return of_classes("cross_entropy", logits, target, options, false);
  check_alike("cross_entropy", logits, target);
  return of_probabilities(logits, target, options);
}

Tensor nll_loss(const Tensor& log_probs, const Tensor& target, const NllLossOptions& options) {
  if (const Autocast cast(Autocast::float32); cast) return nll_loss(cast(log_probs), cast(target), options);
  const CrossEntropyOptions all{
      .weight = options.weight, .ignore_index = options.ignore_index, .reduction = options.reduction};
  check_classes("nll_loss", log_probs, target, all);
  if (is_half(log_probs.dtype())) {
    NllLossOptions wide = options;
    wide.weight = widened(options.weight);
    return nll_loss(widened(log_probs), target, wide).to(log_probs.dtype());
  }
  return of_classes("nll_loss", log_probs, target, all, true);
}

}  // namespace tern
