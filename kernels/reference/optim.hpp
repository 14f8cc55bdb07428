#pragma once

#include <tern/kernels/optim.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <cmath>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::optimizer_step(const OptimizerStep& step, std::span<const OptimizerParam<T>> params,
                                       const StepNumbers<T>* numbers) {
  if (numbers && numbers->stopped()) return;
  const OptimizerStep s = step.with(numbers);
  const bool decoupled = s.op == OptimizerOp::adamw || s.op == OptimizerOp::lion;
  /// Of a number of the state: the mean so far and what is new.
  const auto mean = [](double keep, T& state, double x) {
    const double y = keep * state + (1 - keep) * x;
    state = static_cast<T>(y);
    return y;
  };
  for (const OptimizerParam<T>& all : params) {
    T* const(&state)[3] = all.state;
    for (int64_t i = 0; i < all.n; ++i) {
      double p = all.param[i], g = s.maximize ? -all.grad[i] : all.grad[i];
      if (s.weight_decay != 0 && !decoupled) g += s.weight_decay * p;
      if (decoupled) p *= 1 - s.lr * s.weight_decay;
      switch (s.op) {
        case OptimizerOp::sgd:
          if (state[0]) {
            const double m = s.momentum * state[0][i] + (1 - s.decay) * g;
            state[0][i] = static_cast<T>(m);
            g = s.nesterov ? g + s.momentum * m : m;
          }
          p -= s.lr * g;
          break;
        case OptimizerOp::adam:
        case OptimizerOp::adamw: {
          const double m = mean(s.momentum, state[0][i], g);
          double v = mean(s.decay, state[1][i], g * g);
          if (state[2]) {
            if (v <= state[2][i]) v = state[2][i];
            state[2][i] = static_cast<T>(v);
          }
          p -= s.lr * (m / s.correction1 / (std::sqrt(v / s.correction2) + s.eps));
          break;
        }
        case OptimizerOp::rmsprop: {
          double v = mean(s.decay, state[0][i], g * g);
          if (state[1]) {
            const double a = mean(s.decay, state[1][i], g);
            v -= a * a;
            if (v < 0) v = 0;
          }
          double u = g / (std::sqrt(v) + s.eps);
          if (state[2]) {
            u += s.momentum * state[2][i];
            state[2][i] = static_cast<T>(u);
          }
          p -= s.lr * u;
          break;
        }
        case OptimizerOp::adagrad: {
          const double v = state[0][i] + g * g;
          state[0][i] = static_cast<T>(v);
          p -= s.lr * g / (std::sqrt(v) + s.eps);
          break;
        }
        case OptimizerOp::adadelta: {
          const double v = mean(s.decay, state[0][i], g * g);
          const double d = g * std::sqrt(state[1][i] + s.eps) / std::sqrt(v + s.eps);
          mean(s.decay, state[1][i], d * d);
          p -= s.lr * d;
          break;
        }
        case OptimizerOp::lion: {
          const double u = s.momentum * state[0][i] + (1 - s.momentum) * g;
          p -= s.lr * ((u > 0) - (u < 0));
          mean(s.decay, state[0][i], g);
          break;
        }
        case OptimizerOp::nadam: {
          const double m = mean(s.momentum, state[0][i], g), v = mean(s.decay, state[1][i], g * g);
          p -= s.lr * (g + s.correction1 * m) / (std::sqrt(v / s.correction2) + s.eps);
          break;
        }
        case OptimizerOp::radam: {
          const double m = mean(s.momentum, state[0][i], g), v = mean(s.decay, state[1][i], g * g);
          p -= s.lr / s.correction1 * m * (s.correction2 == 0 ? 1 : s.correction2 / (std::sqrt(v) + s.eps));
          break;
        }
        case OptimizerOp::adamax: {
          const double m = mean(s.momentum, state[0][i], g), kept = s.decay * state[1][i], now = std::abs(g) + s.eps;
          const double u = kept > now ? kept : now;
          state[1][i] = static_cast<T>(u);
          p -= s.lr / s.correction1 * m / u;
          break;
        }
      }
      all.param[i] = static_cast<T>(p);
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

template <class T>
void ReferenceFloat<T>::update_scale(const ScaleRule& rule, const T* squares, T* scale, int64_t* steps) {
  double moved = scale[0];
  if (!std::isfinite(squares[0])) {
    moved *= rule.backoff_factor;
    steps[0] = 0;
  } else if (++steps[0] == rule.growth_interval) {
    moved *= rule.growth_factor;
    steps[0] = 0;
  }
  const T rounded = static_cast<T>(moved);
  if (std::isfinite(rounded) && std::isfinite(1 / rounded)) scale[0] = rounded;
}

}  // namespace tern::kernels
