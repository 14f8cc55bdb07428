#include "swiglu.hpp"

#include "swiglu_kernels.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <cmath>
#include <cstdint>

namespace {

using tern::Device;
using tern::Tensor;

float sigmoid(float x) { return 1 / (1 + std::exp(-x)); }

void swiglu_cpu(std::int64_t rows, std::int64_t n, const float* x, float* y) {
  tern::kernels::parallel_for(rows, 64, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t i = 0; i < n; ++i) {
        const float a = x[2 * n * r + i], b = x[2 * n * r + n + i];
        y[n * r + i] = a * b * sigmoid(a);
      }
    }
  });
}

void swiglu_backward_cpu(std::int64_t rows, std::int64_t n, const float* x, const float* dy, float* dx) {
  tern::kernels::parallel_for(rows, 64, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      for (std::int64_t i = 0; i < n; ++i) {
        const float a = x[2 * n * r + i], b = x[2 * n * r + n + i], g = dy[n * r + i], s = sigmoid(a);
        dx[2 * n * r + i] = g * b * s * (1 + a * (1 - s));
        dx[2 * n * r + n + i] = g * a * s;
      }
    }
  });
}

}  // namespace

Tensor swiglu(const Tensor& in) {
  if (in.dim() == 0 || in.size(-1) % 2 != 0 || in.dtype() != tern::DType::float32 || in.device().kind == Device::reference) {
    throw tern::Error("swiglu: x of shape " + in.shape().str() + " on " + in.device().str() +
                      ", expected float32 on cpu or cuda, and an even last size");
  }
  const Tensor x = in.contiguous();
  tern::Shape shape = x.shape();
  const std::int64_t n = shape.back() / 2, rows = n == 0 ? 0 : x.numel() / (2 * n);
  shape[shape.size() - 1] = n;
  const Tensor y = tern::empty(shape, {.device = x.device()});
  if (x.device().kind == Device::cuda) {
    swiglu_cuda(x.device().index, rows, n, x.data<float>(), y.data<float>());
  } else {
    swiglu_cpu(rows, n, x.data<float>(), y.data<float>());
  }
  return tern::record("swiglu", {x}, y, [rows, n, x = tern::Saved(x)](const Tensor& gradient) {
    const Tensor g = gradient.contiguous(), dx = tern::empty_like(*x);
    if (g.device().kind == Device::cuda) {
      swiglu_backward_cuda(g.device().index, rows, n, (*x).data<float>(), g.data<float>(), dx.data<float>());
    } else {
      swiglu_backward_cpu(rows, n, (*x).data<float>(), g.data<float>(), dx.data<float>());
    }
    return dx;
  });
}
