/// y[i] = f(x[i]) for the functions of kernels/unary.hpp, and dx[i] = f'(x[i]) dy[i]: each is a struct with both, the
/// gradient taking what gradient_of says, the function's x or its y.
///
/// Mapping: `map` (map.cuh). Bytes: every operand once. Arithmetic: from 1 operation an element (neg) to some 40 (pow,
/// gelu), while the time in which an H100 moves 8 bytes is enough for 80 fp32 instructions: bandwidth is the limit of
/// all of them.

#include <tern/kernels/cuda/activation.cuh>
#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/cuda/map.cuh>
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
  __device__ T operator()(T x) const { return std::sin(x); }
  __device__ T operator()(T x, T dy) const { return dy * std::cos(x); }
};

template <class T>
struct Cos {
  __device__ T operator()(T x) const { return std::cos(x); }
  __device__ T operator()(T x, T dy) const { return -dy * std::sin(x); }
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
