#include "../device_buffer.hpp"
#include "deferred.hpp"

#include <tern/kernels/backend.hpp>
#include <tern/kernels/cuda/emulator/emulator.hpp>
#include <tern/kernels/cuda/launch.hpp>
#include <tern/kernels/cuda/staging.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>
#include <vector>

// Work that runs as late as CUDA allows, and threads in an order that a seed gives.

using namespace tern::kernels::cuda;
using Catch::Contains;
namespace emulator = tern::emulator;

namespace {

__global__ void increment(int* x) { x[threadIdx.x] += 1; }

__global__ void trap() { __trap(); }

/// order = the numbers of the threads as they came by; one block, count = 0.
__global__ void note_order(int* count, int* order) { order[atomicAdd(count, 1)] = static_cast<int>(threadIdx.x); }

/// The same for one thread in each block.
__global__ void note_block_order(int* count, int* order) { order[atomicAdd(count, 1)] = static_cast<int>(blockIdx.x); }

std::vector<int> order_of(std::uint64_t seed, int threads) {
  const DeviceBuffer<int> count(std::vector<int>{0}), order(static_cast<std::size_t>(threads));
  emulator::set_seed(seed);
  launch(note_order, 1, threads, 0, current_stream(), count.data(), order.data());
  emulator::set_seed(0);
  return order.download();
}

}  // namespace

TEST_CASE("deferred: work waits for a synchronisation") {
  const DeviceBuffer<int> x(std::vector<int>(4, 1));
  const Deferred deferred;
  emulator::clear_profile();
  launch(increment, 1, 4, 0, current_stream(), x.data());
  CHECK(emulator::profile().empty());
  synchronize();
  CHECK(emulator::profile().size() == 1);
  CHECK(x.download() == std::vector<int>(4, 2));
}

TEST_CASE("deferred: uploads from any memory wait for nothing, whatever their size") {
  const std::size_t n = GENERATE(100'000, 3'000'000);  // 0.4 and 12 MB
  const int kernels = 100, uploads = 3;
  const DeviceBuffer<int> counts(std::vector<int>(4, 0)), x(n), y(n);
  const Deferred deferred;
  emulator::clear_profile();
  for (int i = 0; i < kernels; ++i) launch(increment, 1, 4, 0, current_stream(), counts.data());
  std::vector<int> host(n);
  for (int i = 0; i < uploads; ++i) {
    std::iota(host.begin(), host.end(), i);
    tern::kernels::cuda_backend(0).upload(n * sizeof(int), host.data(), i == 0 ? x.data() : y.data());
  }
  std::fill(host.begin(), host.end(), -1);
  // To ask whether some work is done has the emulator do a piece of it; to wait would have it do all.
  std::uint64_t done = 0;
  for (const auto& kernel : emulator::profile()) done += kernel.launches;
  CHECK(done < kernels);
  std::iota(host.begin(), host.end(), 0);
  CHECK(x.download() == host);
  std::iota(host.begin(), host.end(), uploads - 1);
  CHECK(y.download() == host);
}

TEST_CASE("deferred: the staging memory has an end, where the host waits and nothing is lost") {
  const std::size_t n = 1'500'000, max_bytes = GENERATE(std::size_t{1} << 20, std::size_t{4} << 20);
  const DeviceBuffer<int> counts(std::vector<int>(4, 0)), x(n);
  std::vector<int> values(n);
  std::iota(values.begin(), values.end(), 0);
  std::vector<int> host = values;
  const Deferred deferred;
  Staging staging(max_bytes);
  emulator::clear_profile();
  for (int i = 0; i < 100; ++i) launch(increment, 1, 4, 0, current_stream(), counts.data());
  staging.upload(n * sizeof(int), host.data(), x.data());
  CHECK(emulator::profile().at(0).launches == 100);
  std::fill(host.begin(), host.end(), -1);
  CHECK(x.download() == values);
}

TEST_CASE("deferred: a fault surfaces at the synchronisation, and names its kernel") {
  const Deferred deferred;
  launch(trap, 1, 1, 0, current_stream());
  CHECK_THROWS_WITH(synchronize(), Catch::StartsWith("cudaStreamSynchronize: kernel trap, block (0, 0, 0)"));
  CHECK_NOTHROW(synchronize());
}

TEST_CASE("deferred: page-locked memory is read when the copy is made, other memory at the call") {
  const Deferred deferred;
  const DeviceBuffer<int> x(1), y(1);
  int* page_locked = nullptr;
  check(cudaMallocHost(&page_locked, sizeof(int)), "cudaMallocHost");
  int pageable = 1;
  *page_locked = 1;
  check(cudaMemcpyAsync(x.data(), page_locked, sizeof(int), cudaMemcpyHostToDevice, current_stream()), "copy");
  check(cudaMemcpyAsync(y.data(), &pageable, sizeof(int), cudaMemcpyHostToDevice, current_stream()), "copy");
  *page_locked = pageable = 2;
  CHECK(x.download()[0] == 2);
  CHECK(y.download()[0] == 1);
  check(cudaFreeHost(page_locked), "cudaFreeHost");
}

TEST_CASE("deferred: page-locked memory that is freed too early") {
  const Deferred deferred;
  const DeviceBuffer<int> x(1);
  int* page_locked = nullptr;
  check(cudaMallocHost(&page_locked, sizeof(int)), "cudaMallocHost");
  *page_locked = 1;
  check(cudaMemcpyAsync(x.data(), page_locked, sizeof(int), cudaMemcpyHostToDevice, current_stream()), "copy");
  check(cudaFreeHost(page_locked), "cudaFreeHost");
  CHECK_THROWS_WITH(synchronize(), Contains("reads page-locked host memory that cudaFreeHost took back"));
}

TEST_CASE("deferred: a stream that does not wait for another does not see its work") {
  if (!emulator::is_checked()) return;
  cudaStream_t other = nullptr;
  check(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  const bool waits = GENERATE(false, true);
  const Deferred deferred;
  {
    const DeviceBuffer<int> x(4);
    check(cudaMemsetAsync(x.data(), 0, 4 * sizeof(int), current_stream()), "cudaMemsetAsync");
    cudaEvent_t event = nullptr;
    check(cudaEventCreate(&event), "cudaEventCreate");
    check(cudaEventRecord(event, current_stream()), "cudaEventRecord");
    if (waits) check(cudaStreamWaitEvent(other, event), "cudaStreamWaitEvent");
    launch(increment, 1, 4, 0, other, x.data());
    const cudaError_t status = cudaStreamSynchronize(other);
    CHECK((status == cudaSuccess) == waits);
    if (!waits) CHECK_THAT(cudaGetErrorString(status), Contains("which nothing has written"));
    check(cudaEventDestroy(event), "cudaEventDestroy");
  }
  check(cudaStreamDestroy(other), "cudaStreamDestroy");
}

TEST_CASE("deferred: the null stream waits for those that do not say otherwise, and they for it") {
  const Deferred deferred;
  cudaStream_t blocking = nullptr;
  check(cudaStreamCreate(&blocking), "cudaStreamCreate");
  int *x = nullptr, result = 0;
  check(cudaMalloc(&x, sizeof(int)), "cudaMalloc");
  check(cudaMemsetAsync(x, 0, sizeof(int), blocking), "cudaMemsetAsync");
  launch(increment, 1, 1, 0, nullptr, x);
  launch(increment, 1, 1, 0, blocking, x);
  check(cudaMemcpy(&result, x, sizeof(int), cudaMemcpyDeviceToHost), "cudaMemcpy");
  CHECK(result == 2);
  check(cudaFree(x), "cudaFree");
  check(cudaStreamDestroy(blocking), "cudaStreamDestroy");
}

TEST_CASE("seed: the order of threads is natural, or any other, and the same each time") {
  const int threads = 100;
  std::vector<int> natural(threads);
  std::iota(natural.begin(), natural.end(), 0);
  CHECK(order_of(0, threads) == natural);
  std::vector<std::vector<int>> orders;
  for (const std::uint64_t seed : {1, 2, 3}) {
    orders.push_back(order_of(seed, threads));
    CHECK(orders.back() == order_of(seed, threads));
    CHECK(std::ranges::is_permutation(orders.back(), natural));
  }
  CHECK(orders[0] != natural);
  CHECK(orders[0] != orders[1]);
  CHECK(orders[1] != orders[2]);
}

TEST_CASE("seed: every block runs once") {
  const int blocks = GENERATE(1, 2, 7, 64, 1000);
  const std::uint64_t seed = GENERATE(0, 1, 2, 12345);
  const DeviceBuffer<int> count(std::vector<int>{0}), order(static_cast<std::size_t>(blocks));
  emulator::set_seed(seed);
  launch(note_block_order, blocks, 1, 0, current_stream(), count.data(), order.data());
  emulator::set_seed(0);
  std::vector<int> natural(static_cast<std::size_t>(blocks));
  std::iota(natural.begin(), natural.end(), 0);
  CHECK(std::ranges::is_permutation(order.download(), natural));
}
