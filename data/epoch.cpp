#include <tern/data/epoch.hpp>

#include <tern/core/check.hpp>

#include <cstddef>
#include <numeric>
#include <utility>

namespace tern {
namespace {

/// Words 2 i and 2 i + 1 of a block.
std::uint64_t half(const kernels::PhiloxBlock& block, int i) {
  return block.word[2 * i] | std::uint64_t{block.word[2 * i + 1]} << 32;
}

}  // namespace

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
  Generator generator(half(kernels::philox(seed, static_cast<std::uint64_t>(epoch)), 0));
  for (std::size_t left = order.size(); left > 1; --left)
    std::swap(order[left - 1], order[generator.below(left)]);  // Fisher, Yates
  return order;
}

std::vector<Generator> example_generators(std::uint64_t seed, std::int64_t epoch,
                                          std::span<const std::int64_t> indices) {
  const std::uint64_t key = half(kernels::philox(seed, static_cast<std::uint64_t>(epoch)), 1);
  std::vector<Generator> generators;
  generators.reserve(indices.size());
  for (const std::int64_t i : indices)
    generators.emplace_back(half(kernels::philox(key, static_cast<std::uint64_t>(i)), 0));
  return generators;
}

}  // namespace tern
