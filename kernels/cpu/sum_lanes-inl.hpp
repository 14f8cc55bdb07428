/// Included once for each of Highway's targets, after Highway.
#if defined(TERN_KERNELS_CPU_SUM_LANES) == defined(HWY_TARGET_TOGGLE)
#ifdef TERN_KERNELS_CPU_SUM_LANES
#undef TERN_KERNELS_CPU_SUM_LANES
#else
#define TERN_KERNELS_CPU_SUM_LANES
#endif

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// sum[i] = the lanes of v[i] added up, for four vectors at once: they are turned round block by block of four lanes,
/// so that each addition adds four lanes that are wanted.
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void sum_lanes_of_four(const hn::Vec<hn::ScalableTag<float>>* v, float* sum) {
  for (int i = 0; i < 4; ++i) sum[i] = hn::GetLane(v[i]);
}
#else
/// The blocks of four lanes of v, added up.
template <class Tag>
HWY_INLINE hn::Vec<hn::CappedTag<float, 4>> add_blocks(Tag, hn::Vec<Tag> v) {
  if constexpr (hn::MaxLanes(Tag()) == 4) {
    return v;
  } else {
    const hn::Half<Tag> half;
    return add_blocks(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  }
}

HWY_INLINE void sum_lanes_of_four(const hn::Vec<hn::ScalableTag<float>>* v, float* sum) {
  using D = hn::ScalableTag<float>;
  using V = hn::Vec<D>;
  const D d;
  const hn::Repartition<double, D> pairs;
  const V ab = hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1]));
  const V cd = hn::Add(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3]));
  const auto ab2 = hn::BitCast(pairs, ab), cd2 = hn::BitCast(pairs, cd);
  const V abcd = hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, ab2, cd2)),
                         hn::BitCast(d, hn::InterleaveUpper(pairs, ab2, cd2)));
  hn::StoreU(add_blocks(d, abcd), hn::CappedTag<float, 4>(), sum);
}
#endif

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#endif
