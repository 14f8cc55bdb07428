#pragma once

#include <tern/kernels/error.hpp>

#include <exception>
#include <string>

namespace birds_vs_planes {

enum ExitCode { ok = 0, failed = 1, usage = 2, diverged = 3, by_signal = 128 };

/// What the program says of an exception, and exits with.
struct Failure {
  std::string message;
  int code;
  bool of_all_ranks = false;  ///< every rank has this very one
};
Failure failure_of(std::exception_ptr exception);

/// What all ranks throw where one of them has failed at what they do together.
struct FailedTogether : tern::Error {
  FailedTogether(const std::string& message, int exit_code) : tern::Error(message), code(exit_code) {}
  int code;
};

}  // namespace birds_vs_planes
