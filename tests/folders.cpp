#include <folders.hpp>

#include <filesystem>

namespace tern::test {

std::string in_build(const std::string& path) {
  static const auto build = std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path();
  return build / path;
}

std::string in_tree(const std::string& path) { return in_build("source/" + path); }

}  // namespace tern::test
