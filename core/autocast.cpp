#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>

#include <algorithm>
#include <utility>
#include <vector>

namespace tern {
namespace {

thread_local DType current = DType::float32;

/// A parameter, how often it had been changed, and what it was converted to.
struct Converted {
  Tensor parameter;
  std::uint32_t version;
  Tensor value;
};
thread_local std::vector<Converted> cache;

/// x.to(dtype); of a leaf that is to get a gradient one conversion does for all who ask.
Tensor converted(const Tensor& x, DType dtype) {
  if (!x.is_leaf() || !x.requires_grad() || !is_grad_enabled()) return x.to(dtype);
  const auto known = std::find_if(cache.begin(), cache.end(), [&](const Converted& c) {
    return c.parameter.is_same(x) && c.version == x.storage()->version() && c.value.dtype() == dtype &&
           c.value.device() == x.device();
  });
  if (known != cache.end()) return known->value;
  Tensor value = x.to(dtype);
  cache.push_back({x, x.storage()->version(), value});
  return value;
}

}  // namespace

AutocastGuard::AutocastGuard(DType dtype) : before_(current) {
  check(dtype == DType::float32 || is_half(dtype), "AutocastGuard: {}, expected bfloat16, float16 or float32", dtype);
  current = dtype;
}

AutocastGuard::~AutocastGuard() {
  current = before_;
  if (current == DType::float32) clear_autocast_cache();
}

DType autocast_dtype() { return current; }

void clear_autocast_cache() { cache.clear(); }

Autocast::Autocast(To to) : before_(current), to_(to == low ? current : DType::float32) { current = DType::float32; }
Autocast::~Autocast() { current = before_; }

Tensor Autocast::operator()(const Tensor& x) const {
  const bool is_cast = x.defined() && x.dtype() != to_ && (x.dtype() == DType::float32 || is_half(x.dtype()));
  return is_cast ? converted(x, to_) : x;
}

}  // namespace tern
