#pragma once

#include <tern/data/dataset.hpp>
#include <tern/data/epoch.hpp>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>

namespace tern {

struct DataLoaderOptions {
  std::int64_t batch_size = 64;
  bool shuffle = true;     ///< a new order every epoch; else 0, 1, 2, ...
  bool drop_last = true;   ///< leave out what does not fill the last batch
  int num_workers = 1;     ///< threads that gather batches ahead, two each; 0 gathers when asked
  std::uint64_t seed = 0;  ///< with the epoch's number, all that the order depends on
};

/// Goes over a dataset, which must outlive it, batch by batch:
///
///   for (const auto& [input, target] : loader) ...   // one epoch
///
/// The loop goes on from state() and starts the next epoch when one is through. Left early, by break or an exception,
/// it stays where it was, and the next loop gives the batches that are left of that epoch.
class DataLoader {
 public:
  using State = EpochState;

  class Iterator;

  /// Throws Error where batch_size is below 1, num_workers is not in 0 to 256, or the dataset does not fill a batch.
  explicit DataLoader(const Dataset& dataset, const DataLoaderOptions& options = {});
  explicit DataLoader(const Dataset&& dataset, const DataLoaderOptions& options = {}) = delete;

  /// Batches in an epoch.
  std::int64_t size() const;

  /// The first batch that is left of this epoch. Only the newest iterator may be used.
  /// Throws, here and in the iterator's ++, what the dataset threw when that batch was gathered.
  Iterator begin();
  std::default_sentinel_t end() const { return {}; }

  /// Inside the loop this counts the batch in hand: store it with the weights, and set it to go on after that batch.
  State state() const { return state_; }
  /// Throws Error unless 0 <= epoch <= 1e9 and 0 <= position <= size(). Not to be called inside the loop.
  void set_state(State state);

 private:
  const Dataset& dataset_;
  DataLoaderOptions options_;
  State state_;
};

/// Gives the batches of one epoch; its workers stop and are joined when it goes.
class DataLoader::Iterator {
 public:
  using value_type = Batch;
  using difference_type = std::ptrdiff_t;

  Iterator(Iterator&&) noexcept;
  Iterator& operator=(Iterator&&) noexcept;
  ~Iterator();

  const Batch& operator*() const { return batch_; }
  const Batch* operator->() const { return &batch_; }
  Iterator& operator++();
  void operator++(int) { ++*this; }
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
