#include <tern/core/check.hpp>
#include <tern/distributed/transport.hpp>

#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace tern::distributed {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

void check_mpi(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  fail("{}: {}", call, std::string_view(text, static_cast<std::size_t>(length)));
}

/// What every rank tells every other at the beginning of a collective: what it takes it for.
using Header = std::array<char, 128>;

class Mpi;

/// Messages of a collective that is under way.
class Collective : public Work::State {
 public:
  Collective(Mpi& mpi, const std::string& what, int number, std::vector<Round> rounds);
  void wait() override;
  bool is_completed() override;

  /// Goes on as far as the messages are there.
  void advance();
  bool is_done() const { return done_; }

 private:
  void post(const Round& round);
  void compare_headers() const;
  /// "rank 1 has not come" and the like; empty if nobody is late.
  std::string late_ranks();

  Mpi& mpi_;
  std::string what_;
  int number_;
  std::vector<Round> rounds_;
  std::size_t at_ = 0;  ///< the round in hand
  Header mine_{};
  std::vector<Header> theirs_;               ///< by rank
  std::vector<MPI_Request> told_, headers_;  ///< by rank, of sends and of receives
  std::vector<MPI_Request> messages_;        ///< of the round in hand
  std::vector<int> peers_;                   ///< of these
  bool agreed_ = false, failed_ = false, done_ = false;
};

class Mpi final : public Ranks {
 public:
  explicit Mpi(double seconds) : timeout(seconds) {
    int is_there = 0, provided = MPI_THREAD_SINGLE;
    check_mpi(MPI_Initialized(&is_there), "MPI_Initialized");
    if (is_there) {
      check_mpi(MPI_Query_thread(&provided), "MPI_Query_thread");
    } else {
      check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
      mine_ = true;
    }
    check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup");
    check_mpi(MPI_Comm_set_errhandler(comm, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    MPI_Comm_rank(comm, &rank);
    MPI_Comm_size(comm, &size);
    MPI_Comm machine = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &machine), "MPI_Comm_split_type");
    MPI_Comm_rank(machine, &local_rank);
    MPI_Comm_size(machine, &local_size);
    MPI_Comm_free(&machine);
  }

  std::shared_ptr<Work::State> start(const std::string& what, std::vector<Round> rounds) override {
    check(failure.empty(), "{}: after '{}', expected no more collectives", what, failure);
    const auto collective = std::make_shared<Collective>(*this, what, number_, std::move(rounds));
    number_ = (number_ + 1) % numbers;
    ++counted().collectives;
    if (open_.empty()) opened_ = Clock::now();
    open_.push_back(collective);
    progress();
    return collective;
  }

  /// Goes on with all that are under way. What it throws ends the use of all.
  void progress() {
    check(failure.empty(), "after '{}', expected no more collectives", failure);
    try {
      for (std::size_t i = 0; i < open_.size(); ++i) open_[i]->advance();
    } catch (const std::exception& e) {
      give_up(e.what());
      throw;
    }
    if (open_.empty()) return;
    std::erase_if(open_, [](const auto& collective) { return collective->is_done(); });
    if (open_.empty()) counted().seconds_open += seconds_since(opened_);
  }

  /// Tells those who ask that this rank waits, too. To be called while it does.
  void answer() {
    for (int peer = 0; peer < size; ++peer) {
      if (peer != rank && take(peer, asking)) send(peer, waiting);
    }
  }

  /// Of ranks that have not gone on those that wait for nobody, as they do not say within a second that they do. All,
  /// if each says so.
  std::vector<int> at_fault(const std::vector<int>& late) {
    const auto begun = Clock::now();
    std::vector<int> silent = late;
    for (const int peer : late) send(peer, asking);
    while (!silent.empty() && seconds_since(begun) < 1) {
      answer();
      std::erase_if(silent, [this](int peer) { return take(peer, waiting); });
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    return silent.empty() ? late : silent;
  }

  /// MPI may still read and write what these have to do with.
  void give_up(const std::string& why) {
    failure = why;
    static auto& left = *new std::vector<std::shared_ptr<Collective>>;
    left.insert(left.end(), open_.begin(), open_.end());
  }

  void finalize() override {
    start("finalize()", {})->wait();
    MPI_Comm_free(&comm);
    if (mine_) check_mpi(MPI_Finalize(), "MPI_Finalize");
  }

  void abort() override {
    MPI_Abort(comm, 1);
    std::_Exit(1);
  }

  MPI_Comm comm = MPI_COMM_NULL;
  const double timeout;
  std::string failure;

 private:
  /// MPI has tags up to 32767 at least. A collective takes two, questions and answers one each.
  static constexpr int numbers = 16383, asking = 32766, waiting = 32767;

  /// A message of nothing but its tag.
  void send(int peer, int tag) const {
    MPI_Request sent = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(nullptr, 0, MPI_BYTE, peer, tag, comm, &sent), "MPI_Isend");
    check_mpi(MPI_Request_free(&sent), "MPI_Request_free");
  }
  /// Whether there was one.
  bool take(int peer, int tag) const {
    int here = 0;
    check_mpi(MPI_Iprobe(peer, tag, comm, &here, MPI_STATUS_IGNORE), "MPI_Iprobe");
    if (here) check_mpi(MPI_Recv(nullptr, 0, MPI_BYTE, peer, tag, comm, MPI_STATUS_IGNORE), "MPI_Recv");
    return here;
  }

  bool mine_ = false;  ///< to be ended here
  int number_ = 0;
  std::vector<std::shared_ptr<Collective>> open_;
  Clock::time_point opened_;
};

Collective::Collective(Mpi& mpi, const std::string& what, int number, std::vector<Round> rounds)
    : mpi_(mpi),
      what_(what),
      number_(number),
      rounds_(std::move(rounds)),
      theirs_(static_cast<std::size_t>(mpi.size)),
      told_(static_cast<std::size_t>(mpi.size), MPI_REQUEST_NULL),
      headers_(told_) {
  what.copy(mine_.data(), mine_.size() - 1);
  for (int i = 1; i < mpi.size; ++i) {
    const int peer = (mpi.rank + i) % mpi.size;
    const auto p = static_cast<std::size_t>(peer);
    check_mpi(MPI_Irecv(theirs_[p].data(), sizeof(Header), MPI_BYTE, peer, 2 * number, mpi.comm, &headers_[p]),
              "MPI_Irecv");
    check_mpi(MPI_Isend(mine_.data(), sizeof(Header), MPI_BYTE, peer, 2 * number, mpi.comm, &told_[p]), "MPI_Isend");
  }
  if (!rounds_.empty()) post(rounds_[0]);
}

void Collective::post(const Round& round) {
  messages_.clear();
  peers_.clear();
  constexpr std::int64_t most = std::int64_t{1} << 30;  // MPI counts in int
  const auto each = [&](const Message& m, const auto& f) {
    for (std::int64_t i = 0; i < m.bytes; i += most) {
      messages_.push_back(MPI_REQUEST_NULL);
      peers_.push_back(m.peer);
      f(static_cast<std::byte*>(m.data) + i, static_cast<int>(std::min(most, m.bytes - i)), m.peer);
    }
  };
  for (const Message& m : round.receives) {
    each(m, [&](void* data, int bytes, int peer) {
      check_mpi(MPI_Irecv(data, bytes, MPI_BYTE, peer, 2 * number_ + 1, mpi_.comm, &messages_.back()), "MPI_Irecv");
    });
  }
  for (const Message& m : round.sends) {
    each(m, [&](const void* data, int bytes, int peer) {
      check_mpi(MPI_Isend(data, bytes, MPI_BYTE, peer, 2 * number_ + 1, mpi_.comm, &messages_.back()), "MPI_Isend");
    });
    counted().bytes_sent += m.bytes;
  }
}

void Collective::compare_headers() const {
  for (int peer = 0; peer < mpi_.size; ++peer) {
    const Header& theirs = theirs_[static_cast<std::size_t>(peer)];
    if (peer == mpi_.rank || theirs == mine_) continue;
    fail("distributed: rank {} called {} while rank {} called {}, expected the same on every rank", mpi_.rank,
         mine_.data(), peer, theirs.data());
  }
}

void Collective::advance() {
  const auto all_done = [](std::vector<MPI_Request>& requests) {
    int flag = 0;
    const int status = MPI_Testall(static_cast<int>(requests.size()), requests.data(), &flag, MPI_STATUSES_IGNORE);
    return std::pair(status, flag != 0);
  };
  while (!done_) {
    // A message of another size is an error of MPI's; the headers say what it comes from.
    const auto [status, here] = all_done(messages_);
    failed_ |= status != MPI_SUCCESS;
    if (!agreed_) {
      const auto [header_status, told] = all_done(headers_);
      check_mpi(header_status, what_.c_str());
      if (!told) return;
      compare_headers();
      agreed_ = true;
    }
    check(!failed_, "{}: MPI could not send or receive", what_);
    if (!here) return;
    if (at_ < rounds_.size()) {
      if (rounds_[at_].then) rounds_[at_].then();
      messages_.clear();
      if (++at_ < rounds_.size()) {
        post(rounds_[at_]);
        continue;
      }
    }
    const auto [told_status, told] = all_done(told_);
    check_mpi(told_status, what_.c_str());
    if (!told) return;
    done_ = true;
    rounds_.clear();  // and the memory that they hold
  }
}

bool Collective::is_completed() {
  if (!done_) mpi_.progress();
  return done_;
}

std::string Collective::late_ranks() {
  std::vector<int> late;
  const auto add = [&late](MPI_Request& request, int peer) {
    int flag = 0;
    MPI_Test(&request, &flag, MPI_STATUS_IGNORE);
    if (!flag && std::find(late.begin(), late.end(), peer) == late.end()) late.push_back(peer);
  };
  for (int peer = 0; peer < mpi_.size; ++peer) add(headers_[static_cast<std::size_t>(peer)], peer);
  const char* what = "come";
  if (late.empty()) {
    what = "gone on";
    for (int peer = 0; peer < mpi_.size; ++peer) add(told_[static_cast<std::size_t>(peer)], peer);
    for (std::size_t i = 0; i < messages_.size(); ++i) add(messages_[i], peers_[i]);
    late = mpi_.at_fault(late);
  }
  if (late.empty()) return "";
  return fmt::format("rank{} {} {} not {}", late.size() == 1 ? "" : "s", fmt::join(late, ", "),
                     late.size() == 1 ? "has" : "have", what);
}

void Collective::wait() {
  const auto begun = Clock::now();
  while (!is_completed()) {
    const double waited = seconds_since(begun);
    // Late is nobody where all is here by now, as after a time for which this rank itself was stopped.
    if (const std::string late = waited > mpi_.timeout ? late_ranks() : ""; !late.empty()) {
      const std::string message =
          fmt::format("distributed: {} on rank {}: {} within {} s", what_, mpi_.rank, late, mpi_.timeout);
      mpi_.give_up(message);
      throw RankError(message);
    }
    // Others may want the core, most of all a rank that this one waits for.
    if (waited < 1e-3) {
      std::this_thread::yield();
    } else {
      mpi_.answer();
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  counted().seconds_waited += seconds_since(begun);
}

}  // namespace

std::unique_ptr<Ranks> join(const InitOptions& options) {
  int is_there = 0;
  check_mpi(MPI_Initialized(&is_there), "MPI_Initialized");
  const int launched = launched_ranks();
  if (!is_there && launched == 0) return nullptr;  // MPI would start a daemon for one rank alone
  auto ranks = std::make_unique<Mpi>(options.timeout.count());
  check(
      ranks->size > 1 || launched <= 1,
      "init: {} ranks were started, but MPI knows of one, expected a launcher of this MPI: mpirun, or srun --mpi=pmix",
      launched);
  return ranks;
}

}  // namespace tern::distributed
