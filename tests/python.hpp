#pragma once

#include <string>

namespace tern::test {

/// The first python3 that has PyTorch, TERN_PYTHON's before others; empty if there is none.
const std::string& python_with_torch();

}  // namespace tern::test
