#pragma once

#include <tern/core/device.hpp>
#include <tern/core/dtype.hpp>
#include <tern/core/shape.hpp>
#include <tern/kernels/error.hpp>

#include <fmt/format.h>

// Shapes, devices, dtypes and numbers print in messages as they are: check(ok, "tanh: got {}", x.shape()).
template <>
struct fmt::formatter<tern::Shape> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const tern::Shape& shape, Context& ctx) const {
    return fmt::formatter<std::string>::format(shape.str(), ctx);
  }
};
template <>
struct fmt::formatter<tern::Device> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const tern::Device& device, Context& ctx) const {
    return fmt::formatter<std::string>::format(device.str(), ctx);
  }
};
template <>
struct fmt::formatter<tern::DType> : fmt::formatter<std::string> {
  template <class Context>
  auto format(tern::DType dtype, Context& ctx) const {
    return fmt::formatter<std::string>::format(tern::name_of(dtype), ctx);
  }
};
template <>
struct fmt::formatter<tern::Scalar> : fmt::formatter<std::string> {
  template <class Context>
  auto format(tern::Scalar v, Context& ctx) const {
    const std::string text = v.is_whole() ? fmt::format("{}", v.to<std::int64_t>()) : fmt::format("{}", v.to<double>());
    return fmt::formatter<std::string>::format(text, ctx);
  }
};

namespace tern {

/// Throws Error with the formatted message.
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> message, Args&&... args) {
  throw Error(fmt::format(message, std::forward<Args>(args)...));
}

/// Throws Error with the formatted message unless `ok`.
template <class... Args>
void check(bool ok, fmt::format_string<Args...> message, Args&&... args) {
  if (!ok) fail(message, std::forward<Args>(args)...);
}

}  // namespace tern
