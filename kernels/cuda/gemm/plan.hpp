#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace tern::kernels::cuda {

/// How a product is cut: the tile of a block, and how much of k a block sums.
struct GemmPlan {
  static constexpr int depth = 32;  ///< of k, at a time

  int rows, columns;
  std::int64_t tiles, share, shares;

  /// What a product of so many tiles' size executes, in multiply-adds.
  std::int64_t executed(std::int64_t K) const { return tiles * rows * columns * ((K + depth - 1) / depth) * depth; }
};

/// By the largest tile that executes hardly more than the smallest would and gives blocks enough. A sum that is
/// `shared` is cut so that there are enough.
inline GemmPlan plan_gemm(std::int64_t M, std::int64_t N, std::int64_t K, std::int64_t products, bool shared) {
  constexpr std::int64_t blocks_wanted = 264;  // two for each multiprocessor of an H100
  constexpr std::int64_t least_stages = 8;     // of a share
  const auto ceil_div = [](std::int64_t a, std::int64_t b) { return (a + b - 1) / b; };
  const auto tiles = [&](int rows, int columns) { return ceil_div(M, rows) * ceil_div(N, columns); };
  GemmPlan plan{64, 32, tiles(64, 32), 0, 1};
  const std::int64_t least = plan.tiles * 64 * 32;
  for (const auto& [rows, columns] : {std::pair{128, 64}, std::pair{128, 32}}) {
    const std::int64_t size = tiles(rows, columns) * rows * columns;
    if (size * 8 > least * 9 || (!shared && tiles(rows, columns) * products < blocks_wanted / 2)) continue;
    plan = {rows, columns, tiles(rows, columns), 0, 1};
    break;
  }
  const std::int64_t stages = ceil_div(K, GemmPlan::depth);
  if (shared) {
    plan.shares = std::clamp<std::int64_t>(blocks_wanted / (plan.tiles * products), 1,
                                           std::max<std::int64_t>(stages / least_stages, 1));
  }
  plan.share = std::max<std::int64_t>(ceil_div(stages, plan.shares), 1) * GemmPlan::depth;
  plan.shares = std::max<std::int64_t>(ceil_div(K, plan.share), 1);
  return plan;
}

}  // namespace tern::kernels::cuda
