#include "device_buffer.hpp"

#include <tern/kernels/cuda/launch.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>

using namespace tern::kernels::cuda;

/// y[r] = the largest of row r of x [rows, n]; n is at least 1. A warp computes one row: each lane takes every 32nd
/// element, then the lanes compare. Moves 4 (rows * n + rows) bytes, and compares rows * n times.
__global__ void row_max(int rows, int n, const float* __restrict__ x, float* __restrict__ y) {
  const int row = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y), lane = static_cast<int>(threadIdx.x);
  if (row >= rows) return;
  float largest = -INFINITY;
  for (int i = lane; i < n; i += 32) largest = fmaxf(largest, x[row * n + i]);
  for (int other = 16; other > 0; other /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffff, largest, other));
  if (lane == 0) y[row] = largest;
}

TEST_CASE("row_max") {
  const int rows = GENERATE(1, 4, 37), n = GENERATE(1, 31, 33, 100);
  std::mt19937 random(1);
  std::vector<float> x(static_cast<std::size_t>(rows * n)), expected;
  for (float& v : x) v = std::uniform_real_distribution<float>(-1, 1)(random);
  for (int r = 0; r < rows; ++r) expected.push_back(*std::max_element(&x[r * n], &x[r * n] + n));

  const DeviceBuffer<float> device_x(x), device_y(expected.size());
  launch(row_max, (rows + 3) / 4, dim3(32, 4), 0, current_stream(), rows, n, device_x.data(), device_y.data());
  CHECK(device_y.download() == expected);
}
