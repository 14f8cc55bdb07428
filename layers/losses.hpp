#pragma once

#include <tern/core/ops.hpp>

/// The losses of core/ops.hpp as objects that keep their options, with PyTorch's names and defaults: a call is given
/// what changes from batch to batch.

namespace tern {

/// cross_entropy.
class CrossEntropyLoss {
 public:
  explicit CrossEntropyLoss(const CrossEntropyOptions& options = {});
  Tensor operator()(const Tensor& logits, const Tensor& target) const {
    return cross_entropy(logits, target, options_);
  }

 private:
  CrossEntropyOptions options_;
};

/// nll_loss.
class NLLLoss {
 public:
  explicit NLLLoss(const NllLossOptions& options = {}) : options_(options) {}
  Tensor operator()(const Tensor& log_probs, const Tensor& target) const {
    return nll_loss(log_probs, target, options_);
  }

 private:
  NllLossOptions options_;
};

/// l1_loss.
class L1Loss {
 public:
  explicit L1Loss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const { return l1_loss(x, target, reduction_); }

 private:
  Reduction reduction_;
};

/// mse_loss.
class MSELoss {
 public:
  explicit MSELoss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const { return mse_loss(x, target, reduction_); }

 private:
  Reduction reduction_;
};

/// smooth_l1_loss.
class SmoothL1Loss {
 public:
  explicit SmoothL1Loss(Reduction reduction = Reduction::mean, double beta = 1) : reduction_(reduction), beta_(beta) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return smooth_l1_loss(x, target, reduction_, beta_);
  }

 private:
  Reduction reduction_;
  double beta_;
};

/// huber_loss.
class HuberLoss {
 public:
  explicit HuberLoss(Reduction reduction = Reduction::mean, double delta = 1) : reduction_(reduction), delta_(delta) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const { return huber_loss(x, target, reduction_, delta_); }

 private:
  Reduction reduction_;
  double delta_;
};

/// binary_cross_entropy, of probabilities.
class BCELoss {
 public:
  explicit BCELoss(const Tensor& weight = {}, Reduction reduction = Reduction::mean)
      : weight_(weight), reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return binary_cross_entropy(x, target, weight_, reduction_);
  }

 private:
  Tensor weight_;
  Reduction reduction_;
};

/// binary_cross_entropy_with_logits, of logits.
class BCEWithLogitsLoss {
 public:
  explicit BCEWithLogitsLoss(const Tensor& weight = {}, Reduction reduction = Reduction::mean,
                             const Tensor& pos_weight = {})
      : weight_(weight), reduction_(reduction), pos_weight_(pos_weight) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return binary_cross_entropy_with_logits(x, target, weight_, reduction_, pos_weight_);
  }

 private:
  Tensor weight_;
  Reduction reduction_;
  Tensor pos_weight_;
};

/// kl_div.
class KLDivLoss {
 public:
  explicit KLDivLoss(Reduction reduction = Reduction::mean, bool log_target = false)
      : reduction_(reduction), log_target_(log_target) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const { return kl_div(x, target, reduction_, log_target_); }

 private:
  Reduction reduction_;
  bool log_target_;
};

/// poisson_nll_loss.
class PoissonNLLLoss {
 public:
  explicit PoissonNLLLoss(bool log_input = true, bool full = false, double eps = 1e-8,
                          Reduction reduction = Reduction::mean)
      : log_input_(log_input), full_(full), eps_(eps), reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return poisson_nll_loss(x, target, log_input_, full_, eps_, reduction_);
  }

 private:
  bool log_input_;
  bool full_;
  double eps_;
  Reduction reduction_;
};

/// gaussian_nll_loss.
class GaussianNLLLoss {
 public:
  explicit GaussianNLLLoss(bool full = false, double eps = 1e-6, Reduction reduction = Reduction::mean)
      : full_(full), eps_(eps), reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target, const Tensor& var) const {
    return gaussian_nll_loss(x, target, var, full_, eps_, reduction_);
  }

 private:
  bool full_;
  double eps_;
  Reduction reduction_;
};

/// hinge_embedding_loss.
class HingeEmbeddingLoss {
 public:
  explicit HingeEmbeddingLoss(double margin = 1, Reduction reduction = Reduction::mean)
      : margin_(margin), reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const {
    return hinge_embedding_loss(x, target, margin_, reduction_);
  }

 private:
  double margin_;
  Reduction reduction_;
};

/// soft_margin_loss.
class SoftMarginLoss {
 public:
  explicit SoftMarginLoss(Reduction reduction = Reduction::mean) : reduction_(reduction) {}
  Tensor operator()(const Tensor& x, const Tensor& target) const { return soft_margin_loss(x, target, reduction_); }

 private:
  Reduction reduction_;
};

/// margin_ranking_loss.
class MarginRankingLoss {
 public:
  explicit MarginRankingLoss(double margin = 0, Reduction reduction = Reduction::mean)
      : margin_(margin), reduction_(reduction) {}
  Tensor operator()(const Tensor& x1, const Tensor& x2, const Tensor& target) const {
    return margin_ranking_loss(x1, x2, target, margin_, reduction_);
  }

 private:
  double margin_;
  Reduction reduction_;
};

/// cosine_embedding_loss.
class CosineEmbeddingLoss {
 public:
  explicit CosineEmbeddingLoss(double margin = 0, Reduction reduction = Reduction::mean)
      : margin_(margin), reduction_(reduction) {}
  Tensor operator()(const Tensor& x1, const Tensor& x2, const Tensor& target) const {
    return cosine_embedding_loss(x1, x2, target, margin_, reduction_);
  }

 private:
  double margin_;
  Reduction reduction_;
};

/// triplet_margin_loss.
class TripletMarginLoss {
 public:
  explicit TripletMarginLoss(const TripletMarginLossOptions& options = {}) : options_(options) {}
  Tensor operator()(const Tensor& anchor, const Tensor& positive, const Tensor& negative) const {
    return triplet_margin_loss(anchor, positive, negative, options_);
  }

 private:
  TripletMarginLossOptions options_;
};

/// cosine_similarity.
class CosineSimilarity {
 public:
  explicit CosineSimilarity(std::int64_t dim = 1, double eps = 1e-8) : dim_(dim), eps_(eps) {}
  Tensor operator()(const Tensor& x1, const Tensor& x2) const { return cosine_similarity(x1, x2, dim_, eps_); }

 private:
  std::int64_t dim_;
  double eps_;
};

/// pairwise_distance.
class PairwiseDistance {
 public:
  explicit PairwiseDistance(double p = 2, double eps = 1e-6, bool keepdim = false)
      : p_(p), eps_(eps), keepdim_(keepdim) {}
  Tensor operator()(const Tensor& x1, const Tensor& x2) const { return pairwise_distance(x1, x2, p_, eps_, keepdim_); }

 private:
  double p_;
  double eps_;
  bool keepdim_;
};

}  // namespace tern
