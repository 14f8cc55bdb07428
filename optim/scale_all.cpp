#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/optim/scale_all.hpp>

namespace tern {

void scale_all_(const std::vector<Tensor>& tensors, const Tensor& by) {
  if (is_half(by.dtype())) {
    for (const Tensor& x : tensors) x.mul_(by);
    return;
  }
  std::vector<Tensor> dense;
  for (const Tensor& x : tensors) dense.push_back(x.contiguous());
  for_floating("scale_all_", by, [&]<class T>(kernels::FloatKernels<T>& k) {
    std::vector<kernels::Segment<T>> all;
    for (const Tensor& x : dense) all.push_back({x.numel(), x.data<T>(), x.data<T>()});
    k.scale_all(all, 1, by.data<T>());
  });
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].is_contiguous()) {
      tensors[i].storage()->bump_version();
    } else {
      tensors[i].copy_(dense[i]);
    }
  }
}

}  // namespace tern
