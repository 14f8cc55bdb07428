#include "rows.hpp"

namespace tern::test {

static const Rows products{
    {"torch.matmul", "torch.matmul(a, b)", [](T a, T b) { return matmul(a, b); },
     "[3] [3] | [2,3] [3] | [3] [3,4] | [2,3] [3,4] | [5,2,3] [3,4] | [2,3] [5,3,4] | [5,2,3] [5,3,4] | [3] [5,3,4] | "
     "[5,2,3] [3] | [2,1,3,4] [5,4,2] | [5,2,3] [1,1,3,2] | [0,3] [3,4] | [2,0] [0,3] | [0] [0] | [0,2,3] [3,1] | "
     "[2,0,3] [2,3,4] | nan[2,3] [3,2]"},
    {"Tensor.matmul", "a.matmul(b)", [](T a, T b) { return a.matmul(b); }, "[2,3] [3,4] | [4,3] [2,3,1]"},
    {"torch.mm", "torch.mm(a, b)", [](T a, T b) { return mm(a, b); }, "[2,3] [3,4] | [0,3] [3,2] | [2,0] [0,2]"},
    {"torch.bmm", "torch.bmm(a, b)", [](T a, T b) { return bmm(a, b); }, "[5,2,3] [5,3,4] | [0,2,3] [0,3,4]"},
    {"torch.mv", "torch.mv(a, b)", [](T a, T b) { return mv(a, b); }, "[2,3] [3] | [0,3] [3] | [2,0] [0]"},
    {"torch.dot", "torch.dot(a, b)", [](T a, T b) { return dot(a, b); }, "[7] [7] | [0] [0]"},
    {"torch.outer", "torch.outer(a, b)", [](T a, T b) { return outer(a, b); }, "[3] [4] | [0] [4] | int[3] int[2]"},
    {"torch.addmm", "torch.addmm(a, b, c, beta=0.5, alpha=2)", [](T a, T b, T c) { return addmm(a, b, c, 0.5, 2); },
     "[2,4] [2,3] [3,4] | [4] [2,3] [3,4] | [] [2,0] [0,4] | [2,1] [2,3] [3,4]"},
    {"torch.addmm, beta=0",
     "torch.addmm(a, b, c, beta=0)",
     [](T a, T b, T c) { return addmm(a, b, c, 0); },
     "nan[2,4] [2,3] [3,4]",
     {.gradient = false}},
    {"torch.baddbmm", "torch.baddbmm(a, b, c)", [](T a, T b, T c) { return baddbmm(a, b, c); },
     "[5,2,4] [5,2,3] [5,3,4] | [2,1] [5,2,3] [5,3,4]"},
    {"torch.tensordot", "torch.tensordot(a, b)", [](T a, T b) { return tensordot(a, b); },
     "[2,3,4] [3,4,5] | [3,4] [3,4] | [2,0,4] [0,4,5]"},
    {"torch.tensordot, dims", "torch.tensordot(a, b, dims=([0, -1], [2, 0]))",
     [](T a, T b) {
       return tensordot(a, b, {0, -1}, {2, 0});
     },
     "[2,3,4] [4,5,2]"},
    {"torch.einsum", "torch.einsum('bij,bjk->bik', a, b)",
     [](T a, T b) {
       return einsum("bij,bjk->bik", {a, b});
     },
     "[2,3,4] [2,4,5] | [1,3,4] [2,4,5] | [2,3,4] [2,1,5] | [2,0,4] [2,4,5] | [2,3,0] [2,0,5]"},
    {"torch.einsum, implicit output", "torch.einsum('Ba,ab', a, b)",
     [](T a, T b) {
       return einsum("Ba,ab", {a, b});
     },
     "[3,4] [4,2]"},
    {"torch.einsum, diagonal", "torch.einsum('iij->ij', a), torch.einsum('ii', b)",
     [](T a, T b) { return std::pair(einsum("iij->ij", {a}), einsum("ii", {b})); }, "[3,3,2] [4,4] | [1,1,2] [0,0]"},
    {"torch.einsum, ...", "torch.einsum('...ij,j...->i...', a, b)",
     [](T a, T b) {
       return einsum("...ij,j...->i...", {a, b});
     },
     "[2,3,4] [4,2] | [5,2,3,4] [4,2] | [5,1,3,4] [4,2]"},
    {"torch.einsum, sums and three operands", "torch.einsum('ij,jk,klm->li', a, b, c)",
     [](T a, T b, T c) {
       return einsum("ij,jk,klm->li", {a, b, c});
     },
     "[2,3] [3,4] [4,5,2]"},
};

/// What PyTorch 1.13 has no public name for, in its words.
static const Rows attention{
    {"F.scaled_dot_product_attention", "return torch.softmax(a @ b.transpose(-2, -1) / math.sqrt(a.size(-1)), -1) @ c",
     [](T a, T b, T c) { return scaled_dot_product_attention(a, b, c); },
     "[3,4] [5,4] [5,2] | [2,8,3,4] [2,8,5,4] [2,8,5,4] | [2,1,3,4] [5,5,4] [5,2] | [2,0,4] [2,5,4] [2,5,4] | "
     "nan[2,3,4] [2,5,4] [2,5,4] | [2,70,3] [2,150,3] [2,150,5]"},
    {"F.scaled_dot_product_attention, attn_mask",
     "return torch.softmax((a @ b.transpose(-2, -1) / math.sqrt(a.size(-1))).masked_fill(d == 0, -math.inf), -1) @ c",
     [](T a, T b, T c, T d) { return scaled_dot_product_attention(a, b, c, d); },
     "[2,3,4] [2,5,4] [2,5,2] mask[3,5] | [2,2,3,4] [2,2,5,4] [2,2,5,2] mask[2,1,1,5] | "
     "[1,2,3,2,4] [1,2,3,5,4] [1,2,3,5,2] mask[2,3,1,5]"},
    {"F.scaled_dot_product_attention, added mask",
     "return torch.softmax(a @ b.transpose(-2, -1) / math.sqrt(a.size(-1)) + d, -1) @ c",
     [](T a, T b, T c, T d) { return scaled_dot_product_attention(a, b, c, d); },
     "[2,3,4] [2,5,4] [2,5,2] [3,5] | [2,3,4] [2,5,4] [2,5,2] [2,1,5]"},
    {"F.scaled_dot_product_attention, is_causal",
     "return torch.softmax((a @ b.transpose(-2, -1) * 0.3).masked_fill("
     "torch.ones(a.size(-2), b.size(-2)).tril() == 0, -math.inf), -1) @ c",
     [](T a, T b, T c) { return scaled_dot_product_attention(a, b, c, {}, 0, true, 0.3); },
     "[2,3,4] [2,5,4] [2,5,2] | [7,4] [2,4] [2,3] | [2,150,4] [2,150,4] [2,150,4]"},
    {"F.scaled_dot_product_attention, a row without pairs",
     "return torch.full_like(a, math.nan)",
     [](T a, T b, T c) {
       return scaled_dot_product_attention(a, b, c, zeros({1}, {.dtype = DType::uint8, .device = a.device()}));
     },
     "[2,3,4] [2,5,4] [2,5,4]",
     {.gradient = false,
      .differs = "NaN, as up to PyTorch 2.4; 0 from 2.5 on",
      .call = "scaled_dot_product_attention(a, b, c, mask)"}},
};

namespace {

/// As evaluate.py's.
template <class Layer>
Layer filled(Layer layer, const Tensor& like) {
  layer.to(like.dtype());
  layer.to(like.device());
  layer.eval();
  NoGradGuard no_grad;
  double i = 0;
  for (const Tensor& p : layer.parameters()) {
    const Tensor places = arange(p.numel(), {.dtype = DType::float64});
    p.copy_(((places * 0.7 + i).sin() * 0.5).reshape(p.shape()));
    ++i;
  }
  return layer;
}

template <class Layer, class Call>
std::vector<Tensor> parameter_gradients(Layer layer, const Call& call) {
  call(layer).sum().backward();
  std::vector<Tensor> all;
  for (const Tensor& p : layer.parameters()) all.push_back(p.grad());
  return all;
}

using List = std::vector<Tensor>;

List list(const LSTM::Result& r) { return {r.output, r.state.h, r.state.c}; }
List list(const GRU::Result& r) { return {r.output, r.h}; }

const RNNBase::Options deep{.input_size = 3, .hidden_size = 4, .num_layers = 2, .bidirectional = true};
const RNNBase::Options plain{.input_size = 3, .hidden_size = 4};
const RNNBase::Options batch_first{.input_size = 3, .hidden_size = 4, .bias = false, .batch_first = true};

}  // namespace

static const Rows recurrent_layers{
    {"nn.LSTM",
     "filled(nn.LSTM(3, 4, 2, bidirectional=True), a)(a, (b, c))",
     [](T a, T b, T c) {
       return list(filled(LSTM(deep), a)(a, {b, c}));
     },
     "[5,2,3] [4,2,4] [4,2,4] | [1,1,3] [4,1,4] [4,1,4] | [5,3] [4,4] [4,4]",
     {.call = "LSTM(options)(a, {b, c})"}},
    {"nn.LSTM, no state",
     "filled(nn.LSTM(3, 4, bias=False, batch_first=True), a)(a)",
     [](T a) { return list(filled(LSTM(batch_first), a)(a)); },
     "[2,5,3] | [5,3]",
     {.call = "LSTM(options)(a)"}},
    {"nn.LSTM, parameters",
     "parameter_gradients(filled(nn.LSTM(3, 4, 2, bidirectional=True), a), lambda m: m(a)[0])",
     [](T a) { return parameter_gradients(filled(LSTM(deep), a), [&](LSTM& m) { return m(a).output; }); },
     "[5,2,3] | [1,2,3]",
     {.gradient = false, .call = "m.parameters()[i].grad()"}},
    {"nn.LSTM, names",
     "return sorted(k for k, _ in nn.LSTM(3, 4, 2, bidirectional=True).named_parameters())",
     [](T) {
       LSTM lstm(deep);
       std::vector<Tensor> names;
       for (const auto& [name, x] : lstm.state_dict()) names.push_back(to_tensors(name)[0]);
       return names;
     },
     "[1]",
     {.gradient = false, .call = "lstm.state_dict()"}},
    {"nn.LSTM, str",
     "str(nn.LSTM(3, 4, 2, bias=False, batch_first=True, dropout=0.5, bidirectional=True))",
     [](T) {
       return LSTM({.input_size = 3,
                    .hidden_size = 4,
                    .num_layers = 2,
                    .bias = false,
                    .batch_first = true,
                    .dropout = 0.5,
                    .bidirectional = true})
           .str();
     },
     "[1]",
     {.gradient = false, .call = "lstm.str()"}},
    {"nn.GRU",
     "filled(nn.GRU(3, 4, 2, bidirectional=True), a)(a, b)",
     [](T a, T b) { return list(filled(GRU(deep), a)(a, b)); },
     "[5,2,3] [4,2,4] | [1,1,3] [4,1,4] | [5,3] [4,4]",
     {.call = "GRU(options)(a, b)"}},
    {"nn.GRU, no state",
     "filled(nn.GRU(3, 4, bias=False, batch_first=True), a)(a)",
     [](T a) { return list(filled(GRU(batch_first), a)(a)); },
     "[2,5,3] | [5,3]",
     {.call = "GRU(options)(a)"}},
    {"nn.GRU, parameters",
     "parameter_gradients(filled(nn.GRU(3, 4, 2, bidirectional=True), a), lambda m: m(a)[0])",
     [](T a) { return parameter_gradients(filled(GRU(deep), a), [&](GRU& m) { return m(a).output; }); },
     "[5,2,3]",
     {.gradient = false, .call = "m.parameters()[i].grad()"}},
    {"nn.RNN",
     "filled(nn.RNN(3, 4, 2, bidirectional=True), a)(a, b)",
     [](T a, T b) { return list(filled(RNN(deep), a)(a, b)); },
     "[5,2,3] [4,2,4]",
     {.call = "RNN(options)(a, b)"}},
    {"nn.RNN, relu",
     "filled(nn.RNN(3, 4, nonlinearity='relu'), a)(a)",
     [](T a) { return list(filled(RNN(plain, RNN::Nonlinearity::relu), a)(a)); },
     "[5,2,3]",
     {.call = "RNN(options, RNN::Nonlinearity::relu)(a)"}},
    {"nn.RNN, parameters",
     "parameter_gradients(filled(nn.RNN(3, 4, bias=False, batch_first=True), a), lambda m: m(a)[0])",
     [](T a) { return parameter_gradients(filled(RNN(batch_first), a), [&](RNN& m) { return m(a).output; }); },
     "[2,5,3]",
     {.gradient = false, .call = "m.parameters()[i].grad()"}},
    {"nn.LSTMCell",
     "filled(nn.LSTMCell(3, 4), a)(a, (b, c))",
     [](T a, T b, T c) {
       const auto [h, cell] = filled(LSTMCell(3, 4), a)(a, {b, c});
       return List{h, cell};
     },
     "[2,3] [2,4] [2,4] | [3] [4] [4]",
     {.call = "LSTMCell(3, 4)(a, {b, c})"}},
    {"nn.GRUCell",
     "filled(nn.GRUCell(3, 4), a)(a, b)",
     [](T a, T b) { return filled(GRUCell(3, 4), a)(a, b); },
     "[2,3] [2,4] | [3] [4]",
     {.call = "GRUCell(3, 4)(a, b)"}},
    {"nn.RNNCell",
     "filled(nn.RNNCell(3, 4), a)(a, b)",
     [](T a, T b) { return filled(RNNCell(3, 4), a)(a, b); },
     "[2,3] [2,4] | [3] [4]",
     {.call = "RNNCell(3, 4)(a, b)"}},
    {"nn.RNNCell, relu",
     "m = nn.RNNCell(3, 4, False, 'relu')\nreturn filled(m, a)(a), str(m)",
     [](T a) {
       RNNCell cell(3, 4, false, RNN::Nonlinearity::relu);
       return std::pair(filled(cell, a)(a), cell.str());
     },
     "[2,3] | [3]",
     {.call = "RNNCell(3, 4, false, RNN::Nonlinearity::relu)(a)"}},
    {"nn.GRUCell, parameters",
     "parameter_gradients(filled(nn.GRUCell(3, 4), a), lambda m: m(a))",
     [](T a) { return parameter_gradients(filled(GRUCell(3, 4), a), [&](GRUCell& m) { return m(a); }); },
     "[2,3]",
     {.gradient = false, .call = "m.parameters()[i].grad()"}},
};

namespace {

List list(const MultiheadAttention::Result& r) { return {r.output, r.weights}; }

const MultiheadAttention::Options two_heads{.embed_dim = 6, .num_heads = 2};
const MultiheadAttention::Options heads_batch_first{.embed_dim = 6, .num_heads = 3, .bias = false, .batch_first = true};

}  // namespace

static const Rows multihead_attention{
    {"nn.MultiheadAttention",
     "filled(nn.MultiheadAttention(6, 2), a)(a, b, c)",
     [](T a, T b, T c) { return list(filled(MultiheadAttention(two_heads), a)(a, b, c)); },
     "[3,2,6] [5,2,6] [5,2,6] | [3,6] [5,6] [5,6]",
     {.call = "attention(a, b, c)"}},
    {"nn.MultiheadAttention, of one input",
     "filled(nn.MultiheadAttention(6, 2), a)(a, a, a, need_weights=False)[0]",
     [](T a) { return filled(MultiheadAttention(two_heads), a)(a); },
     "[5,2,6] | [5,6]",
     {.call = "attention(a)"}},
    {"nn.MultiheadAttention, masks",
     "filled(nn.MultiheadAttention(6, 3, bias=False, batch_first=True), a)("
     "a, b, b, key_padding_mask=torch.arange(4) * torch.tensor([[1], [1]]) >= 3, attn_mask=c)",
     [](T a, T b, T c) {
       const Tensor padding = ge(tensor({0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0}).reshape({2, 4}), 3).to(a.device());
       return list(
           filled(MultiheadAttention(heads_batch_first), a)(a, b, b, {.key_padding_mask = padding, .attn_mask = c}));
     },
     "[2,3,6] [2,4,6] [3,4] | [2,3,6] [2,4,6] [6,3,4]",
     {.call = "attention(a, b, b, {.key_padding_mask = padding, .attn_mask = c})"}},
    {"nn.MultiheadAttention, boolean mask",
     "filled(nn.MultiheadAttention(6, 2), a)(a, a, a, attn_mask=torch.ones(4, 4, dtype=bool).triu(1), "
     "average_attn_weights=False)",
     [](T a) {
       const Tensor rows = arange(4).unsqueeze(1), columns = arange(4);
       const Tensor mask = gt(columns, rows).to(a.device());
       return list(
           filled(MultiheadAttention(two_heads), a)(a, a, a, {.attn_mask = mask, .average_attn_weights = false}));
     },
     "[4,2,6]",
     {.call = "attention(a, a, a, {.attn_mask = mask, .average_attn_weights = false})"}},
    {"nn.MultiheadAttention, parameters",
     "parameter_gradients(filled(nn.MultiheadAttention(6, 2), a), lambda m: m(a, b, b)[0].square())",
     [](T a, T b) {
       return parameter_gradients(filled(MultiheadAttention(two_heads), a),
                                  [&](MultiheadAttention& m) { return m(a, b, b).output.square(); });
     },
     "[3,2,6] [5,2,6]",
     {.gradient = false, .call = "m.parameters()[i].grad()"}},
};

namespace {

const TransformerEncoderLayer::Options encoder{.d_model = 6, .nhead = 2, .dim_feedforward = 5};
const TransformerEncoderLayer::Options encoder_norm_first{.d_model = 6,
                                                          .nhead = 3,
                                                          .dim_feedforward = 5,
                                                          .activation = GELU(),
                                                          .layer_norm_eps = 0.1,
                                                          .batch_first = true,
                                                          .norm_first = true};

/// 1 where a place would look at a later one.
Tensor later(T x, std::int64_t n) { return triu(ones({n, n}, {.dtype = DType::uint8, .device = x.device()}), 1); }

}  // namespace

static const Rows transformer{
    {"nn.TransformerEncoderLayer",
     "filled(nn.TransformerEncoderLayer(6, 2, 5), a)(a)",
     [](T a) { return filled(TransformerEncoderLayer(encoder), a)(a); },
     "[3,2,6] | [3,6] | [1,1,6]",
     {.call = "layer(a)"}},
    {"nn.TransformerEncoderLayer, norm_first and masks",
     "filled(nn.TransformerEncoderLayer(6, 3, 5, activation='gelu', layer_norm_eps=0.1, batch_first=True, "
     "norm_first=True), a)(a, b, torch.arange(4) * torch.tensor([[1], [1]]) >= 3)",
     [](T a, T b) {
       const Tensor padding = ge(arange(4).expand({2, 4}), 3).to(a.device());
       return filled(TransformerEncoderLayer(encoder_norm_first), a)(a, b, padding);
     },
     "[2,4,6] [4,4] | [2,4,6] [6,4,4]",
     {.call = "layer(a, src_mask, src_key_padding_mask)"}},
    {"nn.TransformerEncoderLayer, parameters",
     "parameter_gradients(filled(nn.TransformerEncoderLayer(6, 2, 5), a), lambda m: m(a).square())",
     [](T a) {
       return parameter_gradients(filled(TransformerEncoderLayer(encoder), a),
                                  [&](TransformerEncoderLayer& m) { return m(a).square(); });
     },
     "[3,2,6]",
     {.gradient = false, .call = "m.parameters()[i].grad()"}},
    {"nn.TransformerEncoder",
     "filled(nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 5), 2, nn.LayerNorm(6)), a)("
     "a, torch.ones(4, 4, dtype=bool).triu(1))",
     [](T a) {
       const TransformerEncoderLayer layer(encoder);
       return filled(TransformerEncoder(layer, 2, LayerNorm({6})), a)(a, later(a, 4));
     },
     "[4,2,6] | [4,6]",
     {.call = "encoder(a, mask)"}},
    {"nn.TransformerEncoder, no mask",
     "filled(nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 5), 2), a)(a)",
     [](T a) { return filled(TransformerEncoder(TransformerEncoderLayer(encoder), 2), a)(a); },
     "[4,2,6]",
     {.call = "encoder(a)"}},
    {"nn.TransformerEncoder, parameters",
     R"(
       m = nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 5), 2, nn.LayerNorm(6))
       state = m.state_dict()
       return ("".join(name + " " for name in sorted(state)),
               all(torch.equal(x, state[name.replace("layers.0", "layers.1")]) for name, x in state.items()))
     )",
     [](T) {
       TransformerEncoder m(TransformerEncoderLayer(encoder), 2, LayerNorm({6}));
       const StateDict state = m.state_dict();
       std::string names;
       bool alike = true;
       for (const auto& [name, x] : state) {
         names += name + ' ';
         if (!name.starts_with("layers.0")) continue;
         const Tensor& other = state.at("layers.1" + name.substr(8));
         alike = alike && equal(x, other) && !x.is_same(other);
       }
       return std::pair(names, alike);
     },
     "[1]",
     {.gradient = false, .call = "encoder.state_dict()"}},
};

}  // namespace tern::test
