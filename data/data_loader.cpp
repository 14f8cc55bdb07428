#include <tern/data/data_loader.hpp>

#include <tern/core/check.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace tern {

namespace {

/// Throws Error unless these are n examples.
void check_batch(const Batch& batch, std::int64_t n) {
  const auto& [x, y] = batch;
  check(x.defined() && y.defined(), "DataLoader: the dataset gave an undefined {} for {} examples",
        x.defined() ? "target" : "input", n);
  check(x.dim() >= 1 && x.size(0) == n && y.dim() >= 1 && y.size(0) == n,
        "DataLoader: the dataset gave input {} and target {} for {} examples, expected [{}, ...] both", x.shape(),
        y.shape(), n, n);
}

}  // namespace

/// Batches of one epoch, from `first` on, gathered by the workers up to two each ahead of the consumer.
class DataLoader::Iterator::Prefetch {
 public:
  Prefetch(const DataLoader& loader, std::int64_t epoch, std::int64_t first)
      : dataset_(loader.dataset_),
        batch_of_all_(loader.batch_of_all()),
        replicas_(loader.options_.num_replicas),
        rank_(loader.options_.rank),
        seed_(loader.options_.seed),
        epoch_(epoch),
        order_(epoch_order(loader.dataset_.size(), loader.options_.shuffle, loader.options_.seed, epoch)),
        end_(loader.size()),
        next_to_gather_(first),
        next_to_give_(first),
        slots_(static_cast<std::size_t>(2 * loader.options_.num_workers)) {
    try {
      for (int i = 0; i < loader.options_.num_workers; ++i) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& e) {
      stop();
      fail("DataLoader: worker {} of {} cannot be started: {}", workers_.size() + 1, loader.options_.num_workers,
           e.what());
    } catch (...) {
      stop();
      throw;
    }
  }
  ~Prefetch() { stop(); }
  Prefetch(const Prefetch&) = delete;
  Prefetch& operator=(const Prefetch&) = delete;

  /// The next batch, or none after the last. Throws what gathering it threw.
  std::optional<Batch> next() {
    if (next_to_give_ == end_) return std::nullopt;
    if (workers_.empty()) {
      Batch batch = gather(next_to_give_);
      ++next_to_give_;
      return batch;
    }
    std::unique_lock lock(mutex_);
    Slot& slot = slot_of(next_to_give_);
    filled_.wait(lock, [&] { return slot.batch.has_value() || slot.error || slot.failed; });
    if (slot.failed) {  // and was asked for again
      slot.batch = gather(next_to_give_);
      slot.failed = false;
    }
    if (slot.error) {
      slot.failed = true;
      std::rethrow_exception(std::exchange(slot.error, nullptr));
    }
    ++next_to_give_;
    std::optional<Batch> batch = std::exchange(slot.batch, std::nullopt);
    lock.unlock();
    emptied_.notify_one();
    return batch;
  }

 private:
  struct Slot {
    std::optional<Batch> batch;
    std::exception_ptr error;  ///< of gathering it, until it is told
    bool failed = false;       ///< it was told
  };

  Slot& slot_of(std::int64_t batch) { return slots_[static_cast<std::size_t>(batch) % slots_.size()]; }

  Batch gather(std::int64_t batch) const {
    const std::span<const std::int64_t> order(order_);
    const std::int64_t first = batch * batch_of_all_, all = std::min(batch_of_all_, std::ssize(order) - first),
                       from = all * rank_ / replicas_, n = all * (rank_ + 1) / replicas_ - from;
    const auto indices = order.subspan(static_cast<std::size_t>(first + from), static_cast<std::size_t>(n));
    std::vector<Generator> generators = example_generators(seed_, epoch_, indices);
    Batch gathered = dataset_.draw(indices, generators);
    check_batch(gathered, n);
    return gathered;
  }

  void work() {
    kernels::run_loops_alone();  // lest a kernel of the training step find the pool in use
    std::unique_lock lock(mutex_);
    while (true) {
      const auto room = [&] { return next_to_gather_ - next_to_give_ < std::ssize(slots_); };
      emptied_.wait(lock, [&] { return stopping_ || next_to_gather_ == end_ || room(); });
      if (stopping_ || next_to_gather_ == end_) return;
      const std::int64_t batch = next_to_gather_++;
      lock.unlock();
      Slot filled;
      try {
        filled.batch = gather(batch);
      } catch (...) {
        filled.error = std::current_exception();
      }
      lock.lock();
      slot_of(batch) = std::move(filled);
      filled_.notify_one();
    }
  }

  void stop() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    emptied_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  const Dataset& dataset_;
  const std::int64_t batch_of_all_, replicas_, rank_;
  const std::uint64_t seed_;
  const std::int64_t epoch_;
  const std::vector<std::int64_t> order_;
  const std::int64_t end_;

  std::mutex mutex_;
  std::condition_variable filled_, emptied_;
  std::int64_t next_to_gather_, next_to_give_;
  bool stopping_ = false;
  std::vector<Slot> slots_;
  std::vector<std::thread> workers_;
};

DataLoader::DataLoader(const Dataset& dataset, const DataLoaderOptions& options)
    : dataset_(dataset), options_(options) {
  check(options.batch_size >= 1, "DataLoader: batch_size {}, expected at least 1", options.batch_size);
  check(0 <= options.num_workers && options.num_workers <= 256, "DataLoader: num_workers {}, expected 0 to 256",
        options.num_workers);
  check(0 <= options.rank && options.rank < options.num_replicas,
        "DataLoader: rank {} of {} replicas, expected 0 to {}", options.rank, options.num_replicas,
        options.num_replicas - 1);
  check(options.batch_size <= std::numeric_limits<std::int64_t>::max() / options.num_replicas,
        "DataLoader: batch_size {} on {} replicas, expected less", options.batch_size, options.num_replicas);
  constexpr std::int64_t most = std::int64_t{1} << 40;  // an epoch's order takes eight bytes each
  check(dataset.size() <= most, "DataLoader: a dataset of {}, expected at most {}", dataset.size(), most);
  check(size() >= 1, "DataLoader: a dataset of {} gives no batch of {}{}", dataset.size(), batch_of_all(),
        options.drop_last ? " with drop_last" : "");
}

std::int64_t DataLoader::size() const {
  const std::int64_t n = dataset_.size(), b = batch_of_all();
  return n / b + (!options_.drop_last && n % b > 0 ? 1 : 0);
}

DataLoader::Iterator DataLoader::begin() {
  if (std::exchange(left_early_, false)) state_ = {state_.epoch + 1, 0};
  return Iterator(*this);
}

void DataLoader::set_state(State state) {
  check_state("DataLoader", state, size());
  state_ = state;
  left_early_ = false;
}

DataLoader::Iterator::Iterator(DataLoader& loader)
    : loader_(&loader), prefetch_(std::make_unique<Prefetch>(loader, loader.state_.epoch, loader.state_.position)) {
  ++*this;
}
DataLoader::Iterator::Iterator(Iterator&&) noexcept = default;
DataLoader::Iterator& DataLoader::Iterator::operator=(Iterator&&) noexcept = default;
DataLoader::Iterator::~Iterator() = default;

DataLoader::Iterator& DataLoader::Iterator::operator++() {
  batch_ = {};
  if (auto batch = prefetch_->next()) {
    batch_ = std::move(*batch);
    ++loader_->state_.position;
    loader_->left_early_ = true;
  } else {
    prefetch_.reset();
    loader_->state_ = {.epoch = loader_->state_.epoch + 1, .position = 0};
    loader_->left_early_ = false;
  }
  return *this;
}

}  // namespace tern
