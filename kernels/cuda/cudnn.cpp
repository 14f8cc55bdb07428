#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/cudnn.hpp>
#include <tern/kernels/cuda/handles.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <cudnn.h>
#include <fmt/format.h>

#include <array>
#include <climits>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <type_traits>

namespace tern::kernels {
namespace {

using cuda::current_device;
using cuda::current_stream;
using cuda::DeviceGuard;
using cuda::Scratch;

std::string describe(const Conv2dShape& s) {
  return fmt::format(
      "conv2d of [{}, {}, {}, {}] by [{}, {}, {}, {}], stride [{}, {}], padding [{}, {}], dilation [{}, {}]", s.N, s.C,
      s.H, s.W, s.K, s.C / s.groups, s.R, s.S, s.stride_h, s.stride_w, s.pad_h, s.pad_w, s.dilation_h, s.dilation_w);
}
std::string describe(const Pool2dShape& s) {
  return fmt::format("pooling of [{}, {}, {}, {}] by [{}, {}], stride [{}, {}], padding [{}, {}]", s.N, s.C, s.H, s.W,
                     s.R, s.S, s.stride_h, s.stride_w, s.pad_h, s.pad_w);
}
std::string describe(const BatchNorm2dShape& s) { return fmt::format("batch_norm2d of [{}, {}, {}]", s.N, s.C, s.HW); }

/// Throws CudaError that names the op and its shape, unless the call went well.
template <class Shape>
void check(cudnnStatus_t status, const Shape& s) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 512> detail{};
  cudnnGetLastErrorString(detail.data(), detail.size());
  throw CudaError(fmt::format("{}: {} {}", describe(s), cudnnGetErrorString(status), detail.data()));
}

/// This host thread's handle for its device, set to the current stream.
template <class Shape>
cudnnHandle_t handle(const Shape& s) {
  thread_local cuda::ThreadHandles<cudnnHandle_t> handles;
  const cudnnHandle_t mine = handles.get(current_device(), [&] {
    cudnnHandle_t made = nullptr;
    check(cudnnCreate(&made), s);
    return made;
  });
  check(cudnnSetStream(mine, current_stream()), s);
  return mine;
}

template <class D, auto create, auto destroy>
class Descriptor {
 public:
  template <class Shape>
  explicit Descriptor(const Shape& s) {
    check(create(&descriptor_), s);
  }
  ~Descriptor() { destroy(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator D() const { return descriptor_; }

 private:
  D descriptor_ = nullptr;
};
using FilterDescriptor = Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;
using PoolingDescriptor =
    Descriptor<cudnnPoolingDescriptor_t, cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor>;

template <class T>
constexpr cudnnDataType_t data_type = std::is_same_v<T, float> ? CUDNN_DATA_FLOAT : CUDNN_DATA_DOUBLE;

/// Of dense [n, c, h, w].
template <class T>
struct TensorDescriptor
    : Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor> {
  template <class Shape>
  TensorDescriptor(const Shape& s, int64_t n, int64_t c, int64_t h, int64_t w) : Descriptor(s) {
    check(cudnnSetTensor4dDescriptor(*this, CUDNN_TENSOR_NCHW, data_type<T>, static_cast<int>(n), static_cast<int>(c),
                                     static_cast<int>(h), static_cast<int>(w)),
          s);
  }
};

/// Whether cuDNN can be asked: it counts in int, and knows no empty tensors.
bool fits(std::initializer_list<int64_t> elements) {
  for (const int64_t n : elements) {
    if (n <= 0 || n > INT_MAX) return false;
  }
  return true;
}

bool fits(const Conv2dShape& s) {
  return fits({s.N * s.C * s.H * s.W, s.N * s.K * s.P() * s.Q(), s.K * s.C * s.R * s.S});
}
/// Larger batches than these cuDNN's pooling and batch normalisation do not support, nor other windows.
bool fits(const Pool2dShape& s) {
  return s.is_plain() && s.N <= 65535 && fits({s.N * s.C * s.H * s.W, s.N * s.C * s.P() * s.Q()});
}
bool fits(const BatchNorm2dShape& s) { return s.N <= 131070 && fits({s.N * s.C * s.HW}); }

/// The most memory that an algorithm of cuDNN may work in.
constexpr std::size_t most_workspace = std::size_t{256} << 20;

/// Of floats; CUDNN_DEFAULT_MATH then is with tensor cores, and CUDNN_FMA_MATH without.
bool allows_tf32(const Conv2dShape& s) { return s.precision != Precision::highest; }

template <class T>
struct Convolution {
  TensorDescriptor<T> x, y, bias;
  FilterDescriptor w;
  ConvolutionDescriptor op;

  explicit Convolution(const Conv2dShape& s)
      : x(s, s.N, s.C, s.H, s.W), y(s, s.N, s.K, s.P(), s.Q()), bias(s, 1, s.K, 1, 1), w(s), op(s) {
    const auto narrow = [](int64_t v) { return static_cast<int>(v); };
    check(cudnnSetFilter4dDescriptor(w, data_type<T>, CUDNN_TENSOR_NCHW, narrow(s.K), narrow(s.C / s.groups),
                                     narrow(s.R), narrow(s.S)),
          s);
    check(cudnnSetConvolution2dDescriptor(op, narrow(s.pad_h), narrow(s.pad_w), narrow(s.stride_h), narrow(s.stride_w),
                                          narrow(s.dilation_h), narrow(s.dilation_w), CUDNN_CROSS_CORRELATION,
                                          data_type<T>),
          s);
    check(cudnnSetConvolutionGroupCount(op, narrow(s.groups)), s);
    check(cudnnSetConvolutionMathType(op, allows_tf32(s) ? CUDNN_DEFAULT_MATH : CUDNN_FMA_MATH), s);
  }

  /// Before it is computed by an algorithm of that kind.
  void use(const Conv2dShape& s, cudnnMathType_t math) const {
    if (allows_tf32(s)) check(cudnnSetConvolutionMathType(op, math), s);
  }
};

/// What cuDNN expects to be the fastest of its algorithms that are deterministic, as exact as the shape asks for and do
/// with most_workspace bytes of memory, if it has one. `ask(room, count, answers)` is cuDNN's own question, whose
/// answers begin with the fastest. Remembered, since asking takes longer than a launch.
template <class Perf, class T, class Ask>
std::optional<Perf> algorithm(const Conv2dShape& s, Ask ask) {
  using Key = std::array<int64_t, 16>;
  thread_local std::map<Key, std::optional<Perf>> known;
  const Key key{current_device(), s.N,        s.C,     s.H,     s.W,          s.K,          s.R,      s.S,
                s.stride_h,       s.stride_w, s.pad_h, s.pad_w, s.dilation_h, s.dilation_w, s.groups, allows_tf32(s)};
  if (const auto found = known.find(key); found != known.end()) return found->second;
  std::array<Perf, 16> answers;
  int count = 0;
  check(ask(static_cast<int>(answers.size()), &count, answers.data()), s);
  std::optional<Perf> best;
  for (int i = count - 1; i >= 0; --i) {
    const Perf& answer = answers[static_cast<std::size_t>(i)];
    const bool is_exact = answer.mathType == CUDNN_FMA_MATH || answer.mathType == CUDNN_DEFAULT_MATH ||
                          (allows_tf32(s) && answer.mathType == CUDNN_TENSOR_OP_MATH);
    if (answer.status == CUDNN_STATUS_SUCCESS && answer.determinism == CUDNN_DETERMINISTIC && is_exact &&
        answer.memory <= most_workspace)
      best = answer;
  }
  return known[key] = best;
}

template <class T>
class CudnnFloat : public CudaFloat<T> {
  using Base = CudaFloat<T>;

 public:
  explicit CudnnFloat(int device) : Base(device), device_(device) {}

  void conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) override {
    if (!fits(s)) return Base::conv2d(s, x, w, bias, y);
    const DeviceGuard guard(device_);
    const Convolution<T> c(s);
    const cudnnHandle_t cudnn = handle(s);
    const auto chosen = algorithm<cudnnConvolutionFwdAlgoPerf_t, T>(s, [&](int room, int* count, auto* answers) {
      return cudnnGetConvolutionForwardAlgorithm_v7(cudnn, c.x, c.w, c.op, c.y, room, count, answers);
    });
    if (!chosen) return Base::conv2d(s, x, w, bias, y);
    c.use(s, chosen->mathType);
    const Scratch<std::byte> workspace(static_cast<int64_t>(chosen->memory));
    check(cudnnConvolutionForward(cudnn, &one, c.x, x, c.w, w, c.op, chosen->algo, workspace.data(), chosen->memory,
                                  &zero, c.y, y),
          s);
    if (bias) check(cudnnAddTensor(cudnn, &one, c.bias, bias, &one, c.y, y), s);
  }

  void conv2d_backward_input(const Conv2dShape& s, const T* w, const T* dy, T* dx) override {
    if (!fits(s)) return Base::conv2d_backward_input(s, w, dy, dx);
    const DeviceGuard guard(device_);
    const Convolution<T> c(s);
    const cudnnHandle_t cudnn = handle(s);
    const auto chosen = algorithm<cudnnConvolutionBwdDataAlgoPerf_t, T>(s, [&](int room, int* count, auto* answers) {
      return cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnn, c.w, c.y, c.op, c.x, room, count, answers);
    });
    if (!chosen) return Base::conv2d_backward_input(s, w, dy, dx);
    c.use(s, chosen->mathType);
    const Scratch<std::byte> workspace(static_cast<int64_t>(chosen->memory));
    check(cudnnConvolutionBackwardData(cudnn, &one, c.w, w, c.y, dy, c.op, chosen->algo, workspace.data(),
                                       chosen->memory, &zero, c.x, dx),
          s);
  }

  void conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) override {
    if (!fits(s)) return Base::conv2d_backward_weight(s, x, dy, dw, dbias);
    const DeviceGuard guard(device_);
    const Convolution<T> c(s);
    const cudnnHandle_t cudnn = handle(s);
    const auto chosen = algorithm<cudnnConvolutionBwdFilterAlgoPerf_t, T>(s, [&](int room, int* count, auto* answers) {
      return cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnn, c.x, c.y, c.op, c.w, room, count, answers);
    });
    if (!chosen) return Base::conv2d_backward_weight(s, x, dy, dw, dbias);
    c.use(s, chosen->mathType);
    const Scratch<std::byte> workspace(static_cast<int64_t>(chosen->memory));
    check(cudnnConvolutionBackwardFilter(cudnn, &one, c.x, x, c.y, dy, c.op, chosen->algo, workspace.data(),
                                         chosen->memory, &zero, c.w, dw),
          s);
    if (dbias) check(cudnnConvolutionBackwardBias(cudnn, &one, c.y, dy, &zero, c.bias, dbias), s);
  }

  void conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* bias, T* y,
                         uint8_t* picked) override {
    if (!s.is_conv2d() || picked) return Base::conv2d_max_pool2d(s, x, w, bias, y, picked);
    conv2d(s.conv, x, w, bias, y);
  }

  void conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* y,
                                  const uint8_t* picked, const T* dy, T* dx, T* dw, T* dbias) override {
    if (!s.is_conv2d() || (dbias && !dw)) {
      return Base::conv2d_max_pool2d_backward(s, x, w, y, picked, dy, dx, dw, dbias);
    }
    if (dx) conv2d_backward_input(s.conv, w, dy, dx);
    if (dw) conv2d_backward_weight(s.conv, x, dy, dw, dbias);
  }

  void max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) override {
    if (indices || !fits(s)) return Base::max_pool2d(s, x, y, indices);
    pool(CUDNN_POOLING_MAX_DETERMINISTIC, s, x, y);
  }

  void avg_pool2d(const Pool2dShape& s, const T* x, T* y) override {
    if (!fits(s)) return Base::avg_pool2d(s, x, y);
    pool(CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, s, x, y);
  }

  void avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) override {
    if (!fits(s)) return Base::avg_pool2d_backward(s, dy, dx);
    const DeviceGuard guard(device_);
    const Pooling p(CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, s);
    // The gradient of a mean depends on neither y nor x; what stands in for them is not looked at.
    check(cudnnPoolingBackward(handle(s), p.op, &one, p.y, dy, p.y, dy, p.x, dx, &zero, p.x, dx), s);
  }

  void batch_norm2d(const BatchNorm2dShape& s, double momentum, const T* x, const T* weight, const T* bias,
                    const T* residual, T* running_mean, T* running_var, int64_t* num_batches, T* mean, T* invstd,
                    T* y) override {
    if (!weight || !bias || residual || s.activation != Activation::none || std::isnan(momentum) || !fits(s))
      return Base::batch_norm2d(s, momentum, x, weight, bias, residual, running_mean, running_var, num_batches, mean,
                                invstd, y);
    const DeviceGuard guard(device_);
    const TensorDescriptor<T> all(s, s.N, s.C, s.HW, 1), channels(s, 1, s.C, 1, 1);
    check(cudnnBatchNormalizationForwardTraining(handle(s), CUDNN_BATCHNORM_SPATIAL, &one, &zero, all, x, all, y,
                                                 channels, weight, bias, momentum, running_mean, running_var, s.eps,
                                                 mean, invstd),
          s);
    if (num_batches) cuda::increment(num_batches);
  }

  void batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const T* x, const T* weight, const T* mean,
                             const T* invstd, const T* y, const T* dy, T* dx, T* dweight, T* dbias,
                             T* dresidual) override {
    if (!training || !weight || !dx || dresidual || s.activation != Activation::none || !fits(s))
      return Base::batch_norm2d_backward(s, training, x, weight, mean, invstd, y, dy, dx, dweight, dbias, dresidual);
    const DeviceGuard guard(device_);
    const TensorDescriptor<T> all(s, s.N, s.C, s.HW, 1), channels(s, 1, s.C, 1, 1);
    const int64_t n = s.N * s.C * s.HW;
    const Scratch<T> unwanted(2 * s.C);            // cuDNN gives all three gradients,
    const Scratch<T> not_over_x(dx == x ? n : 0);  // and does not say that dx may be x
    T* const to = dx == x ? not_over_x.data() : dx;
    check(cudnnBatchNormalizationBackward(handle(s), CUDNN_BATCHNORM_SPATIAL, &one, &zero, &one, &zero, all, x, all, dy,
                                          all, to, channels, weight, dweight ? dweight : unwanted.data(),
                                          dbias ? dbias : unwanted.data() + s.C, s.eps, mean, invstd),
          s);
    if (to == dx) return;
    cuda::check(cudaMemcpyAsync(dx, to, n * sizeof(T), cudaMemcpyDeviceToDevice, current_stream()), "cudaMemcpyAsync");
  }

 private:
  static constexpr T one = 1, zero = 0;

  struct Pooling {
    TensorDescriptor<T> x, y;
    PoolingDescriptor op;

    Pooling(cudnnPoolingMode_t mode, const Pool2dShape& s)
        : x(s, s.N, s.C, s.H, s.W), y(s, s.N, s.C, s.P(), s.Q()), op(s) {
      const auto narrow = [](int64_t v) { return static_cast<int>(v); };
      check(cudnnSetPooling2dDescriptor(op, mode, CUDNN_PROPAGATE_NAN, narrow(s.R), narrow(s.S), narrow(s.pad_h),
                                        narrow(s.pad_w), narrow(s.stride_h), narrow(s.stride_w)),
            s);
    }
  };

  void pool(cudnnPoolingMode_t mode, const Pool2dShape& s, const T* x, T* y) {
    const DeviceGuard guard(device_);
    const Pooling p(mode, s);
    check(cudnnPoolingForward(handle(s), p.op, &one, p.x, x, &zero, p.y, y), s);
  }

  int device_;
};

class CudnnBackend : public CudaBackend {
 public:
  explicit CudnnBackend(int device) : CudaBackend(device), float_(device), double_(device) {}

  FloatKernels<float>& floating(float) override { return float_; }
  FloatKernels<double>& floating(double) override { return double_; }

 private:
  CudnnFloat<float> float_;
  CudnnFloat<double> double_;
};

}  // namespace

Backend& cudnn_backend(int index) { return backend_of<CudnnBackend>(index); }

}  // namespace tern::kernels
