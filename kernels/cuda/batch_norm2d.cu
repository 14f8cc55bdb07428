/// Batch normalisation of x [N, C, HW], forward in training and in evaluation, and its gradient.
///
/// Training is two kernels. moments: a block takes a run of one channel's N * HW elements, computes its mean, and then
/// the squared deviations from that mean; the second reading finds the run in the cache. The last block of a channel
/// joins its runs, with Chan's formula for the squares, and moves the running statistics. normalize: a thread computes
/// 16 bytes of y, residual and activation included. No variance is ever a difference of two large sums, so digits are
/// kept however far the mean is from zero. Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for
/// computing sample variances", 1979.
///
/// The gradient goes the same way: the sums of dy and dy * xhat for each run, which the last block of a channel adds
/// up, then dx. Of an activation it takes the gradient each time that it reads dy. Runs are a function of the shape
/// alone, and are joined in their order, so the result is the same each time.
///
/// Where pooling follows, a thread of normalize_picked normalises the elements of one window and picks the largest;
/// the gradient's sums are taken over the picked elements, and a thread of pooled_input_gradient gathers the dy
/// of the windows that picked its element, which it knows by its value and, among equals, by being the first. Where no
/// element is in two windows, a thread of pooled_input_gradient_side_by_side has all elements of one. Neither the
/// normalised tensor nor its gradient is written.
///
/// Bytes: x, y and the residual once, backward x, dy, dx, the residual's gradient and, for an activation, y once, as
/// long as the second kernel finds in the L2 cache what the first has read; else x, y and dy once more. With pooling, y
/// and dy have the size of the windows, and so has picked. Arithmetic: some 10 operations an element, and those of the
/// activation. The limit is bandwidth.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/pool2d.cuh>

#include <cmath>
#include <type_traits>
#include <utility>

namespace tern::kernels {
namespace {

using namespace cuda;

/// How a channel's N * HW elements are cut into runs.
struct Runs {
  int64_t C, HW, elements, length, count;

  explicit Runs(const BatchNorm2dShape& s) : C(s.C), HW(s.HW), elements(s.N * s.HW) {
    constexpr int64_t least = 4096, blocks_wanted = 1024;
    count = std::clamp<int64_t>(elements / least, 1, ceil_div(blocks_wanted, std::max<int64_t>(C, 1)));
    length = ceil_div(elements, count);
    count = length > 0 ? ceil_div(elements, length) : 1;
  }

  __host__ __device__ int64_t size(int64_t run) const { return min(length, elements - run * length); }

  /// Calls f(where it lies in x) for this thread's elements of the run, with no division but the first.
  template <class F>
  __device__ void for_each(int64_t c, int64_t run, F f) const {
    const int64_t first = run * length + static_cast<int64_t>(threadIdx.x), end = min((run + 1) * length, elements);
    if (first >= end) return;
    int64_t n = first / HW, at = first - n * HW;
    const int64_t step_n = block_size / HW, step_at = block_size - step_n * HW;
    for (int64_t i = first; i < end; i += block_size) {
      f((n * C + c) * HW + at);
      n += step_n;
      at += step_at;
      if (at >= HW) {
        at -= HW;
        ++n;
      }
    }
  }
};

/// Of some elements: their mean, and the sum of the squared deviations from it. In double, for a float's square may be
/// beyond float.
struct Moments {
  double mean, squares;
};

/// of_runs [C, runs] is for the blocks to tell each other; finished [C] are counters. Unless null, momentum is 1 /
/// *averaged.
template <class T>
__global__ void __launch_bounds__(block_size, 4)
    moments(Runs runs, double eps, double momentum, const T* __restrict__ x, Moments* of_runs, unsigned* finished,
            T* __restrict__ running_mean, T* __restrict__ running_var, int64_t* __restrict__ num_batches,
            const int64_t* __restrict__ averaged, T* __restrict__ mean, T* __restrict__ invstd) {
  wait_for_previous_kernels();
  if (averaged) momentum = 1 / static_cast<double>(*averaged);
  const auto squared = [](T v) { return v * v; };
  for (int64_t work = blockIdx.x; work < runs.C * runs.count; work += gridDim.x) {
    const int64_t c = work / runs.count, run = work % runs.count;
    const auto moments_of_run = [&](T scale) {
      T sum = 0, squares = 0;
      runs.for_each(c, run, [&](int64_t at) { sum += x[at] * scale; });
      const T mu = block_sum<block_size>(sum) / static_cast<T>(runs.size(run));
      runs.for_each(c, run, [&](int64_t at) { squares += squared(x[at] * scale - mu); });
      squares = block_sum<block_size>(squares);
      const double back = 1 / static_cast<double>(scale);
      return Moments{mu * back, squares * back * back};
    };
    Moments m = moments_of_run(1);
    if constexpr (std::is_same_v<T, float>) {  // of numbers too large, or infinite
      if (m.squares - m.squares != 0) m = moments_of_run(0x1p-80f);
    }
    if (threadIdx.x == 0) of_runs[work] = m;
    if (!is_last_block(finished + c, static_cast<unsigned>(runs.count))) continue;

    const double elements = static_cast<double>(runs.elements);
    double sum = 0, squares = 0;
    for (int64_t r = threadIdx.x; r < runs.count; r += block_size) {
      sum += of_runs[c * runs.count + r].mean * static_cast<double>(runs.size(r));
    }
    const double mu = block_sum<block_size>(sum) / elements;
    for (int64_t r = threadIdx.x; r < runs.count; r += block_size) {
      const Moments of_run = of_runs[c * runs.count + r];
      squares += of_run.squares + static_cast<double>(runs.size(r)) * (of_run.mean - mu) * (of_run.mean - mu);
    }
    squares = block_sum<block_size>(squares);
    if (threadIdx.x != 0) continue;
    mean[c] = static_cast<T>(mu);
    invstd[c] = static_cast<T>(1 / std::sqrt(squares / elements + eps));
    if (c == 0 && num_batches) ++*num_batches;
    if (runs.elements == 0) continue;
    if (running_mean) running_mean[c] = static_cast<T>((1 - momentum) * running_mean[c] + momentum * mu);
    if (running_var) {
      running_var[c] = static_cast<T>((1 - momentum) * running_var[c] + momentum * (squares / (elements - 1)));
    }
  }
}

template <class T>
__global__ void __launch_bounds__(block_size)
    invert_running_var(int64_t C, double eps, const T* __restrict__ running_var, T* __restrict__ invstd) {
  wait_for_previous_kernels();
  for (int64_t c = grid_thread(); c < C; c += grid_threads()) {
    invstd[c] = static_cast<T>(1 / std::sqrt(running_var[c] + eps));
  }
}

/// For batches that no block of moments counts.
__global__ void __launch_bounds__(1) add_one(int64_t* x) {
  wait_for_previous_kernels();
  ++*x;
}

/// What becomes of an element of a channel. scale is invstd * weight.
template <class T>
struct Normalization {
  T mean, scale, shift;

  template <class I>
  __device__ Normalization(I c, const T* __restrict__ weight, const T* __restrict__ bias, const T* __restrict__ means,
                           const T* __restrict__ invstd)
      : mean(means[c]), scale(weight ? invstd[c] * weight[c] : invstd[c]), shift(bias ? bias[c] : T{0}) {}

  __device__ T operator()(T x) const { return (x - mean) * scale + shift; }
};

/// y = activation(x normalised, plus residual), which may be null. A thread computes `width` neighbours, which are of
/// one channel.
template <int width, class I, class T>
__global__ void __launch_bounds__(block_size, 2)
    normalize(I packs, I HW, I C, Activation activation, const T* __restrict__ x, const T* __restrict__ weight,
              const T* __restrict__ bias, const T* __restrict__ residual, const T* __restrict__ mean,
              const T* __restrict__ invstd, T* __restrict__ y) {
  wait_for_previous_kernels();
  for (I i = grid_thread<I>(); i < packs; i += grid_threads<I>()) {
    const Normalization<T> normalized(i * width / HW % C, weight, bias, mean, invstd);
    Pack<T, width> pack = load_pack<width>(x + i * width);
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = normalized(pack.at[j]);
    if (residual) {
      const Pack<T, width> more = load_pack<width>(residual + i * width);
#pragma unroll
      for (int j = 0; j < width; ++j) pack.at[j] += more.at[j];
    }
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = activated(activation, pack.at[j]);
    store_pack(y + i * width, pack);
  }
}

/// activation(max_pool2d of normalize's result), and of each window the picked element of x. A thread computes one
/// window.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    normalize_picked(Pool<I> s, I C, Activation activation, const T* __restrict__ x, const T* __restrict__ weight,
                     const T* __restrict__ bias, const T* __restrict__ mean, const T* __restrict__ invstd,
                     T* __restrict__ picked, T* __restrict__ y) {
  wait_for_previous_kernels();
  s.for_each_window([&](I e, I plane, Window<I> window) {
    const Normalization<T> normalized(plane % C, weight, bias, mean, invstd);
    const T* const in = x + plane * s.H * s.W;
    const T v = in[s.pick(in, normalized, window)];
    picked[e] = v;
    y[e] = activated(activation, normalized(v));
  });
}

/// dy from before the activation. y is null where there is none.
template <class T>
struct Gradient {
  Activation activation;
  const T* y;
  const T* __restrict__ dy;

  template <class I>
  __device__ T operator[](I at) const {
    return y ? before_activation(activation, y[at], dy[at]) : dy[at];
  }
};

/// totals [2, C]: the sums of dy, and of dy * xhat; dbias and dweight are the same numbers. Each may be null. of_runs
/// [C, runs, 2] is for the blocks to tell each other; finished [C] are counters.
template <class T>
__global__ void __launch_bounds__(block_size, 4)
    gradient_sums(Runs runs, const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ invstd,
                  Gradient<T> dy, T* of_runs, unsigned* finished, T* __restrict__ totals, T* __restrict__ dweight,
                  T* __restrict__ dbias) {
  wait_for_previous_kernels();
  for (int64_t work = blockIdx.x; work < runs.C * runs.count; work += gridDim.x) {
    const int64_t c = work / runs.count;
    const T mu = mean[c], inv = invstd[c];
    T sum = 0, slope = 0;
    runs.for_each(c, work % runs.count, [&](int64_t at) {
      const T g = dy[at];
      sum += g;
      slope += g * ((x[at] - mu) * inv);
    });
    sum = block_sum<block_size>(sum);
    slope = block_sum<block_size>(slope);
    if (threadIdx.x == 0) {
      of_runs[2 * work] = sum;
      of_runs[2 * work + 1] = slope;
    }
    if (!is_last_block(finished + c, static_cast<unsigned>(runs.count))) continue;

    sum = slope = 0;
    for (int64_t r = c * runs.count + threadIdx.x; r < (c + 1) * runs.count; r += block_size) {
      sum += of_runs[2 * r];
      slope += of_runs[2 * r + 1];
    }
    sum = block_sum<block_size>(sum);
    slope = block_sum<block_size>(slope);
    if (threadIdx.x != 0) continue;
    if (totals) {
      totals[c] = sum;
      totals[runs.C + c] = slope;
    }
    if (dbias) dbias[c] = sum;
    if (dweight) dweight[c] = slope;
  }
}

/// dx = (dy - mean of dy - xhat * mean of dy * xhat) * invstd * weight, of a channel's elements. In training the
/// batch's mean and variance depend on x as well, which takes dy's mean and its slope along xhat away; else totals,
/// those of gradient_sums, are null.
template <class T>
struct InputGradient {
  T mean, invstd, mean_dy, slope, scale;

  template <class I>
  __device__ InputGradient(I c, I C, T elements, const T* __restrict__ weight, const T* __restrict__ means,
                           const T* __restrict__ invstds, const T* __restrict__ totals)
      : mean(means[c]),
        invstd(invstds[c]),
        mean_dy(totals ? totals[c] / elements : T{0}),
        slope(totals ? totals[C + c] / elements : T{0}),
        scale(weight ? invstd * weight[c] : invstd) {}

  __device__ T operator()(T x, T dy) const { return (dy - mean_dy - (x - mean) * invstd * slope) * scale; }
};

/// dx, which may be x, and dresidual = dy, which may be y. Either may be null.
template <int width, class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    input_gradient(I packs, I HW, I C, T elements, const T* x, const T* __restrict__ weight, const T* __restrict__ mean,
                   const T* __restrict__ invstd, const T* __restrict__ totals, Gradient<T> dy, T* dx, T* dresidual) {
  wait_for_previous_kernels();
  for (I i = grid_thread<I>(); i < packs; i += grid_threads<I>()) {
    Pack<T, width> pack = load_pack<width>(dy.dy + i * width);
    if (dy.y) {
      const Pack<T, width> y = load_pack<width>(dy.y + i * width);
#pragma unroll
      for (int j = 0; j < width; ++j) pack.at[j] = before_activation(dy.activation, y.at[j], pack.at[j]);
    }
    if (dresidual) store_pack(dresidual + i * width, pack);
    if (!dx) continue;
    const InputGradient<T> of(i * width / HW % C, C, elements, weight, mean, invstd, totals);
    const Pack<T, width> in = load_pack<width>(x + i * width);
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = of(in.at[j], pack.at[j]);
    store_pack(dx + i * width, pack);
  }
}

/// input_gradient in training, where dy is the sum of those of the windows that picked the element.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    pooled_input_gradient(Pool<I> s, I C, T elements, const T* x, const T* __restrict__ weight,
                          const T* __restrict__ mean, const T* __restrict__ invstd, const T* __restrict__ totals,
                          const T* __restrict__ picked, Gradient<T> dy, T* dx) {
  wait_for_previous_kernels();
  const auto part = [&](I out, I plane, I at, Window<I> window) {
    const T* const in = x + plane * s.H * s.W;
    if (in[at] != picked[out]) return T{0};
    return s.first(in, in[at], window) == at ? dy[out] : T{0};
  };
  s.template gather<T>(part, [&](I e, I plane, T total) {
    dx[e] = InputGradient<T>(plane % C, C, elements, weight, mean, invstd, totals)(x[e], total);
  });
}

/// The same where windows lie side by side. A thread computes the elements of one window, or of a place that is too
/// small for one, and reads no others: dx may be x.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 3)
    pooled_input_gradient_side_by_side(Pool<I> s, I C, T elements, const T* x, const T* __restrict__ weight,
                                       const T* __restrict__ mean, const T* __restrict__ invstd,
                                       const T* __restrict__ totals, const T* __restrict__ picked, Gradient<T> dy,
                                       T* dx) {
  wait_for_previous_kernels();
  const I rows = (s.H + s.R - 1) / s.R, cols = (s.W + s.S - 1) / s.S;
  for (I i = grid_thread<I>(); i < s.planes * rows * cols; i += grid_threads<I>()) {
    const I row = i / cols, q = i - row * cols, plane = row / rows, p = row - plane * rows;
    const InputGradient<T> of(plane % C, C, elements, weight, mean, invstd, totals);
    const I out = (plane * s.P + p) * s.Q + q;
    bool searching = p < s.P && q < s.Q;
    const T wanted = searching ? picked[out] : T{0};
    for (I h = p * s.R; h < min((p + 1) * s.R, s.H); ++h) {
      for (I w = q * s.S; w < min((q + 1) * s.S, s.W); ++w) {
        const I at = (plane * s.H + h) * s.W + w;
        const T v = x[at];
        const bool found = searching && v == wanted;
        dx[at] = of(v, found ? dy[out] : T{0});
        if (found) searching = false;
      }
    }
  }
}

/// Calls f(the kernel's width as a constant, I{}): wide where a channel's plane and all pointers allow it.
template <class T, class F, class... Pointers>
void with_width(const BatchNorm2dShape& s, F f, const Pointers*... pointers) {
  constexpr int width = 16 / sizeof(T);
  with_index(s.N * s.C * s.HW, [&]<class I>(I index) {
    if (s.HW % width == 0 && (is_aligned<T, width>(pointers) && ...)) {
      f(std::integral_constant<int, width>{}, index);
    } else {
      f(std::integral_constant<int, 1>{}, index);
    }
  });
}

template <class T>
void launch_normalize(const BatchNorm2dShape& s, const T* x, const T* weight, const T* bias, const T* residual,
                      const T* mean, const T* invstd, T* y) {
  const auto launch_it = [&]<int width, class I>(std::integral_constant<int, width>, I) {
    const int64_t packs = s.N * s.C * s.HW / width;
    launch(normalize<width, I, T>, grid_for(packs), block_size, 0, current_stream(), packs, s.HW, s.C, s.activation, x,
           weight, bias, residual, mean, invstd, y);
  };
  with_width<T>(s, launch_it, x, residual, y);
}

template <class T>
void launch_moments(const BatchNorm2dShape& s, double momentum, const T* x, T* running_mean, T* running_var,
                    int64_t* num_batches, T* mean, T* invstd) {
  if (s.C == 0) {
    if (num_batches) increment(num_batches);
    return;
  }
  const int64_t* averaged = nullptr;
  if (std::isnan(momentum)) {  // all channels are to see how many batches there are now
    increment(num_batches);
    averaged = std::exchange(num_batches, nullptr);
  }
  const Runs runs(s);
  const Scratch<Moments> of_runs(s.C * runs.count);
  launch(moments<T>, grid_for(s.C * runs.count, 1), block_size, 0, current_stream(), runs, s.eps, momentum, x,
         of_runs.data(), counters(s.C), running_mean, running_var, num_batches, averaged, mean, invstd);
}

/// From the elements of x whose dy is not 0.
template <class T>
void launch_gradient_sums(const BatchNorm2dShape& s, const T* x, const T* mean, const T* invstd, const Gradient<T>& dy,
                          T* totals, T* dweight, T* dbias) {
  if (s.C == 0 || (!totals && !dweight && !dbias)) return;
  const Runs runs(s);
  const Scratch<T> of_runs(2 * s.C * runs.count);
  launch(gradient_sums<T>, grid_for(s.C * runs.count, 1), block_size, 0, current_stream(), runs, x, mean, invstd, dy,
         of_runs.data(), counters(s.C), totals, dweight, dbias);
}

template <class T>
Gradient<T> gradient(Activation activation, const T* y, const T* dy) {
  return {activation, activation == Activation::none ? nullptr : y, dy};
}

}  // namespace

void cuda::increment(int64_t* x) { launch(add_one, 1, 1, 0, current_stream(), x); }

template <class T>
void CudaFloat<T>::batch_norm2d(const BatchNorm2dShape& s, double momentum, const T* x, const T* weight, const T* bias,
                                const T* residual, T* running_mean, T* running_var, int64_t* num_batches, T* mean,
                                T* invstd, T* y) {
  const DeviceGuard guard(device_);
  launch_moments(s, momentum, x, running_mean, running_var, num_batches, mean, invstd);
  launch_normalize(s, x, weight, bias, residual, mean, invstd, y);
}

template <class T>
void CudaFloat<T>::batch_norm2d_eval(const BatchNorm2dShape& s, const T* x, const T* weight, const T* bias,
                                     const T* residual, const T* running_mean, const T* running_var, T* invstd, T* y) {
  const DeviceGuard guard(device_);
  launch(invert_running_var<T>, grid_for(s.C), block_size, 0, current_stream(), s.C, s.eps, running_var, invstd);
  launch_normalize(s, x, weight, bias, residual, running_mean, invstd, y);
}

template <class T>
void CudaFloat<T>::batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const T* x, const T* weight,
                                         const T* mean, const T* invstd, const T* y, const T* dy, T* dx, T* dweight,
                                         T* dbias, T* dresidual) {
  const DeviceGuard guard(device_);
  const Gradient<T> g = gradient(s.activation, y, dy);
  const Scratch<T> totals(dx && training ? 2 * s.C : 0);
  launch_gradient_sums(s, x, mean, invstd, g, totals.data(), dweight, dbias);
  if (!dx && !dresidual) return;
  const auto launch_it = [&]<int width, class I>(std::integral_constant<int, width>, I) {
    const int64_t packs = s.N * s.C * s.HW / width;
    launch(input_gradient<width, I, T>, grid_for(packs), block_size, 0, current_stream(), packs, s.HW, s.C,
           static_cast<T>(s.N * s.HW), x, weight, mean, invstd, totals.data(), g, dx, dresidual);
  };
  with_width<T>(s, launch_it, x, g.y, dy, dx, dresidual);
}

template <class T>
void CudaFloat<T>::batch_norm2d_max_pool2d(const Pool2dShape& s, Activation activation, double eps, double momentum,
                                           const T* x, const T* weight, const T* bias, T* running_mean, T* running_var,
                                           int64_t* num_batches, T* mean, T* invstd, T* picked, T* y) {
  const DeviceGuard guard(device_);
  launch_moments({s.N, s.C, s.H * s.W, eps}, momentum, x, running_mean, running_var, num_batches, mean, invstd);
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    launch(normalize_picked<I, T>, grid_for(elements_out(s)), block_size, 0, current_stream(), pool, s.C, activation, x,
           weight, bias, mean, invstd, picked, y);
  });
}

template <class T>
void CudaFloat<T>::batch_norm2d_max_pool2d_backward(const Pool2dShape& s, Activation activation, const T* x,
                                                    const T* weight, const T* mean, const T* invstd, const T* picked,
                                                    const T* y, const T* dy, T* dx, T* dweight, T* dbias) {
  const DeviceGuard guard(device_);
  const Gradient<T> g = gradient(activation, y, dy);
  const Scratch<T> totals(dx ? 2 * s.C : 0);
  launch_gradient_sums<T>({s.N, s.C, s.P() * s.Q()}, picked, mean, invstd, g, totals.data(), dweight, dbias);
  if (!dx) return;
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    const auto kernel = s.side_by_side() ? pooled_input_gradient_side_by_side<I, T> : pooled_input_gradient<I, T>;
    const int64_t threads = s.side_by_side() ? s.N * s.C * ceil_div(s.H, s.R) * ceil_div(s.W, s.S) : elements_in(s);
    launch(kernel, grid_for(threads), block_size, 0, current_stream(), pool, s.C, static_cast<T>(s.N * s.H * s.W), x,
           weight, mean, invstd, totals.data(), picked, g, dx);
  });
}

template void CudaFloat<float>::batch_norm2d(const BatchNorm2dShape&, double, const float*, const float*, const float*,
                                             const float*, float*, float*, int64_t*, float*, float*, float*);
template void CudaFloat<float>::batch_norm2d_eval(const BatchNorm2dShape&, const float*, const float*, const float*,
                                                  const float*, const float*, const float*, float*, float*);
template void CudaFloat<float>::batch_norm2d_backward(const BatchNorm2dShape&, bool, const float*, const float*,
                                                      const float*, const float*, const float*, const float*, float*,
                                                      float*, float*, float*);
template void CudaFloat<float>::batch_norm2d_max_pool2d(const Pool2dShape&, Activation, double, double, const float*,
                                                        const float*, const float*, float*, float*, int64_t*, float*,
                                                        float*, float*, float*);
template void CudaFloat<float>::batch_norm2d_max_pool2d_backward(const Pool2dShape&, Activation, const float*,
                                                                 const float*, const float*, const float*, const float*,
                                                                 const float*, const float*, float*, float*, float*);
template void CudaFloat<double>::batch_norm2d(const BatchNorm2dShape&, double, const double*, const double*,
                                              const double*, const double*, double*, double*, int64_t*, double*,
                                              double*, double*);
template void CudaFloat<double>::batch_norm2d_eval(const BatchNorm2dShape&, const double*, const double*, const double*,
                                                   const double*, const double*, const double*, double*, double*);
template void CudaFloat<double>::batch_norm2d_backward(const BatchNorm2dShape&, bool, const double*, const double*,
                                                       const double*, const double*, const double*, const double*,
                                                       double*, double*, double*, double*);
template void CudaFloat<double>::batch_norm2d_max_pool2d(const Pool2dShape&, Activation, double, double, const double*,
                                                         const double*, const double*, double*, double*, int64_t*,
                                                         double*, double*, double*, double*);
template void CudaFloat<double>::batch_norm2d_max_pool2d_backward(const Pool2dShape&, Activation, const double*,
                                                                  const double*, const double*, const double*,
                                                                  const double*, const double*, const double*, double*,
                                                                  double*, double*);

}  // namespace tern::kernels
