/// JPEG by libjpeg-turbo, row by row.

#include <tern/core/check.hpp>
#include <tern/data/picture/picture.hpp>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>

#include <jpeglib.h>

#include <jerror.h>

namespace tern::picture {

namespace {

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  std::jmp_buf escape;
  std::array<char, JMSG_LENGTH_MAX> message{};
  const Picture* picture = nullptr;
  std::size_t next_part = 0;
  std::vector<std::uint8_t> row;

  ~Decoder() { jpeg_destroy_decompress(&info); }
};

Decoder& decoder(j_common_ptr info) { return *static_cast<Decoder*>(info->client_data); }

[[noreturn]] void on_error(j_common_ptr info) {
  info->err->format_message(info, decoder(info).message.data());
  std::longjmp(decoder(info).escape, 1);
}

/// The library goes on where data is missing or makes no sense, with pixels of its own: not what was asked for.
void on_message(j_common_ptr info, int level) {
  constexpr std::array<int, 6> not_delivered{JWRN_HIT_MARKER, JWRN_HUFF_BAD_CODE, JWRN_MUST_RESYNC,
                                             JWRN_JPEG_EOF,   JWRN_TOO_MUCH_DATA, JWRN_BOGUS_PROGRESSION};
  if (level < 0 && std::count(not_delivered.begin(), not_delivered.end(), info->err->msg_code) > 0) on_error(info);
}

boolean next_part(j_decompress_ptr info) {
  Decoder& d = decoder(reinterpret_cast<j_common_ptr>(info));
  if (d.next_part == d.picture->parts.size()) ERREXIT(info, JERR_INPUT_EOF);
  const std::string_view part = d.picture->parts[d.next_part++];
  d.source.next_input_byte = reinterpret_cast<const JOCTET*>(part.data());
  d.source.bytes_in_buffer = part.size();
  return TRUE;
}

void skip(j_decompress_ptr info, long count) {
  for (auto left = static_cast<std::size_t>(count);;) {
    const std::size_t here = std::min(left, info->src->bytes_in_buffer);
    info->src->next_input_byte += here;
    info->src->bytes_in_buffer -= here;
    left -= here;
    if (left == 0) return;
    next_part(info);
  }
}

/// As Adobe writes them, 255 for no ink.
void cmyk_to_rgb(std::vector<std::uint8_t>& row) {
  for (std::size_t from = 0, to = 0; from + 4 <= row.size(); from += 4) {
    const int key = row[from + 3];
    for (std::size_t c = 0; c < 3; ++c) row[to++] = static_cast<std::uint8_t>((row[from + c] * key + 127) / 255);
  }
}

/// False where the library gave up; d.message says why. Nothing here has a destructor that the jump would miss.
bool decode(Decoder& d, Canvas& canvas) {
  if (setjmp(d.escape) != 0) return false;
  jpeg_create_decompress(&d.info);
  d.info.client_data = &d;
  d.info.mem->max_memory_to_use = max_bytes + max_bytes / 4;  // the coefficients, and some rows
  d.info.src = &d.source;
  jpeg_read_header(&d.info, TRUE);
  const bool cmyk = d.info.num_components == 4;
  d.info.out_color_space = cmyk ? JCS_CMYK : d.info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_start_decompress(&d.info);
  d.row.resize(std::size_t{d.info.output_width} * static_cast<std::size_t>(d.info.output_components));
  while (d.info.output_scanline < d.info.output_height) {
    JSAMPROW row = d.row.data();
    const std::int64_t y = d.info.output_scanline;
    if (jpeg_read_scanlines(&d.info, &row, 1) != 1) break;
    if (cmyk) cmyk_to_rgb(d.row);
    canvas.put(0, y, 1, d.info.output_width, d.row.data(), std::min(d.info.output_components, 3));
  }
  jpeg_finish_decompress(&d.info);
  return true;
}

}  // namespace

void decode_jpeg(const Picture& picture, Canvas& canvas) {
  Decoder d;
  d.picture = &picture;
  d.info.err = jpeg_std_error(&d.errors);
  d.info.client_data = &d;
  d.errors.error_exit = on_error;
  d.errors.emit_message = on_message;
  d.source.init_source = d.source.term_source = [](j_decompress_ptr) {};
  d.source.fill_input_buffer = next_part;
  d.source.skip_input_data = skip;
  d.source.resync_to_restart = jpeg_resync_to_restart;
  check(decode(d, canvas), "libjpeg: {}", d.message.data());
}

}  // namespace tern::picture
