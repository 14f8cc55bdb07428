#pragma once

#include <cstdint>

/// Runs 12 chains of `rounds` fused multiply-adds of float vectors, which stay in registers: what a core can do at
/// most. Returns the FLOP done, two for each element of a multiply-add.
std::int64_t fused_multiply_adds(std::int64_t rounds);
