#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>
#include <tern/kernels/unary.hpp>

#include <optional>
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
/// a to the power of b. Integers stay integers, and wrap.
Tensor pow(const Tensor& a, const Tensor& b);
Tensor pow(Scalar a, const Tensor& b);
/// The angle of the point (b, a); of integers float32, as hypot.
Tensor atan2(const Tensor& a, const Tensor& b);
Tensor hypot(const Tensor& a, const Tensor& b);  ///< sqrt(a^2 + b^2), without overflow on the way
/// What is left of a after whole multiples of b: with a's sign (fmod), or with b's, as in Python (remainder). Of
/// integers 0 where b is 0, as floor_divide, the multiple that remainder takes away, a constant to the gradient.
Tensor fmod(const Tensor& a, const Tensor& b);
Tensor fmod(const Tensor& a, Scalar b);
Tensor remainder(const Tensor& a, const Tensor& b);
Tensor remainder(const Tensor& a, Scalar b);
Tensor floor_divide(const Tensor& a, const Tensor& b);
Tensor floor_divide(const Tensor& a, Scalar b);
/// From a (weight 0) to b (weight 1) on a line.
Tensor lerp(const Tensor& a, const Tensor& b, double weight);
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& weight);
Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);  ///< x + value * a * b
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);  ///< x + value * a / b

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
inline Tensor log2(const Tensor& x) { return unary("log2", {UnaryOp::log2}, x); }
inline Tensor log10(const Tensor& x) { return unary("log10", {UnaryOp::log10}, x); }
inline Tensor exp2(const Tensor& x) { return unary("exp2", {UnaryOp::exp2}, x); }
inline Tensor tan(const Tensor& x) { return unary("tan", {UnaryOp::tan}, x); }
inline Tensor asin(const Tensor& x) { return unary("asin", {UnaryOp::asin}, x); }
inline Tensor acos(const Tensor& x) { return unary("acos", {UnaryOp::acos}, x); }
inline Tensor atan(const Tensor& x) { return unary("atan", {UnaryOp::atan}, x); }
inline Tensor sinh(const Tensor& x) { return unary("sinh", {UnaryOp::sinh}, x); }
inline Tensor cosh(const Tensor& x) { return unary("cosh", {UnaryOp::cosh}, x); }
inline Tensor asinh(const Tensor& x) { return unary("asinh", {UnaryOp::asinh}, x); }
inline Tensor acosh(const Tensor& x) { return unary("acosh", {UnaryOp::acosh}, x); }
inline Tensor atanh(const Tensor& x) { return unary("atanh", {UnaryOp::atanh}, x); }
inline Tensor erfc(const Tensor& x) { return unary("erfc", {UnaryOp::erfc}, x); }
inline Tensor trunc(const Tensor& x) { return unary("trunc", {UnaryOp::trunc}, x); }
inline Tensor frac(const Tensor& x) { return unary("frac", {UnaryOp::frac}, x); }
inline Tensor hardtanh(const Tensor& x, double min_val = -1, double max_val = 1) {
  return unary("hardtanh", {UnaryOp::hardtanh, min_val, max_val}, x);
}
inline Tensor relu6(const Tensor& x) { return unary("relu6", {UnaryOp::hardtanh, 0, 6}, x); }
inline Tensor hardsigmoid(const Tensor& x) { return relu6(x + 3) / 6; }
inline Tensor hardswish(const Tensor& x) { return unary("hardswish", {UnaryOp::hardswish}, x); }
inline Tensor mish(const Tensor& x) { return unary("mish", {UnaryOp::mish}, x); }
inline Tensor selu(const Tensor& x) { return unary("selu", {UnaryOp::selu}, x); }
inline Tensor softsign(const Tensor& x) { return x / (abs(x) + 1); }
inline Tensor logsigmoid(const Tensor& x) { return unary("logsigmoid", {UnaryOp::logsigmoid}, x); }
inline Tensor tanhshrink(const Tensor& x) { return x - tanh(x); }
inline Tensor softshrink(const Tensor& x, double lambd = 0.5) {
  return unary("softshrink", {UnaryOp::softshrink, lambd}, x);
}
inline Tensor hardshrink(const Tensor& x, double lambd = 0.5) {
  return unary("hardshrink", {UnaryOp::hardshrink, lambd}, x);
}
inline Tensor threshold(const Tensor& x, double threshold, double value) {
  return unary("threshold", {UnaryOp::threshold, threshold, value}, x);
}
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
// The extremes go to all that are largest, or smallest, in equal shares of the gradient, where no place is asked for;
// else the first takes it. NaN wins over any number.
Tensor max(const Tensor& x);
Tensor min(const Tensor& x);
Tensor amax(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor amin(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
struct MaxResult {
  Tensor values, indices;  ///< and the places of the values along dim, int64
};
MaxResult max(const Tensor& x, std::int64_t dim, bool keepdim = false);
MaxResult min(const Tensor& x, std::int64_t dim, bool keepdim = false);
Tensor argmax(const Tensor& x);
Tensor argmax(const Tensor& x, std::int64_t dim, bool keepdim = false);
Tensor argmin(const Tensor& x);
Tensor argmin(const Tensor& x, std::int64_t dim, bool keepdim = false);
Tensor prod(const Tensor& x);  ///< of integers int64
Tensor prod(const Tensor& x, std::int64_t dim, bool keepdim = false);
/// The sum of squared distances from the mean over n - correction, where n numbers are reduced.
Tensor var(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
Tensor std(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
struct VarMean {
  Tensor var, mean;
};
VarMean var_mean(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
VarMean std_mean(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
/// (sum |x|^p)^(1 / p); how many are not 0 for p = 0, the largest or smallest |x| for p = +-infinity. The gradient at 0
/// is 0.
Tensor norm(const Tensor& x, double p = 2, const Shape& dims = {}, bool keepdim = false);
namespace linalg {
inline Tensor vector_norm(const Tensor& x, double ord = 2, const Shape& dims = {}, bool keepdim = false) {
  return norm(x, ord, dims, keepdim);
}
}  // namespace linalg
Tensor logsumexp(const Tensor& x, const Shape& dims, bool keepdim = false);
/// Whether all, or any, are not 0: uint8, of nothing 1 and 0. And how many, int64.
Tensor all(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor any(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor count_nonzero(const Tensor& x, const Shape& dims = {});

// Of the elements along dim up to each: of integers int64, and the extremes with the last place they are at.
Tensor cumsum(const Tensor& x, std::int64_t dim);
Tensor cumprod(const Tensor& x, std::int64_t dim);
MaxResult cummax(const Tensor& x, std::int64_t dim);
MaxResult cummin(const Tensor& x, std::int64_t dim);

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

struct Conv2dOptions {
  HeightWidth stride = 1, padding = 0, dilation = 1;
  std::int64_t groups = 1;
};
/// x [N, C, H, W], weight [K, C / groups, R, S], bias [K] where defined -> [N, K, P, Q] with
/// P = (H + 2 padding - dilation (R - 1) - 1) / stride + 1. With its padding x has at most 2^48 elements, also for the
/// poolings.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});

/// activate(max_pool2d(conv2d(x, weight, bias, options), kernel_size), activation) without the tensors in between, as
/// long as a window has no more than 256 elements. A kernel_size of 1 pools nothing.
Tensor conv2d_max_pool2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options,
                         HeightWidth kernel_size, Activation activation = Activation::none);

/// x [N, C, H, W] -> [N, C, P, Q] with P = (H + 2 padding - kernel) / stride + 1. The stride is the kernel's size
/// unless given. Where several elements of a window are largest, the first takes the gradient.
struct Pool2dOptions {
  std::optional<HeightWidth> stride = {};
  HeightWidth padding = 0;
};
Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});
/// And where each came from: h * W + w within its plane, int64.
MaxResult max_pool2d_with_indices(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});
/// Padding counts as zeros in the mean.
Tensor avg_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});

/// In training each element is zeroed with probability p and the others are scaled by 1 / (1 - p); else x itself.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true, Generator& generator = default_generator());
/// The same for whole channels of x [N, C, H, W].
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

// Losses of an input and a target. Reduction::none keeps a loss for each element, mean and sum reduce them all.

struct CrossEntropyOptions {
  Tensor weight = {};  ///< [C], one factor a class
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
  double label_smoothing = 0;
};
/// logits [N, C, ...] or [C]. target int64 [N, ...] or [] of class indices, or of the logits' shape and dtype the
/// classes' probabilities -> [], or unreduced [N, ...] or []. A mean is over the weights of the targets, or of
/// probabilities over N. On cuda a target out of range gives NaN, on the host an Error.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {});

struct NllLossOptions {
  Tensor weight = {};  ///< [C], one factor a class
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::mean;
};
/// cross_entropy of what log_softmax gave, of class indices.
Tensor nll_loss(const Tensor& log_probs, const Tensor& target, const NllLossOptions& options = {});

// Elementwise, of one shape. With d = x - target: |d|, d^2.
Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
/// d^2 / (2 beta) where |d| < beta, else |d| - beta / 2. huber_loss is delta times that of delta.
Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean, double beta = 1);
Tensor huber_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean, double delta = 1);
/// -weight (target log x + (1 - target) log(1 - x)), each logarithm -100 at least; x is probabilities. weight
/// broadcasts.
Tensor binary_cross_entropy(const Tensor& x, const Tensor& target, const Tensor& weight = {},
                            Reduction reduction = Reduction::mean);
/// The same of sigmoid(x), without overflow, and with the factor pos_weight, which broadcasts, for target log x.
Tensor binary_cross_entropy_with_logits(const Tensor& x, const Tensor& target, const Tensor& weight = {},
                                        Reduction reduction = Reduction::mean, const Tensor& pos_weight = {});
/// target (log(target) - x), 0 where the target is 0; with log_target the target is its logarithm. mean divides by all
/// elements, batchmean, which is the divergence, by the first size.
Tensor kl_div(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean, bool log_target = false);
/// exp(x) - target x, or without log_input x - target log(x + eps); `full` adds Stirling's target log(target) - target
/// + log(2 pi target) / 2 where the target is more than 1.
Tensor poisson_nll_loss(const Tensor& x, const Tensor& target, bool log_input = true, bool full = false,
                        double eps = 1e-8, Reduction reduction = Reduction::mean);
/// (log(var) + (x - target)^2 / var) / 2, var at least eps, and with `full` log(2 pi) / 2 more. var broadcasts.
Tensor gaussian_nll_loss(const Tensor& x, const Tensor& target, const Tensor& var, bool full = false, double eps = 1e-6,
                         Reduction reduction = Reduction::mean);
/// Where the target is 1, x; where it is -1, what x is below the margin.
Tensor hinge_embedding_loss(const Tensor& x, const Tensor& target, double margin = 1,
                            Reduction reduction = Reduction::mean);
/// log(1 + exp(-target x)) for targets 1 and -1.
Tensor soft_margin_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);

// Of several inputs, which broadcast.
/// max(0, margin - target (x1 - x2)): a target of 1 wants x1 to be the larger, -1 x2.
Tensor margin_ranking_loss(const Tensor& x1, const Tensor& x2, const Tensor& target, double margin = 0,
                           Reduction reduction = Reduction::mean);
/// The cosine of the angle between x1 and x2 along dim, each norm eps at least.
Tensor cosine_similarity(const Tensor& x1, const Tensor& x2, std::int64_t dim = 1, double eps = 1e-8);
/// norm(x1 - x2 + eps, p) along the last dimension.
Tensor pairwise_distance(const Tensor& x1, const Tensor& x2, double p = 2, double eps = 1e-6, bool keepdim = false);
/// x1, x2 [N, D] or [D], target [N] or [] of 1 and -1: 1 - cos where it is 1, max(0, cos - margin) where it is -1.
Tensor cosine_embedding_loss(const Tensor& x1, const Tensor& x2, const Tensor& target, double margin = 0,
                             Reduction reduction = Reduction::mean);
struct TripletMarginLossOptions {
  double margin = 1, p = 2, eps = 1e-6;
  bool swap = false;  ///< measure from the positive to the negative, where that is nearer
  Reduction reduction = Reduction::mean;
};
/// max(0, d(anchor, positive) - d(anchor, negative) + margin), d being pairwise_distance.
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginLossOptions& options = {});

}  // namespace tern
