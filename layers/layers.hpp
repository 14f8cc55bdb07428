#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/containers.hpp>
#include <tern/layers/normalization.hpp>

/// PyTorch's layers under their names, with its defaults and its initialisation: weights and biases start uniform in
/// +-1 / sqrt(fan_in), drawn from default_generator().

namespace tern {

/// [N, in_channels, H, W] -> [N, out_channels, P, Q]. Parameters weight [out, in / groups, R, S] and bias [out].
class Conv2d : public Module {
 public:
  struct Options {
    std::int64_t in_channels, out_channels;
    HeightWidth kernel_size;
    HeightWidth stride = 1, padding = 0, dilation = 1;
    std::int64_t groups = 1;
    bool bias = true;
  };
  explicit Conv2d(const Options& options);

  using Module::operator();
  /// activate((*this)(x), activation), in one op unless a hook is to see what lies between.
  Tensor operator()(const Tensor& x, Activation activation) { return max_pool2d(x, 1, activation); }
  /// activate(max_pool2d((*this)(x), kernel_size), activation), likewise (conv2d_max_pool2d). A kernel_size of 1 pools
  /// nothing.
  Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation = Activation::none);
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;

 private:
  Conv2dOptions op_options() const;

  Options options_;
};

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

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(HeightWidth kernel_size, const Pool2dOptions& options = {});
  Tensor forward(const Tensor& x) override { return max_pool2d(x, kernel_size_, options_); }
  std::string str() const override;

 private:
  HeightWidth kernel_size_;
  Pool2dOptions options_;
};

class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(HeightWidth kernel_size, const Pool2dOptions& options = {});
  Tensor forward(const Tensor& x) override { return avg_pool2d(x, kernel_size_, options_); }
  std::string str() const override;

 private:
  HeightWidth kernel_size_;
  Pool2dOptions options_;
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

}  // namespace tern
