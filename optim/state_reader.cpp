#include <tern/optim/state_reader.hpp>

#include <tern/core/check.hpp>

#include <algorithm>

namespace tern {

Tensor StateReader::take(const std::string& name, const Shape& shape, std::initializer_list<DType> dtypes) {
  taken_.insert(name);
  const auto found = state_.find(name);
  if (found == state_.end()) {
    wrong_.push_back(fmt::format("the state has no '{}'", name));
    return {};
  }
  const Tensor& x = found->second;
  if (!x.defined()) {
    wrong_.push_back(fmt::format("state '{}' is undefined, expected shape {}", name, shape));
  } else if (x.shape() != shape) {
    wrong_.push_back(fmt::format("state '{}' has shape {}, expected {}", name, x.shape(), shape));
  } else if (std::find(dtypes.begin(), dtypes.end(), x.dtype()) == dtypes.end()) {
    wrong_.push_back(fmt::format("state '{}' is of {}, expected {}", name, x.dtype(), fmt::join(dtypes, " or ")));
  } else {
    return x;
  }
  return {};
}

void StateReader::finish() const {
  std::vector<std::string> wrong = wrong_;
  for (const auto& [name, x] : state_) {
    if (!taken_.contains(name)) wrong.push_back(fmt::format("the state has '{}', which is none of it", name));
  }
  check(wrong.empty(), "{}: {}", who_, fmt::join(wrong, "; "));
}

}  // namespace tern
