#include "rows.hpp"

namespace tern::test {

static const Rows methods_of_a_tensor{
    {"Tensor.prod",
     "(a.prod(), a.prod(0), a.prod(-1, True))",
     [](T a) { return std::tuple(a.prod(), a.prod(0), a.prod(-1, true)); },
     "[2,3] | int[4] | [0,2]",
     {.call = "a.prod(0)"}},
    {"Tensor.var",
     "(a.var(), a.var(0), a.var((0, 1), unbiased=False, keepdim=True))",
     [](T a) {
       return std::tuple(a.var(), a.var(0), a.var({0, 1}, 0, true));
     },
     "[2,3] | [3,4,2]",
     {.call = "a.var(0)"}},
    {"Tensor.std",
     "(a.std(), a.std(1), a.std((0, 1), unbiased=False))",
     [](T a) {
       return std::tuple(a.std(), a.std(1), a.std({0, 1}, 0));
     },
     "[2,3] | [3,4,2]",
     {.call = "a.std(1)"}},
    {"Tensor.norm",
     "(a.norm(), a.norm(1, 0), a.norm(3, (0, 1), True))",
     [](T a) {
       return std::tuple(a.norm(), a.norm(1, 0), a.norm(3, {0, 1}, true));
     },
     "[2,3] | [3,4,2]",
     {.call = "a.norm(1, 0)"}},
    {"Tensor.logsumexp", "a.logsumexp(1, True)", [](T a) { return a.logsumexp(1, true); }, "[2,3] | [0,3]"},
    {"Tensor.all",
     "(a.all(), a.all(0))",
     [](T a) { return std::tuple(a.all(), a.all(0)); },
     "mask[2,3] | bytes[2] | mask[0,2]",
     {.call = "a.all()"}},
    {"Tensor.any",
     "(a.any(), a.any(0, True))",
     [](T a) { return std::tuple(a.any(), a.any(0, true)); },
     "mask[2,3] | bytes[2] | mask[0,2]",
     {.call = "a.any()"}},
    {"Tensor.cumsum", "a.cumsum(-1)", [](T a) { return a.cumsum(-1); }, "[2,3] | int[5] | [0,3]"},
    {"Tensor.cumprod", "a.cumprod(0)", [](T a) { return a.cumprod(0); }, "[2,3] | int[5] | [0,3]"},
    {"Tensor.min", "a.min()", [](T a) { return a.min(); }, "distinct[2,3] | int[5]"},
    {"Tensor.min, dim", "a.min(0)", [](T a) { return a.min(0); }, "distinct[2,3] | distinct[7]"},
    {"Tensor.amax",
     "(a.amax(), a.amax((0, 1), True))",
     [](T a) {
       return std::tuple(a.amax(), a.amax({0, 1}, true));
     },
     "ties[2,3] | ties[3,4,2]",
     {.call = "a.amax({0, 1}, true)"}},
    {"Tensor.amin", "a.amin(1)", [](T a) { return a.amin(1); }, "ties[2,3] | ties[3,4,2]"},
    {"Tensor.argmin",
     "(a.argmin(), a.argmin(-1))",
     [](T a) { return std::tuple(a.argmin(), a.argmin(-1)); },
     "distinct[2,3] | distinct[7]",
     {.call = "a.argmin(-1)"}},
    {"Tensor.sort", "a.sort(0, True)", [](T a) { return a.sort(0, true); }, "distinct[5,3] | perm[7]"},
    {"Tensor.argsort", "a.argsort()", [](T a) { return a.argsort(); }, "distinct[5,3] | perm[7]"},
    {"Tensor.topk", "a.topk(2)", [](T a) { return a.topk(2); }, "distinct[5,3] | perm[7]"},
    {"Tensor.pow, tensor", "a.pow(b)", [](T a, T b) { return a.pow(b); }, "pos[2,3] [3]"},
    {"Tensor.mm", "a.mm(b)", [](T a, T b) { return a.mm(b); }, "[2,3] [3,4]"},
    {"Tensor.bmm", "a.bmm(b)", [](T a, T b) { return a.bmm(b); }, "[5,2,3] [5,3,4]"},
    {"Tensor.mv", "a.mv(b)", [](T a, T b) { return a.mv(b); }, "[2,3] [3]"},
    {"Tensor.dot", "a.dot(b)", [](T a, T b) { return a.dot(b); }, "[3] [3] | [0] [0]"},
    {"Tensor.isnan", "a.isnan()", [](T a) { return a.isnan(); }, "nan[9] | int[2]"},
    {"Tensor.isinf", "a.isinf()", [](T a) { return a.isinf(); }, "nan[9] | int[2]"},
    {"Tensor.isfinite", "a.isfinite()", [](T a) { return a.isfinite(); }, "nan[9] | int[2]"},
    {"Tensor.where", "a.where(c, b)", [](T a, T b, T c) { return a.where(c, b); }, "[2,3] [3] mask[2,1]"},
    {"Tensor.masked_fill", "a.masked_fill(b, -1)", [](T a, T b) { return a.masked_fill(b, -1); },
     "[2,3] mask[3] | int[4] mask[4]"},
    {"Tensor.masked_fill_",
     "a.masked_fill_(b, 2)",
     [](T a, T b) { return a.masked_fill_(b, 2); },
     "[2,3] mask[3] | int[4] mask[4]",
     {.gradient = false}},
    {"Tensor.masked_select", "a.masked_select(b)", [](T a, T b) { return a.masked_select(b); },
     "[2,3] mask[2,3] | [2,3] mask[3]"},
    {"Tensor.nonzero", "a.nonzero()", [](T a) { return a.nonzero(); }, "mask[4,5] | ties[9]"},
    {"Tensor.__getitem__, mask", "a[b]", [](T a, T b) { return a[b]; }, "[2,3] mask[2,3] | [5,2] mask[5]"},
    {"Tensor.__getitem__, tensor", "a[b]", [](T a, T b) { return a[b]; }, "[5,3] below5[4] | [5] below5[2,2]"},
    {"Tensor.__getitem__, slices", "a[1, :, None, ..., 1:5:2]",
     [](T a) {
       return a.index({1, Slice(), None, Ellipsis, Slice{1, 5, 2}});
     },
     "[2,3,6] | [2,3,2,4]"},
    {"Tensor.index_put_",
     "a.index_put_((b,), c)",
     [](T a, T b, T c) { return a.index_put_({b}, c); },
     "[5,3] perm[5] [3]",
     {.gradient = false}},
    {"Tensor.gather", "a.gather(1, b)", [](T a, T b) { return a.gather(1, b); }, "[2,3] below3[2,5]"},
    {"Tensor.scatter", "a.scatter(1, b, c)", [](T a, T b, T c) { return a.scatter(1, b, c); }, "[1,5] perm[1,5] [1,5]"},
    {"Tensor.scatter_add", "a.scatter_add(0, b, c)", [](T a, T b, T c) { return a.scatter_add(0, b, c); },
     "[3,2] below3[5,2] [5,2]"},
    {"Tensor.index_add", "a.index_add(0, b, c, alpha=2)", [](T a, T b, T c) { return a.index_add(0, b, c, 2); },
     "[3,2] below3[5] [5,2]"},
    {"Tensor.split",
     "(a.split(2, 1), a.split([1, 3], 1))",
     [](T a) {
       return std::pair(a.split(2, 1), a.split({1, 3}, 1));
     },
     "[2,4] | [1,4,2]",
     {.call = "a.split(2, 1)"}},
    {"Tensor.chunk", "a.chunk(3)", [](T a) { return a.chunk(3); }, "[7,2] | [2]"},
    {"Tensor.unbind", "a.unbind(1)", [](T a) { return a.unbind(1); }, "[2,3] | [0,2]"},
    {"Tensor.unflatten", "a.unflatten(1, (2, -1))",
     [](T a) {
       return a.unflatten(1, {2, -1});
     },
     "[3,6] | [0,4]"},
    {"Tensor.movedim", "a.movedim(0, -1)", [](T a) { return a.movedim(0, -1); }, "[2,3,4] | [5]"},
    {"Tensor.repeat", "a.repeat(2, 1, 3)",
     [](T a) {
       return a.repeat({2, 1, 3});
     },
     "[2,3] | [0]"},
    {"Tensor.flip", "a.flip(0, 1)",
     [](T a) {
       return a.flip({0, 1});
     },
     "[2,3] | [3,0]"},
    {"Tensor.roll",
     "(a.roll(2), a.roll((1, -1), (0, 1)))",
     [](T a) {
       return std::tuple(a.roll(2), a.roll({1, -1}, {0, 1}));
     },
     "[2,3] | [4,5]",
     {.call = "a.roll(2)"}},
    {"Tensor.tril", "a.tril(1)", [](T a) { return a.tril(1); }, "[3,4] | [2,3,3]"},
    {"Tensor.triu", "a.triu()", [](T a) { return a.triu(); }, "[3,4] | [2,3,3]"},
    {"Tensor.uniform_",
     "a.uniform_(1, 2)",
     [](T a) { return a.uniform_(1, 2); },
     "[900]",
     {.gradient = false,
      .check = [](const std::vector<Tensor>& y, const std::vector<Tensor>&) -> std::string {
        for (const double v : y[0].to_vector<double>()) {
          if (v < 1 || v >= 2) return "has " + std::to_string(v);
        }
        return std::abs(y[0].mean().item() - 1.5) > 0.06 ? "has another mean" : "";
      }}},
    {"Tensor.normal_",
     "a.normal_()",
     [](T a) { return a.normal_(); },
     "[900]",
     {.gradient = false,
      .check = [](const std::vector<Tensor>& y, const std::vector<Tensor>&) -> std::string {
        const double mean = y[0].mean().item(), square = y[0].square().mean().item();
        return std::abs(mean) > 0.2 || std::abs(square - 1) > 0.3 ? "is not normal" : "";
      }}},
    {"a % b",
     "(a % b, a % 3)",
     [](T a, T b) { return std::tuple(a % b, a % 3); },
     "[2,3] pos[3] | int[5] int[1] | [7] pos[]",
     {.gradient = false, .call = "a % b"}},
    {"a & b",
     "(a & b, a | b, a ^ b, ~a)",
     [](T a, T b) { return std::tuple(a & b, a | b, a ^ b, ~a); },
     "mask[9] mask[9] | mask[2,3] mask[3] | mask[] mask[]",
     {.differs = "of masks only: of whole numbers PyTorch's takes bits", .call = "a & b"}},
};

}  // namespace tern::test
