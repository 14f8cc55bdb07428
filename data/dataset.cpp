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

/// y[i] is row indices[i] of x, where a row has n elements.
template <class T>
void gather(std::span<const std::int64_t> indices, std::int64_t n, const T* x, T* y) {
  for (const std::int64_t i : indices) {
    std::memcpy(y, x + i * n, static_cast<std::size_t>(n) * sizeof(T));
    y += n;
  }
}

void gather_images(std::span<const std::int64_t> indices, std::int64_t n, const std::uint8_t* x, float* y) {
  for (const std::int64_t i : indices) {
    const std::uint8_t* from = x + i * n;
    for (std::int64_t j = 0; j < n; ++j) y[j] = static_cast<float>(from[j]) / 255.0F;
    y += n;
  }
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
  check(inputs.dtype() == DType::uint8 || is_floating(inputs.dtype()),
        "TensorDataset: inputs of {}, expected uint8, float32 or float64", name_of(inputs.dtype()));
  check(targets.dtype() == DType::int64, "TensorDataset: targets of {}, expected int64", name_of(targets.dtype()));
  check(targets.dim() == 1 && inputs.dim() >= 1 && inputs.size(0) == targets.size(0),
        "TensorDataset: inputs {} and targets {}, expected [n, ...] and [n]", inputs.shape(), targets.shape());
  inputs_ = inputs.detach().contiguous();
  targets_ = targets.contiguous();
}

Batch TensorDataset::get(std::span<const std::int64_t> indices) const {
  check_indices("TensorDataset", indices, size());
  const auto n = static_cast<std::int64_t>(indices.size());
  Shape shape = inputs_.shape();
  const std::int64_t row = size() == 0 ? 0 : inputs_.numel() / size();
  shape[0] = n;

  const DType dtype = inputs_.dtype() == DType::uint8 ? DType::float32 : inputs_.dtype();
  const Batch batch{empty(shape, {.dtype = dtype}), empty({n}, {.dtype = DType::int64})};
  switch (inputs_.dtype()) {
    case DType::float32:
      gather(indices, row, inputs_.data<float>(), batch.input.data<float>());
      break;
    case DType::float64:
      gather(indices, row, inputs_.data<double>(), batch.input.data<double>());
      break;
    default:
      gather_images(indices, row, inputs_.data<std::uint8_t>(), batch.input.data<float>());
  }
  gather(indices, 1, targets_.data<std::int64_t>(), batch.target.data<std::int64_t>());
  return batch;
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
