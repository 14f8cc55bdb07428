#include <tern/core/check.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/core/stored.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <new>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace tern {
namespace {

using json = nlohmann::json;

constexpr std::uint64_t largest_header = 100'000'000;  // the format's own limit
constexpr const char* metadata_key = "__metadata__";

/// What a header may have in one piece, for the parser holds it several times: of a string, as JSON writes it, and of
/// what lies between two strings.
constexpr std::uint64_t longest_string = 16 << 20, longest_between = 1 << 16;

/// How tensors of this dtype are stored.
const Stored* stored_as(DType dtype) {
  return &*std::find_if(stored_dtypes().begin(), stored_dtypes().end(),
                        [&](const Stored& s) { return s.dtype == dtype && !s.convert; });
}

/// A tensor's entry in the header: its elements are the bytes from first to last.
struct Entry {
  const Stored* stored = nullptr;
  Shape shape;
  std::uint64_t first = 0, last = 0;
};

/// Takes the header's values one by one, as nlohmann's parser finds them, and throws Error at the first that is wrong.
/// It is handed to json::sax_parse(), whose names these are. Nothing is kept of what no tensor needs, however deep.
class HeaderReader {
 public:
  /// `what` is how errors begin; the file has `available` bytes of elements.
  HeaderReader(std::string what, std::uint64_t available) : what_(std::move(what)), available_(available) {}

  std::map<std::string, Entry> entries;
  std::map<std::string, std::string> metadata;

  bool null() { return other(); }
  bool boolean(bool) { return other(); }
  bool number_integer(std::int64_t) { return other(); }
  bool number_float(double, const std::string&) { return other(); }
  bool binary(const json::binary_t&) { return other(); }

  bool number_unsigned(std::uint64_t n) {
    if (place_ == Place::shape) {
      if (entry_->shape.size() == Shape::max_dims) fail("{}: more dimensions than {}", where(), Shape::max_dims);
      entry_->shape.push_back(std::bit_cast<std::int64_t>(n));
    } else if (place_ == Place::offsets && offsets_ < 2) {
      (offsets_++ == 0 ? entry_->first : entry_->last) = n;
    } else if (place_ == Place::offsets) {
      fail_incomplete();
    } else {
      return other();
    }
    return true;
  }

  bool string(std::string& text) {
    if (place_ == Place::metadata) {
      metadata[field_] = std::move(text);
    } else if (place_ == Place::tensor && field_ == "dtype") {
      entry_->stored = stored_by_name(text);
      if (!entry_->stored) {
        std::string names;
        for (const Stored& s : stored_dtypes()) names += fmt::format("{} ", s.name);
        fail("{}: dtype {}, expected one of {}", where(), in_quotes(text), names.substr(0, names.size() - 1));
      }
    } else {
      return other();
    }
    return true;
  }

  bool key(std::string& name) {
    if (place_ == Place::header) {
      name_ = std::move(name);
      if (name_ == metadata_key) {
        if (std::exchange(has_metadata_, true)) fail("{}: it is there twice", where());
      } else {
        const auto [at, is_new] = entries.try_emplace(name_);
        if (!is_new) fail("{}: it is there twice", where());
        entry_ = &at->second;
        fields_.clear();
        offsets_ = 0;
      }
    } else if (place_ != Place::ignored) {
      field_ = std::move(name);
      const bool is_new =
          place_ == Place::metadata ? metadata.try_emplace(field_).second : fields_.insert(field_).second;
      if (!is_new) fail("{}: {} is there twice", where(), in_quotes(field_));
    }
    return true;
  }

  bool start_object(std::size_t) {
    if (place_ == Place::file) {
      place_ = Place::header;
    } else if (place_ == Place::header) {
      place_ = name_ == metadata_key ? Place::metadata : Place::tensor;
    } else {
      nested();
    }
    return true;
  }

  bool start_array(std::size_t) {
    if (place_ == Place::tensor && field_ == "shape") {
      place_ = Place::shape;
    } else if (place_ == Place::tensor && field_ == "data_offsets") {
      place_ = Place::offsets;
    } else {
      nested();
    }
    return true;
  }

  bool end_object() { return end(); }
  bool end_array() { return end(); }
  bool parse_error(std::size_t, const std::string&, const json::exception&) { return false; }

 private:
  /// What the next value is part of.
  enum class Place { file, header, metadata, tensor, shape, offsets, ignored };

  std::string where() const { return fmt::format("{}: {}", what_, in_quotes(name_)); }

  [[noreturn]] void fail_incomplete() const { fail("{}: expected dtype, shape and two data_offsets", where()); }

  /// A value that has no meaning where it is: in a field that the format does not name, it is let pass.
  bool other() const {
    switch (place_) {
      case Place::ignored:
        return true;
      case Place::tensor:
        if (field_ != "dtype" && field_ != "shape" && field_ != "data_offsets") return true;
        break;
      case Place::header:
        if (name_ != metadata_key) break;
        [[fallthrough]];
      case Place::metadata:
        fail("{}: expected a JSON object of strings", where());
      case Place::shape:
        fail("{}: a size that is no whole number", where());
      case Place::offsets:
        fail("{}: a data_offset that is no whole number", where());
      case Place::file:
        break;
    }
    fail_incomplete();
  }

  void nested() {
    constexpr int deepest = 100;
    other();
    place_ = Place::ignored;
    if (++ignored_depth_ > deepest) {
      fail("{}: {} is nested deeper than {} levels", where(), in_quotes(field_), deepest);
    }
  }

  bool end() {
    switch (place_) {
      case Place::ignored:
        if (--ignored_depth_ > 0) break;
        [[fallthrough]];
      case Place::shape:
      case Place::offsets:
        place_ = Place::tensor;
        break;
      case Place::tensor:
        check_entry();
        [[fallthrough]];
      case Place::metadata:
        place_ = Place::header;
        break;
      case Place::header:
      case Place::file:
        place_ = Place::file;
        break;
    }
    return true;
  }

  void check_entry() const {
    const Entry& e = *entry_;
    if (!e.stored || !fields_.contains("shape") || offsets_ != 2) fail_incomplete();
    bool empty = false;
    std::uint64_t bytes = e.stored->bytes;  // but for sizes of 0
    for (const std::int64_t size : e.shape) {
      const auto n = std::bit_cast<std::uint64_t>(size);
      empty = empty || n == 0;
      // What it becomes in memory may be wider.
      check(n == 0 || std::max(bytes, bytes / e.stored->bytes * size_of(e.stored->dtype)) <= PTRDIFF_MAX / n,
            "{}: a shape too large for any file", where());
      bytes *= std::max<std::uint64_t>(n, 1);
    }
    if (empty) bytes = 0;
    check(e.first <= e.last && e.last <= available_ && e.last - e.first == bytes,
          "{}: data_offsets {} to {} of {} bytes, expected {} bytes for shape {} of {}", where(), e.first, e.last,
          available_, bytes, e.shape, e.stored->name);
  }

  std::string what_;
  std::uint64_t available_;
  Place place_ = Place::file;
  std::string name_, field_;      ///< the last keys of the header and of what is in it
  Entry* entry_ = nullptr;        ///< of name_
  std::set<std::string> fields_;  ///< that it has so far
  int offsets_ = 0;               ///< how many of its data_offsets are known
  int ignored_depth_ = 0;         ///< levels of Place::ignored
  bool has_metadata_ = false;
};

/// A part of a file, byte by byte; it holds a piece of it at a time.
class Bytes {
 public:
  /// `what` is how errors begin.
  Bytes(const FileReader& file, std::uint64_t first, std::uint64_t last, std::string what)
      : file_(file), next_(first), last_(last), what_(std::move(what)) {}

  /// The byte that is next, or nothing at the end.
  std::optional<char> peek() {
    if (at_ == piece_.size()) {
      piece_.resize(std::min<std::uint64_t>(last_ - next_, 1 << 16));
      at_ = 0;
      file_.read(next_, piece_.data(), piece_.size());
      next_ += piece_.size();
    }
    return at_ < piece_.size() ? std::optional(piece_[at_]) : std::nullopt;
  }
  void skip() { ++at_; }
  /// The same for a byte of JSON: throws Error where a string, or what lies between two, is too long.
  void skip_json() {
    const char c = piece_[at_++];
    if (c == '"' && !escaped_) {
      in_string_ = !in_string_;
      length_ = 0;
    } else {
      const std::uint64_t longest = in_string_ ? longest_string : longest_between;
      check(++length_ <= longest, "{}: a header with more than {} bytes {}", what_, longest,
            in_string_ ? "in one string" : "without a string");
    }
    escaped_ = in_string_ && c == '\\' && !escaped_;
  }

 private:
  const FileReader& file_;
  std::uint64_t next_, last_;
  std::string what_;
  std::string piece_;
  std::size_t at_ = 0;
  bool in_string_ = false, escaped_ = false;
  std::uint64_t length_ = 0;  ///< of what has been skipped of a string, or since one
};

/// Bytes as the parser wants them. The end is an iterator of none.
struct ByteIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = char;

  Bytes* bytes = nullptr;

  char operator*() const { return *bytes->peek(); }
  ByteIterator& operator++() {
    bytes->skip_json();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const ByteIterator& a, const ByteIterator&) { return !a.bytes || !a.bytes->peek(); }
};

/// The header's entries and metadata.
HeaderReader read_header(const FileReader& file, std::uint64_t length, const std::string& what) {
  HeaderReader header(what, file.size() - sizeof length - length);
  Bytes bytes(file, sizeof length, sizeof length + length, what);
  check(bytes.peek() == '{', "{}: the header does not begin with '{{', expected a safetensors file", what);
  const bool is_json = json::sax_parse(ByteIterator{&bytes}, ByteIterator{}, &header, json::input_format_t::json,
                                       /*strict=*/false);
  check(is_json, "{}: the header is not a JSON object, expected a safetensors file", what);
  for (; bytes.peek(); bytes.skip()) {
    check(bytes.peek() == ' ', "{}: byte {:#04x} after the header's JSON object, expected spaces", what,
          static_cast<unsigned char>(*bytes.peek()));
  }
  return header;
}

TensorFile load(const std::filesystem::path& path) {
  const std::string what = "load " + path.string();
  const FileReader in(path, "load");
  std::uint64_t length = 0;
  check(in.size() >= sizeof length, "{}: {} bytes, expected a safetensors file", what, in.size());
  in.read(0, &length, sizeof length);
  check(length <= largest_header && length <= in.size() - sizeof length,
        "{}: a header of {} bytes in a file of {}, expected a whole safetensors file", what, length, in.size());
  HeaderReader header = read_header(in, length, what);

  using Named = std::pair<const std::string, Entry>;
  std::vector<const Named*> order;
  for (const Named& entry : header.entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const Named* a, const Named* b) {
    return std::pair(a->second.first, a->second.last) < std::pair(b->second.first, b->second.last);
  });
  std::uint64_t end = 0;
  for (const Named* entry : order) {
    check(entry->second.first == end, "{}: {} begins at byte {}, expected {}, where the one before ends", what,
          in_quotes(entry->first), entry->second.first, end);
    end = entry->second.last;
  }
  const std::uint64_t begin = sizeof length + length, available = in.size() - begin;
  check(end == available, "{}: {} bytes of elements, expected the {} that the header describes", what, available, end);

  TensorFile file{{}, std::move(header.metadata)};
  for (const Named* entry : order) {
    const std::string where = fmt::format("{}: {}", what, in_quotes(entry->first));
    file.tensors[entry->first] = read_stored(in, begin + entry->second.first, *entry->second.stored, entry->second.shape, where);
  }
  return file;
}

/// Text as JSON has it. Throws json::exception where it is not UTF-8, and Error where it could not be loaded.
std::string as_json(const std::string& text, const std::string& what) {
  const std::string as_json = json(text).dump();
  check(as_json.size() - 2 <= longest_string, "{}: a name or metadata of {} bytes, expected at most {}", what,
        as_json.size() - 2, longest_string);
  return as_json;
}

using NamedTensor = std::pair<const std::string, Tensor>;

/// The header for tensors in this order; `what` is how errors begin.
std::string header_of(const std::vector<const NamedTensor*>& order, const TensorFile& file, const std::string& what) {
  std::string header = "{";
  const auto add = [&](const std::string& key, const std::string& value) {
    header += fmt::format("{}{}:{}", header.size() > 1 ? "," : "", as_json(key, what), value);
  };
  if (!file.metadata.empty()) {
    std::string strings;
    for (const auto& [key, value] : file.metadata) {
      strings += fmt::format("{}{}:{}", strings.empty() ? "" : ",", as_json(key, what), as_json(value, what));
    }
    add(metadata_key, '{' + strings + '}');
  }
  std::uint64_t end = 0;
  for (const auto* tensor : order) {
    const auto& [name, x] = *tensor;
    const std::uint64_t first = end;
    end += static_cast<std::uint64_t>(x.numel()) * size_of(x.dtype());
    add(name, fmt::format(R"({{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", stored_as(x.dtype())->name,
                          fmt::join(x.shape(), ","), first, end));
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');  // so that the elements are aligned
  return header;
}

void save(const std::filesystem::path& path, const TensorFile& file) {
  const std::string what = "save " + path.string();
  std::vector<const NamedTensor*> order;
  for (const NamedTensor& tensor : file.tensors) {
    check(tensor.first != metadata_key, "{}: a tensor named {}, which the format keeps for itself", what, metadata_key);
    check(tensor.second.defined(), "{}: {} is undefined, expected a tensor that holds an array", what,
          in_quotes(tensor.first));
    order.push_back(&tensor);
  }
  std::stable_sort(order.begin(), order.end(), [](const NamedTensor* a, const NamedTensor* b) {
    return stored_as(a->second.dtype()) < stored_as(b->second.dtype());
  });
  std::string header;
  try {
    header = header_of(order, file, what);
  } catch (const json::exception&) {
    fail("{}: a name or metadata that is not UTF-8", what);
  }
  const std::uint64_t length = header.size();
  check(length <= largest_header, "{}: names and metadata need a header of {} bytes, expected at most {}", what, length,
        largest_header);

  FileWriter out(path);
  out.write(&length, sizeof length);
  out.write(header.data(), header.size());
  for (const auto* tensor : order) {
    const Tensor host = tensor->second.detach().to(Device::cpu).contiguous();
    out.write(static_cast<const char*>(host.storage()->data()) +
                  static_cast<std::size_t>(host.storage_offset()) * size_of(host.dtype()),
              static_cast<std::size_t>(host.numel()) * size_of(host.dtype()));
  }
  out.commit();
}

}  // namespace

void save_safetensors(const std::filesystem::path& path, const TensorFile& file) {
  try {
    save(path, file);
  } catch (const std::bad_alloc&) {
    fail("save {}: no memory left", path.string());
  }
}

TensorFile load_safetensors(const std::filesystem::path& path) {
  try {
    return load(path);
  } catch (const std::bad_alloc&) {
    fail("load {}: no memory left", path.string());
  }
}

}  // namespace tern
