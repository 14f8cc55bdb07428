/// picked[o, j, i] = full[o, index[o, j, i], i], and its reverses. The host does not see the indices: one out of range
/// reads nothing and gives NaN, of integers 0, and writes nothing.
///
/// gather: a thread computes one element of `picked` each time round a grid-stride loop. Bytes: the indices and
/// `picked` once, and of `full` the 32-byte sectors that are met.
///
/// scatter: of several elements with one target the last is to win, whichever thread comes first. `claim` leaves in a
/// number for each target the largest element that names it, by atomicMax, and `store_claimed` writes those. Bytes: the
/// indices twice, `picked` once, and 4 bytes for each element of `full` written, and changed and read where it is met.
///
/// scatter_add without atomics on floats: where there are many lines [o, :, i], a thread goes down one of them and adds
/// in rising j, neighbours along i side by side. Else the targets are sorted (sort.cu), which keeps equal ones in their
/// order: `add_runs`, where a warp takes up the runs of equal targets that begin in its 32 places, one after the other,
/// each summed by lanes and then by a tree. So the order follows from the indices alone. Bytes: those of a sort of
/// 8-byte keys, and each element of `picked` once.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/device.cuh>

#include <limits>

namespace tern::kernels {
namespace {

using namespace cuda;

/// r with its numbers in I.
template <class I>
struct Picks {
  I n, inner, count;
  I elements, lines;  ///< of `picked`, and how many [o, :, i] there are

  Picks(const ReduceShape& r, int64_t count_)
      : n(static_cast<I>(r.n)),
        inner(static_cast<I>(r.inner)),
        count(static_cast<I>(count_)),
        elements(static_cast<I>(r.outer * count_ * r.inner)),
        lines(static_cast<I>(r.outer * r.inner)) {}

  /// Where in `full` element e of `picked` belongs, or -1.
  __device__ I target(I e, int64_t k) const {
    if (k < 0 || k >= n) return -1;
    const I row = e / inner, i = e - row * inner, o = row / count;
    return (o * n + static_cast<I>(k)) * inner + i;
  }
};

/// The largest number that any of the kernels counts to.
int64_t largest(const ReduceShape& r, int64_t count) { return r.outer * std::max(r.n, count) * r.inner; }

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    gather_elements(Picks<I> s, const T* __restrict__ full, const int64_t* __restrict__ index, T* __restrict__ picked) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < s.elements; e += grid_threads<I>()) {
    const I at = s.target(e, index[e]);
    picked[e] = at >= 0 ? full[at] : std::numeric_limits<T>::quiet_NaN();
  }
}

/// What I is to atomicMax.
template <class I>
using Claim = std::conditional_t<std::is_same_v<I, int32_t>, unsigned, unsigned long long>;

template <class I>
__global__ void __launch_bounds__(block_size, 4)
    claim(Picks<I> s, const int64_t* __restrict__ index, Claim<I>* __restrict__ winner) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < s.elements; e += grid_threads<I>()) {
    const I to = s.target(e, index[e]);
    if (to >= 0) atomicMax(winner + to, static_cast<Claim<I>>(e) + 1);
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    store_claimed(Picks<I> s, const int64_t* __restrict__ index, const Claim<I>* __restrict__ winner,
                  const T* __restrict__ picked, T* __restrict__ full) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < s.elements; e += grid_threads<I>()) {
    const I to = s.target(e, index[e]);
    if (to >= 0 && winner[to] == static_cast<Claim<I>>(e) + 1) full[to] = picked[e];
  }
}

template <class I, class T>
__global__ void __launch_bounds__(block_size, 4)
    add_lines(Picks<I> s, const int64_t* __restrict__ index, const T* __restrict__ picked, T* full) {
  wait_for_previous_kernels();
  for (I line = grid_thread<I>(); line < s.lines; line += grid_threads<I>()) {
    const I o = line / s.inner, i = line - o * s.inner;
    for (I j = 0; j < s.count; ++j) {
      const I e = (o * s.count + j) * s.inner + i;
      const int64_t k = index[e];
      if (k < 0 || k >= s.n) continue;
      T& to = full[(o * s.n + static_cast<I>(k)) * s.inner + i];
      to = static_cast<T>(static_cast<Sum<T>>(to) + static_cast<Sum<T>>(picked[e]));
    }
  }
}

/// Those out of range become the largest number there is, and so come last.
template <class I>
__global__ void __launch_bounds__(block_size, 4)
    targets(Picks<I> s, const int64_t* __restrict__ index, int64_t* __restrict__ target) {
  wait_for_previous_kernels();
  for (I e = grid_thread<I>(); e < s.elements; e += grid_threads<I>()) {
    const I to = s.target(e, index[e]);
    target[e] = to >= 0 ? static_cast<int64_t>(to) : std::numeric_limits<int64_t>::max();
  }
}

template <class T>
__global__ void __launch_bounds__(block_size, 4)
    add_runs(int64_t n, const int64_t* __restrict__ target, const int64_t* __restrict__ from,
             const T* __restrict__ picked, T* __restrict__ full) {
  wait_for_previous_kernels();
  const int lane = static_cast<int>(threadIdx.x) % warp_threads;
  for (int64_t first = grid_thread() - lane; first < n; first += grid_threads()) {
    const int64_t place = first + lane;
    const bool begins = place < n && target[place] != std::numeric_limits<int64_t>::max() &&
                        (place == 0 || target[place - 1] != target[place]);
    for (unsigned runs = __ballot_sync(all_lanes, begins); runs != 0; runs &= runs - 1) {
      const int64_t begin = first + __ffs(static_cast<int>(runs)) - 1, to = target[begin];
      Sum<T> total = 0;
      bool goes_on = true;
      for (int64_t at = begin + lane; goes_on; at += warp_threads) {
        const bool mine = at < n && target[at] == to;
        if (mine) total += picked[from[at]];
        goes_on = __all_sync(all_lanes, mine);
      }
      total = warp_sum(total);
      if (lane == 0) full[to] = static_cast<T>(static_cast<Sum<T>>(full[to]) + total);
    }
  }
}

}  // namespace

template <class T>
void CudaArray<T>::gather(const ReduceShape& r, int64_t count, const T* full, const int64_t* index, T* picked) {
  const DeviceGuard guard(device_);
  with_index(largest(r, count), [&]<class I>(I) {
    const Picks<I> s(r, count);
    launch(gather_elements<I, T>, grid_for(s.elements), block_size, 0, current_stream(), s, full, index, picked);
  });
}

template <class T>
void CudaArray<T>::scatter(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) {
  const DeviceGuard guard(device_);
  with_index(largest(r, count), [&]<class I>(I) {
    const Picks<I> s(r, count);
    if (s.elements == 0) return;
    const int64_t n = r.outer * r.n * r.inner;
    const Scratch<Claim<I>> winner(n);
    check(cudaMemsetAsync(winner.data(), 0, static_cast<std::size_t>(n) * sizeof(Claim<I>), current_stream()),
          "scatter");
    launch(claim<I>, grid_for(s.elements), block_size, 0, current_stream(), s, index, winner.data());
    launch(store_claimed<I, T>, grid_for(s.elements), block_size, 0, current_stream(), s, index, winner.data(), picked,
           full);
  });
}

template <class T>
void CudaArray<T>::scatter_add(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) {
  const DeviceGuard guard(device_);
  constexpr int64_t many_lines = 4096, few_additions = 32;
  with_index(largest(r, count), [&]<class I>(I) {
    const Picks<I> s(r, count);
    const int64_t n = s.elements;
    if (n == 0) return;
    if (s.lines >= many_lines || count <= few_additions) {
      launch(add_lines<I, T>, grid_for(s.lines), block_size, 0, current_stream(), s, index, picked, full);
      return;
    }
    const Scratch<int64_t> target(n), sorted(n), from(n);
    launch(targets<I>, grid_for(n), block_size, 0, current_stream(), s, index, target.data());
    cuda::sort(1, n, n, false, target.data(), sorted.data(), from.data());
    launch(add_runs<T>, grid_for(n), block_size, 0, current_stream(), n, sorted.data(), from.data(), picked, full);
  });
}

template void CudaArray<float>::gather(const ReduceShape&, int64_t, const float*, const int64_t*, float*);
template void CudaArray<float>::scatter(const ReduceShape&, int64_t, const int64_t*, const float*, float*);
template void CudaArray<float>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const float*, float*);
template void CudaArray<double>::gather(const ReduceShape&, int64_t, const double*, const int64_t*, double*);
template void CudaArray<double>::scatter(const ReduceShape&, int64_t, const int64_t*, const double*, double*);
template void CudaArray<double>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const double*, double*);
template void CudaArray<int64_t>::gather(const ReduceShape&, int64_t, const int64_t*, const int64_t*, int64_t*);
template void CudaArray<int64_t>::scatter(const ReduceShape&, int64_t, const int64_t*, const int64_t*, int64_t*);
template void CudaArray<int64_t>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const int64_t*, int64_t*);
template void CudaArray<uint8_t>::gather(const ReduceShape&, int64_t, const uint8_t*, const int64_t*, uint8_t*);
template void CudaArray<uint8_t>::scatter(const ReduceShape&, int64_t, const int64_t*, const uint8_t*, uint8_t*);
template void CudaArray<uint8_t>::scatter_add(const ReduceShape&, int64_t, const int64_t*, const uint8_t*, uint8_t*);

}  // namespace tern::kernels
