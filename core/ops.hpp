#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>
#include <tern/kernels/unary.hpp>

#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

/// Every differentiable op as a free function. Each stands in its own file in core/ops/, its gradient beside it.
/// Names, arguments and defaults are PyTorch's. Unless said otherwise an op wants tensors of one dtype of floats on one
/// device and throws tern::Error, naming itself, the shapes and what it expected, for anything else.

namespace tern {

/// A height and a width; one number stands for both.
struct HeightWidth {
  std::int64_t h, w;                                              ///< in elements: rows, and columns
  constexpr HeightWidth(std::int64_t both) : h(both), w(both) {}  ///< one number for both
  constexpr HeightWidth(std::int64_t height, std::int64_t width) : h(height), w(width) {}  ///< one for each
};

using kernels::Activation;
using kernels::Reduction;
using kernels::Unary;
using kernels::UnaryOp;

/// Elementwise arithmetic with NumPy broadcasting, on any dtype. Where two dtypes meet, the later of uint8, int64,
/// float32, float64 wins; a number takes the tensor's dtype where that can hold it, else int64 or, with a fraction,
/// float32. Dividing integers gives float32.
/// @{
Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
Tensor div(const Tensor& a, const Tensor& b);
/// @}

/// Half the gradient goes to each where they are equal, all of it to both where either is NaN.
/// @{
Tensor maximum(const Tensor& a, const Tensor& b);
Tensor minimum(const Tensor& a, const Tensor& b);
/// @}

/// a to the power of b. Integers stay integers, and wrap.
/// @{
Tensor pow(const Tensor& a, const Tensor& b);
Tensor pow(Scalar a, const Tensor& b);
/// @}

/// The angle of the point (b, a); of integers float32, as hypot.
Tensor atan2(const Tensor& a, const Tensor& b);
Tensor hypot(const Tensor& a, const Tensor& b);  ///< sqrt(a^2 + b^2), without overflow on the way
/// What is left of a after whole multiples of b: with a's sign (fmod), or with b's, as in Python (remainder). Of
/// integers 0 where b is 0, as floor_divide, the multiple that remainder takes away, a constant to the gradient.
/// @{
Tensor fmod(const Tensor& a, const Tensor& b);
Tensor fmod(const Tensor& a, Scalar b);
Tensor remainder(const Tensor& a, const Tensor& b);
Tensor remainder(const Tensor& a, Scalar b);
Tensor floor_divide(const Tensor& a, const Tensor& b);
Tensor floor_divide(const Tensor& a, Scalar b);
/// @}

/// From a (weight 0) to b (weight 1) on a line.
/// @{
Tensor lerp(const Tensor& a, const Tensor& b, double weight);
Tensor lerp(const Tensor& a, const Tensor& b, const Tensor& weight);
/// @}
Tensor addcmul(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);  ///< x + value * a * b
Tensor addcdiv(const Tensor& x, const Tensor& a, const Tensor& b, Scalar value = 1);  ///< x + value * a / b

/// add, sub, mul, div, neg and remainder.
/// @{
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

inline Tensor operator%(const Tensor& a, const Tensor& b) { return remainder(a, b); }
inline Tensor operator%(const Tensor& a, Scalar b) { return remainder(a, b); }

/// @}

/// Of masks, uint8: logical_and, logical_or, logical_xor and logical_not.
/// @{
Tensor operator&(const Tensor& a, const Tensor& b);
Tensor operator|(const Tensor& a, const Tensor& b);
Tensor operator^(const Tensor& a, const Tensor& b);
Tensor operator~(const Tensor& x);
/// @}

/// In place: a.add_(b) and its like.
/// @{
inline const Tensor& operator+=(const Tensor& a, const Tensor& b) { return a.add_(b); }
inline const Tensor& operator-=(const Tensor& a, const Tensor& b) { return a.sub_(b); }
inline const Tensor& operator*=(const Tensor& a, const Tensor& b) { return a.mul_(b); }
inline const Tensor& operator/=(const Tensor& a, const Tensor& b) { return a.div_(b); }
inline const Tensor& operator+=(const Tensor& a, Scalar b) { return a.add_(b); }
inline const Tensor& operator-=(const Tensor& a, Scalar b) { return a.sub_(b); }
inline const Tensor& operator*=(const Tensor& a, Scalar b) { return a.mul_(b); }
inline const Tensor& operator/=(const Tensor& a, Scalar b) { return a.div_(b); }

/// @}

/// Comparisons, broadcasting, on any dtype: uint8, 1 where it holds, no gradient. So are the operators, == among them.
/// @{
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
inline Tensor operator==(const Tensor& a, const Tensor& b) { return eq(a, b); }
inline Tensor operator!=(const Tensor& a, const Tensor& b) { return ne(a, b); }
inline Tensor operator<(const Tensor& a, const Tensor& b) { return lt(a, b); }
inline Tensor operator<=(const Tensor& a, const Tensor& b) { return le(a, b); }
inline Tensor operator>(const Tensor& a, const Tensor& b) { return gt(a, b); }
inline Tensor operator>=(const Tensor& a, const Tensor& b) { return ge(a, b); }
inline Tensor operator==(const Tensor& a, Scalar b) { return eq(a, b); }
inline Tensor operator!=(const Tensor& a, Scalar b) { return ne(a, b); }
inline Tensor operator<(const Tensor& a, Scalar b) { return lt(a, b); }
inline Tensor operator<=(const Tensor& a, Scalar b) { return le(a, b); }
inline Tensor operator>(const Tensor& a, Scalar b) { return gt(a, b); }
inline Tensor operator>=(const Tensor& a, Scalar b) { return ge(a, b); }
inline Tensor operator==(Scalar a, const Tensor& b) { return eq(b, a); }
inline Tensor operator!=(Scalar a, const Tensor& b) { return ne(b, a); }
inline Tensor operator<(Scalar a, const Tensor& b) { return gt(b, a); }
inline Tensor operator<=(Scalar a, const Tensor& b) { return ge(b, a); }
inline Tensor operator>(Scalar a, const Tensor& b) { return lt(b, a); }
inline Tensor operator>=(Scalar a, const Tensor& b) { return le(b, a); }

/// @}

// Elementwise functions. docs/adding-an-op.md adds one.
/// y = f(x), recorded under its name: what the others are.
Tensor unary(const char* name, const Unary& f, const Tensor& x);
/// PyTorch's function of that name, of each element; its formula stands at UnaryOp (kernels/unary.hpp). Integers become
/// float32, or stay integers where the values do, as of neg, abs or floor, or are refused.
/// @{
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

/// @}
/// Which formula of gelu: x Phi(x), which is `none`, or the one by `tanh`.
enum class Approximate { none, tanh };
/// Likewise.
/// @{
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

/// @}
inline Tensor round(const Tensor& x) { return unary("round", {UnaryOp::round}, x); }  ///< halves to even
/// Likewise.
/// @{
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

/// @}

/// At least min, at most max, where they are given; max where min is larger. Integers keep their dtype between whole
/// bounds, and are float32 between others.
Tensor clamp(const Tensor& x, std::optional<Scalar> min, std::optional<Scalar> max = {});
Tensor activate(const Tensor& x, Activation activation);  ///< one of these; x itself for Activation::none

/// Reductions. Without dims, or with none named, over all, to a shape of []. sum of integers is int64; keepdim leaves
/// reduced sizes at 1.
/// @{
Tensor sum(const Tensor& x);
Tensor sum(const Tensor& x, const Shape& dims, bool keepdim = false);
Tensor mean(const Tensor& x);
Tensor mean(const Tensor& x, const Shape& dims, bool keepdim = false);
/// @}

/// Of the elements that are not NaN.
/// @{
Tensor nansum(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor nanmean(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
/// @}

/// The sum of the squares of all elements of all tensors, of one dtype on one device: a penalty on a model's parameters
/// in one kernel. [] ; without tensors an Error.
Tensor sum_of_squares(const std::vector<Tensor>& tensors);
/// The extremes go to all that are largest, or smallest, in equal shares of the gradient, where no place is asked for;
/// else the first takes it. NaN wins over any number.
/// @{
Tensor max(const Tensor& x);
Tensor min(const Tensor& x);
Tensor amax(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor amin(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
/// @}
/// Extremes along dim, and their places.
struct MaxResult {
  Tensor values, indices;  ///< the extremes, and their places along dim, int64
};
/// The extremes along dim, and where they are.
/// @{
MaxResult max(const Tensor& x, std::int64_t dim, bool keepdim = false);
MaxResult min(const Tensor& x, std::int64_t dim, bool keepdim = false);
/// @}
/// The places of the extremes, int64: without dim, of all in a row.
/// @{
Tensor argmax(const Tensor& x);
Tensor argmax(const Tensor& x, std::int64_t dim, bool keepdim = false);
Tensor argmin(const Tensor& x);
Tensor argmin(const Tensor& x, std::int64_t dim, bool keepdim = false);
/// @}
/// min and max of the same elements.
struct MinMax {
  Tensor min, max;  ///< x's dtype, and one shape
};
/// amin and amax.
inline MinMax aminmax(const Tensor& x, const Shape& dims = {}, bool keepdim = false) {
  return {amin(x, dims, keepdim), amax(x, dims, keepdim)};
}
/// The one in the middle, of an even number the lower of the two.
/// @{
Tensor median(const Tensor& x);
MaxResult median(const Tensor& x, std::int64_t dim, bool keepdim = false);
/// @}
/// The most frequent along dim, of several the smallest, and the last place that has it. All NaN are one value.
MaxResult mode(const Tensor& x, std::int64_t dim = -1, bool keepdim = false);
/// The element along dim at the share q, 0 to 1, of the way from the least to the largest, linearly interpolated
/// between two; without dim, of all elements. NaN where any is; nanquantile: of those that are not NaN. For q [m], for
/// which the device is waited for, [m, ...]. NaN, too, where an infinity is interpolated, as PyTorch's.
/// @{
Tensor quantile(const Tensor& x, double q, std::optional<std::int64_t> dim = {}, bool keepdim = false);
Tensor quantile(const Tensor& x, const Tensor& q, std::optional<std::int64_t> dim = {}, bool keepdim = false);
Tensor nanquantile(const Tensor& x, double q, std::optional<std::int64_t> dim = {}, bool keepdim = false);
Tensor nanquantile(const Tensor& x, const Tensor& q, std::optional<std::int64_t> dim = {}, bool keepdim = false);
/// @}
/// The product; of integers int64.
/// @{
Tensor prod(const Tensor& x);  ///< of integers int64
Tensor prod(const Tensor& x, std::int64_t dim, bool keepdim = false);
/// @}

/// The sum of squared distances from the mean over n - correction, where n numbers are reduced.
/// @{
Tensor var(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
Tensor std(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
/// @}
/// var, or its root where std_mean made it, and mean.
struct VarMean {
  Tensor var, mean;  ///< x's dtype, and one shape
};
/// var, or std, and mean, of one pass over x.
/// @{
VarMean var_mean(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
VarMean std_mean(const Tensor& x, const Shape& dims = {}, double correction = 1, bool keepdim = false);
/// @}

/// (sum |x|^p)^(1 / p); how many are not 0 for p = 0, the largest or smallest |x| for p = +-infinity. The gradient at 0
/// is 0.
Tensor norm(const Tensor& x, double p = 2, const Shape& dims = {}, bool keepdim = false);
/// PyTorch's torch.linalg.
namespace linalg {
/// norm.
inline Tensor vector_norm(const Tensor& x, double ord = 2, const Shape& dims = {}, bool keepdim = false) {
  return norm(x, ord, dims, keepdim);
}
}  // namespace linalg
/// log(sum of exp(x)), without overflow on the way.
Tensor logsumexp(const Tensor& x, const Shape& dims, bool keepdim = false);
/// Whether all, or any, are not 0: uint8, of nothing 1 and 0. And how many, int64.
/// @{
Tensor all(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor any(const Tensor& x, const Shape& dims = {}, bool keepdim = false);
Tensor count_nonzero(const Tensor& x, const Shape& dims = {});
/// @}

/// Of the elements along dim up to each: of integers int64, and the extremes with the last place they are at.
/// @{
Tensor cumsum(const Tensor& x, std::int64_t dim);
Tensor cumprod(const Tensor& x, std::int64_t dim);
MaxResult cummax(const Tensor& x, std::int64_t dim);
MaxResult cummin(const Tensor& x, std::int64_t dim);
/// @}

/// exp(x) over the sum of these along dim, or the logarithm of that, without overflow on the way.
/// @{
Tensor softmax(const Tensor& x, std::int64_t dim);
Tensor log_softmax(const Tensor& x, std::int64_t dim);
/// @}

/// [..., m, k] x [..., k, n] -> [..., m, n], where the dimensions before the matrices broadcast. A vector counts as a
/// row on the left and as a column on the right, and its 1 is not in the result.
Tensor matmul(const Tensor& a, const Tensor& b);
// The same, of these shapes only.
Tensor mm(const Tensor& a, const Tensor& b);     ///< [m, k] x [k, n]
Tensor bmm(const Tensor& a, const Tensor& b);    ///< [b, m, k] x [b, k, n]
Tensor mv(const Tensor& a, const Tensor& b);     ///< [m, k] x [k]
Tensor dot(const Tensor& a, const Tensor& b);    ///< [k] x [k] -> []
Tensor outer(const Tensor& a, const Tensor& b);  ///< [m] x [n] -> [m, n], of any dtype
/// beta input + alpha mm(a, b), input broadcasting. With beta = 0 input is not looked at.
Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1);
/// The same with bmm.
Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1);
/// Sums of products over named dimensions: einsum("bij,bjk->bik", {a, b}). As torch.einsum, with "..." and without
/// "->", of one operand or more, which are contracted from left to right.
Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands);
/// Contracts the last `dims` dimensions of a with the first of b.
Tensor tensordot(const Tensor& a, const Tensor& b, std::int64_t dims = 2);
/// Contracts dimension dims_a[i] of a with dims_b[i] of b.
Tensor tensordot(const Tensor& a, const Tensor& b, const Shape& dims_a, const Shape& dims_b);

/// softmax(scale q k' + mask) v for q [..., L, E], k [..., S, E], v [..., S, V] -> [..., L, V], where the dimensions in
/// front broadcast. scale is 1 / sqrt(E) unless given. attn_mask, which broadcasts to [..., L, S], is uint8, with 1
/// where a pair takes part, or of q's dtype, added to the scores; is_causal, which goes with no mask, takes row i to
/// take part in columns 0 to i. A row of which no pair takes part is NaN, as in PyTorch up to 2.4. With dropout_p, the
/// weights are dropped out, in training or not. Only where attn_mask needs a gradient are all scores held at once on
/// the CPU.
Tensor scaled_dot_product_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& attn_mask = {},
                                    double dropout_p = 0, bool is_causal = false, std::optional<double> scale = {},
                                    Generator& generator = default_generator());

/// Of masks, uint8, what is not 0 holds. Everything broadcasts, on any dtype, which follow the rule of arithmetic.
/// a where the condition, a mask, holds, else b. Neither gets a gradient where it is not taken.
/// @{
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor where(const Tensor& condition, const Tensor& a, Scalar b);
Tensor where(const Tensor& condition, Scalar a, const Tensor& b);
Tensor where(const Tensor& condition, Scalar a, Scalar b);
/// @}

/// x, or value, which x's dtype must be able to hold, where the mask holds.
Tensor masked_fill(const Tensor& x, const Tensor& mask, Scalar value);
/// uint8, 1 where it holds, no gradient; of numbers, whether they are not 0.
/// @{
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);
Tensor logical_not(const Tensor& x);
Tensor isnan(const Tensor& x);
Tensor isinf(const Tensor& x);
Tensor isfinite(const Tensor& x);
/// @}

/// x, or these numbers where it is NaN or infinite; by default the dtype's largest and least stand for the infinities.
Tensor nan_to_num(const Tensor& x, double nan = 0, std::optional<double> posinf = {},
                  std::optional<double> neginf = {});
Tensor isin(const Tensor& x,
            const Tensor& test);  ///< whether each is among the elements of test, which are compared all
/// |a - b| <= atol + rtol |b|, or equal, infinities included.
/// @{
Tensor isclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8, bool equal_nan = false);
bool allclose(const Tensor& a, const Tensor& b, double rtol = 1e-5, double atol = 1e-8, bool equal_nan = false);
/// @}
bool equal(const Tensor& a, const Tensor& b);  ///< of one shape, dtype and device, with equal elements

// Arrangements, of any dtype.
/// Along an existing dimension; all other sizes must agree. Of several dtypes the later wins.
Tensor cat(const std::vector<Tensor>& tensors, std::int64_t dim = 0);
/// Along a new dimension; all shapes must agree.
/// @{
Tensor stack(const std::vector<Tensor>& tensors, std::int64_t dim = 0);
/// @}
/// cat.
inline Tensor concat(const std::vector<Tensor>& tensors, std::int64_t dim = 0) { return cat(tensors, dim); }
Tensor hstack(const std::vector<Tensor>& tensors);  ///< cat along dimension 1, of vectors 0
Tensor vstack(const std::vector<Tensor>& tensors);  ///< cat along dimension 0, of vectors as rows
/// Views of pieces of split_size along dim, the last one may be smaller; or of these sizes; or of `chunks` pieces, or
/// fewer, the same way; or of each slice.
/// @{
std::vector<Tensor> split(const Tensor& x, std::int64_t split_size, std::int64_t dim = 0);
std::vector<Tensor> split(const Tensor& x, const std::vector<std::int64_t>& sizes, std::int64_t dim = 0);
std::vector<Tensor> chunk(const Tensor& x, std::int64_t chunks, std::int64_t dim = 0);
std::vector<Tensor> unbind(const Tensor& x, std::int64_t dim = 0);
/// @}

/// Exactly so many, of which the first ones may be larger by one.
std::vector<Tensor> tensor_split(const Tensor& x, std::int64_t sections, std::int64_t dim = 0);
/// The view x[start:end:step] of Python along dim: negative numbers count from the end, those out of range are moved to
/// the nearest there is. step is at least 1.
Tensor slice(const Tensor& x, std::int64_t dim = 0, std::optional<std::int64_t> start = {},
             std::optional<std::int64_t> end = {}, std::int64_t step = 1);
/// The view of x's elements [.., i, i + offset, ..], their place i as the last dimension.
Tensor diagonal(const Tensor& x, std::int64_t offset = 0, std::int64_t dim1 = 0, std::int64_t dim2 = 1);
/// x [..., n] as that diagonal of matrices that are 0 elsewhere.
Tensor diag_embed(const Tensor& x, std::int64_t offset = 0);
/// The diagonal of a matrix, or the matrix that has x [n] there and else 0.
Tensor diag(const Tensor& x, std::int64_t diagonal = 0);
Tensor tril(const Tensor& x, std::int64_t diagonal = 0);  ///< 0 above the diagonal of the last two dimensions
Tensor triu(const Tensor& x, std::int64_t diagonal = 0);  ///< 0 below it
Tensor flip(const Tensor& x, const Shape& dims);          ///< the order reversed
/// flip of dimension 1, and of 0.
/// @{
inline Tensor fliplr(const Tensor& x) { return flip(x, {1}); }
inline Tensor flipud(const Tensor& x) { return flip(x, {0}); }

/// @}

/// Turned k times by 90 degrees, from the first of two dimensions towards the second.
Tensor rot90(const Tensor& x, std::int64_t k = 1, const Shape& dims = {0, 1});
/// Moved on by so many places, and what leaves at the end comes in at the front. Without dims over all in a row.
/// @{
Tensor roll(const Tensor& x, const Shape& shifts, const Shape& dims = {});
inline Tensor roll(const Tensor& x, std::int64_t shift) { return roll(x, Shape{shift}); }
inline Tensor roll(const Tensor& x, std::int64_t shift, std::int64_t dim) { return roll(x, Shape{shift}, Shape{dim}); }

/// @}

/// The whole, so many times along each dimension, new ones in front. tile may name fewer, the last ones.
/// @{
Tensor repeat(const Tensor& x, const Shape& repeats);
Tensor tile(const Tensor& x, const Shape& repeats);
/// @}

/// Each slice along dim so many times, in one number or int64 [n]. Without dim, of all in a row.
/// @{
Tensor repeat_interleave(const Tensor& x, std::int64_t repeats, std::optional<std::int64_t> dim = {});
Tensor repeat_interleave(const Tensor& x, const Tensor& repeats, std::optional<std::int64_t> dim = {});
/// @}
/// A view with dimension source at the place destination, the others in their order.
/// @{
Tensor movedim(const Tensor& x, const Shape& source, const Shape& destination);
inline Tensor movedim(const Tensor& x, std::int64_t source, std::int64_t destination) {
  return movedim(x, Shape{source}, Shape{destination});
}
inline Tensor moveaxis(const Tensor& x, std::int64_t source, std::int64_t destination) {
  return movedim(x, source, destination);
}

/// @}
/// All in a row.
inline Tensor ravel(const Tensor& x) { return x.reshape({-1}); }
/// transpose.
/// @{
inline Tensor swapaxes(const Tensor& x, std::int64_t dim0, std::int64_t dim1) { return x.transpose(dim0, dim1); }
inline Tensor swapdims(const Tensor& x, std::int64_t dim0, std::int64_t dim1) { return x.transpose(dim0, dim1); }

/// @}
Tensor unflatten(const Tensor& x, std::int64_t dim, const Shape& sizes);  ///< one of the sizes may be -1
/// Views of one shape, by NumPy's rule.
/// @{
inline Tensor broadcast_to(const Tensor& x, const Shape& shape) { return x.expand(shape); }
std::vector<Tensor> broadcast_tensors(const std::vector<Tensor>& tensors);
/// @}
/// Which of meshgrid's tensors runs along the rows: the first for `ij`, the second for `xy`.
enum class Indexing { ij, xy };
/// Tensors [n0], [n1], ... each broadcast to [n0, n1, ...]; with xy the first two change places in that.
std::vector<Tensor> meshgrid(const std::vector<Tensor>& tensors, Indexing indexing = Indexing::ij);
/// What pad() puts at the edges: a `constant`; and by `reflect`, `replicate` and `circular` x's own elements.
enum class PadMode { constant, reflect, replicate, circular };
/// Two numbers for each dimension, before and after, the last one's first; negative ones cut off. reflect does not
/// repeat the edge, circular goes on from the other side.
Tensor pad(const Tensor& x, const std::vector<std::int64_t>& pad, PadMode mode = PadMode::constant, Scalar value = 0);

// Indices are int64. One out of range is an Error; on cuda, where the host does not see it, NaN or 0 is read, and
// nothing written.
/// The slices of x along dim that index, int64 [n], names, of any dtype. A tensor of shape [] is one slice, and stays
/// so.
Tensor index_select(const Tensor& x, std::int64_t dim, const Tensor& index);
/// y[i, j, ...] = x[i, index[i, j, ...], ...] with dim 1. In no other dimension is index larger than x.
Tensor gather(const Tensor& x, std::int64_t dim, const Tensor& index);
/// The same, index and x broadcasting but along dim. Negative indices count from the end. Without dim of all in a row.
Tensor take_along_dim(const Tensor& x, const Tensor& index, std::optional<std::int64_t> dim = {});
/// x with y[i, index[i, j, ...], ...] = src[i, j, ...], or value: where that is several the last one, which takes the
/// gradient. No dimension of index is larger than src's.
/// @{
Tensor scatter(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& src);
Tensor scatter(const Tensor& x, std::int64_t dim, const Tensor& index, Scalar value);
/// @}

/// The same with += in place of =, always in the same order.
Tensor scatter_add(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& src);
/// x with alpha times slice j of source along dim added to slice index[j].
Tensor index_add(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& source, Scalar alpha = 1);
/// x with slice j of source along dim, or value, in place of slice index[j]; of several the last one.
/// @{
Tensor index_copy(const Tensor& x, std::int64_t dim, const Tensor& index, const Tensor& source);
Tensor index_fill(const Tensor& x, std::int64_t dim, const Tensor& index, Scalar value);
/// @}

/// The elements of x in a row that index names, in its shape. Negative ones count from the end.
Tensor take(const Tensor& x, const Tensor& index);
/// Those for which the mask holds, in a row; both broadcast. Waits for the device, as do the next, and masks in
/// index().
Tensor masked_select(const Tensor& x, const Tensor& mask);
Tensor nonzero(const Tensor& x);  ///< the places of what is not 0, int64 [how many, x.dim()]
/// nonzero.
inline Tensor argwhere(const Tensor& x) { return nonzero(x); }

/// Python's x[1, :, None, ..., 2:8:2, t] is index(x, {1, Slice(), None, Ellipsis, Slice{2, 8, 2}, t}), with t indices
/// of any shape, or a mask.
struct Slice {
  std::optional<std::int64_t> start = {}, end = {};  ///< none: from the first, to the last; negative from the end
  std::int64_t step = 1;                             ///< at least 1
};
/// In index(): a new dimension of size 1.
inline constexpr std::nullopt_t None = std::nullopt;
/// Ellipsis alone.
struct EllipsisType {};
/// In index(): whole dimensions, as many as are not named.
inline constexpr EllipsisType Ellipsis{};
/// A view where there are but numbers and slices. Tensors of indices broadcast to each other, and their shape stands
/// where they stood, or in front if that is apart. Negative indices count from the end.
Tensor index(const Tensor& x, const std::vector<TensorIndex>& indices);
/// x with what index() would show replaced by values, which broadcast, or, `accumulate`, added to. Of several values
/// for one element the last stays.
Tensor index_put(const Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& values,
                 bool accumulate = false);
/// The same in place.
const Tensor& index_put_(const Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& values,
                         bool accumulate = false);

/// What is sorted, and where it was in x along dim, int64.
struct SortResult {
  Tensor values, indices;  ///< values of x's dtype and shape, or k along dim of topk; indices likewise, int64
};
/// Along dim, in rising order, or falling. Equals stay in their order. NaN is larger than any number.
/// @{
SortResult sort(const Tensor& x, std::int64_t dim = -1, bool descending = false);
Tensor argsort(const Tensor& x, std::int64_t dim = -1, bool descending = false);
inline Tensor msort(const Tensor& x) { return sort(x, 0).values; }

/// @}

/// The first k of it, from the largest on or from the smallest.
SortResult topk(const Tensor& x, std::int64_t k, std::int64_t dim = -1, bool largest = true);
/// The k-th smallest along dim, counted from 1.
SortResult kthvalue(const Tensor& x, std::int64_t k, std::int64_t dim = -1, bool keepdim = false);
/// The different elements of a tensor.
struct UniqueResult {
  Tensor output;           ///< [m], rising
  Tensor inverse_indices;  ///< int64 in x's shape: which of them x is
  Tensor counts;           ///< int64 [m]
};
/// The different elements, each NaN for itself. Computed on the host. unique_consecutive: of neighbours in a row,
/// unsorted.
/// @{
UniqueResult unique(const Tensor& x);
UniqueResult unique_consecutive(const Tensor& x);
/// @}

/// How often each of 0, 1, ... is in x [n] of integers, int64; or the sum of the weights that stand at those places.
/// [the largest + 1, or minlength if that is more]. Waits for the device.
Tensor bincount(const Tensor& x, const Tensor& weights = {}, std::int64_t minlength = 0);
/// How many of sorted, rising along the last dimension, are less than each value, or, `right`, no larger: int64 in
/// values' shape. sorted is [n], or like values but for the last dimension. bucketize has its arguments the other way
/// round.
/// @{
Tensor searchsorted(const Tensor& sorted, const Tensor& values, bool right = false);
inline Tensor bucketize(const Tensor& values, const Tensor& boundaries, bool right = false) {
  return searchsorted(boundaries, values, right);
}

/// @}

/// x int64 [...] -> [..., num_classes], 1 at x and else 0. Without num_classes, which waits for the device, the largest
/// + 1.
Tensor one_hot(const Tensor& x, std::int64_t num_classes = -1);

/// Made of nothing.
/// From start on by step as long as end is not reached: int64 where all are whole, else float32, unless the options
/// name a dtype.
Tensor arange(Scalar start, Scalar end, Scalar step = 1, const TensorOptions& options = {});
/// `steps` numbers from start to end, both included, evenly apart; logspace: base to the power of them.
/// @{
Tensor linspace(double start, double end, std::int64_t steps, const TensorOptions& options = {});
Tensor logspace(double start, double end, std::int64_t steps, double base = 10, const TensorOptions& options = {});
/// @}

/// The places of tril, or triu, of a matrix [rows, columns] row by row: int64 [2, how many].
/// @{
Tensor tril_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset = 0);
Tensor triu_indices(std::int64_t rows, std::int64_t columns, std::int64_t offset = 0);
/// @}
/// [n, n], or [n, m]: 1 on the diagonal, else 0.
/// @{
Tensor eye(std::int64_t n, const TensorOptions& options = {});
Tensor eye(std::int64_t n, std::int64_t m, const TensorOptions& options = {});
/// @}
/// The value in x's shape, dtype and device.
Tensor full_like(const Tensor& x, Scalar value);

/// activation(x [..., in] times weight [out, in] transposed, plus bias [out] where defined).
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, Activation activation = Activation::none);

/// A padding, or "same": as much of it as makes the output as large as the input, of an odd number the smaller half
/// first, for a stride of 1. "valid" is none.
struct Padding : HeightWidth {
  bool same = false;  ///< the padding follows from kernel_size and dilation, and h and w do not count
  constexpr Padding(std::int64_t both) : HeightWidth(both) {}  ///< one number for height and width
  constexpr Padding(std::int64_t height, std::int64_t width) : HeightWidth(height, width) {}  ///< one for each
  constexpr Padding(HeightWidth both) : HeightWidth(both) {}  ///< numbers alone, not "same"
  template <std::size_t n>
  Padding(const char (&name)[n]) : Padding(std::string_view(name)) {}  ///< "same" or "valid"; throws Error for others

 private:
  explicit Padding(std::string_view name);  ///< throws Error for another name
};

/// PyTorch's arguments of conv2d: stride, padding, dilation, groups.
struct Conv2dOptions {
  HeightWidth stride = 1;    ///< elements from one window to the next
  Padding padding = 0;       ///< zeros at either end of a side, or "same"
  HeightWidth dilation = 1;  ///< elements from one tap of the filter to the next
  std::int64_t groups = 1;   ///< parts of the channels that are convolved apart; divides both channel counts
};
/// x [N, C, H, W], weight [K, C / groups, R, S], bias [K] where defined -> [N, K, P, Q] with
/// P = (H + 2 padding - dilation (R - 1) - 1) / stride + 1. With its padding x has at most 2^48 elements, also for the
/// poolings. N may be left out, in all ops here.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv2dOptions& options = {});

/// PyTorch's arguments of conv_transpose2d: stride, padding, output_padding, groups, dilation.
struct ConvTranspose2dOptions {
  HeightWidth stride = 1, padding = 0, output_padding = 0;  ///< conv2d's; output_padding is added to the size
  std::int64_t groups = 1;                                  ///< conv2d's
  HeightWidth dilation = 1;                                 ///< conv2d's
};
/// The gradient of conv2d by its input, as an op: x [N, K, P, Q], weight [K, C / groups, R, S], bias [C] where defined
/// -> [N, C, H, W] with H = (P - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1. output_padding, smaller
/// than the stride or the dilation, chooses among the sizes that conv2d maps to P.
Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose2dOptions& options = {});

/// PyTorch's arguments of conv1d: stride, padding, dilation, groups.
struct Conv1dOptions {
  std::int64_t stride = 1;                ///< elements from one window to the next
  Padding padding = 0;                    ///< its width
  std::int64_t dilation = 1, groups = 1;  ///< elements between taps; parts of the channels that are convolved apart
};
/// PyTorch's arguments of conv_transpose1d: stride, padding, output_padding, groups, dilation.
struct ConvTranspose1dOptions {
  std::int64_t stride = 1, padding = 0, output_padding = 0, groups = 1, dilation = 1;  ///< ConvTranspose2dOptions'
};
/// The same of x [N, C, L] and weight [K, C / groups, S].
/// @{
Tensor conv1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {}, const Conv1dOptions& options = {});
Tensor conv_transpose1d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                        const ConvTranspose1dOptions& options = {});
/// @}

/// activate(max_pool2d(conv2d(x, weight, bias, options), kernel_size), activation) without the tensors in between, as
/// long as a window has no more than 256 elements. A kernel_size of 1 pools nothing.
Tensor conv2d_max_pool2d(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dOptions& options,
                         HeightWidth kernel_size, Activation activation = Activation::none);

/// x [N, C, H, W] -> [N, C, P, Q] with P = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded up in
/// ceil_mode, where the last window begins within x or the padding before it. The stride is the kernel's size unless
/// given. Where several elements of a window are largest, the first takes the gradient.
struct Pool2dOptions {
  std::optional<HeightWidth> stride = {};  ///< none: windows side by side
  HeightWidth padding = 0, dilation = 1;   ///< elements at either end, -infinity or 0; of averages no dilation
  bool ceil_mode = false;                  ///< whether a last, partial window counts
  // Of averages only: whether padding counts, as zeros, and what to divide by instead of the number of elements.
  bool count_include_pad = true;                      ///< whether zeros of the padding count as elements
  std::optional<std::int64_t> divisor_override = {};  ///< what a sum is divided by, not 0
};
/// No window may be all padding: with padding, the dilation is at most x's height and width.
Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});
/// And where each came from: h * W + w within its plane, int64.
MaxResult max_pool2d_with_indices(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});
/// The sum of each window over its divisor.
Tensor avg_pool2d(const Tensor& x, HeightWidth kernel_size, const Pool2dOptions& options = {});

/// As Pool2dOptions: stride, padding, dilation, ceil_mode, count_include_pad.
struct Pool1dOptions {
  std::optional<std::int64_t> stride = {};           ///< none: windows side by side
  std::int64_t padding = 0, dilation = 1;            ///< elements at either end; no dilation of averages
  bool ceil_mode = false, count_include_pad = true;  ///< count_include_pad is of averages only
};
/// The same of x [N, C, L].
/// @{
Tensor max_pool1d(const Tensor& x, std::int64_t kernel_size, const Pool1dOptions& options = {});
Tensor avg_pool1d(const Tensor& x, std::int64_t kernel_size, const Pool1dOptions& options = {});
/// @}

/// Sizes of an output, where none keeps the input's; one number stands for both.
struct OutputSize {
  std::optional<std::int64_t> h, w;  ///< rows, and columns, of the output; none for the input's
  constexpr OutputSize(std::int64_t both) : h(both), w(both) {}  ///< one number for both
  constexpr OutputSize(std::optional<std::int64_t> height, std::optional<std::int64_t> width) : h(height), w(width) {}
};
/// x [N, C, H, W] -> [N, C, P, Q]: window p is of the rows p H / P, rounded down, to (p + 1) H / P, rounded up.
/// @{
Tensor adaptive_avg_pool2d(const Tensor& x, OutputSize output_size);
Tensor adaptive_max_pool2d(const Tensor& x, OutputSize output_size);
MaxResult adaptive_max_pool2d_with_indices(const Tensor& x, OutputSize output_size);
/// @}

/// The same of x [N, C, L].
/// @{
Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output_size);
Tensor adaptive_max_pool1d(const Tensor& x, std::int64_t output_size);
/// @}

/// What mode of interpolate means by scale: factors of height and width; one number stands for both.
struct ScaleFactor {
  double h, w;                                              ///< the output's rows, and columns, over the input's
  constexpr ScaleFactor(double both) : h(both), w(both) {}  ///< one number for both
  constexpr ScaleFactor(double height, double width) : h(height), w(width) {}  ///< one for each
};
/// What an element is made of: the `nearest`, by PyTorch's old rule, or `nearest_exact`; those on both sides of its
/// place, `linear` of one dimension, `bilinear` of two; or the mean of an `area`.
enum class InterpolateMode { nearest, nearest_exact, linear, bilinear, area };
/// PyTorch's arguments of interpolate.
struct InterpolateOptions {
  std::optional<HeightWidth> size = {};             ///< this or a scale_factor, of which the size is the whole part
  std::optional<ScaleFactor> scale_factor = {};     ///< the output's sizes over the input's
  InterpolateMode mode = InterpolateMode::nearest;  ///< linear wants [N, C, L], bilinear [N, C, H, W]
  bool align_corners = false;                       ///< of linear and bilinear
  bool recompute_scale_factor = false;              ///< take the sizes' quotient, not the scale_factor, for places, too
};
/// x [N, C, H, W] -> [N, C, P, Q], or [N, C, L] -> [N, C, Q]: linear of the latter, bilinear of the former.
Tensor interpolate(const Tensor& x, const InterpolateOptions& options);

/// [..., C r r, H, W] -> [..., C, H r, W r], and back.
/// @{
Tensor pixel_shuffle(const Tensor& x, std::int64_t upscale_factor);
Tensor pixel_unshuffle(const Tensor& x, std::int64_t downscale_factor);
/// @}

/// In training each element is zeroed with probability p and the others are scaled by 1 / (1 - p); else x itself.
Tensor dropout(const Tensor& x, double p = 0.5, bool training = true, Generator& generator = default_generator());
/// The same for whole channels of x [N, C, ...]. Three dimensions are [N, C, L], as for PyTorch 1.13.
Tensor dropout2d(const Tensor& x, double p = 0.5, bool training = true, Generator& generator = default_generator());

/// PyTorch's arguments of batch_norm, and what is fused with it.
struct BatchNorm2dOptions {
  bool training = false;  ///< whether the batch's own statistics normalise
  std::optional<double> momentum =
      0.1;            ///< none: the running statistics are the mean of all batches' that were tracked
  double eps = 1e-5;  ///< added to the variance
  Activation activation = Activation::none;  ///< of what is normalised and shifted, and the residual added to it
  Tensor residual = {};                      ///< x's shape, or none
  Tensor num_batches_tracked = {};           ///< int64 of one element, increased by one in training, or none
};
/// x [N, C], or [N, C, ...] with up to five dimensions; running_mean, running_var, weight, bias [C], the last two
/// optional. In training the batch's own statistics normalise, and the running ones, where defined, move towards them,
/// but for an x without elements.
Tensor batch_norm(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight = {},
                  const Tensor& bias = {}, const BatchNorm2dOptions& options = {});
/// The same, of x [N, C, H, W] alone.
Tensor batch_norm2d(const Tensor& x, const Tensor& running_mean, const Tensor& running_var, const Tensor& weight = {},
                    const Tensor& bias = {}, const BatchNorm2dOptions& options = {});

/// activation(max_pool2d(batch_norm2d(...), kernel_size, pool)), and in training without the tensors in between: one op
/// where memory is what batch normalisation waits for. There is no residual.
Tensor batch_norm2d_max_pool2d(const Tensor& x, const Tensor& running_mean, const Tensor& running_var,
                               const Tensor& weight, const Tensor& bias, const BatchNorm2dOptions& options,
                               HeightWidth kernel_size, const Pool2dOptions& pool = {});
/// batch_norm2d_max_pool2d(conv2d(x, weight, bias, conv), running_mean, ..., kernel_size), and in training one op: what
/// is convolved gets its statistics, and on the CPU its gradient is read, while the cache has it.
Tensor conv2d_batch_norm2d_max_pool2d(const Tensor& x, const Tensor& weight, const Tensor& bias,
                                      const Conv2dOptions& conv, const Tensor& running_mean, const Tensor& running_var,
                                      const Tensor& norm_weight, const Tensor& norm_bias,
                                      const BatchNorm2dOptions& options, HeightWidth kernel_size);

// (x - mean) / sqrt(var + eps) * weight + bias, with mean and biased variance of the elements that are normalised
// together. weight and bias may be left out.
/// Over the last dimensions, whose sizes normalized_shape is; weight and bias have that shape.
Tensor layer_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {}, const Tensor& bias = {},
                  double eps = 1e-5);
/// x [N, C, ...]: over num_groups groups of neighbouring channels each; weight and bias [C]. Throws Error where x is
/// one number for each group.
Tensor group_norm(const Tensor& x, std::int64_t num_groups, const Tensor& weight = {}, const Tensor& bias = {},
                  double eps = 1e-5);
/// x [N, C, ...]: each channel on its own, always with x's own statistics; weight and bias [C]. Throws Error where a
/// channel is one number.
Tensor instance_norm(const Tensor& x, const Tensor& weight = {}, const Tensor& bias = {}, double eps = 1e-5);
/// x / sqrt(mean of x * x + eps) * weight over the last dimensions; eps is the dtype's distance from 1 to the next
/// number unless given.
Tensor rms_norm(const Tensor& x, const Shape& normalized_shape, const Tensor& weight = {},
                std::optional<double> eps = {});

/// The rows of weight [num, dim] that index, int64 of any shape, names: [..., dim]. The row padding_idx gets no
/// gradient; negative ones count from the end. An index out of range is an Error, on cuda NaN.
Tensor embedding(const Tensor& index, const Tensor& weight, std::optional<std::int64_t> padding_idx = {});

/// What becomes of a bag's rows: their `sum`, `mean`, or in each column their `max`, whose gradient the first takes.
enum class BagMode { sum, mean, max };
/// PyTorch's arguments of embedding_bag: offsets, mode, per_sample_weights, include_last_offset, padding_idx.
struct EmbeddingBagOptions {
  Tensor offsets = {};                           ///< int64 [bags]: where in index each begins, 0 the first, rising
  BagMode mode = BagMode::mean;                  ///< how a bag's rows become one
  Tensor per_sample_weights = {};                ///< index's shape: what each row is multiplied with, of sum only
  bool include_last_offset = false;              ///< whether the last offset is but the end of the bag before it
  std::optional<std::int64_t> padding_idx = {};  ///< the index that is in no bag; negative ones count from the end
};
/// One row for each bag of rows of weight [num, dim]: [bags, dim], 0 of an empty bag. index is int64 [n] and cut into
/// bags by the offsets, or [bags, length] without any. Indices out of range are embedding's.
Tensor embedding_bag(const Tensor& index, const Tensor& weight, const EmbeddingBagOptions& options = {});

// Losses of an input and a target. Reduction::none keeps a loss for each element, mean and sum reduce them all.

/// PyTorch's arguments of cross_entropy: weight, ignore_index, reduction, label_smoothing.
struct CrossEntropyOptions {
  Tensor weight = {};                     ///< [C], one factor a class
  std::int64_t ignore_index = -100;       ///< a class index that has no loss, and no share in a mean
  Reduction reduction = Reduction::mean;  ///< how the targets' losses become one
  double label_smoothing = 0;             ///< 0 to 1: that share of the target goes to all classes evenly
};
/// logits [N, C, ...] or [C]. target int64 [N, ...] or [] of class indices, or of the logits' shape and dtype the
/// classes' probabilities -> [], or unreduced [N, ...] or []. A mean is over the weights of the targets, or of
/// probabilities over N. On cuda a target out of range gives NaN, on the host an Error.
Tensor cross_entropy(const Tensor& logits, const Tensor& target, const CrossEntropyOptions& options = {});

/// PyTorch's arguments of nll_loss: weight, ignore_index, reduction.
struct NllLossOptions {
  Tensor weight = {};                     ///< [C], one factor a class
  std::int64_t ignore_index = -100;       ///< a class index that has no loss, and no share in a mean
  Reduction reduction = Reduction::mean;  ///< how the targets' losses become one
};
/// cross_entropy of what log_softmax gave, of class indices.
Tensor nll_loss(const Tensor& log_probs, const Tensor& target, const NllLossOptions& options = {});

/// Elementwise, of one shape. With d = x - target: |d|, d^2.
/// @{
Tensor l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
Tensor mse_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean);
/// @}

/// d^2 / (2 beta) where |d| < beta, else |d| - beta / 2. huber_loss is delta times that of delta.
/// @{
Tensor smooth_l1_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean, double beta = 1);
Tensor huber_loss(const Tensor& x, const Tensor& target, Reduction reduction = Reduction::mean, double delta = 1);
/// @}

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
/// PyTorch's arguments of triplet_margin_loss: margin, p, eps, swap, reduction.
struct TripletMarginLossOptions {
  double margin = 1, p = 2, eps = 1e-6;   ///< of the distances; p: which norm; eps is added to each difference
  bool swap = false;                      ///< measure from the positive to the negative, where that is nearer
  Reduction reduction = Reduction::mean;  ///< how the triplets' losses become one
};
/// max(0, d(anchor, positive) - d(anchor, negative) + margin), d being pairwise_distance.
Tensor triplet_margin_loss(const Tensor& anchor, const Tensor& positive, const Tensor& negative,
                           const TripletMarginLossOptions& options = {});

}  // namespace tern
