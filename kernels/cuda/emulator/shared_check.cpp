#include "shared_check.hpp"

#include <link.h>

#include <algorithm>
#include <bit>

namespace tern::emulator {

SharedMemoryCheck::SharedMemoryCheck(const void* dynamic_begin, std::size_t dynamic_bytes) {
  ranges_.push_back({address_of(dynamic_begin), dynamic_bytes, 0});
  const auto add_module = [](dl_phdr_info* module, std::size_t, void* ranges) {
    for (int i = 0; i < module->dlpi_phnum; ++i)
      if (module->dlpi_phdr[i].p_type == PT_TLS && module->dlpi_tls_data != nullptr)
        static_cast<std::vector<Range>*>(ranges)->push_back(
            {address_of(module->dlpi_tls_data), module->dlpi_phdr[i].p_memsz, 0});
    return 0;
  };
  dl_iterate_phdr(add_module, &ranges_);
  std::size_t cells = 0;
  for (Range& range : ranges_) {
    range.first_cell = cells;
    cells += range.bytes / 4 + 2;
  }
  cells_.resize(cells);
}

void SharedMemoryCheck::begin_block(unsigned threads) {
  first_phase_ = ++phase_;
  if (clocks_.size() < threads) {
    clocks_.resize((threads + 31) / 32 * 32);
    warp_has_moved_.resize(clocks_.size() / 32);
  }
  for (std::size_t warp = 0; warp < warp_has_moved_.size(); ++warp) {
    if (!warp_has_moved_[warp]) continue;
    std::fill_n(clocks_.begin() + static_cast<std::ptrdiff_t>(warp * 32), 32, Clock{});
    warp_has_moved_[warp] = false;
  }
}

void SharedMemoryCheck::warp_barrier(unsigned warp, unsigned lanes) {
  Clock joined = {};
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(rest));
    Clock& clock = clocks_[warp * 32 + lane];
    ++clock[lane];
    for (unsigned i = 0; i < 32; ++i) joined[i] = std::max(joined[i], clock[i]);
  }
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1)
    clocks_[warp * 32 + static_cast<unsigned>(std::countr_zero(rest))] = joined;
  warp_has_moved_[warp] = true;
}

/// Whether nothing orders the earlier access before what `thread` does now.
bool SharedMemoryCheck::unordered(const Stamp& earlier, unsigned thread) const {
  if (earlier.phase != phase_ || earlier.thread == thread) return false;
  if (earlier.thread / 32 != thread / 32) return true;
  return clock(thread, earlier.thread % 32) <= earlier.epoch;
}

void SharedMemoryCheck::note_read(Cell& cell, const Access& read, unsigned thread) {
  // A read that is ordered before this one adds nothing: what comes after this one also comes after that.
  for (Access& kept : cell.reads) {
    if (unordered(kept.stamp, thread)) continue;
    kept = read;
    return;
  }
  // Reads by two warps are worth more than two by the same.
  if (cell.reads[0].stamp.thread / 32 == cell.reads[1].stamp.thread / 32) cell.reads[1] = read;
}

std::optional<SharedMemoryCheck::Finding> SharedMemoryCheck::access(const volatile void* p, std::size_t bytes,
                                                                    unsigned thread, AccessKind kind,
                                                                    const void* call) {
  const Stamp now{phase_, thread, clock(thread, thread % 32)};
  const Address end = address_of(p) + bytes;
  for (Address at = address_of(p); at < end; at = (at / 4 + 1) * 4) {
    Cell* const cell = cell_of(at);
    if (cell == nullptr) break;
    const auto touched =
        static_cast<std::uint8_t>((0xFu << at % 4) & 0xFu & (0xFu >> (end / 4 == at / 4 ? 4 - end % 4 : 0)));
    if (cell->block != first_phase_) {
      cell->block = first_phase_;
      cell->set = 0;
    }
    if ((cell->write_bytes & touched) != 0 && unordered(cell->write.stamp, thread) &&
        !(kind == AccessKind::atomic && cell->write_is_atomic))
      return Finding{true, cell->write.stamp.thread, "writes", cell->write.call};
    if (kind != AccessKind::write && (cell->set & touched) != touched) return Finding{false, 0, nullptr, nullptr};
    if (kind == AccessKind::read) {
      note_read(*cell, {now, call}, thread);
      continue;
    }
    for (const Access& read : cell->reads)
      if (unordered(read.stamp, thread)) return Finding{true, read.stamp.thread, "reads", read.call};
    cell->write = {now, call};
    cell->write_bytes = touched;
    cell->write_is_atomic = kind == AccessKind::atomic;
    cell->set |= touched;
  }
  return std::nullopt;
}

}  // namespace tern::emulator
