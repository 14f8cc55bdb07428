#pragma once

#include <tern/data/dataset.hpp>
#include <tern/data/epoch.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>

namespace tern {

/// PyTorch's defaults.
struct DataLoaderOptions {
  std::int64_t batch_size = 1;  ///< examples in a batch, for each replica
  bool shuffle = false;         ///< a new order every epoch; else 0, 1, 2, ...
  bool drop_last = false;       ///< leave out what does not fill the last batch
  int num_workers = 0;          ///< threads that gather batches ahead, two each; 0 gathers when asked
  /// With the epoch's number, all that the order depends on, and with an example's too, what Dataset::draw draws for
  /// it.
  std::uint64_t seed = 0;
  /// One of several loaders, each in a process of its own, that share every epoch, as by torch's DistributedSampler:
  /// batch k of all of them together, in the order of their ranks, is batch k of one loader whose batches are
  /// num_replicas times as large. No example is given twice, and none left out but by drop_last; the last batch is
  /// shared as evenly as it goes, and may be empty for some.
  int num_replicas = 1, rank = 0;  ///< how many loaders there are, and which one this is, from 0
};

/// Goes over a dataset, which must outlive it, batch by batch:
///
///     for (const auto& [input, target] : loader) ...   // one epoch
///
/// Each loop is an epoch, whether the one before came to its end or not. Where set_state() was called since, it is what
/// is left of that epoch: set_state(state()) after a loop that was left early, by break or an exception, goes on there.
/// One thread at a time; several loaders may share a dataset.
class DataLoader {
 public:
  /// Where it stands.
  using State = EpochState;

  class Iterator;

  /// Throws Error where batch_size is below 1, num_workers is not in 0 to 256, rank not in 0 to num_replicas - 1, or the
  /// dataset does not fill a batch or has more than 2^40 examples.
  explicit DataLoader(const Dataset& dataset, const DataLoaderOptions& options = {});
  explicit DataLoader(const Dataset&& dataset, const DataLoaderOptions& options = {}) = delete;

  /// Batches in an epoch, the same for all replicas.
  std::int64_t size() const;

  /// The first batch. Only the newest iterator may be used. Throws, here and in the iterator's ++, what the dataset
  /// threw when that batch was gathered, and Error for a batch whose parts are not [n, ...] of n examples; a ++ that
  /// threw can be done again, and gathers the batch anew.
  /// @{
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

  /// @}

  /// Inside the loop this counts the batch in hand: store it with the weights, and set it to go on after that batch.
  State state() const { return state_; }
  /// Throws Error unless 0 <= epoch <= 1e9 and 0 <= position <= size(). Not to be called inside the loop.
  void set_state(State state);

 private:
  std::int64_t batch_of_all() const { return options_.batch_size * options_.num_replicas; }

  const Dataset& dataset_;
  DataLoaderOptions options_;
  State state_;
  bool left_early_ = false;  ///< as far as is known: a loop has got batches of this epoch, and not come to its end
};

/// Gives the batches of one epoch; its workers stop and are joined when it goes.
class DataLoader::Iterator {
 public:
  /// For std::input_iterator.
  /// @{
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;
  /// @}

  Iterator(Iterator&&) noexcept;
  Iterator& operator=(Iterator&&) noexcept;
  ~Iterator();

  /// The batch in hand.
  /// @{
  const Batch& operator*() const { return batch_; }
  const Batch* operator->() const { return &batch_; }

  /// @}
  /// Goes on to the next batch. Throws what begin() throws.
  /// @{
  Iterator& operator++();
  void operator++(int) { ++*this; }

  /// @}
  /// Whether the epoch is over.
  friend bool operator==(const Iterator& it, std::default_sentinel_t) { return it.prefetch_ == nullptr; }

 private:
  friend class DataLoader;
  class Prefetch;
  explicit Iterator(DataLoader& loader);

  DataLoader* loader_;
  std::unique_ptr<Prefetch> prefetch_;  ///< null past the end
  Batch batch_;
};

}  // namespace tern
