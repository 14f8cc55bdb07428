#pragma once

/// Sums by vectors.

#include <cstdint>

namespace tern::kernels {

/// y [rows] = the sums of the rows of x [rows, n].
void sum_rows(std::int64_t rows, std::int64_t n, const float* x, double* y);

}  // namespace tern::kernels
