#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/graph_access.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/distributed/data_parallel.hpp>
#include <tern/distributed/transport.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace tern::distributed {
namespace {

/// Blocks of random numbers that are a shard's own in each step.
constexpr std::uint64_t blocks_of_shard = std::uint64_t{1} << 26;

std::map<std::string, std::string> description(Module& module) {
  std::map<std::string, std::string> tensors;
  const auto add = [&tensors](const char* what, const auto& named) {
    for (const auto& [name, x] : named) {
      tensors[fmt::format("{} '{}'", what, name)] =
          fmt::format("{} {}{}", x.dtype(), x.shape(), x.requires_grad() ? "" : " without a gradient");
    }
  };
  add("parameter", module.named_parameters());
  add("buffer", module.named_buffers());
  return tensors;
}

}  // namespace

/// Gradients on their way: those of a shard are copied to flat buckets as they come, and what lies in a bucket is added
/// up and sent together. All floating buffers are in the last bucket, and at its end the loss and what goes along.
/// Where the host can read it there is also, of each tensor, how many shards had a gradient by it, or had changed it.
class DistributedDataParallel::Reducer {
 public:
  Reducer(Module& module, const DistributedDataParallelOptions& options)
      : shards_(options.shards == 0 ? world_size() : options.shards), bucket_bytes_(options.bucket_bytes) {
    check(shards_ >= 1 && shards_ % world_size() == 0,
          "DistributedDataParallel: {} shards for {} ranks, expected a multiple of the ranks", shards_, world_size());
    check(bucket_bytes_ >= 1, "DistributedDataParallel: bucket_bytes {}, expected 1 or more", bucket_bytes_);
    check_same("DistributedDataParallel", {{"shards", std::to_string(shards_)}});
    check_same("DistributedDataParallel", description(module));
    const NoGradGuard no_grad;
    for (const auto& named : module.named_parameters()) {
      broadcast(named.second);
      if (named.second.requires_grad()) slots_.push_back({.tensor = named.second, .is_parameter = true});
    }
    std::reverse(slots_.begin(), slots_.end());  // about the order in which backward has them
    parameters_ = slots_.size();
    for (const auto& named : module.named_buffers()) {
      broadcast(named.second);
      buffers_.push_back(named.second);
      if (is_floating(named.second.dtype())) slots_.push_back({.tensor = named.second, .is_parameter = false});
    }
    own_ = shards_of(rank(), world_size(), shards_);
    note_versions();
    if (shards_ > 1) listen();
  }
  ~Reducer() { stop_listening(); }
  Reducer(const Reducer&) = delete;
  Reducer& operator=(const Reducer&) = delete;

  int shards() const { return shards_; }
  Shards own() const { return own_; }

  /// Whether passes lead here.
  bool listens() const { return shards_ > 1 && listens_to_ == parameters_; }
  void listen() {
    try {
      for (; listens_to_ < parameters_; ++listens_to_) {
        GraphAccess::set_taker(slots_[listens_to_].tensor,
                               [this, i = listens_to_](const Tensor& gradient) { take(i, gradient); });
      }
    } catch (...) {
      stop_listening();
      throw;
    }
  }
  void stop_listening() {
    while (listens_to_ > 0) GraphAccess::set_taker(slots_[--listens_to_].tensor, nullptr);
  }
  void accumulate() {
    check(own_.end - own_.first == 1, "no_sync: {} shards on this rank, expected one", own_.end - own_.first);
    accumulated_ = true;
  }

  Tensor backward(const Loss& loss_of, const Tensor& along) {
    const auto checked = [](const Tensor& loss) {
      check(loss.defined() && loss.numel() == 1, "backward: a loss of shape {}, expected one element",
            loss.defined() ? loss.shape().str() : "undefined");
      return loss;
    };
    if (shards_ == 1) {
      const Tensor loss = checked(loss_of(0));
      loss.backward();
      return loss.detach();
    }
    check(listens(), "backward: expected no no_sync()");
    Generator& generator = default_generator();
    const kernels::PhiloxState random = generator.state();
    std::vector<Tensor> before;
    for (const Tensor& buffer : buffers_) before.push_back(buffer.clone());
    const Pass pass(*this);
    for (int shard = own_.first; shard < own_.end; ++shard) {
      if (shard > own_.first) {
        for (std::size_t i = 0; i < buffers_.size(); ++i) overwrite(buffers_[i], before[i]);
      }
      note_versions();
      Generator drawn;
      drawn.set_state({random.seed, random.offset + static_cast<std::uint64_t>(shard) * blocks_of_shard});
      const kernels::PhiloxState start = drawn.state();
      {
        const GeneratorGuard guard(drawn);
        const bool among = std::exchange(is_among_local_shards(), own_.end - own_.first > 1);
        struct Restore {
          bool among;
          ~Restore() { is_among_local_shards() = among; }
        } restore{among};
        const Tensor loss = checked(loss_of(shard));
        begin(shard, loss, along);
        loss.backward();
      }
      check(drawn.state().offset - start.offset <= blocks_of_shard,
            "backward: shard {} drew {} blocks of random numbers, expected at most {}", shard,
            drawn.state().offset - start.offset, blocks_of_shard);
      end();
    }
    generator.set_state({random.seed, random.offset + static_cast<std::uint64_t>(shards_) * blocks_of_shard});
    return finish(along);
  }

 private:
  struct Slot {
    Tensor tensor;
    bool is_parameter;
    std::size_t bucket = 0;
    std::int64_t offset = 0;
    bool is_here = false;       ///< in the pass in hand
    std::uint32_t version = 0;  ///< of a buffer, before its shard
  };
  struct Bucket {
    DType dtype;
    Device device;
    std::vector<std::size_t> slots = {};
    std::int64_t flags = 0;  ///< where they begin
    std::int64_t numel = 0;
    std::int64_t missing = 0;  ///< parameters that the pass in hand has not come to yet
    bool is_closed = false;
    Tensor flat = {};  ///< of the shard in hand
    ShardSum<Tensor> sum{1};
    Work work = {};

    bool has_flags() const { return device.on_host(); }
  };

  /// While it lives, takers lead to the shard in hand; where it ends early, that is forgotten.
  struct Pass {
    explicit Pass(Reducer& r) : reducer(r) { reducer.in_pass_ = true; }
    ~Pass() {
      reducer.in_pass_ = false;
      reducer.is_open_ = false;
      reducer.buckets_.clear();
    }
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    Reducer& reducer;
  };

  static void overwrite(const Tensor& x, const Tensor& value) {
    const NoGradGuard no_grad;
    StepGuard::note(x);
    x.copy_(value);
  }

  void note_versions() {
    for (Slot& slot : slots_) slot.version = slot.tensor.storage()->version();
  }

  bool is_last() const { return shard_ + 1 == own_.end; }

  /// Where each tensor goes. The loss, of the parameters' dtype, and what goes along are the last bucket's tail.
  void lay_out() {
    buckets_.clear();
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      const DType dtype = slot.tensor.dtype();
      const Device device = slot.tensor.device();
      const auto bytes = [&](std::int64_t numel) { return numel * static_cast<std::int64_t>(size_of(dtype)); };
      if (buckets_.empty() || buckets_.back().dtype != dtype || buckets_.back().device != device ||
          (slot.is_parameter && bytes(buckets_.back().numel + slot.tensor.numel()) > bucket_bytes_)) {
        buckets_.push_back({.dtype = dtype, .device = device});
        buckets_.back().sum = ShardSum<Tensor>(shards_);
      }
      Bucket& bucket = buckets_.back();
      bucket.slots.push_back(i);
      slot.bucket = buckets_.size() - 1;
      slot.offset = std::exchange(bucket.numel, bucket.numel + slot.tensor.numel());
    }
    if (loss_.defined() &&
        (buckets_.empty() || buckets_.back().dtype != loss_.dtype() || buckets_.back().device != loss_.device())) {
      buckets_.push_back({.dtype = loss_.dtype(), .device = loss_.device()});
      buckets_.back().sum = ShardSum<Tensor>(shards_);
    }
    for (Bucket& bucket : buckets_) {
      bucket.flags = bucket.numel;
      if (bucket.has_flags()) bucket.numel += std::ssize(bucket.slots);
    }
    if (loss_.defined()) {
      tail_ = buckets_.back().numel;
      buckets_.back().numel += 1 + (along_.defined() ? along_.numel() : 0);
    }
  }

  /// A shard's pass. The loss is undefined where the pass is the user's.
  void begin(int shard, const Tensor& loss, const Tensor& along) {
    shard_ = shard;
    loss_ = loss.defined() ? loss.detach() : loss;
    along_ = along;
    check(!along.defined() || (along.dtype() == loss.dtype() && along.device() == loss.device()),
          "backward: a tensor to go along that is not of the loss's dtype or device, expected both");
    if (shard == own_.first) lay_out();
    launched_ = 0;
    for (Slot& slot : slots_) slot.is_here = false;
    for (Bucket& bucket : buckets_) {
      bucket.flat = empty({bucket.numel}, {.dtype = bucket.dtype, .device = bucket.device});
      bucket.is_closed = false;
      bucket.missing = std::count_if(bucket.slots.begin(), bucket.slots.end(),
                                     [this](std::size_t i) { return slots_[i].is_parameter; });
    }
    is_open_ = true;
  }

  Tensor place_of(const Slot& slot) const {
    return buckets_[slot.bucket].flat.narrow(0, slot.offset, slot.tensor.numel());
  }

  void take(std::size_t i, const Tensor& gradient) {
    check(!gradient.requires_grad(), "DistributedDataParallel: a pass with create_graph, expected one without");
    if (!is_open_) {
      check(!in_pass_ && own_.end - own_.first == 1,
            "DistributedDataParallel: a backward pass with {} shards on this rank, expected ddp.backward()",
            own_.end - own_.first);
      const auto pass = std::make_shared<Pass>(*this);
      begin(own_.first, {}, {});
      GraphAccess::at_end_of_pass([this, pass] {
        end();
        finish({});
      });
    }
    Slot& slot = slots_[i];
    Bucket& bucket = buckets_[slot.bucket];
    check(!slot.is_here, "DistributedDataParallel: a second backward pass in one, expected one a shard");
    const NoGradGuard no_grad;
    const Tensor before = accumulated_ ? slot.tensor.grad() : Tensor();
    place_of(slot).copy_((before.defined() ? before + gradient : gradient).reshape({-1}));
    slot.is_here = true;
    if (--bucket.missing == 0 && &bucket != &buckets_.back()) close(bucket);
    if (launched_ > 0) static_cast<void>(buckets_[launched_ - 1].work.is_completed());  // lets all messages go on
  }

  /// The shard has all that it has for the bucket.
  void close(Bucket& bucket) {
    const NoGradGuard no_grad;
    for (std::size_t k = 0; k < bucket.slots.size(); ++k) {
      Slot& slot = slots_[bucket.slots[k]];
      if (!slot.is_parameter) {
        place_of(slot).copy_(slot.tensor.reshape({-1}));
        slot.is_here = slot.tensor.storage()->version() != slot.version;
      } else if (!slot.is_here) {
        const Tensor before = accumulated_ ? slot.tensor.grad() : Tensor();
        check(bucket.has_flags() || before.defined() || !slot.tensor.requires_grad(),
              "DistributedDataParallel: no gradient by a parameter of shape {}, expected one by all on a cuda device",
              slot.tensor.shape());
        if (before.defined()) {
          place_of(slot).copy_(before.reshape({-1}));
          slot.is_here = true;
        } else {
          place_of(slot).zero_();
        }
      }
    }
    if (bucket.has_flags()) {
      std::vector<double> flags;
      for (const std::size_t i : bucket.slots) flags.push_back(slots_[i].is_here ? 1 : 0);
      bucket.flat.narrow(0, bucket.flags, std::ssize(flags)).copy_(tensor(flags));
    }
    if (&bucket == &buckets_.back() && loss_.defined()) {
      bucket.flat.narrow(0, tail_, 1).copy_(loss_.reshape({1}));
      if (along_.defined()) {
        const Tensor place = bucket.flat.narrow(0, tail_ + 1, along_.numel());
        if (shard_ == own_.first) {
          place.copy_(along_.detach().reshape({-1}));
        } else {
          place.zero_();
        }
      }
    }
    bucket.sum.push({shard_, shard_ + 1}, std::exchange(bucket.flat, {}),
                    [](const Tensor& a, const Tensor& b) { a.add_(b); });
    bucket.is_closed = true;
    while (is_last() && launched_ < buckets_.size() && buckets_[launched_].is_closed) {
      Bucket& next = buckets_[launched_];
      next.work = combine(fmt::format("bucket {} of {}, {} [{}]", launched_, buckets_.size(), next.dtype, next.numel),
                          next.sum.nodes(), shards_, ReduceOp::sum);
      ++launched_;
    }
  }

  void end() {
    for (Bucket& bucket : buckets_) {
      if (!bucket.is_closed) close(bucket);
    }
    is_open_ = false;
  }

  /// Waits for all and gives it to whom it belongs: last, when nothing can fail any more, to the parameters.
  Tensor finish(const Tensor& along) {
    const NoGradGuard no_grad;
    std::vector<std::pair<Tensor, Tensor>> grads;
    for (Bucket& bucket : buckets_) {
      bucket.work.wait();
      const Tensor& all = bucket.sum.nodes()[0].value;
      std::vector<double> flags;
      if (bucket.has_flags()) {
        flags = all.narrow(0, bucket.flags, std::ssize(bucket.slots)).to_vector<double>();
      }
      for (std::size_t k = 0; k < bucket.slots.size(); ++k) {
        const Slot& slot = slots_[bucket.slots[k]];
        if (bucket.has_flags() ? flags[k] == 0 : !slot.is_here) continue;
        const Tensor mean =
            (all.narrow(0, slot.offset, slot.tensor.numel()) / Scalar(shards_)).reshape(slot.tensor.shape());
        if (!slot.is_parameter) {
          overwrite(slot.tensor, mean);
          continue;
        }
        const Tensor before = accumulated_ ? Tensor() : slot.tensor.grad();
        grads.emplace_back(slot.tensor, before.defined() ? before + mean : mean);
      }
    }
    Tensor loss;
    if (loss_.defined()) {
      const Tensor& all = buckets_.back().sum.nodes()[0].value;
      loss = (all.narrow(0, tail_, 1) / Scalar(shards_)).reshape(loss_.shape());
      if (along.defined()) along.detach().copy_(all.narrow(0, tail_ + 1, along.numel()).reshape(along.shape()));
    }
    for (const auto& [parameter, grad] : grads) parameter.set_grad(grad);
    accumulated_ = false;
    note_versions();
    loss_ = along_ = {};
    return loss;
  }

  const int shards_;
  const std::int64_t bucket_bytes_;
  Shards own_{};
  std::vector<Slot> slots_;      ///< parameters in reverse, then floating buffers
  std::vector<Tensor> buffers_;  ///< all
  std::size_t parameters_ = 0;   ///< of the slots
  std::size_t listens_to_ = 0;   ///< of these
  bool accumulated_ = false;     ///< grad() has what no other rank knows of

  bool in_pass_ = false, is_open_ = false;
  int shard_ = 0;
  Tensor loss_, along_;
  std::int64_t tail_ = 0;
  std::vector<Bucket> buckets_;
  std::size_t launched_ = 0;  ///< of the buckets, in their order
};

DistributedDataParallel::DistributedDataParallel(Module& module, const DistributedDataParallelOptions& options)
    : module_(module), reducer_(std::make_unique<Reducer>(module, options)) {}
DistributedDataParallel::~DistributedDataParallel() = default;

int DistributedDataParallel::shards() const { return reducer_->shards(); }
int DistributedDataParallel::first_shard() const { return reducer_->own().first; }
int DistributedDataParallel::local_shards() const { return reducer_->own().end - reducer_->own().first; }

Tensor DistributedDataParallel::backward(const Loss& loss, const Tensor& along) {
  return reducer_->backward(loss, along);
}

DistributedDataParallel::NoSync::NoSync(DistributedDataParallel& ddp) : ddp_(ddp), before_(ddp.reducer_->listens()) {
  ddp.reducer_->accumulate();
  ddp.reducer_->stop_listening();
}
DistributedDataParallel::NoSync::~NoSync() {
  if (before_) ddp_.reducer_->listen();
}

Tensor share(const Tensor& x, std::int64_t part, std::int64_t parts) {
  check(x.defined() && x.dim() >= 1, "share: {}, expected a tensor with rows",
        x.defined() ? "no dimensions" : "an undefined tensor");
  check(parts >= 1 && 0 <= part && part < parts, "share: part {} of {}, expected 0 to {}", part, parts, parts - 1);
  const std::int64_t n = x.size(0), first = n * part / parts;
  return x.narrow(0, first, n * (part + 1) / parts - first);
}

}  // namespace tern::distributed
