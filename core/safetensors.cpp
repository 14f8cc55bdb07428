#include <tern/core/check.hpp>
#include <tern/core/safetensors.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <vector>

namespace tern {
namespace {

using json = nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr std::uint64_t largest_header = 100'000'000;  // the format's own limit

const char* format_name(DType dtype) {
  switch (dtype) {
    case DType::uint8:
      return "U8";
    case DType::int64:
      return "I64";
    case DType::float32:
      return "F32";
    case DType::float64:
      return "F64";
  }
  return "?";
}

DType dtype_named(const std::string& name, const std::string& where) {
  for (DType dtype : {DType::uint8, DType::int64, DType::float32, DType::float64}) {
    if (name == format_name(dtype)) return dtype;
  }
  fail("{}: dtype {}, expected F32, F64, I64 or U8", where, json(name).dump());
}

/// A tensor's entry in the header: its elements are the bytes from first to last.
struct Entry {
  DType dtype;
  Shape shape;
  std::uint64_t first, last;
};

Entry read_entry(const json& entry, std::uint64_t available, const std::string& where) {
  check(entry.is_object() && entry.contains("dtype") && entry["dtype"].is_string() && entry.contains("shape") &&
            entry["shape"].is_array() && entry.contains("data_offsets") && entry["data_offsets"].is_array() &&
            entry["data_offsets"].size() == 2,
        "{}: expected dtype, shape and two data_offsets", where);
  Entry e{dtype_named(entry["dtype"].get<std::string>(), where), {}, 0, 0};
  check(entry["shape"].size() <= Shape::max_dims, "{}: {} dimensions, expected at most {}", where,
        entry["shape"].size(), Shape::max_dims);
  bool empty = false;
  std::uint64_t bytes = size_of(e.dtype);  // but for sizes of 0
  for (const json& size : entry["shape"]) {
    check(size.is_number_unsigned(), "{}: a size that is no whole number", where);
    const std::uint64_t n = size.get<std::uint64_t>();
    e.shape.push_back(static_cast<std::int64_t>(n));
    empty = empty || n == 0;
    check(n == 0 || bytes <= PTRDIFF_MAX / n, "{}: a shape too large for any file", where);
    bytes *= std::max<std::uint64_t>(n, 1);
  }
  if (empty) bytes = 0;
  const json &first = entry["data_offsets"][0], &last = entry["data_offsets"][1];
  check(first.is_number_unsigned() && last.is_number_unsigned(), "{}: a data_offset that is no whole number", where);
  e.first = first.get<std::uint64_t>();
  e.last = last.get<std::uint64_t>();
  check(e.first <= e.last && e.last <= available && e.last - e.first == bytes,
        "{}: data_offsets {} to {} of {} bytes, expected {} bytes for shape {} of {}", where, e.first, e.last,
        available, bytes, e.shape, e.dtype);
  return e;
}

}  // namespace

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  const std::string temporary = path.string() + ".tmp" + std::to_string(getpid());
  int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  check(file >= 0, "save {}: cannot create a file there: {}", path.string(), std::strerror(errno));
  const auto failed = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    if (file >= 0) close(file);
    unlink(temporary.c_str());
    fail("save {}: cannot {}: {}", path.string(), what, reason);
  };
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = write(file, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) failed("write");
    done += static_cast<std::size_t>(n);
  }
  if (fsync(file) != 0) failed("flush");
  if (close(std::exchange(file, -1)) != 0) failed("close");
  if (rename(temporary.c_str(), path.c_str()) != 0) failed("rename");
  // The new name is on the disk once its folder is.
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    fsync(directory);
    close(directory);
  }
}

namespace {

std::string dump(const json& header, const std::filesystem::path& path) {
  try {
    return header.dump();
  } catch (const json::type_error&) {
    fail("save {}: a name or metadata that is not UTF-8", path.string());
  }
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  json header = json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  std::string elements;
  for (const auto& [name, x] : file.tensors) {
    check(name != "__metadata__", "save {}: a tensor named __metadata__, which the format keeps for itself",
          path.string());
    const Tensor host = x.detach().to(Device::cpu).contiguous();
    const std::size_t first = elements.size(), bytes = static_cast<std::size_t>(host.numel()) * size_of(host.dtype());
    elements.append(static_cast<const char*>(host.storage()->data()) +
                        static_cast<std::size_t>(host.storage_offset()) * size_of(host.dtype()),
                    bytes);
    header[name] = {{"dtype", format_name(host.dtype())},
                    {"shape", std::vector<std::int64_t>(host.shape().begin(), host.shape().end())},
                    {"data_offsets", {first, first + bytes}}};
  }
  std::string text = dump(header, path);
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the elements are aligned
  std::uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  write_file(path, bytes + text + elements);
}

TensorFile load_safetensors(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code unreadable;
  check(std::filesystem::is_regular_file(path, unreadable), "load {}: no such file, expected a safetensors file", name);
  std::ifstream in(path, std::ios::binary);
  check(in.good(), "load {}: cannot be opened: {}", name, std::strerror(errno));
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  std::uint64_t length = 0;
  check(bytes.size() >= sizeof length, "load {}: {} bytes, expected a safetensors file", name, bytes.size());
  std::memcpy(&length, bytes.data(), sizeof length);
  check(length <= largest_header && length <= bytes.size() - sizeof length,
        "load {}: a header of {} bytes in a file of {}, expected a whole safetensors file", name, length, bytes.size());
  const json header = json::parse(bytes.begin() + sizeof length,
                                  bytes.begin() + sizeof length + static_cast<std::ptrdiff_t>(length), nullptr, false);
  check(header.is_object(), "load {}: the header is not a JSON object, expected a safetensors file", name);
  const std::string elements = bytes.substr(sizeof length + length);
  TensorFile file;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
  for (const auto& [key, entry] : header.items()) {
    const std::string where = fmt::format("load {}: {}", name, json(key).dump());
    if (key == "__metadata__") {
      check(entry.is_object(), "{}: expected a JSON object of strings", where);
      for (const auto& [k, v] : entry.items()) {
        check(v.is_string(), "{}: expected a JSON object of strings", where);
        file.metadata[k] = v.get<std::string>();
      }
      continue;
    }
    const Entry e = read_entry(entry, elements.size(), where);
    const Tensor x = empty(e.shape, {.dtype = e.dtype});
    std::copy(elements.begin() + static_cast<std::ptrdiff_t>(e.first),
              elements.begin() + static_cast<std::ptrdiff_t>(e.last), static_cast<char*>(x.storage()->data()));
    file.tensors[key] = x;
    parts.emplace_back(e.first, e.last);
  }
  std::sort(parts.begin(), parts.end());
  std::uint64_t end = 0;
  for (const auto& [first, last] : parts) {
    check(first == end, "load {}: a tensor begins at byte {}, expected {}, where the one before ends", name, first,
          end);
    end = last;
  }
  check(end == elements.size(), "load {}: {} bytes of elements, expected the {} that the header describes", name,
        elements.size(), end);
  return file;
}

}  // namespace tern
