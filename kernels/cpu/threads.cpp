#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/error.hpp>

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <string>

namespace tern {

namespace {
std::atomic<int>& thread_count() {
  static std::atomic<int> count{omp_get_max_threads()};
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

void run_pieces(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body) {
  const std::int64_t pieces = (n + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<std::int64_t>(num_threads(), pieces));
  // What one kernel has written last is still in the cache when the next one begins, so that every other one begins
  // there.
  thread_local bool backwards = false;
  backwards = !backwards;
  const auto run = [&, reverse = backwards](std::int64_t i) {
    const std::int64_t begin = (reverse ? pieces - 1 - i : i) * grain;
    body(begin, std::min(n, begin + grain));
  };
  if (threads == 1 || omp_in_parallel()) {
    for (std::int64_t i = 0; i < pieces; ++i) run(i);
    return;
  }
  std::exception_ptr failure;  // an exception may not leave a parallel region
#pragma omp parallel for num_threads(threads) schedule(dynamic)
  for (std::int64_t i = 0; i < pieces; ++i) {
    try {
      run(i);
    } catch (...) {
#pragma omp critical(tern_run_pieces_failure)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace tern::kernels
