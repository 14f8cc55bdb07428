/// What runs over a model's parameters: optimiser steps, averages, sums. Per element SGD reads and writes 8 to 20
/// bytes, AdamW 28, for a few operations each. Parameters are taken one after the other, the threads share the elements
/// of large ones.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/threads.hpp>

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

void CpuFloat32::sgd_step(const SgdStep& s, std::span<const SgdParam<float>> params,
                          const StepNumbers<float>* numbers) {
  if (numbers && numbers->stopped()) return;
  const float lr = static_cast<float>(numbers ? numbers->at(0) : s.lr), momentum = static_cast<float>(s.momentum);
  const float damped = static_cast<float>(1 - s.dampening), decay = static_cast<float>(s.weight_decay);
  for (const SgdParam<float>& p : params) {
    parallel_for(p.n, piece, [&](int64_t begin, int64_t end) {
      float *param = p.param, *m = p.momentum;
      const float* grad = p.grad;
      if (s.momentum == 0) {
#pragma omp simd
        for (int64_t i = begin; i < end; ++i) param[i] -= lr * (grad[i] + decay * param[i]);
        return;
      }
      const float keep = p.momentum_is_new ? 0 : momentum, take = p.momentum_is_new ? 1 : damped;
      if (p.momentum_is_new) std::fill(m + begin, m + end, 0.0f);
      const float of_grad = s.nesterov ? 1 : 0, of_momentum = s.nesterov ? momentum : 1;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float g = grad[i] + decay * param[i];
        m[i] = keep * m[i] + take * g;
        param[i] -= lr * (of_grad * g + of_momentum * m[i]);
      }
    });
  }
}

void CpuFloat32::adamw_step(const AdamWStep& s, std::span<const AdamWParam<float>> params,
                            const StepNumbers<float>* numbers) {
  if (numbers && numbers->stopped()) return;
  const float beta1 = static_cast<float>(s.beta1), beta2 = static_cast<float>(s.beta2);
  const float rest1 = static_cast<float>(1 - s.beta1), rest2 = static_cast<float>(1 - s.beta2);
  const double lr = numbers ? numbers->at(0) : s.lr;
  const double correction1 = numbers ? numbers->at(1) : 1 - std::pow(s.beta1, s.step);
  const double correction2 = numbers ? numbers->at(2) : 1 - std::pow(s.beta2, s.step);
  const float step = static_cast<float>(lr / correction1), root = static_cast<float>(1 / std::sqrt(correction2));
  const float eps = static_cast<float>(s.eps), kept = static_cast<float>(1 - lr * s.weight_decay);
  for (const AdamWParam<float>& p : params) {
    parallel_for(p.n, piece, [&](int64_t begin, int64_t end) {
      float *param = p.param, *m = p.exp_avg, *v = p.exp_avg_sq;
      const float* grad = p.grad;
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float g = grad[i];
        m[i] = beta1 * m[i] + rest1 * g;
        v[i] = beta2 * v[i] + rest2 * g * g;
        param[i] = kept * param[i] - step * m[i] / (std::sqrt(v[i]) * root + eps);
      }
    });
  }
}

}  // namespace tern::kernels
