/// One step of an optimiser, of all parameters of a model in one launch as segments.cuh has it, and the end of a step.
///
/// Bytes an element of type T: param twice, grad once and each state twice: sgd 3, or with momentum 5; adagrad and lion
/// 5; adam, adamw, nadam, radam, adamax and adadelta 7, or 9 with amsgrad; rmsprop 5 to 9. Arithmetic: 2 to 15
/// operations. The limit is bandwidth, for small models the launch.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/segments.cuh>
#include <tern/kernels/optim.hpp>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

/// A step's numbers, as its elements want them.
template <class T>
struct Numbers {
  T lr, momentum, one_minus_momentum, decay, one_minus_decay, eps, weight_decay, keep, correction1, correction2;
  bool nesterov, maximize;

  __host__ __device__ explicit Numbers(const OptimizerStep& s)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        one_minus_momentum(static_cast<T>(1 - s.momentum)),
        decay(static_cast<T>(s.decay)),
        one_minus_decay(static_cast<T>(1 - s.decay)),
        eps(static_cast<T>(s.eps)),
        weight_decay(static_cast<T>(s.weight_decay)),
        keep(static_cast<T>(1 - s.lr * s.weight_decay)),
        correction1(static_cast<T>(s.correction1)),
        correction2(static_cast<T>(s.correction2)),
        nesterov(s.nesterov),
        maximize(s.maximize) {}
};

template <class T, OptimizerOp op>
struct Update {
  OptimizerStep step;
  StepNumbers<T> numbers;  ///< its state is null for none
  Numbers<T> c;

  Update(const OptimizerStep& s, const StepNumbers<T>* n) : step(s), numbers(n ? *n : StepNumbers<T>{}), c(s) {}

  __device__ bool begin() {
    if (!numbers.state) return true;
    c = Numbers<T>(step.with(&numbers));
    return !numbers.stopped();
  }
  __device__ T mean(T keep, T take, T& state, T x) const { return state = keep * state + take * x; }
  __device__ void operator()(const OptimizerParam<T>& all, int64_t i) const {
    constexpr bool decoupled = op == OptimizerOp::adamw || op == OptimizerOp::lion;
    T p = all.param[i], g = c.maximize ? -all.grad[i] : all.grad[i];
    if (!decoupled && c.weight_decay != 0) g += c.weight_decay * p;
    if (decoupled) p *= c.keep;
    if constexpr (op == OptimizerOp::sgd) {
      if (all.state[0]) {
        const T m = mean(c.momentum, c.one_minus_decay, all.state[0][i], g);
        g = c.nesterov ? g + c.momentum * m : m;
      }
      p -= c.lr * g;
    } else if constexpr (op == OptimizerOp::adam || op == OptimizerOp::adamw) {
      const T m = mean(c.momentum, c.one_minus_momentum, all.state[0][i], g);
      T v = mean(c.decay, c.one_minus_decay, all.state[1][i], g * g);
      if (all.state[2]) {
        const T w = all.state[2][i];
        all.state[2][i] = v = v <= w ? w : v;
      }
      p -= c.lr * (m / c.correction1 / (std::sqrt(v / c.correction2) + c.eps));
    } else if constexpr (op == OptimizerOp::rmsprop) {
      T v = mean(c.decay, c.one_minus_decay, all.state[0][i], g * g);
      if (all.state[1]) {
        const T a = mean(c.decay, c.one_minus_decay, all.state[1][i], g);
        v -= a * a;
        if (v < 0) v = 0;
      }
      T u = g / (std::sqrt(v) + c.eps);
      if (all.state[2]) u = mean(c.momentum, 1, all.state[2][i], u);
      p -= c.lr * u;
    } else if constexpr (op == OptimizerOp::adagrad) {
      const T v = mean(1, 1, all.state[0][i], g * g);
      p -= c.lr * g / (std::sqrt(v) + c.eps);
    } else if constexpr (op == OptimizerOp::adadelta) {
      const T v = mean(c.decay, c.one_minus_decay, all.state[0][i], g * g);
      const T d = g * std::sqrt(all.state[1][i] + c.eps) / std::sqrt(v + c.eps);
      mean(c.decay, c.one_minus_decay, all.state[1][i], d * d);
      p -= c.lr * d;
    } else if constexpr (op == OptimizerOp::lion) {
      const T u = c.momentum * all.state[0][i] + c.one_minus_momentum * g;
      p -= u > 0 ? c.lr : u < 0 ? -c.lr : 0;
      mean(c.decay, c.one_minus_decay, all.state[0][i], g);
    } else {
      const T m = mean(c.momentum, c.one_minus_momentum, all.state[0][i], g);
      if constexpr (op == OptimizerOp::adamax) {
        const T kept = c.decay * all.state[1][i], now = std::abs(g) + c.eps;
        const T u = all.state[1][i] = kept > now ? kept : now;
        p -= c.lr / c.correction1 * m / u;
      } else {
        const T v = mean(c.decay, c.one_minus_decay, all.state[1][i], g * g);
        if constexpr (op == OptimizerOp::nadam) {
          p -= c.lr * (g + c.correction1 * m) / (std::sqrt(v / c.correction2) + c.eps);
        } else {
          static_assert(op == OptimizerOp::radam);
          p -= c.lr / c.correction1 * m * (c.correction2 == 0 ? T{1} : c.correction2 / (std::sqrt(v) + c.eps));
        }
      }
    }
    all.param[i] = p;
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

template <class T>
__global__ void __launch_bounds__(1)
    move_scale(ScaleRule rule, const T* __restrict__ squares, T* __restrict__ scale, int64_t* __restrict__ steps) {
  wait_for_previous_kernels();
  const bool taken = std::isfinite(squares[0]);
  const int64_t n = taken ? steps[0] + 1 : 0;
  const bool grows = n == rule.growth_interval;
  steps[0] = grows ? 0 : n;
  const T moved = static_cast<T>(scale[0] * (grows ? rule.growth_factor : taken ? 1 : rule.backoff_factor));
  if (std::isfinite(moved) && std::isfinite(1 / moved)) scale[0] = moved;
}

}  // namespace

template <class T>
void CudaFloat<T>::optimizer_step(const OptimizerStep& s, std::span<const OptimizerParam<T>> params,
                                  const StepNumbers<T>* numbers) {
  const DeviceGuard guard(device_);
  switch (s.op) {
    case OptimizerOp::sgd:
      return launch_change(Update<T, OptimizerOp::sgd>(s, numbers), params);
    case OptimizerOp::adam:
      return launch_change(Update<T, OptimizerOp::adam>(s, numbers), params);
    case OptimizerOp::adamw:
      return launch_change(Update<T, OptimizerOp::adamw>(s, numbers), params);
    case OptimizerOp::rmsprop:
      return launch_change(Update<T, OptimizerOp::rmsprop>(s, numbers), params);
    case OptimizerOp::adagrad:
      return launch_change(Update<T, OptimizerOp::adagrad>(s, numbers), params);
    case OptimizerOp::adadelta:
      return launch_change(Update<T, OptimizerOp::adadelta>(s, numbers), params);
    case OptimizerOp::lion:
      return launch_change(Update<T, OptimizerOp::lion>(s, numbers), params);
    case OptimizerOp::nadam:
      return launch_change(Update<T, OptimizerOp::nadam>(s, numbers), params);
    case OptimizerOp::radam:
      return launch_change(Update<T, OptimizerOp::radam>(s, numbers), params);
    case OptimizerOp::adamax:
      return launch_change(Update<T, OptimizerOp::adamax>(s, numbers), params);
  }
}

template <class T>
void CudaFloat<T>::end_step(const T* loss, StepState* state) {
  const DeviceGuard guard(device_);
  launch(finish_step<T>, 1, 1, 0, current_stream(), loss, state);
}

template <class T>
void CudaFloat<T>::update_scale(const ScaleRule& rule, const T* squares, T* scale, int64_t* steps) {
  const DeviceGuard guard(device_);
  launch(move_scale<T>, 1, 1, 0, current_stream(), rule, squares, scale, steps);
}

template void CudaFloat<float>::optimizer_step(const OptimizerStep&, std::span<const OptimizerParam<float>>,
                                               const StepNumbers<float>*);
template void CudaFloat<float>::end_step(const float*, StepState*);
template void CudaFloat<float>::update_scale(const ScaleRule&, const float*, float*, int64_t*);
template void CudaFloat<double>::optimizer_step(const OptimizerStep&, std::span<const OptimizerParam<double>>,
                                                const StepNumbers<double>*);
template void CudaFloat<double>::end_step(const double*, StepState*);
template void CudaFloat<double>::update_scale(const ScaleRule&, const double*, double*, int64_t*);

}  // namespace tern::kernels
