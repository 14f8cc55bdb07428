/// A step of a recurrent layer, sequence by sequence: its H numbers stay in the cache while one function after another
/// goes over them. Each operand is read once from memory and written once; an lstm takes five of the elementwise
/// functions for each number, a gru three.

#include <tern/kernels/cpu/cpu.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/unary.hpp>

#include <algorithm>

namespace tern::kernels {

namespace {

/// Sequences worth a thread's while.
int64_t grain(const CellShape& s) { return std::max<int64_t>(1, (1 << 12) / std::max<int64_t>(1, s.H)); }

/// p + i, or null.
template <class P>
P* from(P* p, int64_t i) {
  return p ? p + i : nullptr;
}

constexpr int64_t chunk = 256;  // numbers at a time that have room on the stack

}  // namespace

void CpuFloat32::recurrent_cell(const CellShape& s, const float* x, const float* r, const float* before, float* kept,
                                float* after, float* h) {
  const int64_t H = s.H, sums = s.sums(), kept_sums = s.kept();
  const auto apply = [this](UnaryOp op, int64_t n, float* y) { unary({op}, n, y, y); };
  const auto add = [](int64_t n, const float* a, const float* b, float* y) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
  };
  parallel_for(s.N, grain(s), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      const float *const of_x = x + n * sums * H, *const of_r = r + n * sums * H, *const was = before + n * H;
      float *const k = from(kept, n * kept_sums * H), *const to = after + n * H, *const out = from(h, n * H);
      switch (s.cell) {
        case Cell::tanh:
        case Cell::relu:
          add(H, of_x, of_r, to);
          apply(s.cell == Cell::tanh ? UnaryOp::tanh : UnaryOp::relu, H, to);
          break;
        case Cell::lstm:
          add(4 * H, of_x, of_r, k);
          apply(UnaryOp::sigmoid, 2 * H, k);
          apply(UnaryOp::tanh, H, k + 2 * H);
          apply(UnaryOp::sigmoid, H, k + 3 * H);
#pragma omp simd
          for (int64_t i = 0; i < H; ++i) to[i] = k[H + i] * was[i] + k[i] * k[2 * H + i];
          unary({UnaryOp::tanh}, H, to, out);
#pragma omp simd
          for (int64_t i = 0; i < H; ++i) out[i] *= k[3 * H + i];
          break;
        case Cell::gru:
          add(2 * H, of_x, of_r, k);
          apply(UnaryOp::sigmoid, 2 * H, k);
          std::copy_n(of_r + 2 * H, H, k + 3 * H);
#pragma omp simd
          for (int64_t i = 0; i < H; ++i) k[2 * H + i] = of_x[2 * H + i] + k[i] * k[3 * H + i];
          apply(UnaryOp::tanh, H, k + 2 * H);
#pragma omp simd
          for (int64_t i = 0; i < H; ++i) to[i] = (1 - k[H + i]) * k[2 * H + i] + k[H + i] * was[i];
          break;
      }
    }
  });
}

void CpuFloat32::recurrent_cell_backward(const CellShape& s, const float* kept, const float* before, const float* after,
                                         const float* dy, const float* dh, float* carry, float* dx, float* dr) {
  const int64_t H = s.H, sums = s.sums(), kept_sums = s.kept();
  parallel_for(s.N, grain(s), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      for (int64_t first = 0; first < H; first += chunk) {
        const int64_t m = std::min(chunk, H - first), at = n * H + first;
        const float *const k = from(kept, n * kept_sums * H + first), *const was = from(before, at),
                           *const is = from(after, at), *const of_y = from(dy, at), *const of_h = from(dh, at);
        float *const over = from(carry, at), *const to = dx + n * sums * H + first,
                     *const to_r = from(dr, n * sums * H + first);
        float g[chunk] = {}, c[chunk];
        for (int64_t i = 0; of_y && i < m; ++i) g[i] = of_y[i];
        for (int64_t i = 0; of_h && i < m; ++i) g[i] += of_h[i];
        switch (s.cell) {
          case Cell::tanh:
            unary_backward({UnaryOp::tanh}, m, is, g, to);
            break;
          case Cell::relu:
            unary_backward({UnaryOp::relu}, m, is, g, to);
            break;
          case Cell::lstm:
            unary({UnaryOp::tanh}, m, is, c);
#pragma omp simd
            for (int64_t i = 0; i < m; ++i) {
              const float input = k[i], forget = k[H + i], gate = k[2 * H + i], output = k[3 * H + i];
              const float dc = over[i] + g[i] * output * (1 - c[i] * c[i]);
              to[i] = dc * gate * input * (1 - input);
              to[H + i] = dc * was[i] * forget * (1 - forget);
              to[2 * H + i] = dc * input * (1 - gate * gate);
              to[3 * H + i] = g[i] * c[i] * output * (1 - output);
              over[i] = dc * forget;
            }
            break;
          case Cell::gru:
#pragma omp simd
            for (int64_t i = 0; i < m; ++i) {
              const float reset = k[i], z = k[H + i], gate = k[2 * H + i], all = g[i] + over[i];
              const float d_gate = all * (1 - z) * (1 - gate * gate);
              to[i] = to_r[i] = d_gate * k[3 * H + i] * reset * (1 - reset);
              to[H + i] = to_r[H + i] = all * (was[i] - gate) * z * (1 - z);
              to[2 * H + i] = d_gate;
              to_r[2 * H + i] = d_gate * reset;
              over[i] = all * z;
            }
            break;
        }
      }
    }
  });
}

}  // namespace tern::kernels
