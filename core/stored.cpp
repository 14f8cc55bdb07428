#include <tern/core/check.hpp>
#include <tern/core/stored.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>
#include <type_traits>
#include <vector>

namespace tern {
namespace {

static_assert(std::endian::native == std::endian::little, "files of tensors are little-endian");

std::uint8_t from_bool(std::uint8_t byte) { return byte != 0; }

template <class Stored, class T>
T from_integer(Stored x) {
  return static_cast<T>(x);
}

/// Whether T can hold all n numbers at `from`, and so `to` has them.
template <class Stored, class T, T (*convert)(Stored) = from_integer<Stored, T>>
bool convert_all(const void* from, std::size_t n, void* to) {
  for (std::size_t i = 0; i < n; ++i) {
    const Stored x = static_cast<const Stored*>(from)[i];
    if constexpr (std::is_same_v<Stored, std::uint64_t>) {
      if (x > std::numeric_limits<std::int64_t>::max()) return false;
    }
    static_cast<T*>(to)[i] = convert(x);
  }
  return true;
}

constexpr Stored known[] = {{"U64", 8, DType::int64, convert_all<std::uint64_t, std::int64_t>},
                            {"I64", 8, DType::int64},
                            {"F64", 8, DType::float64},
                            {"F32", 4, DType::float32},
                            {"U32", 4, DType::int64, convert_all<std::uint32_t, std::int64_t>},
                            {"I32", 4, DType::int64, convert_all<std::int32_t, std::int64_t>},
                            {"BF16", 2, DType::bfloat16},
                            {"F16", 2, DType::float16},
                            {"U16", 2, DType::int64, convert_all<std::uint16_t, std::int64_t>},
                            {"I16", 2, DType::int64, convert_all<std::int16_t, std::int64_t>},
                            {"I8", 1, DType::int64, convert_all<std::int8_t, std::int64_t>},
                            {"U8", 1, DType::uint8},
                            {"BOOL", 1, DType::uint8, convert_all<std::uint8_t, std::uint8_t, from_bool>}};

}  // namespace

std::span<const Stored> stored_dtypes() { return known; }

const Stored* stored_by_name(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(known), std::end(known), [&](const Stored& s) { return name == s.name; });
  return found == std::end(known) ? nullptr : found;
}

Tensor read_stored(const FileReader& file, std::uint64_t at, const Stored& stored, const Shape& shape,
                   const std::string& where) {
  const Tensor x = empty(shape, {.dtype = stored.dtype});
  auto* to = static_cast<char*>(x.storage()->data());
  const std::uint64_t bytes = static_cast<std::uint64_t>(x.numel()) * stored.bytes;
  if (!stored.convert) {
    file.read(at, to, bytes);
    return x;
  }
  std::vector<std::uint64_t> piece(1 << 13);
  const std::size_t n = piece.size() * sizeof(std::uint64_t) / stored.bytes;  // elements of a piece
  for (std::uint64_t done = 0, all = bytes / stored.bytes; done < all; done += n) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(n, all - done));
    file.read(at + done * stored.bytes, piece.data(), count * stored.bytes);
    const bool holds = stored.convert(piece.data(), count, to + done * size_of(stored.dtype));
    check(holds, "{}: a number of {} beyond what int64 holds", where, stored.name);
  }
  return x;
}

std::string InQuotes::str() const {
  constexpr std::size_t longest = 100;
  const std::string text = nlohmann::json(name.substr(0, longest))
                               .dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::ignore);
  return name.size() > longest ? text + "..." : text;
}

}  // namespace tern
