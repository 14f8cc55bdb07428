#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/module.hpp>
#include <tern/layers/spatial.hpp>

#include <memory>
#include <type_traits>

/// PyTorch's layers under their names, with its defaults and its initialisation: weights and biases start uniform in
/// +-1 / sqrt(fan_in), drawn from default_generator().

namespace tern {

/// [..., in_features] -> [..., out_features]. Parameters weight [out, in] and bias [out].
class Linear : public Module {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, bool bias = true);

  using Module::operator();
  /// activation((*this)(x)), in one op unless a hook is to see what lies between.
  Tensor operator()(const Tensor& x, Activation activation);
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;
};

/// Parameters weight and bias [C]; buffers running_mean, running_var [C] and num_batches_tracked.
class BatchNorm2d : public Module {
 public:
  /// Throws Error for a negative number of features or eps, and for numbers that are not finite.
  explicit BatchNorm2d(std::int64_t num_features, double eps = 1e-5, double momentum = 0.1);

  Tensor forward(const Tensor& x) override;
  using Module::operator();
  /// activate((*this)(x) + residual, activation), in one op unless a hook is to see what lies between. The residual, of
  /// x's shape, may be left out.
  Tensor operator()(const Tensor& x, Activation activation, const Tensor& residual = {});
  /// activate(max_pool2d((*this)(x), kernel_size, pool), activation), likewise (batch_norm2d_max_pool2d).
  Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation = Activation::none,
                    const Pool2dOptions& pool = {});
  Members members() override;
  std::string str() const override;

  Tensor weight, bias, running_mean, running_var, num_batches_tracked;

 private:
  BatchNorm2dOptions options(Activation activation, const Tensor& residual = {}) const;

  double eps_, momentum_;
};

/// Zeroes elements with probability p in training.
class Dropout : public Module {
 public:
  /// Throws Error unless 0 <= p <= 1.
  explicit Dropout(double p = 0.5);
  Tensor forward(const Tensor& x) override { return dropout(x, p_, is_training()); }
  std::string str() const override;

 private:
  double p_;
};

/// Zeroes whole channels of [N, C, H, W] with probability p in training.
class Dropout2d : public Module {
 public:
  /// Throws Error unless 0 <= p <= 1.
  explicit Dropout2d(double p = 0.5);
  Tensor forward(const Tensor& x) override { return dropout2d(x, p_, is_training()); }
  std::string str() const override;

 private:
  double p_;
};

class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override { return tanh(x); }
  std::string str() const override { return "Tanh()"; }
};

class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override { return relu(x); }
  std::string str() const override { return "ReLU()"; }
};

class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override { return sigmoid(x); }
  std::string str() const override { return "Sigmoid()"; }
};

/// [N, ...] -> [N, product of the rest].
class Flatten : public Module {
 public:
  explicit Flatten(std::int64_t start_dim = 1, std::int64_t end_dim = -1) : start_dim_(start_dim), end_dim_(end_dim) {}
  Tensor forward(const Tensor& x) override { return x.flatten(start_dim_, end_dim_); }
  std::string str() const override;

 private:
  std::int64_t start_dim_, end_dim_;
};

/// Layers in a row, named "0", "1", ...: Sequential(Conv2d({...}), Tanh(), MaxPool2d(2), Flatten(), Linear(512, 2)).
class Sequential : public Module {
 public:
  template <class... Layers>
  requires(std::is_base_of_v<Module, Layers>&&...) explicit Sequential(Layers... layers) {
    (append(std::move(layers)), ...);
  }

  template <class Layer>
  requires std::is_base_of_v<Module, Layer>
  void append(Layer layer) { layers_.push_back(std::make_shared<Layer>(std::move(layer))); }

  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

 private:
  std::vector<std::shared_ptr<Module>> layers_;
};

/// logits [N, C], target int64 [N].
class CrossEntropyLoss {
 public:
  explicit CrossEntropyLoss(const CrossEntropyOptions& options = {});
  Tensor operator()(const Tensor& logits, const Tensor& target) const {
    return cross_entropy(logits, target, options_);
  }

 private:
  CrossEntropyOptions options_;
};

/// Both of one shape.
class MSELoss {
 public:
  explicit MSELoss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const { return mse_loss(x, target, reduction_); }

 private:
  Reduction reduction_;
};

}  // namespace tern
