#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>

/// torch.nn.init: what a tensor is filled with, in place and unrecorded. Each returns the tensor. Random numbers are
/// the generator's, so the same seed gives the same weights on every device, not PyTorch's.
///
/// fan_in of a weight [out, in, ...] is in times the product of what follows, fan_out is out times that.

namespace tern::init {

/// Uniform in [a, b), or normal.
/// @{
const Tensor& uniform_(const Tensor& x, double a = 0, double b = 1, Generator& generator = default_generator());
const Tensor& normal_(const Tensor& x, double mean = 0, double std = 1, Generator& generator = default_generator());
/// @}

/// Normal, but within [a, b]: the inverse of its distribution function, of uniform numbers, on the host, in double.
const Tensor& trunc_normal_(const Tensor& x, double mean = 0, double std = 1, double a = -2, double b = 2,
                            Generator& generator = default_generator());
/// One number everywhere.
/// @{
const Tensor& constant_(const Tensor& x, double value);
const Tensor& ones_(const Tensor& x);
const Tensor& zeros_(const Tensor& x);
/// @}

/// Of a matrix: 1 on the diagonal, else 0.
const Tensor& eye_(const Tensor& x);

/// Uniform in +-gain sqrt(6 / (fan_in + fan_out)). Glorot, Bengio, "Understanding the difficulty of training deep
/// feedforward neural networks", 2010, equation 16. Throws Error for less than two dimensions, as all below.
const Tensor& xavier_uniform_(const Tensor& x, double gain = 1, Generator& generator = default_generator());
/// Normal with a standard deviation of gain sqrt(2 / (fan_in + fan_out)).
const Tensor& xavier_normal_(const Tensor& x, double gain = 1, Generator& generator = default_generator());

/// What kaiming_uniform_ counts by: a unit's inputs (`in`) or its outputs (`out`).
enum class Fan { in, out };
/// What follows the layer: nothing (`linear`), `sigmoid`, `tanh`, `relu`, `leaky_relu` or `selu`.
enum class Nonlinearity { linear, sigmoid, tanh, relu, leaky_relu, selu };

/// sqrt(2) for relu, sqrt(2 / (1 + param^2)) for leaky_relu of that slope, 5/3 for tanh, 3/4 for selu, else 1.
double calculate_gain(Nonlinearity nonlinearity, double param = 0.01);

/// PyTorch's arguments of kaiming_uniform_ and kaiming_normal_: a, mode, nonlinearity.
struct KaimingOptions {
  double a = 0;        ///< leaky_relu's slope
  Fan mode = Fan::in;  ///< what is counted: keeps the variance forward (in), or backward (out)
  Nonlinearity nonlinearity = Nonlinearity::leaky_relu;  ///< what follows, for the gain
};
/// Uniform in +-gain sqrt(3 / fan). He et al., "Delving deep into rectifiers", 2015, section 2.2.
const Tensor& kaiming_uniform_(const Tensor& x, const KaimingOptions& options = {},
                               Generator& generator = default_generator());
/// Normal with a standard deviation of gain / sqrt(fan).
const Tensor& kaiming_normal_(const Tensor& x, const KaimingOptions& options = {},
                              Generator& generator = default_generator());

/// x, seen as a matrix of its first dimension and all others, becomes gain times one whose rows, or columns where these
/// are the shorter, are orthonormal: of a normal matrix the orthonormal part, by Gram-Schmidt twice over, on the host,
/// in double. Saxe, McClelland, Ganguli, "Exact solutions to the nonlinear dynamics of learning", 2014, section 3.
const Tensor& orthogonal_(const Tensor& x, double gain = 1, Generator& generator = default_generator());

}  // namespace tern::init
