#pragma once

#include <tern/core/shape.hpp>
#include <tern/core/stored.hpp>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tern {

/// What a pickle of tensors says: Python's pickle protocol 2, as far as torch.save uses it for dictionaries, lists,
/// tuples, numbers, texts and tensors. Nothing is called: of the functions and classes that a pickle may name, the few
/// below are known by what they would make. https://github.com/python/cpython/blob/3.11/Lib/pickletools.py
class Pickle {
 public:
  enum class Kind { none, boolean, integer, real, text, tuple, list, dict, global, storage, tensor };
  using Index = std::uint32_t;  ///< of a value

  struct Value {
    Kind kind = Kind::none;
    std::int64_t integer = 0;  ///< also a boolean's; a storage's number of elements; a tensor's place in its storage
    double real = 0;
    std::string text = {};           ///< also a global's name; a storage's key
    std::vector<Index> items = {};   ///< a dict's keys and values in turn; a tensor's storage
    const Stored* stored = nullptr;  ///< a storage's, also that of the global which is its class
    Shape shape = {}, strides = {};  ///< a tensor's
  };

  /// Throws Error, which begins with `what` and says at which byte, for anything else.
  Pickle(std::string_view bytes, std::string what);

  const Value& operator[](Index i) const { return values_[i]; }
  Index root() const { return root_; }
  std::size_t size() const { return values_.size(); }  ///< how many values

 private:
  void run();
  void step(unsigned char op);
  void reduce();
  void make_tensor(const Value& arguments);
  void make_storage();
  void set_items(std::size_t first, Index dict);

  std::string_view take(std::uint64_t n);
  std::string_view line();
  template <class T>
  T number();
  void push(Value value);
  Index pop();
  std::size_t to_mark();  ///< where the values since the last mark begin
  Value of_items(Kind kind, std::size_t first);
  Shape shape_of(Index tuple, const char* name) const;
  template <class... Args>
  void require(bool ok, const char* message, const Args&... args) const;

  std::string_view bytes_;
  std::string what_;
  std::size_t at_ = 0, op_at_ = 0;  ///< the next byte, and the last opcode's
  std::vector<Value> values_;
  std::vector<Index> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint32_t, Index> memo_;
  Index root_ = 0;
  bool stopped_ = false;
};

}  // namespace tern
