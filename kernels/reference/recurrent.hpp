#pragma once

#include <tern/kernels/reference/reference.hpp>

#include <cmath>

namespace tern::kernels {

template <class T>
void ReferenceFloat<T>::recurrent_cell(const CellShape& s, const T* x, const T* r, const T* before, T* kept, T* after,
                                       T* h) {
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  for (int64_t at = 0; at < s.N * s.H; ++at) {
    const int64_t n = at / s.H, i = at % s.H;
    const auto part = [&](const T* of, int64_t g) { return static_cast<double>(of[(n * s.sums() + g) * s.H + i]); };
    const auto sum = [&](int64_t g) { return part(x, g) + part(r, g); };
    const auto keep = [&](int64_t g, double v) { kept[(n * s.kept() + g) * s.H + i] = static_cast<T>(v); };
    switch (s.cell) {
      case Cell::tanh:
        after[at] = static_cast<T>(std::tanh(sum(0)));
        break;
      case Cell::relu:
        after[at] = static_cast<T>(sum(0) <= 0 ? 0 : sum(0));
        break;
      case Cell::lstm: {
        const double input = sigmoid(sum(0)), forget = sigmoid(sum(1)), g = std::tanh(sum(2)), output = sigmoid(sum(3));
        const double c = forget * before[at] + input * g;
        keep(0, input);
        keep(1, forget);
        keep(2, g);
        keep(3, output);
        after[at] = static_cast<T>(c);
        h[at] = static_cast<T>(output * std::tanh(c));
        break;
      }
      case Cell::gru: {
        const double reset = sigmoid(sum(0)), z = sigmoid(sum(1)), g = std::tanh(part(x, 2) + reset * part(r, 2));
        keep(0, reset);
        keep(1, z);
        keep(2, g);
        keep(3, part(r, 2));
        after[at] = static_cast<T>((1 - z) * g + z * before[at]);
        break;
      }
    }
  }
}

template <class T>
void ReferenceFloat<T>::recurrent_cell_backward(const CellShape& s, const T* kept, const T* before, const T* after,
                                                const T* dy, const T* dh, T* carry, T* dx, T* dr) {
  for (int64_t at = 0; at < s.N * s.H; ++at) {
    const int64_t n = at / s.H, i = at % s.H;
    const auto was = [&](int64_t g) { return static_cast<double>(kept[(n * s.kept() + g) * s.H + i]); };
    const auto give = [&](T* to, int64_t g, double v) { to[(n * s.sums() + g) * s.H + i] = static_cast<T>(v); };
    const double g = (dy ? dy[at] : 0.0) + (dh ? dh[at] : 0.0);
    switch (s.cell) {
      case Cell::tanh:
        give(dx, 0, g * (1 - static_cast<double>(after[at]) * after[at]));
        break;
      case Cell::relu:
        give(dx, 0, after[at] <= 0 ? 0 : g);
        break;
      case Cell::lstm: {
        const double input = was(0), forget = was(1), gate = was(2), output = was(3), c = std::tanh(after[at]);
        const double dc = carry[at] + g * output * (1 - c * c);
        give(dx, 0, dc * gate * input * (1 - input));
        give(dx, 1, dc * before[at] * forget * (1 - forget));
        give(dx, 2, dc * input * (1 - gate * gate));
        give(dx, 3, g * c * output * (1 - output));
        carry[at] = static_cast<T>(dc * forget);
        break;
      }
      case Cell::gru: {
        const double reset = was(0), z = was(1), gate = was(2), from_state = was(3), all = g + carry[at];
        const double d_gate = all * (1 - z) * (1 - gate * gate);
        const double d_reset = d_gate * from_state * reset * (1 - reset);
        const double d_z = all * (before[at] - gate) * z * (1 - z);
        for (T* const to : {dx, dr}) {
          give(to, 0, d_reset);
          give(to, 1, d_z);
          give(to, 2, to == dx ? d_gate : d_gate * reset);
        }
        carry[at] = static_cast<T>(all * z);
        break;
      }
    }
  }
}

}  // namespace tern::kernels
