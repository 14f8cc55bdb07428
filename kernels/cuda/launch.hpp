#pragma once

/// How a kernel is launched. nvcc and the emulator read the same source, so there is no <<<>>> in tern.

#include <tern/kernels/cuda/error.hpp>

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

namespace tern::kernels::cuda {

/// "softmax<float>" for a kernel's address: its name without namespaces and parameters, or "kernel" if it has none.
std::string kernel_name(const void* kernel);

/// Throws CudaError with the kernel's name and the shape of its launch.
[[noreturn]] void launch_failed(cudaError_t status, const void* kernel, const cudaLaunchConfig_t& config);

/// Whether the kernel, launched on the current device, may begin while those before it on its stream still run: where it
/// is compiled for compute capability 9.0 or later and TERN_DEPENDENT_LAUNCH=1 asks for it. Every kernel must then begin
/// by waiting for them. (CUDA C++ Programming Guide, "Programmatic Dependent Launch")
bool begins_early(const void* kernel);

/// A kernel's first statement: before it, memory may be another kernel's that still runs.
__device__ inline void wait_for_previous_kernels() {
#if !defined(__CUDACC__) || (defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900)
  cudaGridDependencySynchronize();
#endif
}

/// Queues kernel(args...) on the stream: grid blocks of block threads, each block with shared_bytes of dynamic shared
/// memory, which may be more than 48 KiB where the device has it. The arguments are converted to the kernel's own
/// parameter types here, and copied. An empty grid launches nothing. Throws CudaError.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
            Args&&... args) {
  static_assert(sizeof...(Params) == sizeof...(Args), "launch: the kernel takes another number of arguments");
  static_assert((std::is_trivially_copyable_v<Params> && ...), "launch: a kernel's parameters are copied byte by byte");
  static_assert((sizeof(Params) + ... + 0) <= 4096, "launch: a kernel's parameters have room for 4096 bytes");
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;

  const void* address = reinterpret_cast<const void*>(kernel);
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &early;
  config.numAttrs = begins_early(address) ? 1 : 0;
  constexpr std::size_t shared_bytes_without_asking = 48 * 1024;
  cudaError_t status = cudaSuccess;
  if (shared_bytes > shared_bytes_without_asking)
    status = cudaFuncSetAttribute(address, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  if (status == cudaSuccess) status = cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
  if (status != cudaSuccess) launch_failed(status, address, config);
}

/// The block's dynamic shared memory: shared_bytes of it, aligned to 16 bytes.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char tern_dynamic_shared[];
  return reinterpret_cast<T*>(tern_dynamic_shared);
#else
  return static_cast<T*>(emulator::dynamic_shared_memory());
#endif
}

}  // namespace tern::kernels::cuda
