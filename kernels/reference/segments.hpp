#pragma once

#include <tern/kernels/reference/reference.hpp>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::sum_of_squares(std::span<const Segment<T>> all, T* y) {
  double sum = 0;
  for (const Segment<T>& a : all) {
    for (int64_t i = 0; i < a.n; ++i) sum += static_cast<double>(a.x[i]) * static_cast<double>(a.x[i]);
  }
  y[0] = static_cast<T>(sum);
}

template <class T>
void ReferenceFloat<T>::scale_all(std::span<const Segment<T>> all, double a, const T* factor) {
  const double by = a * static_cast<double>(factor[0]);
  for (const Segment<T>& s : all) {
    for (int64_t i = 0; i < s.n; ++i) s.y[i] = static_cast<T>(by * static_cast<double>(s.x[i]));
  }
}

template <class T>
void ReferenceFloat<T>::add_all(std::span<const Segment<T>> all) {
  for (const Segment<T>& s : all) {
    for (int64_t i = 0; i < s.n; ++i) s.y[i] += s.x[i];
  }
}

template <class T>
void ReferenceFloat<T>::lerp_all(std::span<const Segment<T>> all, double weight, const StepNumbers<T>* numbers) {
  if (numbers && numbers->stopped()) return;
  const double w = numbers ? numbers->at(0) : weight;
  for (const Segment<T>& s : all) {
    for (int64_t i = 0; i < s.n; ++i) {
      s.y[i] = static_cast<T>(s.y[i] + w * (static_cast<double>(s.x[i]) - static_cast<double>(s.y[i])));
    }
  }
}

}  // namespace tern::kernels
