#pragma once

/// Which elements a pooling's windows cover, along one axis.

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// A window's elements but for padding: begin, and every `dilation` from there, to before end. An average counts
/// `counted`.
template <class I>
struct PoolWindow {
  I begin, end, counted;
};

/// `size` elements under `out` windows of `kernel`. Where Pool2dShape::is_plain(), `plain` may be set, for less work.
template <class I, bool plain = false>
struct PoolAxis {
  I size, out, kernel, stride, pad, dilation;
  bool adaptive, count_include_pad;

  /// Window p of the output.
  TERN_HOST_DEVICE PoolWindow<I> window(I p) const {
    if (!plain && adaptive) {
      const I begin = p * size / out, end = ((p + 1) * size + out - 1) / out;
      return {begin, end, end - begin};
    }
    const I top = p * stride - pad, past = top + span();
    const I begin = top >= 0 ? top : plain ? 0 : top + (dilation - 1 - top) / dilation * dilation;
    const I end = past < size ? past : size;
    if (plain) return {begin, end, kernel};
    const I padded = past < size + pad ? past : size + pad;
    return {begin, end, count_include_pad ? padded - top : end - begin};
  }

  /// The windows that cover element i, or but for their dilation would: from first(i) to before last(i).
  /// @{
  TERN_HOST_DEVICE I first(I i) const {
    if (!plain && adaptive) return i * out / size;
    const I p = i + pad - span() + stride;
    return p < 0 ? 0 : p / stride;
  }
  TERN_HOST_DEVICE I last(I i) const {
    if (!plain && adaptive) return ((i + 1) * out + size - 1) / size;
    const I p = (i + pad) / stride + 1;
    return p < out ? p : out;
  }

  /// @}

 private:
  TERN_HOST_DEVICE I span() const { return plain ? kernel : dilation * (kernel - 1) + 1; }
};

/// Of a pooling's height, or width.
/// @{
inline PoolAxis<int64_t> rows_of(const Pool2dShape& s) {
  return {s.H, s.P(), s.R, s.stride_h, s.pad_h, s.dilation_h, s.adaptive, s.count_include_pad};
}
inline PoolAxis<int64_t> columns_of(const Pool2dShape& s) {
  return {s.W, s.Q(), s.S, s.stride_w, s.pad_w, s.dilation_w, s.adaptive, s.count_include_pad};
}

/// @}

/// What an average divides a window's sum by.
template <class I>
TERN_HOST_DEVICE I divisor_of(I given, const PoolWindow<I>& rows, const PoolWindow<I>& columns) {
  return given != 0 ? given : rows.counted * columns.counted;
}

}  // namespace tern::kernels
