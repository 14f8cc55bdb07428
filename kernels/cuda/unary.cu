/// y[i] = f(x[i]) for the functions of kernels/unary.hpp, and dx[i] = f'(x[i]) dy[i]: each is a struct with both, the
/// gradient taking what gradient_of says, the function's x or its y.
///
/// Mapping: `map` (map.cuh). Bytes: every operand once. Arithmetic: from 1 operation an element (neg) to some 40 (pow,
/// gelu), while the time in which an H100 moves 8 bytes is enough for 80 fp32 instructions: bandwidth is the limit of
/// all of them.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/map.cuh>
#include <tern/kernels/cuda/trigonometry.cuh>
#include <tern/kernels/unary.hpp>

#include <cmath>
#include <numbers>

namespace tern::kernels {
namespace {

using namespace cuda;

template <class T>
struct Neg {
  __device__ T operator()(T x) const { return -x; }
  __device__ T operator()(T, T dy) const { return -dy; }
};

template <class T>
struct Exp {
  __device__ T operator()(T x) const { return std::exp(x); }
  __device__ T operator()(T y, T dy) const { return dy * y; }
};

template <class T>
struct Log {
  __device__ T operator()(T x) const { return std::log(x); }
  __device__ T operator()(T x, T dy) const { return dy / x; }
};

template <class T>
struct Sqrt {
  __device__ T operator()(T x) const { return std::sqrt(x); }
  __device__ T operator()(T y, T dy) const { return dy / (2 * y); }
};

template <class T>
struct Pow {
  T exponent;
  __device__ T operator()(T x) const { return power(x, exponent); }
  __device__ T operator()(T x, T dy) const {
    return exponent == 0 ? T{0} : dy * (exponent * power(x, exponent - 1));
  }

  /// As PyTorch has it: of -infinity the square root is NaN, where std::pow gives infinity.
  static __device__ T power(T x, T to) {
    return to == T(0.5) ? std::sqrt(x) : to == T(-0.5) ? 1 / std::sqrt(x) : std::pow(x, to);
  }
};

template <class T>
struct Tanh {
  __device__ T operator()(T x) const { return activated(Activation::tanh, x); }
  __device__ T operator()(T y, T dy) const { return before_activation(Activation::tanh, y, dy); }
};

template <class T>
struct Relu {
  __device__ T operator()(T x) const { return activated(Activation::relu, x); }
  __device__ T operator()(T y, T dy) const { return before_activation(Activation::relu, y, dy); }
};

template <class T>
struct Sigmoid {
  __device__ T operator()(T x) const { return 1 / (1 + std::exp(-x)); }
  __device__ T operator()(T y, T dy) const { return dy * y * (1 - y); }
};

template <class T>
struct LeakyRelu {
  T slope;
  __device__ T operator()(T x) const { return x > 0 ? x : slope * x; }
  __device__ T operator()(T x, T dy) const { return x > 0 ? dy : slope * dy; }
};

template <class T>
struct Elu {
  T alpha;
  __device__ T operator()(T x) const { return x > 0 ? x : alpha * std::expm1(x); }
  __device__ T operator()(T x, T dy) const { return x > 0 ? dy : dy * alpha * std::exp(x); }
};

template <class T>
struct Gelu {
  static constexpr T sqrt_half = std::numbers::sqrt2_v<T> / 2;

  /// erfc loses no digits where 1 + erf would.
  __device__ T operator()(T x) const { return x * (std::erfc(-sqrt_half * x) / 2); }
  __device__ T operator()(T x, T dy) const {
    constexpr T height = sqrt_half * std::numbers::inv_sqrtpi_v<T>;  // of the normal density
    return dy * (std::erfc(-sqrt_half * x) / 2 + x * (height * std::exp(-x * x / 2)));
  }
};

template <class T>
struct GeluTanh {
  static constexpr T scale = 2 * std::numbers::sqrt2_v<T> * std::numbers::inv_sqrtpi_v<T>, cubic = T(0.044715);

  __device__ T operator()(T x) const { return x / (1 + std::exp(-scale * (x + cubic * x * x * x))); }
  __device__ T operator()(T x, T dy) const {
    const T s = 1 / (1 + std::exp(-scale * (x + cubic * x * x * x)));
    return dy * (s + x * s * (1 - s) * (scale * (1 + 3 * cubic * x * x)));
  }
};

template <class T>
struct Silu {
  __device__ T operator()(T x) const { return x / (1 + std::exp(-x)); }
  __device__ T operator()(T x, T dy) const {
    const T s = 1 / (1 + std::exp(-x));
    return dy * s * (1 + x * (1 - s));
  }
};

template <class T>
struct Softplus {
  T beta, threshold;
  __device__ T operator()(T x) const { return beta * x > threshold ? x : std::log1p(std::exp(beta * x)) / beta; }
  __device__ T operator()(T x, T dy) const { return beta * x > threshold ? dy : dy / (1 + std::exp(-beta * x)); }
};

template <class T>
struct Sin {
  __device__ T operator()(T x) const { return sine(x); }
  __device__ T operator()(T x, T dy) const { return dy * cosine(x); }
};

template <class T>
struct Cos {
  __device__ T operator()(T x) const { return cosine(x); }
  __device__ T operator()(T x, T dy) const { return -dy * sine(x); }
};

template <class T>
struct Rsqrt {
  __device__ T operator()(T x) const { return 1 / std::sqrt(x); }
  __device__ T operator()(T y, T dy) const { return -dy / 2 * (y * y * y); }
};

template <class T>
struct Abs {
  __device__ T operator()(T x) const { return std::abs(x); }
  __device__ T operator()(T x, T dy) const { return x > 0 ? dy : x < 0 ? -dy : T{0}; }
};

template <class T>
struct Round {
  __device__ T operator()(T x) const { return std::rint(x); }
  __device__ T operator()(T, T) const { return 0; }
};

template <class T>
struct Floor {
  __device__ T operator()(T x) const { return std::floor(x); }
  __device__ T operator()(T, T) const { return 0; }
};

template <class T>
struct Ceil {
  __device__ T operator()(T x) const { return std::ceil(x); }
  __device__ T operator()(T, T) const { return 0; }
};

template <class T>
struct Sign {
  __device__ T operator()(T x) const { return static_cast<T>((x > 0) - (x < 0)); }
  __device__ T operator()(T, T) const { return 0; }
};

template <class T>
struct Log1p {
  __device__ T operator()(T x) const { return std::log1p(x); }
  __device__ T operator()(T x, T dy) const { return dy / (1 + x); }
};

template <class T>
struct Expm1 {
  __device__ T operator()(T x) const { return std::expm1(x); }
  __device__ T operator()(T y, T dy) const { return dy * (y + 1); }
};

template <class T>
struct Erf {
  __device__ T operator()(T x) const { return std::erf(x); }
  __device__ T operator()(T x, T dy) const { return dy * (2 * std::numbers::inv_sqrtpi_v<T>)*std::exp(-x * x); }
};

template <class T>
struct Reciprocal {
  __device__ T operator()(T x) const { return 1 / x; }
  __device__ T operator()(T y, T dy) const { return -dy * y * y; }
};

template <class T>
struct Clamp {
  T min, max;
  __device__ T operator()(T x) const {
    const T above = x < min ? min : x;
    return above > max ? max : above;
  }
  __device__ T operator()(T x, T dy) const { return x >= min && x <= max ? dy : T{0}; }
};

template <class T>
struct Square {
  __device__ T operator()(T x) const { return x * x; }
  __device__ T operator()(T x, T dy) const { return 2 * dy * x; }
};

template <class T>
struct Log2 {
  __device__ T operator()(T x) const { return std::log2(x); }
  __device__ T operator()(T x, T dy) const { return dy / (x * std::numbers::ln2_v<T>); }
};

template <class T>
struct Log10 {
  __device__ T operator()(T x) const { return std::log10(x); }
  __device__ T operator()(T x, T dy) const { return dy / (x * std::numbers::ln10_v<T>); }
};

template <class T>
struct Exp2 {
  __device__ T operator()(T x) const { return std::exp2(x); }
  __device__ T operator()(T y, T dy) const { return dy * y * std::numbers::ln2_v<T>; }
};

template <class T>
struct Tan {
  __device__ T operator()(T x) const { return sine(x) / cosine(x); }
  __device__ T operator()(T y, T dy) const { return dy * (1 + y * y); }
};

template <class T>
struct Asin {
  __device__ T operator()(T x) const { return std::asin(x); }
  __device__ T operator()(T x, T dy) const { return dy / std::sqrt(1 - x * x); }
};

template <class T>
struct Acos {
  __device__ T operator()(T x) const { return std::acos(x); }
  __device__ T operator()(T x, T dy) const { return -dy / std::sqrt(1 - x * x); }
};

template <class T>
struct Atan {
  __device__ T operator()(T x) const { return std::atan(x); }
  __device__ T operator()(T x, T dy) const { return dy / (x * x + 1); }
};

template <class T>
struct Sinh {
  __device__ T operator()(T x) const { return std::sinh(x); }
  __device__ T operator()(T x, T dy) const { return dy * std::cosh(x); }
};

template <class T>
struct Cosh {
  __device__ T operator()(T x) const { return std::cosh(x); }
  __device__ T operator()(T x, T dy) const { return dy * std::sinh(x); }
};

template <class T>
struct Asinh {
  __device__ T operator()(T x) const { return std::asinh(x); }
  __device__ T operator()(T x, T dy) const { return dy / std::sqrt(x * x + 1); }
};

template <class T>
struct Acosh {
  __device__ T operator()(T x) const { return std::acosh(x); }
  __device__ T operator()(T x, T dy) const { return dy / std::sqrt(x * x - 1); }
};

template <class T>
struct Atanh {
  __device__ T operator()(T x) const { return std::atanh(x); }
  __device__ T operator()(T x, T dy) const { return dy / (1 - x * x); }
};

template <class T>
struct Erfc {
  __device__ T operator()(T x) const { return std::erfc(x); }
  __device__ T operator()(T x, T dy) const { return -dy * (2 * std::numbers::inv_sqrtpi_v<T>)*std::exp(-x * x); }
};

template <class T>
struct Trunc {
  __device__ T operator()(T x) const { return std::trunc(x); }
  __device__ T operator()(T, T) const { return 0; }
};

template <class T>
struct Frac {
  __device__ T operator()(T x) const { return x - std::trunc(x); }
  __device__ T operator()(T, T dy) const { return dy; }
};

template <class T>
struct Hardtanh {
  T min, max;
  __device__ T operator()(T x) const { return Clamp<T>{min, max}(x); }
  __device__ T operator()(T x, T dy) const { return x > min && x < max ? dy : T{0}; }
};

template <class T>
struct Hardswish {
  __device__ T operator()(T x) const { return x * (Clamp<T>{0, 6}(x + 3) / 6); }
  __device__ T operator()(T x, T dy) const { return x < -3 ? T{0} : x > 3 ? dy : dy * (x / 3 + T(0.5)); }
};

template <class T>
struct Mish {
  __device__ T operator()(T x) const { return x * std::tanh(std::log1p(std::exp(x))); }
  __device__ T operator()(T x, T dy) const {
    const T t = std::tanh(std::log1p(std::exp(x)));
    return dy * (t + x / (1 + std::exp(-x)) * (1 - t * t));
  }
};

template <class T>
struct Selu {
  static constexpr T scale = static_cast<T>(selu_scale), alpha = static_cast<T>(selu_alpha);

  __device__ T operator()(T x) const { return scale * (x > 0 ? x : alpha * std::expm1(x)); }
  __device__ T operator()(T x, T dy) const { return scale * dy * (x > 0 ? T{1} : alpha * std::exp(x)); }
};

template <class T>
struct Logsigmoid {
  __device__ T operator()(T x) const { return (x < 0 || x != x ? x : T{0}) - std::log1p(std::exp(-std::abs(x))); }
  __device__ T operator()(T x, T dy) const { return dy / (1 + std::exp(x)); }
};

template <class T>
struct Softshrink {
  T by;
  __device__ T operator()(T x) const { return x > by ? x - by : x < -by ? x + by : T{0}; }
  __device__ T operator()(T x, T dy) const { return x < -by || x > by ? dy : T{0}; }
};

template <class T>
struct Hardshrink {
  T reach;
  __device__ T operator()(T x) const { return x >= -reach && x <= reach ? T{0} : x; }
  __device__ T operator()(T x, T dy) const { return x < -reach || x > reach ? dy : T{0}; }
};

template <class T>
struct Threshold {
  T threshold, value;
  __device__ T operator()(T x) const { return x <= threshold ? value : x; }
  __device__ T operator()(T x, T dy) const { return x <= threshold ? T{0} : dy; }
};

template <class T>
struct SmoothL1 {
  T beta;
  __device__ T operator()(T x) const { return std::abs(x) < beta ? x * x / (2 * beta) : std::abs(x) - beta / 2; }
  __device__ T operator()(T x, T dy) const { return x <= -beta ? -dy : x >= beta ? dy : x / beta * dy; }
};

/// Calls f with the function.
template <class T, class F>
void with_function(const Unary& unary, F f) {
  const T a = static_cast<T>(unary.a), b = static_cast<T>(unary.b);
  switch (unary.op) {
    case UnaryOp::neg:
      return f(Neg<T>{});
    case UnaryOp::exp:
      return f(Exp<T>{});
    case UnaryOp::log:
      return f(Log<T>{});
    case UnaryOp::sqrt:
      return f(Sqrt<T>{});
    case UnaryOp::pow:
      return f(Pow<T>{a});
    case UnaryOp::tanh:
      return f(Tanh<T>{});
    case UnaryOp::relu:
      return f(Relu<T>{});
    case UnaryOp::sigmoid:
      return f(Sigmoid<T>{});
    case UnaryOp::leaky_relu:
      return f(LeakyRelu<T>{a});
    case UnaryOp::elu:
      return f(Elu<T>{a});
    case UnaryOp::softplus:
      return f(Softplus<T>{a, b});
    case UnaryOp::clamp:
      return f(Clamp<T>{a, b});
    case UnaryOp::gelu:
      return f(Gelu<T>{});
    case UnaryOp::gelu_tanh:
      return f(GeluTanh<T>{});
    case UnaryOp::silu:
      return f(Silu<T>{});
    case UnaryOp::sin:
      return f(Sin<T>{});
    case UnaryOp::cos:
      return f(Cos<T>{});
    case UnaryOp::rsqrt:
      return f(Rsqrt<T>{});
    case UnaryOp::abs:
      return f(Abs<T>{});
    case UnaryOp::round:
      return f(Round<T>{});
    case UnaryOp::floor:
      return f(Floor<T>{});
    case UnaryOp::ceil:
      return f(Ceil<T>{});
    case UnaryOp::sign:
      return f(Sign<T>{});
    case UnaryOp::log1p:
      return f(Log1p<T>{});
    case UnaryOp::expm1:
      return f(Expm1<T>{});
    case UnaryOp::erf:
      return f(Erf<T>{});
    case UnaryOp::reciprocal:
      return f(Reciprocal<T>{});
    case UnaryOp::square:
      return f(Square<T>{});
    case UnaryOp::log2:
      return f(Log2<T>{});
    case UnaryOp::log10:
      return f(Log10<T>{});
    case UnaryOp::exp2:
      return f(Exp2<T>{});
    case UnaryOp::tan:
      return f(Tan<T>{});
    case UnaryOp::asin:
      return f(Asin<T>{});
    case UnaryOp::acos:
      return f(Acos<T>{});
    case UnaryOp::atan:
      return f(Atan<T>{});
    case UnaryOp::sinh:
      return f(Sinh<T>{});
    case UnaryOp::cosh:
      return f(Cosh<T>{});
    case UnaryOp::asinh:
      return f(Asinh<T>{});
    case UnaryOp::acosh:
      return f(Acosh<T>{});
    case UnaryOp::atanh:
      return f(Atanh<T>{});
    case UnaryOp::erfc:
      return f(Erfc<T>{});
    case UnaryOp::trunc:
      return f(Trunc<T>{});
    case UnaryOp::frac:
      return f(Frac<T>{});
    case UnaryOp::hardtanh:
      return f(Hardtanh<T>{a, b});
    case UnaryOp::hardswish:
      return f(Hardswish<T>{});
    case UnaryOp::mish:
      return f(Mish<T>{});
    case UnaryOp::selu:
      return f(Selu<T>{});
    case UnaryOp::logsigmoid:
      return f(Logsigmoid<T>{});
    case UnaryOp::softshrink:
      return f(Softshrink<T>{a});
    case UnaryOp::hardshrink:
      return f(Hardshrink<T>{a});
    case UnaryOp::threshold:
      return f(Threshold<T>{a, b});
    case UnaryOp::smooth_l1:
      return f(SmoothL1<T>{a});
  }
}

}  // namespace

template <class T>
void CudaFloat<T>::unary(const Unary& f, int64_t n, const T* x, T* y) {
  const DeviceGuard guard(device_);
  with_function<T>(f, [=](auto function) { map_dense(n, function, y, x); });
}

template <class T>
void CudaFloat<T>::unary_backward(const Unary& f, int64_t n, const T* v, const T* dy, T* dx) {
  const DeviceGuard guard(device_);
  with_function<T>(f, [=](auto function) { map_dense(n, function, dx, v, dy); });
}

template void CudaFloat<float>::unary(const Unary&, int64_t, const float*, float*);
template void CudaFloat<float>::unary_backward(const Unary&, int64_t, const float*, const float*, float*);
template void CudaFloat<double>::unary(const Unary&, int64_t, const double*, double*);
template void CudaFloat<double>::unary_backward(const Unary&, int64_t, const double*, const double*, double*);

}  // namespace tern::kernels
