#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace tern {
namespace {

constexpr std::int64_t shorten_above = 1000;  // elements
constexpr std::int64_t edge = 3;              // slices shown at either end of a shortened dimension

/// Writes the elements from `at` on, one dimension a bracket.
void print_slices(std::ostream& out, const Tensor& x, const std::vector<std::string>& cells, std::size_t width, int d,
                  std::int64_t at, bool shorten) {
  if (d == x.dim()) {
    const std::string& cell = cells[static_cast<std::size_t>(at)];
    out << std::string(width - cell.size(), ' ') << cell;
    return;
  }
  const std::int64_t size = x.shape()[d], stride = dense_strides(x.shape())[d];
  const bool last = d == x.dim() - 1;
  out << '[';
  for (std::int64_t i = 0; i < size; ++i) {
    if (i > 0) out << (last ? ", " : ",\n" + std::string(static_cast<std::size_t>(d) + 1, ' '));
    if (shorten && size > 2 * edge && i == edge) {
      out << "...";
      i = size - edge - 1;
      continue;
    }
    print_slices(out, x, cells, width, d + 1, at + i * stride, shorten);
  }
  out << ']';
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& x) {
  if (!x.defined()) return out << "tensor(undefined)";
  std::vector<std::string> cells;
  if (is_floating(x.dtype())) {
    const std::vector<double> values = x.to_vector<double>();
    double largest = 0, smallest = INFINITY;
    for (double v : values) {
      if (!std::isfinite(v) || v == 0) continue;
      largest = std::max(largest, std::abs(v));
      smallest = std::min(smallest, std::abs(v));
    }
    const bool scientific = largest >= 1e6 || (largest > 0 && smallest < 1e-4);
    for (double v : values) cells.push_back(scientific ? fmt::format("{:.4e}", v) : fmt::format("{:.4f}", v));
  } else {
    for (std::int64_t v : x.to_vector<std::int64_t>()) cells.push_back(std::to_string(v));
  }
  std::size_t width = 0;
  for (const std::string& cell : cells) width = std::max(width, cell.size());
  print_slices(out, x, cells, width, 0, 0, x.numel() > shorten_above);
  out << "\n[ " << name_of(x.dtype()) << ' ' << x.shape().str();
  if (x.device() != Device::cpu) out << " on " << x.device().str();
  if (x.requires_grad()) out << " requires_grad";
  return out << " ]";
}

}  // namespace tern
