#pragma once

/// What a program may ask of the emulator itself, beyond CUDA's own functions.

#include <cstdint>
#include <string>
#include <vector>

namespace tern::emulator {

/// Whether every access of a kernel is checked (TERN_CUDA_CHECKED).
bool is_checked();

/// Deferred, the work of a stream waits until something needs it done, as late as CUDA allows: that finds host code
/// that does not wait. Immediate, the default, it is done at once. Also set by TERN_EMULATOR_DEFERRED=1.
void set_deferred(bool deferred);

/// The order in which blocks and threads run: 0, the default, for the natural one. Also set by TERN_EMULATOR_SEED.
void set_seed(std::uint64_t seed);

/// Has so many devices from now on, 1 unless set, none of them with a context; this host thread's is device 0. They
/// share one memory, but a stream is of the device that was current as it was made.
void set_devices(int count);
/// The devices that something has made a context on: setting them, or using them.
std::vector<int> contexts();

/// From now on `after` allocations of device or page-locked memory are as ever, and the next `count` find none left.
void fail_allocations(int after, int count);

/// What befalls one of this host thread's calls of CUDA and cuBLAS.
struct CallFault {
  long at = -1;   ///< the call's number, from 0; none for -1
  int error = 2;  ///< its cudaError_t: cudaErrorMemoryAllocation, unless given; cuBLAS's calls end in an error of theirs
  bool from_then_on = false;  ///< every later call, too
};

/// While it lives, this host thread's calls are noted and, as the fault says, fail: they do nothing but return the error.
/// cudaStreamEndCapture ends the capture all the same.
class CallWatch {
 public:
  explicit CallWatch(const CallFault& fault = {});
  ~CallWatch();
  CallWatch(const CallWatch&) = delete;
  CallWatch& operator=(const CallWatch&) = delete;

  /// Their names, in order.
  const std::vector<std::string>& names() const;
};

/// Has kernels and cuBLAS's products do nothing from now on, which leaves the time that the host itself takes. Their outputs
/// hold what was there before. Also set by TERN_EMULATOR_SKIP=1.
void set_skipping(bool skipping);

/// What warps asked of memory. An access is that of a whole warp, or of those of its lanes that take part.
struct MemoryCounts {
  std::uint64_t partial_accesses = 0;  ///< to either memory, that some lanes of the warp take no part in
  std::uint64_t global_accesses = 0;
  std::uint64_t global_bytes = 0;    ///< asked for by all lanes
  std::uint64_t global_sectors = 0;  ///< of 32 bytes, touched by an access: what the memory has to move without a cache
  std::uint64_t shared_accesses = 0;
  std::uint64_t bank_conflicts = 0;  ///< turns that accesses to shared memory had to take beyond the first

  MemoryCounts& operator+=(const MemoryCounts& other);
};

struct KernelProfile {
  std::string name;
  std::uint64_t launches = 0;
  MemoryCounts memory;
};

/// From now on counts memory accesses, which takes time. Also set by TERN_EMULATOR_PROFILE=1. Only the checked build
/// sees them; launches are counted always.
void set_profiling(bool profiling);
/// By kernel, since the program began or the last clear_profile; in the order of the names.
std::vector<KernelProfile> profile();
void clear_profile();
/// What the host asked of streams, apart from memory and events; what is captured counts when its graph is launched.
struct CallCounts {
  std::uint64_t launches = 0;        ///< of kernels and of cuBLAS's products, one by one
  std::uint64_t copies = 0;          ///< and settings of memory
  std::uint64_t graph_launches = 0;  ///< of whole graphs
  std::uint64_t graph_nodes = 0;     ///< in all of these
  std::uint64_t waits = 0;           ///< for a stream, an event or the device
};
/// Since the program began or the last clear_calls.
CallCounts calls();
void clear_calls();

/// The same as profile() as text, one line for each kernel below a line of headings.
std::string profile_table();

}  // namespace tern::emulator
