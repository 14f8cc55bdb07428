#pragma once

#include <tern/kernels/reference/reference.hpp>
#include <tern/kernels/unary.hpp>

#include <cmath>

namespace tern::kernels {

/// Calls f with the function and its gradient: dx from dy and what gradient_of says, the function's x or its y.
template <class F>
void with_function(const Unary& unary, F f) {
  const double a = unary.a;
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
      return f([=](double x) { return std::pow(x, a); },
               [=](double x, double dy) { return a == 0 ? 0 : dy * (a * std::pow(x, a - 1)); });
    case UnaryOp::tanh:
      return f([](double x) { return std::tanh(x); }, [](double y, double dy) { return dy * (1 - y * y); });
    case UnaryOp::relu:
      return f([](double x) { return x <= 0 ? 0 : x; }, [](double y, double dy) { return y <= 0 ? 0 : dy; });
    case UnaryOp::sigmoid:
      return f([](double x) { return 1 / (1 + std::exp(-x)); }, [](double y, double dy) { return dy * y * (1 - y); });
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
