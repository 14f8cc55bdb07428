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
  cells_ = std::make_unique<Cell[]>(cells);
  calls_ = std::make_unique<Calls[]>(cells);
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

void SharedMemoryCheck::note_read(Cell& cell, const Stamp& now, const void* call) {
  // A read that is ordered before this one adds nothing: what comes after this one also comes after that.
  int replaced = 0;
  if (unordered(cell.reads[0], now.thread())) {
    // Reads by two warps are worth more than two by the same.
    const bool of_one_warp = cell.reads[0].thread() / 32 == cell.reads[1].thread() / 32;
    if (!of_one_warp && unordered(cell.reads[1], now.thread())) return;
    replaced = 1;
  }
  cell.reads[replaced] = now;
  calls_[&cell - cells_.get()].reads[replaced] = call;
}

std::optional<SharedMemoryCheck::Finding> SharedMemoryCheck::access(const volatile void* p, std::size_t bytes,
                                                                    unsigned thread, AccessKind kind,
                                                                    const void* call) {
  const Stamp now{phase_, thread, clock(thread, thread % 32)};
  const Address end = address_of(p) + bytes;
  Cell* cell = cell_of(address_of(p));
  for (Address at = address_of(p); at < end; at = (at / 4 + 1) * 4, ++cell) {
    const auto touched =
        static_cast<std::uint8_t>((0xFu << at % 4) & 0xFu & (0xFu >> (end / 4 == at / 4 ? 4 - end % 4 : 0)));
    if (cell->block != first_phase_) {
      cell->block = first_phase_;
      cell->set = 0;
      cell->on_its_way = false;
    }
    if (cell->on_its_way) return Finding{Fault::on_its_way, cell->write.thread(), nullptr, nullptr};
    const Calls& calls = calls_[cell - cells_.get()];
    if ((cell->write_bytes & touched) != 0 && unordered(cell->write, thread) &&
        !(kind == AccessKind::atomic && cell->write_is_atomic))
      return Finding{Fault::race, cell->write.thread(), "writes", calls.write};
    if (kind != AccessKind::write && (cell->set & touched) != touched) return Finding{Fault::unwritten, 0, nullptr, nullptr};
    if (kind == AccessKind::read) {
      note_read(*cell, now, call);
      continue;
    }
    for (int i = 0; i < 2; ++i)
      if (unordered(cell->reads[i], thread))
        return Finding{Fault::race, cell->reads[i].thread(), "reads", calls.reads[i]};
    cell->write = now;
    calls_[cell - cells_.get()].write = call;
    cell->write_bytes = touched;
    cell->write_is_atomic = kind == AccessKind::atomic;
    cell->set |= touched;
  }
  return std::nullopt;
}

void SharedMemoryCheck::begin_copy(const volatile void* p, std::size_t bytes) {
  Cell* const cell = cell_of(address_of(p));
  for (std::size_t i = 0; i < bytes / 4; ++i) cell[i].on_its_way = true;
}

void SharedMemoryCheck::end_copy(const volatile void* p, std::size_t bytes, unsigned thread, const void* call) {
  Cell* const cell = cell_of(address_of(p));
  for (std::size_t i = 0; i < bytes / 4; ++i) cell[i].on_its_way = false;
  access(p, bytes, thread, AccessKind::write, call);
}

}  // namespace tern::emulator
