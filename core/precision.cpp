#include <tern/core/precision.hpp>

#include <atomic>

namespace tern {
namespace {

std::atomic<Precision> chosen{Precision::highest};

}  // namespace

void set_float32_precision(Precision precision) { chosen = precision; }
Precision float32_precision() { return chosen; }

}  // namespace tern
