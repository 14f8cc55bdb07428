#pragma once

#include <tern/core/ops.hpp>

/// What an op and the layer that keeps its options check alike. Each throws Error, which begins with `who`.

namespace tern {

/// 0 to 1.
void check_probability(const char* who, double p);
/// Strides and dilations of 1 or more, no negative padding, a kernel of 1 or more, one group or more.
void check_options(const char* who, HeightWidth kernel_size, const Conv2dOptions& options);
/// A kernel and strides of 1 or more, padding of at most half the kernel.
void check_options(const char* who, HeightWidth kernel_size, const Pool2dOptions& options);
/// Finite and not below 0.
void check_eps(const char* who, double eps);
/// eps likewise, momentum finite where there is one.
void check_batch_norm(const char* who, double eps, std::optional<double> momentum);
/// label_smoothing in 0 to 1.
void check_options(const char* who, const CrossEntropyOptions& options);

}  // namespace tern
