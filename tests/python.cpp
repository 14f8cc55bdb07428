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

const std::string& onnxruntime() {
  static const std::string found = [] {
    const auto variable = [](const char* name) {
      const char* value = std::getenv(name);
      return std::string(value ? value : "");
    };
    std::string folder = variable("TERN_ONNXRUNTIME"), cache = variable("XDG_CACHE_HOME");
    if (cache.empty()) cache = variable("HOME") + "/.cache";
    if (folder.empty()) folder = cache + "/tern/onnxruntime";
    const std::string loads =
        "NODE_PATH='" + folder + "/node_modules' node -e 'require(\"onnxruntime-node\")' 2>/dev/null";
    return std::system(loads.c_str()) == 0 ? folder : std::string();
  }();
  return found;
}

}  // namespace tern::test
