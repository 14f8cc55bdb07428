#pragma once

/// Tests that each rank runs, all in the same order: alone, or `mpirun -n 3 tern_distributed_tests`.

#include <tern/core/tensor.hpp>
#include <tern/distributed/distributed.hpp>

#include <random.hpp>

#include <cstdint>
#include <cstring>
#include <vector>

namespace tern::test {

/// Whether all bits are the same.
inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  const Tensor x = a.cpu().contiguous(), y = b.cpu().contiguous();
  const auto bytes = static_cast<std::size_t>(x.numel()) * size_of(x.dtype());
  const auto at = [](const Tensor& t) {
    return static_cast<const std::byte*>(t.storage()->data()) +
           static_cast<std::size_t>(t.storage_offset()) * size_of(t.dtype());
  };
  return bytes == 0 || std::memcmp(at(x), at(y), bytes) == 0;
}

/// What rank `rank` has in a case: any rank can tell.
template <class T>
Tensor values_of(int rank, std::uint64_t stream, const Shape& shape) {
  Random random(base_seed(), 1000 * stream + static_cast<std::uint64_t>(rank));
  return tensor(random.values<T>(shape.numel())).reshape(shape);
}

}  // namespace tern::test
