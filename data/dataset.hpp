#pragma once

#include <tern/core/generator.hpp>
#include <tern/core/tensor.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace tern {

/// Examples side by side: input [n, ...] and target [n, ...], where that is a class int64 [n]; both contiguous, and of
/// a Dataset on the CPU.
struct Batch {
  Tensor input, target;  ///< [n, ...] both
};

/// A fixed number of examples, fetched many at a time, since gathering a batch in one go is what is fast.
class Dataset {
 public:
  virtual ~Dataset() = default;

  /// The number of examples.
  virtual std::int64_t size() const = 0;
  /// The examples with these indices, in this order. Called by several threads at once.
  /// Throws Error for an index outside [0, size()).
  virtual Batch get(std::span<const std::int64_t> indices) const = 0;
  /// The same with random numbers that do not depend on which thread asks first: generators[k] for example indices[k],
  /// or none. DataLoader calls this. A dataset that draws overrides it, and draws what it needs for an example from
  /// that example's generator. One that has get() alone gets, where get() draws from default_generator(), the numbers
  /// of generators[0]: they are the same from run to run, but change with the batch that an example is in.
  virtual Batch draw(std::span<const std::int64_t> indices, std::span<Generator> generators) const;
};

/// Examples held in memory. Copies share them.
class TensorDataset : public Dataset {
 public:
  /// inputs: [n, ...]; targets: [n, ...], of any dtype, too; both on the CPU.
  TensorDataset(const Tensor& inputs, const Tensor& targets);

  std::int64_t size() const override { return targets_.size(0); }
  /// Images, inputs of uint8, are given as float32 in [0, 1], x / 255; all else as it is.
  Batch get(std::span<const std::int64_t> indices) const override;

  /// As they were given.
  /// @{
  const Tensor& inputs() const { return inputs_; }
  const Tensor& targets() const { return targets_; }

  /// @}

 private:
  Tensor inputs_, targets_;
};

/// One dataset after another: the first's examples come first. They must outlive it.
class ConcatDataset : public Dataset {
 public:
  /// get() throws Error where what it gathers from the two differs in shape or type but for the first dimension.
  ConcatDataset(const Dataset& first, const Dataset& second) : first_(first), second_(second) {}
  ConcatDataset(const Dataset&& first, const Dataset& second) = delete;
  ConcatDataset(const Dataset& first, const Dataset&& second) = delete;

  std::int64_t size() const override { return first_.size() + second_.size(); }
  Batch get(std::span<const std::int64_t> indices) const override { return draw(indices, {}); }
  Batch draw(std::span<const std::int64_t> indices, std::span<Generator> generators) const override;

 private:
  const Dataset &first_, &second_;
};

/// Some examples of another dataset, which must outlive it; index i stands for indices[i] there.
class Subset : public Dataset {
 public:
  /// Throws Error for an index outside [0, dataset.size()).
  Subset(const Dataset& dataset, std::vector<std::int64_t> indices);
  Subset(const Dataset&& dataset, std::vector<std::int64_t> indices) = delete;

  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  Batch get(std::span<const std::int64_t> indices) const override { return draw(indices, {}); }
  Batch draw(std::span<const std::int64_t> indices, std::span<Generator> generators) const override;

 private:
  const Dataset& dataset_;
  std::vector<std::int64_t> indices_;
};

}  // namespace tern
