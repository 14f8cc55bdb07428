#pragma once

#include <cstdint>

#ifdef __CUDACC__
#define TERN_HOST_DEVICE __host__ __device__
#else
#define TERN_HOST_DEVICE
#endif

namespace tern::kernels {

/// Where a random kernel starts reading the stream: draw i of the kernel is word i % 4 of block offset + i / 4.
struct PhiloxState {
  std::uint64_t seed = 0;    ///< the key
  std::uint64_t offset = 0;  ///< the first block's number, the counter
};

/// What one call of philox() gives.
struct PhiloxBlock {
  std::uint32_t word[4];  ///< uniform, 32 bits each
};

/// Philox4x32-10: four random words from a 64-bit key and a 64-bit counter, with no state in between.
/// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11.
TERN_HOST_DEVICE inline PhiloxBlock philox(std::uint64_t seed, std::uint64_t counter) {
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  PhiloxBlock c{{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0}};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c.word[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57} * c.word[2];
    c = {{static_cast<std::uint32_t>(p1 >> 32) ^ c.word[1] ^ k0, static_cast<std::uint32_t>(p1),
          static_cast<std::uint32_t>(p0 >> 32) ^ c.word[3] ^ k1, static_cast<std::uint32_t>(p0)}};
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return c;
}

/// Draw i of a kernel that starts at `state`: 32 uniform bits.
TERN_HOST_DEVICE inline std::uint32_t philox_bits(PhiloxState state, std::uint64_t i) {
  return philox(state.seed, state.offset + i / 4).word[i % 4];
}

/// The top 24 bits as a number in [0, 1), the same on every device.
TERN_HOST_DEVICE inline float uniform_from_bits(std::uint32_t bits) { return static_cast<float>(bits >> 8) * 0x1p-24f; }

/// Blocks of the stream that n draws use up: the next kernel starts that far on.
inline std::uint64_t philox_blocks(std::uint64_t n) { return (n + 3) / 4; }

}  // namespace tern::kernels
