#pragma once

#include <tern/core/tensor.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

/// Several processes, the ranks, that train one model: under the names of torch.distributed. mpirun, srun or whatever
/// starts MPI's programs starts them; in a build without TERN_MPI, and where nothing has started several, there is one.
///
///   tern::distributed::init();
///   tern::Tensor loss = ...;
///   tern::distributed::all_reduce(loss, tern::distributed::ReduceOp::avg);
///   tern::distributed::finalize();
///
/// Every rank calls the same collectives in the same order, for tensors of one shape and dtype: where one does not,
/// each throws Error, which names both. Sums are in an order that depends on the number of ranks alone, and so are the
/// same bits every time. Host memory goes by MPI; that of cuda devices by NCCL in a build with TERN_NCCL, else through
/// the host.
///
/// One thread at a time. What throws here leaves the ranks apart: nothing but abort() is of use after it.

namespace tern::distributed {

/// A rank that did not come, or has gone, while others waited for it.
struct RankError : Error {
  using Error::Error;
};

/// What init() is told.
struct InitOptions {
  /// How long one rank waits for another before it throws RankError, naming it. With NCCL it is the device that waits,
  /// and the host finds out in a later collective.
  std::chrono::duration<double> timeout = std::chrono::minutes(10);
};

/// Joins the others. Throws Error the second time, for a timeout that is not above 0, and in a build without TERN_MPI
/// where several ranks were started, which would each train alone.
void init(const InitOptions& options = {});
/// Whether init() was called.
bool is_initialized();
/// Leaves them: waits for all ranks to call it. Without effect where init() was not called. Nothing can be called after
/// it. A rank that fails calls abort() instead.
void finalize();
/// Ends all ranks at once, with exit status 1, after `why` on standard error, in one line with the rank's number.
[[noreturn]] void abort(const std::string& why);

/// 0 and 1 before init().
/// @{
int rank();
int world_size();
/// @}

/// Of the ranks on this rank's machine: to choose a GPU, and to share the cores.
/// @{
int local_rank();
int local_world_size();
/// @}

/// What is made of the elements of all ranks: their `sum`, `avg` (the mean), `min`, `max` or `product`.
enum class ReduceOp { sum, avg, min, max, product };

/// A collective that is under way. Its tensors are not to be touched before wait() has returned.
class Work {
 public:
  Work() = default;
  /// On a cuda device that is when what is queued next may use the result; the host does not wait.
  void wait();
  /// Whether wait() would return at once.
  bool is_completed();

  struct State;
  explicit Work(std::shared_ptr<State> state) : state_(std::move(state)) {}  ///< of a collective that was begun

 private:
  std::shared_ptr<State> state_;
};

/// x of all ranks, combined element by element, takes x's place on each. avg is for floating dtypes. x is contiguous,
/// and does not require grad, as in all that follows.
void all_reduce(const Tensor& x, ReduceOp op = ReduceOp::sum);
/// Begins it, and goes on while it is under way: torch's async_op.
Work all_reduce_async(const Tensor& x, ReduceOp op = ReduceOp::sum);
/// x of rank `root` takes x's place on each.
void broadcast(const Tensor& x, int root = 0);
/// x of each rank, in their order.
std::vector<Tensor> all_gather(const Tensor& x);
/// The same for any bytes, which may be of another length on each rank.
std::vector<std::string> all_gather_object(const std::string& bytes);
/// Returns when all ranks have called it.
void barrier();

/// Throws Error on every rank unless all have the same: "check_same: 'seed' is 2 on rank 1 and 1 on rank 0".
void check_same(const std::map<std::string, std::string>& settings);

/// What collectives have cost this rank since init(), for a trace.
struct Statistics {
  std::int64_t collectives = 0, bytes_sent = 0;  ///< how many were begun; bytes that this rank sent to others
  double seconds_waited = 0;  ///< in wait() and in collectives that are not async: what nothing else hid
  double seconds_open = 0;    ///< while at least one was under way
};
/// So far.
Statistics statistics();

}  // namespace tern::distributed
