#pragma once

#include <tern/layers/module.hpp>

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

namespace tern {

/// Takes a state apart. What is wrong with its tensors is gathered on the way, and is one Error at the end: so that it
/// comes before anything is changed, and names them all.
class StateReader {
 public:
  /// `who` begins the Error. Both must outlive the reader.
  StateReader(const char* who, const StateDict& state) : who_(who), state_(state) {}

  /// Whether there is a tensor of that name.
  bool has(const std::string& name) const { return state_.contains(name); }
  /// The tensor of that name: undefined where it is missing, undefined, of another shape or of none of these dtypes.
  Tensor take(const std::string& name, const Shape& shape, std::initializer_list<DType> dtypes);
  /// Throws Error for all that was wrong, and for every tensor that was not taken.
  void finish() const;

 private:
  const char* who_;
  const StateDict& state_;
  std::set<std::string> taken_;
  std::vector<std::string> wrong_;
};

}  // namespace tern
