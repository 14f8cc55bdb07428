#include <tern/data/image_batches.hpp>

#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/data/augment.hpp>

#include <algorithm>

namespace tern {

ImageBatches::ImageBatches(const Tensor& images, const Tensor& labels, const ImageBatchesOptions& options)
    : options_(options) {
  check_defined("ImageBatches", "images", images);
  check_defined("ImageBatches", "labels", labels);
  check(images.dtype() == DType::uint8 && images.dim() == 4,
        "ImageBatches: images {} of {}, expected uint8 [n, C, H, W]", images.shape(), images.dtype());
  check(labels.dtype() == DType::int64 && labels.dim() == 1 && labels.numel() == images.size(0),
        "ImageBatches: labels {} of {}, expected int64 [{}]", labels.shape(), labels.dtype(), images.size(0));
  check_device("ImageBatches", images, labels);
  const std::int64_t n = images.size(0), H = images.size(2), W = images.size(3);
  check(1 <= options.batch_size && options.batch_size <= n,
        "ImageBatches: batch_size {} of {} images, expected 1 to {}", options.batch_size, n, n);
  check(!options.shift || (0 <= *options.shift && *options.shift < std::min(H, W)),
        "ImageBatches: shift {} of images of {} x {}, expected 0 to {}", options.shift.value_or(0), H, W,
        std::min(H, W) - 1);
  check_cutout("ImageBatches", options.cutout, options.cutout_value);
  check(is_floating(options.dtype) && !is_half(options.dtype),
        "ImageBatches: batches of {}, expected float32 or float64", options.dtype);
  images_ = images.contiguous();
  labels_ = labels.contiguous();
  order_ = tensor(epoch_order(n, options.shuffle, options.seed, 0)).to(images.device());
}

void ImageBatches::go_to(State state) {
  if (options_.shuffle && state.epoch != state_.epoch) {
    order_.copy_(tensor(epoch_order(labels_.numel(), true, options_.seed, state.epoch)));
  }
  state_ = state;
}

void ImageBatches::set_state(State state) {
  check_state("ImageBatches", state, size());
  go_to(state);
}

void ImageBatches::advance() {
  const bool more = state_.position + 1 < size();
  go_to(more ? State{state_.epoch, state_.position + 1} : State{state_.epoch + 1, 0});
}

Batch ImageBatches::gather(const Tensor& step, std::int64_t part, std::int64_t parts, Generator& generator) const {
  check(0 <= part && part < parts && options_.batch_size % parts == 0,
        "ImageBatches: part {} of {} of a batch of {}, expected one of as many as divide it", part, parts,
        options_.batch_size);
  check(step.defined() && step.dtype() == DType::int64 && step.numel() == 1 && step.device() == images_.device(),
        "ImageBatches: step {}, expected one int64 on {}",
        step.defined() ? fmt::format("{} of {} on {}", step.shape(), step.dtype(), step.device()) : "undefined",
        images_.device());
  if (step.device().on_host()) {
    const auto number = step.item<std::int64_t>();
    check(0 <= number && number < size(), "ImageBatches: step {}, expected 0 to {}", number, size() - 1);
  }
  const kernels::ImageBatchShape s{.N = options_.batch_size / parts,
                                   .C = images_.size(1),
                                   .H = images_.size(2),
                                   .W = images_.size(3),
                                   .shift = options_.shift.value_or(-1),
                                   .cutout = options_.cutout,
                                   .fill = static_cast<float>(options_.cutout_value)};
  const Tensor number = parts == 1 ? step : step * parts + part;  // the batches being cut into smaller ones
  const auto drawn = [&](bool wanted, std::int64_t n) {
    return wanted ? generator.advance(static_cast<std::uint64_t>(n)) : kernels::PhiloxState{};
  };
  const Batch batch{empty({s.N, s.C, s.H, s.W}, {.dtype = options_.dtype, .device = images_.device()}),
                    empty({s.N}, {.dtype = DType::int64, .device = images_.device()})};
  const kernels::PhiloxState flips = drawn(s.shift >= 0, 3 * s.N), cutouts = drawn(s.cutout > 0, 2 * s.N);
  for_floating("ImageBatches", batch.input, [&]<class T>(kernels::FloatKernels<T>& k) {
    k.image_batch(s, flips, cutouts, images_.data<std::uint8_t>(), labels_.data<std::int64_t>(),
                  order_.data<std::int64_t>(), number.data<std::int64_t>(), batch.input.data<T>(),
                  batch.target.data<std::int64_t>());
  });
  return batch;
}

}  // namespace tern
