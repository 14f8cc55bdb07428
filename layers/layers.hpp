#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/containers.hpp>
#include <tern/layers/normalization.hpp>
#include <tern/layers/spatial.hpp>

/// PyTorch's layers under their names, with its defaults and its initialisation: weights and biases start uniform in
/// +-1 / sqrt(fan_in), drawn from default_generator().

namespace tern {

/// [..., in_features] -> [..., out_features]. Parameters weight [out, in] and bias [out].
class Linear : public Module {
 public:
  Linear(std::int64_t in_features, std::int64_t out_features, bool bias = true);  ///< throws Error for features below 1

  using Module::operator();
  /// activation((*this)(x)), in one op unless a hook is to see what lies between.
  Tensor operator()(const Tensor& x, Activation activation);
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;  ///< [out, in], and [out], undefined without bias
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

/// tanh.
class Tanh : public Module {
 public:
  Tensor forward(const Tensor& x) override { return tanh(x); }
  std::string str() const override { return "Tanh()"; }
};

/// relu.
class ReLU : public Module {
 public:
  Tensor forward(const Tensor& x) override { return relu(x); }
  std::string str() const override { return "ReLU()"; }
};

/// sigmoid.
class Sigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override { return sigmoid(x); }
  std::string str() const override { return "Sigmoid()"; }
};

/// [N, ...] -> [N, product of the rest].
class Flatten : public Module {
 public:  /// From start_dim to end_dim, that one too; negative ones count from the end.
  explicit Flatten(std::int64_t start_dim = 1, std::int64_t end_dim = -1) : start_dim_(start_dim), end_dim_(end_dim) {}
  Tensor forward(const Tensor& x) override { return x.flatten(start_dim_, end_dim_); }
  std::string str() const override;

 private:
  std::int64_t start_dim_, end_dim_;
};

}  // namespace tern
