#pragma once

#include <cstdint>
#include <functional>

namespace tern {

/// How many threads one kernel may use. Results do not depend on it. Throws tern::Error unless n >= 1.
void set_num_threads(int n);

/// At first OMP_NUM_THREADS where that is set, else the processors that the process may keep busy: see
/// kernels/cpu/processors.hpp.
int num_threads();

}  // namespace tern

namespace tern::kernels {

/// Out of line half of parallel_for.
void run_pieces(std::int64_t n, std::int64_t grain, const std::function<void(std::int64_t, std::int64_t)>& body);

/// Cuts [0, n) into pieces of `grain` (the last may be shorter) and calls body(begin, end) once for each, in any order
/// and from any thread. The pieces depend on n and grain alone: a sum kept per piece and added up in order of the
/// pieces is the same for any number of threads. The first exception thrown by a piece is thrown again here, and pieces
/// that have not begun by then are left out. A call from within a piece, or while another thread's loop has the pool,
/// runs its own pieces one after the other. The child of a fork() starts threads of its own; a piece must not fork.
template <class Body>
void parallel_for(std::int64_t n, std::int64_t grain, const Body& body) {
  if (n > grain) {
    run_pieces(n, grain, std::cref(body));
  } else if (n > 0) {
    body(std::int64_t{0}, n);
  }
}

/// From now on the loops of this thread run on it alone.
void run_loops_alone();

}  // namespace tern::kernels
