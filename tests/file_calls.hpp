#pragma once

/// The one seam for failing files: the test programs' own open(), write(), fsync(), rename() and so on stand before the
/// system's, for tern and for the C++ library alike.

#include <string>
#include <vector>

namespace tern::test {

/// What befalls one of a thread's file calls.
struct FileFault {
  long at = -1;   ///< the call's number, from 0; none for -1
  int error = 0;  ///< its errno; with 0, half is read or written, random bytes are zeros, and any other call works
  bool nothing = false;       ///< with an error of 0: reads and writes give 0
  bool from_then_on = false;  ///< every later call, too
};

/// While it lives, this thread's file calls are noted and, as the fault says, fail.
class FileCalls {
 public:
  explicit FileCalls(const FileFault& fault = {});
  ~FileCalls();
  FileCalls(const FileCalls&) = delete;
  FileCalls& operator=(const FileCalls&) = delete;

  /// Their names, in order.
  std::vector<std::string> names() const;
};

}  // namespace tern::test
