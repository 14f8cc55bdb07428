#pragma once

#include <tern/core/tensor.hpp>

namespace tern {

/// While it lives, ops of this thread choose the dtype that they compute in, as with torch.autocast: convolutions,
/// products of matrices, linear, attention and recurrent layers that of 16 bits, and what adds up many numbers, or has
/// a wide range, float32; docs/precision.md has the table. Tensors of float64 stay what they are. Parameters stay
/// float32: each is converted once, and again after a change or a backward pass. backward() itself runs without it.
///
///     tern::AutocastGuard autocast(tern::DType::bfloat16);
///     const tern::Tensor loss = cross_entropy(model(x), target);
class AutocastGuard {
 public:
  /// bfloat16 or float16; or float32 for none within another. Throws Error for any other.
  explicit AutocastGuard(DType dtype);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  DType before_;
};

/// What the thread's innermost AutocastGuard was given, float32 without one.
DType autocast_dtype();

/// Forgets the parameters that are converted already, whose gradients a backward pass has taken.
void clear_autocast_cache();

/// How an op of the table begins, under an AutocastGuard, which is off while this lives:
///
///     if (const Autocast cast(Autocast::low); cast) return conv2d(cast(x), cast(weight), cast(bias), options);
class Autocast {
 public:
  /// `low` stands for the guard's dtype, and float32 for itself.
  enum To { low, float32 };
  explicit Autocast(To to);  ///< what the op computes in, if there is a guard
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

  /// Whether there is one.
  explicit operator bool() const { return before_ != DType::float32; }
  /// x in that dtype if it is float32 or of 16 bits, else as it is.
  Tensor operator()(const Tensor& x) const;

 private:
  DType before_, to_;
};

}  // namespace tern
