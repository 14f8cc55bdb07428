#include "rows.hpp"

namespace tern::test {

namespace {

/// The module with these in place of its parameters.
template <class M>
M with(M module, T weight, T bias) {
  module.weight = weight;
  module.bias = bias;
  return module;
}

/// Indices in bags, and a table.
constexpr const char* bags = "below5[7] [5,4] | below5[7] ties[5,3] | below5[7] [5,0]";

Tensor offsets(T like) { return tensor<std::int64_t>({0, 2, 2, 5, 7}, like.device()); }

constexpr const char* table = "below5[2,3] [5,4] | below5[] [5,4] | below5[0] [5,4]";

/// y, and what running statistics have become of these.
template <class M>
std::tuple<Tensor, Tensor, Tensor> trained(M norm, T x, T mean, T var, T weight, T bias) {
  norm = with(norm, weight, bias);
  norm.to(x.device());
  norm.running_mean = mean.detach().clone();
  norm.running_var = var.detach().clone();
  norm(x);
  const Tensor y = norm(x);
  return {y, norm.running_mean, norm.running_var};
}

}  // namespace

static const Rows normalization{
    {"F.layer_norm", "F.layer_norm(a, (5,), b, c)", [](T a, T b, T c) { return layer_norm(a, {5}, b, c); },
     "[4,5] [5] [5] | [2,3,5] [5] [5] | [0,5] [5] [5] | nan[4,5] [5] [5] | ties[3,5] [5] [5]"},
    {"F.layer_norm, several dimensions", "F.layer_norm(a, (3, 4), b, eps=0.1)",
     [](T a, T b) {
       return layer_norm(a, {3, 4}, b, {}, 0.1);
     },
     "[2,3,4] [3,4] | [3,4] [3,4]"},
    {"F.rms_norm", "a * torch.rsqrt(a.square().mean(-1, True) + torch.finfo(a.dtype).eps) * b",
     [](T a, T b) { return rms_norm(a, {5}, b); }, "[4,5] [5] | [2,3,5] [5] | [0,5] [5]"},
    {"F.group_norm", "F.group_norm(a, 2, b, c)", [](T a, T b, T c) { return group_norm(a, 2, b, c); },
     "[3,4] [4] [4] | [2,4,5] [4] [4] | [2,4,3,3] [4] [4] | nan[1,6,2,2,2] [6] [6] | [0,4,3] [4] [4]"},
    {"F.instance_norm",
     "F.instance_norm(a, weight=b, bias=c, eps=0.01)",
     [](T a, T b, T c) { return instance_norm(a, b, c, 0.01); },
     "[2,3,4] [3] [3] | [2,3,4,5] [3] [3]",
     {.differs = "without running statistics"}},
    {"F.batch_norm", "F.batch_norm(a, b.detach(), c.detach(), d, e)",
     [](T a, T b, T c, T d, T e) { return batch_norm(a, b.detach(), c.detach(), d, e); },
     "[3,2] [2] pos[2] [2] [2] | [3,2,4] [2] pos[2] [2] [2] | [1,2,2,2] [2] pos[2] [2] [2] | "
     "[1,2,2,2,2] [2] pos[2] [2] [2]"},
    {"F.batch_norm, in training", "F.batch_norm(a, None, None, b, c, True)",
     [](T a, T b, T c) { return batch_norm(a, {}, {}, b, c, {.training = true}); },
     "[3,2] [2] [2] | [3,2,4] [2] [2] | nan[2,3,2,2] [3] [3] | [1,2,2,2,2] [2] [2]"},
    {"nn.BatchNorm1d",
     "m = with_state(nn.BatchNorm1d(2), weight=d, bias=e, running_mean=b.detach().clone(), "
     "running_var=c.detach().clone()); m(a); y = m(a); return y, m.running_mean, m.running_var",
     [](T a, T b, T c, T d, T e) { return trained(BatchNorm1d(2), a, b, c, d, e); },
     "[3,2] [2] pos[2] [2] [2] | [3,2,4] [2] pos[2] [2] [2]",
     {.call = "BatchNorm1d(2)(a)"}},
    {"nn.BatchNorm2d",
     "m = with_state(nn.BatchNorm2d(2, momentum=None), weight=d, bias=e, running_mean=b.detach().clone(), "
     "running_var=c.detach().clone()); m(a); y = m(a); return y, m.running_mean, m.running_var",
     [](T a, T b, T c, T d, T e) { return trained(BatchNorm2d(2, 1e-5, {}), a, b, c, d, e); },
     "[2,2,3,2] [2] pos[2] [2] [2]",
     {.call = "BatchNorm2d(2, 1e-5, {})(a)"}},
    {"nn.BatchNorm2d, bare",
     "return nn.BatchNorm2d(2, affine=False, track_running_stats=False).eval()(a)",
     [](T a) {
       BatchNorm2d norm(2, 1e-5, 0.1, false, false);
       norm.eval();
       return norm(a);
     },
     "[2,2,3,2]",
     {.call = "BatchNorm2d(2, 1e-5, 0.1, false, false)(a)"}},
    {"nn.BatchNorm3d",
     "m = with_state(nn.BatchNorm3d(2, momentum=0.3), weight=d, bias=e, running_mean=b.detach().clone(), "
     "running_var=c.detach().clone()); m(a); y = m(a); return y, m.running_mean, m.running_var",
     [](T a, T b, T c, T d, T e) { return trained(BatchNorm3d(2, 1e-5, 0.3), a, b, c, d, e); },
     "[1,2,3,2,2] [2] pos[2] [2] [2]",
     {.call = "BatchNorm3d(2, 1e-5, 0.3)(a)"}},
    {"nn.LayerNorm",
     "with_state(nn.LayerNorm(5), weight=b, bias=c)(a)",
     [](T a, T b, T c) { return with(LayerNorm(5), b, c)(a); },
     "[4,5] [5] [5] | [2,3,5] [5] [5]",
     {.call = "LayerNorm(5)(a)"}},
    {"nn.RMSNorm",
     "a * torch.rsqrt(a.square().mean((-2, -1), True) + 1e-3) * b",
     [](T a, T b) {
       RMSNorm m({3, 4}, 1e-3);
       m.weight = b;
       return m(a);
     },
     "[2,3,4] [3,4] | [3,4] [3,4]",
     {.call = "RMSNorm({3, 4}, 1e-3)(a)"}},
    {"nn.LayerNorm, printed", "str(nn.LayerNorm((4, 5), elementwise_affine=False))",
     []() {
       return LayerNorm({4, 5}, 1e-5, false).str();
     }},
    {"nn.GroupNorm",
     "with_state(nn.GroupNorm(2, 4), weight=b, bias=c)(a)",
     [](T a, T b, T c) { return with(GroupNorm(2, 4), b, c)(a); },
     "[3,4,5] [4] [4] | [2,4,3,3] [4] [4]",
     {.call = "GroupNorm(2, 4)(a)"}},
    {"nn.GroupNorm, printed", "str(nn.GroupNorm(2, 4, 1e-3))", []() { return GroupNorm(2, 4, 1e-3).str(); }},
    {"nn.InstanceNorm2d",
     "with_state(nn.InstanceNorm2d(3, affine=True), weight=b, bias=c)(a)",
     [](T a, T b, T c) { return with(InstanceNorm2d(3, 1e-5, true), b, c)(a); },
     "[2,3,4,5] [3] [3] | [3,4,5] [3] [3]",
     {.differs = "without running statistics", .call = "InstanceNorm2d(3, 1e-5, true)(a)"}},
    {"nn.BatchNorm1d, printed", "str(nn.BatchNorm1d(3))", []() { return BatchNorm1d(3).str(); }},
    {"nn.BatchNorm2d, printed", "str(nn.BatchNorm2d(3, 1e-3, None, False, False))",
     []() { return BatchNorm2d(3, 1e-3, {}, false, false).str(); }},
    {"nn.InstanceNorm2d, printed", "str(nn.InstanceNorm2d(3))", []() { return InstanceNorm2d(3).str(); }},
};

static const Rows embedding_tables{
    {"F.embedding", "F.embedding(a, b)", [](T a, T b) { return embedding(a, b); }, table},
    {"F.embedding, padding_idx", "F.embedding(a, b, 1)", [](T a, T b) { return embedding(a, b, 1); }, table},
    {"nn.Embedding",
     "with_state(nn.Embedding(5, 4, padding_idx=-2), weight=b)(a)",
     [](T a, T b) {
       Embedding m(5, 4, -2);
       m.weight = b;
       return m(a);
     },
     table,
     {.call = "Embedding(5, 4, -2)(a)"}},
    {"nn.Embedding.from_pretrained", "nn.Embedding.from_pretrained(b)(a)",
     [](T a, T b) { return Embedding::from_pretrained(b)(a); }, table},
    {"F.embedding_bag",
     "F.embedding_bag(a, b, torch.tensor([0, 2, 2, 5, 7]))",
     [](T a, T b) { return embedding_bag(a, b, {.offsets = offsets(a)}); },
     bags,
     {.call = "embedding_bag(a, b, {.offsets = c})"}},
    {"F.embedding_bag, of as many",
     "[F.embedding_bag(a, b, mode=mode) for mode in ('sum', 'mean', 'max')]",
     [](T a, T b) {
       return std::tuple(embedding_bag(a, b, {.mode = BagMode::sum}), embedding_bag(a, b),
                         embedding_bag(a, b, {.mode = BagMode::max}));
     },
     "below5[2,3] [5,4] | below5[4,1] ties[5,3]",
     {.call = "embedding_bag(a, b, {.mode = BagMode::max})"}},
    {"F.embedding_bag, mode='sum'",
     "F.embedding_bag(a, b, torch.tensor([0, 2, 2, 5, 7]), mode='sum', per_sample_weights=c)",
     [](T a, T b, T c) {
       return embedding_bag(a, b, {.offsets = offsets(a), .mode = BagMode::sum, .per_sample_weights = c});
     },
     "below5[7] [5,4] [7] | below5[7] ties[5,3] [7]",
     {.call = "embedding_bag(a, b, {.offsets = c, .mode = BagMode::sum, .per_sample_weights = d})"}},
    {"F.embedding_bag, mode='max'",
     "F.embedding_bag(a, b, torch.tensor([0, 2, 2, 5, 7]), mode='max')",
     [](T a, T b) { return embedding_bag(a, b, {.offsets = offsets(a), .mode = BagMode::max}); },
     bags,
     {.call = "embedding_bag(a, b, {.offsets = c, .mode = BagMode::max})"}},
    {"F.embedding_bag, padding_idx",
     "[F.embedding_bag(a, b, torch.tensor([0, 2, 2, 5, 7]), mode=mode, include_last_offset=True, padding_idx=-3) "
     "for mode in ('sum', 'mean', 'max')]",
     [](T a, T b) {
       EmbeddingBagOptions options{.offsets = offsets(a), .include_last_offset = true, .padding_idx = -3};
       std::vector<Tensor> all;
       for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
         options.mode = mode;
         all.push_back(embedding_bag(a, b, options));
       }
       return all;
     },
     bags,
     {.call = "embedding_bag(a, b, {.offsets = c, .include_last_offset = true, .padding_idx = -3})"}},
    {"nn.EmbeddingBag",
     "m = with_state(nn.EmbeddingBag(5, 4, padding_idx=1), weight=b); "
     "return m(a), m(a.reshape(-1), torch.tensor([0, 1]))",
     [](T a, T b) {
       EmbeddingBag m({.num_embeddings = 5, .embedding_dim = 4, .padding_idx = 1});
       m.weight = b;
       return std::pair(m(a), m(a.reshape({-1}), tensor<std::int64_t>({0, 1}, a.device())));
     },
     "below5[2,3] [5,4] | below5[1,2] [5,4]",
     {.call = "EmbeddingBag({.num_embeddings = 5, .embedding_dim = 4})(a, offsets)"}},
    {"nn.EmbeddingBag, printed", "str(nn.EmbeddingBag(5, 4, mode='max', padding_idx=-2))",
     []() {
       return EmbeddingBag({.num_embeddings = 5, .embedding_dim = 4, .mode = BagMode::max, .padding_idx = -2}).str();
     }},
    {"nn.Embedding, printed", "str(nn.Embedding(5, 4, padding_idx=-2))", []() { return Embedding(5, 4, -2).str(); }},
};

}  // namespace tern::test
