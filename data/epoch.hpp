#pragma once

#include <tern/core/generator.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace tern {

/// Where a pass over the data stands: `position` batches of epoch `epoch` have been given out.
struct EpochState {
  std::int64_t epoch = 0, position = 0;                                    ///< both from 0; position counts batches
  friend bool operator==(const EpochState&, const EpochState&) = default;  ///< the same place
};

/// Throws Error, naming `who`, unless 0 <= epoch <= 1e9, so that steps can be counted, and 0 <= position <= size, the
/// batches of an epoch.
void check_state(const char* who, EpochState state, std::int64_t size);

/// The order of an epoch's n examples: shuffled by a random stream of that seed's and epoch's own, or 0, 1, 2, ...
std::vector<std::int64_t> epoch_order(std::int64_t n, bool shuffle, std::uint64_t seed, std::int64_t epoch);

/// For each of these examples a generator of the seed's, the epoch's and the example's own.
std::vector<Generator> example_generators(std::uint64_t seed, std::int64_t epoch,
                                          std::span<const std::int64_t> indices);

}  // namespace tern
