/// Matrix products by OpenBLAS on one thread each: 2 m n k FLOP, m k + k n + m n elements moved. A large product is cut
/// into blocks of y, 256 x 256 at most, which the threads share: the blocks follow from the shape alone, so that every
/// element is summed in the same order for any number of threads.

#include <tern/kernels/cpu/cpu.hpp>
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

}  // namespace

void CpuFloat32::matmul(const MatmulShape& s, const float* a, const float* b, float* y) {
  if (s.batch == 0 || s.m == 0 || s.n == 0) return;
  if (s.k == 0) {
    std::fill_n(y, s.batch * s.m * s.n, 0.0f);
    return;
  }

  const int64_t lda = s.trans_a ? s.m : s.k, ldb = s.trans_b ? s.k : s.n;
  const Blocks rows = cut(s.m, 256), columns = cut(s.n, 256);
  const int64_t per_product = rows.count * columns.count;
  const int64_t flop_per_block = 2 * rows.size * columns.size * s.k;
  const int64_t grain = std::max<int64_t>(1, (1 << 20) / flop_per_block);
  parallel_for(s.batch * per_product, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t product = i / per_product;
      const int64_t row = i % per_product / columns.count * rows.size, column = i % columns.count * columns.size;
      const int64_t m = std::min(rows.size, s.m - row), n = std::min(columns.size, s.n - column);
      cblas_sgemm(CblasRowMajor, s.trans_a ? CblasTrans : CblasNoTrans, s.trans_b ? CblasTrans : CblasNoTrans,
                  dimension(m), dimension(n), dimension(s.k), 1, a + product * s.m * s.k + row * (s.trans_a ? 1 : lda),
                  dimension(lda), b + product * s.k * s.n + column * (s.trans_b ? ldb : 1), dimension(ldb), 0,
                  y + (product * s.m + row) * s.n + column, dimension(s.n));
    }
  });
}

}  // namespace tern::kernels
