#include <tern/data/dataset.hpp>

#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

namespace tern {

namespace {

void check_indices(const char* who, std::span<const std::int64_t> indices, std::int64_t size) {
  for (const std::int64_t i : indices) {
    check(0 <= i && i < size, "{}: index {}, expected 0 <= index < {}", who, i, size);
  }
}

std::int64_t elements_of_a_row(const Tensor& x) { return x.numel() / std::max<std::int64_t>(x.size(0), 1); }

/// What holds as many rows of x.
Tensor make_rows(std::span<const std::int64_t> indices, const Tensor& x, DType dtype) {
  Shape shape = x.shape();
  shape[0] = std::ssize(indices);
  return empty(shape, {.dtype = dtype});
}

/// Row i of the result is row indices[i] of x.
Tensor gather(std::span<const std::int64_t> indices, const Tensor& x) {
  const Tensor rows = make_rows(indices, x, x.dtype());
  const std::int64_t n = elements_of_a_row(x);
  for_moved(x, [&]<class T>(kernels::MoveKernels<T>&) {
    T* y = rows.data<T>();
    for (const std::int64_t i : indices) {
      std::memcpy(y, x.data<T>() + i * n, static_cast<std::size_t>(n) * sizeof(T));
      y += n;
    }
  });
  return rows;
}

Tensor gather_images(std::span<const std::int64_t> indices, const Tensor& x) {
  const Tensor rows = make_rows(indices, x, DType::float32);
  const std::int64_t n = elements_of_a_row(x);
  float* y = rows.data<float>();
  for (const std::int64_t i : indices) {
    const std::uint8_t* from = x.data<std::uint8_t>() + i * n;
    for (std::int64_t j = 0; j < n; ++j) y[j] = static_cast<float>(from[j]) / 255.0F;
    y += n;
  }
  return rows;
}

}  // namespace

Batch Dataset::draw(std::span<const std::int64_t> indices, std::span<Generator> generators) const {
  if (generators.empty()) return get(indices);
  const GeneratorGuard guard(generators.front());
  return get(indices);
}

TensorDataset::TensorDataset(const Tensor& inputs, const Tensor& targets) {
  check_defined("TensorDataset", "inputs", inputs);
  check_defined("TensorDataset", "targets", targets);
  check(inputs.device().on_host() && targets.device().on_host(),
        "TensorDataset: inputs on {}, targets on {}, expected both on the cpu", inputs.device().str(),
        targets.device().str());
  check(inputs.dim() >= 1 && targets.dim() >= 1 && inputs.size(0) == targets.size(0),
        "TensorDataset: inputs {} and targets {}, expected [n, ...] both", inputs.shape(), targets.shape());
  inputs_ = inputs.detach().contiguous();
  targets_ = targets.detach().contiguous();
}

Batch TensorDataset::get(std::span<const std::int64_t> indices) const {
  check_indices("TensorDataset", indices, size());
  return {inputs_.dtype() == DType::uint8 ? gather_images(indices, inputs_) : gather(indices, inputs_),
          gather(indices, targets_)};
}

Batch ConcatDataset::draw(std::span<const std::int64_t> indices, std::span<Generator> generators) const {
  check_indices("ConcatDataset", indices, size());
  struct Part {
    std::vector<std::int64_t> indices;
    std::vector<Generator> generators;
  } a, b;
  const std::int64_t middle = first_.size();
  const std::int64_t of_first = std::count_if(indices.begin(), indices.end(), [&](auto i) { return i < middle; });
  std::vector<std::int64_t> place;  // of each example, in what is gathered one dataset after the other
  for (std::size_t k = 0; k < indices.size(); ++k) {
    const bool in_first = indices[k] < middle;
    Part& part = in_first ? a : b;
    place.push_back(std::ssize(part.indices) + (in_first ? 0 : of_first));
    part.indices.push_back(indices[k] - (in_first ? 0 : middle));
    if (!generators.empty()) part.generators.push_back(generators[k]);
  }
  if (b.indices.empty()) return first_.draw(a.indices, a.generators);
  if (a.indices.empty()) return second_.draw(b.indices, b.generators);
  const Batch x = first_.draw(a.indices, a.generators), y = second_.draw(b.indices, b.generators);
  const Tensor order = tensor(place);
  return {cat({x.input, y.input}, 0).index_select(0, order), cat({x.target, y.target}, 0).index_select(0, order)};
}

Subset::Subset(const Dataset& dataset, std::vector<std::int64_t> indices)
    : dataset_(dataset), indices_(std::move(indices)) {
  check_indices("Subset", indices_, dataset_.size());
}

Batch Subset::draw(std::span<const std::int64_t> indices, std::span<Generator> generators) const {
  check_indices("Subset", indices, size());
  std::vector<std::int64_t> there(indices.size());
  for (std::size_t i = 0; i < there.size(); ++i) there[i] = indices_[static_cast<std::size_t>(indices[i])];
  return dataset_.draw(there, generators);
}

}  // namespace tern
