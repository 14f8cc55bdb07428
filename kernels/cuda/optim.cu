/// One step of SGD or AdamW, of all parameters of a model in one launch.
///
/// The kernel's arguments hold a table of the tensors: sizes, pointers, and the block at which each one ends. A block
/// finds its tensor in the table and computes 1024 of its elements, a thread 4 of them, 256 apart. A model with more
/// tensors than the table has room for takes a launch for each table full; launched one by one, the small tensors of a
/// network would cost more in launches than in work.
///
/// Bytes an element of type T: sgd param twice, grad once, and with momentum that twice: 3 or 5; adamw 7. Arithmetic: 2
/// to 15 operations. The limit is bandwidth, for small models the launch.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int elements_per_thread = 4, elements_per_block = block_size * elements_per_thread;

template <class Param>
struct Table {
  static constexpr int capacity = 64;

  int tensors;
  int64_t end_block[capacity];  ///< of tensor i: the first block of tensor i + 1
  Param param[capacity];
};

template <class T>
struct Sgd {
  T lr, momentum, one_minus_dampening, weight_decay;
  bool nesterov;

  explicit Sgd(const SgdStep& s)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        one_minus_dampening(static_cast<T>(1 - s.dampening)),
        weight_decay(static_cast<T>(s.weight_decay)),
        nesterov(s.nesterov) {}

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

  explicit AdamW(const AdamWStep& s)
      : lr(static_cast<T>(s.lr)),
        beta1(static_cast<T>(s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        one_minus_beta1(static_cast<T>(1 - s.beta1)),
        one_minus_beta2(static_cast<T>(1 - s.beta2)),
        eps(static_cast<T>(s.eps)),
        keep(static_cast<T>(1 - s.lr * s.weight_decay)),
        correction1(static_cast<T>(1 - std::pow(s.beta1, s.step))),
        correction2(static_cast<T>(1 - std::pow(s.beta2, s.step))) {}

  __device__ void operator()(const AdamWParam<T>& p, int64_t i) const {
    const T g = p.grad[i];
    const T m = beta1 * p.exp_avg[i] + one_minus_beta1 * g, v = beta2 * p.exp_avg_sq[i] + one_minus_beta2 * g * g;
    p.exp_avg[i] = m;
    p.exp_avg_sq[i] = v;
    p.param[i] = p.param[i] * keep - lr * (m / correction1 / (std::sqrt(v / correction2) + eps));
  }
};

template <class Step, class Param>
__global__ void __launch_bounds__(block_size) update(Step step, Table<Param> table, int64_t blocks) {
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    int tensor = 0;
    while (table.end_block[tensor] <= block) ++tensor;
    const int64_t first_block = tensor == 0 ? 0 : table.end_block[tensor - 1];
    const Param& param = table.param[tensor];
    const int64_t first = (block - first_block) * elements_per_block + static_cast<int64_t>(threadIdx.x);
#pragma unroll
    for (int j = 0; j < elements_per_thread; ++j) {
      const int64_t i = first + j * block_size;
      if (i < param.n) step(param, i);
    }
  }
}

template <class Step, class Param>
void update_all(const Step& step, std::span<const Param> params) {
  Table<Param> table{};
  int64_t blocks = 0;
  const auto launch_table = [&] {
    launch(update<Step, Param>, grid_for(blocks, 1), block_size, 0, current_stream(), step, table, blocks);
    table.tensors = 0;
    blocks = 0;
  };
  for (const Param& param : params) {
    if (param.n == 0) continue;
    if (table.tensors == Table<Param>::capacity) launch_table();
    blocks += ceil_div(param.n, elements_per_block);
    table.param[table.tensors] = param;
    table.end_block[table.tensors++] = blocks;
  }
  launch_table();
}

}  // namespace

template <class T>
void CudaFloat<T>::sgd_step(const SgdStep& s, std::span<const SgdParam<T>> params) {
  const DeviceGuard guard(device_);
  update_all(Sgd<T>(s), params);
}

template <class T>
void CudaFloat<T>::adamw_step(const AdamWStep& s, std::span<const AdamWParam<T>> params) {
  const DeviceGuard guard(device_);
  update_all(AdamW<T>(s), params);
}

template void CudaFloat<float>::sgd_step(const SgdStep&, std::span<const SgdParam<float>>);
template void CudaFloat<float>::adamw_step(const AdamWStep&, std::span<const AdamWParam<float>>);
template void CudaFloat<double>::sgd_step(const SgdStep&, std::span<const SgdParam<double>>);
template void CudaFloat<double>::adamw_step(const AdamWStep&, std::span<const AdamWParam<double>>);

}  // namespace tern::kernels
