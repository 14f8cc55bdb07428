#include <tern/kernels/cuda/staging.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <algorithm>
#include <cstring>

namespace tern::kernels::cuda {

void Staging::upload(std::size_t bytes, const void* host, void* device) {
  const std::scoped_lock lock(mutex_);
  auto* from = static_cast<const std::byte*>(host);
  auto* to = static_cast<std::byte*>(device);
  while (bytes > 0) {
    Slot& slot = slots_[next_++ % slots_.size()];
    if (!slot.fetched) check(cudaEventCreateWithFlags(&slot.fetched, cudaEventDisableTiming), "cudaEventCreate");
    if (!slot.memory) check(cudaMallocHost(&slot.memory, slot_bytes), "cudaMallocHost");
    check(cudaEventSynchronize(slot.fetched), "cudaEventSynchronize");
    const std::size_t part = std::min(bytes, slot_bytes);
    std::memcpy(slot.memory, from, part);
    check(cudaMemcpyAsync(to, slot.memory, part, cudaMemcpyHostToDevice, current_stream()), "upload");
    check(cudaEventRecord(slot.fetched, current_stream()), "cudaEventRecord");
    from += part;
    to += part;
    bytes -= part;
  }
}

}  // namespace tern::kernels::cuda
