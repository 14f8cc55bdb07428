#pragma once

#include <tern/kernels/error.hpp>

#include <cublas_v2.h>
#include <cuda_runtime.h>

#include <string>

namespace tern::kernels::cuda {

/// Throws CudaError, as "what: CUDA's own words", unless the call went well.
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  std::string message = std::string(what) + ": " + cudaGetErrorString(status);
  static_cast<void>(cudaGetLastError());  // the runtime also remembers the error; it has been told now
  throw CudaError(message);
}

inline void check(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw CudaError(std::string(what) + ": " + cublasGetStatusString(status));
}

}  // namespace tern::kernels::cuda
