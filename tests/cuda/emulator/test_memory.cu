#include "../device_buffer.hpp"
#include "deferred.hpp"

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/emulator/emulator.hpp>
#include <tern/kernels/cuda/graph.hpp>
#include <tern/kernels/cuda/launch.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <memory>
#include <numeric>
#include <optional>
#include <thread>
#include <vector>

// Memory that is given back late, on another stream or when its thread ends, and memory that is not to be had.

using namespace tern::kernels::cuda;
using Catch::Contains;
namespace emulator = tern::emulator;

namespace {

__global__ void add_one(int* x) { x[threadIdx.x] += 1; }

std::uint64_t launches() {
  std::uint64_t sum = 0;
  for (const auto& kernel : emulator::profile()) sum += kernel.launches;
  return sum;
}

/// Fills freed memory of small sizes with what is no address.
void spoil_freed_memory() {
  std::vector<std::unique_ptr<std::array<unsigned char, 48>>> blocks;
  for (int i = 0; i < 100; ++i) {
    blocks.push_back(std::make_unique<std::array<unsigned char, 48>>());
    blocks.back()->fill(0xFF);
  }
}

/// What a thread holds, made before and so destroyed after all that tern keeps for the thread.
struct Held {
  std::optional<DeviceBuffer<int>> x;
  cudaStream_t* stream = nullptr;
  ~Held() {
    spoil_freed_memory();
    x.reset();
    if (stream) *stream = current_stream();
  }
};
thread_local Held held;

}  // namespace

TEST_CASE("memory outlives what tern keeps for its thread") {
  const std::size_t before = memory_stats(0).allocated;
  const cudaStream_t main = current_stream();
  cudaStream_t at_the_end = nullptr;
  std::thread([&] {
    held.stream = &at_the_end;
    held.x.emplace(std::vector<int>(4, 1));
    launch(add_one, 1, 4, 0, current_stream(), held.x->data());
    CHECK(held.x->download() == std::vector<int>(4, 2));
  }).join();
  CHECK(at_the_end == main);
  CHECK(memory_stats(0).allocated == before);
}

TEST_CASE("deferred: memory given back on another stream waits for the stream that it is of") {
  cudaStream_t other = nullptr;
  check(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  const cudaStream_t main = current_stream();
  const bool is_of_main = GENERATE(true, false);
  const cudaStream_t owner = is_of_main ? main : other;
  const std::size_t before = memory_stats(0).allocated;
  {
    const Deferred deferred;
    std::optional<DeviceBuffer<int>> x;
    {
      const StreamGuard guard(owner);
      x.emplace(std::vector<int>(4, 1));
      launch(add_one, 1, 4, 0, owner, x->data());
    }
    const StreamGuard guard(is_of_main ? other : main);
    x.reset();
    CHECK_NOTHROW(synchronize());
    check(cudaStreamSynchronize(owner), "cudaStreamSynchronize");
  }
  CHECK(memory_stats(0).allocated == before);
  check(cudaStreamDestroy(other), "cudaStreamDestroy");
}

TEST_CASE("out of memory, tern waits for what is about to be given back and tries again") {
  const DeviceBuffer<int> x(std::vector<int>(4, 1));
  const std::size_t before = memory_stats(0).allocated;
  const Deferred deferred;
  emulator::clear_profile();
  for (int i = 0; i < 3; ++i) launch(add_one, 1, 4, 0, current_stream(), x.data());
  emulator::fail_allocations(0, 1);
  { const DeviceBuffer<int> y(100); }
  CHECK(launches() == 3);
  CHECK(memory_stats(0).allocated == before);

  emulator::fail_allocations(0, 2);
  CHECK_THROWS_WITH(allocate(400), Contains("cuda:0 is out of memory: 400 bytes asked for"));
  CHECK(memory_stats(0).allocated == before);
  CHECK(x.download() == std::vector<int>(4, 4));
}

TEST_CASE("out of memory while a graph is recorded, tern tries again, and the recording goes on") {
  const DeviceBuffer<int> x(std::vector<int>(4, 1));
  Graph graph(0, {}, [&] {
    emulator::fail_allocations(0, 1);
    const DeviceBuffer<int> scratch(4);
    check(cudaMemcpyAsync(scratch.data(), x.data(), 16, cudaMemcpyDeviceToDevice, current_stream()), "copy");
    launch(add_one, 1, 4, 0, current_stream(), scratch.data());
    check(cudaMemcpyAsync(x.data(), scratch.data(), 16, cudaMemcpyDeviceToDevice, current_stream()), "copy");
    return 0;
  });
  for (int time = 1; time <= 2; ++time) {
    graph.launch({});
    CHECK(x.download() == std::vector<int>(4, 1 + time));
  }
}

TEST_CASE("deferred: an upload waits for want of more page-locked memory, and fails where there is none") {
  const std::size_t n = 1'500'000;  // of 6 places
  const DeviceBuffer<int> x(n);
  std::vector<int> host(n);
  std::iota(host.begin(), host.end(), 0);
  const Deferred deferred;
  for (int after = 0; after < 6; ++after) {
    INFO("place " << after << " fails");
    Staging staging;
    emulator::fail_allocations(after, 1);
    const auto upload = [&] { staging.upload(n * sizeof(int), host.data(), x.data()); };
    if (after == 0) {
      CHECK_THROWS_WITH(upload(), Contains("out of host memory"));
    }
    CHECK_NOTHROW(upload());
    emulator::fail_allocations(0, 0);
    CHECK(x.download() == host);
    host[static_cast<std::size_t>(after)] -= 1;
  }
}

TEST_CASE("products by cuBLAS have a workspace of their own, on any stream and in a graph") {
  const DeviceBuffer<float> a(std::vector<float>(64, 1)), y(64);
  auto& kernels = tern::kernels::cuda_backend(0).floating(float{});
  const auto multiply = [&] { kernels.matmul({.batch = 1, .m = 8, .n = 8, .k = 8}, a.data(), a.data(), y.data()); };
  const auto product = [&] {
    std::vector<float> values = y.download();
    check(cudaMemsetAsync(y.data(), 0, 256, current_stream()), "cudaMemsetAsync");
    return values;
  };
  const std::vector<float> eights(64, 8);
  const Deferred deferred;
  multiply();
  CHECK(product() == eights);
  const std::size_t before = memory_stats(0).allocated;

  cudaStream_t other = nullptr;
  check(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  synchronize();
  {
    const StreamGuard guard(other);
    multiply();
    CHECK(product() == eights);
    synchronize();
  }
  CHECK(memory_stats(0).allocated == before);
  multiply();
  CHECK(product() == eights);
  {
    Graph graph(0, {}, [&] {
      multiply();
      return 0;
    });
    for (int time = 0; time < 2; ++time) {
      graph.launch({});
      multiply();  // in between, in memory that is not the graph's
      CHECK(product() == eights);
    }
  }
  CHECK(memory_stats(0).allocated == before);
  check(cudaStreamDestroy(other), "cudaStreamDestroy");
}
