#pragma once

#include "allocations.hpp"

#include <functional>
#include <string>

namespace tern::test {

/// Does the work while the fault befalls it. Whether it failed, which must be by tern::Error or std::bad_alloc with one
/// line to say.
using Attempt = std::function<bool(const AllocationFault& fault, const std::function<void()>& work)>;

struct Counts {
  long allocations = 0;  ///< that were failed
  long errors = 0;       ///< that came of it; the others were done without
};

/// Calls round(fault, attempt), which makes one attempt, for each allocation that this attempt makes, twice: once alone,
/// and once with all that follow.
Counts fail_each(const std::function<void(const AllocationFault& fault, const Attempt& attempt)>& round);

/// Prints them.
void report(const std::string& what, const Counts& counts);

}  // namespace tern::test
