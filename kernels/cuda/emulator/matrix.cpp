#include "ptx.hpp"

#include <cstring>

namespace tern::emulator {
namespace {

/// Element i of a register: tf32 fills one, of which the last 13 bits are not looked at; of bf16 there are two.
double element(MatrixElement type, std::uint32_t bits, int i) {
  if (type == MatrixElement::tf32) return std::bit_cast<float>(bits & 0xffffe000);
  return std::bit_cast<float>(i == 0 ? bits << 16 : bits & 0xffff0000);
}

float toward_zero(double v) {
  const auto nearest = static_cast<float>(v);
  return fabs(static_cast<double>(nearest)) > fabs(v) ? nextafterf(nearest, 0) : nearest;
}

}  // namespace

/// Fragments as in the PTX ISA, "Matrix fragments for mma.m16n8k8" and "... for mma.m16n8k16": lane 4 g + t has of a
/// the rows g and g + 8, in column t and four registers on, of b column g, of c columns 2 t and 2 t + 1. Sums are cut
/// off where tensor cores round towards zero (Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor
/// cores", PeerJ Computer Science 2021); which bits those drop before is not public, so here the sum of a product is
/// exact before.
void multiply_add(const std::array<MatrixFragments*, 32>& lanes) {
  const MatrixElement type = lanes[0]->element;
  const int in_register = type == MatrixElement::tf32 ? 1 : 2;
  double a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < in_register; ++i) {
        const int k = (t + 4 * half) * in_register + i;
        a[g][k] = element(type, lanes[lane]->a[2 * half], i);
        a[g + 8][k] = element(type, lanes[lane]->a[2 * half + 1], i);
        b[k][g] = element(type, lanes[lane]->b[half], i);
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      double sum = static_cast<double>(lanes[lane]->c[i]);
      for (int k = 0; k < 8 * in_register; ++k) sum += a[row][k] * b[k][column];
      lanes[lane]->c[i] = toward_zero(sum);
    }
  }
}

void load_matrices(const std::array<MatrixRow*, 32>& lanes) {
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < 4; ++i) {
      const void* const row = lanes[8 * i + lane / 4]->row;
      std::memcpy(&lanes[lane]->elements[i], static_cast<const std::byte*>(row) + lane % 4 * 4, 4);
    }
  }
}

}  // namespace tern::emulator
