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
  if (places_.empty()) {
    check(add(), "cudaMallocHost");
    return places_.back();
  }
  const Place oldest = places_.front();
  cudaError_t status = cudaEventQuery(oldest.fetched);
  if (status == cudaErrorNotReady) {
    static_cast<void>(cudaGetLastError());
    if (places_.size() < max_places_) {
      if (add() == cudaSuccess) return places_.back();
      static_cast<void>(cudaGetLastError());
    }
    status = cudaEventSynchronize(oldest.fetched);
  }
  check(status, "upload");
  places_.pop_front();
  return places_.emplace_back(oldest);
}

cudaError_t Staging::add() {
  Place added;
  check(cudaEventCreateWithFlags(&added.fetched, cudaEventDisableTiming), "cudaEventCreate");
  const cudaError_t status = cudaMallocHost(&added.memory, place_bytes);
  if (status == cudaSuccess) {
    places_.push_back(added);
  } else {
    static_cast<void>(cudaEventDestroy(added.fetched));
  }
  return status;
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
