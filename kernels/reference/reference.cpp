#include <tern/kernels/error.hpp>
#include <tern/kernels/reference/attention.hpp>
#include <tern/kernels/reference/batch_norm2d.hpp>
#include <tern/kernels/reference/conv2d.hpp>
#include <tern/kernels/reference/cross_entropy.hpp>
#include <tern/kernels/reference/dropout.hpp>
#include <tern/kernels/reference/elementwise.hpp>
#include <tern/kernels/reference/gather.hpp>
#include <tern/kernels/reference/group_norm.hpp>
#include <tern/kernels/reference/image_batch.hpp>
#include <tern/kernels/reference/index.hpp>
#include <tern/kernels/reference/interpolate2d.hpp>
#include <tern/kernels/reference/linear.hpp>
#include <tern/kernels/reference/matmul.hpp>
#include <tern/kernels/reference/optim.hpp>
#include <tern/kernels/reference/pool2d.hpp>
#include <tern/kernels/reference/recurrent.hpp>
#include <tern/kernels/reference/reduce.hpp>
#include <tern/kernels/reference/reference.hpp>
#include <tern/kernels/reference/segments.hpp>
#include <tern/kernels/reference/softmax.hpp>
#include <tern/kernels/reference/sort.hpp>
#include <tern/kernels/reference/unary.hpp>

#include <cstring>
#include <new>
#include <string>

namespace tern::kernels {

namespace {
constexpr std::align_val_t alignment{64};
}

void* ReferenceBackend::allocate(std::size_t bytes) {
  void* p = ::operator new(bytes, alignment, std::nothrow);
  if (!p) throw Error("allocate: no " + std::to_string(bytes) + " bytes of host memory to be had");
  return p;
}

void ReferenceBackend::release(void* p, std::size_t) noexcept { ::operator delete(p, alignment); }

void ReferenceBackend::upload(std::size_t bytes, const void* host, void* device) {
  if (bytes > 0) std::memcpy(device, host, bytes);
}

void ReferenceBackend::download(std::size_t bytes, const void* device, void* host) {
  if (bytes > 0) std::memcpy(host, device, bytes);
}

Unary unary_of(Activation activation) { return {activation == Activation::tanh ? UnaryOp::tanh : UnaryOp::relu}; }

template class ReferenceArray<float>;
template class ReferenceArray<double>;
template class ReferenceArray<int64_t>;
template class ReferenceArray<uint8_t>;
template class ReferenceFloat<float>;
template class ReferenceFloat<double>;
template class ReferenceHalf<bfloat16>;
template class ReferenceHalf<float16>;

Backend& reference_backend() {
  static ReferenceBackend& backend = *new ReferenceBackend;  // never destroyed: memory may outlive main
  return backend;
}

}  // namespace tern::kernels
