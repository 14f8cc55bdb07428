#include "device_buffer.hpp"

#include <tern/kernels/cuda/launch.hpp>

#include <catch2/catch.hpp>

#include <numeric>
#include <random>
#include <string>
#include <vector>

using namespace tern::kernels::cuda;
using tern::CudaError;

namespace {

std::vector<float> random_floats(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(n);
  for (float& v : values) v = uniform(generator);
  return values;
}

/// y = a x + y. A thread computes one element.
template <class T>
__global__ void saxpy(int n, T a, const T* __restrict__ x, T* __restrict__ y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] += a * x[i];
}

/// The sum over a block of up to 1024 threads, in every thread of the first warp.
__device__ float block_sum(float value) {
  __shared__ float warp_sums[32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_down_sync(0xffffffff, value, delta);
  if (lane == 0) warp_sums[warp] = value;
  __syncthreads();
  value = lane < blockDim.x / 32 ? warp_sums[lane] : 0;
  for (int delta = 16; delta > 0; delta /= 2) value += __shfl_xor_sync(0xffffffff, value, delta);
  return value;
}

/// y[b] = the sum of row b of x [rows, n]. A block computes one row.
__global__ void __launch_bounds__(256) row_sum(int n, const float* __restrict__ x, float* __restrict__ y) {
  float value = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) value += x[blockIdx.x * n + i];
  value = block_sum(value);
  if (threadIdx.x == 0) y[blockIdx.x] = value;
}

enum class Sign { plus, minus };

template <Sign sign>
__global__ void set(int* y) {
  *y = sign == Sign::plus ? 1 : -1;
}

/// y = x reversed within each block, by way of dynamic shared memory.
__global__ void reverse_block(const float* x, float* y) {
  float* const tile = dynamic_shared<float>();
  const unsigned first = blockIdx.x * blockDim.x;
  tile[threadIdx.x] = x[first + threadIdx.x];
  __syncthreads();
  y[first + threadIdx.x] = tile[blockDim.x - 1 - threadIdx.x];
}

struct Row {
  const float* from;
  float* to;
  int n;
};

/// Copies a row whose addresses are in the struct, and one whose addresses are in memory.
__global__ void copy_rows(Row row, const Row* other) {
  for (int i = 0; i < row.n; ++i) row.to[i] = row.from[i];
  for (int i = 0; i < other->n; ++i) other->to[i] = other->from[i];
}

}  // namespace

TEST_CASE("saxpy") {
  const int n = GENERATE(1, 31, 256, 1000, 4097);
  const std::vector<float> x = random_floats(n, 1), y = random_floats(n, 2);
  const DeviceBuffer<float> device_x(x), device_y(y);
  launch(saxpy<float>, (n + 255) / 256, 256, 0, current_stream(), n, 0.5, device_x.data(), device_y.data());
  const std::vector<float> result = device_y.download();
  for (int i = 0; i < n; ++i) CHECK(result[i] == Approx(y[i] + 0.5f * x[i]));
}

TEST_CASE("a sum over a block by shuffles and shared memory") {
  const int rows = 9, n = GENERATE(1, 100, 256, 1000), threads = GENERATE(32, 64, 256);
  const std::vector<float> x = random_floats(rows * n, 3);
  const DeviceBuffer<float> device_x(x), device_y(rows);
  launch(row_sum, rows, threads, 0, current_stream(), n, device_x.data(), device_y.data());
  const std::vector<float> y = device_y.download();
  for (int row = 0; row < rows; ++row) {
    const double sum = std::accumulate(x.begin() + row * n, x.begin() + (row + 1) * n, 0.0);
    CHECK(y[row] == Approx(sum).margin(1e-4));
  }
}

TEST_CASE("dynamic shared memory") {
  const int threads = GENERATE(32, 96, 1024), blocks = 5;
  const std::vector<float> x = random_floats(threads * blocks, 4);
  const DeviceBuffer<float> device_x(x), device_y(x.size());
  launch(reverse_block, blocks, threads, threads * sizeof(float), current_stream(), device_x.data(), device_y.data());
  const std::vector<float> y = device_y.download();
  for (int block = 0; block < blocks; ++block)
    for (int i = 0; i < threads; ++i) CHECK(y[block * threads + i] == x[block * threads + threads - 1 - i]);
}

TEST_CASE("device addresses in a struct and in memory") {
  const std::vector<float> x = random_floats(100, 5);
  const DeviceBuffer<float> from(x), to(100);
  const Row first{from.data(), to.data(), 60}, second{from.data() + 60, to.data() + 60, 40};
  const DeviceBuffer<Row> in_memory(std::vector<Row>{second});
  launch(copy_rows, 1, 1, 0, current_stream(), first, in_memory.data());
  CHECK(to.download() == x);
}

TEST_CASE("a launch that cannot be made names the kernel and its shape") {
  const DeviceBuffer<float> y(1);
  try {
    launch(saxpy<float>, dim3(2, 3), 2048, 0, current_stream(), 1, 1.0f, y.data(), y.data());
    FAIL("no exception");
  } catch (const CudaError& error) {
    CHECK_THAT(error.what(), Catch::StartsWith("launch of saxpy<float>, grid (2, 3, 1), block (2048, 1, 1), 0 bytes"));
  }
}

TEST_CASE("a kernel's name is without namespaces and parameters") {
  CHECK(kernel_name(reinterpret_cast<const void*>(&row_sum)) == "row_sum");
  CHECK(kernel_name(reinterpret_cast<const void*>(&saxpy<double>)) == "saxpy<double>");
  CHECK(kernel_name(reinterpret_cast<const void*>(&set<Sign::minus>)) == "set<(Sign)1>");
}

TEST_CASE("an empty grid launches nothing") {
  launch(saxpy<float>, 0, 256, 0, current_stream(), 0, 1.0f, nullptr, nullptr);
  synchronize();
}

TEST_CASE("out of memory says how much was asked for and how much is held") {
  const DeviceBuffer<float> x(1000);
  const std::size_t too_much = std::size_t{1} << 50, held = memory_stats(current_device()).allocated;
  CHECK_THROWS_WITH(allocate(too_much), Catch::Contains(std::to_string(too_much) + " bytes asked for") &&
                                            Catch::Contains(std::to_string(held) + " held"));
  CHECK(memory_stats(current_device()).allocated == held);
}

TEST_CASE("memory statistics") {
  const int device = current_device();
  reset_peak_memory(device);
  const std::size_t before = memory_stats(device).allocated;
  { const DeviceBuffer<double> a(100), b(50); }
  CHECK(memory_stats(device).allocated == before);
  CHECK(memory_stats(device).peak == before + 1200);
  const DeviceBuffer<double> c(100);
  CHECK(memory_stats(device).reserved >= before + 800);
}
