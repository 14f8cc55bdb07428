#include <tern/core/ops/options.hpp>
#include <tern/layers/losses.hpp>

namespace tern {

CrossEntropyLoss::CrossEntropyLoss(const CrossEntropyOptions& options) : options_(options) {
  check_options("CrossEntropyLoss", options);
}

}  // namespace tern
