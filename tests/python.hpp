#pragma once

#include <string>

namespace tern::test {

/// The folder where scripts/fetch_onnxruntime puts it; empty where it is not, or there is no Node.js.
const std::string& onnxruntime();

/// The first python3 that has PyTorch, TERN_PYTHON's before others; empty if there is none.
const std::string& python_with_torch();

}  // namespace tern::test
