#pragma once

/// The one seam for failing memory: this program's own operator new stands before the C++ library's, for tern and for all
/// that it uses. What C libraries take by malloc, such as OpenBLAS, is not seen.

namespace tern::test {

/// What befalls the allocations of all threads.
struct AllocationFault {
  long at = -1;               ///< the allocation's number, from 0; none for -1
  bool from_then_on = false;  ///< every later one, too
};

/// While it lives, allocations are counted and, as the fault says, fail.
class Allocations {
 public:
  explicit Allocations(const AllocationFault& fault = {});
  ~Allocations();
  Allocations(const Allocations&) = delete;
  Allocations& operator=(const Allocations&) = delete;

  /// So far.
  long count() const;
};

}  // namespace tern::test
