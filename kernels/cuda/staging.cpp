#include <tern/kernels/cuda/staging.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <algorithm>
#include <cstring>

namespace tern::kernels::cuda {

Staging::~Staging() {
  for (const Place& place : places_) {
    static_cast<void>(cudaEventSynchronize(place.fetched));
    static_cast<void>(cudaEventDestroy(place.fetched));
    static_cast<void>(cudaFreeHost(place.memory));
  }
}

Staging::Place& Staging::take() {
  if (!places_.empty()) {
    const Place oldest = places_.front();
    const bool may_grow = places_.size() < max_places_;
    const cudaError_t status = may_grow ? cudaEventQuery(oldest.fetched) : cudaEventSynchronize(oldest.fetched);
    if (status != cudaErrorNotReady) {
      check(status, "upload");
      places_.pop_front();
      return places_.emplace_back(oldest);
    }
    static_cast<void>(cudaGetLastError());
  }
  Place& added = places_.emplace_back();
  check(cudaEventCreateWithFlags(&added.fetched, cudaEventDisableTiming), "cudaEventCreate");
  check(cudaMallocHost(&added.memory, place_bytes), "cudaMallocHost");
  return added;
}

void Staging::upload(std::size_t bytes, const void* host, void* device) {
  const std::scoped_lock lock(mutex_);
  auto* from = static_cast<const std::byte*>(host);
  auto* to = static_cast<std::byte*>(device);
  while (bytes > 0) {
    const Place& place = take();
    const std::size_t part = std::min(bytes, place_bytes);
    std::memcpy(place.memory, from, part);
    check(cudaMemcpyAsync(to, place.memory, part, cudaMemcpyHostToDevice, current_stream()), "upload");
    check(cudaEventRecord(place.fetched, current_stream()), "cudaEventRecord");
    from += part;
    to += part;
    bytes -= part;
  }
}

}  // namespace tern::kernels::cuda
