#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/layers/attention.hpp>
#include <tern/layers/recurrent.hpp>
#include <tern/layers/transformer.hpp>

namespace tern::test {

namespace {

/// A recurrent layer and attention over its outputs; one of them may be left out of members().
struct Reader : Module {
  GRU gru{{.input_size = 3, .hidden_size = 4}};
  MultiheadAttention attention{{.embed_dim = 4, .num_heads = 2}};
  bool names_gru = true, names_attention = true;

  Members members() override {
    Members m;
    if (names_gru) m.modules.emplace_back("gru", &gru);
    if (names_attention) m.modules.emplace_back("attention", &attention);
    return m;
  }
  Tensor forward(const Tensor& x) override {
    const Tensor y = gru(x).output;
    return attention(y, y, y).output;
  }
  std::string str() const override { return "Reader"; }
};

}  // namespace

TEST_CASE("recurrent layers and attention are named by the model that calls them", "[layers]") {
  const Tensor x = rand({5, 2, 3});
  Reader whole;
  CHECK(whole(x).shape() == Shape{5, 2, 4});
  CHECK(whole.state_dict().size() == 8);
  Reader no_gru, no_attention;
  no_gru.names_gru = false;
  no_attention.names_attention = false;
  CHECK(message_of([&] { no_gru(x); }).starts_with("the forward of Reader calls GRU(3, 4), whose tensors"));
  CHECK(message_of([&] {
          no_attention(x);
        }).starts_with("the forward of Reader calls MultiheadAttention(4, num_heads=2), whose tensors"));
}

TEST_CASE("a recurrent layer drops out between its layers, in training only", "[layers]") {
  LSTM lstm({.input_size = 3, .hidden_size = 4, .num_layers = 2, .dropout = 0.5});
  const Tensor x = rand({5, 2, 3});
  CHECK(lstm(x).output.to_vector<float>() != lstm(x).output.to_vector<float>());
  manual_seed(3);
  const auto first = lstm(x).output.to_vector<float>();
  manual_seed(3);
  CHECK(lstm(x).output.to_vector<float>() == first);
  lstm.eval();
  const Tensor y = lstm(x).output;
  CHECK(y.to_vector<float>() == lstm.forward(x).to_vector<float>());
}

TEST_CASE("attention drops out weights in training only, and what it drops is the same for the gradient", "[layers]") {
  MultiheadAttention attention({.embed_dim = 4, .num_heads = 2, .dropout = 0.5});
  const Tensor x = rand({5, 2, 4});
  const auto zeros_in = [](const Tensor& w) { return sum(eq(w, 0)).item<std::int64_t>(); };
  CHECK(zeros_in(attention(x, x, x, {.average_attn_weights = false}).weights) > 0);
  attention.eval();
  CHECK(zeros_in(attention(x, x, x, {.average_attn_weights = false}).weights) == 0);

  for (const Device device : devices()) {
    // With v = 1 a row of y is its weights' sum, and the gradient by v of the sum of y the sums down the columns.
    const Tensor q = rand({2, 6, 4}).to(device), k = rand({2, 7, 4}).to(device);
    const Tensor v = ones({2, 7, 1}, {.device = device, .requires_grad = true});
    const Tensor y = scaled_dot_product_attention(q, k, v, {}, 0.5);
    y.sum().backward();
    const double of_rows = y.sum().item(), of_columns = v.grad().sum().item();
    CHECK(of_rows == Approx(of_columns).epsilon(1e-5));
    CHECK(of_rows != Approx(12).epsilon(1e-3));
  }
}

TEST_CASE("attention and recurrent layers give the same bits on one thread and on many", "[layers]") {
  const int before = num_threads();
  std::vector<std::vector<float>> runs[2];
  for (int run = 0; run < 2; ++run) {
    set_num_threads(run == 0 ? 1 : 4);
    manual_seed(7);
    LSTM lstm({.input_size = 20, .hidden_size = 70, .bidirectional = true});
    const Tensor x = rand({9, 33, 20}).set_requires_grad();
    const Tensor y = lstm(x).output, heads = y.reshape({9, 33, 10, 14}).permute({1, 2, 0, 3});
    scaled_dot_product_attention(heads, heads, heads, {}, 0.2, true).square().sum().backward();
    runs[run].push_back(x.grad().to_vector<float>());
    for (const Tensor& p : lstm.parameters()) runs[run].push_back(p.grad().to_vector<float>());
  }
  set_num_threads(before);
  CHECK(runs[0] == runs[1]);
}

TEST_CASE("what recurrent layers and attention refuse", "[layers]") {
  LSTM lstm({.input_size = 3, .hidden_size = 4});
  CHECK(message_of([] { GRU({.input_size = 0, .hidden_size = 4}); }) ==
        "GRU: 0 to 4 features in 1 layers, expected positive numbers");
  CHECK(message_of([] { RNN({.input_size = 3, .hidden_size = 4, .dropout = 2}); }) ==
        "RNN: probability 2, expected 0 to 1");
  CHECK(message_of([&] { lstm(zeros({5, 2, 4})); }) == "LSTM: input [5, 2, 4], expected [T, 3] or [T, N, ...]");
  CHECK(message_of([&] { lstm(zeros({0, 2, 3})); }) == "LSTM: input [0, 2, 3], expected one step or more");
  CHECK(message_of([&] { lstm(zeros({5, 2, 3}), {zeros({1, 3, 4}), {}}); }) == "LSTM: h [1, 3, 4], expected [1, 2, 4]");
  CHECK(message_of([&] { lstm({}); }) == "LSTM: x is undefined, expected a tensor");
  CHECK(message_of([] { LSTMCell(3, 4)(zeros({2, 4})); }) == "LSTMCell: input [2, 4], expected [N, 3] or [3]");
  CHECK(message_of([] { MultiheadAttention({.embed_dim = 6, .num_heads = 4}); }) ==
        "MultiheadAttention: 6 features in 4 heads, expected heads that divide them");
  MultiheadAttention attention({.embed_dim = 6, .num_heads = 2});
  const Tensor x = zeros({5, 2, 6});
  CHECK(
      message_of([&] {
        attention(x, zeros({4, 3, 6}), zeros({4, 3, 6}));
      }) ==
      "MultiheadAttention: query [5, 2, 6], key [4, 3, 6] and value [4, 3, 6], expected one batch, and as many values "
      "as keys");
  CHECK(message_of([&] {
          attention(x, x, x, {.attn_mask = zeros({5, 4})});
        }) == "MultiheadAttention: attn_mask [5, 4], expected [5, 5] or [4, 5, 5]");
  CHECK(message_of([&] {
          scaled_dot_product_attention(x, zeros({5, 2, 4}), x);
        }) ==
        "scaled_dot_product_attention: q [5, 2, 6], k [5, 2, 4] and v [5, 2, 6], expected [..., L, E], [..., S, E] and "
        "[..., S, V]");
  CHECK(message_of([&] {
          scaled_dot_product_attention(x, x, x, zeros({2, 2}), 0, true);
        }) == "scaled_dot_product_attention: a mask and is_causal, expected one of them");
  CHECK(message_of([&] {
          einsum("ij,jk", {zeros({2, 3}), zeros({4, 5})});
        }) == "einsum: 'ij,jk' names sizes 3 and 4 alike, of operands [2, 3] and [4, 5]");
  CHECK(message_of([&] {
          einsum("ij", {zeros({2, 3}), zeros({4, 5})});
        }) == "einsum: 'ij' with 2 operands, expected as many as it names");
  CHECK(message_of([&] {
          einsum("i$", {zeros({2, 3})});
        }) == "einsum: 'i$' in 'i$', expected letters and at most one '...'");
  CHECK(message_of([&] {
          einsum("ij->ik", {zeros({2, 3})});
        }) == "einsum: 'ij->ik', expected each name of the output once, and in an operand");
  CHECK(message_of([&] {
          bmm(zeros({2, 3, 4}), zeros({1, 4, 5}));
        }) == "bmm: shapes [2, 3, 4] and [1, 4, 5], expected one batch");
  CHECK(message_of([&] {
          addmm(zeros({3, 2, 4}), zeros({2, 3}), zeros({3, 4}));
        }) == "addmm: input [3, 2, 4] and a product [2, 4], expected an input that broadcasts to it");
}

TEST_CASE("a transformer drops out in training only, its layers have tensors of their own, and it is watched",
          "[layers]") {
  TransformerEncoderLayer layer({.d_model = 4, .nhead = 2, .dim_feedforward = 8, .dropout = 0.5});
  TransformerEncoder encoder(layer, 2, LayerNorm({4}));
  CHECK(encoder.parameters().size() == 26);
  const Tensor x = rand({5, 2, 4}), mask = triu(ones({5, 5}, {.dtype = DType::uint8}), 1);
  CHECK(encoder(x).to_vector<float>() != encoder(x).to_vector<float>());
  manual_seed(3);
  const auto first = encoder(x, mask).to_vector<float>();
  manual_seed(3);
  CHECK(encoder(x, mask).to_vector<float>() == first);

  encoder.eval();
  layer.eval();
  const Tensor of_layer = layer(x, mask), of_encoder = encoder(x, mask);
  {
    const NoGradGuard no_grad;
    for (const Tensor& p : encoder.layers[0].parameters()) p.add_(1);
  }
  CHECK(equal(layer(x, mask), of_layer));
  CHECK(!equal(encoder(x, mask), of_encoder));

  // What a place gets depends on it and on those before alone.
  CHECK(allclose(layer(x.narrow(0, 0, 2), mask.narrow(0, 0, 2).narrow(1, 0, 2)), of_layer.narrow(0, 0, 2), 1e-5, 1e-6));

  int calls = 0;
  encoder.register_forward_hook([&](Module&, const Tensor& output) { calls += output.shape() == x.shape(); });
  encoder(x);
  encoder(x, mask);
  CHECK(calls == 2);
  CHECK(message_of([&] { TransformerEncoder(layer, -1); }) == "TransformerEncoder: -1 layers, expected 0 or more");
  CHECK(message_of([] { TransformerEncoderLayer({.d_model = 5, .nhead = 2}); }) ==
        "MultiheadAttention: 5 features in 2 heads, expected heads that divide them");
}

}  // namespace tern::test
