#pragma once

/// Where a test program finds what is beside it: no folder is compiled in, so that a build can be moved.

#include <string>

namespace tern::test {

/// A file or folder of the tree that this was built from, by its path there.
std::string in_tree(const std::string& path);

/// A file or folder of the build that this program is in, by its path there.
std::string in_build(const std::string& path);

}  // namespace tern::test
