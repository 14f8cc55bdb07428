#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>
#include <tern/kernels/unary.hpp>

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

/// Every differentiable op as a free function. Each stands in its own file in core/ops/, its gradient beside it.
/// Names, arguments and defaults are PyTorch's. Unless said otherwise an op wants float32 or float64 tensors on one
/// device and throws tern::Error, naming itself, the shapes and what it expected, for anything else.

namespace tern {

/// A height and a width; one number stands for both.
struct HeightWidth {
  std::int64_t h, w;
  constexpr HeightWidth(std::int64_t both) : h(both), w(both) {}
  constexpr HeightWidth(std::int64_t height, std::int64_t width) : h(height), w(width) {}
};

using kernels::Activation;
using kernels::Reduction;
using kernels::Unary;
using kernels::UnaryOp;

// Elementwise arithmetic with NumPy broadcasting, on any dtype. Where two dtypes meet, the later of uint8, int64,
// float32, float64 wins; a number takes the tensor's dtype where that can hold it, else int64 or, with a fraction,
// float32. Dividing integers gives float32.
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
/// Half the gradient goes to each where they are equal, all of it to both where either is NaN.
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);

Tensor operator+(const Tensor& a, const Tensor& b);
Tensor operator-(const Tensor& a, const Tensor& b);
Tensor operator*(const Tensor& a, const Tensor& b);
Tensor operator/(const Tensor& a, const Tensor& b);
Tensor operator+(const Tensor& a, Scalar b);
Tensor operator-(const Tensor& a, Scalar b);
Tensor operator*(const Tensor& a, Scalar b);
Tensor operator/(const Tensor& a, Scalar b);
Tensor operator+(Scalar a, const Tensor& b);
Tensor operator-(Scalar a, const Tensor& b);
Tensor operator*(Scalar a, const Tensor& b);
Tensor operator/(Scalar a, const Tensor& b);
Tensor operator-(const Tensor& x);

// Comparisons, broadcasting, on any dtype: uint8, 1 where it holds, no gradient.
Tensor eq(const Tensor& a, const Tensor& b);
Tensor ne(const Tensor& a, const Tensor& b);
Tensor lt(const Tensor& a, const Tensor& b);
Tensor le(const Tensor& a, const Tensor& b);
Tensor gt(const Tensor& a, const Tensor& b);
Tensor ge(const Tensor& a, const Tensor& b);
Tensor eq(const Tensor& a, Scalar b);
Tensor ne(const Tensor& a, Scalar b);
Tensor lt(const Tensor& a, Scalar b);
Tensor le(const Tensor& a, Scalar b);
Tensor gt(const Tensor& a, Scalar b);
Tensor ge(const Tensor& a, Scalar b);

// Elementwise functions. docs/adding-an-op.md adds one.
/// y = f(x), recorded under its name: what the others are.
Tensor unary(const char* name, const Unary& f, const Tensor& x);
inline Tensor neg(const Tensor& x) { return unary("neg", {UnaryOp::neg}, x); }
inline Tensor exp(const Tensor& x) { return unary("exp", {UnaryOp::exp}, x); }
inline Tensor log(const Tensor& x) { return unary("log", {UnaryOp::log}, x); }
inline Tensor sqrt(const Tensor& x) { return unary("sqrt", {UnaryOp::sqrt}, x); }
inline Tensor pow(const Tensor& x, double exponent) { return unary("pow", {UnaryOp::pow, exponent}, x); }
inline Tensor tanh(const Tensor& x) { return unary("tanh", {UnaryOp::tanh}, x); }
inline Tensor relu(const Tensor& x) { return unary("relu", {UnaryOp::relu}, x); }
inline Tensor sigmoid(const Tensor& x) { return unary("sigmoid", {UnaryOp::sigmoid}, x); }
inline Tensor leaky_relu(const Tensor& x, double negative_slope = 0.01) {
  return unary("leaky_relu", {UnaryOp::leaky_relu, negative_slope}, x);
}
inline Tensor elu(const Tensor& x, double alpha = 1) { return unary("elu", {UnaryOp::elu, alpha}, x); }
enum class Approximate { none, tanh };
inline Tensor gelu(const Tensor& x, Approximate approximate = Approximate::none) {
  return unary("gelu", {approximate == Approximate::tanh ? UnaryOp::gelu_tanh : UnaryOp::gelu}, x);
}
inline Tensor silu(const Tensor& x) { return unary("silu", {UnaryOp::silu}, x); }
inline Tensor softplus(const Tensor& x, double beta = 1, double threshold = 20) {
  return unary("softplus", {UnaryOp::softplus, beta, threshold}, x);
}
inline Tensor sin(const Tensor& x) { return unary("sin", {UnaryOp::sin}, x); }
inline Tensor cos(const Tensor& x) { return unary("cos", {UnaryOp::cos}, x); }
inline Tensor rsqrt(const Tensor& x) { return unary("rsqrt", {UnaryOp::rsqrt}, x); }
inline Tensor abs(const Tensor& x) { return unary("abs", {UnaryOp::abs}, x); }
inline Tensor round(const Tensor& x) { return unary("round", {UnaryOp::round}, x); }  ///< halves to even
inline Tensor floor(const Tensor& x) { return unary("floor", {UnaryOp::floor}, x); }
inline Tensor ceil(const Tensor& x) { return unary("ceil", {UnaryOp::ceil}, x); }
inline Tensor sign(const Tensor& x) { return unary("sign", {UnaryOp::sign}, x); }
inline Tensor log1p(const Tensor& x) { return unary("log1p", {UnaryOp::log1p}, x); }
inline Tensor expm1(const Tensor& x) { return unary("expm1", {UnaryOp::expm1}, x); }
inline Tensor erf(const Tensor& x) { return unary("erf", {UnaryOp::erf}, x); }
inline Tensor reciprocal(const Tensor& x) { return unary("reciprocal", {UnaryOp::reciprocal}, x); }
inline Tensor square(const Tensor& x) { return unary("square", {UnaryOp::square}, x); }
/// At least min, at most max, where they are given; max where min is larger. Integers keep their dtype between whole
/// bounds, and are float32 between others.
Tensor clamp(const Tensor& x, std::optional<Scalar> min, std::optional<Scalar> max = {});
Tensor activate(const Tensor& x, Activation activation);  ///< one of these; x itself for Activation::none

// Reductions. Without dims, or with none named, over all, to a shape of []. sum of integers is int64; keepdim leaves
// reduced sizes at 1.
Tensor sum(const Tensor& x);
Tensor sum(const Tensor& x, const Shape& dims, bool keepdim = false);
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, const Shape& dims, bool keepdim = false);
/// The sum of the squares of all elements of all tensors, of one dtype on one device: a penalty on a model's parameters
/// in one kernel. [] ; without tensors an Error.
Tensor sum_of_squares(const std::vector<Tensor>& tensors);
Tensor max(const Tensor& x);  ///< the gradient goes to all that are largest, in equal shares
struct MaxResult {
  Tensor values, indices;
};
/// The largest along dim and its first place, int64. The gradient goes to that place. NaN wins.
MaxResult max(const Tensor& x, std::int64_t dim, bool keepdim = false);
Tensor argmax(const Tensor& x);
Tensor argmax(const Tensor& x, std::int64_t dim, bool keepdim = false);

Tensor softmax(const Tensor& x, std::int64_t dim);
Tensor log_softmax(const Tensor& x, std::int64_t dim);

/// [m, k] x [k, n], or a batch of them: [b, m, k] x [b, k, n], where one side may lack the batch.
Tensor matmul(const Tensor& a, const Tensor& b);

/// Along an existing dimension; all other sizes must agree.
Tensor cat(const std::vector<Tensor>& tensors, std::int64_t dim = 0);
/// Along a new dimension; all shapes must agree.
Tensor stack(const std::vector<Tensor>& tensors, std::int64_t dim = 0);
/// The slices of x along dim that index, int64 [n], names, of any dtype. A tensor of shape [] is one slice, and stays so.
/// An index out of range is an Error, on cuda NaN or 0.
Tensor index_select(const Tensor& x, std::int64_t dim, const Tensor& index);

/// activation(x [..., in] times weight [out, in] transposed, plus bias [out] where defined).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
              Activation activation = Activation::none);

/// A padding, or "same": as much of it as makes the output as large as the input, of an odd number the smaller half
/// first, for a stride of 1. "valid" is none.
struct Padding : HeightWidth {
  bool same = false;
  constexpr Padding(std::int64_t both) : HeightWidth(both) {}
  constexpr Padding(std::int64_t height, std::int64_t width) : HeightWidth(height, width) {}
  constexpr Padding(HeightWidth both) : HeightWidth(both) {}
  template <std::size_t n>
  Padding(const char (&name)[n]) : Padding(std::string_view(name)) {}

 private:
  explicit Padding(std::string_view name);  ///< throws Error for another name
};

struct Conv2dOptions {
  HeightWidth stride = 1;
  Padding padding = 0;
  HeightWidth dilation = 1;
  std::int64_t groups = 1;
};
/// x [N, C, H, W], weight [K, C / groups, R, S], bias [K] where defined -> [N, K, P, Q] with
/// P = (H + 2 padding - dilation (R - 1) - 1) / stride + 1. With its padding x has at most 2^48 elements, also for the
/// poolings. N may be left out, in all ops here.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});

struct ConvTranspose2dOptions {
  HeightWidth stride = 1, padding = 0, output_padding = 0;
  std::int64_t groups = 1;
  HeightWidth dilation = 1;
};
/// The gradient of conv2d by its input, as an op: x [N, K, P, Q], weight [K, C / groups, R, S], bias [C] where defined
/// -> [N, C, H, W] with H = (P - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1. output_padding, smaller
/// than the stride or the dilation, chooses among the sizes that conv2d maps to P.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dOptions& options = {});

struct Conv1dOptions {
  std::int64_t stride = 1;
  Padding padding = 0;  ///< its width
  std::int64_t dilation = 1, groups = 1;
};
struct ConvTranspose1dOptions {
  std::int64_t stride = 1, padding = 0, output_padding = 0, groups = 1, dilation = 1;
};
/// The same of x [N, C, L] and weight [K, C / groups, S].
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv1dOptions& options = {});
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose1dOptions& options = {});

/// activate(max_pool2d(conv2d(x, weight, bias, options), kernel_size), activation) without the tensors in between, as
/// long as a window has no more than 256 elements. A kernel_size of 1 pools nothing.
Tensor conv2d_max_pool2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options,
                         HeightWidth kernel_size, Activation activation = Activation::none);

/// x [N, C, H, W] -> [N, C, P, Q] with P = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded up in
/// ceil_mode, where the last window begins within x or the padding before it. The stride is the kernel's size unless
/// given. Where several elements of a window are largest, the first takes the gradient.
struct Pool2dOptions {
  std::optional<HeightWidth> stride = {};
  HeightWidth padding = 0, dilation = 1;  ///< no dilation of averages
  bool ceil_mode = false;
  // Of averages only: whether padding counts, as zeros, and what to divide by instead of the number of elements.
  bool count_include_pad = true;
  std::optional<std::int64_t> divisor_override = {};
};
/// No window may be all padding: with padding, the dilation is at most x's height and width.
Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});
/// And where each came from: h * W + w within its plane, int64.
MaxResult max_pool2d_with_indices(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});
Tensor avg_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});

struct Pool1dOptions {
  std::optional<std::int64_t> stride = {};
  std::int64_t padding = 0, dilation = 1;
  bool ceil_mode = false, count_include_pad = true;
};
/// The same of x [N, C, L].
Tensor max_pool1d(const Tensor& x, std::int64_t kernel_size, const Pool1dOptions& options = {});
Tensor avg_pool1d(const Tensor& x, std::int64_t kernel_size, const Pool1dOptions& options = {});

/// Sizes of an output, where none keeps the input's; one number stands for both.
struct OutputSize {
  std::optional<std::int64_t> h, w;
  constexpr OutputSize(std::int64_t both) : h(both), w(both) {}
  constexpr OutputSize(std::optional<std::int64_t> height, std::optional<std::int64_t> width) : h(height), w(width) {}
};
/// x [N, C, H, W] -> [N, C, P, Q]: window p is of the rows p H / P, rounded down, to (p + 1) H / P, rounded up.
Tensor adaptive_avg_pool2d(const Tensor& x, OutputSize output_size);
Tensor adaptive_max_pool2d(const Tensor& x, OutputSize output_size);
MaxResult adaptive_max_pool2d_with_indices(const Tensor& x, OutputSize output_size);
/// The same of x [N, C, L].
Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output_size);
Tensor adaptive_max_pool1d(const Tensor& x, std::int64_t output_size);

/// What mode of interpolate means by scale: factors of height and width; one number stands for both.
struct ScaleFactor {
  double h, w;
  constexpr ScaleFactor(double both) : h(both), w(both) {}
  constexpr ScaleFactor(double height, double width) : h(height), w(width) {}
};
enum class InterpolateMode { nearest, nearest_exact, linear, bilinear, area };
struct InterpolateOptions {
  std::optional<HeightWidth> size = {};  ///< this or a scale_factor, of which the size is the whole part
  std::optional<ScaleFactor> scale_factor = {};
  InterpolateMode mode = InterpolateMode::nearest;
  bool align_corners = false;           ///< of linear and bilinear
  bool recompute_scale_factor = false;  ///< take the sizes' quotient, not the scale_factor, for places, too
};
/// x [N, C, H, W] -> [N, C, P, Q], or [N, C, L] -> [N, C, Q]: linear of the latter, bilinear of the former.
Tensor interpolate(const Tensor& x, const InterpolateOptions& options);

/// [..., C r r, H, W] -> [..., C, H r, W r], and back.
Tensor pixel_shuffle(const Tensor& x, std::int64_t upscale_factor);
Tensor pixel_unshuffle(const Tensor& x, std::int64_t downscale_factor);

/// In training each element is zeroed with probability p and the others are scaled by 1 / (1 - p); else x itself.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true, Generator& generator = default_generator());
/// The same for whole channels of x [N, C, ...]. Three dimensions are [N, C, L], as for PyTorch 1.13.
Tensor dropout2d(const Tensor& x, double p = 0.5, bool training = true, Generator& generator = default_generator());

struct BatchNorm2dOptions {
  bool training = false;
  double momentum = 0.1, eps = 1e-5;
  Activation activation = Activation::none;  ///< of what is normalised and shifted, and the residual added to it
  Tensor residual = {};                      ///< x's shape, or none
  Tensor num_batches_tracked = {};           ///< int64 of one element, increased by one in training, or none
};
/// x [N, C, H, W]; running_mean, running_var, weight, bias [C], the last two optional. In training the batch's own
/// statistics normalise, and the running ones, where defined, move towards them, but for an x without elements.
Tensor batch_norm2d(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight = {},
                    const Tensor& bias = {}, const BatchNorm2dOptions& options = {});

/// activation(max_pool2d(batch_norm2d(...), kernel_size, pool)), and in training without the tensors in between: one op
/// where memory is what batch normalisation waits for. There is no residual.
Tensor batch_norm2d_max_pool2d(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                               const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& options,
                               HeightWidth kernel_size, const Pool2dOptions& pool = {});

struct CrossEntropyOptions {
  Tensor weight = {};  ///< [C], one factor a class
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
};
/// logits [N, C], target int64 [N] of class indices -> [] or, unreduced, [N]. On cuda a target out of range gives NaN,
/// on the host an Error.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {});
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);

}  // namespace tern
