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

/// A call of CUDA, cuBLAS or cuDNN that failed. The message names the op or the call and, for a kernel, the shape of its
/// launch; where a device has no memory left it says how much was asked for and how much is held.
class CudaError : public Error {
 public:
  using Error::Error;
};

}  // namespace tern
