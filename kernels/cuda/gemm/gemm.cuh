#pragma once

/// The product of two matrices that are never written out, by tensor cores: out[m][n] = the sum over k of a[m][k]
/// b[n][k].
///
/// A block computes a tile of out, each of its warps 32 x 32 of it. It stages 32 of k at a time in shared memory by
/// asynchronous copies, two stages ahead of the one that it multiplies, so that a stage's loads have the time of two
/// stages' products. Where the sum is long and the tiles are few, several blocks share a tile's sum; the last of them
/// to finish adds the shares up in their order, so the result hangs on the shape alone.
///
/// By `precision`, products are of TF32 numbers, or of bfloat16 for `medium`. `highest` makes three TF32 products of
/// each: with a = big + small, both rounded to nearest, it leaves out small * small alone, which is 2^-22 of the
/// product (as 3xTF32 of CUTLASS does). Tensor cores cut their sums off; so that this does not add up, only 8 of k are
/// summed there, and those sums in fp32 (Ootomo, Yokota, "Recovering single precision accuracy from Tensor Cores while
/// surpassing the FP32 theoretical peak performance", IJHPCA 2022).
///
/// A sum that comes out infinite or NaN is made again by plain products: splitting an infinity, or multiplying by one
/// what is a zero for want of an element, gives NaN where there is none.
///
/// Bytes: a and b once for each column, and row, of tiles, mostly from L2. Arithmetic: 2 M N K, or three times that,
/// over whole tiles.

#include <tern/kernels/cuda/gemm/plan.hpp>
#include <tern/kernels/cuda/gemm/ptx.cuh>

#include <cfloat>
#include <cstring>

namespace tern::kernels::cuda {

/// The tile of a block.
template <int rows_, int columns_>
struct GemmTile {
  static constexpr int rows = rows_, columns = columns_, of_warp = 32, depth = GemmPlan::depth, stages = 3;
  static constexpr int warps_down = rows / of_warp, threads = warps_down * (columns / of_warp) * warp_threads;
};

/// How `rows` of a matrix lie in shared memory, `depth` of k of each: as `lines` of what lies side by side. The
/// distances are such that the 32 lanes of a warp read a fragment's register from 32 banks.
///
/// load() reads 16 rows and 8 of k, a lane from where these begin plus its of_lane: lane 4 g + t gets for a fragment of
/// a k t of rows g and g + 8, then k t + 4 of both, and for two fragments of b k t and k t + 4 of row g, then of row g
/// + 8.
/// @{
template <int rows_, int depth_>
struct RowsSideBySide {
  static constexpr int rows = rows_, depth = depth_, to_k = rows + 8, to_row = 1, size = depth * to_k;
  static constexpr int side = rows, lines = depth, to_line = to_k;
  static constexpr bool lines_are_k = true;

  static __device__ int of_lane_a(int lane) { return lane / 4 + lane % 4 * to_k; }
  static __device__ void load(const float* at, float (&v)[4]) {
    for (int i = 0; i < 4; ++i) v[i] = at[i % 2 * 8 + i / 2 * 4 * to_k];
  }
};
template <int rows_, int depth_>
struct DepthSideBySide {
  static constexpr int rows = rows_, depth = depth_, to_k = 1, to_row = depth + 4, size = rows * to_row;
  static constexpr int side = depth, lines = rows, to_line = to_row;
  static constexpr bool lines_are_k = false;

  static __device__ int of_lane_a(int lane) { return lane % 16 * to_row + lane / 16 * 4; }
  static __device__ int of_lane_b(int lane) { return (lane / 16 * 8 + lane % 8) * to_row + lane / 8 % 2 * 4; }
  static __device__ void load(const float* at, float (&v)[4]) { load_matrices(at, v); }
};
/// @}

/// What its row, and its k, say of where an element of a matrix lies in an image; the two are added up.
struct alignas(16) Place {
  unsigned offset;  ///< in elements; what is before the first wraps round, as h and w do
  unsigned h, w;    ///< row and column of the image

  /// Of a row or k beyond the matrix: outside of the image whatever is added, as its sides are at most 2^29.
  static __device__ Place nowhere() { return {0, 1u << 30, 0}; }
};

/// A matrix of elements of images, and zeros where these have none. What derives from it says in which Lie its rows are
/// staged, and the Place of a row(group, i) and of a k(i).
struct Operand {
  const float* data;
  unsigned H, W;  ///< of an image
  bool wide;      ///< four elements side by side in shared memory are so in an image, too, and aligned

  /// Where the element is, if an image has it; it is a zero if not.
  __device__ const float* at(const Place& row, const Place& k) const {
    return data + static_cast<int>(row.offset + k.offset);
  }
  /// Without a branch.
  __device__ bool has(const Place& row, const Place& k) const { return (row.h + k.h < H) & (row.w + k.w < W); }
};

/// What is multiplied, and how it is shared out.
struct Gemm {
  int M = 0, N = 0, K = 0;
  int share = 0;                 ///< how much of k a block sums, whole stages
  int tiles_across = 0;          ///< of a row of them
  float* shares = nullptr;       ///< the sums of each share, where there are several
  unsigned* counters = nullptr;  ///< one a tile
};

/// Copies rows of a matrix to shared memory, a stage of k at a time, all threads of the block together. A thread has
/// one place on the side and takes lines in turn. Their places stand in a table, so that there are a load, an addition
/// and a comparison to each element instead of divisions: the rows' once, those of k a stage.
template <class Lie, int threads, int stages, class Matrix>
class Stager {
 public:
  static constexpr int places = Lie::lines_are_k ? stages * Lie::depth : Lie::rows;

  /// Rows from row0 on. The table has `places`.
  __device__ Stager(const Matrix& matrix, int group, int row0, Place* table) : matrix_(matrix), table_(table) {
    if constexpr (Lie::lines_are_k) {
      row_ = matrix.row(group, row0 + (matrix.wide ? on_side<4>() : on_side<1>()));
    } else {
      for (int i = threadIdx.x; i < Lie::rows; i += threads) put(table_[i], matrix_.row(group, row0 + i));
    }
  }

  /// Notes what copy() needs for stage i, from k0 on. A barrier must lie between them, and between this and the copy()
  /// of stage i - stages.
  __device__ void note(int i, int k0) {
    if constexpr (Lie::lines_are_k) {
      static_assert(Lie::depth <= threads);
      if (threadIdx.x < Lie::depth) put(table_[i % stages * Lie::depth + threadIdx.x], matrix_.k(k0 + threadIdx.x));
    }
  }
  __device__ void copy(int i, int k0, float* to) const {
    if (matrix_.wide) {
      copy_by<4>(i, k0, to);
    } else {
      copy_by<1>(i, k0, to);
    }
  }

 private:
  /// By one store: the members' one by one would meet in the banks.
  static __device__ void put(Place& to, const Place& place) { memcpy(&to, &place, sizeof place); }

  /// The thread's place on the side, if it copies `width` at a time.
  template <int width>
  static __device__ int on_side() {
    return threadIdx.x % (Lie::side / width) * width;
  }

  template <int width>
  __device__ void copy_by(int i, int k0, float* to) const {
    constexpr int across = Lie::side / width, step = threads / across;
    static_assert(threads % across == 0 && Lie::lines % step == 0);
    const int at = on_side<width>(), first = threadIdx.x / across;
    const Place here = Lie::lines_are_k ? row_ : matrix_.k(k0 + at);
    const Place* const lines = table_ + (Lie::lines_are_k ? i % stages * Lie::depth : 0);
#pragma unroll 4
    for (int turn = 0; turn < Lie::lines / step; ++turn) {
      const int line = first + turn * step;
      const Place there = lines[line];
      copy_async<4 * width>(to + line * Lie::to_line + at, matrix_.at(here, there), matrix_.has(here, there));
    }
  }

  const Matrix& matrix_;
  Place* table_;
  Place row_;  ///< the thread's, of rows side by side
};

/// Shared memory of a block: the stages of a and b one after the other, then the tables.
template <class Tile, class A, class B>
struct GemmMemory {
  using LieA = typename A::template Lie<Tile::rows, Tile::depth>;
  using LieB = typename B::template Lie<Tile::columns, Tile::depth>;
  using StagerA = Stager<LieA, Tile::threads, Tile::stages, A>;
  using StagerB = Stager<LieB, Tile::threads, Tile::stages, B>;
  static constexpr int stage = LieA::size + LieB::size;  ///< in floats
  static constexpr std::size_t bytes =
      Tile::stages * stage * sizeof(float) + (StagerA::places + StagerB::places) * sizeof(Place);
};

/// `k` factors of each row, or column, of a fragment. Those of bfloat16 come in another order, the same for a and b:
/// that of k and that of k + 8 are neighbours.
template <Precision precision, class Fragment>
struct Factors {
  static constexpr int k = precision == Precision::medium ? 16 : 8;
  Fragment big, small;  ///< small: of `highest` alone

  /// Register i is made of a factor, and of the one eight further on.
  __device__ void set(int i, float factor, float eighth) {
    if constexpr (precision == Precision::medium) {
      big.at[i] = to_bf16(factor, eighth);
    } else {
      big.at[i] = to_tf32(factor);
      if constexpr (precision == Precision::highest) small.at[i] = to_tf32(factor - __uint_as_float(big.at[i]));
    }
  }
};

/// 16 rows of so many factors, as Lie::load() has them.
template <Precision precision, class Lie>
struct FactorRows {
  float factor[4], eighth[4] = {};

  __device__ explicit FactorRows(const float* at) {
    Lie::load(at, factor);
    if constexpr (precision == Precision::medium) Lie::load(at + 8 * Lie::to_k, eighth);
  }
};

template <Precision precision>
__device__ void multiply_add(const Factors<precision, FragmentA>& a, const Factors<precision, FragmentB>& b,
                             Sums& sums) {
  if constexpr (precision == Precision::highest) {
    Sums some{};
    multiply_add_tf32(a.small, b.big, some);
    multiply_add_tf32(a.big, b.small, some);
    multiply_add_tf32(a.big, b.big, some);
    for (int i = 0; i < 4; ++i) sums.at[i] += some.at[i];
  } else if constexpr (precision == Precision::high) {
    multiply_add_tf32(a.big, b.big, sums);
  } else {
    multiply_add_bf16(a.big, b.big, sums);
  }
}

/// Blocks: tiles of out, row by row, along x; shares of the sum along y; products along z, which the operands know.
/// Registers leave room for 16 warps, or for 8 where factors are in parts.
template <class Tile, Precision precision, class A, class B, class Out>
__global__ void __launch_bounds__(Tile::threads, (precision == Precision::highest ? 256 : 512) / Tile::threads)
    implicit_gemm(Gemm s, A a, B b, Out out) {
  wait_for_previous_kernels();
  using Memory = GemmMemory<Tile, A, B>;
  using LieA = typename Memory::LieA;
  using LieB = typename Memory::LieB;
  constexpr int down = 2, across = 4, elements = down * across * 4;
  float* const memory = dynamic_shared<float>();
  const int tile = static_cast<int>(blockIdx.x), group = static_cast<int>(blockIdx.z);
  const int m0 = tile / s.tiles_across * Tile::rows, n0 = tile % s.tiles_across * Tile::columns;
  const int first = static_cast<int>(blockIdx.y) * s.share, last = min(first + s.share, s.K);
  const int stages = last > first ? (last - first + Tile::depth - 1) / Tile::depth : 0;
  Place* const table = reinterpret_cast<Place*>(memory + Tile::stages * Memory::stage);
  typename Memory::StagerA rows_of_a(a, group, m0, table);
  typename Memory::StagerB rows_of_b(b, group, n0, table + Memory::StagerA::places);
  const auto note = [&](int i) {
    rows_of_a.note(i, first + i * Tile::depth);
    rows_of_b.note(i, first + i * Tile::depth);
  };
  const auto fetch = [&](int i) {
    if (i < stages) {
      float* const to = memory + i % Tile::stages * Memory::stage;
      rows_of_a.copy(i, first + i * Tile::depth, to);
      rows_of_b.copy(i, first + i * Tile::depth, to + LieA::size);
    }
    commit_copies();
  };

  const int lane = threadIdx.x % warp_threads, warp = threadIdx.x / warp_threads, g = lane / 4, t = lane % 4;
  const int warp_m = warp % Tile::warps_down * Tile::of_warp, warp_n = warp / Tile::warps_down * Tile::of_warp;
  Sums sums[down][across] = {};
  for (int i = 0; i < Tile::stages; ++i) note(i);
  __syncthreads();
  for (int i = 0; i < Tile::stages - 1; ++i) fetch(i);
#pragma unroll 1
  for (int i = 0; i < stages; ++i) {
    wait_for_copies<Tile::stages - 2>();
    __syncthreads();
    fetch(i + Tile::stages - 1);
    note(i + Tile::stages);
    const float* const of_stage = memory + i % Tile::stages * Memory::stage;
    const float* const in_a = of_stage + warp_m * LieA::to_row + LieA::of_lane_a(lane);
    const float* const in_b = of_stage + LieA::size + warp_n * LieB::to_row + LieB::of_lane_b(lane);
#pragma unroll
    for (int k = 0; k < Tile::depth; k += Factors<precision, FragmentA>::k) {
      Factors<precision, FragmentA> of_a[down];
      Factors<precision, FragmentB> of_b[across];
#pragma unroll
      for (int j = 0; j < down; ++j) {
        const FactorRows<precision, LieA> rows(in_a + j * 16 * LieA::to_row + k * LieA::to_k);
#pragma unroll
        for (int r = 0; r < 4; ++r) of_a[j].set(r, rows.factor[r], rows.eighth[r]);
      }
#pragma unroll
      for (int j = 0; j < across; j += 2) {
        const FactorRows<precision, LieB> rows(in_b + j * 8 * LieB::to_row + k * LieB::to_k);
#pragma unroll
        for (int r = 0; r < 4; ++r) of_b[j + r / 2].set(r % 2, rows.factor[r], rows.eighth[r]);
      }
#pragma unroll
      for (int j = 0; j < down; ++j) {
#pragma unroll
        for (int l = 0; l < across; ++l) multiply_add<precision>(of_a[j], of_b[l], sums[j][l]);
      }
    }
  }

  // Element e of this thread, and its row and column in out.
  const auto row = [&](int e) { return m0 + warp_m + e / (4 * across) * 16 + e / 2 % 2 * 8 + g; };
  const auto column = [&](int e) { return n0 + warp_n + e / 4 % across * 8 + t * 2 + e % 2; };
  const auto put = [&](int e, float v) {
    if (row(e) < s.M && column(e) < s.N) out.put(group, row(e), column(e), v);
  };
  constexpr int tile_size = Tile::rows * Tile::columns;
  const int64_t number = static_cast<int64_t>(group) * gridDim.x + tile;
  float* const shares = s.shares + number * gridDim.y * tile_size + threadIdx.x;
  const auto put_share = [&](int e, float v) {
    if (gridDim.y > 1) {
      shares[static_cast<int64_t>(blockIdx.y) * tile_size + e * Tile::threads] = v;
    } else {
      put(e, v);
    }
  };
  unsigned spoilt = 0;
#pragma unroll
  for (int e = 0; e < elements; ++e) {
    const float v = sums[e / (4 * across)][e / 4 % across].at[e % 4];
    put_share(e, v);
    if (!(fabsf(v) <= FLT_MAX)) spoilt |= 1u << e;
  }
#pragma unroll 1
  for (; spoilt != 0; spoilt &= spoilt - 1) {
    const int e = __ffs(static_cast<int>(spoilt)) - 1;
    const Place of_row = a.row(group, row(e)), of_column = b.row(group, column(e));
    float total = 0;
#pragma unroll 1
    for (int k = first; k < last; ++k) {
      const Place ak = a.k(k), bk = b.k(k);
      if (a.has(of_row, ak) && b.has(of_column, bk)) {
        total += *a.at(of_row, ak) * *b.at(of_column, bk);
      }
    }
    put_share(e, total);
  }

  if (gridDim.y == 1 || !is_last_block(s.counters + number, gridDim.y)) return;
#pragma unroll 1
  for (int e = 0; e < elements; ++e) {
    float total = 0;
#pragma unroll 8
    for (unsigned i = 0; i < gridDim.y; ++i) total += shares[static_cast<int64_t>(i) * tile_size + e * Tile::threads];
    put(e, total);
  }
}

}  // namespace tern::kernels::cuda
