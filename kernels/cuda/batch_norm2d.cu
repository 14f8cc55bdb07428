/// Batch normalisation of x [N, C, HW], forward in training and in evaluation, and its gradient.
///
/// Training is three kernels. moments: a block takes a run of one channel's N * HW elements, computes its mean, and
/// then the squared deviations from that mean; the second reading finds the run in the cache. merge_moments: a thread
/// joins the runs of a channel, with Chan's formula for the squares, and moves the running statistics. normalize: a
/// thread computes 16 bytes of y. No variance is ever a difference of two large sums, so digits are kept however far
/// the mean is from zero. Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
/// variances", 1979.
///
/// The gradient goes the same way: the sums of dy and dy * xhat for each run, their sums for each channel, then dx.
/// Runs are a function of the shape alone, so the result is the same each time.
///
/// Where pooling follows, a thread of normalize_picked looks through one window of x and normalises the element that it
/// picks; the gradient's sums are taken over the picked elements, and a thread of pooled_input_gradient gathers the dy
/// of the windows that picked its element, which it knows by its value and, among equals, by being the first. Where no
/// element is in two windows, a thread of pooled_input_gradient_side_by_side has all elements of one. Neither the
/// normalised tensor nor its gradient is written.
///
/// Bytes: x and y once, backward x, dy and dx once, as long as the second kernel finds in the L2 cache what the first
/// has read; else x and dy once more. With pooling, y and dy have the size of the windows, and so has picked.
/// Arithmetic: some 10 operations an element. The limit is bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/pool2d.cuh>

#include <cmath>

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

/// means and squares [C, runs]: of each run its mean, and the sum of the squared deviations from it.
template <class T>
__global__ void __launch_bounds__(block_size, 4)
    moments(Runs runs, const T* __restrict__ x, T* __restrict__ means, T* __restrict__ squares) {
  for (int64_t work = blockIdx.x; work < runs.C * runs.count; work += gridDim.x) {
    const int64_t c = work / runs.count, run = work % runs.count;
    T sum = 0, square = 0;
    runs.for_each(c, run, [&](int64_t at) { sum += x[at]; });
    const T mean = block_sum<block_size>(sum) / static_cast<T>(runs.size(run));
    runs.for_each(c, run, [&](int64_t at) { square += (x[at] - mean) * (x[at] - mean); });
    square = block_sum<block_size>(square);
    if (threadIdx.x == 0) {
      means[work] = mean;
      squares[work] = square;
    }
  }
}

template <class T>
__global__ void __launch_bounds__(block_size)
    merge_moments(Runs runs, T eps, T momentum, const T* __restrict__ means, const T* __restrict__ squares,
                  T* __restrict__ running_mean, T* __restrict__ running_var, T* __restrict__ mean,
                  T* __restrict__ invstd) {
  for (int64_t c = grid_thread(); c < runs.C; c += grid_threads()) {
    T mu = means[c * runs.count], square = squares[c * runs.count];
    for (int64_t run = 1; run < runs.count; ++run) {
      // Chan: the runs so far hold a elements and this one b; M2 grows by its own and by delta^2 a b / (a + b).
      const T a = static_cast<T>(run * runs.length), b = static_cast<T>(runs.size(run)), share = b / (a + b);
      const T delta = means[c * runs.count + run] - mu;
      mu += delta * share;
      square += squares[c * runs.count + run] + delta * delta * a * share;
    }
    const T elements = static_cast<T>(runs.elements);
    mean[c] = mu;
    invstd[c] = 1 / std::sqrt(square / elements + eps);
    if (running_mean) running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mu;
    if (running_var) running_var[c] = (1 - momentum) * running_var[c] + momentum * (square / (elements - 1));
  }
}

template <class T>
__global__ void __launch_bounds__(block_size)
    invert_running_var(int64_t C, T eps, const T* __restrict__ running_var, T* __restrict__ invstd) {
  for (int64_t c = grid_thread(); c < C; c += grid_threads()) invstd[c] = 1 / std::sqrt(running_var[c] + eps);
}

/// y = (x - mean) * invstd * weight + bias. A thread computes `width` neighbours, which are of one channel.
template <int width, class I, class T>
__global__ void __launch_bounds__(block_size)
    normalize(I packs, I HW, I C, const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias,
              const T* __restrict__ mean, const T* __restrict__ invstd, T* __restrict__ y) {
  for (I i = grid_thread<I>(); i < packs; i += grid_threads<I>()) {
    const I c = i * width / HW % C;
    const T mu = mean[c], scale = weight ? invstd[c] * weight[c] : invstd[c], shift = bias ? bias[c] : T{0};
    Pack<T, width> pack = load_pack<width>(x + i * width);
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = (pack.at[j] - mu) * scale + shift;
    store_pack(y + i * width, pack);
  }
}

/// max_pool2d of normalize's result: of each window the picked element of x, and y. The pick is by x itself,
/// turned round where the weight is negative. A thread computes one window.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    normalize_picked(Pool<I> s, I C, const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias,
                     const T* __restrict__ mean, const T* __restrict__ invstd, T* __restrict__ picked,
                     T* __restrict__ y) {
  s.for_each_window([&](I e, I plane, Window<I> window) {
    const I c = plane % C;
    const T w = weight ? weight[c] : T{1}, shift = bias ? bias[c] : T{0};
    const T* const in = x + plane * s.H * s.W;
    const T v = in[s.pick(in, w < 0 ? T{-1} : T{1}, window)];
    picked[e] = v;
    y[e] = (v - mean[c]) * (invstd[c] * w) + shift;
  });
}

/// sums [2, C, runs]: of dy, and of dy * xhat.
template <class T>
__global__ void __launch_bounds__(block_size)
    gradient_sums(Runs runs, const T* __restrict__ x, const T* __restrict__ mean, const T* __restrict__ invstd,
                  const T* __restrict__ dy, T* __restrict__ sums) {
  for (int64_t work = blockIdx.x; work < runs.C * runs.count; work += gridDim.x) {
    const int64_t c = work / runs.count;
    const T mu = mean[c];
    T sum = 0, slope = 0;
    runs.for_each(c, work % runs.count, [&](int64_t at) {
      sum += dy[at];
      slope += dy[at] * (x[at] - mu);
    });
    sum = block_sum<block_size>(sum);
    slope = block_sum<block_size>(slope);
    if (threadIdx.x == 0) {
      sums[work] = sum;
      sums[runs.C * runs.count + work] = slope * invstd[c];
    }
  }
}

/// dx = (dy - mean of dy - xhat * mean of dy * xhat) * invstd * weight. In training the batch's mean and variance
/// depend on x as well, which takes dy's mean and its slope along xhat away; else sum_dy and sum_dy_xhat are null.
template <int width, class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    input_gradient(I packs, I HW, I C, T elements, const T* __restrict__ x, const T* __restrict__ weight,
                   const T* __restrict__ mean, const T* __restrict__ invstd, const T* __restrict__ sum_dy,
                   const T* __restrict__ sum_dy_xhat, const T* __restrict__ dy, T* __restrict__ dx) {
  for (I i = grid_thread<I>(); i < packs; i += grid_threads<I>()) {
    const I c = i * width / HW % C;
    const T mu = mean[c], inv = invstd[c], scale = weight ? inv * weight[c] : inv;
    const T mean_dy = sum_dy ? sum_dy[c] / elements : T{0}, slope = sum_dy ? sum_dy_xhat[c] / elements * inv : T{0};
    const Pack<T, width> in = load_pack<width>(x + i * width);
    Pack<T, width> pack = load_pack<width>(dy + i * width);
#pragma unroll
    for (int j = 0; j < width; ++j) pack.at[j] = (pack.at[j] - mean_dy - (in.at[j] - mu) * slope) * scale;
    store_pack(dx + i * width, pack);
  }
}

/// input_gradient in training, where dy is the sum of those of the windows that picked the element.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    pooled_input_gradient(Pool<I> s, I C, T elements, const T* __restrict__ x, const T* __restrict__ weight,
                          const T* __restrict__ mean, const T* __restrict__ invstd, const T* __restrict__ sum_dy,
                          const T* __restrict__ sum_dy_xhat, const T* __restrict__ picked, const T* __restrict__ dy,
                          T* __restrict__ dx) {
  const auto part = [&](I out, I plane, I at, Window<I> window) {
    const T* const in = x + plane * s.H * s.W;
    if (in[at] != picked[out]) return T{0};
    return s.first(in, in[at], window) == at ? dy[out] : T{0};
  };
  s.template gather<T>(part, [&](I e, I plane, T total) {
    const I c = plane % C;
    const T inv = invstd[c], scale = weight ? inv * weight[c] : inv;
    const T mean_dy = sum_dy[c] / elements, slope = sum_dy_xhat[c] / elements * inv;
    dx[e] = (total - mean_dy - (x[e] - mean[c]) * slope) * scale;
  });
}

/// The same where windows lie side by side. A thread computes the elements of one window, or of a place that is too
/// small for one, and reads no others: dx may be x.
template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    pooled_input_gradient_side_by_side(Pool<I> s, I C, T elements, const T* x, const T* __restrict__ weight,
                                       const T* __restrict__ mean, const T* __restrict__ invstd,
                                       const T* __restrict__ sum_dy, const T* __restrict__ sum_dy_xhat,
                                       const T* __restrict__ picked, const T* __restrict__ dy, T* dx) {
  const I rows = (s.H + s.R - 1) / s.R, cols = (s.W + s.S - 1) / s.S;
  for (I i = grid_thread<I>(); i < s.planes * rows * cols; i += grid_threads<I>()) {
    const I row = i / cols, q = i - row * cols, plane = row / rows, p = row - plane * rows, c = plane % C;
    const T mu = mean[c], inv = invstd[c], scale = weight ? inv * weight[c] : inv;
    const T mean_dy = sum_dy[c] / elements, slope = sum_dy_xhat[c] / elements * inv;
    const I out = (plane * s.P + p) * s.Q + q;
    bool searching = p < s.P && q < s.Q;
    const T wanted = searching ? picked[out] : T{0};
    for (I h = p * s.R; h < min((p + 1) * s.R, s.H); ++h) {
      for (I w = q * s.S; w < min((q + 1) * s.S, s.W); ++w) {
        const I at = (plane * s.H + h) * s.W + w;
        const T v = x[at];
        const bool found = searching && v == wanted;
        dx[at] = ((found ? dy[out] : T{0}) - mean_dy - (v - mu) * slope) * scale;
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
void launch_normalize(const BatchNorm2dShape& s, const T* x, const T* weight, const T* bias, const T* mean,
                      const T* invstd, T* y) {
  const auto launch_it = [&]<int width, class I>(std::integral_constant<int, width>, I) {
    const int64_t packs = s.N * s.C * s.HW / width;
    launch(normalize<width, I, T>, grid_for(packs), block_size, 0, current_stream(), packs, s.HW, s.C, x, weight, bias,
           mean, invstd, y);
  };
  with_width<T>(s, launch_it, x, y);
}

template <class T>
void launch_statistics(const BatchNorm2dShape& s, double momentum, const T* x, T* running_mean, T* running_var, T* mean,
                       T* invstd) {
  const Runs runs(s);
  const Scratch<T> means(s.C * runs.count), squares(s.C * runs.count);
  launch(moments<T>, grid_for(s.C * runs.count, 1), block_size, 0, current_stream(), runs, x, means.data(),
         squares.data());
  launch(merge_moments<T>, grid_for(s.C), block_size, 0, current_stream(), runs, s.eps, momentum, means.data(),
         squares.data(), running_mean, running_var, mean, invstd);
}

/// total [2, C] = the channels' sums of dy and of dy * xhat, from the elements of x whose dy is not 0; dweight and
/// dbias are the same numbers. Each may be null.
template <class T>
void launch_gradient_sums(const BatchNorm2dShape& s, const T* x, const T* mean, const T* invstd, const T* dy, T* total,
                          T* dweight, T* dbias) {
  if (!total && !dweight && !dbias) return;
  const Runs runs(s);
  const int64_t per_sum = s.C * runs.count;
  const Scratch<T> sums(2 * per_sum);
  launch(gradient_sums<T>, grid_for(per_sum, 1), block_size, 0, current_stream(), runs, x, mean, invstd, dy,
         sums.data());
  const ReduceShape of_runs{s.C, runs.count, 1};
  if (total) sum({2 * s.C, runs.count, 1}, sums.data(), total);
  if (dbias) sum(of_runs, sums.data(), dbias);
  if (dweight) sum(of_runs, sums.data() + per_sum, dweight);
}

}  // namespace

template <class T>
void CudaFloat<T>::batch_norm2d(const BatchNorm2dShape& s, double momentum, const T* x, const T* weight, const T* bias,
                                T* running_mean, T* running_var, T* mean, T* invstd, T* y) {
  const DeviceGuard guard(device_);
  launch_statistics(s, momentum, x, running_mean, running_var, mean, invstd);
  launch_normalize(s, x, weight, bias, mean, invstd, y);
}

template <class T>
void CudaFloat<T>::batch_norm2d_eval(const BatchNorm2dShape& s, const T* x, const T* weight, const T* bias,
                                     const T* running_mean, const T* running_var, T* invstd, T* y) {
  const DeviceGuard guard(device_);
  launch(invert_running_var<T>, grid_for(s.C), block_size, 0, current_stream(), s.C, s.eps, running_var, invstd);
  launch_normalize(s, x, weight, bias, running_mean, invstd, y);
}

template <class T>
void CudaFloat<T>::batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const T* x, const T* weight,
                                         const T* mean, const T* invstd, const T* dy, T* dx, T* dweight, T* dbias) {
  const DeviceGuard guard(device_);
  const bool dx_wants_sums = dx && training;
  const Scratch<T> totals(dx_wants_sums ? 2 * s.C : 0);
  T *const sum_dy = dx_wants_sums ? totals.data() : nullptr, *const sum_dy_xhat =
                                                                 dx_wants_sums ? sum_dy + s.C : nullptr;
  launch_gradient_sums(s, x, mean, invstd, dy, sum_dy, dweight, dbias);
  if (!dx) return;
  const auto launch_it = [&]<int width, class I>(std::integral_constant<int, width>, I) {
    const int64_t packs = s.N * s.C * s.HW / width;
    launch(input_gradient<width, I, T>, grid_for(packs), block_size, 0, current_stream(), packs, s.HW, s.C,
           static_cast<T>(s.N * s.HW), x, weight, mean, invstd, sum_dy, sum_dy_xhat, dy, dx);
  };
  with_width<T>(s, launch_it, x, dy, dx);
}

template <class T>
void CudaFloat<T>::batch_norm2d_max_pool2d(const Pool2dShape& s, double eps, double momentum, const T* x,
                                           const T* weight, const T* bias, T* running_mean, T* running_var, T* mean,
                                           T* invstd, T* picked, T* y) {
  const DeviceGuard guard(device_);
  launch_statistics({s.N, s.C, s.H * s.W, eps}, momentum, x, running_mean, running_var, mean, invstd);
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    launch(normalize_picked<I, T>, grid_for(elements_out(s)), block_size, 0, current_stream(), pool, s.C, x, weight,
           bias, mean, invstd, picked, y);
  });
}

template <class T>
void CudaFloat<T>::batch_norm2d_max_pool2d_backward(const Pool2dShape& s, const T* x, const T* weight, const T* mean,
                                                    const T* invstd, const T* picked, const T* dy, T* dx, T* dweight,
                                                    T* dbias) {
  const DeviceGuard guard(device_);
  const Scratch<T> totals(dx ? 2 * s.C : 0);
  launch_gradient_sums<T>({s.N, s.C, s.P() * s.Q()}, picked, mean, invstd, dy, dx ? totals.data() : nullptr, dweight,
                          dbias);
  if (!dx) return;
  with_pool(s, [&]<class I>(const Pool<I>& pool) {
    const auto kernel = s.side_by_side() ? pooled_input_gradient_side_by_side<I, T> : pooled_input_gradient<I, T>;
    const int64_t threads = s.side_by_side() ? s.N * s.C * ceil_div(s.H, s.R) * ceil_div(s.W, s.S) : elements_in(s);
    launch(kernel, grid_for(threads), block_size, 0, current_stream(), pool, s.C, static_cast<T>(s.N * s.H * s.W), x,
           weight, mean, invstd, totals.data(), totals.data() + s.C, picked, dy, dx);
  });
}

template void CudaFloat<float>::batch_norm2d(const BatchNorm2dShape&, double, const float*, const float*, const float*,
                                             float*, float*, float*, float*, float*);
template void CudaFloat<float>::batch_norm2d_eval(const BatchNorm2dShape&, const float*, const float*, const float*,
                                                  const float*, const float*, float*, float*);
template void CudaFloat<float>::batch_norm2d_backward(const BatchNorm2dShape&, bool, const float*, const float*,
                                                      const float*, const float*, const float*, float*, float*, float*);
template void CudaFloat<double>::batch_norm2d(const BatchNorm2dShape&, double, const double*, const double*,
                                              const double*, double*, double*, double*, double*, double*);
template void CudaFloat<double>::batch_norm2d_eval(const BatchNorm2dShape&, const double*, const double*, const double*,
                                                   const double*, const double*, double*, double*);
template void CudaFloat<double>::batch_norm2d_backward(const BatchNorm2dShape&, bool, const double*, const double*,
                                                       const double*, const double*, const double*, double*, double*,
                                                       double*);

template void CudaFloat<float>::batch_norm2d_max_pool2d(const Pool2dShape&, double, double, const float*, const float*,
                                                        const float*, float*, float*, float*, float*, float*, float*);
template void CudaFloat<float>::batch_norm2d_max_pool2d_backward(const Pool2dShape&, const float*, const float*,
                                                                 const float*, const float*, const float*, const float*,
                                                                 float*, float*, float*);
template void CudaFloat<double>::batch_norm2d_max_pool2d(const Pool2dShape&, double, double, const double*,
                                                         const double*, const double*, double*, double*, double*,
                                                         double*, double*, double*);
template void CudaFloat<double>::batch_norm2d_max_pool2d_backward(const Pool2dShape&, const double*, const double*,
                                                                  const double*, const double*, const double*,
                                                                  const double*, double*, double*, double*);

}  // namespace tern::kernels
