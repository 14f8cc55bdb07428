#pragma once

/// The optimisers by name. What a step of each is stands in a table of each backend: reference/optim.hpp,
/// cpu/optim.cpp, cuda/optim.cu. They are apart from backend.hpp, so that one more is no reason to build everything
/// anew.

#include <tern/kernels/backend.hpp>

namespace tern::kernels {

/// With p a parameter, g its gradient, negated to maximise; the options by the names of OptimizerStep; and state 0 to 2
/// in the order given. All are PyTorch's of that name but for lion. Where there is a weight decay, and it is not said
/// otherwise, g += weight_decay * p at first.
enum class OptimizerOp : int {
  /// m: m = momentum * m + (1 - decay) * g, p -= lr * (nesterov ? g + momentum * m : m); or, without m, p -= lr * g.
  sgd,
  /// m, v, w: m = momentum * m + (1 - momentum) * g, v = decay * v + (1 - decay) * g^2, w = max(w, v);
  /// p -= lr / correction1 * m / (sqrt((w, or without it v) / correction2) + eps).
  /// Kingma, Ba, "Adam", 2015, algorithm 1; w: Reddi, Kale, Kumar, "On the convergence of Adam and beyond", 2018.
  adam,
  /// The same, with p *= 1 - lr * weight_decay at first in place of the change of g.
  /// Loshchilov, Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
  adamw,
  /// v, a, m: v = decay * v + (1 - decay) * g^2, and where there is a, a = decay * a + (1 - decay) * g;
  /// u = g / (sqrt(v - a^2) + eps), the difference at least 0; where there is m, m = momentum * m + u, and p -= lr * m;
  /// else p -= lr * u. Tieleman, Hinton, "Lecture 6.5, rmsprop", 2012; a: Graves, "Generating sequences with recurrent
  /// neural networks", 2013.
  rmsprop,
  /// v: v += g^2, p -= lr * g / (sqrt(v) + eps). Duchi, Hazan, Singer, "Adaptive subgradient methods", 2011.
  adagrad,
  /// v, u: v = decay * v + (1 - decay) * g^2, d = g * sqrt(u + eps) / sqrt(v + eps), u = decay * u + (1 - decay) * d^2,
  /// p -= lr * d. Zeiler, "ADADELTA", 2012, algorithm 1.
  adadelta,
  /// m: p *= 1 - lr * weight_decay in place of the change of g, p -= lr * sign(momentum * m + (1 - momentum) * g),
  /// m = decay * m + (1 - decay) * g. Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2.
  lion,
  /// m, v: as adam, but p -= lr * (g + correction1 * m) / (sqrt(v / correction2) + eps), with lr (1 - mu) / (1 - mu's
  /// product so far) for lr and such a correction1 that g and m have the factors of Dozat, "Incorporating Nesterov
  /// momentum into Adam", 2016, algorithm 2.
  nadam,
  /// m, v: as adam, but p -= lr / correction1 * m * correction2 / (sqrt(v) + eps), or, with a correction2 of 0,
  /// p -= lr / correction1 * m. Liu et al., "On the variance of the adaptive learning rate and beyond", 2020,
  /// algorithm 2.
  radam,
  /// m, u: m as adam's, u = max(decay * u, |g| + eps), p -= lr / correction1 * m / u. Kingma, Ba, "Adam", 2015,
  /// algorithm 2.
  adamax,
};

/// A step of one of them: its options, and where it stands.
struct OptimizerStep {
  OptimizerOp op;  ///< whose formula
  // What may differ from step to step. StepNumbers have these four, in this order.
  double lr = 0, momentum = 0, correction1 = 1, correction2 = 1;  ///< correction: 1 - beta^step unless said otherwise
  double decay = 0, eps = 0, weight_decay = 0;                    ///< decay: beta2, alpha or rho, of sgd the dampening
  bool nesterov = false, maximize = false;                        ///< maximize: g is negated

  /// How many may differ from step to step.
  static constexpr int numbers = 4;
  /// This step with those numbers, unless null.
  template <class T>
  TERN_HOST_DEVICE OptimizerStep with(const StepNumbers<T>* n) const {
    OptimizerStep s = *this;
    if (n) s.lr = n->at(0), s.momentum = n->at(1), s.correction1 = n->at(2), s.correction2 = n->at(3);
    return s;
  }
};

/// How the factor moves by which a loss is scaled.
struct ScaleRule {
  double growth_factor;     ///< by which it grows
  int64_t growth_interval;  ///< after so many steps in a row that were taken
  double backoff_factor;    ///< by which it shrinks after one that was not
};

/// One parameter, updated in place, and its state: null what the settings do not use.
template <class T>
struct OptimizerParam {
  int64_t n;      ///< elements of the parameter, and of each state
  T* param;       ///< the values; changed by the step
  const T* grad;  ///< dense, as the parameter
  T* state[3];    ///< in the order that OptimizerOp gives
};

}  // namespace tern::kernels
