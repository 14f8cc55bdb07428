/// Sums and changes of all of a model's parameters in one launch, as segments.cuh has it.
///
/// sum_of_squares: each block of the table leaves the sum of its 1024 squares; the last block of the grid adds these up,
/// thread t every 256th of them, and then the threads' sums as a tree. Which sums meet which hangs on the sizes alone.
///
/// Bytes an element of type T: sum_of_squares 1, scale_all 2, add_all and lerp_all 3. Arithmetic: one to three
/// operations. The limit is bandwidth, for small models the launch.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/segments.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

/// y[0] = the sum of all squares, or with `adds` that much more. partial has room for a number for each block.
template <class T>
__global__ void __launch_bounds__(block_size)
    squares(const __grid_constant__ Table<Segment<T>> table, int64_t blocks, bool adds, T* partial, unsigned* counter,
            T* y) {
  wait_for_previous_kernels();
  for (int64_t block = blockIdx.x; block < blocks; block += gridDim.x) {
    T sum = 0;
    table.for_each(block, [&sum](const Segment<T>& s, int64_t i) { sum += s.x[i] * s.x[i]; });
    sum = block_sum<block_size>(sum);
    if (threadIdx.x == 0) partial[block] = sum;
  }
  if (!is_last_block(counter, gridDim.x)) return;
  T sum = 0;
  for (int64_t block = threadIdx.x; block < blocks; block += block_size) sum += partial[block];
  sum = block_sum<block_size>(sum);
  if (threadIdx.x == 0) y[0] = adds ? y[0] + sum : sum;
}

template <class T>
struct Scale {
  T a;
  const T* factor;

  __device__ bool begin() {
    a *= factor[0];
    return true;
  }
  __device__ void operator()(const Segment<T>& s, int64_t i) const { s.y[i] = a * s.x[i]; }
};

template <class T>
struct Add {
  __device__ bool begin() const { return true; }
  __device__ void operator()(const Segment<T>& s, int64_t i) const { s.y[i] += s.x[i]; }
};

template <class T>
struct Lerp {
  T weight;
  StepNumbers<T> numbers;  ///< its state is null for none

  __device__ bool begin() {
    if (!numbers.state) return true;
    weight = static_cast<T>(numbers.at(0));
    return !numbers.stopped();
  }
  __device__ void operator()(const Segment<T>& s, int64_t i) const { s.y[i] += weight * (s.x[i] - s.y[i]); }
};

}  // namespace

template <class T>
void CudaFloat<T>::sum_of_squares(std::span<const Segment<T>> all, T* y) {
  const DeviceGuard guard(device_);
  bool adds = false;
  for_each_table(all, [&](const Table<Segment<T>>& table, int64_t blocks) {
    const Scratch<T> partial(blocks);
    launch(squares<T>, grid_for(blocks, 1), block_size, 0, current_stream(), table, blocks, adds, partial.data(),
           counters(), y);
    adds = true;
  });
  if (!adds) check(cudaMemsetAsync(y, 0, sizeof(T), current_stream()), "sum_of_squares");
}

template <class T>
void CudaFloat<T>::scale_all(std::span<const Segment<T>> all, double a, const T* factor) {
  const DeviceGuard guard(device_);
  launch_change(Scale<T>{static_cast<T>(a), factor}, all);
}

template <class T>
void CudaFloat<T>::add_all(std::span<const Segment<T>> all) {
  const DeviceGuard guard(device_);
  launch_change(Add<T>{}, all);
}

template <class T>
void CudaFloat<T>::lerp_all(std::span<const Segment<T>> all, double weight, const StepNumbers<T>* numbers) {
  const DeviceGuard guard(device_);
  launch_change(Lerp<T>{static_cast<T>(weight), numbers ? *numbers : StepNumbers<T>{}}, all);
}

template void CudaFloat<float>::sum_of_squares(std::span<const Segment<float>>, float*);
template void CudaFloat<float>::scale_all(std::span<const Segment<float>>, double, const float*);
template void CudaFloat<float>::add_all(std::span<const Segment<float>>);
template void CudaFloat<float>::lerp_all(std::span<const Segment<float>>, double, const StepNumbers<float>*);
template void CudaFloat<double>::sum_of_squares(std::span<const Segment<double>>, double*);
template void CudaFloat<double>::scale_all(std::span<const Segment<double>>, double, const double*);
template void CudaFloat<double>::add_all(std::span<const Segment<double>>);
template void CudaFloat<double>::lerp_all(std::span<const Segment<double>>, double, const StepNumbers<double>*);

}  // namespace tern::kernels
