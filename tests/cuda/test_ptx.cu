#include "device_buffer.hpp"

#include <tern/kernels/cuda/gemm/ptx.cuh>
#include <tern/kernels/cuda/launch.hpp>

#include <catch2/catch.hpp>

#include <cstdint>
#include <random>
#include <vector>

using namespace tern::kernels::cuda;

namespace {

/// y [16, 8] += a [16, 8] b [8, 8]; one warp. The factors are made TF32 numbers, or left as they are.
__global__ void multiply(bool rounded, const float* a, const float* b, float* y) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto factor = [rounded](float v) { return rounded ? to_tf32(v) : __float_as_uint(v); };
  const FragmentA of_a{
      {factor(a[g * 8 + t]), factor(a[(g + 8) * 8 + t]), factor(a[g * 8 + t + 4]), factor(a[(g + 8) * 8 + t + 4])}};
  const FragmentB of_b{{factor(b[t * 8 + g]), factor(b[(t + 4) * 8 + g])}};
  Sums sums;
  for (int i = 0; i < 4; ++i) sums.at[i] = y[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  multiply_add_tf32(of_a, of_b, sums);
  for (int i = 0; i < 4; ++i) y[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums.at[i];
}

/// y [16, 8] += a [16, 16] b [16, 8], of bfloat16; one warp.
__global__ void multiply_bf16(const float* a, const float* b, float* y) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  FragmentA of_a;
  FragmentB of_b;
  for (int i = 0; i < 4; ++i) {
    const float* const pair = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    of_a.at[i] = to_bf16(pair[0], pair[1]);
  }
  for (int i = 0; i < 2; ++i) of_b.at[i] = to_bf16(b[(2 * t + i * 8) * 8 + g], b[(2 * t + i * 8 + 1) * 8 + g]);
  Sums sums;
  for (int i = 0; i < 4; ++i) sums.at[i] = y[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  multiply_add_bf16(of_a, of_b, sums);
  for (int i = 0; i < 4; ++i) y[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sums.at[i];
}

__global__ void round_to_bf16(const float* x, float* y) {
  y[threadIdx.x] = __uint_as_float(to_bf16(0, x[threadIdx.x]));
}

__global__ void round_all(const float* x, float* y) { y[threadIdx.x] = __uint_as_float(to_tf32(x[threadIdx.x])); }

/// y [4, 8, 4] = four matrices of x [32, 12], of which lane l reads row (7 l) % 32; one warp.
__global__ void load(const float* x, float* y) {
  alignas(16) __shared__ float tile[32 * 12];
  for (int i = static_cast<int>(threadIdx.x); i < 32 * 12; i += 32) tile[i] = x[i];
  __syncthreads();
  float v[4];
  load_matrices(tile + threadIdx.x * 7 % 32 * 12 + 4, v);
  for (int i = 0; i < 4; ++i) y[i * 32 + static_cast<int>(threadIdx.x)] = v[i];
}

/// y [32] = the first n of x, and zeros, copied by 16, 8 or 4 bytes.
template <int bytes>
__global__ void copy(int n, const float* x, float* y) {
  alignas(16) __shared__ float tile[32];
  constexpr int width = bytes / 4;
  const int i = static_cast<int>(threadIdx.x) * width;
  if (i < 32) copy_async<bytes>(tile + i, x + i, i < n);
  commit_copies();
  wait_for_copies<0>();
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

/// Compute capability 8.0 has all of this, and those before it nothing.
bool is_there() {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&round_all)), "cudaFuncGetAttributes");
  return attributes.ptxVersion >= 80;
}

}  // namespace

TEST_CASE("ptx: a product by tensor cores has its elements where the PTX ISA says") {
  if (!is_there()) return;
  const int k = GENERATE(8, 16);
  std::mt19937 random(1);
  std::vector<float> a(16 * k), b(k * 8), y(128);
  for (auto* all : {&a, &b, &y}) {
    for (float& v : *all) v = static_cast<float>(static_cast<int>(random() % 15) - 7);  // exact, their sums too
  }
  std::vector<float> want = y;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      for (int l = 0; l < k; ++l) want[i * 8 + j] += a[i * k + l] * b[l * 8 + j];
    }
  }
  const DeviceBuffer<float> on_a(a), on_b(b), on_y(y);
  if (k == 8) {
    launch(multiply, 1, 32, 0, current_stream(), true, on_a.data(), on_b.data(), on_y.data());
  } else {
    launch(multiply_bf16, 1, 32, 0, current_stream(), on_a.data(), on_b.data(), on_y.data());
  }
  CHECK(on_y.download() == want);
}

TEST_CASE("ptx: matrices from shared memory have their elements where the PTX ISA says") {
  if (!is_there()) return;
  std::vector<float> x(32 * 12), want(128);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  for (std::size_t row = 0; row < 32; ++row) {
    for (std::size_t i = 0; i < 4; ++i) want[row * 4 + i] = x[row * 7 % 32 * 12 + 4 + i];
  }
  const DeviceBuffer<float> on_x(x), y(128);
  launch(load, 1, 32, 0, current_stream(), on_x.data(), y.data());
  CHECK(y.download() == want);
}

TEST_CASE("ptx: bfloat16 has 8 significant bits") {
  if (!is_there()) return;
  const std::vector<float> x = {1, 1 + 0x1p-7f, 1 + 0x1p-8f, 1 + 0x3p-8f, 1 + 0x1.1p-8f, -0.0f, 3.4e38f, -INFINITY};
  const DeviceBuffer<float> on_x(x), y(x.size());
  launch(round_to_bf16, 1, static_cast<unsigned>(x.size()), 0, current_stream(), on_x.data(), y.data());
  CHECK(y.download() == std::vector<float>{1, 1 + 0x1p-7f, 1, 1 + 0x2p-7f, 1 + 0x1p-7f, -0.0f, INFINITY, -INFINITY});
}

TEST_CASE("ptx: TF32 has 11 significant bits") {
  if (!is_there()) return;
  const float next = 1 + 0x1p-10f;
  std::vector<float> x = {1, next, 1 + 0x1p-11f, 1 + 0x1p-12f, -1 - 0x1p-11f, 0, 3e38f, -INFINITY};
  const DeviceBuffer<float> on_x(x), y(x.size());
  launch(round_all, 1, static_cast<unsigned>(x.size()), 0, current_stream(), on_x.data(), y.data());
  CHECK(y.download() == std::vector<float>{1, next, next, 1, -next, 0, std::bit_cast<float>(0x7f61c000), -INFINITY});

#ifndef __CUDACC__  // the PTX ISA leaves open what becomes of bits that TF32 has not; the emulator cuts them off
  std::vector<float> a(128, 0), b(64, 0);
  a[0] = 1 + 0x1p-11f;
  b[0] = 1;
  const DeviceBuffer<float> on_a(a), on_b(b), sums(std::vector<float>(128, 0));
  launch(multiply, 1, 32, 0, current_stream(), false, on_a.data(), on_b.data(), sums.data());
  CHECK(sums.download()[0] == 1);
#endif
}

TEST_CASE("ptx: asynchronous copies by all widths, and zeros") {
  if (!is_there()) return;
  std::vector<float> x(32), want(32, 0);
  for (std::size_t i = 0; i < 32; ++i) x[i] = static_cast<float>(i + 1);
  std::copy_n(x.begin(), 20, want.begin());
  const DeviceBuffer<float> on_x(x), y(32);
  const auto check_width = [&](void (*kernel)(int, const float*, float*)) {
    check(cudaMemsetAsync(y.data(), 0xFF, 128, current_stream()), "cudaMemsetAsync");
    launch(kernel, 1, 32, 0, current_stream(), 20, on_x.data(), y.data());
    CHECK(y.download() == want);
  };
  check_width(copy<4>);
  check_width(copy<8>);
  check_width(copy<16>);
}
