#pragma once

#include <tern/kernels/reference/reference.hpp>
#include <tern/kernels/unary.hpp>

#include <cmath>
#include <numbers>

namespace tern::kernels {

/// As PyTorch has it: of -infinity the square root is NaN, where std::pow gives infinity.
inline double power(double x, double exponent) {
  return exponent == 0.5 ? std::sqrt(x) : exponent == -0.5 ? 1 / std::sqrt(x) : std::pow(x, exponent);
}

/// 2 sqrt(2 / pi) (x + 0.044715 x^3): gelu_tanh is x times the sigmoid of this.
inline double gelu_argument(double x) {
  return 2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi * (x + 0.044715 * x * x * x);
}

/// Calls f with the function and its gradient: dx from dy and what gradient_of says, the function's x or its y.
template <class F>
void with_function(const Unary& unary, F f) {
  const double a = unary.a, b = unary.b;
  switch (unary.op) {
    case UnaryOp::neg:
      return f([](double x) { return -x; }, [](double, double dy) { return -dy; });
    case UnaryOp::exp:
      return f([](double x) { return std::exp(x); }, [](double y, double dy) { return dy * y; });
    case UnaryOp::log:
      return f([](double x) { return std::log(x); }, [](double x, double dy) { return dy / x; });
    case UnaryOp::sqrt:
      return f([](double x) { return std::sqrt(x); }, [](double y, double dy) { return dy / (2 * y); });
    case UnaryOp::pow:
      return f([=](double x) { return power(x, a); },
               [=](double x, double dy) { return a == 0 ? 0 : dy * (a * power(x, a - 1)); });
    case UnaryOp::tanh:
      return f([](double x) { return std::tanh(x); }, [](double y, double dy) { return dy * (1 - y * y); });
    case UnaryOp::relu:
      return f([](double x) { return x <= 0 ? 0 : x; }, [](double y, double dy) { return y <= 0 ? 0 : dy; });
    case UnaryOp::sigmoid:
      return f([](double x) { return 1 / (1 + std::exp(-x)); }, [](double y, double dy) { return dy * y * (1 - y); });
    case UnaryOp::leaky_relu:
      return f([=](double x) { return x > 0 ? x : a * x; }, [=](double x, double dy) { return x > 0 ? dy : a * dy; });
    case UnaryOp::elu:
      return f([=](double x) { return x > 0 ? x : a * std::expm1(x); },
               [=](double x, double dy) { return x > 0 ? dy : dy * a * std::exp(x); });
    case UnaryOp::gelu:
      return f([](double x) { return x * (std::erfc(-x / std::numbers::sqrt2) / 2); },
               [](double x, double dy) {
                 const double density = std::exp(-x * x / 2) * std::numbers::inv_sqrtpi / std::numbers::sqrt2;
                 return dy * (std::erfc(-x / std::numbers::sqrt2) / 2 + x * density);
               });
    case UnaryOp::gelu_tanh:
      return f([](double x) { return x / (1 + std::exp(-gelu_argument(x))); },
               [](double x, double dy) {
                 const double s = 1 / (1 + std::exp(-gelu_argument(x)));
                 const double slope = 2 * std::numbers::sqrt2 * std::numbers::inv_sqrtpi * (1 + 3 * 0.044715 * x * x);
                 return dy * (s + x * s * (1 - s) * slope);
               });
    case UnaryOp::silu:
      return f([](double x) { return x / (1 + std::exp(-x)); },
               [](double x, double dy) {
                 const double s = 1 / (1 + std::exp(-x));
                 return dy * s * (1 + x * (1 - s));
               });
    case UnaryOp::softplus:
      return f([=](double x) { return a * x > b ? x : std::log1p(std::exp(a * x)) / a; },
               [=](double x, double dy) { return a * x > b ? dy : dy / (1 + std::exp(-a * x)); });
    case UnaryOp::sin:
      return f([](double x) { return std::sin(x); }, [](double x, double dy) { return dy * std::cos(x); });
    case UnaryOp::cos:
      return f([](double x) { return std::cos(x); }, [](double x, double dy) { return -dy * std::sin(x); });
    case UnaryOp::rsqrt:
      return f([](double x) { return 1 / std::sqrt(x); }, [](double y, double dy) { return -dy / 2 * (y * y * y); });
    case UnaryOp::abs:
      return f([](double x) { return std::abs(x); }, [](double x, double dy) { return x > 0 ? dy : x < 0 ? -dy : 0; });
    case UnaryOp::round:
      return f([](double x) { return std::nearbyint(x); }, [](double, double) { return 0; });
    case UnaryOp::floor:
      return f([](double x) { return std::floor(x); }, [](double, double) { return 0; });
    case UnaryOp::ceil:
      return f([](double x) { return std::ceil(x); }, [](double, double) { return 0; });
    case UnaryOp::sign:
      return f([](double x) { return (x > 0) - (x < 0); }, [](double, double) { return 0; });
    case UnaryOp::log1p:
      return f([](double x) { return std::log1p(x); }, [](double x, double dy) { return dy / (1 + x); });
    case UnaryOp::expm1:
      return f([](double x) { return std::expm1(x); }, [](double y, double dy) { return dy * (y + 1); });
    case UnaryOp::erf:
      return f([](double x) { return std::erf(x); },
               [](double x, double dy) { return dy * 2 * std::numbers::inv_sqrtpi * std::exp(-x * x); });
    case UnaryOp::reciprocal:
      return f([](double x) { return 1 / x; }, [](double y, double dy) { return -dy * y * y; });
    case UnaryOp::clamp:
      return f([=](double x) { return std::isnan(x) ? x : std::fmin(std::fmax(x, a), b); },
               [=](double x, double dy) { return x >= a && x <= b ? dy : 0; });
    case UnaryOp::square:
      return f([](double x) { return x * x; }, [](double x, double dy) { return 2 * dy * x; });
    case UnaryOp::log2:
      return f([](double x) { return std::log2(x); }, [](double x, double dy) { return dy / (x * std::numbers::ln2); });
    case UnaryOp::log10:
      return f([](double x) { return std::log10(x); },
               [](double x, double dy) { return dy / (x * std::numbers::ln10); });
    case UnaryOp::exp2:
      return f([](double x) { return std::exp2(x); }, [](double y, double dy) { return dy * y * std::numbers::ln2; });
    case UnaryOp::tan:
      return f([](double x) { return std::tan(x); }, [](double y, double dy) { return dy * (1 + y * y); });
    case UnaryOp::asin:
      return f([](double x) { return std::asin(x); }, [](double x, double dy) { return dy / std::sqrt(1 - x * x); });
    case UnaryOp::acos:
      return f([](double x) { return std::acos(x); }, [](double x, double dy) { return -dy / std::sqrt(1 - x * x); });
    case UnaryOp::atan:
      return f([](double x) { return std::atan(x); }, [](double x, double dy) { return dy / (x * x + 1); });
    case UnaryOp::sinh:
      return f([](double x) { return std::sinh(x); }, [](double x, double dy) { return dy * std::cosh(x); });
    case UnaryOp::cosh:
      return f([](double x) { return std::cosh(x); }, [](double x, double dy) { return dy * std::sinh(x); });
    case UnaryOp::asinh:
      return f([](double x) { return std::asinh(x); }, [](double x, double dy) { return dy / std::sqrt(x * x + 1); });
    case UnaryOp::acosh:
      return f([](double x) { return std::acosh(x); }, [](double x, double dy) { return dy / std::sqrt(x * x - 1); });
    case UnaryOp::atanh:
      return f([](double x) { return std::atanh(x); }, [](double x, double dy) { return dy / (1 - x * x); });
    case UnaryOp::erfc:
      return f([](double x) { return std::erfc(x); },
               [](double x, double dy) { return -dy * 2 * std::numbers::inv_sqrtpi * std::exp(-x * x); });
    case UnaryOp::trunc:
      return f([](double x) { return std::trunc(x); }, [](double, double) { return 0; });
    case UnaryOp::frac:
      return f([](double x) { return x - std::trunc(x); }, [](double, double dy) { return dy; });
    case UnaryOp::hardtanh:
      return f([=](double x) { return std::isnan(x) ? x : std::fmin(std::fmax(x, a), b); },
               [=](double x, double dy) { return x > a && x < b ? dy : 0; });
    case UnaryOp::hardswish:
      return f([](double x) { return x * (std::isnan(x) ? x : std::fmin(std::fmax(x + 3, 0), 6) / 6); },
               [](double x, double dy) { return x < -3  ? 0
                                                : x > 3 ? dy
                                                        : dy * (x / 3 + 0.5); });
    case UnaryOp::mish:
      return f([](double x) { return x * std::tanh(std::log1p(std::exp(x))); },
               [](double x, double dy) {
                 const double t = std::tanh(std::log1p(std::exp(x)));
                 return dy * (t + x / (1 + std::exp(-x)) * (1 - t * t));
               });
    case UnaryOp::selu:
      return f([](double x) { return selu_scale * (x > 0 ? x : selu_alpha * std::expm1(x)); },
               [](double x, double dy) { return selu_scale * dy * (x > 0 ? 1 : selu_alpha * std::exp(x)); });
    case UnaryOp::logsigmoid:
      return f([](double x) { return std::fmin(x, 0) - std::log1p(std::exp(-std::abs(x))); },
               [](double x, double dy) { return dy / (1 + std::exp(x)); });
    case UnaryOp::softshrink:
      return f([=](double x) { return x > a    ? x - a
                                      : x < -a ? x + a
                                               : 0; },
               [=](double x, double dy) { return x < -a || x > a ? dy : 0; });
    case UnaryOp::hardshrink:
      return f([=](double x) { return x >= -a && x <= a ? 0 : x; },
               [=](double x, double dy) { return x < -a || x > a ? dy : 0; });
    case UnaryOp::threshold:
      return f([=](double x) { return x <= a ? b : x; }, [=](double x, double dy) { return x <= a ? 0 : dy; });
    case UnaryOp::smooth_l1:
      return f([=](double x) { return std::abs(x) < a ? x * x / (2 * a) : std::abs(x) - a / 2; },
               [=](double x, double dy) { return x <= -a  ? -dy
                                                 : x >= a ? dy
                                                          : x / a * dy; });
  }
}

template <class T>
void ReferenceFloat<T>::unary(const Unary& f, int64_t n, const T* x, T* y) {
  with_function(f, [&](auto value, auto) {
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(value(static_cast<double>(x[i])));
  });
}

template <class T>
void ReferenceFloat<T>::unary_backward(const Unary& f, int64_t n, const T* v, const T* dy, T* dx) {
  with_function(f, [&](auto, auto gradient) {
    for (int64_t i = 0; i < n; ++i) {
      dx[i] = static_cast<T>(gradient(static_cast<double>(v[i]), static_cast<double>(dy[i])));
    }
  });
}

}  // namespace tern::kernels
