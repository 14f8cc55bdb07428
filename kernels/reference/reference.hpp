#pragma once

/// The oracle: the contract in plain loops. Every sum runs in double, so that the truth is better than what is tested
/// against it; nothing is fast, nothing is clever. The formulas stand in backend.hpp, the bodies in the files beside
/// this one, a family each. A backend may derive from these classes and override what it does better.

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

template <class T>
class ReferenceArray : public ArrayKernels<T> {
 public:
  // elementwise.hpp
  void fill(int64_t n, T value, T* y) override;
  void copy(const Strided& s, const T* a, T* b) override;
  void cast(int64_t n, const T* x, float* y) override;
  void cast(int64_t n, const T* x, double* y) override;
  void cast(int64_t n, const T* x, int64_t* y) override;
  void cast(int64_t n, const T* x, uint8_t* y) override;
  void binary(BinaryOp op, const Strided& s, const T* a, const T* b, T* y) override;
  void binary(BinaryOp op, const Strided& s, const T* a, T b, T* y) override;
  void binary(BinaryOp op, const Strided& s, T a, const T* b, T* y) override;
  void compare(CompareOp op, const Strided& s, const T* a, const T* b, uint8_t* y) override;
  void compare(CompareOp op, const Strided& s, const T* a, T b, uint8_t* y) override;
  void masked_fill(int64_t n, const uint8_t* mask, T value, const T* x, T* y) override;
  void where(const Strided& s, const T* a, const uint8_t* mask, const T* b, T* y) override;

  // reduce.hpp
  void reduce(const Reduce& f, const ReduceShape& r, const T* x, T* y) override;
  void extreme(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) override;
  void extreme_backward(const ReduceShape& r, const int64_t* indices, const T* dy, T* dx) override;
  void scan(ScanOp op, bool reverse, const ReduceShape& r, const T* x, T* y) override;
  void scan(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) override;

  // index.hpp
  void index_select(const ReduceShape& r, int64_t count, const T* x, const int64_t* index, T* y) override;
  void index_select_backward(const ReduceShape& r, int64_t count, const int64_t* index, const T* dy, T* dx) override;

  // gather.hpp
  void gather(const ReduceShape& r, int64_t count, const T* full, const int64_t* index, T* picked) override;
  void scatter(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) override;
  void scatter_add(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) override;

  // sort.hpp
  void sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) override;
  void searchsorted(int64_t rows, int64_t n, int64_t count, bool right, const T* x, const T* v, int64_t* y) override;
};

template <class T>
class ReferenceHalf : public HalfKernels<T> {
 public:
  // elementwise.hpp
  void fill(int64_t n, T value, T* y) override;
  void copy(const Strided& s, const T* a, T* b) override;
  void cast(int64_t n, const T* x, float* y) override;
  void cast(int64_t n, const float* x, T* y) override;
};

template <class T>
class ReferenceFloat : public FloatKernels<T> {
 public:
  // unary.hpp
  void unary(const Unary& f, int64_t n, const T* x, T* y) override;
  void unary_backward(const Unary& f, int64_t n, const T* v, const T* dy, T* dx) override;

  // reduce.hpp
  void var(const ReduceShape& r, double correction, const T* x, T* mean, T* var) override;
  void cumprod_backward(const ReduceShape& r, bool reverse, const T* x, const T* dy, T* dx) override;

  // softmax.hpp
  void softmax(bool log, const ReduceShape& r, const T* x, T* y) override;
  void softmax_backward(bool log, const ReduceShape& r, const T* y, const T* dy, T* dx) override;

  // matmul.hpp
  void matmul(const MatmulShape& s, const T* a, const T* b, T* y) override;

  // linear.hpp
  void linear(const LinearShape& s, const T* x, const T* w, const T* bias, T* y) override;
  void linear_backward(const LinearShape& s, const T* x, const T* w, const T* y, const T* dy, T* dx, T* dw,
                       T* dbias) override;

  // attention.hpp
  void attention(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v, const T* bias, T* y,
                 T* log_sum) override;
  void attention_backward(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v, const T* bias,
                          const T* y, const T* log_sum, const T* dy, T* dq, T* dk, T* dv) override;

  // recurrent.hpp
  void recurrent_cell(const CellShape& s, const T* x, const T* r, const T* before, T* kept, T* after, T* h) override;
  void recurrent_cell_backward(const CellShape& s, const T* kept, const T* before, const T* after, const T* dy,
                               const T* dh, T* carry, T* dx, T* dr) override;

  // conv2d.hpp
  void conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) override;
  void conv2d_backward_input(const Conv2dShape& s, const T* w, const T* dy, T* dx) override;
  void conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) override;
  void conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* bias, T* y,
                         uint8_t* picked) override;
  void conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* y,
                                  const uint8_t* picked, const T* dy, T* dx, T* dw, T* dbias) override;

  // pool2d.hpp
  void max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) override;
  void max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const T* dy, T* dx) override;
  void avg_pool2d(const Pool2dShape& s, const T* x, T* y) override;
  void avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) override;

  // interpolate2d.hpp
  void interpolate2d(const Interpolate2dShape& s, const T* x, T* y) override;
  void interpolate2d_backward(const Interpolate2dShape& s, const T* dy, T* dx) override;

  // dropout.hpp
  void dropout(const DropoutShape& s, PhiloxState state, const T* x, T* y) override;

  // batch_norm2d.hpp
  void batch_norm2d(const BatchNorm2dShape& s, double momentum, const T* x, const T* weight, const T* bias,
                    const T* residual, T* running_mean, T* running_var, int64_t* num_batches, T* mean, T* invstd,
                    T* y) override;
  void batch_norm2d_eval(const BatchNorm2dShape& s, const T* x, const T* weight, const T* bias, const T* residual,
                         const T* running_mean, const T* running_var, T* invstd, T* y) override;
  void batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const T* x, const T* weight, const T* mean,
                             const T* invstd, const T* y, const T* dy, T* dx, T* dweight, T* dbias,
                             T* dresidual) override;
  void batch_norm2d_max_pool2d(const Pool2dShape& s, Activation activation, double eps, double momentum, const T* x,
                               const T* weight, const T* bias, T* running_mean, T* running_var, int64_t* num_batches,
                               T* mean, T* invstd, T* picked, T* y) override;
  void batch_norm2d_max_pool2d_backward(const Pool2dShape& s, Activation activation, const T* x, const T* weight,
                                        const T* mean, const T* invstd, const T* picked, const T* y, const T* dy, T* dx,
                                        T* dweight, T* dbias) override;

  // group_norm.hpp
  void group_norm(const GroupNormShape& s, const T* x, const T* weight, const T* bias, double* mean, double* invstd,
                  T* y) override;
  void group_norm_backward(const GroupNormShape& s, const T* x, const T* weight, const double* mean,
                           const double* invstd, const T* dy, T* dx, T* dweight, T* dbias) override;

  // cross_entropy.hpp
  void cross_entropy(const CrossEntropyShape& s, const T* logits, const int64_t* target, const T* weight, T* loss,
                     T* dlogits) override;

  // segments.hpp
  void sum_of_squares(std::span<const Segment<T>> all, T* y) override;
  void scale_all(std::span<const Segment<T>> all, double a, const T* factor) override;
  void add_all(std::span<const Segment<T>> all) override;
  void lerp_all(std::span<const Segment<T>> all, double weight, const StepNumbers<T>* numbers) override;

  // image_batch.hpp
  void image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, const uint8_t* images,
                   const int64_t* labels, const int64_t* order, const int64_t* step, T* x, int64_t* target) override;

  // optim.hpp
  void optimizer_step(const OptimizerStep& s, std::span<const OptimizerParam<T>> params,
                      const StepNumbers<T>* numbers) override;
  void end_step(const T* loss, StepState* state) override;
  void update_scale(const ScaleRule& rule, const T* squares, T* scale, int64_t* steps) override;
};

/// Host memory and the kernels above.
class ReferenceBackend : public Backend {
 public:
  void* allocate(std::size_t bytes) override;
  void release(void* p, std::size_t bytes) noexcept override;
  void upload(std::size_t bytes, const void* host, void* device) override;
  void download(std::size_t bytes, const void* device, void* host) override;

  ArrayKernels<float>& array(float) override { return array_float_; }
  ArrayKernels<double>& array(double) override { return array_double_; }
  ArrayKernels<int64_t>& array(int64_t) override { return array_int64_; }
  ArrayKernels<uint8_t>& array(uint8_t) override { return array_uint8_; }
  FloatKernels<float>& floating(float) override { return float_; }
  FloatKernels<double>& floating(double) override { return double_; }
  HalfKernels<bfloat16>& half(bfloat16) override { return bfloat16_; }
  HalfKernels<float16>& half(float16) override { return float16_; }

 private:
  ReferenceArray<float> array_float_;
  ReferenceArray<double> array_double_;
  ReferenceArray<int64_t> array_int64_;
  ReferenceArray<uint8_t> array_uint8_;
  ReferenceFloat<float> float_;
  ReferenceFloat<double> double_;
  ReferenceHalf<bfloat16> bfloat16_;
  ReferenceHalf<float16> float16_;
};

extern template class ReferenceArray<float>;
extern template class ReferenceArray<double>;
extern template class ReferenceArray<int64_t>;
extern template class ReferenceArray<uint8_t>;
extern template class ReferenceFloat<float>;
extern template class ReferenceFloat<double>;
extern template class ReferenceHalf<bfloat16>;
extern template class ReferenceHalf<float16>;

}  // namespace tern::kernels
