#include "runtime.hpp"

#include "emulator.hpp"
#include "multiprocessor.hpp"
#include "symbols.hpp"

#include "cudaTypedefs.h"

#include <tern/kernels/cuda/launch.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <utility>

namespace em = tern::emulator;

struct CUevent_st {
  std::shared_ptr<em::Queue> queue;  ///< where it was recorded last
  std::uint64_t at = 0;              ///< it is over once the queue has done this many pieces of work
  std::shared_ptr<em::Capture> capture;
  std::shared_ptr<std::chrono::steady_clock::time_point> time =
      std::make_shared<std::chrono::steady_clock::time_point>();
};

namespace {

struct GraphBody {
  std::vector<em::Work> works;
  std::vector<void*> memory;

  GraphBody(const em::Capture& capture) : works(capture.works), memory(capture.memory) {}
  ~GraphBody() {
    for (void* p : memory) em::DeviceMemory::get().release(p);
  }
  GraphBody(const GraphBody&) = delete;
  GraphBody& operator=(const GraphBody&) = delete;
};

}  // namespace

struct CUgraph_st {
  std::shared_ptr<const GraphBody> body;
};
struct CUgraphExec_st {
  std::shared_ptr<const GraphBody> body;
};

namespace tern::emulator {
namespace {

constexpr std::size_t shared_bytes_without_asking = 48 * 1024;

/// The latest failure on this host thread.
thread_local cudaError_t last_error = cudaSuccess;
thread_local Status last_failure;

thread_local int current_device = 0;

/// Of this host thread's CallWatch.
struct Watch {
  bool on = false;
  CallFault fault;
  std::vector<std::string> names;
};
thread_local Watch watch;

using Lock = std::scoped_lock<std::recursive_mutex>;

Status invalid(std::string detail) { return {cudaErrorInvalidValue, std::move(detail)}; }

/// For calls that wait or are not ordered in a stream, and which would break a capture.
std::optional<Status> refused_by_capture(const char* call) {
  Runtime& runtime = Runtime::get();
  if (!runtime.capture) return std::nullopt;
  runtime.capture->broken = true;
  return Status{cudaErrorStreamCaptureUnsupported, fmt::format("{} is not allowed while a stream is captured", call)};
}

cudaError_t check_device(int device) {
  const int count = Runtime::get().devices;
  if (device >= 0 && device < count) return cudaSuccess;
  return report({cudaErrorInvalidDevice, fmt::format("device {}: the emulator has {} from 0 on", device, count)});
}

/// The first that failed.
Status both(Status first, Status second) { return first.code != cudaSuccess ? first : second; }

}  // namespace

cudaError_t report(Status status) {
  if (status.code != cudaSuccess) {
    last_error = status.code;
    last_failure = std::move(status);
    return last_error;
  }
  return cudaSuccess;
}

bool befallen(const char* call) {
  if (!watch.on) return false;
  const auto at = static_cast<long>(watch.names.size());
  watch.names.emplace_back(call);
  const CallFault& fault = watch.fault;
  if (fault.at < 0 || at < fault.at || (at > fault.at && !fault.from_then_on)) return false;
  report({static_cast<cudaError_t>(fault.error), {}});
  return true;
}

cudaError_t latest_error() { return last_error; }

CallWatch::CallWatch(const CallFault& fault) { watch = {true, fault, {}}; }
CallWatch::~CallWatch() { watch = {}; }
const std::vector<std::string>& CallWatch::names() const { return watch.names; }

Runtime& Runtime::get() {
  static Runtime* runtime = new Runtime;  // outlives whatever is released at exit
  return *runtime;
}

Runtime::Runtime() : legacy_(new CUstream_st) {
  const auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && std::strcmp(value, "0") != 0;
  };
  deferred = is_set("TERN_EMULATOR_DEFERRED");
  profiling = is_set("TERN_EMULATOR_PROFILE");
  skipping = is_set("TERN_EMULATOR_SKIP");
  const char* order = std::getenv("TERN_EMULATOR_SEED");
  seed = order ? std::strtoull(order, nullptr, 10) : 0;
  streams.push_back(legacy_);
}

void Runtime::use_device() { contexts.insert(current_device); }

bool Runtime::fails_to_allocate() {
  if (allocations_to_fail == 0) return false;
  if (allocations_to_pass > 0) {
    --allocations_to_pass;
    return false;
  }
  --allocations_to_fail;
  return true;
}

void Runtime::wait_for(cudaStream_t stream, const std::shared_ptr<Queue>& other) {
  if (other->done == other->submitted) return;
  stream->queue->waiting.push_back([other, count = other->submitted] { return get().finish(*other, count); });
  ++stream->queue->submitted;
}

Status Runtime::submit(cudaStream_t stream, Work work, std::uint64_t CallCounts::*count) {
  use_device();
  stream = resolve(stream);
  if (skipping && count == &CallCounts::launches) work = [] { return Status{}; };
  if (stream->capture) {
    stream->capture->works.push_back(std::move(work));
    return {};
  }
  if (count) ++(calls.*count);
  // The null stream waits for the blocking streams, and they for it.
  if (stream == legacy_) {
    for (cudaStream_t other : streams)
      if (other != legacy_ && (other->flags & cudaStreamNonBlocking) == 0) wait_for(legacy_, other->queue);
  } else if ((stream->flags & cudaStreamNonBlocking) == 0) {
    wait_for(stream, legacy_->queue);
  }
  stream->queue->waiting.push_back(std::move(work));
  ++stream->queue->submitted;
  return deferred ? Status{} : finish(*stream->queue);
}

Status Runtime::finish(Queue& queue, std::uint64_t count) {
  Status status;
  while (queue.done < count) {
    const Work work = std::move(queue.waiting.front());
    queue.waiting.pop_front();
    ++queue.done;
    status = both(std::move(status), work());
  }
  return status;
}

Status Runtime::finish_all() {
  Status status;
  for (cudaStream_t stream : streams) status = both(std::move(status), finish(*stream->queue));
  std::erase_if(pinned, [](const auto& entry) {
    if (!entry.second.live) std::free(reinterpret_cast<void*>(entry.first));
    return !entry.second.live;
  });
  return status;
}

const std::pair<const Address, Runtime::Pinned>* Runtime::find_pinned(const volatile void* p) const {
  const auto after = pinned.upper_bound(address_of(p));
  if (after == pinned.begin()) return nullptr;
  const auto& entry = *std::prev(after);
  return address_of(p) - entry.first < entry.second.bytes ? &entry : nullptr;
}

const volatile void* kernel_address(const volatile void* p) {
  const DeviceMemory& memory = DeviceMemory::get();
  return memory.contains(p) ? memory.mapped(p) : p;
}

cudaError_t launch(const cudaLaunchConfig_t& config, const Kernel& kernel) {
  if (befallen("launch")) return latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  const dim3 grid = config.gridDim, block = config.blockDim;
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > max_block_threads || block.z > 64)
    return report({cudaErrorInvalidConfiguration,
                   fmt::format("a block has 1 to {} threads, and 64 along z at most", max_block_threads)});
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return report({cudaErrorInvalidConfiguration, "a grid has 1 to 2^31 - 1 blocks along x, 1 to 65535 along y and z"});
  if (config.stream && config.stream->device != current_device)
    return report({cudaErrorInvalidResourceHandle,
                   fmt::format("a stream of device {}, while the current device is {}", config.stream->device,
                               current_device)});
  const auto limit = runtime.shared_limits.find(kernel.function);
  const std::size_t most =
      limit == runtime.shared_limits.end()
          ? shared_bytes_without_asking
          : std::max<std::size_t>(shared_bytes_without_asking, static_cast<std::size_t>(limit->second));
  if (config.dynamicSmemBytes > most)
    return report(invalid(fmt::format("the kernel may have {} bytes of dynamic shared memory", most)));

  bool early = false;
  for (unsigned i = 0; i < config.numAttrs; ++i) early |= config.attrs[i].val.programmaticStreamSerializationAllowed != 0;
  return report(runtime.submit(config.stream, [kernel, grid, block, bytes = config.dynamicSmemBytes, early]() -> Status {
    Grid work{kernel, grid, block, bytes, Runtime::get().seed, Runtime::get().profiling, early, {}, {}, {}, {}};
    run(work);
    DeviceMemory::get().close();
    KernelProfile& profile = Runtime::get().profile[kernel.function];
    ++profile.launches;
    profile.memory += work.counts;
    if (work.failed) return {cudaErrorLaunchFailure, work.fault};
    return {};
  }, &CallCounts::launches));
}

namespace {

/// Whether the range lies in one live device allocation; where it does not, what is wrong.
Status check_device_range(const char* call, const char* verb, const void* p, std::size_t bytes) {
  const DeviceMemory& memory = DeviceMemory::get();
  if (!memory.contains(p))
    return invalid(fmt::format("{} {} {} bytes at {}, which is not device memory", call, verb, bytes, p));
  if (memory.is_allocated(p, bytes)) return {};
  return invalid(fmt::format("{} {} {} bytes at {}", call, verb, bytes, memory.describe(p, bytes)));
}

bool is_device(const void* p) { return DeviceMemory::get().contains(p); }

/// Whether a host pointer that was page-locked at the call still is.
Status check_pinned(const char* call, const char* verb, const void* p, bool was_pinned) {
  if (!was_pinned) return {};
  const auto* entry = Runtime::get().find_pinned(p);
  if (entry != nullptr && entry->second.live) return {};
  return invalid(
      fmt::format("{} {} page-locked host memory that cudaFreeHost took back before the copy was made", call, verb));
}

Status copy_now(const char* call, void* to, const void* from, std::size_t bytes) {
  const bool to_device = is_device(to), from_device = is_device(from);
  Status status;
  if (to_device) status = both(std::move(status), check_device_range(call, "writes", to, bytes));
  if (from_device) status = both(std::move(status), check_device_range(call, "reads", from, bytes));
  if (status.code != cudaSuccess) return status;
  DeviceMemory& memory = DeviceMemory::get();
  std::memmove(to_device ? memory.mapped(to) : to, from_device ? memory.mapped(from) : from, bytes);
  if (to_device && from_device) memory.mark_copied(to, from, bytes);
  if (to_device && !from_device) memory.mark(to, bytes, ByteState::initialised);
  return {};
}

Status check_direction(const char* call, const void* to, const void* from, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return {};
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (is_device(to) == to_device && is_device(from) == from_device) return {};
  const auto side = [](bool device) { return device ? "device" : "host"; };
  return {cudaErrorInvalidMemcpyDirection,
          fmt::format("{}: copies from {} to {} memory, and was told from {} to {}", call, side(is_device(from)),
                      side(is_device(to)), side(from_device), side(to_device))};
}

Status copy_async(const char* call, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                  cudaStream_t stream) {
  Runtime& runtime = Runtime::get();
  if (bytes == 0) return {};
  if (Status status = check_direction(call, to, from, kind); status.code != cudaSuccess) return status;
  const bool pinned_from = runtime.find_pinned(from) != nullptr, pinned_to = runtime.find_pinned(to) != nullptr;
  const bool captured = runtime.resolve(stream)->capture != nullptr;

  // Memory that is not page-locked is read at once (CUDA stages it) and written before the call returns.
  std::shared_ptr<std::vector<std::byte>> staged;
  if (!is_device(from) && !pinned_from && !captured) {
    const auto* begin = static_cast<const std::byte*>(from);
    staged = std::make_shared<std::vector<std::byte>>(begin, begin + bytes);
  }
  Status status = runtime.submit(stream, [=]() -> Status {
    Status ready = both(check_pinned(call, "reads", from, pinned_from), check_pinned(call, "writes", to, pinned_to));
    if (ready.code != cudaSuccess) return ready;
    return copy_now(call, to, staged ? staged->data() : from, bytes);
  }, &CallCounts::copies);
  if (!is_device(to) && !pinned_to && !captured)
    status = both(std::move(status), runtime.finish(*runtime.resolve(stream)->queue));
  return status;
}

Status set_now(const char* call, void* p, int value, std::size_t bytes) {
  if (Status status = check_device_range(call, "writes", p, bytes); status.code != cudaSuccess) return status;
  std::memset(DeviceMemory::get().mapped(p), value, bytes);
  DeviceMemory::get().mark(p, bytes, ByteState::initialised);
  return {};
}

Status allocate(void** pointer, std::size_t bytes) {
  *pointer = nullptr;
  if (bytes == 0) return {};
  Runtime::get().use_device();
  DeviceMemory& memory = DeviceMemory::get();
  if (!Runtime::get().fails_to_allocate()) *pointer = memory.allocate(bytes);
  if (*pointer != nullptr) return {};
  return {cudaErrorMemoryAllocation,
          fmt::format("out of memory: {} bytes asked for, {} of {} in use", bytes, memory.used(), memory.capacity())};
}

Status release(const char* call, void* p) {
  if (DeviceMemory::get().release(p)) return {};
  if (!is_device(p)) return invalid(fmt::format("{} of {}, which is not device memory", call, p));
  return invalid(fmt::format("{} of {}", call, DeviceMemory::get().describe(p, 1)));
}

}  // namespace
}  // namespace tern::emulator

using em::Lock;
using em::report;
using em::Runtime;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidMemcpyDirection:
      return "cudaErrorInvalidMemcpyDirection";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorUnknown:
      return "cudaErrorUnknown";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  const em::Status& failure = em::last_failure;
  return error == failure.code && !failure.detail.empty() ? failure.detail.c_str() : cudaGetErrorName(error);
}

cudaError_t cudaPeekAtLastError() { return em::last_error; }
cudaError_t cudaGetLastError() { return std::exchange(em::last_error, cudaSuccess); }

cudaError_t cudaGetDeviceCount(int* count) {
  const Lock lock(Runtime::get().mutex);
  *count = Runtime::get().devices;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  if (em::befallen("cudaGetDevice")) return em::latest_error();
  *device = em::current_device;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (em::befallen("cudaSetDevice")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (const cudaError_t error = em::check_device(device); error != cudaSuccess) return error;
  em::current_device = device;
  runtime.use_device();
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const PFN_cuDevicePrimaryCtxGetState_v7000 get_state = [](int device, unsigned* flags, int* active) {
    const Lock lock(Runtime::get().mutex);
    if (em::check_device(device) != cudaSuccess) return CUDA_ERROR_INVALID_DEVICE;
    *flags = 0;
    *active = Runtime::get().contexts.contains(device);
    return CUDA_SUCCESS;
  };
  const bool found = std::strcmp(symbol, "cuDevicePrimaryCtxGetState") == 0;
  *function = found ? reinterpret_cast<void*>(get_state) : nullptr;
  *result = found ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t error = em::check_device(device); error != cudaSuccess) return error;
  *properties = {"tern emulator",
                 em::DeviceMemory::get().capacity(),
                 em::shared_bytes_without_asking,
                 em::max_dynamic_shared_bytes,
                 100 * 1024,
                 65536,
                 32,
                 em::max_block_threads,
                 {1024, 1024, 64},
                 {0x7fffffff, 65535, 65535},
                 8,
                 6,
                 8,
                 1536,
                 2 << 20};
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (em::befallen("cudaDeviceGetAttribute")) return em::latest_error();
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, device); error != cudaSuccess) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = properties.maxThreadsPerBlock;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = properties.warpSize;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = properties.multiProcessorCount;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = properties.major;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = properties.minor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(properties.sharedMemPerBlockOptin);
      return cudaSuccess;
  }
  return report(em::invalid("cudaDeviceGetAttribute: an attribute that the emulator does not have"));
}

cudaError_t cudaDeviceSynchronize() {
  if (em::befallen("cudaDeviceSynchronize")) return em::latest_error();
  const Lock lock(Runtime::get().mutex);
  if (auto refused = em::refused_by_capture("cudaDeviceSynchronize")) return report(*refused);
  ++Runtime::get().calls.waits;
  return report(Runtime::get().finish_all());
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  if (em::befallen("cudaStreamCreateWithFlags")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.use_device();
  *stream = new CUstream_st;
  (*stream)->flags = flags;
  (*stream)->device = em::current_device;
  runtime.streams.push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (em::befallen("cudaStreamDestroy")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  em::Status status = runtime.finish(*stream->queue);
  std::erase(runtime.streams, stream);
  delete stream;
  return report(std::move(status));
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (em::befallen("cudaStreamSynchronize")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  stream = runtime.resolve(stream);
  const bool allowed = runtime.capture && runtime.capture->relaxed && !stream->capture;
  if (!allowed) {
    if (auto refused = em::refused_by_capture("cudaStreamSynchronize")) return report(*refused);
  }
  ++runtime.calls.waits;
  return report(runtime.finish(*stream->queue));
}

/// Each asking does one piece of the work that waits, so that a loop which asks until all is done comes to an end.
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (auto refused = em::refused_by_capture("cudaStreamQuery")) return report(*refused);
  em::Queue& queue = *runtime.resolve(stream)->queue;
  const bool done = queue.done == queue.submitted;
  const cudaError_t error = done ? cudaSuccess : report(runtime.finish(queue, queue.done + 1));
  return error == cudaSuccess && !done ? cudaErrorNotReady : error;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (em::befallen("cudaStreamWaitEvent")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  stream = runtime.resolve(stream);
  if (event->capture &&
      event->capture == runtime.capture) {  // the stream joins the capture, whose work keeps its order
    if (!stream->capture) stream->capture = event->capture;
    return cudaSuccess;
  }
  if (!event->queue) return cudaSuccess;
  return report(
      runtime.submit(stream, [queue = event->queue, at = event->at] { return Runtime::get().finish(*queue, at); }));
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  if (em::befallen("cudaEventCreateWithFlags")) return em::latest_error();
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (em::befallen("cudaEventDestroy")) return em::latest_error();
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (em::befallen("cudaEventRecord")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  stream = runtime.resolve(stream);
  event->capture = stream->capture;
  if (event->capture) return cudaSuccess;
  em::Status status = runtime.submit(stream, [time = event->time]() -> em::Status {
    *time = std::chrono::steady_clock::now();
    return {};
  });
  event->queue = stream->queue;
  event->at = stream->queue->submitted;
  return report(std::move(status));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (em::befallen("cudaEventSynchronize")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (auto refused = em::refused_by_capture("cudaEventSynchronize")) return report(*refused);
  ++Runtime::get().calls.waits;
  return event->queue ? report(runtime.finish(*event->queue, event->at)) : cudaSuccess;
}

/// As with cudaStreamQuery.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (em::befallen("cudaEventQuery")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (auto refused = em::refused_by_capture("cudaEventQuery")) return report(*refused);
  const bool done = !event->queue || event->queue->done >= event->at;
  const cudaError_t error = done ? cudaSuccess : report(runtime.finish(*event->queue, event->queue->done + 1));
  return error == cudaSuccess && !done ? cudaErrorNotReady : error;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Lock lock(Runtime::get().mutex);
  for (const cudaEvent_t event : {start, end}) {
    if (!event->queue) return report({cudaErrorInvalidResourceHandle, "cudaEventElapsedTime: event never recorded"});
    if (event->queue->done < event->at) return cudaErrorNotReady;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *start->time).count();
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  const Lock lock(Runtime::get().mutex);
  if (auto refused = em::refused_by_capture("cudaMalloc")) return report(*refused);
  em::Status waited = Runtime::get().finish_all();
  return report(em::both(std::move(waited), em::allocate(pointer, bytes)));
}

cudaError_t cudaFree(void* pointer) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (pointer == nullptr) return cudaSuccess;
  if (auto refused = em::refused_by_capture("cudaFree")) return report(*refused);
  em::Status status = runtime.finish_all();
  return report(em::both(std::move(status), em::release("cudaFree", pointer)));
}

/// Captured, the memory belongs to the graph: every replay finds it at the same address, as new.
cudaError_t cudaMallocAsync(void** pointer, std::size_t bytes, cudaStream_t stream) {
  if (em::befallen("cudaMallocAsync")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  em::Status status = em::allocate(pointer, bytes);
  const auto& capture = runtime.resolve(stream)->capture;
  if (!capture || *pointer == nullptr) return report(std::move(status));
  capture->memory.push_back(*pointer);
  return report(em::both(std::move(status), runtime.submit(stream, [p = *pointer, bytes]() -> em::Status {
    em::DeviceMemory::get().mark(p, bytes, em::ByteState::uninitialised);
    return {};
  })));
}

cudaError_t cudaFreeAsync(void* pointer, cudaStream_t stream) {
  if (em::befallen("cudaFreeAsync")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (pointer == nullptr) return cudaSuccess;
  const auto& capture = runtime.resolve(stream)->capture;
  if (capture && std::ranges::find(capture->memory, pointer) != capture->memory.end()) return cudaSuccess;
  return report(runtime.submit(stream, [pointer] { return em::release("cudaFreeAsync", pointer); }));
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  if (em::befallen("cudaMallocHost")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.use_device();
  constexpr std::size_t page = 4096;
  *pointer = runtime.fails_to_allocate() ? nullptr : std::aligned_alloc(page, (bytes + page - 1) / page * page);
  if (*pointer == nullptr)
    return report({cudaErrorMemoryAllocation, fmt::format("out of host memory: {} bytes asked for", bytes)});
  runtime.pinned[em::address_of(*pointer)] = {bytes, true};
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* pointer) {
  if (em::befallen("cudaFreeHost")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (pointer == nullptr) return cudaSuccess;
  const auto found = runtime.pinned.find(em::address_of(pointer));
  if (found == runtime.pinned.end() || !found->second.live)
    return report(em::invalid("cudaFreeHost of memory that cudaMallocHost did not give, or that is freed"));
  std::memset(pointer, 0xFF, found->second.bytes);
  found->second.live = false;
  const bool idle = std::ranges::all_of(
      runtime.streams, [](cudaStream_t stream) { return stream->queue->done == stream->queue->submitted; });
  return idle ? report(runtime.finish_all()) : cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (auto refused = em::refused_by_capture("cudaMemcpy")) return report(*refused);
  ++runtime.calls.waits;
  em::Status status = em::copy_async("cudaMemcpy", to, from, bytes, kind, nullptr);
  return report(em::both(std::move(status), runtime.finish(*runtime.resolve(nullptr)->queue)));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  if (em::befallen("cudaMemcpyAsync")) return em::latest_error();
  const Lock lock(Runtime::get().mutex);
  return report(em::copy_async("cudaMemcpyAsync", to, from, bytes, kind, stream));
}

cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  const Lock lock(Runtime::get().mutex);
  if (auto refused = em::refused_by_capture("cudaMemset")) return report(*refused);
  return cudaMemsetAsync(pointer, value, bytes, nullptr);
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  if (em::befallen("cudaMemsetAsync")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (bytes == 0) return cudaSuccess;
  return report(runtime.submit(stream, [=] { return em::set_now("cudaMemsetAsync", pointer, value, bytes); },
                               &em::CallCounts::copies));
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  if (em::befallen("cudaMemGetInfo")) return em::latest_error();
  const Lock lock(Runtime::get().mutex);
  const em::DeviceMemory& memory = em::DeviceMemory::get();
  *free = memory.capacity() - memory.used();
  *total = memory.capacity();
  return cudaSuccess;
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  if (em::befallen("cudaDeviceGetDefaultMemPool")) return em::latest_error();
  *pool = nullptr;
  return em::check_device(device);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
  return em::befallen("cudaMemPoolSetAttribute") ? em::latest_error() : cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, cudaMemPoolAttr attribute, void* value) {
  const Lock lock(Runtime::get().mutex);
  *static_cast<std::uint64_t*>(value) =
      attribute == cudaMemPoolAttrReservedMemCurrent ? em::DeviceMemory::get().used() : UINT64_MAX;
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, std::size_t) {
  return em::befallen("cudaMemPoolTrimTo") ? em::latest_error() : cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  if (em::befallen("cudaStreamBeginCapture")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (stream == nullptr)
    return report({cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture: the null stream cannot be captured"});
  if (runtime.capture)
    return report({cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture: a capture is in progress"});
  runtime.capture = stream->capture = std::make_shared<em::Capture>();
  stream->capture->origin = stream;
  stream->capture->relaxed = mode == cudaStreamCaptureModeRelaxed;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const bool failed = em::befallen("cudaStreamEndCapture");
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  *graph = nullptr;
  if (!runtime.capture || runtime.capture->origin != stream)
    return report(em::invalid("cudaStreamEndCapture: no capture began on this stream"));
  const std::shared_ptr<em::Capture> capture = std::exchange(runtime.capture, nullptr);
  for (cudaStream_t other : runtime.streams) other->capture = nullptr;
  auto body = std::make_shared<const GraphBody>(*capture);
  if (failed) return em::latest_error();
  if (capture->broken)
    return report({cudaErrorStreamCaptureInvalidated, "cudaStreamEndCapture: a call that waits broke the capture"});
  *graph = new CUgraph_st{std::move(body)};
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  const auto& capture = runtime.resolve(stream)->capture;
  *status = !capture          ? cudaStreamCaptureStatusNone
            : capture->broken ? cudaStreamCaptureStatusInvalidated
                              : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  if (em::befallen("cudaGraphInstantiate")) return em::latest_error();
  const Lock lock(Runtime::get().mutex);
  *executable = new CUgraphExec_st{graph->body};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (em::befallen("cudaGraphLaunch")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.calls.graph_nodes += executable->body->works.size();
  const auto work = [body = executable->body] {
    em::Status status;
    for (const em::Work& each : body->works) status = em::both(std::move(status), each());
    return status;
  };
  return report(runtime.submit(stream, work, &em::CallCounts::graph_launches));
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (em::befallen("cudaGraphDestroy")) return em::latest_error();
  const Lock lock(Runtime::get().mutex);
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (em::befallen("cudaGraphExecDestroy")) return em::latest_error();
  const Lock lock(Runtime::get().mutex);
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  if (em::befallen("cudaFuncSetAttribute")) return em::latest_error();
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  if (value < 0 || static_cast<std::size_t>(value) > em::max_dynamic_shared_bytes)
    return report(em::invalid(fmt::format("cudaFuncSetAttribute: {} bytes of dynamic shared memory, the device has {}",
                                          value, em::max_dynamic_shared_bytes)));
  runtime.shared_limits[kernel] = value;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  *attributes = {.ptxVersion = 90};  // for what is launched early to be checked
  return cudaSuccess;
}

cudaError_t cudaFuncGetName(const char** name, const void* kernel) {
  *name = em::function_name(kernel);
  return *name != nullptr ? cudaSuccess : report(em::invalid("cudaFuncGetName: not a function with a name"));
}

namespace tern::emulator {

bool is_checked() { return checked; }

void set_deferred(bool deferred) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.deferred = deferred;
}

void set_seed(std::uint64_t seed) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.seed = seed;
}

void set_devices(int count) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.devices = count;
  runtime.contexts.clear();
  current_device = 0;
}

std::vector<int> contexts() {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  return {runtime.contexts.begin(), runtime.contexts.end()};
}

void fail_allocations(int after, int count) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.allocations_to_pass = after;
  runtime.allocations_to_fail = count;
}

void set_profiling(bool profiling) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.profiling = profiling;
}

void set_skipping(bool skipping) {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.skipping = skipping;
}

std::vector<KernelProfile> profile() {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  std::vector<KernelProfile> all;
  for (const auto& [kernel, counted] : runtime.profile)
    all.push_back({kernels::cuda::kernel_name(kernel), counted.launches, counted.memory});
  std::ranges::sort(all, {}, &KernelProfile::name);
  return all;
}

CallCounts calls() {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  return runtime.calls;
}

void clear_calls() {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.calls = {};
}

void clear_profile() {
  Runtime& runtime = Runtime::get();
  const Lock lock(runtime.mutex);
  runtime.profile.clear();
}

}  // namespace tern::emulator
