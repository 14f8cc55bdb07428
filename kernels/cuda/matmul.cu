/// y = a b for each of a batch, by cuBLAS.
///
/// cuBLAS reads matrices column by column, so that it takes what is a row-major matrix for its transpose. As y^T = b^T
/// a^T, it is asked for the product of b and a, in this order, and what it stores is y. Multiplication is in full fp32
/// or fp64, unless the shape allows TensorFloat-32.
///
/// Bytes: a, b and y once where they fit the cache. Arithmetic: 2 * batch * m * n * k.

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <sstream>
#include <string>

namespace tern::kernels {
namespace {

using namespace cuda;

int narrow(int64_t v) {
  if (v > INT32_MAX) throw Error("matmul: size " + std::to_string(v) + ", expected less than 2^31 on a CUDA device");
  return static_cast<int>(v);
}

cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                    const float* a, int lda, long long stride_a, const float* b, int ldb, long long stride_b, float* c,
                    int batch) {
  const float one = 1, zero = 0;
  return cublasSgemmStridedBatched(handle, op_a, op_b, m, n, k, &one, a, lda, stride_a, b, ldb, stride_b, &zero, c, m,
                                   static_cast<long long>(m) * n, batch);
}

cublasStatus_t gemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b, int m, int n, int k,
                    const double* a, int lda, long long stride_a, const double* b, int ldb, long long stride_b,
                    double* c, int batch) {
  const double one = 1, zero = 0;
  return cublasDgemmStridedBatched(handle, op_a, op_b, m, n, k, &one, a, lda, stride_a, b, ldb, stride_b, &zero, c, m,
                                   static_cast<long long>(m) * n, batch);
}

}  // namespace

template <class T>
void CudaFloat<T>::matmul(const MatmulShape& s, const T* a, const T* b, T* y) {
  const DeviceGuard guard(device_);
  const int64_t elements = s.batch * s.m * s.n;
  if (elements == 0) return;
  if (s.k == 0) return check(cudaMemsetAsync(y, 0, elements * sizeof(T), current_stream()), "matmul");
  const Cublas handle;
  check(cublasSetMathMode(handle, s.precision == Precision::highest ? CUBLAS_DEFAULT_MATH : CUBLAS_TF32_TENSOR_OP_MATH),
        "cublasSetMathMode");
  const int batch = narrow(s.batch), m = narrow(s.m), n = narrow(s.n), k = narrow(s.k);
  const cublasStatus_t status =
      gemm(handle, s.trans_b ? CUBLAS_OP_T : CUBLAS_OP_N, s.trans_a ? CUBLAS_OP_T : CUBLAS_OP_N, n, m, k, b,
           s.trans_b ? k : n, s.k * s.n, a, s.trans_a ? m : k, s.m * s.k, y, batch);
  if (status != CUBLAS_STATUS_SUCCESS) {
    std::ostringstream what;
    what << "matmul of " << batch << " times [" << m << ", " << k << "] by [" << k << ", " << n << "]";
    check(status, what.str().c_str());
  }
}

template void CudaFloat<float>::matmul(const MatmulShape&, const float*, const float*, float*);
template void CudaFloat<double>::matmul(const MatmulShape&, const double*, const double*, double*);

}  // namespace tern::kernels
