#pragma once

/// The CUDA backend. One .cu for each family of kernels, each with its host side below it: a member function picks a
/// kernel, and queues it on the current stream. None of them waits for the device.

#include <tern/kernels/backend.hpp>
#include <tern/kernels/cuda/devices.hpp>
#include <tern/kernels/cuda/staging.hpp>

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace tern::kernels {

namespace cuda {

/// ++*x, in the current device's memory. batch_norm2d.cu
void increment(int64_t* x);

}  // namespace cuda

template <class T>
class CudaArray : public ArrayKernels<T> {
 public:
  explicit CudaArray(int device) : device_(device) {}

  // elementwise.cu
  void fill(int64_t n, T value, T* y) override;
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

  // copy.cu
  void copy(const Strided& s, const T* a, T* b) override;

  // reduce.cu
  void reduce(const Reduce& f, const ReduceShape& r, const T* x, T* y) override;
  void extreme(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) override;
  void extreme_backward(const ReduceShape& r, const int64_t* indices, const T* dy, T* dx) override;

  // scan.cu
  void scan(ScanOp op, bool reverse, const ReduceShape& r, const T* x, T* y) override;
  void scan(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) override;

  // index.cu
  void index_select(const ReduceShape& r, int64_t count, const T* x, const int64_t* index, T* y) override;
  void index_select_backward(const ReduceShape& r, int64_t count, const int64_t* index, const T* dy, T* dx) override;

  // gather.cu
  void gather(const ReduceShape& r, int64_t count, const T* full, const int64_t* index, T* picked) override;
  void scatter(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) override;
  void scatter_add(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) override;

  // sort.cu
  void sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) override;
  void searchsorted(int64_t rows, int64_t n, int64_t count, bool right, const T* x, const T* v, int64_t* y) override;

 private:
  int device_;
};

template <class T>
class CudaHalf : public HalfKernels<T> {
 public:
  explicit CudaHalf(int device) : device_(device) {}

  // elementwise.cu
  void fill(int64_t n, T value, T* y) override;
  void cast(int64_t n, const T* x, float* y) override;
  void cast(int64_t n, const float* x, T* y) override;

  // copy.cu
  void copy(const Strided& s, const T* a, T* b) override;

 private:
  int device_;
};

template <class T>
class CudaFloat : public FloatKernels<T> {
 public:
  explicit CudaFloat(int device) : device_(device) {}

  // unary.cu
  void unary(const Unary& f, int64_t n, const T* x, T* y) override;
  void unary_backward(const Unary& f, int64_t n, const T* v, const T* dy, T* dx) override;

  // reduce.cu
  void var(const ReduceShape& r, double correction, const T* x, T* mean, T* var) override;

  // softmax.cu
  void softmax(bool log, const ReduceShape& r, const T* x, T* y) override;
  void softmax_backward(bool log, const ReduceShape& r, const T* y, const T* dy, T* dx) override;

  // scan.cu
  void cumprod_backward(const ReduceShape& r, bool reverse, const T* x, const T* dy, T* dx) override;

  // matmul.cu
  void matmul(const MatmulShape& s, const T* a, const T* b, T* y) override;

  // linear.cu
  void linear(const LinearShape& s, const T* x, const T* w, const T* bias, T* y) override;
  void linear_backward(const LinearShape& s, const T* x, const T* w, const T* y, const T* dy, T* dx, T* dw,
                       T* dbias) override;

  // attention.cu
  void attention(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v, const T* bias, T* y,
                 T* log_sum) override;
  void attention_backward(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v, const T* bias,
                          const T* y, const T* log_sum, const T* dy, T* dq, T* dk, T* dv) override;

  // recurrent.cu
  void recurrent_cell(const CellShape& s, const T* x, const T* r, const T* before, T* kept, T* after, T* h) override;
  void recurrent_cell_backward(const CellShape& s, const T* kept, const T* before, const T* after, const T* dy,
                               const T* dh, T* carry, T* dx, T* dr) override;

  // conv2d.cu
  void conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) override;
  void conv2d_backward_input(const Conv2dShape& s, const T* w, const T* dy, T* dx) override;
  void conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) override;
  void conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* bias, T* y,
                         uint8_t* picked) override;
  void conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* y,
                                  const uint8_t* picked, const T* dy, T* dx, T* dw, T* dbias) override;

  // pool2d.cu
  void max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) override;
  void max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const T* dy, T* dx) override;
  void avg_pool2d(const Pool2dShape& s, const T* x, T* y) override;
  void avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) override;

  // interpolate2d.cu
  void interpolate2d(const Interpolate2dShape& s, const T* x, T* y) override;
  void interpolate2d_backward(const Interpolate2dShape& s, const T* dy, T* dx) override;

  // dropout.cu
  void dropout(const DropoutShape& s, PhiloxState state, const T* x, T* y) override;

  // batch_norm2d.cu
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

  // group_norm.cu
  void group_norm(const GroupNormShape& s, const T* x, const T* weight, const T* bias, double* mean, double* invstd,
                  T* y) override;
  void group_norm_backward(const GroupNormShape& s, const T* x, const T* weight, const double* mean,
                           const double* invstd, const T* dy, T* dx, T* dweight, T* dbias) override;

  // cross_entropy.cu
  void cross_entropy(const CrossEntropyShape& s, const T* logits, const int64_t* target, const T* weight, T* loss,
                     T* dlogits) override;

  // segments.cu
  void sum_of_squares(std::span<const Segment<T>> all, T* y) override;
  void scale_all(std::span<const Segment<T>> all, double a, const T* factor) override;
  void add_all(std::span<const Segment<T>> all) override;
  void lerp_all(std::span<const Segment<T>> all, double weight, const StepNumbers<T>* numbers) override;

  // image_batch.cu
  void image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, const uint8_t* images,
                   const int64_t* labels, const int64_t* order, const int64_t* step, T* x, int64_t* target) override;

  // optim.cu
  void optimizer_step(const OptimizerStep& s, std::span<const OptimizerParam<T>> params,
                      const StepNumbers<T>* numbers) override;
  void end_step(const T* loss, StepState* state) override;
  void update_scale(const ScaleRule& rule, const T* squares, T* scale, int64_t* steps) override;

 private:
  int device_;
};

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(int device);

  /// In the order of the current stream, from the device's pool. Null for 0 bytes.
  void* allocate(std::size_t bytes) override;
  void release(void* p, std::size_t bytes) noexcept override;

  /// The host waits only for a place in the staging memory.
  void upload(std::size_t bytes, const void* host, void* device) override;
  /// Waits for what the current stream has been given so far.
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
  int device_;
  cuda::Staging staging_;
  CudaArray<float> array_float_;
  CudaArray<double> array_double_;
  CudaArray<int64_t> array_int64_;
  CudaArray<uint8_t> array_uint8_;
  CudaFloat<float> float_;
  CudaFloat<double> double_;
  CudaHalf<bfloat16> bfloat16_;
  CudaHalf<float16> float16_;
};

/// The process's one B for a device, made when it is first asked for. Throws tern::Error where there is no such device.
template <class B>
B& backend_of(int index) {
  static std::mutex mutex;
  static auto& backends = *new std::map<int, std::unique_ptr<B>>;  // never destroyed: memory may outlive main
  const std::scoped_lock lock(mutex);
  if (const auto made = backends.find(index); made != backends.end()) return *made->second;
  if (const int count = cuda::device_count(); index < 0 || index >= count) {
    throw Error("device cuda:" + std::to_string(index) + ": expected one of this machine's " + std::to_string(count) +
                " CUDA devices");
  }
  return *backends.emplace(index, std::make_unique<B>(index)).first->second;
}

}  // namespace tern::kernels
