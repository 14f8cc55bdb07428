#pragma once

#include <tern/kernels/cpu/cpu.hpp>

#include <functional>

/// Convolutions whose planes others look at, or make, while these are in the cache (batch_norm2d.cpp).

namespace tern::kernels {

/// y = conv2d(x, w, bias), and look(plane) once for each plane [P, Q] of y, by its place in memory and by several
/// threads: as soon as it is there, or for large ones when all are.
void conv2d_by_planes(CpuFloat32& kernels, const Conv2dShape& s, const float* x, const float* w, const float* bias,
                      float* y, const std::function<void(int64_t)>& look);

/// Whether the planes of an image of y fit the cache, for who is to make them.
bool conv2d_planes_fit(const Conv2dShape& s);

/// The gradient by w and by bias, unless null, where dy(plane, to) makes a plane of dy, by several threads and perhaps
/// more than once.
void conv2d_backward_weight_by_planes(const Conv2dShape& s, const float* x,
                                      const std::function<void(int64_t, float*)>& dy, float* dw, float* dbias);

}  // namespace tern::kernels
