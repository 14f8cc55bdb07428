#include "symbols.hpp"

#include <backtrace.h>
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string_view>

namespace tern::emulator {
namespace {

backtrace_state* debug_information() {
  static backtrace_state* const state = backtrace_create_state(nullptr, 1, nullptr, nullptr);
  return state;
}

}  // namespace

std::string source_line(const char* file, unsigned line) {
  std::string path = std::filesystem::path(file).lexically_normal();
  constexpr std::string_view up = "../";
  while (path.starts_with(up)) path.erase(0, up.size());
  return fmt::format("{}:{}", path, line);
}

std::string source_line(const std::source_location& site) { return source_line(site.file_name(), site.line()); }

std::string source_line(const void* return_address) {
  std::string line;
  // Called for each inlined function at the address, the innermost first.
  const auto take = [](void* found, std::uintptr_t, const char* file, int number, const char*) {
    if (file == nullptr) return 0;
    *static_cast<std::string*>(found) = source_line(file, static_cast<unsigned>(number));
    const std::string_view path(file);
    const bool inside_emulator = path.find("/emulator/") != path.npos || path.ends_with("/ptx.cuh");
    return inside_emulator ? 0 : 1;
  };
  const auto call = reinterpret_cast<std::uintptr_t>(return_address) - 1;
  backtrace_pcinfo(
      debug_information(), call, take, [](void*, const char*, int) {}, &line);
  return line.empty() ? fmt::format("code at {}", return_address) : line;
}

const char* function_name(const void* function) {
  const char* name = nullptr;
  const auto take = [](void* found, std::uintptr_t, const char* symbol, std::uintptr_t, std::uintptr_t) {
    *static_cast<const char**>(found) = symbol;
  };
  backtrace_syminfo(
      debug_information(), reinterpret_cast<std::uintptr_t>(function), take, [](void*, const char*, int) {}, &name);
  return name;
}

}  // namespace tern::emulator
