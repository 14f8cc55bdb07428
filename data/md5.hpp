#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace tern {

/// The MD5 sum (RFC 1321) as 32 hexadecimal digits, to know a file again, not to keep it safe from anyone.
std::string md5(std::span<const std::uint8_t> bytes);

}  // namespace tern
