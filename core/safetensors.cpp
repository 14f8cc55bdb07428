#include <tern/core/check.hpp>
#include <tern/core/safetensors.hpp>

#include <nlohmann/json.hpp>

#include <bit>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <unistd.h>

namespace tern {
namespace {

using json = nlohmann::ordered_json;

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
  fail("{}: dtype {}, expected F32, F64, I64 or U8", where, name);
}

/// One tensor, from its entry in the header.
Tensor read_tensor(const json& entry, const std::string& elements, const std::string& where) {
  check(entry.is_object() && entry.contains("dtype") && entry["dtype"].is_string() && entry.contains("shape") &&
            entry["shape"].is_array() && entry.contains("data_offsets") && entry["data_offsets"].is_array() &&
            entry["data_offsets"].size() == 2,
        "{}: expected dtype, shape and two data_offsets", where);
  const DType dtype = dtype_named(entry["dtype"].get<std::string>(), where);
  Shape shape;
  std::uint64_t bytes = size_of(dtype);
  for (const json& size : entry["shape"]) {
    check(size.is_number_unsigned(), "{}: shape {}, expected whole numbers", where, entry["shape"].dump());
    const std::uint64_t n = size.get<std::uint64_t>();
    check(n == 0 || bytes <= elements.size() / n, "{}: shape {} is larger than the file", where, entry["shape"].dump());
    bytes *= n;
    shape.push_back(static_cast<std::int64_t>(n));
  }
  const json &first = entry["data_offsets"][0], &last = entry["data_offsets"][1];
  check(first.is_number_unsigned() && last.is_number_unsigned() &&
            first.get<std::uint64_t>() <= last.get<std::uint64_t>() && last.get<std::uint64_t>() <= elements.size() &&
            last.get<std::uint64_t>() - first.get<std::uint64_t>() == bytes,
        "{}: data_offsets {} of {} bytes, expected {} bytes for shape {} of {}", where, entry["data_offsets"].dump(),
        elements.size(), bytes, shape, dtype);
  const Tensor x = empty(shape, {.dtype = dtype});
  std::memcpy(x.storage()->data(), elements.data() + first.get<std::uint64_t>(), bytes);
  return x;
}

}  // namespace

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  const std::string temporary = path.string() + ".tmp" + std::to_string(getpid());
  const auto failed = [&](const char* what) {
    const std::string reason = std::strerror(errno);
    unlink(temporary.c_str());
    fail("save {}: cannot {}: {}", path.string(), what, reason);
  };
  const int file = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file < 0) failed("create a file there");
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = write(file, bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int reason = errno;
      close(file);
      errno = reason;
      failed("write");
    }
    done += static_cast<std::size_t>(n);
  }
  if (fsync(file) != 0 || close(file) != 0) failed("flush");
  if (rename(temporary.c_str(), path.c_str()) != 0) failed("rename");
  // The new name is on the disk once its folder is.
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int directory = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    fsync(directory);
    close(directory);
  }
}

void save_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  json header = json::object();
  if (!file.metadata.empty()) header["__metadata__"] = file.metadata;
  std::string elements;
  for (const auto& [name, x] : file.tensors) {
    const Tensor host = x.detach().to(Device::cpu).contiguous();
    const std::size_t first = elements.size(), bytes = static_cast<std::size_t>(host.numel()) * size_of(host.dtype());
    elements.append(static_cast<const char*>(host.storage()->data()) +
                        static_cast<std::size_t>(host.storage_offset()) * size_of(host.dtype()),
                    bytes);
    header[name] = {{"dtype", format_name(host.dtype())},
                    {"shape", std::vector<std::int64_t>(host.shape().begin(), host.shape().end())},
                    {"data_offsets", {first, first + bytes}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the elements are aligned
  std::uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  write_file(path, bytes + text + elements);
}

TensorFile load_safetensors(const std::filesystem::path& path) {
  const std::string name = path.string();
  check(std::filesystem::is_regular_file(path), "load {}: no such file, expected a safetensors file", name);
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
  std::uint64_t described = 0;
  for (const auto& [key, entry] : header.items()) {
    const std::string where = fmt::format("load {}: '{}'", name, key);
    if (key == "__metadata__") {
      check(entry.is_object(), "{}: expected a JSON object of strings", where);
      for (const auto& [k, v] : entry.items()) {
        check(v.is_string(), "{}: expected a JSON object of strings", where);
        file.metadata[k] = v.get<std::string>();
      }
      continue;
    }
    const Tensor x = read_tensor(entry, elements, where);
    described += static_cast<std::uint64_t>(x.numel()) * size_of(x.dtype());
    file.tensors[key] = x;
  }
  check(described == elements.size(), "load {}: {} bytes of elements, expected the {} that the header describes", name,
        elements.size(), described);
  return file;
}

}  // namespace tern
