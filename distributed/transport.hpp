#pragma once

/// Internal: what collectives are made of, and what carries them.

#include <tern/distributed/distributed.hpp>
#include <tern/distributed/shard_sum.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tern::distributed {

struct Work::State {
  virtual ~State() = default;
  virtual void wait() = 0;
  virtual bool is_completed() = 0;
};

/// Bytes for a rank, or from it. There may be none.
struct Message {
  int peer;
  void* data;
  std::int64_t bytes;
};

/// A step of a collective: messages, all at once, and what is to be done when they have come and gone. Between two
/// ranks they come in the order in which they are sent.
struct Round {
  std::vector<Message> sends = {}, receives = {};
  std::function<void()> then = {};
};

class Transport {
 public:
  virtual ~Transport() = default;
  /// Begins a collective. `what` says which it is, and of what; where it differs between ranks, all throw Error.
  virtual std::shared_ptr<Work::State> start(const std::string& what, std::vector<Round> rounds) = 0;
};

/// The ranks, with messages between their host memories.
class Ranks : public Transport {
 public:
  int rank = 0, size = 1, local_rank = 0, local_size = 1;

  virtual void finalize() = 0;
  [[noreturn]] virtual void abort() = 0;
};

/// Joins the ranks that were started with this one; null where there is none.
std::unique_ptr<Ranks> join(const InitOptions& options);
/// How many ranks the environment speaks of, in the words of Open MPI, of PMI and of Slurm; 0 where it speaks of none.
int launched_ranks();

#ifdef TERN_HAS_NCCL
/// Messages between the memories of cuda device `device` of each of the ranks, in the order of a stream of its own.
std::unique_ptr<Transport> nccl_transport(Ranks& ranks, int device);
#endif

/// What collectives have cost.
Statistics& counted();

/// What the nodes of the tree that this rank has are, combined with all others' along the tree: the result, of their
/// size, takes the first one's place. All are contiguous, of one dtype, on one device.
Work combine(const std::string& what, const std::vector<ShardSum<Tensor>::Node>& nodes, int shards, ReduceOp op,
             std::function<void()> then = {});

/// check_same, in the name of `who`.
void check_same(const char* who, const std::map<std::string, std::string>& settings);

/// Whether this thread computes one of several shards of its rank.
bool& is_among_local_shards();

}  // namespace tern::distributed
