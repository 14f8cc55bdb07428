#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>

#include <cblas.h>
#include <hwy/targets.h>

namespace tern::kernels {

CpuBackend::CpuBackend() {
  openblas_set_num_threads(1);  // the threads are ours: see matmul.cpp
  // Else a kernel that is called in a loop for the first time asks the processor what it can do each time round, which
  // under a hypervisor takes as long as the kernel.
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

void* CpuBackend::allocate(std::size_t bytes) { return cpu_memory().allocate(bytes); }

void CpuBackend::release(void* p, std::size_t bytes) noexcept { cpu_memory().release(p, bytes); }

Backend& cpu_backend() {
  static CpuBackend& backend = *new CpuBackend;  // never destroyed: tensors may outlive main
  return backend;
}

}  // namespace tern::kernels
