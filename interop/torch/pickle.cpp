#include <tern/core/check.hpp>
#include <tern/interop/torch/pickle.hpp>

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <utility>

namespace tern {
namespace {

constexpr std::size_t most_values = 1 << 20;

/// By pickletools' names.
struct Opcode {
  unsigned char code;
  const char* name;
};
constexpr Opcode opcodes[] = {{'I', "INT"},
                              {'J', "BININT"},
                              {'K', "BININT1"},
                              {'M', "BININT2"},
                              {'L', "LONG"},
                              {0x8a, "LONG1"},
                              {0x8b, "LONG4"},
                              {'S', "STRING"},
                              {'T', "BINSTRING"},
                              {'U', "SHORT_BINSTRING"},
                              {'B', "BINBYTES"},
                              {'C', "SHORT_BINBYTES"},
                              {0x8e, "BINBYTES8"},
                              {0x96, "BYTEARRAY8"},
                              {0x97, "NEXT_BUFFER"},
                              {0x98, "READONLY_BUFFER"},
                              {'N', "NONE"},
                              {0x88, "NEWTRUE"},
                              {0x89, "NEWFALSE"},
                              {'V', "UNICODE"},
                              {0x8c, "SHORT_BINUNICODE"},
                              {'X', "BINUNICODE"},
                              {0x8d, "BINUNICODE8"},
                              {'F', "FLOAT"},
                              {'G', "BINFLOAT"},
                              {']', "EMPTY_LIST"},
                              {'a', "APPEND"},
                              {'e', "APPENDS"},
                              {'l', "LIST"},
                              {')', "EMPTY_TUPLE"},
                              {'t', "TUPLE"},
                              {0x85, "TUPLE1"},
                              {0x86, "TUPLE2"},
                              {0x87, "TUPLE3"},
                              {'}', "EMPTY_DICT"},
                              {'d', "DICT"},
                              {'s', "SETITEM"},
                              {'u', "SETITEMS"},
                              {0x8f, "EMPTY_SET"},
                              {0x90, "ADDITEMS"},
                              {0x91, "FROZENSET"},
                              {'0', "POP"},
                              {'2', "DUP"},
                              {'(', "MARK"},
                              {'1', "POP_MARK"},
                              {'g', "GET"},
                              {'h', "BINGET"},
                              {'j', "LONG_BINGET"},
                              {'p', "PUT"},
                              {'q', "BINPUT"},
                              {'r', "LONG_BINPUT"},
                              {0x94, "MEMOIZE"},
                              {0x82, "EXT1"},
                              {0x83, "EXT2"},
                              {0x84, "EXT4"},
                              {'c', "GLOBAL"},
                              {0x93, "STACK_GLOBAL"},
                              {'R', "REDUCE"},
                              {'b', "BUILD"},
                              {'i', "INST"},
                              {'o', "OBJ"},
                              {0x81, "NEWOBJ"},
                              {0x92, "NEWOBJ_EX"},
                              {0x80, "PROTO"},
                              {'.', "STOP"},
                              {0x95, "FRAME"},
                              {'P', "PERSID"},
                              {'Q', "BINPERSID"}};

std::string name_of(unsigned char code) {
  const auto* const found =
      std::find_if(std::begin(opcodes), std::end(opcodes), [&](const Opcode& op) { return op.code == code; });
  return found == std::end(opcodes) ? fmt::format("{:#04x}", code) : found->name;
}

constexpr std::string_view rebuild_tensor = "torch._utils._rebuild_tensor_v2",
                           rebuild_parameter = "torch._utils._rebuild_parameter", size_class = "torch.Size",
                           ordered_dict = "collections.OrderedDict";

/// Classes of storages, and the dtypes of load_safetensors that they hold.
constexpr std::pair<std::string_view, const char*> storages[] = {
    {"torch.FloatStorage", "F32"},     {"torch.DoubleStorage", "F64"}, {"torch.HalfStorage", "F16"},
    {"torch.BFloat16Storage", "BF16"}, {"torch.LongStorage", "I64"},   {"torch.IntStorage", "I32"},
    {"torch.ShortStorage", "I16"},     {"torch.CharStorage", "I8"},    {"torch.ByteStorage", "U8"},
    {"torch.BoolStorage", "BOOL"}};

}  // namespace

Pickle::Pickle(std::string_view bytes, std::string what) : bytes_(bytes), what_(std::move(what)) { run(); }

template <class... Args>
void Pickle::require(bool ok, const char* message, const Args&... args) const {
  if (!ok) fail("{}: at byte {}: {}", what_, op_at_, fmt::format(fmt::runtime(message), args...));
}

std::string_view Pickle::take(std::uint64_t n) {
  require(n <= bytes_.size() - at_, "{} needs {} bytes more and {} are left, expected a whole pickle",
          name_of(static_cast<unsigned char>(bytes_[op_at_])), n, bytes_.size() - at_);
  const std::string_view taken = bytes_.substr(at_, n);
  at_ += n;
  return taken;
}

std::string_view Pickle::line() {
  const std::size_t end = bytes_.find('\n', at_);
  require(end != std::string_view::npos, "a name without an end, expected a whole pickle");
  const std::string_view text = take(end - at_);
  ++at_;
  return text;
}

template <class T>
T Pickle::number() {
  T value;
  std::memcpy(&value, take(sizeof value).data(), sizeof value);
  return value;
}

void Pickle::push(Value value) {
  require(values_.size() < most_values, "more than {} values", most_values);
  stack_.push_back(static_cast<Index>(values_.size()));
  values_.push_back(std::move(value));
}

Pickle::Index Pickle::pop() {
  require(stack_.size() > (marks_.empty() ? 0 : marks_.back()), "{} of a value that is not there",
          name_of(static_cast<unsigned char>(bytes_[op_at_])));
  const Index top = stack_.back();
  stack_.pop_back();
  return top;
}

std::size_t Pickle::to_mark() {
  require(!marks_.empty(), "{} without a mark", name_of(static_cast<unsigned char>(bytes_[op_at_])));
  const std::size_t first = marks_.back();
  marks_.pop_back();
  return first;
}

Pickle::Value Pickle::of_items(Kind kind, std::size_t first) {
  Value value{.kind = kind};
  value.items.assign(stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
  stack_.resize(first);
  return value;
}

void Pickle::run() {
  while (!stopped_) {
    op_at_ = at_;
    require(at_ < bytes_.size(), "no STOP, expected a whole pickle");
    step(static_cast<unsigned char>(bytes_[at_++]));
  }
}

void Pickle::step(unsigned char op) {
  const auto memorize = [&](std::uint32_t at) {
    require(!stack_.empty(), "{} of nothing", name_of(op));
    memo_[at] = stack_.back();
  };
  const auto recall = [&](std::uint32_t at) {
    const auto found = memo_.find(at);
    require(found != memo_.end(), "{} of {}, which nothing was put in", name_of(op), at);
    stack_.push_back(found->second);
  };
  const auto tuple_of = [&](std::size_t n) {
    require(stack_.size() >= n + (marks_.empty() ? 0 : marks_.back()), "{} of values that are not there", name_of(op));
    push(of_items(Kind::tuple, stack_.size() - n));
  };
  const auto top = [&](Kind kind, const char* name) -> Index {
    const std::size_t least = marks_.empty() ? 0 : marks_.back();
    require(stack_.size() > least && values_[stack_.back()].kind == kind, "{} to something else than a {}", name_of(op),
            name);
    return stack_.back();
  };
  switch (op) {
    case 0x80: {  // PROTO
      const auto version = number<std::uint8_t>();
      require(version <= 5, "a pickle of protocol {}, expected 2", version);
      return;
    }
    case '.':  // STOP
      root_ = pop();
      require(stack_.empty() && marks_.empty(), "STOP with {} values left over", stack_.size());
      stopped_ = true;
      return;
    case '(':  // MARK
      marks_.push_back(stack_.size());
      return;
    case 'N':
      return push({});
    case 0x88:  // NEWTRUE
      return push({.kind = Kind::boolean, .integer = 1});
    case 0x89:  // NEWFALSE
      return push({.kind = Kind::boolean});
    case 'K':
      return push({.kind = Kind::integer, .integer = number<std::uint8_t>()});
    case 'M':
      return push({.kind = Kind::integer, .integer = number<std::uint16_t>()});
    case 'J':
      return push({.kind = Kind::integer, .integer = number<std::int32_t>()});
    case 0x8a: {  // LONG1: so many bytes, the last of which has the sign
      const auto n = number<std::uint8_t>();
      require(n <= 8, "LONG1 of {} bytes, expected at most 8", n);
      const std::string_view digits = take(n);
      std::uint64_t value = n > 0 && static_cast<signed char>(digits.back()) < 0 ? ~std::uint64_t{0} : 0;
      for (std::size_t i = n; i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
      return push({.kind = Kind::integer, .integer = std::bit_cast<std::int64_t>(value)});
    }
    case 'G': {  // BINFLOAT, with the first byte in front
      std::uint64_t bits = 0;
      for (const char c : take(8)) bits = bits << 8 | static_cast<unsigned char>(c);
      return push({.kind = Kind::real, .real = std::bit_cast<double>(bits)});
    }
    case 'X':
      return push({.kind = Kind::text, .text = std::string(take(number<std::uint32_t>()))});
    case ']':
      return push({.kind = Kind::list});
    case '}':
      return push({.kind = Kind::dict});
    case ')':
      return push({.kind = Kind::tuple});
    case 't':
      return push(of_items(Kind::tuple, to_mark()));
    case 0x85:
    case 0x86:
    case 0x87:
      return tuple_of(op - 0x84U);
    case 'a': {  // APPEND
      const Index item = pop();
      values_[top(Kind::list, "list")].items.push_back(item);
      return;
    }
    case 'e': {  // APPENDS
      const Value added = of_items(Kind::list, to_mark());
      std::vector<Index>& items = values_[top(Kind::list, "list")].items;
      items.insert(items.end(), added.items.begin(), added.items.end());
      return;
    }
    case 's': {  // SETITEM
      require(stack_.size() >= 2, "SETITEM of values that are not there");
      const Index value = pop(), key = pop();
      std::vector<Index>& items = values_[top(Kind::dict, "dictionary")].items;
      items.insert(items.end(), {key, value});
      return;
    }
    case 'u': {  // SETITEMS
      const Value added = of_items(Kind::dict, to_mark());
      require(added.items.size() % 2 == 0, "SETITEMS of a key without a value");
      std::vector<Index>& items = values_[top(Kind::dict, "dictionary")].items;
      items.insert(items.end(), added.items.begin(), added.items.end());
      return;
    }
    case 'q':
      return memorize(number<std::uint8_t>());
    case 'r':
      return memorize(number<std::uint32_t>());
    case 'h':
      return recall(number<std::uint8_t>());
    case 'j':
      return recall(number<std::uint32_t>());
    case 'c': {  // GLOBAL
      const std::string module(line()), name = module + '.' + std::string(line());
      const auto* const storage =
          std::find_if(std::begin(storages), std::end(storages), [&](const auto& s) { return s.first == name; });
      const bool is_storage = storage != std::end(storages);
      require(is_storage || name == rebuild_tensor || name == rebuild_parameter || name == size_class ||
                  name == ordered_dict,
              "GLOBAL {}, which is not among what a file of tensors needs; nothing of it was executed",
              in_quotes(name));
      return push(
          {.kind = Kind::global, .text = name, .stored = is_storage ? stored_by_name(storage->second) : nullptr});
    }
    case 'Q':
      return make_storage();
    case 'R':
      return reduce();
    case 'b': {  // BUILD: attributes of a state_dict, its versions, are let go
      const Index state = pop();
      top(Kind::dict, "dictionary");
      require(values_[state].kind == Kind::dict, "BUILD with something else than a dictionary");
      return;
    }
    default:
      require(false, "the opcode {}, which is not among what a file of tensors needs; nothing of it was executed",
              name_of(op));
  }
}

/// persistent_load of ("storage", its class, its key, the device it was on, its number of elements).
void Pickle::make_storage() {
  const Value& id = values_[pop()];
  const auto is = [&](std::size_t i, Kind kind) { return values_[id.items[i]].kind == kind; };
  require(id.kind == Kind::tuple && id.items.size() == 5 && is(0, Kind::text) && is(1, Kind::global) &&
              is(2, Kind::text) && is(4, Kind::integer) && values_[id.items[0]].text == "storage" &&
              values_[id.items[1]].stored && values_[id.items[4]].integer >= 0,
          "BINPERSID of something else than a storage");
  push({.kind = Kind::storage,
        .integer = values_[id.items[4]].integer,
        .text = values_[id.items[2]].text,
        .stored = values_[id.items[1]].stored});
}

void Pickle::reduce() {
  const Index arguments = pop(), function = pop();
  const std::string name = values_[function].text;
  require(values_[function].kind == Kind::global && values_[arguments].kind == Kind::tuple,
          "REDUCE of something else than a global and a tuple");
  const std::vector<Index> items = values_[arguments].items;
  if (name == ordered_dict) {
    require(items.empty(), "REDUCE of an OrderedDict with arguments, expected none");
    push({.kind = Kind::dict});
  } else if (name == size_class) {
    require(items.size() == 1 && values_[items[0]].kind == Kind::tuple, "REDUCE of a torch.Size without a tuple");
    stack_.push_back(items[0]);
  } else if (name == rebuild_parameter) {
    require(items.size() == 3 && values_[items[0]].kind == Kind::tensor, "REDUCE of a parameter without a tensor");
    stack_.push_back(items[0]);
  } else {
    require(name == rebuild_tensor, "REDUCE of {}, which is no function", in_quotes(name));
    make_tensor(values_[arguments]);
  }
}

Shape Pickle::shape_of(Index tuple, const char* name) const {
  Shape shape;
  require(values_[tuple].kind == Kind::tuple && values_[tuple].items.size() <= Shape::max_dims,
          "a tensor's {}, expected a tuple of at most {} numbers", name, Shape::max_dims);
  for (const Index i : values_[tuple].items) {
    require(values_[i].kind == Kind::integer && values_[i].integer >= 0, "a tensor's {}, expected numbers of 0 or more",
            name);
    shape.push_back(values_[i].integer);
  }
  return shape;
}

/// (storage, offset, size, stride, requires_grad, backward_hooks), and at times metadata.
void Pickle::make_tensor(const Value& arguments) {
  const std::vector<Index> items = arguments.items;
  require(items.size() == 6 || items.size() == 7, "a tensor of {} arguments, expected 6 or 7", items.size());
  require(values_[items[0]].kind == Kind::storage && values_[items[1]].kind == Kind::integer,
          "a tensor without a storage and a place in it");
  const Shape shape = shape_of(items[2], "size"), strides = shape_of(items[3], "stride");
  require(shape.size() == strides.size(), "a tensor with {} sizes and {} strides", shape.size(), strides.size());
  const std::int64_t offset = values_[items[1]].integer, elements = values_[items[0]].integer;
  std::int64_t last = offset, step = 0;
  bool overflows = offset < 0, empty = false;
  std::int64_t n = 1;
  for (int d = 0; d < shape.size(); ++d) {
    empty = empty || shape[d] == 0;
    if (shape[d] <= 1) continue;
    overflows = overflows || __builtin_mul_overflow(shape[d] - 1, strides[d], &step) ||
                __builtin_add_overflow(last, step, &last) || __builtin_mul_overflow(n, shape[d], &n);
  }
  require(empty ? offset >= 0 && offset <= elements && !overflows : !overflows && last < elements,
          "a tensor of size {}, stride {} from element {} on, expected it within a storage of {} elements", shape.str(),
          strides.str(), offset, elements);
  push({.kind = Kind::tensor, .integer = offset, .items = {items[0]}, .shape = shape, .strides = strides});
}

}  // namespace tern
