#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>

#include <cblas.h>

namespace tern::kernels {

CpuBackend::CpuBackend() {
  openblas_set_num_threads(1);  // the threads are ours: see matmul.cpp
}

void* CpuBackend::allocate(std::size_t bytes) { return cpu_memory().allocate(bytes); }

void CpuBackend::release(void* p, std::size_t bytes) noexcept { cpu_memory().release(p, bytes); }

Backend& cpu_backend() {
  static CpuBackend& backend = *new CpuBackend;  // never destroyed: tensors may outlive main
  return backend;
}

}  // namespace tern::kernels
