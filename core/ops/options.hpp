#pragma once

#include <tern/core/ops.hpp>

/// What an op and the layer that keeps its options check alike. Each throws Error, which begins with `who`.

namespace tern {

/// 0 to 1.
void check_probability(const char* who, double p);
/// Strides and dilations of 1 or more, no negative padding, a kernel of 1 or more, one group or more.
void check_options(const char* who, HeightWidth kernel_size, const Conv2dOptions& options);
/// The same, and an output_padding that is smaller than the stride or the dilation.
void check_options(const char* who, HeightWidth kernel_size, const ConvTranspose2dOptions& options);
/// A kernel, strides and dilations of 1 or more, padding of at most half the kernel, a divisor other than 0.
void check_options(const char* who, HeightWidth kernel_size, const Pool2dOptions& options);
/// A size or a scale_factor, of positive numbers; what the mode has no use for left alone.
void check_options(const char* who, const InterpolateOptions& options);
/// Finite and not below 0.
void check_eps(const char* who, double eps);
/// eps likewise, momentum finite where there is one.
void check_batch_norm(const char* who, double eps, std::optional<double> momentum);
/// label_smoothing in 0 to 1.
void check_options(const char* who, const CrossEntropyOptions& options);

}  // namespace tern
