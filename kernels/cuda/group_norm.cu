/// Layer, group and RMS normalisation of the rows of x [N, groups, channels, run], and their gradient.
///
/// normalize_rows: a warp takes a row of up to 1024 elements, a block a longer one. A thread keeps its elements in
/// shared memory, as many blocks as fit 48 KiB, while their sum is taken; then come the mean, the squares around it
/// with what rounding the mean has left, and y. gradient_rows goes the same way with x and dy: the sums of g = dy *
/// weight and of g * xhat, then dx. Longer rows are read again, from the cache.
///
/// The gradients by weight and bias are sums over N, and over a channel's run. column_sums, where there is no run: a
/// block walks down 128 columns (32 for what is not aligned), in eight strips, through a share of the rows. run_sums: a
/// warp takes one run. What these leave is summed in order by reduce.cu. All is cut by the shape alone, so the result
/// is the same each time.
///
/// Bytes: x and y once; backward x, dy and dx once, and for weight and bias x and dy once more, as long as these do not
/// come from the L2 cache. Arithmetic: some 10 operations an element. The limit is bandwidth.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <cmath>
#include <type_traits>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int longest_of_warp = 1024;  // elements of a row
constexpr int64_t shared_bytes_at_most = 48 * 1024;
template <int team>
constexpr int threads = team == warp_threads ? 128 : team;  // of a block

/// GroupNormShape with its numbers in I.
template <class I>
struct Rows {
  I rows, groups, channels, run, n;
  double eps;
  bool centred;

  explicit Rows(const GroupNormShape& s)
      : rows(static_cast<I>(s.rows())),
        groups(static_cast<I>(s.groups)),
        channels(static_cast<I>(s.channels)),
        run(static_cast<I>(s.run)),
        n(static_cast<I>(s.n())),
        eps(s.eps),
        centred(s.centred) {}
};

/// A row's mean in two parts, for a mean far from 0 has digits that T lacks.
template <class T>
struct Xhat {
  T high, low, invstd;

  __device__ Xhat(double mean, double inv)
      : high(static_cast<T>(mean)), low(static_cast<T>(mean - high)), invstd(static_cast<T>(inv)) {}
  __device__ T operator()(T x) const { return (x - high - low) * invstd; }
};

/// The weights, or biases, of `width` neighbours from element i of a row on; `fallback` where there are none.
template <int width, class I, class T>
__device__ Pack<T, width> affine(const Rows<I>& s, const T* __restrict__ of_row, I i, T fallback) {
  Pack<T, width> pack;
  if (of_row && s.run == 1) return load_pack<width>(of_row + i);
  const T value = of_row ? of_row[i / s.run] : fallback;
#pragma unroll
  for (int j = 0; j < width; ++j) pack.at[j] = value;
  return pack;
}

/// The sum over the team of threads that has a row.
template <int team, class T>
__device__ T team_sum(T value) {
  if constexpr (team == warp_threads) {
    return warp_sum(value);
  } else {
    return block_sum<team>(value);
  }
}

/// y, mean and invstd of the rows. kept: whether shared memory holds a row for each team.
template <int team, int width, class I, class T>
__global__ void __launch_bounds__(threads<team>, 768 / threads<team>)
    normalize_rows(Rows<I> s, bool kept, const T* __restrict__ x, const T* __restrict__ weight,
                   const T* __restrict__ bias, double* __restrict__ mean, double* __restrict__ invstd,
                   T* __restrict__ y) {
  wait_for_previous_kernels();
  constexpr I teams = threads<team> / team;
  const I own = static_cast<I>(threadIdx.x) / team, begin = static_cast<I>(threadIdx.x) % team * width;
  T* const cache = kept ? dynamic_shared<T>() + own * s.n : nullptr;
  for (I row = static_cast<I>(blockIdx.x) * teams + own; row < s.rows; row += static_cast<I>(gridDim.x) * teams) {
    const T* const in = x + row * s.n;
    const T* const again = kept ? cache : in;
    T sum = 0;
#pragma unroll 4
    for (I i = begin; i < s.n; i += team * width) {
      const Pack<T, width> pack = load_pack<width>(in + i);
      if (kept) store_pack(cache + i, pack);
#pragma unroll
      for (int j = 0; j < width; ++j) sum += pack.at[j];
    }
    const T count = static_cast<T>(s.n);
    double mu = 0, var = 0;
    const auto find_moments = [&](T total, T scale) {
      const T near = s.centred ? total / count : T{0};
      T rest = 0, squares = 0;
#pragma unroll 4
      for (I i = begin; i < s.n; i += team * width) {
        const Pack<T, width> pack = load_pack<width>(again + i);
#pragma unroll
        for (int j = 0; j < width; ++j) {
          const T v = pack.at[j] * scale - near;
          rest += v;
          squares += v * v;
        }
      }
      rest = s.centred ? team_sum<team>(rest) / count : T{0};
      squares = team_sum<team>(squares) / count;
      const double back = 1 / static_cast<double>(scale);
      mu = (static_cast<double>(near) + (rest == rest ? static_cast<double>(rest) : 0)) * back;  // infinite as it is
      var = (static_cast<double>(squares) - static_cast<double>(rest) * rest) * back * back;
    };
    sum = team_sum<team>(sum);
    find_moments(sum, 1);
    if constexpr (std::is_same_v<T, float>) {  // of numbers too large, or infinite
      if (var - var != 0) {
        constexpr T scale = 0x1p-80F;
        sum = 0;
        for (I i = begin; i < s.n; i += team * width) {
          const Pack<T, width> pack = load_pack<width>(again + i);
#pragma unroll
          for (int j = 0; j < width; ++j) sum += pack.at[j] * scale;
        }
        find_moments(team_sum<team>(sum), scale);
      }
    }
    const double inv = 1 / std::sqrt(var + s.eps);
    if (begin == 0) {
      mean[row] = mu;
      invstd[row] = inv;
    }
    const Xhat<T> xhat(mu, inv);
    const I first = row % s.groups * s.channels;
    const T *const w = weight ? weight + first : nullptr, *const b = bias ? bias + first : nullptr;
#pragma unroll 4
    for (I i = begin; i < s.n; i += team * width) {
      Pack<T, width> pack = load_pack<width>(again + i);
      const Pack<T, width> gain = affine<width>(s, w, i, T{1}), shift = affine<width>(s, b, i, T{0});
#pragma unroll
      for (int j = 0; j < width; ++j) pack.at[j] = xhat(pack.at[j]) * gain.at[j] + shift.at[j];
      store_pack(y + row * s.n + i, pack);
    }
  }
}

/// dx = (g - mean of g - xhat * mean of g * xhat) * invstd with g = dy * weight: the mean and the variance depend on x
/// as well, which takes g's mean and its slope along xhat away. dx may be x.
template <int team, int width, class I, class T>
__global__ void __launch_bounds__(threads<team>, 768 / threads<team>)
    gradient_rows(Rows<I> s, bool kept, const T* x, const T* __restrict__ weight, const double* __restrict__ mean,
                  const double* __restrict__ invstd, const T* __restrict__ dy, T* dx) {
  wait_for_previous_kernels();
  constexpr I teams = threads<team> / team;
  const I own = static_cast<I>(threadIdx.x) / team, begin = static_cast<I>(threadIdx.x) % team * width;
  T* const cache_x = kept ? dynamic_shared<T>() + 2 * own * s.n : nullptr;
  T* const cache_dy = kept ? cache_x + s.n : nullptr;
  for (I row = static_cast<I>(blockIdx.x) * teams + own; row < s.rows; row += static_cast<I>(gridDim.x) * teams) {
    const T *const in = x + row * s.n, *const g = dy + row * s.n;
    const T *const in_again = kept ? cache_x : in, *const g_again = kept ? cache_dy : g;
    const Xhat<T> xhat(mean[row], invstd[row]);
    const T* const w = weight ? weight + row % s.groups * s.channels : nullptr;
    T sum = 0, slope = 0;
#pragma unroll 2
    for (I i = begin; i < s.n; i += team * width) {
      const Pack<T, width> v = load_pack<width>(in + i), dv = load_pack<width>(g + i);
      if (kept) {
        store_pack(cache_x + i, v);
        store_pack(cache_dy + i, dv);
      }
      const Pack<T, width> gain = affine<width>(s, w, i, T{1});
#pragma unroll
      for (int j = 0; j < width; ++j) {
        sum += dv.at[j] * gain.at[j];
        slope += dv.at[j] * gain.at[j] * xhat(v.at[j]);
      }
    }
    const T count = static_cast<T>(s.n);
    sum = s.centred ? team_sum<team>(sum) / count : T{0};
    slope = team_sum<team>(slope) / count;
#pragma unroll 2
    for (I i = begin; i < s.n; i += team * width) {
      const Pack<T, width> v = load_pack<width>(in_again + i), gain = affine<width>(s, w, i, T{1});
      Pack<T, width> pack = load_pack<width>(g_again + i);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        pack.at[j] = (pack.at[j] * gain.at[j] - sum - xhat(v.at[j]) * slope) * xhat.invstd;
      }
      store_pack(dx + row * s.n + i, pack);
    }
  }
}

constexpr int strips = block_size / warp_threads;

/// For each share of the N rows of x [N, groups * channels]: the sums of dy * xhat, and of dy. parts is
/// [2, shares, groups * channels].
template <int width, class I, class T>
__global__ void __launch_bounds__(block_size, 3)
    column_sums(Rows<I> s, I N, I shares, const T* __restrict__ x, const double* __restrict__ mean,
                const double* __restrict__ invstd, const T* __restrict__ dy, T* __restrict__ parts) {
  wait_for_previous_kernels();
  constexpr int columns = warp_threads * width;
  __shared__ Pack<T, width> of_strip[2][strips][warp_threads];
  const int strip = static_cast<int>(threadIdx.x) / warp_threads, lane = static_cast<int>(threadIdx.x) % warp_threads;
  const I C = s.groups * s.channels, tiles = (C + columns - 1) / columns, length = (N + shares - 1) / shares;
  for (I work = static_cast<I>(blockIdx.x); work < tiles * shares; work += static_cast<I>(gridDim.x)) {
    const I share = work / tiles, c = work % tiles * columns + lane * width;
    Pack<T, width> product{}, sum{};
    if (c < C) {
      const I group = c / s.channels, end = min(N, (share + 1) * length);
#pragma unroll 2
      for (I i = share * length + strip; i < end; i += strips) {
        const Xhat<T> xhat(mean[i * s.groups + group], invstd[i * s.groups + group]);
        const Pack<T, width> v = load_pack<width>(x + i * C + c), g = load_pack<width>(dy + i * C + c);
#pragma unroll
        for (int j = 0; j < width; ++j) {
          product.at[j] += g.at[j] * xhat(v.at[j]);
          sum.at[j] += g.at[j];
        }
      }
    }
    of_strip[0][strip][lane] = product;
    of_strip[1][strip][lane] = sum;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < 2 * columns; i += block_size) {
      const int which = i / columns, of = i % columns;
      const I to = work % tiles * columns + of;
      T total = 0;
#pragma unroll
      for (int k = 0; k < strips; ++k) total += of_strip[which][k][of / width].at[of % width];
      if (to < C) parts[(which * shares + share) * C + to] = total;
    }
    __syncthreads();
  }
}

/// The sums of dy * xhat, and of dy, of each run. parts is [2, N, groups * channels].
template <int width, class I, class T>
__global__ void __launch_bounds__(block_size)
    run_sums(Rows<I> s, const T* __restrict__ x, const double* __restrict__ mean, const double* __restrict__ invstd,
             const T* __restrict__ dy, T* __restrict__ parts) {
  wait_for_previous_kernels();
  const I all = s.rows * s.channels, lane = static_cast<I>(threadIdx.x) % warp_threads;
  for (I which = grid_thread<I>() / warp_threads; which < all; which += grid_threads<I>() / warp_threads) {
    const I row = which / s.channels;
    const Xhat<T> xhat(mean[row], invstd[row]);
    T product = 0, sum = 0;
#pragma unroll 2
    for (I i = which * s.run + lane * width; i < (which + 1) * s.run; i += warp_threads * width) {
      const Pack<T, width> v = load_pack<width>(x + i), g = load_pack<width>(dy + i);
#pragma unroll
      for (int j = 0; j < width; ++j) {
        product += g.at[j] * xhat(v.at[j]);
        sum += g.at[j];
      }
    }
    product = warp_sum(product);
    sum = warp_sum(sum);
    if (lane == 0) {
      parts[which] = product;
      parts[all + which] = sum;
    }
  }
}

/// Calls f(the kernel's width as a constant, I{}): wide where the shape and all pointers allow it.
template <class T, class F, class... Pointers>
void with_width(const GroupNormShape& s, F f, const Pointers*... pointers) {
  constexpr int width = 16 / sizeof(T);
  const bool wide = (s.run == 1 ? s.channels : s.run) % width == 0 && (is_aligned<T, width>(pointers) && ...);
  with_index(s.rows() * s.n(), [&]<class I>(I index) {
    if (wide) {
      f(std::integral_constant<int, width>{}, index);
    } else {
      f(std::integral_constant<int, 1>{}, index);
    }
  });
}

/// Queues one of two kernels, that of warps and that of blocks, with shared memory for `arrays` rows a team.
template <class T, class Kernel, class... Args>
void launch_rows(Kernel of_warps, Kernel of_blocks, const GroupNormShape& s, int64_t arrays, Args... args) {
  const bool warps = s.n() <= longest_of_warp;
  const int block = warps ? threads<warp_threads> : threads<block_size>;
  const int64_t teams = warps ? block / warp_threads : 1, bytes = teams * arrays * s.n() * int64_t{sizeof(T)};
  const bool kept = bytes <= shared_bytes_at_most;
  launch(warps ? of_warps : of_blocks, grid_for(s.rows(), teams), block, static_cast<std::size_t>(kept ? bytes : 0),
         current_stream(), s, kept, args...);
}

}  // namespace

template <class T>
void CudaFloat<T>::group_norm(const GroupNormShape& s, const T* x, const T* weight, const T* bias, double* mean,
                              double* invstd, T* y) {
  const DeviceGuard guard(device_);
  const auto launch_it = [&]<int width, class I>(std::integral_constant<int, width>, I) {
    launch_rows<T>(normalize_rows<warp_threads, width, I, T>, normalize_rows<block_size, width, I, T>, s, 1, x, weight,
                   bias, mean, invstd, y);
  };
  with_width<T>(s, launch_it, x, s.run == 1 ? weight : nullptr, s.run == 1 ? bias : nullptr, y);
}

template <class T>
void CudaFloat<T>::group_norm_backward(const GroupNormShape& s, const T* x, const T* weight, const double* mean,
                                       const double* invstd, const T* dy, T* dx, T* dweight, T* dbias) {
  const DeviceGuard guard(device_);
  const int64_t C = s.groups * s.channels;
  if (C > 0 && (dweight || dbias)) {  // before dx takes the place of x
    constexpr int64_t least = 8 * strips, blocks_wanted = 1024;
    const int64_t tiles = ceil_div(C, warp_threads), most = std::max<int64_t>(1, blocks_wanted / tiles);
    const int64_t shares = s.run == 1 ? std::min(ceil_div(s.N, least), most) : s.N;
    const Scratch<T> parts(2 * shares * C);
    const auto launch_it = [&]<int width, class I>(std::integral_constant<int, width>, I) {
      if (s.run == 1) {
        launch(column_sums<width, I, T>, grid_for(shares * ceil_div(C, warp_threads * width), 1), block_size, 0,
               current_stream(), s, s.N, shares, x, mean, invstd, dy, parts.data());
      } else {
        launch(run_sums<width, I, T>, grid_for(s.N * C * warp_threads), block_size, 0, current_stream(), s, x, mean,
               invstd, dy, parts.data());
      }
    };
    with_width<T>(s, launch_it, x, dy);
    if (dweight) cuda::sum<T>({1, shares, C}, parts.data(), dweight);
    if (dbias) cuda::sum<T>({1, shares, C}, parts.data() + shares * C, dbias);
  }
  if (!dx) return;
  const auto launch_it = [&]<int width, class I>(std::integral_constant<int, width>, I) {
    launch_rows<T>(gradient_rows<warp_threads, width, I, T>, gradient_rows<block_size, width, I, T>, s, 2, x, weight,
                   mean, invstd, dy, dx);
  };
  with_width<T>(s, launch_it, x, s.run == 1 ? weight : nullptr, dy, dx);
}

template void CudaFloat<float>::group_norm(const GroupNormShape&, const float*, const float*, const float*, double*,
                                           double*, float*);
template void CudaFloat<float>::group_norm_backward(const GroupNormShape&, const float*, const float*, const double*,
                                                    const double*, const float*, float*, float*, float*);
template void CudaFloat<double>::group_norm(const GroupNormShape&, const double*, const double*, const double*, double*,
                                            double*, double*);
template void CudaFloat<double>::group_norm_backward(const GroupNormShape&, const double*, const double*, const double*,
                                                     const double*, const double*, double*, double*, double*);

}  // namespace tern::kernels
