#include <tern/kernels/cuda/memory.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace tern::kernels::cuda {
namespace {

/// A piece of a graph's memory.
struct Block {
  std::size_t bytes;
  const GraphMemory* owner;
  bool in_use;
};

/// The default pool of a device, and what tern holds of it.
struct Pool {
  cudaMemPool_t pool = nullptr;
  std::mutex mutex;  // for all below
  std::size_t allocated = 0, peak = 0;
  std::map<void*, Block> blocks;        // of all graphs
  std::map<void*, cudaStream_t> homes;  // the streams that other memory was allocated on, where not the main one
};

/// Where this host thread's memory comes from while it records a graph.
thread_local GraphMemory* current_recording = nullptr;

/// Has the pool keep the memory that is freed rather than give it back to the driver at each synchronisation.
std::unique_ptr<Pool> make_pool(int device) {
  auto pool = std::make_unique<Pool>();
  check(cudaDeviceGetDefaultMemPool(&pool->pool, device), "cudaDeviceGetDefaultMemPool");
  std::uint64_t threshold = UINT64_MAX;
  check(cudaMemPoolSetAttribute(pool->pool, cudaMemPoolAttrReleaseThreshold, &threshold), "cudaMemPoolSetAttribute");
  return pool;
}

Pool& pool_of(int device) {
  static std::mutex mutex;
  // Never destroyed: tensors in static variables outlive it, and the driver may be gone before it.
  static auto& pools = *new std::map<int, std::unique_ptr<Pool>>;
  const std::scoped_lock lock(mutex);
  auto& pool = pools[device];
  if (pool == nullptr) pool = make_pool(device);
  return *pool;
}

std::size_t reserved(const Pool& pool) {
  std::uint64_t bytes = 0;
  check(cudaMemPoolGetAttribute(pool.pool, cudaMemPoolAttrReservedMemCurrent, &bytes), "cudaMemPoolGetAttribute");
  return bytes;
}

void* allocate_on(cudaStream_t stream, int device, std::size_t bytes) {
  Pool& pool = pool_of(device);
  void* p = nullptr;
  cudaError_t status = cudaMallocAsync(&p, bytes, stream);
  if (status == cudaErrorMemoryAllocation) {
    // What was given back may be yet to come to its place in its stream, or lie in the pool in pieces too small.
    static_cast<void>(cudaGetLastError());
    for (const cudaStream_t waited : {main_stream(), stream}) {
      check(cudaStreamSynchronize(waited), "cudaStreamSynchronize");
    }
    check(cudaMemPoolTrimTo(pool.pool, 0), "cudaMemPoolTrimTo");
    status = cudaMallocAsync(&p, bytes, stream);
  }
  const std::scoped_lock lock(pool.mutex);
  if (status == cudaErrorMemoryAllocation) {
    static_cast<void>(cudaGetLastError());
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    throw CudaError(
        fmt::format("cuda:{} is out of memory: {} bytes asked for, {} held by tensors, {} by the pool, {} of {} free",
                    device, bytes, pool.allocated, reserved(pool), free, total));
  }
  check(status, "cudaMallocAsync");
  pool.allocated += bytes;
  pool.peak = std::max(pool.peak, pool.allocated);
  return p;
}

/// What `stream` is given from now on waits for what `other` has been given so far.
void wait_for(cudaStream_t stream, cudaStream_t other) {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  cudaError_t status = cudaEventRecord(event, other);
  if (status == cudaSuccess) status = cudaStreamWaitEvent(stream, event);
  static_cast<void>(cudaEventDestroy(event));
  check(status, "cudaStreamWaitEvent");
}

}  // namespace

void* allocate(std::size_t bytes) {
  if (bytes == 0) return nullptr;
  const int device = current_device();
  if (current_recording && current_recording->device_ == device) return current_recording->take(bytes);
  const cudaStream_t stream = current_stream();
  void* p = allocate_on(stream, device, bytes);
  if (stream != main_stream()) {
    Pool& pool = pool_of(device);
    const std::scoped_lock lock(pool.mutex);
    pool.homes[p] = stream;
  }
  return p;
}

void release(void* p, std::size_t bytes) noexcept try {
  if (p == nullptr) return;
  const int device = current_device();
  Pool& pool = pool_of(device);
  const cudaStream_t stream = current_stream();
  cudaStream_t home = main_stream();
  {
    const std::scoped_lock lock(pool.mutex);
    if (const auto block = pool.blocks.find(p); block != pool.blocks.end()) {
      block->second.in_use = false;
      if (block->second.owner == current_recording) current_recording->idle_.emplace(bytes, p);
      return;
    }
    if (current_recording && current_recording->device_ == device) {
      pool.blocks.emplace(p, Block{bytes, current_recording, false});  // the replays may read it
      return;
    }
    if (const auto other = pool.homes.find(p); other != pool.homes.end()) {
      home = other->second;
      pool.homes.erase(other);
    }
  }
  if (home != stream) wait_for(stream, home);
  check(cudaFreeAsync(p, stream), "cudaFreeAsync");
  const std::scoped_lock lock(pool.mutex);
  pool.allocated -= bytes;
} catch (const Error&) {
  // Only after an error of the device, which whoever waits for it is told of: there is nothing to give back to.
}

GraphMemory::GraphMemory() : device_(current_device()) {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  current_recording = this;
}

void* GraphMemory::take(std::size_t bytes) {
  const auto idle = idle_.find(bytes);
  void* p = idle != idle_.end() ? idle_.extract(idle).mapped() : allocate_on(stream_, device_, bytes);
  Pool& pool = pool_of(device_);
  const std::scoped_lock lock(pool.mutex);
  pool.blocks[p] = {bytes, this, true};
  return p;
}

void* GraphMemory::zeros(std::size_t bytes) {
  void* p = allocate_on(stream_, device_, bytes);
  check(cudaMemsetAsync(p, 0, bytes, stream_), "cudaMemsetAsync");
  Pool& pool = pool_of(device_);
  const std::scoped_lock lock(pool.mutex);
  pool.blocks[p] = {bytes, this, false};
  return p;
}

GraphMemory* GraphMemory::recording() { return current_recording; }

void GraphMemory::close() {
  current_recording = nullptr;
  idle_.clear();
  check(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
}

GraphMemory::~GraphMemory() {
  if (current_recording == this) current_recording = nullptr;
  std::vector<std::pair<void*, std::size_t>> idle;
  {
    Pool& pool = pool_of(device_);
    const std::scoped_lock lock(pool.mutex);
    for (const auto& [p, block] : pool.blocks) {
      if (block.owner == this && !block.in_use) idle.emplace_back(p, block.bytes);
    }
    std::erase_if(pool.blocks, [this](const auto& entry) { return entry.second.owner == this; });
  }
  for (const auto& [p, bytes] : idle) release(p, bytes);
  static_cast<void>(cudaStreamDestroy(stream_));
}

MemoryStats memory_stats(int device) {
  const DeviceGuard guard(device);
  Pool& pool = pool_of(device);
  const std::scoped_lock lock(pool.mutex);
  return {pool.allocated, pool.peak, reserved(pool)};
}

void reset_peak_memory(int device) {
  const DeviceGuard guard(device);
  Pool& pool = pool_of(device);
  const std::scoped_lock lock(pool.mutex);
  pool.peak = pool.allocated;
}

void trim_pool(int device) {
  const DeviceGuard guard(device);
  Pool& pool = pool_of(device);
  synchronize_device();
  check(cudaMemPoolTrimTo(pool.pool, 0), "cudaMemPoolTrimTo");
}

}  // namespace tern::kernels::cuda
