#pragma once

#include <stdexcept>
#include <string>

namespace tern {

/// Every exception that tern throws on purpose. The message is one line that names the operation, what it was given
/// and what it expected; nothing has been changed when it is thrown.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace tern
