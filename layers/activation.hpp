#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/module.hpp>

/// PyTorch's layers of functions of one tensor, under their names and with its defaults; Tanh, ReLU and Sigmoid stand
/// in layers.hpp. What they compute say the functions in core/ops.hpp.

namespace tern {

/// gelu.
class GELU : public Module {
 public:
  explicit GELU(Approximate approximate = Approximate::none) : approximate_(approximate) {}  ///< which formula
  Tensor forward(const Tensor& x) override { return gelu(x, approximate_); }

 private:
  Approximate approximate_;
};

/// silu.
class SiLU : public Module {
 public:
  Tensor forward(const Tensor& x) override { return silu(x); }
};

/// leaky_relu.
class LeakyReLU : public Module {
 public:
  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope_(negative_slope) {}  ///< x's factor where x < 0
  Tensor forward(const Tensor& x) override { return leaky_relu(x, negative_slope_); }
  std::string str() const override;

 private:
  double negative_slope_;
};

/// elu.
class ELU : public Module {
 public:
  explicit ELU(double alpha = 1) : alpha_(alpha) {}  ///< -alpha is its limit towards -infinity
  Tensor forward(const Tensor& x) override { return elu(x, alpha_); }
  std::string str() const override;

 private:
  double alpha_;
};

/// softplus.
class Softplus : public Module {
 public:
  explicit Softplus(double beta = 1, double threshold = 20) : beta_(beta), threshold_(threshold) {}  ///< of softplus
  Tensor forward(const Tensor& x) override { return softplus(x, beta_, threshold_); }
  std::string str() const override;

 private:
  double beta_, threshold_;
};

/// x between two bounds, max_val if that is the lower one.
class Hardtanh : public Module {
 public:
  explicit Hardtanh(double min_val = -1, double max_val = 1) : min_val_(min_val), max_val_(max_val) {}  ///< the bounds
  Tensor forward(const Tensor& x) override { return clamp(x, min_val_, max_val_); }
  std::string str() const override;

 private:
  double min_val_, max_val_;
};

/// x between 0 and 6.
class ReLU6 : public Hardtanh {
 public:
  ReLU6() : Hardtanh(0, 6) {}
  std::string str() const override { return "ReLU6()"; }
};

/// x / (1 + |x|).
class Softsign : public Module {
 public:
  Tensor forward(const Tensor& x) override { return x / (abs(x) + 1); }
};

/// log(sigmoid(x)).
class LogSigmoid : public Module {
 public:
  Tensor forward(const Tensor& x) override { return -softplus(-x); }
};

/// x tanh(softplus(x)). Misra, "Mish", 2019.
class Mish : public Module {
 public:
  Tensor forward(const Tensor& x) override { return x * tanh(softplus(x)); }
};

/// softmax along one dimension.
class Softmax : public Module {
 public:
  explicit Softmax(std::int64_t dim) : dim_(dim) {}  ///< negative counts from the end
  Tensor forward(const Tensor& x) override { return softmax(x, dim_); }
  std::string str() const override;

 private:
  std::int64_t dim_;
};

/// log_softmax along one dimension.
class LogSoftmax : public Module {
 public:
  explicit LogSoftmax(std::int64_t dim) : dim_(dim) {}  ///< negative counts from the end
  Tensor forward(const Tensor& x) override { return log_softmax(x, dim_); }
  std::string str() const override;

 private:
  std::int64_t dim_;
};

/// x itself.
class Identity : public Module {
 public:
  Tensor forward(const Tensor& x) override { return x; }
};

/// One dimension of x becomes several, of which one size may be -1.
class Unflatten : public Module {
 public:
  Unflatten(std::int64_t dim, const Shape& unflattened_size) : dim_(dim), size_(unflattened_size) {}  ///< one may be -1
  Tensor forward(const Tensor& x) override;
  std::string str() const override;

 private:
  std::int64_t dim_;
  Shape size_;
};

}  // namespace tern
