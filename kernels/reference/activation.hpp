#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <cmath>

namespace tern::kernels {

/// y[i] = f(x[i]), with f in double.
template <class T, class F>
void map(int64_t n, const T* x, T* y, F f) {
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(f(static_cast<double>(x[i])));
}

/// dx[i] = f(y[i], dy[i]), with f in double.
template <class T, class F>
void map(int64_t n, const T* y, const T* dy, T* dx, F f) {
  for (int64_t i = 0; i < n; ++i) dx[i] = static_cast<T>(f(static_cast<double>(y[i]), static_cast<double>(dy[i])));
}

template <class T>
void ReferenceFloat<T>::neg(int64_t n, const T* x, T* y) {
  map(n, x, y, [](double v) { return -v; });
}

template <class T>
void ReferenceFloat<T>::exp(int64_t n, const T* x, T* y) {
  map(n, x, y, [](double v) { return std::exp(v); });
}

template <class T>
void ReferenceFloat<T>::log(int64_t n, const T* x, T* y) {
  map(n, x, y, [](double v) { return std::log(v); });
}

template <class T>
void ReferenceFloat<T>::sqrt(int64_t n, const T* x, T* y) {
  map(n, x, y, [](double v) { return std::sqrt(v); });
}

template <class T>
void ReferenceFloat<T>::pow(int64_t n, double exponent, const T* x, T* y) {
  map(n, x, y, [exponent](double v) { return std::pow(v, exponent); });
}

template <class T>
void ReferenceFloat<T>::tanh(int64_t n, const T* x, T* y) {
  map(n, x, y, [](double v) { return std::tanh(v); });
}

template <class T>
void ReferenceFloat<T>::relu(int64_t n, const T* x, T* y) {
  map(n, x, y, [](double v) { return v <= 0 ? 0 : v; });
}

template <class T>
void ReferenceFloat<T>::sigmoid(int64_t n, const T* x, T* y) {
  map(n, x, y, [](double v) { return 1 / (1 + std::exp(-v)); });
}

template <class T>
void ReferenceFloat<T>::tanh_backward(int64_t n, const T* y, const T* dy, T* dx) {
  map(n, y, dy, dx, [](double v, double d) { return d * (1 - v * v); });
}

template <class T>
void ReferenceFloat<T>::relu_backward(int64_t n, const T* y, const T* dy, T* dx) {
  map(n, y, dy, dx, [](double v, double d) { return v <= 0 ? 0 : d; });
}

template <class T>
void ReferenceFloat<T>::sigmoid_backward(int64_t n, const T* y, const T* dy, T* dx) {
  map(n, y, dy, dx, [](double v, double d) { return d * v * (1 - v); });
}

}  // namespace tern::kernels
