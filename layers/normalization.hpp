#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/module.hpp>
#include <tern/layers/spatial.hpp>

#include <initializer_list>
#include <optional>

/// Layers that normalise. Weights start as 1, biases as 0. A constructor throws Error for sizes below 0, groups that do
/// not divide the channels, an eps below 0 and numbers that are not finite.

namespace tern {

/// What BatchNorm1d, BatchNorm2d and BatchNorm3d are. Parameters weight and bias [C], where affine; buffers
/// running_mean, running_var [C] and num_batches_tracked, where it tracks running statistics. Without these, evaluation
/// takes the batch's own statistics. Without a momentum, the running statistics are the mean of all batches'.
class BatchNorm : public Module {
 public:
  Tensor forward(const Tensor& x) override;
  using Module::operator();
  /// activate((*this)(x) + residual, activation), in one op unless a hook is to see what lies between. The residual, of
  /// x's shape, may be left out.
  Tensor operator()(const Tensor& x, Activation activation, const Tensor& residual = {});
  Members members() override;
  std::string str() const override;

  Tensor weight, bias, running_mean, running_var, num_batches_tracked;  ///< [C], the last []; undefined where left out

 protected:
  /// `shape` is what an input is like, for messages, with so many dimensions.
  BatchNorm(const char* name, const char* shape, int min_dims, int max_dims, std::int64_t num_features, double eps,
            std::optional<double> momentum, bool affine, bool track_running_stats);
  /// What the op is told, in the mode that the layer is in.
  BatchNorm2dOptions options(Activation activation, const Tensor& residual = {}) const;

 private:
  Tensor normalize(const Tensor& x, const BatchNorm2dOptions& options) const;

  const char *name_, *shape_;
  int min_dims_, max_dims_;
  std::int64_t num_features_;
  double eps_;
  std::optional<double> momentum_;
};

/// [N, C] or [N, C, L].
class BatchNorm1d : public BatchNorm {
 public:  /// momentum: the newest batch's share in the running statistics.
  explicit BatchNorm1d(std::int64_t num_features, double eps = 1e-5, std::optional<double> momentum = 0.1,
                       bool affine = true, bool track_running_stats = true)
      : BatchNorm("BatchNorm1d", "[N, C] or [N, C, L]", 2, 3, num_features, eps, momentum, affine,
                  track_running_stats) {}
};

/// [N, C, H, W].
class BatchNorm2d : public BatchNorm {
 public:  /// momentum: the newest batch's share in the running statistics.
  explicit BatchNorm2d(std::int64_t num_features, double eps = 1e-5, std::optional<double> momentum = 0.1,
                       bool affine = true, bool track_running_stats = true)
      : BatchNorm("BatchNorm2d", "[N, C, H, W]", 4, 4, num_features, eps, momentum, affine, track_running_stats) {}

  /// activate(max_pool2d((*this)(x), kernel_size, pool), activation), in one op unless a hook is to see what lies
  /// between (batch_norm2d_max_pool2d).
  Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation = Activation::none,
                    const Pool2dOptions& pool = {});
  /// max_pool2d(conv(x), kernel_size, activation), the convolution in the same op (conv2d_batch_norm2d_max_pool2d)
  /// unless a hook of either is to see what lies between. A forward() of conv's own is not called.
  Tensor max_pool2d(Conv2d& conv, const Tensor& x, HeightWidth kernel_size, Activation activation = Activation::none);
};

/// [N, C, D, H, W].
class BatchNorm3d : public BatchNorm {
 public:  /// momentum: the newest batch's share in the running statistics.
  explicit BatchNorm3d(std::int64_t num_features, double eps = 1e-5, std::optional<double> momentum = 0.1,
                       bool affine = true, bool track_running_stats = true)
      : BatchNorm("BatchNorm3d", "[N, C, D, H, W]", 5, 5, num_features, eps, momentum, affine, track_running_stats) {}
};

/// Over the last dimensions, whose sizes normalized_shape is. Parameters weight and bias of that shape.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(const Shape& normalized_shape, double eps = 1e-5, bool elementwise_affine = true,
                     bool with_bias = true);  ///< neither weight nor bias unless elementwise_affine
  explicit LayerNorm(std::initializer_list<std::int64_t> normalized_shape, double eps = 1e-5,
                     bool elementwise_affine = true, bool with_bias = true)
      : LayerNorm(Shape(normalized_shape), eps, elementwise_affine, with_bias) {}  ///< {8} rather than Shape{8}
  Tensor forward(const Tensor& x) override { return layer_norm(x, normalized_shape_, weight, bias, eps_); }
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;  ///< normalized_shape's; undefined where left out

 private:
  Shape normalized_shape_;
  double eps_;
};

/// By the root mean square of the last dimensions; eps is the dtype's own unless given. Parameter weight.
class RMSNorm : public Module {
 public:  /// No weight unless elementwise_affine.
  explicit RMSNorm(const Shape& normalized_shape, std::optional<double> eps = {}, bool elementwise_affine = true);
  explicit RMSNorm(std::initializer_list<std::int64_t> normalized_shape, std::optional<double> eps = {},
                   bool elementwise_affine = true)
      : RMSNorm(Shape(normalized_shape), eps, elementwise_affine) {}  ///< {8} rather than Shape{8}
  Tensor forward(const Tensor& x) override { return rms_norm(x, normalized_shape_, weight, eps_); }
  Members members() override;
  std::string str() const override;

  Tensor weight;  ///< normalized_shape's; undefined without elementwise_affine

 private:
  Shape normalized_shape_;
  std::optional<double> eps_;
};

/// [N, C, ...], over groups of channels. Parameters weight and bias [C].
class GroupNorm : public Module {
 public:
  GroupNorm(std::int64_t num_groups, std::int64_t num_channels, double eps = 1e-5, bool affine = true);  ///< C channels
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;  ///< [C]; undefined unless affine

 private:
  std::int64_t num_groups_, num_channels_;
  double eps_;
};

/// [N, C, H, W] or [C, H, W], each channel of each image by its own statistics, in training and evaluation alike.
/// Parameters weight and bias [C], where affine.
class InstanceNorm2d : public Module {
 public:
  explicit InstanceNorm2d(std::int64_t num_features, double eps = 1e-5, bool affine = false);  ///< affine: is learned
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;  ///< [C]; undefined unless affine

 private:
  std::int64_t num_features_;
  double eps_;
};

}  // namespace tern
