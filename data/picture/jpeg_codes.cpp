/// The codes in a JPEG file's scans: ITU-T T.81, annexes F and G. For stb_image, which goes on with zeros where they
/// end.

#include <tern/core/check.hpp>
#include <tern/data/picture/bytes.hpp>
#include <tern/data/picture/picture.hpp>

#include <algorithm>
#include <array>

namespace tern::picture {

namespace {

struct Table {
  std::array<int, 17> counts{};  ///< of codes of each length
  std::array<int, 256> symbols{};
};

/// The data up to a restart marker, bit by bit.
class Bits {
 public:
  explicit Bits(std::string_view data = {}) : data_(data) {}

  int bit() {
    if (left_ == 0) {
      check(at_ < data_.size(), "a scan's data ends early");
      byte_ = static_cast<unsigned char>(data_[at_]);
      // Behind 255 stands a 0 that is no data.
      at_ = byte_ == 255 ? std::min(data_.find('\0', at_), data_.size() - 1) + 1 : at_ + 1;
      left_ = 8;
    }
    return byte_ >> --left_ & 1;
  }

  int number(int bits) {
    int value = 0;
    while (bits-- > 0) value = 2 * value + bit();
    return value;
  }

  int symbol(const Table& table) {
    int code = 0, first = 0;  // `first` of the codes as long
    for (std::size_t length = 1, before = 0; length <= 16; ++length) {
      code = 2 * code + bit();
      first *= 2;
      const int count = table.counts[length];
      if (code - first < count) return table.symbols[before + static_cast<std::size_t>(code - first)];
      first += count;
      before += static_cast<std::size_t>(count);
    }
    fail("a code that its Huffman table has not");
  }

 private:
  std::string_view data_;
  std::size_t at_ = 0;
  int byte_ = 0, left_ = 0;
};

struct Component {
  int id, h, v;
  std::int64_t across = 0, down = 0, row = 0;  ///< blocks where a scan has this component alone; of a row in memory
  std::vector<std::uint64_t> not_zero{};       ///< a bit for each coefficient of each block that later scans refine
  const Table *dc = nullptr, *ac = nullptr;
};

class Walker {
 public:
  explicit Walker(std::string_view file) : file_(file) {}

  void walk() {
    for (std::size_t at = 2; at + 4 <= file_.size();) {
      const int marker = static_cast<unsigned char>(file_[at + 1]);
      const std::size_t size = big_endian(file_, at + 2, 2);
      const std::string_view segment = file_.substr(at + 4, size - 2);
      at += 2 + size;
      if (marker == 0xc4) take_tables(segment);
      if (marker == 0xdd) restart_interval_ = big_endian(segment, 0, 2);
      if (marker == 0xc0 || marker == 0xc1 || marker == 0xc2) take_frame(marker == 0xc2, segment);
      if (marker == 0xda) at = take_scan(segment, at);
    }
  }

 private:
  void take_tables(std::string_view segment) {
    while (!segment.empty()) {
      Table& table = (segment[0] & 16 ? ac_ : dc_)[segment[0] & 3];
      std::size_t symbols = 0;
      for (std::size_t i = 1; i <= 16; ++i) {
        table.counts[i] = static_cast<unsigned char>(segment[i]);
        symbols += static_cast<unsigned char>(segment[i]);
      }
      for (std::size_t i = 0; i < symbols; ++i) table.symbols[i] = static_cast<unsigned char>(segment[17 + i]);
      segment.remove_prefix(17 + symbols);
    }
  }

  void take_frame(bool progressive, std::string_view segment) {
    const auto value = [&](std::size_t at) { return static_cast<unsigned char>(segment[at]); };
    const std::int64_t height = big_endian(segment, 1, 2), width = big_endian(segment, 3, 2);
    progressive_ = progressive;
    int most_h = 1, most_v = 1;
    for (std::size_t at = 6; at < segment.size(); at += 3) {
      components_.push_back({.id = value(at), .h = value(at + 1) >> 4, .v = value(at + 1) & 15});
      most_h = std::max(most_h, components_.back().h);
      most_v = std::max(most_v, components_.back().v);
    }
    const auto up = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
    units_across_ = up(width, 8 * most_h);
    units_down_ = up(height, 8 * most_v);
    for (Component& c : components_) {
      c.across = up(up(width * c.h, most_h), 8);
      c.down = up(up(height * c.v, most_v), 8);
      c.row = units_across_ * c.h;
      if (progressive) c.not_zero.resize(static_cast<std::size_t>(c.row * units_down_ * c.v));
    }
  }

  /// Returns where the next marker stands.
  std::size_t take_scan(std::string_view segment, std::size_t at) {
    const auto value = [&](std::size_t i) { return static_cast<unsigned char>(segment[i]); };
    const std::size_t count = value(0);
    std::vector<Component*> taken;
    for (std::size_t i = 0; i < count; ++i) {
      const auto c = std::find_if(components_.begin(), components_.end(),
                                  [&](const Component& one) { return one.id == value(1 + 2 * i); });
      c->dc = &dc_[value(2 + 2 * i) >> 4 & 3];
      c->ac = &ac_[value(2 + 2 * i) & 3];
      taken.push_back(&*c);
    }
    first_ = value(1 + 2 * count);
    last_ = value(2 + 2 * count);
    refines_ = value(3 + 2 * count) >> 4 != 0;

    const bool alone = count == 1;
    const std::int64_t across = alone ? taken[0]->across : units_across_, down = alone ? taken[0]->down : units_down_;
    for (std::int64_t unit = 0; unit < across * down; ++unit) {
      if (unit == 0 || (restart_interval_ != 0 && unit % restart_interval_ == 0)) {
        if (unit > 0) at += 2;
        const std::size_t end = next_marker(at);
        bits_ = Bits(file_.substr(at, end - at));
        at = end;
        run_ = 0;
      }
      const std::int64_t x = unit % across, y = unit / across;
      for (Component* c : taken) {
        const int h = alone ? 1 : c->h, v = alone ? 1 : c->v;
        for (int i = 0; i < h * v; ++i) block(*c, (y * v + i / h) * c->row + x * h + i % h);
      }
    }
    return at;
  }

  /// Of which the data is not a part: 255 and neither 255 nor 0.
  std::size_t next_marker(std::size_t at) const {
    for (at = file_.find('\xff', at); file_[at + 1] == '\xff' || file_[at + 1] == '\0';
         at = file_.find('\xff', at + 1)) {
    }
    return at;
  }

  void block(Component& c, std::int64_t index) {
    if (!progressive_) {
      bits_.number(bits_.symbol(*c.dc));
      std::uint64_t ignored = 0;
      last_ = 63;
      for (int k = 1; k <= 63;) k = coefficients(*c.ac, k, ignored);
    } else if (first_ == 0) {
      bits_.number(refines_ ? 1 : bits_.symbol(*c.dc));
    } else if (refines_) {
      refine(*c.ac, c.not_zero[static_cast<std::size_t>(index)]);
    } else if (run_ > 0) {
      --run_;
    } else {
      for (int k = first_; k <= last_;) k = coefficients(*c.ac, k, c.not_zero[static_cast<std::size_t>(index)]);
    }
  }

  /// Zeros from k on and what follows them; returns where the next come.
  int coefficients(const Table& table, int k, std::uint64_t& not_zero) {
    const int symbol = bits_.symbol(table), zeros = symbol >> 4, size = symbol & 15;
    if (size > 0) {
      not_zero |= std::uint64_t{1} << std::min(k + zeros, 63);
      bits_.number(size);
      return k + zeros + 1;
    }
    if (zeros == 15) return k + 16;
    if (progressive_) run_ = (1 << zeros) - 1 + bits_.number(zeros);
    return 64;
  }

  /// A bit for each coefficient that was not zero, and new ones among the zeros.
  void refine(const Table& table, std::uint64_t& not_zero) {
    const auto was_zero = [&](int k) { return (not_zero >> k & 1) == 0; };
    int k = first_;
    while (run_ == 0 && k <= last_) {
      const int symbol = bits_.symbol(table), size = symbol & 15;
      int zeros = symbol >> 4;
      if (size == 0 && zeros < 15) {
        run_ = (1 << zeros) + bits_.number(zeros);
        break;
      }
      if (size > 0) bits_.bit();
      for (; k <= last_ && (!was_zero(k) || zeros-- > 0); ++k) {
        if (!was_zero(k)) bits_.bit();
      }
      if (size > 0 && k <= last_) not_zero |= std::uint64_t{1} << k;
      ++k;
    }
    if (run_ == 0) return;
    for (; k <= last_; ++k) {
      if (!was_zero(k)) bits_.bit();
    }
    --run_;
  }

  std::string_view file_;
  std::array<Table, 4> dc_, ac_;
  std::vector<Component> components_;
  bool progressive_ = false, refines_ = false;
  int first_ = 0, last_ = 0;
  std::int64_t units_across_ = 0, units_down_ = 0, restart_interval_ = 0;
  Bits bits_;
  int run_ = 0;  ///< blocks to come without new coefficients
};

}  // namespace

void check_jpeg_codes(std::string_view file) { Walker(file).walk(); }

}  // namespace tern::picture
