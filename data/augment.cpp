#include <tern/data/augment.hpp>

#include <tern/core/check.hpp>

#include <algorithm>
#include <cmath>

namespace tern {

namespace {

/// Where position i, outside [0, n) by less than n, lies after reflection at the edges.
std::int64_t reflected(std::int64_t i, std::int64_t n) {
  if (i < 0) return -i;
  return i < n ? i : 2 * (n - 1) - i;
}

/// A uniform integer in [-shift, shift] of 32 random bits.
std::int64_t offset(std::uint32_t bits, std::int64_t shift) {
  return static_cast<std::int64_t>((std::uint64_t{bits} * static_cast<std::uint64_t>(2 * shift + 1)) >> 32) - shift;
}

}  // namespace

Tensor random_flip_and_shift(const Tensor& in, std::int64_t shift, Generator& generator) {
  check(in.defined() && in.dim() == 4 && in.dtype() == DType::float32 && in.device().on_host(),
        "random_flip_and_shift: got {}, expected float32 [N, C, H, W] on the cpu",
        in.defined() ? in.shape().str() : "an undefined tensor");
  const std::int64_t N = in.size(0), C = in.size(1), H = in.size(2), W = in.size(3);
  check(0 <= shift && shift < std::min(H, W), "random_flip_and_shift: shift {} of images of {} x {}, expected 0 to {}",
        shift, H, W, std::min(H, W) - 1);
  const Tensor x = in.contiguous(), y = empty(in.shape());
  std::vector<std::int64_t> column(static_cast<std::size_t>(W));
  const kernels::PhiloxState state = generator.advance(static_cast<std::uint64_t>(3 * N));
  for (std::int64_t n = 0; n < N; ++n) {
    const auto draw = [&](int i) { return kernels::philox_bits(state, static_cast<std::uint64_t>(3 * n + i)); };
    const bool flip = draw(0) >> 31;
    const std::int64_t down = offset(draw(1), shift), right = offset(draw(2), shift);
    for (std::int64_t w = 0; w < W; ++w) {
      const std::int64_t from = reflected(w - right, W);
      column[static_cast<std::size_t>(w)] = flip ? W - 1 - from : from;
    }
    for (std::int64_t c = 0; c < C; ++c) {
      const float* plane = x.data<float>() + (n * C + c) * H * W;
      float* to = y.data<float>() + (n * C + c) * H * W;
      for (std::int64_t h = 0; h < H; ++h) {
        const float* row = plane + reflected(h - down, H) * W;
        for (const std::int64_t from : column) *to++ = row[from];
      }
    }
  }
  return y;
}

void check_cutout(const char* who, std::int64_t size, double value) {
  check(size >= 0, "{}: cutout {}, expected at least 0", who, size);
  check(std::isfinite(static_cast<float>(value)), "{}: cutout_value {}, expected a float32", who, value);
}

void random_cutout_(const Tensor& x, std::int64_t size, double value, Generator& generator) {
  check_cutout("random_cutout_", size, value);
  check(x.defined() && x.dim() == 4 && x.dtype() == DType::float32 && x.device().on_host() && x.is_contiguous(),
        "random_cutout_: got {}, expected contiguous float32 [N, C, H, W] on the cpu",
        x.defined() ? x.shape().str() : "an undefined tensor");
  const std::int64_t N = x.size(0), C = x.size(1), H = x.size(2), W = x.size(3);
  const kernels::PhiloxState state = generator.advance(static_cast<std::uint64_t>(2 * N));
  auto* pixels = x.data<float>();
  for (std::int64_t n = 0; n < N; ++n) {
    const auto first = [&](std::int64_t i, std::int64_t side) {
      const std::uint64_t bits = kernels::philox_bits(state, static_cast<std::uint64_t>(2 * n + i));
      return static_cast<std::int64_t>(bits * static_cast<std::uint64_t>(side) >> 32) - size / 2;
    };
    const std::int64_t top = first(0, H), left = first(1, W);
    for (std::int64_t c = 0; c < C; ++c) {
      for (std::int64_t h = std::max<std::int64_t>(top, 0); h < std::min(top + size, H); ++h) {
        for (std::int64_t w = std::max<std::int64_t>(left, 0); w < std::min(left + size, W); ++w) {
          pixels[((n * C + c) * H + h) * W + w] = static_cast<float>(value);
        }
      }
    }
  }
}

ChannelStatistics channel_statistics(const Tensor& images) {
  check(images.defined() && images.dim() == 4 && images.dtype() == DType::uint8 && images.device().on_host() &&
            images.numel() > 0,
        "channel_statistics: got {}, expected uint8 images [n, C, H, W] on the cpu",
        images.defined() ? images.shape().str() : "an undefined tensor");
  const Tensor x = images.contiguous();
  const std::int64_t N = x.size(0), C = x.size(1), HW = x.size(2) * x.size(3);
  std::vector<std::uint64_t> sum(static_cast<std::size_t>(C)), squares(sum);
  const auto* at = x.data<std::uint8_t>();
  for (std::int64_t n = 0; n < N; ++n) {
    for (std::size_t c = 0; c < sum.size(); ++c) {
      for (std::int64_t i = 0; i < HW; ++i, ++at) {
        sum[c] += *at;
        squares[c] += std::uint64_t{*at} * *at;
      }
    }
  }
  std::vector<float> mean, deviation;
  for (std::size_t c = 0; c < sum.size(); ++c) {
    const double count = static_cast<double>(N * HW), m = static_cast<double>(sum[c]) / count;
    const double variance = static_cast<double>(squares[c]) / count - m * m;
    mean.push_back(static_cast<float>(m / 255));
    deviation.push_back(static_cast<float>(std::sqrt(std::max(variance, 0.0)) / 255));
  }
  return {tensor(mean), tensor(deviation)};
}

}  // namespace tern
