#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/trace.hpp>

namespace tern {

Tensor embedding(const Tensor& in, const Tensor& in_weight, std::optional<std::int64_t> padding_idx) {
  check_defined("embedding", "index", in);
  check_defined("embedding", "weight", in_weight);
  check_device("embedding", in, in_weight);
  check(in.dtype() == DType::int64, "embedding: index of {}, expected int64", in.dtype());
  check(in_weight.dim() == 2, "embedding: weight {}, expected [num, dim]", in_weight.shape());
  const std::int64_t num = in_weight.size(0), dim = in_weight.size(1);
  check(!padding_idx || (-num <= *padding_idx && *padding_idx < num),
        "embedding: padding_idx {} of {} rows, expected {} to {}", padding_idx.value_or(0), num, -num, num - 1);
  if (Trace* const trace = Trace::current()) {
    return trace->run("embedding", {in, in_weight}, {}, [&] { return embedding(in, in_weight, padding_idx); });
  }
  const Tensor index = in.contiguous(), weight = in_weight.contiguous();
  if (index.device().on_host()) {
    for (std::int64_t i = 0; i < index.numel(); ++i) {
      const std::int64_t value = index.data<std::int64_t>()[i];
      check(0 <= value && value < num, "embedding: index {}, expected 0 to {}", value, num - 1);
    }
  }
  if (is_half(weight.dtype())) return embedding(index, widened(weight), padding_idx).to(weight.dtype());
  Shape shape = index.shape();
  shape.push_back(dim);
  const kernels::ReduceShape r{.n = num, .inner = dim};
  const Tensor y = empty(shape, {.dtype = weight.dtype(), .device = weight.device()});
  for_floating("embedding", weight, []<class T>(kernels::FloatKernels<T>&) {});  // of no other dtype
  for_array(weight, [&]<class T>(kernels::ArrayKernels<T>& k) {
    k.index_select(r, index.numel(), weight.data<T>(), index.data<std::int64_t>(), y.data<T>());
  });
  return record("embedding", {weight}, y, [=, index = Saved(index)](const Tensor& gradient) {
    if (is_grad_enabled()) {
      const Tensor rows = (*index).reshape({-1}), slices = gradient.reshape({rows.numel(), dim});
      const Tensor no_row =
          padding_idx ? eq(rows, *padding_idx < 0 ? *padding_idx + num : *padding_idx) : ne(rows, rows);
      return index_add(zeros({num, dim}, {.dtype = slices.dtype(), .device = slices.device()}), 0, rows,
                       masked_fill(slices, no_row.unsqueeze(1), 0));
    }
    const Tensor g = gradient.contiguous(), dweight = empty({num, dim}, {.dtype = g.dtype(), .device = g.device()});
    Tensor of_rows = *index;
    if (padding_idx) {  // -1 in its place
      const std::int64_t padding = *padding_idx < 0 ? *padding_idx + num : *padding_idx;
      of_rows = of_rows - eq(of_rows, padding).to(DType::int64) * (padding + 1);
    }
    for_array(g, [&]<class T>(kernels::ArrayKernels<T>& k) {
      k.index_select_backward(r, of_rows.numel(), of_rows.data<std::int64_t>(), g.data<T>(), dweight.data<T>());
    });
    return dweight;
  });
}

}  // namespace tern
