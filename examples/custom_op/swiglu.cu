#include "swiglu_kernels.hpp"

#include <tern/kernels/cuda/launch.hpp>
#include <tern/kernels/cuda/stream.hpp>

using namespace tern::kernels::cuda;

namespace {

/// Threads of a block, of which each computes one element of y, or the two of dx that come from it.
constexpr int block_size = 256;

unsigned blocks_for(std::int64_t elements) { return static_cast<unsigned>((elements + block_size - 1) / block_size); }

/// Moves 12 bytes for each element of y.
__global__ void swiglu_kernel(std::int64_t rows, std::int64_t n, const float* __restrict__ x, float* __restrict__ y) {
  wait_for_previous_kernels();
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows * n) return;
  const std::int64_t at = i + i / n * n;
  const float a = x[at], b = x[at + n];
  y[i] = a * b / (1 + expf(-a));
}

/// Moves 20 bytes for each element of dy.
__global__ void swiglu_backward_kernel(std::int64_t rows, std::int64_t n, const float* __restrict__ x,
                                       const float* __restrict__ dy, float* __restrict__ dx) {
  wait_for_previous_kernels();
  const std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i >= rows * n) return;
  const std::int64_t at = i + i / n * n;
  const float a = x[at], b = x[at + n], s = 1 / (1 + expf(-a));
  dx[at] = dy[i] * b * s * (1 + a * (1 - s));
  dx[at + n] = dy[i] * a * s;
}

}  // namespace

void swiglu_cuda(int device, std::int64_t rows, std::int64_t n, const float* x, float* y) {
  const DeviceGuard guard(device);
  launch(swiglu_kernel, blocks_for(rows * n), block_size, 0, current_stream(), rows, n, x, y);
}

void swiglu_backward_cuda(int device, std::int64_t rows, std::int64_t n, const float* x, const float* dy, float* dx) {
  const DeviceGuard guard(device);
  launch(swiglu_backward_kernel, blocks_for(rows * n), block_size, 0, current_stream(), rows, n, x, dy, dx);
}
