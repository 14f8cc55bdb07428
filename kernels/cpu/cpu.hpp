#pragma once

/// The fast CPU backend: SIMD (Highway, the best instruction set of the machine at run time), OpenMP threads, OpenBLAS
/// for matrix products. What it does not override runs as in reference/. Results are the same for any number of
/// threads.

#include <tern/kernels/reference/reference.hpp>

namespace tern::kernels {

class CpuFloat32 : public ReferenceFloat<float> {
 public:
  // matmul.cpp
  void matmul(const MatmulShape& s, const float* a, const float* b, float* y) override;

  // conv2d.cpp
  void conv2d(const Conv2dShape& s, const float* x, const float* w, const float* bias, float* y) override;
  void conv2d_backward_input(const Conv2dShape& s, const float* w, const float* dy, float* dx) override;
  void conv2d_backward_weight(const Conv2dShape& s, const float* x, const float* dy, float* dw, float* dbias) override;
};

class CpuBackend : public ReferenceBackend {
 public:
  CpuBackend();

  /// From cpu_memory(), see memory.hpp.
  void* allocate(std::size_t bytes) override;
  void release(void* p, std::size_t bytes) noexcept override;

  FloatKernels<float>& floating(float) override { return float_; }
  using ReferenceBackend::floating;

 private:
  CpuFloat32 float_;
};

}  // namespace tern::kernels
