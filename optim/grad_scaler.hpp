#pragma once

#include <tern/optim/optimizer.hpp>

#include <cstdint>
#include <vector>

namespace tern {

/// How a GradScaler's factor begins and moves.
struct GradScalerOptions {
  double init_scale = 65536;            ///< the factor to begin with, a float32
  double growth_factor = 2;             ///< by which it grows, more than 1,
  std::int64_t growth_interval = 2000;  ///< after so many steps in a row that were taken
  double backoff_factor = 0.5;          ///< by which it shrinks after one that was not, below 1
};

/// Scales a loss, so that gradients are not lost below what float16 can hold, and leaves out the steps that then exceed
/// it, as torch.amp.GradScaler. bfloat16 has float32's exponents and needs none.
///
///     tern::GradScaler scaler;
///     ...
///       scaler.scale(loss).backward();
///       scaler.step(optimizer);
///       scaler.update();
///
/// The factor is on the loss's device, and so is whether gradients are finite: the sum of their squares is a finite
/// float32. step() reads that, and waits for it. A GraphedStep has a scaler as an option, and waits for nothing. One
/// thread at a time.
class GradScaler {
 public:
  /// Throws Error for numbers that are not finite and positive, a growth_factor of 1 or less, or a backoff_factor of 1
  /// or more.
  explicit GradScaler(const GradScalerOptions& options = {});
  GradScaler(const GradScaler&) = delete;
  GradScaler& operator=(const GradScaler&) = delete;

  /// The loss times the factor, which follows it to its device.
  Tensor scale(const Tensor& loss);
  /// What scale() was given, of its result or of a sum or mean of such.
  Tensor unscale(const Tensor& loss);
  /// Divides the gradients of the optimiser's parameters by the factor, in place, so that they can be clipped before
  /// step(). Throws Error where it has been done since update().
  void unscale_(Optimizer& optimizer);
  /// The sum of the squares of these gradients once they were divided, float32 [] on the factor's device. Throws Error
  /// before unscale_().
  const Tensor& grad_squares(const Optimizer& optimizer);
  /// unscale_(), unless that is done, and the optimiser's step, unless a gradient is infinite or NaN. Returns whether
  /// it was taken. Throws Error for a second one before update().
  bool step(Optimizer& optimizer);
  /// Once all optimisers had their step() or unscale_(): shrinks the factor if gradients of one of them were not
  /// finite, else lets it grow in time. Throws Error if there was none.
  void update();

  /// The factor. Waits for it.
  double get_scale() const { return scale_.item(); }

  /// "scale", float64 [], and "growth_tracker", int64 [], the steps since the factor has changed. load_state_dict
  /// throws Error for any other, and changes nothing then.
  /// @{
  StateDict state_dict() const;
  void load_state_dict(const StateDict& state);
  /// @}

 private:
  /// What has been done for an optimiser since update().
  struct Done {
    const Optimizer* optimizer;
    Tensor squares;  ///< float32 []: the sum over all gradients
    bool stepped = false;
  };
  Done* find(const Optimizer& optimizer);
  void move_to(Device device);

  GradScalerOptions options_;
  Tensor scale_;           ///< float32 []
  Tensor growth_tracker_;  ///< int64 []: steps taken since the factor has changed
  std::vector<Done> done_;
};

}  // namespace tern
