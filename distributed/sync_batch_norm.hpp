#pragma once

#include <tern/layers/normalization.hpp>

namespace tern::distributed {

/// Batch normalisation by the statistics of all ranks' batches together, as torch.nn.SyncBatchNorm: [N, C, ...], of any
/// N on each rank. Parameters, buffers and evaluation are BatchNorm's, so that one's state_dict is the other's. Every
/// rank must call it, and be called back in the backward pass. In training, shards beyond one a rank are an Error: all
/// of a batch must be there at once.
class SyncBatchNorm : public BatchNorm {
 public:
  explicit SyncBatchNorm(std::int64_t num_features, double eps = 1e-5, std::optional<double> momentum = 0.1,
                         bool affine = true, bool track_running_stats = true);  ///< as BatchNorm2d's
  Tensor forward(const Tensor& x) override;

 private:
  double eps_;
  std::optional<double> momentum_;
};

}  // namespace tern::distributed
