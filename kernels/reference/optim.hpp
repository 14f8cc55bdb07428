#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <cmath>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::sgd_step(const SgdStep& s, std::span<const SgdParam<T>> params, const StepNumbers<T>* numbers) {
  if (numbers && numbers->stopped()) return;
  const double lr = numbers ? numbers->at(0) : s.lr;
  for (const SgdParam<T>& p : params) {
    for (int64_t i = 0; i < p.n; ++i) {
      double g = p.grad[i] + s.weight_decay * p.param[i];
      if (s.momentum != 0) {
        const double m = p.momentum_is_new ? g : s.momentum * p.momentum[i] + (1 - s.dampening) * g;
        p.momentum[i] = static_cast<T>(m);
        g = s.nesterov ? g + s.momentum * m : m;
      }
      p.param[i] = static_cast<T>(p.param[i] - lr * g);
    }
  }
}

template <class T>
void ReferenceFloat<T>::adamw_step(const AdamWStep& s, std::span<const AdamWParam<T>> params,
                                   const StepNumbers<T>* numbers) {
  if (numbers && numbers->stopped()) return;
  const double lr = numbers ? numbers->at(0) : s.lr;
  const double correction1 = numbers ? numbers->at(1) : 1 - std::pow(s.beta1, s.step);
  const double correction2 = numbers ? numbers->at(2) : 1 - std::pow(s.beta2, s.step);
  for (const AdamWParam<T>& p : params) {
    for (int64_t i = 0; i < p.n; ++i) {
      const double g = p.grad[i];
      const double m = s.beta1 * p.exp_avg[i] + (1 - s.beta1) * g;
      const double v = s.beta2 * p.exp_avg_sq[i] + (1 - s.beta2) * g * g;
      p.exp_avg[i] = static_cast<T>(m);
      p.exp_avg_sq[i] = static_cast<T>(v);
      const double step = m / correction1 / (std::sqrt(v / correction2) + s.eps);
      p.param[i] = static_cast<T>(p.param[i] * (1 - lr * s.weight_decay) - lr * step);
    }
  }
}

template <class T>
void ReferenceFloat<T>::end_step(const T* loss, StepState* state) {
  if (std::isfinite(loss[0])) {
    state->loss_sum += loss[0];
  } else if (state->diverged_at < 0) {
    state->diverged_at = state->step;
  }
  ++state->step;
}

}  // namespace tern::kernels
