#include "../device_buffer.hpp"

#include <tern/kernels/cuda/emulator/emulator.hpp>
#include <tern/kernels/cuda/gemm/ptx.cuh>
#include <tern/kernels/cuda/launch.hpp>

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <folders.hpp>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>
#include <vector>

// Faults planted in kernels, and the message that each must get: the kernel, the block, the thread and the line. A line
// at fault ends in a comment of its own, by which its number is found.

using namespace tern::kernels::cuda;
using Catch::Contains;
using tern::CudaError;

namespace {

/// "tests/cuda/emulator/test_faults.cu:30" for the line that ends in "// <mark>".
std::string line_marked(const std::string& mark) {
  const std::string path = "tests/cuda/emulator/test_faults.cu";
  std::ifstream source(tern::test::in_tree(path));
  int number = 1;
  for (std::string line; std::getline(source, line); ++number)
    if (line.ends_with("// " + mark)) return fmt::format("{}:{}", path, number);
  throw std::runtime_error("no line is marked " + mark);
}

/// What CudaError says of a launch that runs at once, its threads in natural order; or "".
template <class... Params, class... Args>
std::string message_of(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes, Args&&... args) {
  tern::emulator::set_deferred(false);
  tern::emulator::set_seed(0);
  try {
    launch(kernel, grid, block, shared_bytes, current_stream(), std::forward<Args>(args)...);
    synchronize();
  } catch (const CudaError& error) {
    return error.what();
  }
  return "";
}

/// "kernel f, block (1, 0, 0), thread (2, 0, 0), file.cu:30: "
std::string fault(const std::string& kernel, int block, int thread, const std::string& mark) {
  return fmt::format("kernel {}, block ({}, 0, 0), thread ({}, 0, 0), {}: ", kernel, block, thread, line_marked(mark));
}

__global__ void double_all(int n, const float* x, float* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i <= n) y[i] = 2 * x[i];  // reads x[n]
}

__global__ void shift(const float* x, float* y) {
  const int i = static_cast<int>(threadIdx.x);
  y[i - 1] = x[i];  // writes y[-1]
}

__global__ void count(int* counter) {
  atomicAdd(counter + threadIdx.x / 32, 1);  // counts in counter[1]
}

__global__ void copy_four(const float* x, float4* y) {
  y[threadIdx.x] = reinterpret_cast<const float4*>(x + threadIdx.x)[0];  // x + 1 is not aligned
}

/// y = x reversed; one block of 64 threads.
template <bool with_barrier>
__global__ void reverse(const float* x, float* y) {
  __shared__ float tile[64];
  tile[threadIdx.x] = 0;
  __syncthreads();
  tile[threadIdx.x] = x[threadIdx.x];  // writes tile
  if (with_barrier) __syncthreads();
  y[threadIdx.x] = tile[63 - threadIdx.x];  // reads tile
}

/// y = the sum of x; one warp.
template <bool with_barrier>
__global__ void warp_sum(const int* x, int* y) {
  __shared__ int sums[32];
  sums[threadIdx.x] = x[threadIdx.x];
  for (unsigned half = 16; half > 0; half /= 2) {
    if (with_barrier) __syncwarp();
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];  // reads its neighbour's sum
  }
  if (threadIdx.x == 0) *y = sums[0];
}

/// Reads before it has waited (0), waits late in some threads (1) or all (2), never waits (3), or does all well (4).
template <int how>
__global__ void follow(const int* x, int* y) {
  const int* from = x + (how == 0 ? *x : 0);  // reads at once
  if (how != 3 && (how != 1 || threadIdx.x < 31)) wait_for_previous_kernels();
  __syncthreads();
  if (how < 3 || how == 4) y[threadIdx.x] = from[threadIdx.x];  // reads without having waited
}

/// Writes over what others may not have read yet; one block of 64 threads.
__global__ void rotate(float* x) {
  __shared__ float tile[64];
  tile[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  const float next = tile[(threadIdx.x + 1) % 64];  // reads the next
  tile[threadIdx.x] = next;                         // writes its own
  __syncthreads();
  x[threadIdx.x] = tile[threadIdx.x];
}

/// All threads write the same word at once.
__global__ void any_positive(const float* x, int* y) {
  __shared__ int found;
  if (threadIdx.x == 0) found = 0;
  __syncthreads();
  if (x[threadIdx.x] > 0) found = 1;  // several write
  __syncthreads();
  if (threadIdx.x == 0) *y = found;
}

/// Block 0 leaves a value in shared memory that block 1 would find.
__global__ void left_over(int* y) {
  __shared__ int value;
  if (blockIdx.x == 0) value = 1;
  y[blockIdx.x] = value;  // reads what no thread wrote
}

__global__ void too_little_shared(float* y) {
  float* const tile = dynamic_shared<float>();
  tile[threadIdx.x] = 1;  // writes beyond
  __syncthreads();
  y[threadIdx.x] = tile[threadIdx.x];
}

__global__ void long_index(const int* index, float* y) {
  __shared__ float tile[32];
  tile[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = tile[index[threadIdx.x]];  // index 32
}

__global__ void early_return(int n, int* y) {
  if (threadIdx.x >= static_cast<unsigned>(n)) return;
  __syncthreads();  // waits for all
  y[threadIdx.x] = 1;
}

__global__ void two_barriers(int* y) {
  if (threadIdx.x < 32) {
    __syncthreads();  // the first half
  } else {
    __syncthreads();  // the second half
  }
  y[threadIdx.x] = 1;
}

__global__ void missing_lane(int* y) {
  int value = 1;
  if (threadIdx.x != 5) value = __shfl_xor_sync(0xffffffff, value, 1);  // without lane 5
  __syncthreads();                                                      // lane 5
  y[threadIdx.x] = value;
}

__global__ void wrong_mask(int* y) {
  y[threadIdx.x] = __shfl_sync(0x0000ffff, 1, 0);  // lane 16 is not in it
}

__global__ void reads_outside_mask(int* y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __shfl_down_sync(0x0000ffff, 1, 8);  // lane 8 reads 16
}

__global__ void reads_returned_lane(int* y) {
  if (threadIdx.x == 31) return;
  y[threadIdx.x] = __shfl_down_sync(0xffffffff, 1, 1);  // lane 30 reads 31
}

/// y = x reversed, through asynchronous copies in two groups of 32; one block of 64 threads. Reads what it has copied
/// itself before it has waited (0), what another has before a barrier (1), waits for the first group alone (2), writes
/// over what is on its way (3), or does all well (4).
template <int how>
__global__ void copy_and_reverse(const float* x, float* y) {
  __shared__ float tile[64];
  const unsigned i = threadIdx.x;
  if (i < 32) copy_async<4>(tile + i, x + i, true);  // copies the first half
  commit_copies();
  if (i < 32) copy_async<4>(tile + 32 + i, x + 32 + i, true);  // copies the second half
  commit_copies();
  if (how == 0) y[i] = tile[i];  // reads its own at once
  if (how == 3) tile[i] = 0;     // writes over it
  if (how == 2) {
    wait_for_copies<1>();
  } else {
    wait_for_copies<0>();  // waits for both halves
  }
  if (how != 1) __syncthreads();
  if (how != 1 || i >= 32) y[i] = tile[63 - i];  // reads another's
}

__global__ void misplaced_copy(const float* x) {
  alignas(16) __shared__ float tile[8];
  copy_async<16>(tile, x + 1, true);  // from x + 1
}

/// The products of fragments of ones; one warp, of which lane 5 comes late (0) or never (1), or does not stay away (2).
template <int how>
__global__ void multiply_without_lane(float* y) {
  const uint32_t one = to_tf32(1);
  const FragmentA a{{one, one, one, one}};
  const FragmentB b{{one, one}};
  Sums sums{};
  if (how == 1 && threadIdx.x == 5) return;
  if (how != 0 || threadIdx.x != 5) multiply_add_tf32(a, b, sums);  // takes all lanes
  __syncthreads();                                             // lane 5 is here
  y[threadIdx.x] = sums.at[0];
}

/// Reads matrices of rows of 4 of x [32, 4]; one warp. Lane 5 has returned (0), a row is not aligned (1), or what is
/// copied there not waited for (2).
template <int how>
__global__ void load_what_is_not_there(const float* x, float* y) {
  alignas(16) __shared__ float tile[33 * 4];
  const int i = static_cast<int>(threadIdx.x);
  copy_async<16>(tile + i * 4, x + i * 4, true);  // copies a row
  commit_copies();
  if (how != 2) wait_for_copies<0>();
  __syncthreads();
  if (how == 0 && i == 5) return;
  float v[4];
  load_matrices(tile + i * 4 + (how == 1 && i == 3), v);  // loads matrices
  y[i] = v[0];
}

__global__ void traps() {
  if (threadIdx.x == 3) __trap();  // trap
}

/// What is allowed, and must not be taken for a fault; one block of 64 threads, y [64].
__global__ void blameless(const int* page_locked, int* y) {
  constexpr int table[4] = {1, 2, 3, 4};
  __shared__ unsigned char bytes[64];
  __shared__ int sum, warp_sums[2];
  bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);  // neighbours in one word
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, table[threadIdx.x % 4] + bytes[63 - threadIdx.x]);
  if (threadIdx.x % 32 < 16) {
    const unsigned votes = __ballot_sync(0x0000ffff, threadIdx.x % 2 == 0);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = __popc(votes);
    __syncwarp(0x0000ffff);
    if (threadIdx.x % 32 == 1) warp_sums[threadIdx.x / 32] += 1;
  }
  __syncthreads();
  y[threadIdx.x] = sum + warp_sums[0] + warp_sums[1] + *page_locked;
}

}  // namespace

TEST_CASE("faults: outside an allocation") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<float> x(std::vector<float>(100)), y(100);
  CHECK_THAT(message_of(double_all, 2, 64, 0, 100, x.data(), y.data()),
             Contains(fault("double_all", 1, 36, "reads x[n]") +
                      "reads 4 bytes at byte 400, past the end of an allocation of 400 bytes"));
  CHECK_THAT(message_of(shift, 1, 32, 0, x.data(), y.data()),
             Contains(fault("shift", 0, 0, "writes y[-1]") +
                      "writes 4 bytes at 4 bytes before the start of an allocation of 400 bytes"));
  const DeviceBuffer<int> counter(std::vector<int>{0});
  CHECK_THAT(message_of(count, 1, 64, 0, counter.data()),
             Contains(fault("count", 0, 32, "counts in counter[1]") +
                      "atomically changes 4 bytes at byte 4, past the end of an allocation of 4 bytes"));
}

TEST_CASE("faults: the launch is named with its shape") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<float> x(std::vector<float>(64)), y(64);
  CHECK_THAT(message_of(double_all, 2, 64, 0, 64, x.data(), y.data()),
             Catch::StartsWith("launch of double_all, grid (2, 1, 1), block (64, 1, 1), 0 bytes of shared memory: "));
}

TEST_CASE("faults: freed, unset and foreign memory") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<float> y(64);
  float* freed = nullptr;
  {
    const DeviceBuffer<float> x(std::vector<float>(64));
    freed = x.data();
  }
  CHECK_THAT(
      message_of(double_all, 1, 32, 0, 64, freed, y.data()),
      Contains(fault("double_all", 0, 0, "reads x[n]") + "reads 4 bytes at byte 0 of a freed allocation of 256 bytes"));

  const DeviceBuffer<float> unset(64);
  check(cudaMemsetAsync(unset.data(), 0, 40 * sizeof(float), current_stream()), "cudaMemsetAsync");
  CHECK_THAT(message_of(double_all, 1, 64, 0, 63, unset.data(), y.data()),
             Contains(fault("double_all", 0, 40, "reads x[n]") +
                      "reads 4 bytes at byte 160 of an allocation of 256 bytes, which nothing has written"));

  const std::vector<float> host(64);
  CHECK_THAT(message_of(double_all, 1, 32, 0, 63, host.data(), y.data()),
             Contains(fault("double_all", 0, 0, "reads x[n]")) && Contains("which is not device memory"));
  CHECK_THAT(message_of(double_all, 1, 32, 0, 63, nullptr, y.data()),
             Contains("reads 4 bytes at address 0x0, which is not device memory"));
}

TEST_CASE("faults: a copy between device addresses carries along what is unset") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<float> x(64), copy(64), y(64);
  check(cudaMemcpyAsync(copy.data(), x.data(), 256, cudaMemcpyDeviceToDevice, current_stream()), "cudaMemcpyAsync");
  CHECK_THAT(message_of(double_all, 1, 64, 0, 63, copy.data(), y.data()), Contains("which nothing has written"));
}

TEST_CASE("faults: misaligned vectors") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<float> x(std::vector<float>(64));
  const DeviceBuffer<float4> y(64);
  const std::string message = message_of(copy_four, 1, 2, 0, x.data(), y.data());
  CHECK_THAT(message, Contains(fault("copy_four", 0, 1, "x + 1 is not aligned")));
  CHECK_THAT(message, Contains("float4") && Contains("is not a multiple of 16"));
}

TEST_CASE("faults: races in shared memory") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<float> ones(std::vector<float>(64, 1.0f)), y(64);
  const float* x = ones.data();
  CHECK_THAT(message_of(reverse<false>, 1, 64, 0, x, y.data()),
             Contains("kernel reverse<false>, block (0, 0, 0), thread (") &&
                 Contains(line_marked("writes tile") + ": writes 4 bytes of shared memory that thread (") &&
                 Contains("reads at " + line_marked("reads tile") + ", and no barrier orders the two"));
  CHECK(message_of(reverse<true>, 1, 64, 0, x, y.data()) == "");

  const DeviceBuffer<float> rotated(std::vector<float>(64, 1.0f));
  CHECK_THAT(message_of(rotate, 1, 64, 0, rotated.data()),
             Contains("shared memory that thread") && Contains("reads at " + line_marked("reads the next")) &&
                 Contains(line_marked("writes its own") + ": writes 4 bytes"));

  const DeviceBuffer<int> found(1);
  CHECK_THAT(message_of(any_positive, 1, 64, 0, x, found.data()),
             Contains(line_marked("several write") + ": writes 4 bytes of shared memory that thread") &&
                 Contains("writes at " + line_marked("several write")));
}

TEST_CASE("faults: races within a warp") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<int> x(std::vector<int>(32, 3)), y(1);
  CHECK_THAT(message_of(warp_sum<false>, 1, 32, 0, x.data(), y.data()),
             Contains("kernel warp_sum<false>") && Contains(line_marked("reads its neighbour's sum")));
  CHECK(message_of(warp_sum<true>, 1, 32, 0, x.data(), y.data()) == "");
  CHECK(y.download() == std::vector<int>{96});
}

TEST_CASE("faults: shared memory that is unset or out of bounds") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<int> left(2);
  CHECK_THAT(message_of(left_over, 2, 1, 0, left.data()),
             Contains(fault("left_over", 1, 0, "reads what no thread wrote") +
                      "reads 4 bytes of shared memory that no thread of the block has written yet"));
  const DeviceBuffer<float> y(64);
  CHECK_THAT(message_of(too_little_shared, 1, 64, 32 * sizeof(float), y.data()),
             Contains(fault("too_little_shared", 0, 32, "writes beyond") +
                      "writes 4 bytes at byte 128 of 128 bytes of dynamic shared memory"));
  std::vector<int> indices(32, 31);
  indices[7] = 32;
  const DeviceBuffer<int> index(indices);
  CHECK_THAT(message_of(long_index, 1, 32, 0, index.data(), y.data()),
             Contains(fault("long_index", 0, 7, "index 32") + "index 32 is out of bounds of 'float [32]'"));
}

TEST_CASE("faults: barriers that not all threads reach") {
  const DeviceBuffer<int> y(64);
  CHECK_THAT(message_of(early_return, 1, 64, 0, 40, y.data()),
             Contains(fault("early_return", 0, 0, "waits for all") +
                      "__syncthreads waits for thread (40, 0, 0), which has returned"));
  const std::string message = message_of(two_barriers, 1, 64, 0, y.data());
  CHECK_THAT(message, Contains(fault("two_barriers", 0, 63, "the second half") +
                               "__syncthreads waits for thread (0, 0, 0), which waits in __syncthreads at " +
                               line_marked("the first half")));
}

TEST_CASE("faults: warp functions without some of their lanes") {
  const DeviceBuffer<int> y(32);
  CHECK_THAT(
      message_of(missing_lane, 1, 32, 0, y.data()),
      Contains(fault("missing_lane", 0, 0, "without lane 5") +
               "__shfl_xor_sync waits for thread (5, 0, 0), which waits in __syncthreads at " + line_marked("lane 5")));
  CHECK_THAT(message_of(wrong_mask, 1, 32, 0, y.data()),
             Contains(fault("wrong_mask", 0, 16, "lane 16 is not in it") +
                      "__shfl_sync has a mask 0x0000ffff without the calling lane 16"));
  CHECK_THAT(message_of(reads_outside_mask, 1, 32, 0, y.data()),
             Contains(fault("reads_outside_mask", 0, 8, "lane 8 reads 16") +
                      "__shfl_down_sync reads from lane 16, which is not in the mask"));
  CHECK_THAT(message_of(reads_returned_lane, 1, 32, 0, y.data()),
             Contains(fault("reads_returned_lane", 0, 30, "lane 30 reads 31") +
                      "__shfl_down_sync reads from lane 31, which has returned or does not exist"));
}

TEST_CASE("faults: asynchronous copies that were not waited for") {
  std::vector<float> numbers(64);
  for (std::size_t i = 0; i < 64; ++i) numbers[i] = static_cast<float>(i);
  const DeviceBuffer<float> x(numbers), y(64);
  const float* from = x.data();
  CHECK(message_of(copy_and_reverse<4>, 1, 64, 0, from, y.data()) == "");
  CHECK(y.download() == std::vector<float>(numbers.rbegin(), numbers.rend()));
  CHECK_THAT(
      message_of(misplaced_copy, 1, 1, 0, from),
      Contains(fault("misplaced_copy", 0, 0, "from x + 1") + "cp.async of 16 bytes, 4 bytes past a multiple of that"));
  if (!tern::emulator::is_checked()) return;
  const auto copied = [](const std::string& which, int thread) {
    return fmt::format(
        "4 bytes of shared memory that thread ({}, 0, 0) copies to by cp.async at {} and has not waited for", thread,
        line_marked(which));
  };
  CHECK_THAT(message_of(copy_and_reverse<0>, 1, 64, 0, from, y.data()),
             Contains(fault("copy_and_reverse<0>", 0, 0, "reads its own at once") + "reads " +
                      copied("copies the first half", 0)));
  CHECK_THAT(message_of(copy_and_reverse<1>, 1, 64, 0, from, y.data()),
             Contains("kernel copy_and_reverse<1>") && Contains(line_marked("reads another's") + ": reads 4 bytes") &&
                 Contains("thread (31, 0, 0) writes at " + line_marked("waits for both halves") +
                          ", and no barrier orders the two"));
  CHECK_THAT(message_of(copy_and_reverse<2>, 1, 64, 0, from, y.data()),
             Contains("kernel copy_and_reverse<2>") &&
                 Contains(line_marked("reads another's") + ": reads " + copied("copies the second half", 31)));
  CHECK_THAT(
      message_of(copy_and_reverse<3>, 1, 64, 0, from, y.data()),
      Contains(fault("copy_and_reverse<3>", 0, 0, "writes over it") + "writes " + copied("copies the first half", 0)));
}

TEST_CASE("faults: products by tensor cores without some lane") {
  const DeviceBuffer<float> y(32);
  CHECK_THAT(
      message_of(multiply_without_lane<0>, 1, 32, 0, y.data()),
      Contains("kernel multiply_without_lane<0>") && Contains(line_marked("takes all lanes") +
                                                              ": mma.sync waits for thread (5, 0, 0), which waits in "
                                                              "__syncthreads at " +
                                                              line_marked("lane 5 is here")));
  CHECK_THAT(message_of(multiply_without_lane<1>, 1, 32, 0, y.data()),
             Contains("kernel multiply_without_lane<1>") &&
                 Contains(line_marked("takes all lanes") +
                          ": mma.sync is without lane 5, which has returned or does not exist"));
  CHECK(message_of(multiply_without_lane<2>, 1, 32, 0, y.data()) == "");
  CHECK(y.download() == std::vector<float>(32, 8));
}

TEST_CASE("faults: matrices from shared memory that are not there") {
  const DeviceBuffer<float> x(std::vector<float>(128, 1)), y(32);
  CHECK_THAT(message_of(load_what_is_not_there<0>, 1, 32, 0, x.data(), y.data()),
             Contains("kernel load_what_is_not_there<0>") &&
                 Contains(line_marked("loads matrices") + ": ldmatrix is without lane 5, which has returned"));
  CHECK_THAT(message_of(load_what_is_not_there<1>, 1, 32, 0, x.data(), y.data()),
             Contains(fault("load_what_is_not_there<1>", 0, 3, "loads matrices") +
                      "ldmatrix of a row 4 bytes past a multiple of 16"));
  if (!tern::emulator::is_checked()) return;
  CHECK_THAT(message_of(load_what_is_not_there<2>, 1, 32, 0, x.data(), y.data()),
             Contains("kernel load_what_is_not_there<2>") &&
                 Contains(line_marked("loads matrices") + ": reads 16 bytes of shared memory that thread") &&
                 Contains("copies to by cp.async at " + line_marked("copies a row") + " and has not waited for"));
}

TEST_CASE("faults: a trap") { CHECK_THAT(message_of(traps, 1, 32, 0), Contains(fault("traps", 0, 3, "trap"))); }

TEST_CASE("faults: kernels that begin early and do not wait for those before them") {
  const DeviceBuffer<int> x(std::vector<int>(64, 0)), y(std::vector<int>(64, 1));
  cudaLaunchAttribute early{cudaLaunchAttributeProgrammaticStreamSerialization, {1}};
  const auto said = [&](void (*kernel)(const int*, int*)) -> std::string {
    tern::emulator::set_deferred(false);
    tern::emulator::set_seed(0);
    const cudaLaunchConfig_t config{2, 32, 0, current_stream(), &early, 1};
    const cudaError_t status = cudaLaunchKernelEx(&config, kernel, x.data(), y.data());
    return status == cudaSuccess ? "" : cudaGetErrorString(status);
  };
  CHECK_THAT(said(follow<3>),
             Contains("kernel follow<3>, block (0, 0, 0), thread (31, 0, 0), at its end: returns without "
                      "having waited for the kernels before this one"));
  CHECK(said(follow<2>) == "");
  CHECK(said(follow<4>) == "");
  if (!tern::emulator::is_checked()) return;
  CHECK_THAT(said(follow<0>),
             Contains(fault("follow<0>", 0, 0, "reads at once") + "reads memory before it has waited"));
  CHECK_THAT(said(follow<1>), Contains(fault("follow<1>", 0, 31, "reads without having waited")));
  CHECK(message_of(follow<3>, 2, 32, 0, x.data(), y.data()) == "");  // launched as ever
}

TEST_CASE("faults: none where there are none") {
  int* page_locked = nullptr;
  check(cudaMallocHost(&page_locked, sizeof(int)), "cudaMallocHost");
  *page_locked = 1000;
  const DeviceBuffer<int> y(64);
  CHECK(message_of(blameless, 1, 64, 0, page_locked, y.data()) == "");
  // 16 of each table entry, the bytes 0 to 63, and per warp 8 even lanes and one more.
  CHECK(y.download() == std::vector<int>(64, 16 * 10 + 63 * 64 / 2 + 2 * 9 + 1000));
  check(cudaFreeHost(page_locked), "cudaFreeHost");
}

TEST_CASE("faults: calls with memory that is not what they take it for") {
  const DeviceBuffer<float> x(std::vector<float>(64, 1.0f)), unset(64);
  std::vector<float> host(100);
  const auto message_of_copy = [](void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    return std::string(cudaGetErrorString(cudaMemcpy(to, from, bytes, kind)));
  };
  CHECK(message_of_copy(host.data(), x.data(), 400, cudaMemcpyDeviceToHost) ==
        "cudaMemcpy reads 400 bytes at byte 0, past the end of an allocation of 256 bytes");
  CHECK(message_of_copy(host.data(), host.data(), 400, cudaMemcpyHostToDevice) ==
        "cudaMemcpy: copies from host to host memory, and was told from host to device");
  CHECK(cudaFree(host.data()) == cudaErrorInvalidValue);

  const float one = 1, zero = 0;
  const auto multiply = [&](const float* a, const float* b, float* c) {
    check(cublasSgemm(Cublas(), CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, a, 8, b, 8, &zero, c, 8), "cublasSgemm");
  };
  CHECK_THROWS_WITH(multiply(x.data() + 8, x.data(), unset.data()),
                    Contains("A takes 256 bytes at byte 32, past the end of an allocation of 256 bytes"));
  if (tern::emulator::is_checked())
    CHECK_THROWS_WITH(multiply(x.data(), unset.data(), x.data()), Contains("column 0 of B has bytes that nothing"));
  CHECK_NOTHROW(multiply(x.data(), x.data(), unset.data()));
  CHECK(unset.download() == std::vector<float>(64, 8.0f));

  const Cublas handle;
  const auto product = [&] {
    return cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 8, 8, 8, &one, x.data(), 8, x.data(), 8, &zero, unset.data(),
                       8);
  };
  CHECK(product() == CUBLAS_STATUS_SUCCESS);
  check(cublasSetStream(handle, current_stream()), "cublasSetStream");
  CHECK_THROWS_WITH(check(product(), "product"), Contains("has no workspace of the program's"));
  check(cublasSetWorkspace(handle, unset.data(), 512), "cublasSetWorkspace");
  CHECK_THROWS_WITH(check(product(), "product"), Contains("the workspace takes 512 bytes at byte 0, past the end"));
}

TEST_CASE("faults: the host in device memory") {
  if (!tern::emulator::is_checked()) return;
  const DeviceBuffer<float> x(std::vector<float>(64, 1.0f));
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    std::signal(SIGABRT, SIG_DFL);  // not Catch's
    const volatile float* device = x.data();
    _exit(device[3] == 0);
  }
  close(ends[1]);
  std::string said(1000, '\0');
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(0, read(ends[0], said.data(), said.size()))));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK_THAT(said, Contains("host code accesses byte 12 of an allocation of 256 bytes in device memory"));
}
