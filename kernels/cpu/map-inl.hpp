/// Functions of elements by vectors. Included once for each of Highway's targets, after Highway.
#if defined(TERN_KERNELS_CPU_MAP) == defined(HWY_TARGET_TOGGLE)
#ifdef TERN_KERNELS_CPU_MAP
#undef TERN_KERNELS_CPU_MAP
#else
#define TERN_KERNELS_CPU_MAP
#endif

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace tern::kernels {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

/// y[i] = f(x[i]) for i in [0, n); what is left after the last whole vector goes through a vector on the stack, which
/// is filled up with `rest`.
template <class F>
HWY_INLINE void map(int64_t n, const float* x, float* y, const F& f, float rest = 0) {
  const D d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, x + i)), d, y + i);
  if (i == n) return;
  HWY_ALIGN float part[HWY_LANES(float)];
  std::fill(std::copy(x + i, x + n, part), part + lanes, rest);
  hn::Store(f(hn::Load(d, part)), d, part);
  std::copy_n(part, n - i, y + i);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace tern::kernels
HWY_AFTER_NAMESPACE();

#endif
