#pragma once

#include <tern/core/check.hpp>
#include <tern/core/file.hpp>
#include <tern/core/tensor.hpp>

#include <span>
#include <string>
#include <string_view>

/// What the readers of files of tensors have in common.

namespace tern {

/// A dtype of safetensors and what it is here. Without a `convert` the bytes are the same.
struct Stored {
  const char* name;
  std::size_t bytes;
  DType dtype;
  /// Whether it could: `to` then has n numbers.
  bool (*convert)(const void* from, std::size_t n, void* to) = nullptr;
};

/// In the order in which the format's own writer puts them, by which each is aligned.
std::span<const Stored> stored_dtypes();
/// Null where there is none of that name.
const Stored* stored_by_name(std::string_view name);

/// A tensor's elements, which begin at that byte of the file and are within it. Throws Error, which begins with
/// `where`, for a number that is too large.
Tensor read_stored(const FileReader& file, std::uint64_t at, const Stored& stored, const Shape& shape,
                   const std::string& where);

/// A name of the file's in a message: in quotes, without what a terminal would obey, no longer than a line. It is only
/// written where there is a message, so a check of each of many names costs nothing.
struct InQuotes {
  const std::string& name;
  std::string str() const;
};
inline InQuotes in_quotes(const std::string& name) { return {name}; }

}  // namespace tern

template <>
struct fmt::formatter<tern::InQuotes> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const tern::InQuotes& quoted, Context& ctx) const {
    return fmt::formatter<std::string>::format(quoted.str(), ctx);
  }
};
