/// Matrix products by OpenBLAS on one thread each: 2 m n k FLOP, m k + k n + m n elements moved. A large product is cut
/// into blocks of y, 256 x 256 at most and half of that where there are few rows, which the threads share: the blocks
/// follow from the shape alone, so that every element is summed in the same order for any number of threads. linear has
/// the bias in a block before the product is added to it, where a product alone would write zeros, and the activation
/// in it while it is in the cache.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/memory.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <cblas.h>

#include <algorithm>

namespace tern::kernels {

namespace {

struct Blocks {
  int64_t size, count;
};

Blocks cut(int64_t n, int64_t most) {
  const int64_t count = (n + most - 1) / most, size = (n + count - 1) / count;
  return {size, (n + size - 1) / size};
}

blasint dimension(int64_t n) { return static_cast<blasint>(n); }

/// A block of y: m rows of n elements, s.n apart.
struct Block {
  int64_t column, m, n;
  float* y;
};

/// y = a b + beta y, all sizes but s.k positive. begin(block) and end(block) stand around each block's product.
template <class Begin, class End>
void multiply(const MatmulShape& s, const float* a, const float* b, float beta, float* y, const Begin& begin_block,
              const End& end_block) {
  const int64_t lda = s.trans_a ? s.m : s.k, ldb = s.trans_b ? s.k : s.n;
  const Blocks rows = cut(s.m, 256), columns = cut(s.n, s.batch * rows.count == 1 ? 128 : 256);
  const int64_t per_product = rows.count * columns.count;
  const int64_t flop_per_block = 2 * rows.size * columns.size * std::max<int64_t>(1, s.k);
  const int64_t grain = std::max<int64_t>(1, (1 << 20) / flop_per_block);
  parallel_for(s.batch * per_product, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t product = i / per_product;
      const int64_t row = i % per_product / columns.count * rows.size, column = i % columns.count * columns.size;
      const int64_t m = std::min(rows.size, s.m - row), n = std::min(columns.size, s.n - column);
      const Block block{column, m, n, y + (product * s.m + row) * s.n + column};
      begin_block(block);
      if (s.k > 0)
        cblas_sgemm(
            CblasRowMajor, s.trans_a ? CblasTrans : CblasNoTrans, s.trans_b ? CblasTrans : CblasNoTrans, dimension(m),
            dimension(n), dimension(s.k), 1, a + product * s.m * s.k + row * (s.trans_a ? 1 : lda), dimension(lda),
            b + product * s.k * s.n + column * (s.trans_b ? ldb : 1), dimension(ldb), beta, block.y, dimension(s.n));
      end_block(block);
    }
  });
}

}  // namespace

void CpuFloat32::matmul(const MatmulShape& s, const float* a, const float* b, float* y) {
  if (s.batch == 0 || s.m == 0 || s.n == 0) return;
  if (s.k == 0) {
    std::fill_n(y, s.batch * s.m * s.n, 0.0f);
    return;
  }
  const auto nothing = [](const Block&) {};
  multiply(s, a, b, 0, y, nothing, nothing);
}

void CpuFloat32::linear(const LinearShape& s, const float* x, const float* w, const float* bias, float* y) {
  if (s.rows == 0 || s.out == 0) return;
  const auto begin = [&](const Block& block) {
    for (int64_t row = 0; row < block.m; ++row) {
      if (bias) {
        std::copy_n(bias + block.column, block.n, block.y + row * s.out);
      } else if (s.in == 0) {
        std::fill_n(block.y + row * s.out, block.n, 0.0f);
      }
    }
  };
  const auto end = [&](const Block& block) {
    const bool whole_rows = block.n == s.out;
    const int64_t runs = whole_rows ? 1 : block.m, n = whole_rows ? block.m * block.n : block.n;
    for (int64_t run = 0; run < runs; ++run) {
      float* const first = block.y + run * s.out;
      if (s.activation != Activation::none) unary(unary_of(s.activation), n, first, first);
    }
  };
  multiply({.m = s.rows, .n = s.out, .k = s.in, .trans_b = true}, x, w, bias ? 1.0f : 0.0f, y, begin, end);
}

void CpuFloat32::linear_backward(const LinearShape& s, const float* x, const float* w, const float* y, const float* dy,
                                 float* dx, float* dw, float* dbias) {
  // By what the activation was given.
  const int64_t n = s.rows * s.out;
  const Scratch<float> scratch(s.activation == Activation::none ? 0 : n);
  if (s.activation != Activation::none) unary_backward(unary_of(s.activation), n, y, dy, scratch.data());
  const float* const g = s.activation == Activation::none ? dy : scratch.data();
  if (dbias) CpuArray<float>().reduce({ReduceOp::sum}, {.outer = 1, .n = s.rows, .inner = s.out}, g, dbias);
  if (dx) matmul({.m = s.rows, .n = s.in, .k = s.out}, g, w, dx);
  if (dw) matmul({.m = s.out, .n = s.in, .k = s.rows, .trans_a = true}, g, x, dw);
}

}  // namespace tern::kernels
