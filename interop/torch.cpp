#include <tern/core/check.hpp>
#include <tern/core/stored.hpp>
#include <tern/interop/torch.hpp>
#include <tern/interop/torch/pickle.hpp>
#include <tern/interop/torch/zip.hpp>

#include <new>
#include <set>
#include <utility>

namespace tern {
namespace {

constexpr std::uint64_t largest_pickle = 64 << 20;
constexpr int deepest = 32;
constexpr std::size_t longest_name = 4096, most_text = 256 << 20;

/// Names of so many values: one value may stand under several, but not one under each way through lists of itself.
constexpr std::size_t most_names(std::size_t values) { return (1 << 16) + 2 * values; }

/// The archive's folder, with its "/": what data.pkl is in.
std::string folder_of(const Zip& zip, const std::string& what) {
  std::string folder;
  for (const auto& [name, entry] : zip.entries()) {
    const auto ends_with = [&name = name](std::string_view end) { return name.ends_with(end); };
    check(!ends_with("/constants.pkl"), "{}: a TorchScript archive, expected a state_dict that torch.save wrote", what);
    if (!ends_with("/data.pkl")) continue;
    check(folder.empty(), "{}: two pickles, expected one data.pkl", what);
    folder = name.substr(0, name.size() - std::string_view("data.pkl").size());
  }
  check(!folder.empty(), "{}: a zip archive without a data.pkl, expected what torch.save writes", what);
  return folder;
}

std::string read(const Zip& zip, const std::string& name) {
  const Zip::Entry& entry = zip.entries().at(name);
  zip.check_sum(name);
  std::string bytes(entry.size, '\0');
  zip.file().read(entry.at, bytes.data(), bytes.size());
  return bytes;
}

/// What is in a pickle under its names, and the tensors in the entries beside it.
class Reader {
 public:
  Reader(const Zip& zip, std::string folder, const Pickle& pickle, std::string what, const std::string& key)
      : zip_(zip), folder_(std::move(folder)), pickle_(pickle), what_(std::move(what)), key_(key) {
    walk("", pickle_.root(), 0);
    if (!key_.empty() && !found_) {
      std::string all;
      for (const std::string& name : top_) all += (all.empty() ? "" : ", ") + name;
      fail("{}: nothing under the key {}, expected one of {}", what_, in_quotes(key_), all);
    }
  }

  TensorFile file;

 private:
  static std::string joined(const std::string& name, const std::string& next) {
    return name.empty() ? next : name + '.' + next;
  }

  void walk(const std::string& name, Pickle::Index i, int depth) {
    check(depth <= deepest, "{}: {} is nested deeper than {} levels", what_, in_quotes(name), deepest);
    check(name.size() <= longest_name, "{}: {} is longer than {} bytes", what_, in_quotes(name), longest_name);
    check(++names_ <= most_names(pickle_.size()), "{}: more than {} names of {} values", what_,
          most_names(pickle_.size()), pickle_.size());
    const Pickle::Value& value = pickle_[i];
    switch (value.kind) {
      case Pickle::Kind::dict:
        for (std::size_t at = 0; at < value.items.size(); at += 2) {
          const Pickle::Value& key = pickle_[value.items[at]];
          const bool is_text = key.kind == Pickle::Kind::text;
          check(is_text || key.kind == Pickle::Kind::integer, "{}: {} has a key that is neither a text nor a number",
                what_, in_quotes(name));
          const std::string own = is_text ? key.text : std::to_string(key.integer);
          if (depth == 0 && top_.size() < 20) top_.insert(in_quotes(own).str());
          walk(joined(name, own), value.items[at + 1], depth + 1);
        }
        return;
      case Pickle::Kind::list:
      case Pickle::Kind::tuple:
        for (std::size_t at = 0; at < value.items.size(); ++at) {
          walk(joined(name, std::to_string(at)), value.items[at], depth + 1);
        }
        return;
      default:
        break;
    }
    std::string own = name;
    if (!key_.empty()) {
      if (!own.starts_with(key_) || (own.size() > key_.size() && own[key_.size()] != '.')) return;
      own = own.size() == key_.size() ? "" : own.substr(key_.size() + 1);
    }
    found_ = true;
    check(!file.tensors.contains(own) && !file.metadata.contains(own), "{}: {} is there twice", what_, in_quotes(own));
    if (value.kind == Pickle::Kind::tensor) {
      file.tensors[own] = tensor(value, own);
    } else {
      text_ += value.text.size();  // which may be one text for many names
      check(text_ <= most_text, "{}: more than {} bytes of text", what_, most_text);
      file.metadata[own] = text_of(value, own);
    }
  }

  /// As Python prints it.
  std::string text_of(const Pickle::Value& value, const std::string& name) const {
    switch (value.kind) {
      case Pickle::Kind::none:
        return "None";
      case Pickle::Kind::boolean:
        return value.integer != 0 ? "True" : "False";
      case Pickle::Kind::integer:
        return std::to_string(value.integer);
      case Pickle::Kind::real:
        return fmt::format("{}", value.real);
      case Pickle::Kind::text:
        return value.text;
      default:
        fail("{}: {} is neither a tensor nor a number or text", what_, in_quotes(name));
    }
  }

  Tensor tensor(const Pickle::Value& value, const std::string& name) {
    const Pickle::Value& storage = pickle_[value.items[0]];
    Tensor& whole = storages_[{storage.text, storage.stored}];
    if (!whole.defined()) {
      const std::string entry = folder_ + "data/" + storage.text, where = fmt::format("{}: {}", what_, in_quotes(name));
      const auto found = zip_.entries().find(entry);
      check(found != zip_.entries().end(), "{}: no zip entry {}, which holds its elements", where, in_quotes(entry));
      const auto elements = static_cast<std::uint64_t>(storage.integer);
      check(elements <= found->second.size && found->second.size == elements * storage.stored->bytes,
            "{}: the zip entry {} has {} bytes, expected {} elements of {}", where, in_quotes(entry),
            found->second.size, elements, storage.stored->name);
      zip_.check_sum(entry);
      whole = read_stored(zip_.file(), found->second.at, *storage.stored, {storage.integer}, where);
    }
    return whole.as_strided(value.shape, value.strides, value.integer);
  }

  const Zip& zip_;
  std::string folder_;
  const Pickle& pickle_;
  std::string what_, key_;
  std::map<std::pair<std::string, const Stored*>, Tensor> storages_;
  std::set<std::string> top_;  ///< some names of the outermost dictionary
  std::size_t names_ = 0, text_ = 0;
  bool found_ = false;
};

TensorFile load(const std::filesystem::path& path, const std::string& key) {
  const std::string what = "load " + path.string();
  const Zip zip(path);
  const std::string folder = folder_of(zip, what);
  if (zip.entries().contains(folder + "byteorder")) {
    check(read(zip, folder + "byteorder") == "little", "{}: not of a little-endian machine", what);
  }
  const std::uint64_t size = zip.entries().at(folder + "data.pkl").size;
  check(size <= largest_pickle, "{}: a data.pkl of {} bytes, expected at most {}", what, size, largest_pickle);
  const std::string bytes = read(zip, folder + "data.pkl");
  const Pickle pickle(bytes, what + ": data.pkl");
  return Reader(zip, folder, pickle, what, key).file;
}

}  // namespace

TensorFile load_torch(const std::filesystem::path& path, const std::string& key) {
  try {
    return load(path, key);
  } catch (const std::bad_alloc&) {
    fail("load {}: no memory left", path.string());
  }
}

}  // namespace tern
