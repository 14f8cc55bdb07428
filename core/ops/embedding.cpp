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

namespace {

/// Throws Error unless they are where bags in n indices begin. What lies on a device is not looked at.
void check_offsets(const EmbeddingBagOptions& o, std::int64_t n) {
  check(o.offsets.dtype() == DType::int64 && o.offsets.dim() == 1 && o.offsets.numel() >= o.include_last_offset,
        "embedding_bag: offsets of {} {}, expected int64 [bags]", o.offsets.dtype(), o.offsets.shape());
  if (!o.offsets.device().on_host()) return;
  std::int64_t before = 0;
  for (const std::int64_t offset : o.offsets.to_vector<std::int64_t>()) {
    check(before <= offset && offset <= n, "embedding_bag: offset {} after {} of {} indices, expected them to rise",
          offset, before, n);
    before = offset;
  }
  check(o.offsets.numel() == 0 ? n == 0 : o.offsets[0].item<std::int64_t>() == 0,
        "embedding_bag: {} offsets for {} indices, expected the first to be 0", o.offsets.numel(), n);
}

}  // namespace

Tensor embedding_bag(const Tensor& in, const Tensor& weight, const EmbeddingBagOptions& o) {
  check_defined("embedding_bag", "index", in);
  check_defined("embedding_bag", "weight", weight);
  if (const Trace* const trace = Trace::current()) trace->refuse("embedding_bag", in);
  check(o.offsets.defined() ? in.dim() == 1 : in.dim() == 2,
        "embedding_bag: index {} {} offsets, expected [n] with them or [bags, length] without", in.shape(),
        o.offsets.defined() ? "with" : "without");
  if (o.per_sample_weights.defined()) check_alike("embedding_bag", weight, o.per_sample_weights);
  if (is_half(weight.dtype())) {
    EmbeddingBagOptions wide = o;
    if (o.per_sample_weights.defined()) wide.per_sample_weights = widened(o.per_sample_weights);
    return embedding_bag(in, widened(weight), wide).to(weight.dtype());
  }
  const std::int64_t n = in.numel();
  const Tensor index = in.reshape({-1});
  Tensor rows = embedding(index, weight, o.padding_idx);
  if (o.per_sample_weights.defined()) {
    check(o.mode == BagMode::sum && o.per_sample_weights.shape() == in.shape(),
          "embedding_bag: per_sample_weights {} for index {}, expected the same shape, and the mode sum",
          o.per_sample_weights.shape(), in.shape());
    rows = rows * o.per_sample_weights.reshape({n, 1});
  }
  // Which bag each row is in; in none is what comes after the last.
  const TensorOptions there{.device = in.device()};
  std::int64_t bags = in.size(0);
  Tensor bag;
  if (o.offsets.defined()) {
    check_device("embedding_bag", in, o.offsets);
    check_offsets(o, n);
    bags = o.offsets.numel() - o.include_last_offset;
    bag = clamp(searchsorted(o.offsets, arange(n, there), true) - 1, 0);
  } else {
    bag = repeat_interleave(arange(bags, there), in.size(1));
  }
  if (o.padding_idx) {
    bag = where(eq(index, *o.padding_idx < 0 ? *o.padding_idx + weight.size(0) : *o.padding_idx), bags, bag);
  }
  const auto sums = [&](const Tensor& x) {
    const Tensor none = zeros({bags + 1, x.size(1)}, {.dtype = x.dtype(), .device = x.device()});
    return index_add(none, 0, bag, x).narrow(0, 0, bags);
  };
  if (o.mode == BagMode::sum || n == 0) return sums(rows);
  const Tensor counts = sums(ones({n, 1}, {.dtype = DType::int64, .device = in.device()}));
  if (o.mode == BagMode::mean) return sums(rows) / clamp(counts, 1).to(rows.dtype());
  // Each column's places by falling value, and these by bag: sorting is stable, a bag's first is its first largest.
  const Tensor falling = argsort(rows, 0, true), by_bag = argsort(bag[falling], 0);
  const Tensor first = clamp(searchsorted(sort(bag).values, arange(bags, there)), {}, n - 1);
  const Tensor place = gather(falling, 0, index_select(by_bag, 0, first));
  return where(gt(counts, 0), gather(rows, 0, place), 0);
}

}  // namespace tern
