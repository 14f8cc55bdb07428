#include <tern/core/check.hpp>
#include <tern/layers/padding.hpp>

namespace tern {
namespace {

std::string tuple(const std::vector<std::int64_t>& sides) { return fmt::format("({})", fmt::join(sides, ", ")); }

std::string constant_str(const char* name, const std::vector<std::int64_t>& padding, Scalar value) {
  return fmt::format("{}(padding={}, value={})", name, tuple(padding), value);
}

}  // namespace

PadNd::PadNd(LeftRight padding, PadMode mode, Scalar value)
    : padding_{padding.left, padding.right}, mode_(mode), value_(value) {}
PadNd::PadNd(Sides padding, PadMode mode, Scalar value)
    : padding_{padding.left, padding.right, padding.top, padding.bottom}, mode_(mode), value_(value) {}

std::string PadNd::str() const { return fmt::format("{}({})", Module::str(), tuple(padding_)); }
std::string ConstantPad1d::str() const { return constant_str("ConstantPad1d", padding_, value_); }
std::string ConstantPad2d::str() const { return constant_str("ConstantPad2d", padding_, value_); }

}  // namespace tern
