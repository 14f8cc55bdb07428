#pragma once

#include <tern/distributed/distributed.hpp>
#include <tern/layers/module.hpp>

#include <cstdint>
#include <functional>
#include <memory>

namespace tern::distributed {

/// How batches are cut up, and how gradients are sent.
struct DistributedDataParallelOptions {
  /// Into how many virtual shards a batch is cut; 0 for as many as there are ranks. The ranks divide it.
  int shards = 0;
  /// Gradients are sent together, about so many bytes of them.
  std::int64_t bucket_bytes = 1 << 20;
};

/// A module whose gradients are those of all ranks' batches together, as torch.nn.parallel.DistributedDataParallel.
///
/// A batch is cut into shards, and rank r has those from first_shard() on, local_shards() of them. Each is computed by
/// itself: its own batch statistics, and its own random numbers. Gradients are averaged over the shards, added up along
/// a tree that depends on the number of shards alone, and so are the running statistics that they leave behind, and
/// their losses. So the weights are the same bits for any number of ranks that divides the shards, one included:
///
///   tern::distributed::DistributedDataParallel ddp(net, {.shards = 4});
///   for (const auto& [input, target] : loader) {  // the same batch on each rank
///     optimizer.zero_grad();
///     const tern::Tensor loss = ddp.backward([&](int shard) {
///       return cross_entropy(ddp(share(input, shard, 4)), share(target, shard, 4));
///     });
///     optimizer.step();
///   }
///
/// Where a rank has one shard, PyTorch's way does the same, but for the random numbers, which are the rank's own:
///
///   cross_entropy(ddp(input), target).backward();  // of the rank's share
///
/// What is ready is sent while the rest of the backward pass runs. Gradients are averages of averages: a shard counts
/// as much as any other, whatever its size. A parameter that no shard's loss depends on has no gradient, and one that
/// some do has zeros of the others.
class DistributedDataParallel : public Module {
 public:
  /// Gives each rank the parameters and buffers of rank 0. The module must outlive this, and not be wrapped twice.
  /// Throws Error, naming the first difference and its rank, where they are not of the same names, shapes and dtypes on
  /// every rank, or have another version of tern; unless the ranks divide the shards; and for bucket_bytes below 1.
  explicit DistributedDataParallel(Module& module, const DistributedDataParallelOptions& options = {});
  ~DistributedDataParallel() override;
  DistributedDataParallel(const DistributedDataParallel&) = delete;
  DistributedDataParallel& operator=(const DistributedDataParallel&) = delete;

  Tensor forward(const Tensor& x) override { return module_(x); }
  Members members() override { return {.modules = {{"module", &module_}}}; }

  /// How many shards a batch has, and which of them are this rank's.
  /// @{
  int shards() const;
  int first_shard() const;
  int local_shards() const;
  /// @}

  /// From a shard's number to its loss, one element: on average over the shards, it is the batch's.
  using Loss = std::function<Tensor(int shard)>;
  /// For each of this rank's shards its loss and a backward pass, with default_generator() standing where it only
  /// stands for that shard, but the one of one shard, which computes what it would without all this. Adds the gradients
  /// to grad() and returns the mean of the losses, on each rank the same. `along`, of the loss's dtype, is on the way
  /// summed up over the ranks, in place: whether one is to stop, say. Throws Error in a no_sync(), and where a shard
  /// draws 2^28 random numbers or more.
  Tensor backward(const Loss& loss, const Tensor& along = {});

  /// While it lives, backward passes add to this rank's grad() alone. The first one after it averages all of that.
  class NoSync {
   public:
    explicit NoSync(DistributedDataParallel& ddp);  ///< which must outlive it
    ~NoSync();
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;

   private:
    DistributedDataParallel& ddp_;
    bool before_;
  };
  /// const auto guard = ddp.no_sync();
  [[nodiscard]] NoSync no_sync() { return NoSync(*this); }

 private:
  class Reducer;

  Module& module_;
  std::unique_ptr<Reducer> reducer_;
};

/// Part `part` of `parts` of the rows of x, as even as they go: from size * part / parts on. A view.
Tensor share(const Tensor& x, std::int64_t part, std::int64_t parts);

}  // namespace tern::distributed
