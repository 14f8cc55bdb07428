#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/module.hpp>

#include <vector>

/// Padding. What comes before the padded dimensions may be of any number, and mean anything.

namespace tern {

/// Elements that padding adds to the last dimension, negative ones cut off; one number stands for both.
struct LeftRight {
  std::int64_t left, right;                                            ///< before the first element, and after the last
  constexpr LeftRight(std::int64_t both) : left(both), right(both) {}  ///< one number for both
  constexpr LeftRight(std::int64_t before, std::int64_t after) : left(before), right(after) {}  ///< one for each
};

/// Elements that padding adds to the last two dimensions, negative ones cut off; one number stands for all four sides.
struct Sides {
  std::int64_t left, right, top, bottom;  ///< of the last dimension, and of the one before it
  constexpr Sides(std::int64_t all) : left(all), right(all), top(all), bottom(all) {}  ///< one number for all
  constexpr Sides(std::int64_t l, std::int64_t r, std::int64_t t, std::int64_t b)
      : left(l), right(r), top(t), bottom(b) {}  ///< one for each
};

/// What the padding layers have in common: pad.
class PadNd : public Module {
 public:
  Tensor forward(const Tensor& x) override { return pad(x, padding_, mode_, value_); }
  std::string str() const override;

 protected:
  PadNd(LeftRight padding, PadMode mode, Scalar value = 0);  ///< of the last dimension
  PadNd(Sides padding, PadMode mode, Scalar value = 0);      ///< of the last two

  std::vector<std::int64_t> padding_;  ///< as pad() takes it
  PadMode mode_;                       ///< likewise
  Scalar value_;                       ///< likewise, of a constant
};

/// [..., L] -> [..., left + L + right], mirrored at the edge, which is not repeated. forward throws Error where a side
/// is as long as L, or longer.
class ReflectionPad1d : public PadNd {
 public:
  explicit ReflectionPad1d(LeftRight padding) : PadNd(padding, PadMode::reflect) {}  ///< {left, right}
};

/// [..., H, W] -> [..., top + H + bottom, left + W + right], likewise.
class ReflectionPad2d : public PadNd {
 public:
  explicit ReflectionPad2d(Sides padding) : PadNd(padding, PadMode::reflect) {}  ///< {left, right, top, bottom}
};

/// [..., L] -> [..., left + L + right], the edge repeated.
class ReplicationPad1d : public PadNd {
 public:
  explicit ReplicationPad1d(LeftRight padding) : PadNd(padding, PadMode::replicate) {}  ///< {left, right}
};

/// [..., H, W] -> [..., top + H + bottom, left + W + right], likewise.
class ReplicationPad2d : public PadNd {
 public:
  explicit ReplicationPad2d(Sides padding) : PadNd(padding, PadMode::replicate) {}  ///< {left, right, top, bottom}
};

/// [..., L] -> [..., left + L + right], going on from the other side. forward throws Error where a side is longer than
/// L.
class CircularPad1d : public PadNd {
 public:
  explicit CircularPad1d(LeftRight padding) : PadNd(padding, PadMode::circular) {}  ///< {left, right}
};

/// [..., H, W] -> [..., top + H + bottom, left + W + right], likewise.
class CircularPad2d : public PadNd {
 public:
  explicit CircularPad2d(Sides padding) : PadNd(padding, PadMode::circular) {}  ///< {left, right, top, bottom}
};

/// [..., L] -> [..., left + L + right], of one number, which x's dtype must be able to hold: forward throws Error else.
class ConstantPad1d : public PadNd {
 public:
  ConstantPad1d(LeftRight padding, Scalar value) : PadNd(padding, PadMode::constant, value) {}  ///< {left, right}
  std::string str() const override;
};

/// [..., H, W] -> [..., top + H + bottom, left + W + right], likewise.
class ConstantPad2d : public PadNd {
 public:
  /// {left, right, top, bottom}
  ConstantPad2d(Sides padding, Scalar value) : PadNd(padding, PadMode::constant, value) {}
  std::string str() const override;
};

/// [..., H, W] -> [..., top + H + bottom, left + W + right], of zeros.
class ZeroPad2d : public PadNd {
 public:
  explicit ZeroPad2d(Sides padding) : PadNd(padding, PadMode::constant) {}  ///< {left, right, top, bottom}
};

}  // namespace tern
