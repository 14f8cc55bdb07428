/// A pool of threads that help the caller of parallel_for. Nobody waits for a thread that has not begun: the caller
/// takes pieces like all others, and when none is left withdraws what it has offered. So a loop on a busy machine lasts
/// no longer than on the threads that get to run. Who waits looks for a moment, since the next loop or the end of a
/// piece is mostly near, and then sleeps.

#include <tern/kernels/cpu/processors.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/error.hpp>

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace tern {

namespace {

int first_num_threads() {
  const char* const variable = std::getenv("OMP_NUM_THREADS");
  const std::string_view text = variable ? variable : "";
  int n = 0;  // of a list, "4,2", the first is what is meant
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n >= 1 ? n : kernels::usable_processors();
}

std::atomic<int>& thread_count() {
  static std::atomic<int> count{first_num_threads()};
  return count;
}

}  // namespace

void set_num_threads(int n) {
  if (n < 1) throw Error("set_num_threads: given " + std::to_string(n) + ", expected at least 1");
  thread_count() = n;
}

int num_threads() { return thread_count(); }

}  // namespace tern

namespace tern::kernels {

namespace {

/// Set on threads of the pool, on a caller while it takes pieces, and by run_loops_alone.
constinit thread_local bool in_loop = false;

int processors() {
  static const int count = usable_processors();
  return count;
}

/// Returns when state is no longer `value`.
void wait_while(const std::atomic<int>& state, int value) {
  using Clock = std::chrono::steady_clock;
  if (num_threads() <= processors()) {  // else what is awaited may need this very processor
    for (const auto start = Clock::now(); Clock::now() - start < std::chrono::microseconds(200);) {
      if (state != value) return;
#ifdef __SSE2__
      __builtin_ia32_pause();
#endif
    }
  }
  state.wait(value);
}

class Loop {
 public:
  Loop(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body, bool backwards)
      : body_(body), n_(n), grain_(grain), backwards_(backwards) {}

  std::int64_t pieces() const { return (n_ + grain_ - 1) / grain_; }

  /// Takes pieces until none is left, beside other threads that do the same.
  void run() noexcept {
    const std::int64_t count = pieces();
    for (std::int64_t i = next_++; i < count; i = next_++) {
      const std::int64_t begin = (backwards_ ? count - 1 - i : i) * grain_;
      try {
        body_(begin, std::min(n_, begin + grain_));
      } catch (...) {
        if (!failed_.test_and_set()) failure_ = std::current_exception();
        next_ = count;
      }
    }
  }

  /// Once no thread runs it any more.
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  const std::function<void(std::int64_t, std::int64_t)>& body_;
  const std::int64_t n_, grain_;
  const bool backwards_;
  std::atomic_flag failed_;
  std::exception_ptr failure_;
  alignas(64) std::atomic<std::int64_t> next_ = 0;
};

/// A thread of the pool. Throws std::system_error where the system has none.
class alignas(64) Helper {
 public:
  Helper() : thread_([this] { work(); }) {}
  ~Helper() {
    offer(nullptr);
    thread_.join();
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;

  /// Only while it is idle. null ends the thread.
  void offer(Loop* loop) {
    loop_ = loop;
    state_ = offered;
    state_.notify_one();
  }

  /// Withdraws the offer, or waits until the thread has finished its piece. Then it is idle.
  void finish() {
    int state = offered;
    if (!state_.compare_exchange_strong(state, idle)) wait_while(state_, running);
  }

 private:
  enum State : int { idle, offered, running };

  void work() {
    in_loop = true;
    while (true) {
      wait_while(state_, idle);
      int state = offered;
      if (!state_.compare_exchange_strong(state, running)) continue;  // withdrawn
      if (!loop_) return;
      loop_->run();
      state_ = idle;
      state_.notify_one();
    }
  }

  std::atomic<int> state_ = idle;
  Loop* loop_ = nullptr;
  std::thread thread_;  // the last member: it uses the others
};

class Pool {
 public:
  static Pool& get() {
    static Pool& pool = *new Pool;  // never destroyed: what runs at exit may call it
    return pool;
  }

  /// Runs the loop with the help of `helpers` threads, or of as many as the system gives; with none where another
  /// thread's loop has them.
  void run(Loop& loop, int helpers) {
    const std::unique_lock lock(in_use_, std::try_to_lock);
    if (!lock) return loop.run();
    start(helpers);
    helpers = std::min(helpers, static_cast<int>(helpers_.size()));
    for (int i = 0; i < helpers; ++i) helpers_[i]->offer(&loop);
    in_loop = true;
    loop.run();
    in_loop = false;
    for (int i = 0; i < helpers; ++i) helpers_[i]->finish();
  }

 private:
  void start(int helpers) {
    if (helpers <= asked_for_) return;
    processors();  // which may throw, and is not to throw in a thread
    [[maybe_unused]] static const bool registered = [] {
      std::atexit([] { get().stop(); });
      pthread_atfork([] { get().in_use_.lock(); }, [] { get().in_use_.unlock(); }, [] { get().forget(); });
      return true;
    }();
    asked_for_ = helpers;
    try {
      while (std::ssize(helpers_) < helpers) helpers_.push_back(std::make_unique<Helper>());
    } catch (const std::exception&) {
      // Fewer have to do, which changes no result.
    }
  }

  /// Ends the threads. Loops that come later run without.
  void stop() {
    const std::scoped_lock lock(in_use_);
    helpers_.clear();
    asked_for_ = std::numeric_limits<int>::max();
  }

  /// In the child of a fork, which has none of the threads.
  void forget() {
    for (std::unique_ptr<Helper>& helper : helpers_) static_cast<void>(helper.release());
    helpers_.clear();
    asked_for_ = 0;
    in_use_.unlock();
  }

  std::mutex in_use_;  ///< held for a loop, and during a fork
  int asked_for_ = 0;
  std::vector<std::unique_ptr<Helper>> helpers_;
};

}  // namespace

void run_loops_alone() { in_loop = true; }

void run_pieces(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body) {
  // What one kernel has written last is still in the cache when the next one begins, so that every other one begins
  // there.
  thread_local bool backwards = false;
  backwards = !backwards;
  Loop loop(n, grain, body, backwards);
  const auto threads = static_cast<int>(std::min<std::int64_t>(num_threads(), loop.pieces()));
  if (threads == 1 || in_loop) {
    loop.run();
  } else {
    Pool::get().run(loop, threads - 1);
  }
  loop.rethrow();
}

}  // namespace tern::kernels
