#include <python.hpp>

#include <cstdlib>

namespace tern::test {

const std::string& python_with_torch() {
  static const std::string found = [] {
    const char* chosen = std::getenv("TERN_PYTHON");
    for (const std::string& python :
         {std::string(chosen ? chosen : ""), std::string("/usr/bin/python3"), std::string("python3")}) {
      if (!python.empty() && std::system((python + " -c 'import torch' 2>/dev/null").c_str()) == 0) return python;
    }
    return std::string();
  }();
  return found;
}

}  // namespace tern::test
