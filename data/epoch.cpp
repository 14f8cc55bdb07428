#include <tern/data/epoch.hpp>

#include <tern/core/check.hpp>
#include <tern/core/generator.hpp>

#include <cstddef>
#include <numeric>
#include <utility>

namespace tern {

void check_state(const char* who, EpochState state, std::int64_t size) {
  constexpr std::int64_t most_epochs = 1'000'000'000;
  check(0 <= state.epoch && state.epoch <= most_epochs && 0 <= state.position && state.position <= size,
        "{}: state of epoch {} and position {}, expected an epoch of 0 to {} and a position of 0 to {}", who,
        state.epoch, state.position, most_epochs, size);
}

std::vector<std::int64_t> epoch_order(std::int64_t n, bool shuffle, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (!shuffle) return order;
  const auto key = kernels::philox(seed, static_cast<std::uint64_t>(epoch));
  Generator generator(key.word[0] | std::uint64_t{key.word[1]} << 32);
  for (std::size_t left = order.size(); left > 1; --left)
    std::swap(order[left - 1], order[generator.below(left)]);  // Fisher, Yates
  return order;
}

}  // namespace tern
