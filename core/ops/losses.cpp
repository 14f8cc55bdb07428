#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

#include <cmath>
#include <numbers>

namespace tern {
namespace {

Tensor reduced(const char* name, const Tensor& loss, Reduction reduction) {
  switch (reduction) {
    case Reduction::none:
      return loss;
    case Reduction::mean:
      return mean(loss);
    case Reduction::sum:
      return sum(loss);
    case Reduction::batchmean:
      break;
  }
  fail("{}: reduction batchmean, expected none, mean or sum", name);
}

/// Both defined, and of one shape.
void check_pair(const char* name, const Tensor& x, const Tensor& target) {
  check_defined(name, "x", x);
  check_defined(name, "target", target);
  check(x.shape() == target.shape(), "{}: input {} and target {}, expected one shape", name, x.shape(), target.shape());
}

/// At least so much, with the gradient that x has.
Tensor at_least(const Tensor& x, double least) {
  return record("clamp", {x}, clamp(x.detach(), least), [](const Tensor& g) { return g; });
}

}  // namespace

Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  if (const Autocast cast(Autocast::float32); cast) return l1_loss(cast(x), cast(target), reduction);
  check_pair("l1_loss", x, target);
  return reduced("l1_loss", abs(x - target), reduction);
}

Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  if (const Autocast cast(Autocast::float32); cast) return mse_loss(cast(x), cast(target), reduction);
  check_pair("mse_loss", x, target);
  return reduced("mse_loss", square(x - target), reduction);
}

Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, Reduction reduction, double beta) {
  if (const Autocast cast(Autocast::float32); cast) return smooth_l1_loss(cast(x), cast(target), reduction, beta);
  check_pair("smooth_l1_loss", x, target);
  check(beta >= 0, "smooth_l1_loss: beta {}, expected 0 or more", beta);
  if (beta == 0) return l1_loss(x, target, reduction);
  return reduced("smooth_l1_loss", unary("smooth_l1_loss", {UnaryOp::smooth_l1, beta}, x - target), reduction);
}

Tensor huber_loss(const Tensor& x, const Tensor& target, Reduction reduction, double delta) {
  if (const Autocast cast(Autocast::float32); cast) return huber_loss(cast(x), cast(target), reduction, delta);
  check_pair("huber_loss", x, target);
  check(delta > 0, "huber_loss: delta {}, expected more than 0", delta);
  return reduced("huber_loss", unary("huber_loss", {UnaryOp::smooth_l1, delta}, x - target) * delta, reduction);
}

Tensor binary_cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight, Reduction reduction) {
  if (const Autocast cast(Autocast::float32); cast)
    return binary_cross_entropy(cast(x), cast(target), cast(weight), reduction);
  check_pair("binary_cross_entropy", x, target);
  check_alike("binary_cross_entropy", x, target);
  Tensor loss;
  {
    NoGradGuard no_grad;
    loss = -(target * clamp(log(x), -100) + (1 - target) * clamp(log1p(-x), -100));
  }
  loss = record("binary_cross_entropy", {x, target}, loss, [x = Saved(x), target = Saved(target)](const Tensor& g) {
    return Grads{g * (*x - *target) / clamp((1 - *x) * *x, 1e-12),
                 g * (clamp(log1p(-*x), -100) - clamp(log(*x), -100))};
  });
  return reduced("binary_cross_entropy", weight.defined() ? loss * weight : loss, reduction);
}

Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target, const Tensor& weight,
                                        Reduction reduction, const Tensor& pos_weight) {
  if (const Autocast cast(Autocast::float32); cast)
    return binary_cross_entropy_with_logits(cast(x), cast(target), cast(weight), reduction, cast(pos_weight));
  constexpr const char* name = "binary_cross_entropy_with_logits";
  check_pair(name, x, target);
  const Tensor log_x = logsigmoid(x);  // and log(1 - sigmoid(x)) is this less x
  const Tensor of_x = pos_weight.defined() ? ((pos_weight - 1) * target + 1) * log_x : log_x;
  const Tensor loss = (1 - target) * x - of_x;
  return reduced(name, weight.defined() ? loss * weight : loss, reduction);
}

Tensor kl_div(const Tensor& x, const Tensor& target, Reduction reduction, bool log_target) {
  if (const Autocast cast(Autocast::float32); cast) return kl_div(cast(x), cast(target), reduction, log_target);
  check_pair("kl_div", x, target);
  const Tensor loss =
      log_target ? exp(target) * (target - x) : masked_fill(target * log(target), eq(target, 0), 0) - target * x;
  if (reduction != Reduction::batchmean) return reduced("kl_div", loss, reduction);
  return sum(loss) / static_cast<double>(x.dim() == 0 ? 1 : x.size(0));
}

Tensor poisson_nll_loss(const Tensor& x, const Tensor& target, bool log_input, bool full, double eps,
                        Reduction reduction) {
  if (const Autocast cast(Autocast::float32); cast)
    return poisson_nll_loss(cast(x), cast(target), log_input, full, eps, reduction);
  check_pair("poisson_nll_loss", x, target);
  Tensor loss = log_input ? exp(x) - target * x : x - target * log(x + eps);
  if (full) {
    const Tensor stirling = target * log(target) - target + log(target * (2 * std::numbers::pi)) * 0.5;
    loss = loss + masked_fill(stirling, le(target, 1), 0);
  }
  return reduced("poisson_nll_loss", loss, reduction);
}

Tensor gaussian_nll_loss(const Tensor& x, const Tensor& target, const Tensor& var, bool full, double eps,
                         Reduction reduction) {
  if (const Autocast cast(Autocast::float32); cast)
    return gaussian_nll_loss(cast(x), cast(target), cast(var), full, eps, reduction);
  check_defined("gaussian_nll_loss", "x", x);
  check_defined("gaussian_nll_loss", "target", target);
  check_defined("gaussian_nll_loss", "var", var);
  const bool of_rows = var.dim() == x.dim() - 1;  // one for each [.., D]
  const Tensor v = at_least(of_rows ? var.unsqueeze(-1) : var, eps);
  const Tensor loss = (log(v) + square(x - target) / v) * 0.5;
  return reduced("gaussian_nll_loss", full ? loss + std::log(2 * std::numbers::pi) / 2 : loss, reduction);
}

Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin, Reduction reduction) {
  if (const Autocast cast(Autocast::float32); cast)
    return hinge_embedding_loss(cast(x), cast(target), margin, reduction);
  check_pair("hinge_embedding_loss", x, target);
  const Tensor below = masked_fill(clamp(margin - x, 0), eq(target, 1), 0);
  return reduced("hinge_embedding_loss", below + masked_fill(x, eq(target, -1), 0), reduction);
}

Tensor soft_margin_loss(const Tensor& x, const Tensor& target, Reduction reduction) {
  if (const Autocast cast(Autocast::float32); cast) return soft_margin_loss(cast(x), cast(target), reduction);
  check_pair("soft_margin_loss", x, target);
  return reduced("soft_margin_loss", softplus(-target * x), reduction);
}

Tensor margin_ranking_loss(const Tensor& x1, const Tensor& x2, const Tensor& target, double margin,
                           Reduction reduction) {
  return reduced("margin_ranking_loss", clamp(margin - target * (x1 - x2), 0), reduction);
}

Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, std::int64_t dim, double eps) {
  const auto unit = [&](const Tensor& x) { return x / at_least(norm(x, 2, {dim}, true), eps); };
  return sum(unit(x1) * unit(x2), {dim});
}

Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p, double eps, bool keepdim) {
  return norm(x1 - x2 + eps, p, {-1}, keepdim);
}

Tensor cosine_embedding_loss(const Tensor& x1, const Tensor& x2, const Tensor& target, double margin,
                             Reduction reduction) {
  check_pair("cosine_embedding_loss", x1, x2);
  check_defined("cosine_embedding_loss", "target", target);
  check((x1.dim() == 1 || x1.dim() == 2) && target.dim() == x1.dim() - 1,
        "cosine_embedding_loss: inputs {} and target {}, expected [N, D] and [N], or [D] and []", x1.shape(),
        target.shape());
  constexpr double eps = 1e-12;  // PyTorch's
  const Tensor cosine = sum(x1 * x2, {-1}) / sqrt((sum(square(x1), {-1}) + eps) * (sum(square(x2), {-1}) + eps));
  return reduced("cosine_embedding_loss",
                 masked_fill(1 - cosine, ne(target, 1), 0) + masked_fill(clamp(cosine - margin, 0), ne(target, -1), 0),
                 reduction);
}

Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginLossOptions& o) {
  const auto distance = [&](const Tensor& a, const Tensor& b) { return pairwise_distance(a, b, o.p, o.eps); };
  Tensor to_negative = distance(anchor, negative);
  if (o.swap) to_negative = minimum(to_negative, distance(positive, negative));
  return reduced("triplet_margin_loss", clamp(distance(anchor, positive) - to_negative + o.margin, 0), o.reduction);
}

}  // namespace tern
