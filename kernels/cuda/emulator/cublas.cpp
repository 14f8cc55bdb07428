#include "cublas_v2.h"

#include "runtime.hpp"

#include <cblas.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;  ///< the program's own
  std::size_t workspace_bytes = 0;
  cublasMath_t mode = CUBLAS_DEFAULT_MATH;
};

namespace tern::emulator {
namespace {

thread_local std::string last_failure;

cublasStatus_t fail(cublasStatus_t status, std::string detail) {
  last_failure = std::move(detail);
  return status;
}

void gemm(CBLAS_TRANSPOSE op_a, CBLAS_TRANSPOSE op_b, int m, int n, int k, float alpha, const float* a, int lda,
          const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasColMajor, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
void gemm(CBLAS_TRANSPOSE op_a, CBLAS_TRANSPOSE op_b, int m, int n, int k, double alpha, const double* a, int lda,
          const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasColMajor, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/// A factor with 11 significant bits, where it is a float; cuBLAS does not say how it rounds.
template <class T>
T to_tf32(T v) {
  if constexpr (std::is_same_v<T, float>) {
    if (std::isfinite(v)) return std::bit_cast<float>((std::bit_cast<std::uint32_t>(v) + 0x1000) & 0xffffe000);
  }
  return v;
}

/// A column-major matrix of a batch, as it lies in device memory.
template <class T>
struct Matrix {
  const char* name;
  T* data;
  int rows, columns, leading;

  /// Empty if all is well; else what is wrong.
  std::string check(bool is_read) const {
    if (rows == 0 || columns == 0) return {};
    const DeviceMemory& memory = DeviceMemory::get();
    const auto column = [this](int j) { return data + static_cast<std::ptrdiff_t>(j) * leading; };
    const std::size_t bytes = static_cast<std::size_t>(column(columns - 1) + rows - data) * sizeof(T);
    if (!memory.contains(data)) return fmt::format("{} is not in device memory", name);
    if (!memory.is_allocated(data, bytes))
      return fmt::format("{} takes {} bytes at {}", name, bytes, memory.describe(data, bytes));
    for (int j = 0; is_read && j < columns; ++j)
      if (!memory.is_initialised(column(j), static_cast<std::size_t>(rows) * sizeof(T)))
        return fmt::format("column {} of {} has bytes that nothing has written", j, name);
    return {};
  }
};

template <class T>
cublasStatus_t submit_gemm(const char* call, cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                           int m, int n, int k, const T* alpha, const T* a, int lda, long long stride_a, const T* b,
                           int ldb, long long stride_b, const T* beta, T* c, int ldc, long long stride_c, int batch) {
  if (befallen(call)) return fail(CUBLAS_STATUS_EXECUTION_FAILED, cudaGetErrorString(latest_error()));
  if (handle == nullptr) return fail(CUBLAS_STATUS_NOT_INITIALIZED, fmt::format("{}: null handle", call));
  if (handle->workspace == nullptr)
    return fail(CUBLAS_STATUS_NOT_INITIALIZED,
                fmt::format("{}: the handle has no workspace of the program's; cublasSetStream takes it away", call));
  const bool trans_a = op_a == CUBLAS_OP_T, trans_b = op_b == CUBLAS_OP_T;
  const Matrix<const T> a0{"A", a, trans_a ? k : m, trans_a ? m : k, lda};
  const Matrix<const T> b0{"B", b, trans_b ? n : k, trans_b ? k : n, ldb};
  const Matrix<T> c0{"C", c, m, n, ldc};
  if (m < 0 || n < 0 || k < 0 || batch < 0 || lda < std::max(1, a0.rows) || ldb < std::max(1, b0.rows) ||
      ldc < std::max(1, m))
    return fail(CUBLAS_STATUS_INVALID_VALUE, fmt::format("{}: m {}, n {}, k {}, lda {}, ldb {}, ldc {}, batch {}", call,
                                                         m, n, k, lda, ldb, ldc, batch));
  Runtime& runtime = Runtime::get();
  const std::scoped_lock lock(runtime.mutex);
  const bool as_tf32 = handle->mode == CUBLAS_TF32_TENSOR_OP_MATH;
  const auto work = [=, alpha_value = *alpha, beta_value = *beta, workspace = handle->workspace,
                     workspace_bytes = handle->workspace_bytes]() -> Status {
    DeviceMemory& memory = DeviceMemory::get();
    if (!memory.is_allocated(workspace, workspace_bytes))
      return {cudaErrorIllegalAddress, fmt::format("{}: the workspace takes {} bytes at {}", call, workspace_bytes,
                                                   memory.describe(workspace, workspace_bytes))};
    for (int i = 0; i < batch; ++i) {
      Matrix<const T> ai = a0, bi = b0;
      Matrix<T> ci = c0;
      ai.data += i * stride_a;
      bi.data += i * stride_b;
      ci.data += i * stride_c;
      for (const std::string& wrong : {ai.check(true), bi.check(true), ci.check(beta_value != 0)})
        if (!wrong.empty()) return {cudaErrorIllegalAddress, fmt::format("{}: {}", call, wrong)};
      std::vector<T> rounded_a, rounded_b;
      const auto factors = [as_tf32, &memory](const Matrix<const T>& x, std::vector<T>& rounded) -> const T* {
        const T* const from = memory.mapped(x.data);
        if (!as_tf32 || x.columns == 0) return from;
        rounded.assign(from, from + static_cast<std::ptrdiff_t>(x.columns - 1) * x.leading + x.rows);
        std::ranges::transform(rounded, rounded.begin(), to_tf32<T>);
        return rounded.data();
      };
      gemm(trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, m, n, k, alpha_value,
           factors(ai, rounded_a), lda, factors(bi, rounded_b), ldb, beta_value, memory.mapped(ci.data), ldc);
      for (int j = 0; j < n; ++j)
        memory.mark(ci.data + static_cast<std::ptrdiff_t>(j) * ldc, static_cast<std::size_t>(m) * sizeof(T),
                    ByteState::initialised);
    }
    return {};
  };
  const Status status = runtime.submit(handle->stream, work, &CallCounts::launches);
  return status.code == cudaSuccess ? CUBLAS_STATUS_SUCCESS : fail(CUBLAS_STATUS_EXECUTION_FAILED, status.detail);
}

}  // namespace
}  // namespace tern::emulator

using tern::emulator::befallen;
using tern::emulator::fail;
using tern::emulator::latest_error;
using tern::emulator::submit_gemm;

const char* cublasGetStatusString(cublasStatus_t status) {
  if (status == CUBLAS_STATUS_SUCCESS) return "success";
  return tern::emulator::last_failure.c_str();
}

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (befallen("cublasCreate")) return fail(CUBLAS_STATUS_EXECUTION_FAILED, cudaGetErrorString(latest_error()));
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  if (befallen("cublasSetStream")) return fail(CUBLAS_STATUS_EXECUTION_FAILED, cudaGetErrorString(latest_error()));
  handle->stream = stream;
  handle->workspace = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  if (befallen("cublasSetWorkspace")) return fail(CUBLAS_STATUS_EXECUTION_FAILED, cudaGetErrorString(latest_error()));
  handle->workspace = workspace;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  handle->mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           const float* alpha, const float* a, int lda, const float* b, int ldb, const float* beta,
                           float* c, int ldc) {
  return submit_gemm("cublasSgemm", handle, op_a, op_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

cublasStatus_t cublasDgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                           const double* alpha, const double* a, int lda, const double* b, int ldb, const double* beta,
                           double* c, int ldc) {
  return submit_gemm("cublasDgemm", handle, op_a, op_b, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                         int n, int k, const float* alpha, const float* a, int lda, long long stride_a,
                                         const float* b, int ldb, long long stride_b, const float* beta, float* c,
                                         int ldc, long long stride_c, int batch) {
  return submit_gemm("cublasSgemmStridedBatched", handle, op_a, op_b, m, n, k, alpha, a, lda, stride_a, b, ldb,
                     stride_b, beta, c, ldc, stride_c, batch);
}

cublasStatus_t cublasDgemmStridedBatched(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m,
                                         int n, int k, const double* alpha, const double* a, int lda,
                                         long long stride_a, const double* b, int ldb, long long stride_b,
                                         const double* beta, double* c, int ldc, long long stride_c, int batch) {
  return submit_gemm("cublasDgemmStridedBatched", handle, op_a, op_b, m, n, k, alpha, a, lda, stride_a, b, ldb,
                     stride_b, beta, c, ldc, stride_c, batch);
}
