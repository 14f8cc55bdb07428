#pragma once

#include "cuda_runtime.h"
#include "emulator.hpp"
#include "memory.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace tern::emulator {

/// What a call or a piece of work came to: a code and, unless it is cudaSuccess, one line that says what went wrong.
struct Status {
  cudaError_t code = cudaSuccess;
  std::string detail;
};

/// Something that a stream does: a launch, a copy ... A graph does it again and again.
using Work = std::function<Status()>;

/// What a stream has to do, in order. Events hold it too, since they may outlive the stream.
struct Queue {
  std::deque<Work> waiting;
  std::uint64_t submitted = 0, done = 0;
};

/// What streams do while they are captured. Work is kept in the order in which it came.
struct Capture {
  cudaStream_t origin;
  std::vector<Work> works;
  std::vector<void*> memory;  ///< allocated while capturing: lives as long as the graph
  bool relaxed = false;  ///< calls that wait are allowed, for other streams
  bool broken = false;
};

/// Everything behind the functions of cuda_runtime.h. All of them hold the lock while they work, kernels included.
class Runtime {
 public:
  static Runtime& get();

  std::recursive_mutex mutex;
  bool deferred;       ///< work waits until something needs it done
  std::uint64_t seed;  ///< of the order of threads and blocks; 0 is the natural one

  bool profiling;
  bool skipping;  ///< kernels and products do nothing
  int devices = 1;
  std::set<int> contexts;                         ///< the devices that have one
  int allocations_to_pass = 0, allocations_to_fail = 0;

  /// Notes that the current device is used.
  void use_device();
  /// Whether an allocation is to fail, by fail_allocations.
  bool fails_to_allocate();

  /// Queues the work; unless work is deferred also does it, and returns what came of it. Counted there, unless captured.
  Status submit(cudaStream_t stream, Work work, std::uint64_t CallCounts::*count = nullptr);
  /// Does the queue's first `count` pieces of work, counted from its beginning.
  Status finish(Queue& queue, std::uint64_t count);
  Status finish(Queue& queue) { return finish(queue, queue.submitted); }
  Status finish_all();

  /// The null stream's own.
  cudaStream_t resolve(cudaStream_t stream) { return stream ? stream : legacy_; }

  /// Page-locked host memory. Freed, it stays mapped and poisoned until all streams are done.
  struct Pinned {
    std::size_t bytes;
    bool live;
  };
  /// The page-locked memory that p lies in, or null.
  const std::pair<const Address, Pinned>* find_pinned(const volatile void* p) const;

  std::vector<cudaStream_t> streams;
  std::map<Address, Pinned> pinned;
  std::map<const void*, int> shared_limits;      ///< by kernel: dynamic shared memory beyond 48 KiB was asked for
  std::map<const void*, KernelProfile> profile;  ///< by kernel
  CallCounts calls;
  std::shared_ptr<Capture> capture;              ///< the one in progress, if any

 private:
  Runtime();
  void wait_for(cudaStream_t stream, const std::shared_ptr<Queue>& other);

  cudaStream_t legacy_;
};

/// Notes a call of this host thread for its CallWatch; whether the fault befalls it, whose error then is the latest one.
bool befallen(const char* call);
/// That error: cudaGetLastError's.
cudaError_t latest_error();

/// Remembers the status for cudaGetLastError and cudaGetErrorString, and returns its code.
cudaError_t report(Status status);

}  // namespace tern::emulator

struct CUstream_st {
  unsigned flags = 0;
  int device = 0;
  std::shared_ptr<tern::emulator::Queue> queue = std::make_shared<tern::emulator::Queue>();
  std::shared_ptr<tern::emulator::Capture> capture;
};
