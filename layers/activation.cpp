#include <tern/core/check.hpp>
#include <tern/layers/activation.hpp>

namespace tern {

Tensor Unflatten::forward(const Tensor& x) {
  check(x.defined() && -x.dim() <= dim_ && dim_ < x.dim(), "Unflatten: dimension {} of {}", dim_,
        x.defined() ? x.shape().str() : "an undefined tensor");
  const int dim = static_cast<int>(dim_ < 0 ? dim_ + x.dim() : dim_);
  std::int64_t known = 1;
  int unknown = 0;
  for (const std::int64_t size : size_) size == -1 ? ++unknown : known *= size;
  const std::int64_t whole = x.size(dim);
  check(unknown == 0 ? known == whole : unknown == 1 && known > 0 && whole % known == 0,
        "Unflatten: dimension {} of {} to {}, expected sizes whose product it is", dim_, x.shape(), size_);
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) {
    if (d != dim) {
      shape.push_back(x.size(d));
    } else {
      for (const std::int64_t size : size_) shape.push_back(size == -1 ? whole / known : size);
    }
  }
  return x.reshape(shape);
}

std::string LeakyReLU::str() const { return fmt::format("LeakyReLU(negative_slope={})", negative_slope_); }
std::string ELU::str() const { return fmt::format("ELU(alpha={})", alpha_); }
std::string Softplus::str() const { return fmt::format("Softplus(beta={}, threshold={})", beta_, threshold_); }
std::string Hardtanh::str() const { return fmt::format("Hardtanh(min_val={}, max_val={})", min_val_, max_val_); }
std::string Softmax::str() const { return fmt::format("Softmax(dim={})", dim_); }
std::string LogSoftmax::str() const { return fmt::format("LogSoftmax(dim={})", dim_); }
std::string Unflatten::str() const {
  return fmt::format("Unflatten(dim={}, unflattened_size=({}))", dim_, fmt::join(size_.begin(), size_.end(), ", "));
}

}  // namespace tern
