/// One step of SGD or AdamW, of all parameters of a model in one launch as segments.cuh has it, and the end of a step.
///
/// Bytes an element of type T: sgd param twice, grad once, and with momentum that twice: 3 or 5; adamw 7. Arithmetic: 2
/// to 15 operations. The limit is bandwidth, for small models the launch.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/segments.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class T>
struct Sgd {
  T lr, momentum, one_minus_dampening, weight_decay;
  bool nesterov;
  StepNumbers<T> numbers;  ///< its state is null for none

  Sgd(const SgdStep& s, const StepNumbers<T>* n)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        one_minus_dampening(static_cast<T>(1 - s.dampening)),
        weight_decay(static_cast<T>(s.weight_decay)),
        nesterov(s.nesterov),
        numbers(n ? *n : StepNumbers<T>{}) {}

  __device__ bool begin() {
    if (!numbers.state) return true;
    lr = static_cast<T>(numbers.at(0));
    return !numbers.stopped();
  }
  __device__ void operator()(const SgdParam<T>& p, int64_t i) const {
    T g = p.grad[i] + weight_decay * p.param[i];
    if (momentum != 0) {
      const T m = p.momentum_is_new ? g : momentum * p.momentum[i] + one_minus_dampening * g;
      p.momentum[i] = m;
      g = nesterov ? g + momentum * m : m;
    }
    p.param[i] -= lr * g;
  }
};

template <class T>
struct AdamW {
  T lr, beta1, beta2, one_minus_beta1, one_minus_beta2, eps, keep, correction1, correction2;
  double weight_decay;
  StepNumbers<T> numbers;

  AdamW(const AdamWStep& s, const StepNumbers<T>* n)
      : lr(static_cast<T>(s.lr)),
        beta1(static_cast<T>(s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        one_minus_beta1(static_cast<T>(1 - s.beta1)),
        one_minus_beta2(static_cast<T>(1 - s.beta2)),
        eps(static_cast<T>(s.eps)),
        keep(static_cast<T>(1 - s.lr * s.weight_decay)),
        correction1(static_cast<T>(1 - std::pow(s.beta1, s.step))),
        correction2(static_cast<T>(1 - std::pow(s.beta2, s.step))),
        weight_decay(s.weight_decay),
        numbers(n ? *n : StepNumbers<T>{}) {}

  __device__ bool begin() {
    if (!numbers.state) return true;
    lr = static_cast<T>(numbers.at(0));
    keep = static_cast<T>(1 - numbers.at(0) * weight_decay);
    correction1 = static_cast<T>(numbers.at(1));
    correction2 = static_cast<T>(numbers.at(2));
    return !numbers.stopped();
  }
  __device__ void operator()(const AdamWParam<T>& p, int64_t i) const {
    const T g = p.grad[i];
    const T m = beta1 * p.exp_avg[i] + one_minus_beta1 * g, v = beta2 * p.exp_avg_sq[i] + one_minus_beta2 * g * g;
    p.exp_avg[i] = m;
    p.exp_avg_sq[i] = v;
    p.param[i] = p.param[i] * keep - lr * (m / correction1 / (std::sqrt(v / correction2) + eps));
  }
};

template <class T>
__global__ void __launch_bounds__(1) finish_step(const T* __restrict__ loss, StepState* __restrict__ state) {
  wait_for_previous_kernels();
  if (std::isfinite(loss[0])) {
    state->loss_sum += loss[0];
  } else if (state->diverged_at < 0) {
    state->diverged_at = state->step;
  }
  ++state->step;
}

}  // namespace

template <class T>
void CudaFloat<T>::sgd_step(const SgdStep& s, std::span<const SgdParam<T>> params, const StepNumbers<T>* numbers) {
  const DeviceGuard guard(device_);
  launch_change(Sgd<T>(s, numbers), params);
}

template <class T>
void CudaFloat<T>::adamw_step(const AdamWStep& s, std::span<const AdamWParam<T>> params,
                              const StepNumbers<T>* numbers) {
  const DeviceGuard guard(device_);
  launch_change(AdamW<T>(s, numbers), params);
}

template <class T>
void CudaFloat<T>::end_step(const T* loss, StepState* state) {
  const DeviceGuard guard(device_);
  launch(finish_step<T>, 1, 1, 0, current_stream(), loss, state);
}

template void CudaFloat<float>::sgd_step(const SgdStep&, std::span<const SgdParam<float>>, const StepNumbers<float>*);
template void CudaFloat<float>::adamw_step(const AdamWStep&, std::span<const AdamWParam<float>>,
                                           const StepNumbers<float>*);
template void CudaFloat<float>::end_step(const float*, StepState*);
template void CudaFloat<double>::sgd_step(const SgdStep&, std::span<const SgdParam<double>>,
                                          const StepNumbers<double>*);
template void CudaFloat<double>::adamw_step(const AdamWStep&, std::span<const AdamWParam<double>>,
                                            const StepNumbers<double>*);
template void CudaFloat<double>::end_step(const double*, StepState*);

}  // namespace tern::kernels
