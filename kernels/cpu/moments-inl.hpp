/// Means and variances, and what is done with them, by vectors. Included once for each of Highway's targets, after
/// Highway. How a variance is summed, tells batch_norm2d.cpp.
#if defined(TERN_KERNELS_CPU_MOMENTS) == defined(HWY_TARGET_TOGGLE)
#ifdef TERN_KERNELS_CPU_MOMENTS
#undef TERN_KERNELS_CPU_MOMENTS
#else
#define TERN_KERNELS_CPU_MOMENTS
#endif

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D32 = hn::ScalableTag<float>;
using D1 = hn::CappedTag<float, 1>;

constexpr int64_t block = 1024;  // elements that are summed in float
constexpr int unroll = 4;        // covers the latency of an addition

struct Sums {
  double first, second;
};

/// Two sums, of several accumulators each.
template <class D>
struct TwoSums {
  hn::Vec<D> first[unroll], second[unroll];

  HWY_INLINE TwoSums() {
    for (int u = 0; u < unroll; ++u) first[u] = second[u] = hn::Zero(D());
  }
  static HWY_INLINE double total(const hn::Vec<D>* v) {
    return static_cast<double>(hn::GetLane(hn::SumOfLanes(D(), hn::Add(hn::Add(v[0], v[1]), hn::Add(v[2], v[3])))));
  }
};

/// The two sums over i in [0, n), n up to a block, that f(d, i, first, second) adds to, as many elements from i on as d
/// has lanes.
template <class F>
HWY_INLINE Sums sum_two(int64_t n, const F& f) {
  const D32 d;
  const D1 d1;
  const int64_t lanes = hn::Lanes(d);
  TwoSums<D32> sums;
  TwoSums<D1> rest;
  int64_t i = 0;
  for (; i + unroll * lanes <= n; i += unroll * lanes) {
    for (int u = 0; u < unroll; ++u) f(d, i + u * lanes, sums.first[u], sums.second[u]);
  }
  for (; i + lanes <= n; i += lanes) f(d, i, sums.first[0], sums.second[0]);
  for (; i < n; ++i) f(d1, i, rest.first[0], rest.second[0]);
  return {sums.total(sums.first) + rest.total(rest.first), sums.total(sums.second) + rest.total(rest.second)};
}

/// A point to sum squares around, near the mean of n elements unless they begin far from it.
HWY_INLINE float origin_of(int64_t n, const float* x) {
  const D32 d;
  const int64_t lanes = hn::Lanes(d);
  return n < lanes ? x[0] : hn::GetLane(hn::SumOfLanes(d, hn::LoadU(d, x))) / static_cast<float>(lanes);
}

/// Whether the sums of n times v and v * v, v = x - origin, tell that the mean of x lies so far from the origin that
/// squares around it would be a difference of much larger ones: then the origin becomes that mean.
HWY_INLINE bool move_origin(float& origin, int64_t n, const Sums& sums) {
  const double delta = sums.first / static_cast<double>(n);
  if (!(delta * sums.first > 0.75 * sums.second)) return false;
  origin += static_cast<float>(delta);
  return true;
}

/// Adds to the moments of `before` elements those of n more, from the sums of v and v * v with v = x - origin.
HWY_INLINE void join(Moments& total, int64_t before, int64_t n, double origin, const Sums& sums) {
  const double size = static_cast<double>(n), all = static_cast<double>(before + n);
  const double delta = origin + sums.first / size - total.mean;
  total.mean += delta * (size / all);
  total.squares += sums.second - sums.first * sums.first / size;
  total.squares += delta * delta * (static_cast<double>(before) * (size / all));
}

/// The sums of v and v * v over n elements, with v = x - origin.
HWY_INLINE Sums sums_around(float origin, int64_t n, const float* x) {
  return sum_two(n, [=](auto d, int64_t i, auto& sum, auto& squares) HWY_ATTR {
    const auto v = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, origin));
    sum = hn::Add(sum, v);
    squares = hn::MulAdd(v, v, squares);
  });
}

/// The moments of n >= 1 elements.
Moments moments(int64_t n, const float* x) {
  Moments total;
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t size = std::min(n - begin, block);
    const float* const from = x + begin;
    float origin = origin_of(size, from);
    for (int64_t i = 0; i < size; i += 16) prefetch(from + n + i);  // the next plane
    Sums sums = sums_around(origin, size, from);
    if (move_origin(origin, size, sums)) sums = sums_around(origin, size, from);
    join(total, begin, size, origin, sums);
  }
  return total;
}

/// Calls f(d, i) for i in [0, n), as many at a time as d has lanes.
template <class F>
HWY_INLINE void for_vectors(int64_t n, const F& f) {
  const D32 d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(d, i);
  const D1 d1;
  for (; i < n; ++i) f(d1, i);
}

/// y[i] = f(d, i) likewise.
template <class F>
HWY_INLINE void fill(int64_t n, float* y, const F& f) {
  for_vectors(n, [&](auto d, int64_t i) HWY_ATTR { hn::StoreU(f(d, i), d, y + i); });
}

/// Normalization in float: the mean in two parts.
struct Rounded {
  float high, low, gain, shift;

  explicit Rounded(const Normalization& of)
      : high(static_cast<float>(of.mean)),
        low(static_cast<float>(of.mean - high)),
        gain(static_cast<float>(of.gain)),
        shift(static_cast<float>(of.shift)) {}
};
template <class D>
HWY_INLINE hn::Vec<D> normalized(D d, const Rounded& of, hn::Vec<D> x) {
  const auto v = hn::Sub(hn::Sub(x, hn::Set(d, of.high)), hn::Set(d, of.low));
  return hn::MulAdd(v, hn::Set(d, of.gain), hn::Set(d, of.shift));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#endif
