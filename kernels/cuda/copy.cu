/// b[...] = a[...] over a box where both operands may be strided: what makes a view dense.
///
/// The box is first brought to as few dimensions as it takes. Dense on both sides, it is one transfer by the copy
/// engine. A transposition, where the neighbours of a and those of b run along different dimensions, goes by tiles of
/// 32 x 32 through shared memory: a warp reads 32 neighbours of a, and after the barrier writes 32 neighbours of b.
/// Anything else: a thread copies one element each time round a grid-stride loop, in the order of the walk.
///
/// Bytes: every element read once and written once. Arithmetic: a division for each dimension of the box but one, in 32
/// bits where the offsets fit. The limit is bandwidth, where an operand has short runs that of its 32-byte sectors.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/walk.cuh>

namespace tern::kernels {
namespace {

using namespace cuda;

constexpr int tile_size = 32, tile_rows = 8;

template <class I, class T>
__global__ void __launch_bounds__(block_size)
    copy_strided(I n, const __grid_constant__ Walk<I> walk, const T* a, T* b) {
  wait_for_previous_kernels();
  for (I i = grid_thread<I>(); i < n; i += grid_threads<I>()) {
    I from, to;
    walk.locate(i, from, to);
    b[to] = a[from];
  }
}

/// The dimensions of a transposition: a has stride 1 along `rows`, b along `columns`.
struct Transposition {
  int64_t rows, columns;
  int64_t a_column, b_row;  ///< the strides that are not 1
};

/// A block copies one tile of 32 rows and 32 columns, at each place of the walk over the other dimensions in turn.
template <class T>
__global__ void __launch_bounds__(tile_size* tile_rows, 4)
    copy_transposed(Transposition t, int64_t tiles, int64_t n, const __grid_constant__ Walk<int64_t> others, const T* a,
                    T* b) {
  wait_for_previous_kernels();
  __shared__ T tile[tile_size][tile_size + 1];  // an odd distance: 32 rows of a column lie in 32 banks
  const int64_t tiles_across = ceil_div(t.columns, tile_size);
  for (int64_t i = blockIdx.x; i < tiles * n; i += gridDim.x) {
    int64_t from, to;
    others.locate(i / tiles, from, to);
    const int64_t row = i % tiles / tiles_across * tile_size, column = i % tiles % tiles_across * tile_size;
    for (int j = threadIdx.y; j < tile_size; j += tile_rows) {
      const int64_t r = row + threadIdx.x, c = column + j;
      if (r < t.rows && c < t.columns) tile[j][threadIdx.x] = a[from + r + c * t.a_column];
    }
    __syncthreads();
    for (int j = threadIdx.y; j < tile_size; j += tile_rows) {
      const int64_t r = row + j, c = column + threadIdx.x;
      if (r < t.rows && c < t.columns) b[to + r * t.b_row + c] = tile[threadIdx.x][j];
    }
    __syncthreads();
  }
}

/// The dimension of stride 1 that is worth a tile's side, or -1.
int unit_dimension(const Strided& s, const int64_t* stride) {
  for (int d = 0; d < s.ndim; ++d) {
    if (stride[d] == 1 && s.size[d] >= tile_size / 2) return d;
  }
  return -1;
}

template <class T>
void copy_box(const Strided& s, const T* a, T* b) {
  const int64_t n = s.numel();
  if (n == 0) return;
  const Strided box = simplified(s);
  if (is_dense(box)) {
    check(cudaMemcpyAsync(b, a, n * sizeof(T), cudaMemcpyDeviceToDevice, current_stream()), "copy");
    return;
  }
  const int rows = unit_dimension(box, box.a), columns = unit_dimension(box, box.b);
  if (rows >= 0 && columns >= 0 && rows != columns) {
    Strided others;
    for (int d = 0; d < box.ndim; ++d) {
      if (d == rows || d == columns) continue;
      others.size[others.ndim] = box.size[d];
      others.a[others.ndim] = box.a[d];
      others.b[others.ndim] = box.b[d];
      ++others.ndim;
    }
    const Transposition t{box.size[rows], box.size[columns], box.a[columns], box.b[rows]};
    const int64_t tiles = ceil_div(t.rows, tile_size) * ceil_div(t.columns, tile_size);
    launch(copy_transposed<T>, grid_for(tiles * others.numel(), 1), dim3(tile_size, tile_rows), 0, current_stream(), t,
           tiles, others.numel(), Walk<int64_t>(others), a, b);
    return;
  }
  with_index(reach(box), [&]<class I>(I) {
    launch(copy_strided<I, T>, grid_for(n), block_size, 0, current_stream(), n, Walk<I>(box), a, b);
  });
}

}  // namespace

template <class T>
void CudaArray<T>::copy(const Strided& s, const T* a, T* b) {
  const DeviceGuard guard(device_);
  copy_box(s, a, b);
}

template <class T>
void CudaHalf<T>::copy(const Strided& s, const T* a, T* b) {
  const DeviceGuard guard(device_);
  copy_box(s, reinterpret_cast<const std::uint16_t*>(a), reinterpret_cast<std::uint16_t*>(b));
}

template void CudaArray<float>::copy(const Strided&, const float*, float*);
template void CudaArray<double>::copy(const Strided&, const double*, double*);
template void CudaArray<int64_t>::copy(const Strided&, const int64_t*, int64_t*);
template void CudaArray<uint8_t>::copy(const Strided&, const uint8_t*, uint8_t*);
template void CudaHalf<bfloat16>::copy(const Strided&, const bfloat16*, bfloat16*);
template void CudaHalf<float16>::copy(const Strided&, const float16*, float16*);

}  // namespace tern::kernels
