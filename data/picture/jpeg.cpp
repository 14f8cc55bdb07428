/// The structure of a JPEG file: ITU-T T.81, annexes B and G.

#include <tern/core/check.hpp>
#include <tern/data/picture/bytes.hpp>
#include <tern/data/picture/picture.hpp>

#include <algorithm>
#include <array>

namespace tern::picture {

namespace {

enum Marker : int {
  baseline = 0xc0,
  extended = 0xc1,
  progressive = 0xc2,
  huffman_tables = 0xc4,
  first_of_frames = 0xc0,
  last_of_frames = 0xcf,
  first_restart = 0xd0,
  last_restart = 0xd7,
  start_of_image = 0xd8,
  end_of_image = 0xd9,
  start_of_scan = 0xda,
  quantisation_tables = 0xdb,
  number_of_lines = 0xdc,
  restart_interval = 0xdd,
  jfif = 0xe0,
  exif = 0xe1,
  adobe = 0xee,
  temporary = 0x01
};

/// All scans together may visit so many blocks of 8 x 8 values: ten times those of the largest picture with three whole
/// components, where encoders take some five.
constexpr std::int64_t max_visits = std::int64_t{1} << 25;

struct Component {
  int id, h, v, table;             ///< h, v: samples across and down in a unit that scans of many components take
  std::int64_t across, down;       ///< blocks, where a scan has this component alone
  std::array<int, 64> exact_from;  ///< the lowest bit that was delivered of each coefficient, -1 if none
};

class Checker {
 public:
  explicit Checker(std::string_view file) : file_(file) {}

  Picture picture() {
    picture_.keep(file_.substr(0, at_));
    for (int marker = next_marker(); marker != end_of_image; marker = next_marker()) {
      if (marker == temporary || (first_restart <= marker && marker <= last_restart)) continue;
      check(marker != start_of_image, "a second start of image");
      const std::size_t start = at_ - 2;
      const std::string_view segment = next_segment();
      if (marker == exif)
        take_exif(segment);
      else if (take(marker, segment))
        picture_.keep(file_.substr(start, at_ - start));
    }
    check(!components_.empty(), "it has no frame");
    for (const Component& c : components_) check(c.exact_from[0] >= 0, "no scan has its component {}", c.id);
    picture_.keep(file_.substr(at_ - 2, 2));
    return std::move(picture_);
  }

 private:
  int byte(std::size_t at) const { return static_cast<unsigned char>(file_[at]); }

  /// The next marker, which ends at at_; what lies before it is skipped.
  int next_marker() {
    for (;;) {
      at_ = std::min(file_.find('\xff', at_), file_.size());
      at_ = std::min(file_.find_first_not_of('\xff', at_), file_.size());
      check(at_ < file_.size(), "it is cut off: no end of image");
      if (const int marker = byte(at_++)) return marker;
    }
  }

  /// What the segment holds behind its length.
  std::string_view next_segment() {
    check(file_.size() - at_ >= 2, "it is cut off in a segment's length");
    const std::size_t size = big_endian(file_, at_, 2);
    check(2 <= size && size <= file_.size() - at_, "it is cut off: a segment of {} bytes, {} are there", size,
          file_.size() - at_);
    const std::string_view segment = file_.substr(at_ + 2, size - 2);
    at_ += size;
    return segment;
  }

  /// Whether the decoder needs the segment.
  bool take(int marker, std::string_view segment) {
    if (marker == huffman_tables)
      take_huffman_tables(segment);
    else if (marker == quantisation_tables)
      take_quantisation_tables(segment);
    else if (marker == restart_interval)
      take_restart_interval(segment);
    else if (marker == start_of_scan)
      take_scan(segment);
    else if (first_of_frames <= marker && marker <= last_of_frames)
      take_frame(marker, segment);
    else {
      check(marker != number_of_lines, "its height stands behind its pixels, which is not supported");
      return marker == jfif || marker == adobe;
    }
    return true;
  }

  void take_exif(std::string_view segment) {
    constexpr std::string_view name("Exif\0\0", 6);
    if (segment.starts_with(name)) picture_.orientation = exif_orientation(segment.substr(name.size()));
  }

  void take_huffman_tables(std::string_view segment) {
    while (!segment.empty()) {
      check(segment.size() >= 17, "a Huffman table that is cut off");
      const int kind = segment[0] >> 4 & 15, number = segment[0] & 15;
      check(kind <= 1 && number <= 3, "a Huffman table {} of kind {}, expected 0 to 3 of kind 0 or 1", number, kind);
      std::size_t symbols = 0, code = 0;
      for (std::size_t length = 1; length <= 16; ++length) {
        const auto count = static_cast<unsigned char>(segment[length]);
        symbols += count;
        code += count;
        // A code of ones alone is kept free.
        check(count == 0 || code < std::size_t{1} << length, "a Huffman table of too many codes of {} bits", length);
        code *= 2;
      }
      const std::size_t most = std::min<std::size_t>(256, segment.size() - 17);
      check(symbols <= most, "a Huffman table of {} symbols, expected at most {}", symbols, most);
      const std::string_view values = segment.substr(17, symbols);
      check(kind == 1 || std::all_of(values.begin(), values.end(), [](char c) { return 0 <= c && c <= 15; }),
            "a Huffman table with a first coefficient of more than 15 bits");
      (kind == 0 ? has_dc_ : has_ac_)[static_cast<std::size_t>(number)] = true;
      segment.remove_prefix(17 + symbols);
    }
  }

  void take_quantisation_tables(std::string_view segment) {
    while (!segment.empty()) {
      const int wide = segment[0] >> 4 & 15, number = segment[0] & 15;
      check(wide <= 1 && number <= 3, "a quantisation table {} of kind {}, expected 0 to 3 of kind 0 or 1", number,
            wide);
      const std::size_t size = wide == 1 ? 129 : 65;
      check(segment.size() >= size, "a quantisation table that is cut off");
      has_quantisation_[static_cast<std::size_t>(number)] = true;
      segment.remove_prefix(size);
    }
  }

  void take_restart_interval(std::string_view segment) {
    check(segment.size() == 2, "a restart interval of {} bytes, expected 2", segment.size());
    restart_interval_ = big_endian(segment, 0, 2);
  }

  void take_frame(int marker, std::string_view segment) {
    check(marker == baseline || marker == extended || marker == progressive,
          "a frame of kind {:#x}, expected baseline, extended or progressive with Huffman codes", marker);
    check(components_.empty(), "a second frame");
    const auto value = [&](std::size_t at) { return static_cast<unsigned char>(segment[at]); };
    check(segment.size() >= 6, "a frame that is cut off");
    const int bits = value(0), count = value(5);
    check(bits == 8, "{} bits a value, expected 8", bits);
    picture_.height = big_endian(segment, 1, 2);
    picture_.width = big_endian(segment, 3, 2);
    check_size(picture_.width, picture_.height);
    check(count == 1 || count == 3 || count == 4, "{} components, expected 1, 3 or 4", count);
    check(segment.size() == 6 + 3 * static_cast<std::size_t>(count), "a frame of {} bytes for {} components",
          segment.size(), count);
    progressive_ = marker == progressive;
    for (std::size_t at = 6; at < segment.size(); at += 3) {
      Component c{value(at), value(at + 1) >> 4, value(at + 1) & 15, value(at + 2), 0, 0, {}};
      check(1 <= c.h && c.h <= 4 && 1 <= c.v && c.v <= 4 && c.table <= 3,
            "component {}: {} x {} samples, table {}, expected 1 to 4 and 0 to 3", c.id, c.h, c.v, c.table);
      for (const Component& other : components_) check(other.id != c.id, "two components {}", c.id);
      c.exact_from.fill(-1);
      components_.push_back(c);
      most_h_ = std::max(most_h_, c.h);
      most_v_ = std::max(most_v_, c.v);
    }
    units_ = up(picture_.width, 8 * most_h_) * up(picture_.height, 8 * most_v_);
    for (Component& c : components_) {
      check(most_h_ % c.h == 0 && most_v_ % c.v == 0, "component {}: {} x {} samples beside {} x {}", c.id, c.h, c.v,
            most_h_, most_v_);
      c.across = up(up(picture_.width * c.h, most_h_), 8);
      c.down = up(up(picture_.height * c.v, most_v_), 8);
    }
  }

  void take_scan(std::string_view segment) {
    check(!components_.empty(), "a scan before its frame");
    const auto value = [&](std::size_t at) { return static_cast<unsigned char>(segment[at]); };
    const std::size_t count = segment.empty() ? 0 : value(0);
    check(1 <= count && count <= components_.size() && segment.size() == 4 + 2 * count,
          "a scan of {} components in {} bytes", count, segment.size());
    const std::size_t rest = 1 + 2 * count;
    // What a scan that is not progressive says of these is not used.
    const int first = progressive_ ? value(rest) : 0, last = progressive_ ? value(rest + 1) : 63;
    const int high = progressive_ ? value(rest + 2) >> 4 : 0, low = progressive_ ? value(rest + 2) & 15 : 0;
    check(first <= last && last <= 63 && (!progressive_ || (first == 0 ? last == 0 : count == 1)) && low <= 13 &&
              (high == 0 || high == low + 1),
          "a scan of {} components with coefficients {} to {}, bits {} to {}", count, first, last, high, low);
    std::int64_t blocks = 0, in_unit = 0;
    std::array<bool, 256> taken{};
    for (std::size_t i = 0; i < count; ++i) {
      const int id = value(1 + 2 * i), dc = value(2 + 2 * i) >> 4, ac = value(2 + 2 * i) & 15;
      const auto found =
          std::find_if(components_.begin(), components_.end(), [&](const Component& c) { return c.id == id; });
      check(found != components_.end() && !std::exchange(taken[static_cast<std::size_t>(id)], true),
            "a scan of component {}, {}", id, found == components_.end() ? "which the frame has not" : "twice");
      Component& c = *found;
      check(dc <= 3 && ac <= 3, "a scan with Huffman tables {} and {}, expected 0 to 3", dc, ac);
      const bool needs_dc = first == 0 && high == 0, needs_ac = last > 0;
      check((!needs_dc || has_dc_[static_cast<std::size_t>(dc)]) &&
                (!needs_ac || has_ac_[static_cast<std::size_t>(ac)]) &&
                has_quantisation_[static_cast<std::size_t>(c.table)],
            "a scan of component {} before its tables", id);
      check(first == 0 || c.exact_from[0] >= 0, "a scan of component {} before that of its first coefficients", id);
      for (auto k = static_cast<std::size_t>(first); k <= static_cast<std::size_t>(last); ++k) {
        check(c.exact_from[k] == (high == 0 ? -1 : high), "a scan of component {} again or before its time", id);
        c.exact_from[k] = low;
      }
      blocks += count == 1 ? c.across * c.down : units_ * c.h * c.v;
      in_unit += c.h * c.v;
    }
    check(count == 1 || in_unit <= 10, "a scan of {} blocks in a unit, expected at most 10", in_unit);
    if (progressive_ || count < components_.size()) check_held();
    visits_ += blocks;
    check(visits_ <= max_visits, "scans of more than {} blocks together", max_visits);
    take_data(blocks, count == 1 ? blocks : units_, !progressive_ ? 2 : first == 0 ? 1 : 0);
  }

  /// The coefficients, which are held until the last scan.
  void check_held() const {
    std::int64_t held = 0;
    for (const Component& c : components_) held += units_ * c.h * c.v * 64 * 2;
    check(held <= max_bytes, "{} bytes of coefficients for later scans, expected at most {}", held, max_bytes);
  }

  /// The data of a scan. A block takes at least so many bits: a code for its first coefficient and one that says that
  /// the others are 0; where the others come in scans of their own, one code can stand for thousands of blocks.
  void take_data(std::int64_t blocks, std::int64_t units, std::int64_t bits) {
    const std::size_t start = at_;
    std::int64_t restarts = 0;
    for (;;) {
      at_ = std::min(file_.find('\xff', at_), file_.size());
      check(file_.size() - at_ >= 2, "it is cut off in a scan");
      const int marker = byte(at_ + 1);
      if (marker == 0xff) {
        ++at_;
      } else if (marker == 0) {
        at_ += 2;
      } else if (first_restart <= marker && marker <= last_restart) {
        check(marker == first_restart + restarts % 8, "restart marker {} in place of {}", marker - first_restart,
              restarts % 8);
        ++restarts;
        at_ += 2;
      } else {
        break;
      }
    }
    const std::int64_t expected = restart_interval_ == 0 ? 0 : (units - 1) / restart_interval_;
    check(restarts == expected, "a scan with {} restart markers, expected {}", restarts, expected);
    const auto bytes = static_cast<std::int64_t>(at_ - start);
    check(bytes > 0 && blocks * bits <= 8 * bytes, "a scan of {} blocks in {} bytes, which cannot hold them", blocks,
          bytes);
  }

  static std::int64_t up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

  std::string_view file_;
  std::size_t at_ = 2;  ///< behind the start of image
  Picture picture_;
  std::array<bool, 4> has_dc_{}, has_ac_{}, has_quantisation_{};
  std::vector<Component> components_;
  bool progressive_ = false;
  int most_h_ = 1, most_v_ = 1;
  std::int64_t units_ = 0, restart_interval_ = 0, visits_ = 0;
};

}  // namespace

Picture check_jpeg(std::string_view file) { return Checker(file).picture(); }

}  // namespace tern::picture
