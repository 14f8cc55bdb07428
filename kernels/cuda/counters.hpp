#pragma once

#include <cstdint>

namespace tern::kernels::cuda {

/// n counters in the current device's memory for a kernel that is queued now on the current stream, all 0. The kernel
/// leaves them so (is_last_block does), and the stream's next one gets the same. In a graph they are the graph's.
unsigned* counters(std::int64_t n = 1);

}  // namespace tern::kernels::cuda
