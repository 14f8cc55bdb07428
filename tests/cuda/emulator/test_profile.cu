#include "../device_buffer.hpp"

#include <tern/kernels/cuda/emulator/emulator.hpp>
#include <tern/kernels/cuda/launch.hpp>

#include <catch2/catch.hpp>

#include <vector>

using namespace tern::kernels::cuda;
namespace emulator = tern::emulator;

namespace {

/// Thread i copies element i * stride.
__global__ void strided_copy(int stride, const float* x, float* y) {
  const unsigned i = (blockIdx.x * blockDim.x + threadIdx.x) * static_cast<unsigned>(stride);
  y[i] = x[i];
}

__global__ void vector_copy(const float4* x, float4* y) { y[threadIdx.x] = x[threadIdx.x]; }

/// Each of 32 threads writes a row of a [32, row] tile and then reads a column.
template <int row>
__global__ void transpose(float* y) {
  __shared__ float tile[32][row];
  for (int j = 0; j < 32; ++j) tile[j][threadIdx.x] = 1;
  __syncthreads();
  float sum = 0;
  for (int j = 0; j < 32; ++j) sum += tile[threadIdx.x][j];
  y[threadIdx.x] = sum;
}

/// Each of n threads writes an element; in the warps that `mixed` names, the even lanes write theirs twice.
__global__ void diverge(int n, unsigned mixed, float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= n) return;
  if ((mixed >> i / 32 & 1) != 0 && i % 2 == 0) y[i] = 1;
  y[i] = 2;
}

/// What `launch` counts for its one kernel.
template <class Launch>
emulator::KernelProfile profile_of(Launch&& launch_it) {
  emulator::clear_profile();
  emulator::set_profiling(true);
  launch_it();
  synchronize();
  emulator::set_profiling(false);
  REQUIRE(emulator::profile().size() == 1);
  return emulator::profile()[0];
}

}  // namespace

TEST_CASE("profile: launches are counted in every build") {
  const DeviceBuffer<float> x(std::vector<float>(64)), y(64);
  emulator::clear_profile();
  for (int i = 0; i < 3; ++i) launch(strided_copy, 1, 64, 0, current_stream(), 1, x.data(), y.data());
  synchronize();
  REQUIRE(emulator::profile().size() == 1);
  CHECK(emulator::profile()[0].name == "strided_copy");
  CHECK(emulator::profile()[0].launches == 3);
}

TEST_CASE("profile: kernels that are skipped write nothing, and are calls all the same") {
  const DeviceBuffer<float> x(std::vector<float>(64, 1)), y(std::vector<float>(64, 2));
  const auto copy = [&] { launch(strided_copy, 1, 64, 0, current_stream(), 1, x.data(), y.data()); };
  emulator::set_skipping(true);
  emulator::clear_calls();
  copy();
  synchronize();
  emulator::set_skipping(false);
  CHECK(emulator::calls().launches == 1);
  CHECK(y.download() == std::vector<float>(64, 2));
  copy();
  CHECK(y.download() == std::vector<float>(64, 1));
}

TEST_CASE("profile: bytes and sectors of global memory") {
  if (!emulator::is_checked()) return;
  const int stride = GENERATE(1, 2, 4, 8, 16), blocks = 3;
  const DeviceBuffer<float> x(std::vector<float>(static_cast<std::size_t>(blocks * 64 * stride)));
  const DeviceBuffer<float> y(static_cast<std::size_t>(blocks * 64 * stride));
  const auto counted =
      profile_of([&] { launch(strided_copy, blocks, 64, 0, current_stream(), stride, x.data(), y.data()); });
  CHECK(counted.memory.global_accesses == 2 * 2 * blocks);
  CHECK(counted.memory.global_bytes == 2 * 64 * blocks * sizeof(float));
  // 32 neighbours lie in 4 sectors; from a stride of 8 floats on, each has one to itself.
  CHECK(counted.memory.global_sectors == 2u * 2 * blocks * 4 * static_cast<unsigned>(std::min(stride, 8)));
}

TEST_CASE("profile: a vector load is one access") {
  if (!emulator::is_checked()) return;
  const DeviceBuffer<float> x(std::vector<float>(128)), y(128);
  const auto counted = profile_of([&] {
    launch(vector_copy, 1, 32, 0, current_stream(), reinterpret_cast<const float4*>(x.data()),
           reinterpret_cast<float4*>(y.data()));
  });
  CHECK(counted.memory.global_accesses == 2);
  CHECK(counted.memory.global_bytes == 1024);
  CHECK(counted.memory.global_sectors == 32);
}

TEST_CASE("profile: bank conflicts") {
  if (!emulator::is_checked()) return;
  const DeviceBuffer<float> y(32);
  const auto same_bank = profile_of([&] { launch(transpose<32>, 1, 32, 0, current_stream(), y.data()); });
  CHECK(same_bank.memory.shared_accesses == 64);
  CHECK(same_bank.memory.bank_conflicts == 32 * 31);
  const auto padded = profile_of([&] { launch(transpose<33>, 1, 32, 0, current_stream(), y.data()); });
  CHECK(padded.memory.shared_accesses == 64);
  CHECK(padded.memory.bank_conflicts == 0);
  CHECK_THAT(emulator::profile_table(), Catch::Contains("transpose<33>"));
}

TEST_CASE("profile: accesses that not all lanes of a warp take part in") {
  if (!emulator::is_checked()) return;
  const DeviceBuffer<float> y(160);
  const auto partial = [&](int threads, int n, unsigned mixed) {
    const auto counted = profile_of([&] { launch(diverge, 1, threads, 0, current_stream(), n, mixed, y.data()); });
    return counted.memory.partial_accesses;
  };
  CHECK(partial(128, 128, 0) == 0);
  CHECK(partial(128, 128, 0b0101) == 2);
  CHECK(partial(128, 100, 0) == 1);  // the last warp has lanes that returned
  CHECK(partial(128, 96, 0) == 0);   // or none that did not
  CHECK(partial(100, 100, 0) == 0);  // a warp of 4 lanes is whole
  CHECK(partial(100, 100, 0b1001) == 2);
}
