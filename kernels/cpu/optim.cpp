/// What runs over a model's parameters: optimiser steps, averages, sums. Per element SGD reads and writes 12 or
/// 20 bytes, AdamW 28, for a few operations each. Parameters are taken one after the other, the threads share the
/// elements of large ones.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/optim.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tern::kernels {

namespace {
constexpr int64_t piece = 1 << 15;  // elements worth a thread's while
}

void CpuFloat32::sum_of_squares(std::span<const Segment<float>> all, float* y) {
  double lane[16] = {};  // kept apart, so that no addition waits for the one before
  for (const Segment<float>& s : all) {
    int64_t i = 0;
    for (; i + 16 <= s.n; i += 16) {
      for (int l = 0; l < 16; ++l) lane[l] += static_cast<double>(s.x[i + l]) * s.x[i + l];
    }
    for (int l = 0; i < s.n; ++i, ++l) lane[l] += static_cast<double>(s.x[i]) * s.x[i];
  }
  y[0] = static_cast<float>(std::accumulate(lane, lane + 16, 0.0));
}

void CpuFloat32::scale_all(std::span<const Segment<float>> all, double a, const float* factor) {
  const float by = static_cast<float>(a) * factor[0];
  for (const Segment<float>& s : all) {
    parallel_for(s.n, piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) s.y[i] = by * s.x[i];
    });
  }
}

void CpuFloat32::add_all(std::span<const Segment<float>> all) {
  for (const Segment<float>& s : all) {
    parallel_for(s.n, piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) s.y[i] += s.x[i];
    });
  }
}

void CpuFloat32::lerp_all(std::span<const Segment<float>> all, double weight, const StepNumbers<float>* numbers) {
  if (numbers && numbers->stopped()) return;
  const float w = static_cast<float>(numbers ? numbers->at(0) : weight);
  for (const Segment<float>& s : all) {
    parallel_for(s.n, piece, [&](int64_t begin, int64_t end) {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) s.y[i] += w * (s.x[i] - s.y[i]);
    });
  }
}

namespace {

/// f(param, gradient, those states ...) for each element of each parameter.
template <int... states, class F>
void update_all(std::span<const OptimizerParam<float>> params, F f) {
  for (const OptimizerParam<float>& p : params) {
    parallel_for(p.n, piece, [&](int64_t begin, int64_t end) {
      const auto update = [&](float* param, const float* grad, auto*... state) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) f(param[i], grad[i], state[i]...);
      };
      update(p.param, p.grad, p.state[states]...);
    });
  }
}

}  // namespace

void CpuFloat32::optimizer_step(const OptimizerStep& step, std::span<const OptimizerParam<float>> params,
                                const StepNumbers<float>* numbers) {
  if (numbers && numbers->stopped()) return;
  const OptimizerStep s = step.with(numbers);
  const float lr = static_cast<float>(s.lr), eps = static_cast<float>(s.eps), sign = s.maximize ? -1 : 1;
  const float momentum = static_cast<float>(s.momentum), rest1 = static_cast<float>(1 - s.momentum);
  const float decay = static_cast<float>(s.decay), rest2 = static_cast<float>(1 - s.decay);
  const float weight_decay = static_cast<float>(s.weight_decay), kept = static_cast<float>(1 - s.lr * s.weight_decay);
  const auto decayed = [=](float p, float g) { return weight_decay != 0 ? sign * g + weight_decay * p : sign * g; };
  bool state[3];  // whether there is one, which parameters without elements do not tell
  for (int k = 0; k < 3; ++k) {
    state[k] = std::any_of(params.begin(), params.end(), [k](const auto& p) { return p.state[k] != nullptr; });
  }
  switch (s.op) {
    case OptimizerOp::sgd: {
      if (!state[0]) {
        update_all<>(params, [=](float& p, float g) { p -= lr * decayed(p, g); });
        break;
      }
      const float of_grad = s.nesterov ? 1 : 0, of_momentum = s.nesterov ? momentum : 1;
      update_all<0>(params, [=](float& p, float grad, float& m) {
        const float g = decayed(p, grad);
        m = momentum * m + rest2 * g;
        p -= lr * (of_grad * g + of_momentum * m);
      });
      break;
    }
    case OptimizerOp::adam:
    case OptimizerOp::adamw: {
      const bool coupled = s.op == OptimizerOp::adam;
      const float by = static_cast<float>(s.lr / s.correction1), keep = coupled ? 1 : kept;
      const float root = static_cast<float>(1 / std::sqrt(s.correction2));
      const auto update = [=](float& p, float grad, float& m, float& v, auto... largest) {
        const float g = coupled ? decayed(p, grad) : sign * grad;
        m = momentum * m + rest1 * g;
        v = decay * v + rest2 * g * g;
        float w = v;
        ((w = *largest = w <= *largest ? *largest : w), ...);
        p = keep * p - by * m / (std::sqrt(w) * root + eps);
      };
      if (state[2]) {
        update_all<0, 1, 2>(params, [=](float& p, float g, float& m, float& v, float& w) { update(p, g, m, v, &w); });
      } else {
        update_all<0, 1>(params, update);
      }
      break;
    }
    case OptimizerOp::rmsprop: {
      const auto direction = [=](float g, float& v, auto... mean) {
        v = decay * v + rest2 * g * g;
        float w = v;
        ((*mean = decay * *mean + rest2 * g, w -= *mean * *mean, w = w < 0 ? 0 : w), ...);
        return g / (std::sqrt(w) + eps);
      };
      const auto move = [=](float& p, float u, float& m) { p -= lr * (m = momentum * m + u); };
      if (state[1] && state[2]) {
        update_all<0, 1, 2>(params, [=](float& p, float g, float& v, float& a, float& m) {
          move(p, direction(decayed(p, g), v, &a), m);
        });
      } else if (state[2]) {
        update_all<0, 2>(params,
                         [=](float& p, float g, float& v, float& m) { move(p, direction(decayed(p, g), v), m); });
      } else if (state[1]) {
        update_all<0, 1>(params,
                         [=](float& p, float g, float& v, float& a) { p -= lr * direction(decayed(p, g), v, &a); });
      } else {
        update_all<0>(params, [=](float& p, float g, float& v) { p -= lr * direction(decayed(p, g), v); });
      }
      break;
    }
    case OptimizerOp::adagrad:
      update_all<0>(params, [=](float& p, float grad, float& v) {
        const float g = decayed(p, grad);
        v += g * g;
        p -= lr * g / (std::sqrt(v) + eps);
      });
      break;
    case OptimizerOp::adadelta:
      update_all<0, 1>(params, [=](float& p, float grad, float& v, float& u) {
        const float g = decayed(p, grad);
        v = decay * v + rest2 * g * g;
        const float d = g * std::sqrt(u + eps) / std::sqrt(v + eps);
        u = decay * u + rest2 * d * d;
        p -= lr * d;
      });
      break;
    case OptimizerOp::lion:
      update_all<0>(params, [=](float& p, float grad, float& m) {
        const float g = sign * grad, u = momentum * m + rest1 * g;
        p = kept * p - (u > 0 ? lr : u < 0 ? -lr : 0);
        m = decay * m + rest2 * g;
      });
      break;
    case OptimizerOp::nadam: {
      const float of_m = static_cast<float>(s.correction1), root = static_cast<float>(1 / std::sqrt(s.correction2));
      update_all<0, 1>(params, [=](float& p, float grad, float& m, float& v) {
        const float g = decayed(p, grad);
        m = momentum * m + rest1 * g;
        v = decay * v + rest2 * g * g;
        p -= lr * (g + of_m * m) / (std::sqrt(v) * root + eps);
      });
      break;
    }
    case OptimizerOp::radam: {
      const float by = static_cast<float>(s.lr / s.correction1), rectified = static_cast<float>(s.correction2);
      update_all<0, 1>(params, [=](float& p, float grad, float& m, float& v) {
        const float g = decayed(p, grad);
        m = momentum * m + rest1 * g;
        v = decay * v + rest2 * g * g;
        p -= by * m * (rectified == 0 ? 1 : rectified / (std::sqrt(v) + eps));
      });
      break;
    }
    case OptimizerOp::adamax: {
      const float by = static_cast<float>(s.lr / s.correction1);
      update_all<0, 1>(params, [=](float& p, float grad, float& m, float& u) {
        const float g = decayed(p, grad), kept_u = decay * u, now = std::abs(g) + eps;
        m = momentum * m + rest1 * g;
        u = kept_u > now ? kept_u : now;
        p -= by * m / u;
      });
      break;
    }
  }
}

}  // namespace tern::kernels
