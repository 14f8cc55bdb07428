#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/tensor.hpp>

#include <algorithm>
#include <cmath>
#include <ostream>

namespace tern {
namespace {

constexpr std::int64_t shorten_above = 1000;  // elements
constexpr std::int64_t edge = 3;              // slices shown at either end of a shortened dimension

/// x without what is left out between the ends of its dimensions from d on. Copies no other element.
Tensor ends_of(const Tensor& x, int d) {
  if (d == x.dim()) return x;
  const std::int64_t size = x.shape()[d];
  if (size <= 2 * edge) return ends_of(x, d + 1);
  return cat({ends_of(x.narrow(d, 0, edge), d + 1), ends_of(x.narrow(d, size - edge, edge), d + 1)}, d);
}

/// Writes the cells of what is shown of x, from `at` on, one dimension a bracket.
void print_slices(std::ostream& out, const Shape& x, const Shape& shown, const std::vector<std::string>& cells,
                  std::size_t width, int d, std::int64_t at) {
  if (d == x.size()) {
    const std::string& cell = cells[static_cast<std::size_t>(at)];
    out << std::string(width - cell.size(), ' ') << cell;
    return;
  }
  const std::int64_t stride = dense_strides(shown)[d];
  const std::string next = d == x.size() - 1 ? ", " : ",\n" + std::string(static_cast<std::size_t>(d) + 1, ' ');
  out << '[';
  for (std::int64_t i = 0; i < shown[d]; ++i) {
    if (i > 0) out << next;
    if (shown[d] < x[d] && i == edge) out << "..." << next;
    print_slices(out, x, shown, cells, width, d + 1, at + i * stride);
  }
  out << ']';
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Tensor& x) {
  if (!x.defined()) return out << "tensor(undefined)";
  const Tensor shown = x.numel() > shorten_above ? ends_of(x.detach(), 0) : x;
  std::vector<std::string> cells;
  if (is_floating(x.dtype())) {
    const std::vector<double> values = shown.to_vector<double>();
    double largest = 0, smallest = INFINITY;
    for (double v : values) {
      if (!std::isfinite(v) || v == 0) continue;
      largest = std::max(largest, std::abs(v));
      smallest = std::min(smallest, std::abs(v));
    }
    const bool scientific = largest >= 1e6 || (largest > 0 && smallest < 1e-4);
    for (double v : values) cells.push_back(scientific ? fmt::format("{:.4e}", v) : fmt::format("{:.4f}", v));
  } else {
    for (std::int64_t v : shown.to_vector<std::int64_t>()) cells.push_back(std::to_string(v));
  }
  std::size_t width = 0;
  for (const std::string& cell : cells) width = std::max(width, cell.size());
  print_slices(out, x.shape(), shown.shape(), cells, width, 0, 0);
  out << "\n[ " << name_of(x.dtype()) << ' ' << x.shape().str();
  if (x.device() != Device::cpu) out << " on " << x.device().str();
  if (x.requires_grad()) out << " requires_grad";
  return out << " ]";
}

}  // namespace tern
