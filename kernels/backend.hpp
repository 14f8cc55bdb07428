#pragma once

/// The contract: what every device must be able to compute, one virtual per kernel.
///
/// It is met three times: `reference/` (plain loops, the oracle), `cpu/` (fast), `cuda/` (handwritten kernels). Nothing
/// here knows of tensors. The rules, which hold for every kernel unless its comment says otherwise:
///   - pointers are to dense, row-major memory of the backend's device; sizes come first, then inputs, then outputs;
///   - outputs are assigned, never added to, and may hold anything before the call;
///   - an output overlaps an input only where the comment says `may alias`;
///   - a size of zero is allowed and leaves empty outputs alone;
///   - the caller has checked shapes, so kernels do not throw for them.
///
/// Letters: N batch, C channels in, H W input size, K channels out, R S filter size, P Q output size.

#include <tern/kernels/half.hpp>
#include <tern/kernels/philox.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace tern::kernels {

using std::int64_t;
using std::uint8_t;

/// How many dimensions a tensor may have.
inline constexpr int max_dims = 8;

/// A walk over an ndim-dimensional box in row-major order. Element (i0, i1, ...) of operand a lies at
/// sum(i_d * a[d]) elements from its pointer, and likewise for b; a stride of 0 repeats.
struct Strided {
  int ndim = 0;                 ///< dimensions in use, 0 for one element
  int64_t size[max_dims] = {};  ///< how often each dimension is gone along
  int64_t a[max_dims] = {};     ///< a's strides, in elements
  int64_t b[max_dims] = {};     ///< b's strides, in elements

  /// How many elements it goes over.
  int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= size[d];
    return n;
  }
};

/// x is [outer, n, inner]; the middle dimension is reduced or indexed.
struct ReduceShape {
  int64_t outer = 1, n = 1, inner = 1;  ///< sizes: what comes before the dimension, its own, what comes after
};

/// What reduces n numbers x to one.
enum class ReduceOp {
  sum,   ///< 0 of nothing; integers wrap, here and in products
  prod,  ///< 1 of nothing
  norm,  ///< of floats: (sum of |x|^p)^(1 / p), for p = 0 how many are not 0, for +-infinity an extreme of |x|
};
/// And p, of a norm.
struct Reduce {
  ReduceOp op;   ///< what is made of the numbers
  double p = 2;  ///< the order of a norm; the others do not read it
};
/// Which one: the largest, `max`, or the smallest, `min`.
enum class Extreme { max, min };

/// What y[j] is of x[0] to x[j], or from x[j] on to the end: the `sum` or the product, `prod`.
enum class ScanOp { sum, prod };

/// How exact products of floats are, where a device has faster ones: as with PyTorch's float32_matmul_precision.
enum class Precision {
  highest,  ///< as good as sums of fp32 products
  high,     ///< factors may be rounded to TensorFloat-32, of 11 significant bits
  medium,   ///< may be rounded to bfloat16, of 8
};

/// a is [batch, m, k] (or [batch, k, m] when transposed), b is [batch, k, n] (or [batch, n, k]), y is [batch, m, n].
struct MatmulShape {
  int64_t batch = 1, m = 0, n = 0, k = 0;    ///< sizes; k is what is summed over
  bool trans_a = false, trans_b = false;     ///< whether a, and b, lie as their transposes
  Precision precision = Precision::highest;  ///< of its products
};

/// x is [N, C, H, W], w is [K, C / groups, R, S], bias is [K], y is [N, K, P, Q].
struct Conv2dShape {
  int64_t N = 0, C = 0, H = 0, W = 0, K = 0, R = 0, S = 0;  ///< sizes, by the letters above; groups divides C and K
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0, dilation_h = 1, dilation_w = 1, groups = 1;  ///< elements
  Precision precision = Precision::highest;  ///< of its products, and those of its gradients

  /// The output's height and width.
  /// @{
  int64_t P() const { return (H + 2 * pad_h - dilation_h * (R - 1) - 1) / stride_h + 1; }
  int64_t Q() const { return (W + 2 * pad_w - dilation_w * (S - 1) - 1) / stride_w + 1; }

  /// @}
};

/// What a kernel may do to its result on the way out. With y = f(x) its derivative is 1 for `none`, 1 - y * y for
/// `tanh`, and for `relu` 0 where y <= 0 and else 1, also for NaN.
enum class Activation { none, tanh, relu };

/// x is [rows, in], w is [out, in], bias is [out], y is [rows, out].
struct LinearShape {
  int64_t rows = 0, in = 0, out = 0;         ///< sizes; in is what is summed over
  Activation activation = Activation::none;  ///< of the sum, on the way out
  Precision precision = Precision::highest;  ///< of its products, and those of its gradients
};

/// B matrices each: q [B, L, E], k [B, S, E], v [B, S, V], y [B, L, V]. What is added to the scores, bias(b, i, j),
/// lies at b / heads * bias_outer + b % heads * bias_inner + i * bias_row + j * bias_column.
struct AttentionShape {
  int64_t B = 0, L = 0, S = 0, E = 0, V = 0;  ///< B matrices; L queries, S keys; E and V numbers in a row
  double scale = 1;                           ///< factor of the scores, before the bias is added
  bool is_causal = false;                     ///< row i takes part in columns 0 to i only
  int64_t heads = 1, bias_outer = 0, bias_inner = 0, bias_row = 0, bias_column = 0;  ///< bias's, in elements; 0 repeats
  double dropout_p = 0;  ///< the probability that a weight is dropped
  Precision precision = Precision::highest;  ///< of its products, and those of its gradients

  /// Draws that a row takes: whole Philox blocks.
  int64_t row_draws() const { return (S + 3) / 4 * 4; }
};

/// What a recurrent layer does in a step: that of RNN with `tanh` or `relu`, of LSTM (`lstm`) or of GRU (`gru`).
enum class Cell { tanh, relu, lstm, gru };

/// N sequences, H numbers each.
struct CellShape {
  Cell cell = Cell::lstm;  ///< which formulas
  int64_t N = 0, H = 0;    ///< sizes: sequences, and numbers in a state

  /// Sums that are made for each of the H numbers.
  int64_t sums() const { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }
  /// Numbers that are kept of each for the gradient.
  int64_t kept() const { return cell == Cell::lstm || cell == Cell::gru ? 4 : 0; }
};

struct Pool2dShape;

/// A convolution, max-pooling by windows of [R, S] side by side from the first element on, and an activation: y is
/// [N, K, P, Q]. Windows of one element pool nothing, and none is larger than what it pools.
struct Conv2dMaxPool2dShape {
  Conv2dShape conv;                          ///< its parameters; its y is pooled
  int64_t R = 1, S = 1;                      ///< rows, and columns, of a window
  Activation activation = Activation::none;  ///< of what was pooled

  /// The output's height and width.
  /// @{
  int64_t P() const { return conv.P() / R; }
  int64_t Q() const { return conv.Q() / S; }

  /// @}
  /// Whether windows are of more than one element.
  bool pools() const { return R * S > 1; }
  /// Whether it is a convolution and no more.
  bool is_conv2d() const { return !pools() && activation == Activation::none; }
  /// The windows, of conv's y.
  Pool2dShape pool() const;
};

/// x is [N, C, H, W], y is [N, C, P, Q]; a window is of R by S elements, so far apart as the dilation says, and has at
/// least one that is no padding. Padding is at most half a window. What each window covers says pool2d.hpp.
struct Pool2dShape {
  int64_t N = 0, C = 0, H = 0, W = 0, R = 0, S = 0;          ///< sizes, by the letters above; R and S a window's
  int64_t stride_h = 1, stride_w = 1, pad_h = 0, pad_w = 0;  ///< in elements along H, and W
  int64_t dilation_h = 1, dilation_w = 1;                    ///< in elements along H, and W; of averages 1
  /// How far the last windows reach beyond the padding: PyTorch's ceil_mode.
  int64_t beyond_h = 0, beyond_w = 0;  ///< in elements along H, and W; 0 without it
  /// R and S are P and Q, and the windows share out x between them, with no stride, padding or dilation.
  bool adaptive = false;
  /// An average's divisor: the window's elements with those of its padding, or without, unless it is given, not 0.
  bool count_include_pad = true;
  int64_t divisor = 0;  ///< 0: none is given

  /// The output's height and width.
  /// @{
  int64_t P() const { return adaptive ? R : (H + 2 * pad_h + beyond_h - dilation_h * (R - 1) - 1) / stride_h + 1; }
  int64_t Q() const { return adaptive ? S : (W + 2 * pad_w + beyond_w - dilation_w * (S - 1) - 1) / stride_w + 1; }

  /// @}

  /// Whether windows are R by S neighbours, all within x and its padding.
  bool is_plain() const {
    return dilation_h == 1 && dilation_w == 1 && beyond_h == 0 && beyond_w == 0 && !adaptive && divisor == 0 &&
           (count_include_pad || (pad_h == 0 && pad_w == 0));
  }
  /// Whether the windows lie side by side from the first element on.
  bool side_by_side() const { return is_plain() && stride_h == R && stride_w == S && pad_h == 0 && pad_w == 0; }
};

inline Pool2dShape Conv2dMaxPool2dShape::pool() const {
  return {.N = conv.N, .C = conv.K, .H = conv.P(), .W = conv.Q(), .R = R, .S = S, .stride_h = R, .stride_w = S};
}

/// x is [N, H, W], y is [N, P, Q], none of these 0 but N. Row p of y is at the place scale_h (p + outer) - inner in x,
/// but not before 0, column q likewise: interpolate2d.hpp.
struct Interpolate2dShape {
  int64_t N = 0, H = 0, W = 0, P = 0, Q = 0;  ///< sizes: images, rows and columns of x, those of y
  bool linear = false;                        ///< between the elements beside the place, else the one before it
  double scale_h = 1, scale_w = 1, outer = 0, inner = 0;  ///< x's elements for one of y; the shifts in the formula
};

/// x is [N, C, HW]: statistics run over N and HW for each of the C channels.
struct BatchNorm2dShape {
  int64_t N = 0, C = 0, HW = 0;              ///< sizes: images, channels, elements of a channel in one
  double eps = 1e-5;                         ///< added to the variance
  Activation activation = Activation::none;  ///< of the result, the residual added
};

/// x is [N, groups, channels, run]: each of the N * groups rows of channels * run elements is normalised on its own,
/// and an element's weight and bias are those of its group and channel. Layer normalisation of rows of n elements is
/// {rows, 1, n, 1}, group normalisation of images {N, groups, C / groups, H * W}.
struct GroupNormShape {
  int64_t N = 0, groups = 1, channels = 0, run = 1;  ///< sizes of x's four dimensions
  double eps = 1e-5;                                 ///< added to the variance, or the mean square
  bool centred = true;  ///< else no mean is taken off: normalisation by the root mean square

  /// How many rows there are, and how many elements in each.
  /// @{
  TERN_HOST_DEVICE int64_t rows() const { return N * groups; }
  TERN_HOST_DEVICE int64_t n() const { return channels * run; }

  /// @}
};

/// n elements of which each run of `group` neighbours shares one draw: 1 for dropout, H * W for dropout2d.
struct DropoutShape {
  int64_t n = 0, group = 1;  ///< elements; group divides n
  double p = 0.5;            ///< the probability that a group is zeroed
};

/// Of a loss: its elements (`none`), their `mean` or `sum`. batchmean, the sum over the first size, is kl_div's alone.
enum class Reduction { none, mean, sum, batchmean };

/// logits are [N, C], or with `of_log_probs` their log_softmax; targets [N] are class indices in [0, C) or
/// ignore_index.
struct CrossEntropyShape {
  int64_t N = 0, C = 0;                   ///< rows, and classes
  bool of_log_probs = false;              ///< the input is log_softmax's result already
  double label_smoothing = 0;             ///< 0 to 1: the share of a target that goes to all classes evenly
  int64_t ignore_index = -100;            ///< a target whose row has no loss, and no share in a mean
  Reduction reduction = Reduction::mean;  ///< how the rows' losses become one
};

/// A batch of N images [C, H, W] of one dataset. Where `shift` is not negative, each is mirrored or not, and moved by
/// up to so many pixels each way, reflected at its edges; then a square of `cutout` pixels a side becomes `fill`.
struct ImageBatchShape {
  int64_t N = 0, C = 0, H = 0, W = 0;  ///< sizes, by the letters above
  int64_t shift = -1, cutout = 0;      ///< in pixels; a cutout of 0 is none
  float fill = 0.5F;                   ///< where pixels are in [0, 1]
};

/// One array of several that a kernel takes at once.
template <class T>
struct Segment {
  int64_t n;   ///< elements in x, and in y
  const T* x;  ///< read only
  T* y;        ///< written, but by sum_of_squares
};

/// Where a training stands, in the device's memory: what a step's kernels read, and the last of them moves on.
struct StepState {
  int64_t step = 0;          ///< counted since the host set it
  int64_t diverged_at = -1;  ///< the first step whose loss was not finite, -1 for none
  double loss_sum = 0;       ///< of the steps so far
};

/// The numbers that differ from step to step, such as learning rates, for kernels of a graph that is replayed: row
/// state->step of a table in the device's memory, from `numbers` on, `stride` apart. Once a loss was not finite, `loss`
/// (unless null) or that of a step before, such a kernel changes nothing.
template <class T>
struct StepNumbers {
  const StepState* state;  ///< which row to read
  const double* numbers;   ///< float64, of the first row
  int64_t stride;          ///< from one row to the next, in doubles
  const T* loss;           ///< of the step in hand, one element, or null; NaN if a scaled gradient is not finite

  /// Whether a loss was not finite.
  TERN_HOST_DEVICE bool stopped() const { return state->diverged_at >= 0 || (loss && !(*loss - *loss == 0)); }
  /// The i-th of this step.
  TERN_HOST_DEVICE double at(int i) const { return numbers[state->step * stride + i]; }
};

/// An elementwise function of one tensor. What it is named, and what a and b are to it, says unary.hpp.
enum class UnaryOp : int;
/// Such a function, with its parameters.
struct Unary {
  UnaryOp op;           ///< which function
  double a = 0, b = 0;  ///< its parameters; 0 where it has none
};
/// That of an activation other than none.
Unary unary_of(Activation activation);

/// Elementwise functions of two tensors. From pow on they are ArrayKernels' `binary` as well, but kernels of their own.
enum class BinaryOp {
  add,           ///< a + b
  sub,           ///< a - b
  mul,           ///< a b
  div,           ///< a / b, of integers towards zero
  maximum,       ///< the larger, and NaN where one of them is
  minimum,       ///< the smaller, likewise
  pow,           ///< integers: by wrapping products, and 1 / a^-b towards zero for negative b
  atan2,         ///< the angle of (b, a)
  hypot,         ///< sqrt(a^2 + b^2)
  fmod,          ///< a - b trunc(a / b), with a's sign
  remainder,     ///< a - b floor(a / b), with b's sign
  floor_divide,  ///< floor(a / b)
};
/// What is asked of two elements: a == b (`eq`), != (`ne`), < (`lt`), <= (`le`), > (`gt`), >= (`ge`).
enum class CompareOp { eq, ne, lt, le, gt, ge };

/// A step of an optimiser, and one of the parameters that it updates: optim.hpp.
struct OptimizerStep;
struct ScaleRule;
template <class T>
struct OptimizerParam;

/// Kernels that move elements of any type.
template <class T>
class MoveKernels {
 public:
  virtual ~MoveKernels() = default;

  /// y[i] = value.
  virtual void fill(int64_t n, T value, T* y) = 0;

  /// b[...] = a[...] over the box; both sides may be strided, the elements written are distinct.
  virtual void copy(const Strided& s, const T* a, T* b) = 0;
};

/// Kernels for elements of any type that computes: float, double, std::int64_t, std::uint8_t.
template <class T>
class ArrayKernels : public MoveKernels<T> {
 public:
  /// y[i] = x[i] in another type: towards zero for integers, the nearest there is from what they are too small for, 0
  /// from NaN; from int64 to uint8 modulo 256.
  /// @{
  virtual void cast(int64_t n, const T* x, float* y) = 0;
  virtual void cast(int64_t n, const T* x, double* y) = 0;
  virtual void cast(int64_t n, const T* x, int64_t* y) = 0;
  virtual void cast(int64_t n, const T* x, uint8_t* y) = 0;
  /// @}

  /// y = a op b, y dense in the order of the walk. y may alias a, or b, where that operand is dense too.
  /// maximum and minimum give NaN if either operand is NaN. Integers wrap; their division by zero gives 0.
  virtual void binary(BinaryOp op, const Strided& s, const T* a, const T* b, T* y) = 0;
  /// The same with a number for one operand, whose strides are not looked at.
  /// @{
  virtual void binary(BinaryOp op, const Strided& s, const T* a, T b, T* y) = 0;
  virtual void binary(BinaryOp op, const Strided& s, T a, const T* b, T* y) = 0;
  /// @}

  /// y = 1 where a op b, else 0; y dense in the order of the walk. Comparisons with NaN are false, `ne` is true.
  /// @{
  virtual void compare(CompareOp op, const Strided& s, const T* a, const T* b, uint8_t* y) = 0;
  virtual void compare(CompareOp op, const Strided& s, const T* a, T b, uint8_t* y) = 0;
  /// @}

  /// y[i] = value where mask[i] is not 0, else x[i]. y may alias x.
  virtual void masked_fill(int64_t n, const uint8_t* mask, T value, const T* x, T* y) = 0;

  /// y[o, i] = what f makes of the x[o, j, i] over j.
  virtual void reduce(const Reduce& f, const ReduceShape& r, const T* x, T* y) = 0;

  /// y[o, i] = the largest, or smallest, x[o, j, i], indices[o, i] = its first j. NaN wins over any number.
  /// Either output may be null. r.n is at least 1.
  virtual void extreme(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) = 0;

  /// dx[o, j, i] = dy[o, i] where j == indices[o, i], else 0: the gradient of extreme.
  virtual void extreme_backward(const ReduceShape& r, const int64_t* indices, const T* dy, T* dx) = 0;

  /// y[o, j, i] = what op makes of the x[o, k, i] for k up to j or, in reverse, from j on.
  virtual void scan(ScanOp op, bool reverse, const ReduceShape& r, const T* x, T* y) = 0;
  /// y[o, j, i] = the extreme x[o, k, i] for k up to j, indices[o, j, i] = its last k.
  virtual void scan(Extreme which, const ReduceShape& r, const T* x, T* y, int64_t* indices) = 0;

  /// y = a where the mask is not 0, else b, over the box: a and the mask are walked by s.a and s.b, b and y lie densely
  /// in the order of the walk. y may alias b.
  virtual void where(const Strided& s, const T* a, const uint8_t* mask, const T* b, T* y) = 0;

  /// y[o, j, i] = x[o, index[j], i] for j in [0, count). x is [r.outer, r.n, r.inner]; indices are within [0, r.n).
  virtual void index_select(const ReduceShape& r, int64_t count, const T* x, const int64_t* index, T* y) = 0;

  /// dx[o, k, i] = sum of dy[o, j, i] over the j with index[j] == k, in rising j: the gradient of index_select. Here an
  /// index may be -1, whose dy goes nowhere.
  virtual void index_select_backward(const ReduceShape& r, int64_t count, const int64_t* index, const T* dy, T* dx) = 0;

  // With an index of its own for each element. Full is [r.outer, r.n, r.inner], picked and index are [r.outer, count,
  // r.inner]; indices are within [0, r.n). In the latter two `full` is changed where an index says so.
  /// picked[o, j, i] = full[o, index[o, j, i], i].
  virtual void gather(const ReduceShape& r, int64_t count, const T* full, const int64_t* index, T* picked) = 0;
  /// full[o, index[o, j, i], i] = picked[o, j, i]; of several j the last one.
  virtual void scatter(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) = 0;
  /// full[o, index[o, j, i], i] += picked[o, j, i], in an order that follows from the sizes and indices alone.
  virtual void scatter_add(const ReduceShape& r, int64_t count, const int64_t* index, const T* picked, T* full) = 0;

  /// y [rows, k] = the first k of each row of x [rows, n], sorted from the least on or, descending, from the largest,
  /// and indices where in the row they were. Equals stay in their order. NaN is larger than any number.
  virtual void sort(int64_t rows, int64_t n, int64_t k, bool descending, const T* x, T* y, int64_t* indices) = 0;
  /// y [rows, count] = how many of each row of x [rows, n], which is sorted, are less than v [rows, count], or,
  /// `right`, no larger. All are before NaN.
  virtual void searchsorted(int64_t rows, int64_t n, int64_t count, bool right, const T* x, const T* v, int64_t* y) = 0;
};

/// Kernels for bfloat16 and float16, which are moved and converted: what computes with them does so in float.
template <class T>
class HalfKernels : public MoveKernels<T> {
 public:
  /// y[i] = x[i] in the other type.
  /// @{
  virtual void cast(int64_t n, const T* x, float* y) = 0;
  virtual void cast(int64_t n, const float* x, T* y) = 0;
  /// @}
};

/// Kernels for float and double: all that has a gradient. `dy` is the gradient of the loss by y, `dx` by x, and so on.
template <class T>
class FloatKernels {
 public:
  virtual ~FloatKernels() = default;

  /// y[i] = f(x[i]). y may alias x.
  virtual void unary(const Unary& f, int64_t n, const T* x, T* y) = 0;
  /// dx[i] = f'(x[i]) dy[i]. v is x, or y, or any n numbers, as gradient_of (unary.hpp) says. dx may alias v, or dy.
  virtual void unary_backward(const Unary& f, int64_t n, const T* v, const T* dy, T* dx) = 0;

  /// mean[o, i] = that of the x[o, j, i], var[o, i] = the sum of their squared distances from it over
  /// n - correction, 0 at least. What is squared is near the mean, or exact.
  virtual void var(const ReduceShape& r, double correction, const T* x, T* mean, T* var) = 0;
  /// y = the softmax of each column x[o, :, i], exp(x) / the sum of exp(x), or its logarithm.
  virtual void softmax(bool log, const ReduceShape& r, const T* x, T* y) = 0;
  /// Its gradient from y: dx = y (dy - the sum of y dy); of the logarithm dx = dy - exp(y) times the sum of dy. dx may
  /// be y or dy.
  virtual void softmax_backward(bool log, const ReduceShape& r, const T* y, const T* dy, T* dx) = 0;
  /// The gradient of ArrayKernels' scan for products: dx[o, k, i] = the sum over the j that k has a part in of dy[o, j,
  /// i] times the product up to j without x[o, k, i]. It divides by nothing.
  virtual void cumprod_backward(const ReduceShape& r, bool reverse, const T* x, const T* dy, T* dx) = 0;

  /// y = a b for each of the batch.
  virtual void matmul(const MatmulShape& s, const T* a, const T* b, T* y) = 0;

  /// y = activation(x w' + bias). bias may be null.
  virtual void linear(const LinearShape& s, const T* x, const T* w, const T* bias, T* y) = 0;
  /// The gradient, from y as linear gave it, which may be null where there is no activation. Each output may be null,
  /// and then the inputs that only it needs: x goes with dw, w with dx.
  virtual void linear_backward(const LinearShape& s, const T* x, const T* w, const T* y, const T* dy, T* dx, T* dw,
                               T* dbias) = 0;

  /// y = p' v with p = softmax(scale q k' + bias) and, where dropout_p is not 0, p' = dropout(p): p(b, i, j) is dropped
  /// by draw (b L + i) row_draws() + j. bias may be null. log_sum [B, L] is an output: the logarithm of what a row's
  /// exponentials are divided by. A row whose scores are all -infinity is NaN; without columns y is 0.
  virtual void attention(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v, const T* bias,
                         T* y, T* log_sum) = 0;
  /// The gradient, from y and log_sum as attention gave them: the scores are computed again.
  virtual void attention_backward(const AttentionShape& s, PhiloxState state, const T* q, const T* k, const T* v,
                                  const T* bias, const T* y, const T* log_sum, const T* dy, T* dq, T* dk, T* dv) = 0;

  /// A step of N sequences. x [N, sums, H] is the input's part of the sums, r [N, sums, H] that of the state before;
  /// before and after are the state c for lstm, else h; h is lstm's second output, else null. Products are elementwise:
  ///   tanh, relu: after = tanh(x + r), or relu;
  ///   lstm: i, f, g, o = the four x + r, through sigmoid, sigmoid, tanh, sigmoid; after = f before + i g,
  ///         h = o tanh(after);
  ///   gru: s, z = sigmoid(x + r) of the first two, n = tanh(x + s r) of the third; after = (1 - z) n + z before.
  /// kept [N, kept, H] is for the gradient: i, f, g, o, or s, z, n and the third r. For lstm it may alias x.
  /// Hochreiter, Schmidhuber, "Long short-term memory", 1997, with the forget gate of Gers, Schmidhuber, Cummins, 2000;
  /// Cho et al., "Learning phrase representations using RNN encoder-decoder", 2014, with the reset gate after the
  /// product.
  virtual void recurrent_cell(const CellShape& s, const T* x, const T* r, const T* before, T* kept, T* after, T* h) = 0;
  /// dx and dr [N, sums, H], which are the same but for gru: else dr is null. The gradient by the output h is dy + dh,
  /// of which either may be null. carry [N, H] is read and written: for lstm the gradient by after, and then by before;
  /// for gru that part of the gradient by the state that does not go through the sums, which is added to dy + dh, and
  /// then the same by before; else it is null. before is read by lstm and gru, after by all but gru. dx may alias kept
  /// where both are of one size.
  virtual void recurrent_cell_backward(const CellShape& s, const T* kept, const T* before, const T* after, const T* dy,
                                       const T* dh, T* carry, T* dx, T* dr) = 0;

  /// Cross-correlation with zero padding:
  /// y[n, k, p, q] = bias[k] + sum over c, r, s of w[k, c, r, s] * x[n, c', h, w'] with
  /// h = p * stride_h - pad_h + r * dilation_h, w' likewise, and c' the c-th channel of k's group. bias may be null.
  virtual void conv2d(const Conv2dShape& s, const T* x, const T* w, const T* bias, T* y) = 0;
  /// The gradient of conv2d by x.
  virtual void conv2d_backward_input(const Conv2dShape& s, const T* w, const T* dy, T* dx) = 0;
  /// The gradient by w and by bias. dbias may be null.
  virtual void conv2d_backward_weight(const Conv2dShape& s, const T* x, const T* dy, T* dw, T* dbias) = 0;

  /// y = the largest element of each window, indices = its first place in the window's plane, h * W + w; padding never
  /// wins and NaN always does. indices may be null.
  virtual void max_pool2d(const Pool2dShape& s, const T* x, T* y, int64_t* indices) = 0;
  /// dx = the sum of dy over the windows whose largest element it was, windows in row-major order.
  virtual void max_pool2d_backward(const Pool2dShape& s, const int64_t* indices, const T* dy, T* dx) = 0;

  /// y = activation(max_pool2d(conv2d(x, w, bias))), the convolution's result never written. picked is the place in
  /// each window, r * S + s, of its element: the first of the largest, and NaN before any number. bias and picked may
  /// be null. R * S is at most 256.
  virtual void conv2d_max_pool2d(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* bias, T* y,
                                 uint8_t* picked) = 0;
  /// The gradient, from y and picked as conv2d_max_pool2d gave them: y may be null where there is no activation, picked
  /// where windows are of one element. Each output may be null.
  virtual void conv2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const T* x, const T* w, const T* y,
                                          const uint8_t* picked, const T* dy, T* dx, T* dw, T* dbias) = 0;

  /// y = the sum of each window, over its divisor.
  virtual void avg_pool2d(const Pool2dShape& s, const T* x, T* y) = 0;
  /// Its gradient.
  virtual void avg_pool2d_backward(const Pool2dShape& s, const T* dy, T* dx) = 0;

  /// y[n, p, q] = the sum over the sources h of p, w of q of their weights' product times x[n, h, w].
  virtual void interpolate2d(const Interpolate2dShape& s, const T* x, T* y) = 0;
  /// Its gradient.
  virtual void interpolate2d_backward(const Interpolate2dShape& s, const T* dy, T* dx) = 0;

  /// Each group of neighbours is zeroed when uniform_from_bits(draw of the group) < p, else scaled by 1 / (1 - p).
  /// The gradient is the same kernel on dy with the same state: the mask is computed twice, never stored.
  virtual void dropout(const DropoutShape& s, PhiloxState state, const T* x, T* y) = 0;

  /// Training: y = activation((x - mean) * invstd * weight + bias + residual) with the batch's own mean and biased
  /// variance, invstd = 1 / sqrt(var + eps). mean and invstd [C] are outputs, kept for the gradient. Unless null, the
  /// running statistics move: running = (1 - momentum) * running + momentum * statistic, with the variance unbiased
  /// (n - 1), and num_batches [1] grows by one. weight and bias may be null, for 1 and 0, and residual [N, C, HW] for
  /// 0. Of no elements mean and invstd are NaN, and the running statistics stay. With num_batches a momentum may be
  /// NaN, for 1 / num_batches as grown: the mean of all batches' statistics. Ioffe, Szegedy, "Batch normalization",
  /// 2015, algorithm 1.
  virtual void batch_norm2d(const BatchNorm2dShape& s, double momentum, const T* x, const T* weight, const T* bias,
                            const T* residual, T* running_mean, T* running_var, int64_t* num_batches, T* mean,
                            T* invstd, T* y) = 0;
  /// Evaluation: the same with the running statistics in place of the batch's. invstd [C] is an output.
  virtual void batch_norm2d_eval(const BatchNorm2dShape& s, const T* x, const T* weight, const T* bias,
                                 const T* residual, const T* running_mean, const T* running_var, T* invstd, T* y) = 0;
  /// The gradient of either, told apart by `training`: in evaluation mean and invstd are constants. y is read where
  /// there is an activation, and may else be null. Each output may be null; dx may be x, and dresidual y.
  virtual void batch_norm2d_backward(const BatchNorm2dShape& s, bool training, const T* x, const T* weight,
                                     const T* mean, const T* invstd, const T* y, const T* dy, T* dx, T* dweight,
                                     T* dbias, T* dresidual) = 0;

  /// y [N, C, P, Q] = activation(max_pool2d(batch_norm2d(x))) in training, where what is normalised is never written.
  /// picked [N, C, P, Q] is the element of x that y comes from: of each window the first whose normalised value, as
  /// batch_norm2d rounds it, is the largest, and NaN before any number. The rest as for batch_norm2d.
  virtual void batch_norm2d_max_pool2d(const Pool2dShape& s, Activation activation, double eps, double momentum,
                                       const T* x, const T* weight, const T* bias, T* running_mean, T* running_var,
                                       int64_t* num_batches, T* mean, T* invstd, T* picked, T* y) = 0;
  /// dy of a window goes to its first element that equals picked. y is read where there is an activation, and may else
  /// be null. Each output may be null; dx may be x where the windows lie side by side.
  virtual void batch_norm2d_max_pool2d_backward(const Pool2dShape& s, Activation activation, const T* x,
                                                const T* weight, const T* mean, const T* invstd, const T* picked,
                                                const T* y, const T* dy, T* dx, T* dweight, T* dbias) = 0;

  /// conv = conv2d(x, w, b), and y = batch_norm2d_max_pool2d of it with the windows of s: the two one after the other,
  /// where a backend does not take the statistics of what it has just convolved. conv [N, K, s.conv.P(), s.conv.Q()]
  /// is kept for the gradient.
  virtual void conv2d_batch_norm2d_max_pool2d(const Conv2dMaxPool2dShape& s, double eps, double momentum, const T* x,
                                              const T* w, const T* b, const T* weight, const T* bias, T* running_mean,
                                              T* running_var, int64_t* num_batches, T* mean, T* invstd, T* conv,
                                              T* picked, T* y) {
    conv2d_max_pool2d({.conv = s.conv}, x, w, b, conv, nullptr);
    batch_norm2d_max_pool2d(s.pool(), s.activation, eps, momentum, conv, weight, bias, running_mean, running_var,
                            num_batches, mean, invstd, picked, y);
  }
  /// The gradient of both. dconv, which may be conv, is room for that by conv, where one of dx, dw and db is wanted;
  /// what it has afterwards is not said. Each output may be null.
  virtual void conv2d_batch_norm2d_max_pool2d_backward(const Conv2dMaxPool2dShape& s, const T* x, const T* w,
                                                       const T* conv, const T* weight, const T* mean, const T* invstd,
                                                       const T* picked, const T* y, const T* dy, T* dconv, T* dx, T* dw,
                                                       T* db, T* dweight, T* dbias) {
    const bool by_conv = dx || dw || db;
    batch_norm2d_max_pool2d_backward(s.pool(), s.activation, conv, weight, mean, invstd, picked, y, dy,
                                     by_conv ? dconv : nullptr, dweight, dbias);
    if (by_conv) conv2d_max_pool2d_backward({.conv = s.conv}, x, w, nullptr, nullptr, dconv, dx, dw, db);
  }

  /// y = (x - mean) * invstd * weight + bias, with the mean and the biased variance of the element's row, invstd =
  /// 1 / sqrt(var + eps); where the shape is not centred, the mean is 0 and the variance the mean square. mean and
  /// invstd [N * groups] are outputs, kept for the gradient in double: a mean far from 0 has digits that T lacks.
  /// weight and bias [groups * channels] may be null, for 1 and 0. Ba, Kiros, Hinton, "Layer normalization", 2016; Wu,
  /// He, "Group normalization", 2018; Zhang, Sennrich, "Root mean square layer normalization", 2019.
  virtual void group_norm(const GroupNormShape& s, const T* x, const T* weight, const T* bias, double* mean,
                          double* invstd, T* y) = 0;
  /// Each output may be null; dx may be x.
  virtual void group_norm_backward(const GroupNormShape& s, const T* x, const T* weight, const double* mean,
                                   const double* invstd, const T* dy, T* dx, T* dweight, T* dbias) = 0;

  /// Log-softmax and negative log-likelihood in one. With e = label_smoothing and w = class weights (null for all 1):
  ///   l[n] = -(1 - e) w[t[n]] log_prob[n, t[n]] - e / C * sum over c of w[c] log_prob[n, c],  0 where t[n] is ignored;
  /// loss [N] is l for Reduction::none; loss [1] is sum(l) for sum, and sum(l) / sum(w[t[n]]) for mean.
  /// dlogits [N, C], which may be null, is the gradient of loss[0], or for Reduction::none of each row's loss: 0 in
  /// rows that are ignored.
  virtual void cross_entropy(const CrossEntropyShape& s, const T* logits, const int64_t* target, const T* weight,
                             T* loss, T* dlogits) = 0;

  /// The batch that follows batch `*step` - 1 of an epoch: x[i] [C, H, W] = image j / 255 and target[i] = labels[j]
  /// with j = order[*step * N + i]; with `shift`, the image is flipped and moved by draws 3 i to 3 i + 2 of `flips`,
  /// and with `cutout` a square placed by draws 2 i and 2 i + 1 of `cutouts` becomes `fill`, as random_flip_and_shift
  /// and random_cutout_ (data/augment.hpp) have it, bit by bit.
  virtual void image_batch(const ImageBatchShape& s, PhiloxState flips, PhiloxState cutouts, const uint8_t* images,
                           const int64_t* labels, const int64_t* order, const int64_t* step, T* x, int64_t* target) = 0;

  // Of many arrays at once, such as a model's parameters: in one launch for up to 64.
  /// y[0] = the sum of the squares of all x; their y is not used.
  virtual void sum_of_squares(std::span<const Segment<T>> all, T* y) = 0;
  /// y[i] = a * factor[0] * x[i]. y may alias x.
  virtual void scale_all(std::span<const Segment<T>> all, double a, const T* factor) = 0;
  /// y[i] += x[i].
  virtual void add_all(std::span<const Segment<T>> all) = 0;
  /// y[i] += weight * (x[i] - y[i]): equal numbers stay as they are. Unless null, the first of `numbers` is the weight.
  virtual void lerp_all(std::span<const Segment<T>> all, double weight, const StepNumbers<T>* numbers = nullptr) = 0;

  /// One step of all parameters at once. Gradients are left as they are. Unless null, `numbers` stand in place of the
  /// step's own.
  virtual void optimizer_step(const OptimizerStep& s, std::span<const OptimizerParam<T>> params,
                              const StepNumbers<T>* numbers = nullptr) = 0;

  /// Ends a step: state->loss_sum += loss[0]; or, where that is not finite, diverged_at = step unless an earlier one
  /// was there. Then ++state->step.
  virtual void end_step(const T* loss, StepState* state) = 0;
  /// Ends a step whose loss was scaled. If squares[0], the sum of the gradients' squares, is finite, the step was
  /// taken: then ++steps[0], and at growth_interval steps[0] = 0 and scale[0] *= growth_factor. Else steps[0] = 0 and
  /// scale[0]
  /// *= backoff_factor. What would make scale[0] or its reciprocal infinite leaves it as it is.
  virtual void update_scale(const ScaleRule& rule, const T* squares, T* scale, int64_t* steps) = 0;
};

/// A device: its memory and its kernels.
class Backend {
 public:
  virtual ~Backend() = default;

  /// Uninitialised memory, aligned to 64 bytes at least. Throws tern::Error, saying how much was asked for.
  /// @{
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* p, std::size_t bytes) noexcept = 0;
  /// @}

  /// To and from host memory, which may be reused as soon as the call returns.
  /// @{
  virtual void upload(std::size_t bytes, const void* host, void* device) = 0;
  virtual void download(std::size_t bytes, const void* device, void* host) = 0;
  /// @}

  /// The kernels for a type of elements, told by a value of it.
  /// @{
  virtual ArrayKernels<float>& array(float) = 0;
  virtual ArrayKernels<double>& array(double) = 0;
  virtual ArrayKernels<int64_t>& array(int64_t) = 0;
  virtual ArrayKernels<uint8_t>& array(uint8_t) = 0;
  virtual FloatKernels<float>& floating(float) = 0;
  virtual FloatKernels<double>& floating(double) = 0;
  virtual HalfKernels<bfloat16>& half(bfloat16) = 0;
  virtual HalfKernels<float16>& half(float16) = 0;
  /// @}
};

/// The backends of host memory.
/// @{
Backend& reference_backend();
Backend& cpu_backend();
/// @}

/// Only in builds with TERN_CUDA=ON or EMULATE. Throws tern::Error where there is no such device.
Backend& cuda_backend(int index);

}  // namespace tern::kernels
