#include <tern/kernels/cuda/counters.hpp>
#include <tern/kernels/cuda/memory.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace tern::kernels::cuda {
namespace {

struct Counters {
  unsigned* first = nullptr;
  std::int64_t n = 0;
};

}  // namespace

unsigned* counters(std::int64_t n) {
  if (GraphMemory* graph = GraphMemory::recording()) return static_cast<unsigned*>(graph->zeros(n * sizeof(unsigned)));
  static std::mutex mutex;
  static auto& of_streams = *new std::map<std::pair<int, cudaStream_t>, Counters>;  // never destroyed, as the streams
  const cudaStream_t stream = current_stream();
  const std::scoped_lock lock(mutex);
  Counters& mine = of_streams[{current_device(), stream}];
  if (mine.n < n) {
    const std::int64_t more = std::max<std::int64_t>(n, 1024);
    void* made = nullptr;
    check(cudaMallocAsync(&made, more * sizeof(unsigned), stream), "cudaMallocAsync");
    check(cudaMemsetAsync(made, 0, more * sizeof(unsigned), stream), "cudaMemsetAsync");
    if (mine.first) check(cudaFreeAsync(mine.first, stream), "cudaFreeAsync");
    mine = {static_cast<unsigned*>(made), more};
  }
  return mine.first;
}

}  // namespace tern::kernels::cuda
