#include <tern/core/check.hpp>
#include <tern/core/generator.hpp>
#include <tern/distributed/transport.hpp>
#include <tern/kernels/cuda/graph.hpp>
#include <tern/kernels/cuda/stream.hpp>

#include <nccl.h>

#include <cstddef>
#include <cstring>
#include <deque>
#include <utility>

namespace tern::distributed {
namespace {

namespace cu = kernels::cuda;

void check_nccl(ncclResult_t status, const char* call) {
  if (status != ncclSuccess) throw CudaError(std::string(call) + ": " + ncclGetErrorString(status));
}

class Event {
 public:
  Event() { cu::check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream) const { cu::check(cudaEventRecord(event_, stream), "cudaEventRecord"); }
  /// `stream` goes on when what was recorded is done.
  void hold_up(cudaStream_t stream) const { cu::check(cudaStreamWaitEvent(stream, event_, 0), "cudaStreamWaitEvent"); }
  bool is_done() const {
    const cudaError_t status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) return false;
    cu::check(status, "cudaEventQuery");
    return true;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// What has been queued, and the memory that it works on. Made while the device is the current one.
class Queued final : public Work::State {
 public:
  Queued(int device, std::vector<Round> rounds) : device_(device), rounds_(std::move(rounds)) {}
  ~Queued() override {
    try {
      wait();  // lest the memory be given out again too early
    } catch (const Error&) {
      // Who uses the device next is told.
    }
  }
  void wait() override {
    if (std::exchange(waited_, true)) return;
    const cu::DeviceGuard guard(device_);
    done_.hold_up(cu::current_stream());
    rounds_.clear();
  }
  bool is_completed() override {
    if (cu::is_capturing()) return false;  // when nothing may be asked
    const cu::DeviceGuard guard(device_);
    return done_.is_done();
  }
  const std::vector<Round>& rounds() const { return rounds_; }
  void record(cudaStream_t stream) { done_.record(stream); }

 private:
  int device_;
  std::vector<Round> rounds_;
  Event done_;
  bool waited_ = false;
};

class Nccl final : public Transport {
 public:
  Nccl(Ranks& ranks, int device) : ranks_(ranks), device_(device) {
    const cu::DeviceGuard guard(device);
    ncclUniqueId id{};
    if (ranks.rank == 0) check_nccl(ncclGetUniqueId(&id), "ncclGetUniqueId");
    const Tensor bytes = empty({static_cast<std::int64_t>(sizeof id)}, {.dtype = DType::uint8});
    std::memcpy(bytes.data<std::uint8_t>(), &id, sizeof id);
    broadcast(bytes);
    std::memcpy(&id, bytes.data<std::uint8_t>(), sizeof id);
    check_nccl(ncclCommInitRank(&comm_, ranks.size, id, ranks.rank), "ncclCommInitRank");
    cu::check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  }
  ~Nccl() override {
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(ncclCommDestroy(comm_));
    static_cast<void>(cudaStreamDestroy(stream_));
  }
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  std::shared_ptr<Work::State> start(const std::string& what, std::vector<Round> rounds) override {
    compare(what);
    const cu::DeviceGuard guard(device_);
    const auto queued = std::make_shared<Queued>(device_, std::move(rounds));
    const Event ready;
    ready.record(cu::current_stream());
    ready.hold_up(stream_);
    {
      const cu::StreamGuard on_stream(stream_);
      for (const Round& round : queued->rounds()) {
        exchange(round);
        if (round.then) round.then();
      }
    }
    queued->record(stream_);
    return queued;
  }

 private:
  void exchange(const Round& round) {
    check_nccl(ncclGroupStart(), "ncclGroupStart");
    for (const Message& m : round.receives) {
      if (m.bytes == 0) continue;
      check_nccl(ncclRecv(m.data, static_cast<std::size_t>(m.bytes), ncclUint8, m.peer, comm_, stream_), "ncclRecv");
    }
    for (const Message& m : round.sends) {
      if (m.bytes == 0) continue;
      check_nccl(ncclSend(m.data, static_cast<std::size_t>(m.bytes), ncclUint8, m.peer, comm_, stream_), "ncclSend");
      counted().bytes_sent += m.bytes;
    }
    check_nccl(ncclGroupEnd(), "ncclGroupEnd");
  }

  /// Has the ranks compare what they call, on the host, which does not wait for it here: an error comes some calls
  /// late.
  void compare(const std::string& what) {
    constexpr std::size_t most = 64;
    compared_.push_back(ranks_.start(what, {}));
    while (!compared_.empty() && compared_.front()->is_completed()) compared_.pop_front();
    if (compared_.size() > most) compared_.front()->wait();
  }

  Ranks& ranks_;
  int device_;
  ncclComm_t comm_ = nullptr;
  cudaStream_t stream_ = nullptr;  ///< which has one collective after the other
  std::deque<std::shared_ptr<Work::State>> compared_;
};

}  // namespace

std::unique_ptr<Transport> nccl_transport(Ranks& ranks, int device) { return std::make_unique<Nccl>(ranks, device); }

}  // namespace tern::distributed
