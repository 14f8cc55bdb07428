#pragma once

#include <tern/core/generator.hpp>
#include <tern/data/dataset.hpp>
#include <tern/data/epoch.hpp>

#include <cstdint>
#include <optional>

namespace tern {

/// How batches are chosen and changed.
struct ImageBatchesOptions {
  std::int64_t batch_size = 64;            ///< images in a batch
  bool shuffle = true;                     ///< a new order every epoch; else 0, 1, 2, ...
  std::uint64_t seed = 0;                  ///< with the epoch's number, all that the order depends on
  std::optional<std::int64_t> shift = {};  ///< flip images and move them by up to so many pixels, at random
  std::int64_t cutout = 0;                 ///< then set a square of so many pixels a side, placed at random,
  double cutout_value = 0.5;               ///< to this
  DType dtype = DType::float32;            ///< of the batches
};

/// The batches of images that lie as bytes on one device, gathered and augmented there by one kernel: what DataLoader
/// gives of the same images in the same order, after random_flip_and_shift and random_cutout_, bit by bit. What does
/// not fill a batch is left out.
///
///     const Tensor step = zeros({1}, {.dtype = DType::int64, .device = device});
///     for (std::int64_t i = 0; i < batches.size(); ++i, batches.advance()) {
///       step.fill_(i);
///       const auto [input, target] = batches.gather(step);
///     }
///
/// In a graph that replays gather(), something of the graph's own counts the step.
class ImageBatches {
 public:
  /// Where it stands.
  using State = EpochState;

  /// images: uint8 [n, C, H, W]; labels: int64 [n], on the same device. Both are shared where contiguous. Throws Error
  /// for others, and unless 1 <= batch_size <= n, 0 <= shift < min(H, W), cutout >= 0, cutout_value is finite as a
  /// float32 and dtype a floating one.
  ImageBatches(const Tensor& images, const Tensor& labels, const ImageBatchesOptions& options = {});

  /// Batches in an epoch.
  std::int64_t size() const { return labels_.numel() / options_.batch_size; }

  /// As DataLoader's of the same seed and size: the batches given out so far, as advance() counts them. Throws Error
  /// unless 0 <= epoch <= 1e9 and 0 <= position <= size(); from the latter advance() begins the next epoch.
  /// @{
  State state() const { return state_; }
  void set_state(State state);
  /// @}

  /// Batch number *step of this epoch, from 0: input [batch_size, C, H, W] in [0, 1], target [batch_size]. step is one
  /// int64 on the images' device; in a graph, each replay reads it and the epoch's order anew. Takes from the generator
  /// what random_flip_and_shift takes, where images are shifted, and then what random_cutout_ takes, where there is a
  /// square. Throws Error for another step. That 0 <= *step < size() is checked on the host's devices alone.
  Batch gather(const Tensor& step, Generator& generator = default_generator()) const {
    return gather(step, 0, 1, generator);
  }
  /// Part `part` of `parts` of that batch alone, [batch_size / parts, ...]: it takes from the generator what its own
  /// images do. Throws Error unless 0 <= part < parts and batch_size is a multiple of parts.
  Batch gather(const Tensor& step, std::int64_t part, std::int64_t parts,
               Generator& generator = default_generator()) const;

  /// Counts a batch as given out. After the last one the next epoch begins, and its order is copied to the device, in
  /// the place of the one before and after all that the device has been given so far.
  void advance();

 private:
  void go_to(State state);

  ImageBatchesOptions options_;
  Tensor images_, labels_, order_;
  State state_;
};

}  // namespace tern
