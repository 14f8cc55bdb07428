#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/optim/clip.hpp>
#include <tern/optim/scale_all.hpp>

#include <cmath>

namespace tern {
namespace {

std::vector<Tensor> grads_of(const char* name, const std::vector<Tensor>& parameters) {
  std::vector<Tensor> grads;
  for (const Tensor& p : parameters) {
    check(p.defined(), "{}: a parameter is undefined, expected a tensor", name);
    if (!p.grad().defined()) continue;
    grads.push_back(p.grad().detach());
    check_alike(name, grads[0], grads.back());
  }
  return grads;
}

Tensor norm_of(const std::vector<Tensor>& grads, double p) {
  if (p == 2) return sqrt(sum_of_squares(grads));
  std::vector<Tensor> all;
  for (const Tensor& g : grads) {
    if (g.numel() == 0) continue;
    all.push_back(std::isinf(p) ? max(abs(g)) : sum(p == 1 ? abs(g) : pow(abs(g), p)));
  }
  if (all.empty()) return zeros_like(grads[0]).sum();
  const Tensor parts = stack(all);
  return std::isinf(p) ? max(parts) : p == 1 ? sum(parts) : pow(sum(parts), 1 / p);
}

}  // namespace

Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type,
                       bool error_if_nonfinite) {
  check(norm_type > 0 && !std::isnan(max_norm),
        "clip_grad_norm_: max_norm {} and norm_type {}, expected a number, and "
        "one above 0",
        max_norm, norm_type);
  const NoGradGuard no_grad;
  const std::vector<Tensor> grads = grads_of("clip_grad_norm_", parameters);
  if (grads.empty()) return zeros({});
  const Tensor norm = norm_of(grads, norm_type);
  if (error_if_nonfinite) {
    check(std::isfinite(norm.item()), "clip_grad_norm_: a norm of {}, expected a finite one", norm.item());
  }
  const Tensor by = clamp(max_norm / (norm + 1e-6), {}, 1.0);
  scale_all_(grads, by);
  return norm;
}

void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value) {
  check(clip_value >= 0, "clip_grad_value_: {}, expected a number, not below 0", clip_value);
  const NoGradGuard no_grad;
  for (const Tensor& g : grads_of("clip_grad_value_", parameters)) g.copy_(clamp(g, -clip_value, clip_value));
}

}  // namespace tern
