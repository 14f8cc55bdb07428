#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/broadcast.hpp>

namespace tern {
namespace {

/// Throws unless there is a tensor, and all are defined.
void check_all_defined(const char* op, const std::vector<Tensor>& tensors) {
  check(!tensors.empty(), "{}: no tensors, expected at least one", op);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    check(tensors[i].defined(), "{}: tensor {} is undefined, expected a tensor", op, i);
  }
}

/// The gradient of index_select by its input, of that shape: linear, as that is, and each the other's gradient.
Tensor index_select_backward(const kernels::ReduceShape& r, const Shape& from, int dim, const Tensor& index,
                             const Tensor& gradient) {
  const Tensor g = gradient.contiguous(), dx = empty(from, {.dtype = g.dtype(), .device = g.device()});
  for_array(g, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.index_select_backward(r, index.numel(), index.data<std::int64_t>(), g.data<T>(), dx.data<T>());
  });
  return record("index_select_backward", {g}, dx,
                [dim, index = Saved(index)](const Tensor& by_dx) { return index_select(by_dx, dim, *index); });
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, std::int64_t dim) {
  check_all_defined("cat", tensors);
  const Tensor& first = tensors[0];
  const int d = existing_dim("cat", dim, first.dim());
  Shape shape = first.shape();
  shape[d] = 0;
  std::vector<std::int64_t> lengths;
  for (const Tensor& x : tensors) {
    check_alike("cat", first, x);
    check(x.dim() == first.dim(), "cat: shapes {} and {}, expected one number of dimensions", first.shape(), x.shape());
    for (int i = 0; i < x.dim(); ++i) {
      check(i == d || x.shape()[i] == shape[i], "cat: shapes {} and {} differ in dimension {}, expected only in {}",
            first.shape(), x.shape(), i, d);
    }
    lengths.push_back(x.shape()[d]);
    check(!__builtin_add_overflow(shape[d], lengths.back(), &shape[d]),
          "cat: dimension {} of all shapes together, expected no more than int64 counts", d);
  }
  const Tensor y = empty(shape, {.dtype = first.dtype(), .device = first.device()});
  std::int64_t start = 0;
  for (const Tensor& x : tensors) {
    copy_into(x, y.narrow(d, start, x.shape()[d]));
    start += x.shape()[d];
  }
  return record("cat", tensors, y, [d, lengths](const Tensor& g) {
    std::vector<Tensor> grads;
    std::int64_t from = 0;
    for (std::int64_t length : lengths) {
      grads.push_back(g.narrow(d, from, length));
      from += length;
    }
    return Grads(std::move(grads));
  });
}

Tensor stack(const std::vector<Tensor>& tensors, std::int64_t dim) {
  check_all_defined("stack", tensors);
  std::vector<Tensor> wider;
  for (const Tensor& x : tensors) {
    check(x.shape() == tensors[0].shape(), "stack: shapes {} and {}, expected one", tensors[0].shape(), x.shape());
    wider.push_back(x.unsqueeze(dim));
  }
  return cat(wider, wrap_dim("stack", dim, tensors[0].dim() + 1));
}

Tensor index_select(const Tensor& in, std::int64_t dim, const Tensor& at) {
  check_defined("index_select", "x", in);
  check_defined("index_select", "index", at);
  const int d = wrap_dim("index_select", dim, in.dim());
  check_device("index_select", in, at);
  check(at.dtype() == DType::int64 && at.dim() == 1, "index_select: index {} of shape {}, expected int64 [n]",
        at.dtype(), at.shape());
  check(in.dim() > 0 || at.numel() == 1, "index_select: {} indices of a tensor without dimensions, expected one",
        at.numel());
  const Tensor x = in.contiguous(), index = at.contiguous();
  const std::int64_t size = x.dim() > 0 ? x.shape()[d] : 1;
  if (index.device().on_host()) {
    for (std::int64_t i = 0; i < index.numel(); ++i) {
      const std::int64_t value = index.data<std::int64_t>()[i];
      check(0 <= value && value < size, "index_select: index {} of dimension {} of shape {}, expected 0 to {}", value,
            d, x.shape(), size - 1);
    }
  }
  kernels::ReduceShape r;
  for (int i = 0; i < x.dim(); ++i) (i < d ? r.outer : i == d ? r.n : r.inner) *= x.shape()[i];
  Shape shape = x.shape();
  if (x.dim() > 0) shape[d] = index.numel();
  const Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  for_array(x, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.index_select(r, index.numel(), x.data<T>(), index.data<std::int64_t>(), y.data<T>());
  });
  return record("index_select", {x}, y, [r, from = x.shape(), d, index = Saved(index)](const Tensor& g) {
    return index_select_backward(r, from, d, *index, g);
  });
}

}  // namespace tern
