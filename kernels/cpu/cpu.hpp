#pragma once

/// The fast CPU backend: SIMD (Highway, the best instruction set of the machine at run time), a pool of threads,
/// OpenBLAS for matrix products. What it does not override runs as in reference/. Results are the same for any number
/// of threads.

#include <tern/kernels/reference/reference.hpp>

namespace tern::kernels {

// array.cpp
template <class T>
class CpuArray : public ReferenceArray<T> {
 public:
  void fill(int64_t n, T value, T* y) override;
  void copy(const Strided& s, const T* a, T* b) override;
  using ReferenceArray<T>::binary;  // those with a number come back to the one below
  void binary(BinaryOp op, const Strided& s, const T* a, const T* b, T* y) override;
  void masked_fill(int64_t n, const uint8_t* mask, T value, const T* x, T* y) override;
  void where(const Strided& s, const T* a, const uint8_t* mask, const T* b, T* y) override;
  void reduce(const Reduce& f, const ReduceShape& r, const T* x, T* y) override;
  void extreme(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) override;
  void index_select(const ReduceShape& r, int64_t count, const T* x, const int64_t* index, T* y) override;
  void index_select_backward(const ReduceShape& r, int64_t count, const int64_t* index, const T* dy, T* dx) override;

  // gather.cpp
  void gather(const ReduceShape& r, int64_t count, const T* full, const int64_t* index, T* picked) override;
  void scatter(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) override;
  void scatter_add(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) override;
  void sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) override;
};

template <class T>
class CpuHalf : public ReferenceHalf<T> {
 public:
  void fill(int64_t n, T value, T* y) override;
  void copy(const Strided& s, const T* a, T* b) override;
  void cast(int64_t n, const T* x, float* y) override;
  void cast(int64_t n, const float* x, T* y) override;
};

class CpuFloat32 : public ReferenceFloat<float> {
 public:
  // unary.cpp
  void unary(const Unary& f, int64_t n, const float* x, float* y) override;
  void unary_backward(const Unary& f, int64_t n, const float* v, const float* dy, float* dx) override;

  // array.cpp
  void var(const ReduceShape& r, double correction, const float* x, float* mean, float* var) override;

  // softmax.cpp
  void softmax(bool log, const ReduceShape& r, const float* x, float* y) override;
  void softmax_backward(bool log, const ReduceShape& r, const float* y, const float* dy, float* dx) override;

  // matmul.cpp
  void matmul(const MatmulShape& s, const float* a, const float* b, float* y) override;
  void linear(const LinearShape& s, const float* x, const float* w, const float* bias, float* y) override;
  void linear_backward(const LinearShape& s, const float* x, const float* w, const float* y, const float* dy, float* dx,
                       float* dw, float* dbias) override;

  // attention.cpp
  void attention(const AttentionShape& s, PhiloxState state, const float* q, const float* k, const float* v,
                 const float* bias, float* y, float* log_sum) override;
  void attention_backward(const AttentionShape& s, PhiloxState state, const float* q, const float* k, const float* v,
                          const float* bias, const float* y, const float* log_sum, const float* dy, float* dq,
                          float* dk, float* dv) override;

  // recurrent.cpp
  void recurrent_cell(const CellShape& s, const float* x, const float* r, const float* before, float* kept,
                      float* after, float* h) override;
  void recurrent_cell_backward(const CellShape& s, const float* kept, const float* before, const float* after,
                               const float* dy, const float* dh, float* carry, float* dx, float* dr) override;

  // conv2d.cpp
  void conv2d(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y) override;
  void conv2d_backward_input(const Conv2dShape& s, const float* w, const float* dy, float* dx) override;
  void conv2d_backward_weight(const Conv2dShape& s, const float* x, const float* dy, float* dw, float* dbias) override;
  void conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const float* x, const float* w, const float* bias, float* y,
                         uint8_t* picked) override;
  void conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const float* x, const float* w, const float* y,
                                  const uint8_t* picked, const float* dy, float* dx, float* dw, float* dbias) override;

  // pool2d.cpp
  void max_pool2d(const Pool2dShape& s, const float* x, float* y, int64_t* indices) override;
  void max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const float* dy, float* dx) override;
  void avg_pool2d(const Pool2dShape& s, const float* x, float* y) override;
  void avg_pool2d_backward(const Pool2dShape& s, const float* dy, float* dx) override;

  // interpolate2d.cpp
  void interpolate2d(const Interpolate2dShape& s, const float* x, float* y) override;
  void interpolate2d_backward(const Interpolate2dShape& s, const float* dy, float* dx) override;

  // batch_norm2d.cpp
  void batch_norm2d(const BatchNorm2dShape& s, double momentum, const float* x, const float* weight, const float* bias,
                    const float* residual, float* running_mean, float* running_var, int64_t* num_batches, float* mean,
                    float* invstd, float* y) override;
  void batch_norm2d_eval(const BatchNorm2dShape& s, const float* x, const float* weight, const float* bias,
                         const float* residual, const float* running_mean, const float* running_var, float* invstd,
                         float* y) override;
  void batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const float* x, const float* weight,
                             const float* mean, const float* invstd, const float* y, const float* dy, float* dx,
                             float* dweight, float* dbias, float* dresidual) override;
  void batch_norm2d_max_pool2d(const Pool2dShape& s, Activation activation, double eps, double momentum, const float* x,
                               const float* weight, const float* bias, float* running_mean, float* running_var,
                               int64_t* num_batches, float* mean, float* invstd, float* picked, float* y) override;
  void batch_norm2d_max_pool2d_backward(const Pool2dShape& s, Activation activation, const float* x,
                                        const float* weight, const float* mean, const float* invstd,
                                        const float* picked, const float* y, const float* dy, float* dx, float* dweight,
                                        float* dbias) override;
  void conv2d_batch_norm2d_max_pool2d(const Conv2dMaxPool2dShape& s, double eps, double momentum, const float* x,
                                      const float* w, const float* b, const float* weight, const float* bias,
                                      float* running_mean, float* running_var, int64_t* num_batches, float* mean,
                                      float* invstd, float* conv, float* picked, float* y) override;
  void conv2d_batch_norm2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const float* x, const float* w,
                                               const float* conv, const float* weight, const float* mean,
                                               const float* invstd, const float* picked, const float* y,
                                               const float* dy, float* dconv, float* dx, float* dw, float* db,
                                               float* dweight, float* dbias) override;

  // group_norm.cpp
  void group_norm(const GroupNormShape& s, const float* x, const float* weight, const float* bias, double* mean,
                  double* invstd, float* y) override;
  void group_norm_backward(const GroupNormShape& s, const float* x, const float* weight, const double* mean,
                           const double* invstd, const float* dy, float* dx, float* dweight, float* dbias) override;

  // dropout.cpp
  void dropout(const DropoutShape& s, PhiloxState state, const float* x, float* y) override;

  // image_batch.cpp
  void image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, const uint8_t* images,
                   const int64_t* labels, const int64_t* order, const int64_t* step, float* x,
                   int64_t* target) override;

  // optim.cpp
  void sum_of_squares(std::span<const Segment<float>> all, float* y) override;
  void scale_all(std::span<const Segment<float>> all, double a, const float* factor) override;
  void add_all(std::span<const Segment<float>> all) override;
  void lerp_all(std::span<const Segment<float>> all, double weight, const StepNumbers<float>* numbers) override;
  void optimizer_step(const OptimizerStep& s, std::span<const OptimizerParam<float>> params,
                      const StepNumbers<float>* numbers) override;
};

class CpuBackend : public ReferenceBackend {
 public:
  CpuBackend();

  /// From cpu_memory(), see memory.hpp.
  void* allocate(std::size_t bytes) override;
  void release(void* p, std::size_t bytes) noexcept override;

  ArrayKernels<float>& array(float) override { return array_float_; }
  ArrayKernels<double>& array(double) override { return array_double_; }
  ArrayKernels<int64_t>& array(int64_t) override { return array_int64_; }
  ArrayKernels<uint8_t>& array(uint8_t) override { return array_uint8_; }
  FloatKernels<float>& floating(float) override { return float_; }
  using ReferenceBackend::floating;
  HalfKernels<bfloat16>& half(bfloat16) override { return bfloat16_; }
  HalfKernels<float16>& half(float16) override { return float16_; }

 private:
  CpuArray<float> array_float_;
  CpuArray<double> array_double_;
  CpuArray<int64_t> array_int64_;
  CpuArray<uint8_t> array_uint8_;
  CpuFloat32 float_;
  CpuHalf<bfloat16> bfloat16_;
  CpuHalf<float16> float16_;
};

}  // namespace tern::kernels
