#include "profile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

namespace tern::emulator {

MemoryCounts& MemoryCounts::operator+=(const MemoryCounts& other) {
  partial_accesses += other.partial_accesses;
  global_accesses += other.global_accesses;
  global_bytes += other.global_bytes;
  global_sectors += other.global_sectors;
  shared_accesses += other.shared_accesses;
  bank_conflicts += other.bank_conflicts;
  return *this;
}

void WarpTraces::count(MemoryCounts& counts) {
  for (std::size_t warp = 0; warp < traces_.size(); ++warp) {
    std::vector<Access>& trace = traces_[warp];
    const auto lanes = static_cast<std::ptrdiff_t>(std::min<std::size_t>(32, threads_ - 32 * warp));
    std::ranges::stable_sort(trace, {}, [](const Access& a) { return std::tuple(a.call, a.is_shared, a.lane); });
    for (std::size_t i = 1; i < trace.size(); ++i)
      if (trace[i].call == trace[i - 1].call && trace[i].is_shared == trace[i - 1].is_shared &&
          trace[i].lane == trace[i - 1].lane)
        trace[i].time = trace[i - 1].time + 1;
    std::ranges::sort(trace, {}, [](const Access& a) { return std::tuple(a.call, a.is_shared, a.time, a.lane); });
    for (auto first = trace.begin(); first != trace.end();) {
      const auto last = std::find_if(first, trace.end(), [&](const Access& a) {
        return a.call != first->call || a.time != first->time || a.is_shared != first->is_shared;
      });
      if (last - first < lanes) ++counts.partial_accesses;
      if (first->is_shared)
        count_shared({first, last}, counts);
      else
        count_global({first, last}, counts);
      first = last;
    }
    trace.clear();
  }
}

void WarpTraces::count_global(std::span<const Access> warp, MemoryCounts& counts) {
  constexpr Address sector_bytes = 32;
  std::vector<Address> sectors;
  for (const Access& access : warp) {
    counts.global_bytes += access.bytes;
    for (Address sector = access.address / sector_bytes; sector * sector_bytes < access.address + access.bytes;
         ++sector)
      sectors.push_back(sector);
  }
  std::ranges::sort(sectors);
  counts.global_sectors +=
      static_cast<std::uint64_t>(sectors.end() - sectors.begin()) - std::ranges::unique(sectors).size();
  ++counts.global_accesses;
}

/// 32 banks give one word of 4 bytes each at a time: lanes that want different words of a bank take turns. Accesses of
/// 8 and 16 bytes are made by half and quarter warps.
void WarpTraces::count_shared(std::span<const Access> warp, MemoryCounts& counts) {
  constexpr Address word_bytes = 4, banks = 32;
  const unsigned lanes_at_once = warp[0].bytes <= word_bytes ? 32 : std::max(1u, 128 / warp[0].bytes);
  for (unsigned first_lane = 0; first_lane < 32; first_lane += lanes_at_once) {
    std::vector<Address> words;
    for (const Access& access : warp)
      if (access.lane / lanes_at_once == first_lane / lanes_at_once)
        for (Address word = access.address / word_bytes; word * word_bytes < access.address + access.bytes; ++word)
          words.push_back(word);
    std::ranges::sort(words);
    const auto repeated = std::ranges::unique(words);
    std::array<std::uint64_t, banks> turns = {};
    for (auto word = words.begin(); word != repeated.begin(); ++word) ++turns[*word % banks];
    const std::uint64_t most = std::ranges::max(turns);
    counts.bank_conflicts += most > 1 ? most - 1 : 0;
  }
  ++counts.shared_accesses;
}

std::string profile_table() {
  const std::vector<KernelProfile> kernels = profile();
  std::size_t width = 0;
  for (const KernelProfile& kernel : kernels) width = std::max(width, kernel.name.size());
  std::string table = fmt::format("{:<{}} {:>9} {:>14} {:>14} {:>10} {:>12} {:>10} {:>8}\n", "kernel", width,
                                  "launches", "global bytes", "sector bytes", "used", "shared", "conflicts", "partial");
  for (const auto& [name, launches, counts] : kernels) {
    const std::uint64_t moved = 32 * counts.global_sectors;
    const double used = moved == 0 ? 1 : static_cast<double>(counts.global_bytes) / static_cast<double>(moved);
    const std::uint64_t accesses = std::max<std::uint64_t>(1, counts.global_accesses + counts.shared_accesses);
    const double partial = static_cast<double>(counts.partial_accesses) / static_cast<double>(accesses);
    table += fmt::format("{:<{}} {:>9} {:>14} {:>14} {:>9.0f}% {:>12} {:>10} {:>7.0f}%\n", name, width, launches,
                         counts.global_bytes, moved, 100 * used, counts.shared_accesses, counts.bank_conflicts,
                         100 * partial);
  }
  return table;
}

}  // namespace tern::emulator
