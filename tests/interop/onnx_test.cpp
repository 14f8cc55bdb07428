/// Exported layers, and compositions of ops, give in onnxruntime what they give here.

#include "runtime.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/trace.hpp>
#include <tern/tern.hpp>

#include <core/support.hpp>
#include <random.hpp>

#include <catch2/catch.hpp>

using namespace tern;
using namespace tern::test;

namespace {

/// A module of parameters only by the name of one layer.
struct Holder : Module {
  Members members() override { return {}; }
  Tensor forward(const Tensor& x) override { return x; }
};

/// A function of one tensor as a module.
struct Function : Module {
  explicit Function(std::function<Tensor(const Tensor&)> function) : f(std::move(function)) {}
  Tensor forward(const Tensor& x) override { return f(x); }
  std::string str() const override { return "Function"; }

  std::function<Tensor(const Tensor&)> f;
};

/// Weights and statistics that are none of the ones a layer starts with.
void spoil(Module& module) {
  const NoGradGuard no_grad;
  for (const auto& [name, x] : module.state_dict()) {
    if (!is_floating(x.dtype())) continue;
    const Tensor noise = normal(x.shape()) * 0.3;
    x.copy_(name.ends_with("running_var") ? square(noise) + 0.5 : x + noise);
  }
}

}  // namespace

TEST_CASE("exported layers of images", "[onnxruntime]") {
  Exported exported;
  for_each_case(6, [&](Random& r) {
    const std::string n = std::to_string(r.integer(0, 1'000'000'000));
    const std::int64_t groups = r.integer(1, 2), C = groups * r.integer(1, 3), K = groups * r.integer(1, 3);
    const std::int64_t H = r.integer(7, 12), W = r.integer(7, 12);
    const HeightWidth kernel{r.integer(1, 3), r.integer(1, 3)}, stride{r.integer(1, 3), r.integer(1, 3)},
        dilation{r.integer(1, 2), r.integer(1, 2)};
    const auto add = [&](const std::string& name, Module&& module, const Shape& shape) {
      spoil(module);
      exported.add(name + n, module, shape);
    };
    add("conv", Conv2d({C, K, kernel, stride, {r.integer(0, 2), r.integer(0, 2)}, dilation, groups, r.chance(0.5)}),
        {C, H, W});
    add("same", Conv2d({C, K, kernel, 1, "same", dilation, groups}), {C, H, W});
    add("transposed",
        ConvTranspose2d({C, K, kernel, stride, {0, 0}, {stride.h - 1, stride.w - 1}, groups, true, dilation}),
        {C, H, W});
    add("conv1d", Conv1d({C, K, kernel.w, stride.w, r.integer(0, 2), dilation.w, groups}), {C, W});
    add("transposed1d", ConvTranspose1d({C, K, kernel.w, stride.w, 0, 0, groups}), {C, W});
    const HeightWidth window{r.integer(2, 4), r.integer(2, 4)}, half{window.h / 2, window.w / 2};
    add("max_pool", MaxPool2d(window, {.stride = stride, .padding = half, .ceil_mode = r.chance(0.5)}), {C, H, W});
    add("max_pool_dilated", MaxPool2d(2, {.stride = stride, .dilation = 2}), {C, H, W});
    add("avg_pool",
        AvgPool2d(window, {.stride = stride,
                           .padding = half,
                           .ceil_mode = r.chance(0.5),
                           .count_include_pad = r.chance(0.5),
                           .divisor_override = r.chance(0.3) ? std::optional<std::int64_t>(3) : std::nullopt}),
        {C, H, W});
    add("max_pool1d", MaxPool1d(2, {.padding = 1}), {C, W});
    add("avg_pool1d", AvgPool1d(3, {.stride = 2, .padding = 1}), {C, W});
    add("adaptive", AdaptiveAvgPool2d({r.integer(1, 7), r.integer(1, 7)}), {C, H, W});
    add("adaptive_one", AdaptiveAvgPool2d(1), {C, H, W});
    add("adaptive_max", AdaptiveMaxPool2d({r.integer(1, 7), r.integer(1, 7)}), {C, H, W});
    add("adaptive1d", AdaptiveAvgPool1d(r.integer(1, 7)), {C, W});
    add("adaptive_max1d", AdaptiveMaxPool1d(r.integer(1, 7)), {C, W});
    add("nearest", Upsample({.size = HeightWidth(r.integer(3, 20), r.integer(3, 20))}), {C, H, W});
    add("nearest_exact",
        Upsample({.size = HeightWidth(r.integer(3, 20), r.integer(3, 20)), .mode = InterpolateMode::nearest_exact}),
        {C, H, W});
    add("bilinear", Upsample({.scale_factor = r.real(0.6, 2.5), .mode = InterpolateMode::bilinear}), {C, H, W});
    add("bilinear_corners",
        Upsample({.size = HeightWidth(r.integer(3, 20), r.integer(3, 20)),
                  .mode = InterpolateMode::bilinear,
                  .align_corners = true}),
        {C, H, W});
    add("linear1d", Upsample({.scale_factor = 2, .mode = InterpolateMode::linear}), {C, W});
    add("area", Upsample({.size = 5, .mode = InterpolateMode::area}), {C, H, W});
    add("shuffle", PixelShuffle(2), {4 * C, H, W});
    add("unshuffle", PixelUnshuffle(2), {C, 8, 10});
    add("batch_norm", BatchNorm2d(C), {C, H, W});
    add("batch_norm1d", BatchNorm1d(C, 1e-3, 0.1, false), {C});
    add("batch_norm3d", BatchNorm3d(C), {C, 2, 3, 4});
    add("batch_norm_of_batch", BatchNorm2d(C, 1e-5, 0.1, true, false), {C, H, W});
    add("group_norm", GroupNorm(groups, C), {C, H, W});
    add("instance_norm", InstanceNorm2d(C, 1e-5, r.chance(0.5)), {C, H, W});
    add("layer_norm", LayerNorm({H, W}, 1e-5, r.chance(0.5)), {C, H, W});
    add("rms_norm", RMSNorm({W}), {C, H, W});
    add("dropout", Sequential(Dropout2d(0.4), Dropout(0.5)), {C, H, W});
    add("flatten", Sequential(Flatten(), Unflatten(1, {C, -1})), {C, H, W});
    add("resnet", Sequential(BasicBlock(C, K, 2), BasicBlock(K, K)), {C, H, W});
  });
  exported.check();
}

TEST_CASE("exported activations, linear and recurrent layers, attention", "[onnxruntime]") {
  Exported exported;
  for_each_case(4, [&](Random& r) {
    const std::string n = std::to_string(r.integer(0, 1'000'000'000));
    const std::int64_t T = r.integer(1, 6), F = r.integer(1, 5), H = r.integer(1, 5);
    const auto add = [&](const std::string& name, Module&& module, const Shape& shape) {
      spoil(module);
      exported.add(name + n, module, shape);
    };
    add("linear", Linear(F, H, r.chance(0.7)), {F});
    add("linear3", Linear(F, H, r.chance(0.7)), {T, F});
    add("activations",
        Sequential(GELU(), SiLU(), LeakyReLU(), ELU(1.5), Softplus(2), Hardtanh(-1, 2), Tanh(), Mish(), Softsign(),
                   LogSigmoid(), ReLU6(), Sigmoid(), GELU(Approximate::tanh), ReLU(), Identity()),
        {T, F});
    add("softmax", Sequential(Softmax(1), LogSoftmax(-1)), {T, F});
    const RNNBase::Options options{.input_size = F,
                                   .hidden_size = H,
                                   .num_layers = r.integer(1, 2),
                                   .bias = r.chance(0.7),
                                   .batch_first = true,
                                   .dropout = 0.3,
                                   .bidirectional = r.chance(0.5)};
    const std::int64_t states = options.num_layers * (options.bidirectional ? 2 : 1);
    RNN rnn(options, r.pick({RNN::Nonlinearity::tanh, RNN::Nonlinearity::relu}));
    GRU gru(options);
    LSTM lstm(options);
    add("rnn", RNN(rnn), {T, F});
    add("gru", GRU(gru), {T, F});
    add("lstm", LSTM(lstm), {T, F});
    // With their states, the batch in the middle.
    RNNBase::Options second = options;
    second.batch_first = false;
    LSTM of_states(second);
    exported.add(
        "lstm_states" + n, of_states,
        [&](const std::vector<Tensor>& in) {
          const auto [y, state] = of_states(in[0], {in[1], in[2]});
          return std::vector{y, state.h, state.c};
        },
        [&](std::int64_t N) {
          return std::vector{normal({T, N, F}), normal({states, N, H}), normal({states, N, H})};
        },
        {.batch_dim = 1});
    LSTMCell cell(F, H);
    exported.add(
        "lstm_cell" + n, cell,
        [&](const std::vector<Tensor>& in) {
          const LSTM::State state = cell(in[0], {in[1], in[2]});
          return std::vector{state.h, state.c};
        },
        [&](std::int64_t N) {
          return std::vector{normal({N, F}), normal({N, H}), normal({N, H})};
        });
    add("gru_cell", GRUCell(F, H), {F});
    add("rnn_cell", RNNCell(F, H), {F});
    const std::int64_t heads = r.integer(1, 3), E = heads * r.integer(1, 4);
    add("attention", MultiheadAttention({.embed_dim = E, .num_heads = heads, .batch_first = true}), {T, E});
    MultiheadAttention attention({.embed_dim = E, .num_heads = heads, .batch_first = true});
    const std::int64_t S = r.integer(1, 6);
    exported.add(
        "cross_attention" + n, attention,
        [&](const std::vector<Tensor>& in) {
          const auto result = attention(in[0], in[1], in[1]);
          return std::vector{result.output, result.weights};
        },
        [&](std::int64_t N) {
          return std::vector{normal({N, T, E}), normal({N, S, E})};
        });
    Embedding embedding(7, F);
    exported.add(
        "embedding" + n, embedding, [&](const std::vector<Tensor>& in) { return std::vector{embedding(in[0])}; },
        [&](std::int64_t N) {
          return std::vector{remainder(round(normal({N, T}) * 5).to(DType::int64), 7)};
        });
  });
  exported.check();
}

TEST_CASE("exported ops", "[onnxruntime]") {
  Exported exported;
  Holder none;
  const auto add = [&](const std::string& name, const std::function<Tensor(const Tensor&)>& f, const Shape& shape) {
    Function module(f);
    exported.add(name, module, shape);
  };
  // Of what most functions are defined for, from 0.1 to 0.9.
  const auto between = [](const Tensor& x) { return sigmoid(x) * 0.8 + 0.1; };
  const std::vector<std::pair<const char*, Tensor (*)(const Tensor&)>> unaries{{"exp", exp},
                                                                               {"log", log},
                                                                               {"sqrt", sqrt},
                                                                               {"rsqrt", rsqrt},
                                                                               {"abs", abs},
                                                                               {"round", round},
                                                                               {"floor", floor},
                                                                               {"ceil", ceil},
                                                                               {"sign", sign},
                                                                               {"log1p", log1p},
                                                                               {"expm1", expm1},
                                                                               {"erf", erf},
                                                                               {"erfc", erfc},
                                                                               {"log2", log2},
                                                                               {"log10", log10},
                                                                               {"exp2", exp2},
                                                                               {"sin", sin},
                                                                               {"cos", cos},
                                                                               {"tan", tan},
                                                                               {"asin", asin},
                                                                               {"acos", acos},
                                                                               {"atan", atan},
                                                                               {"sinh", sinh},
                                                                               {"cosh", cosh},
                                                                               {"asinh", asinh},
                                                                               {"atanh", atanh},
                                                                               {"trunc", trunc},
                                                                               {"frac", frac},
                                                                               {"neg", neg},
                                                                               {"square", square},
                                                                               {"mish", mish},
                                                                               {"selu", selu},
                                                                               {"silu", silu},
                                                                               {"hardswish", hardswish},
                                                                               {"hardsigmoid", hardsigmoid},
                                                                               {"logsigmoid", logsigmoid},
                                                                               {"tanhshrink", tanhshrink}};
  for (const auto& [name, function] : unaries) {
    const auto f = function;
    add(name, [=](const Tensor& x) { return f(between(x)); }, {3, 4});
  }
  add("acosh", [](const Tensor& x) { return acosh(square(x) + 1.5); }, {3});
  add("shrinks",
      [](const Tensor& x) {
        return cat({softshrink(x), hardshrink(x, 0.3), threshold(x, 0.1, 7)}, 1);
      },
      {5});
  add("clamps", [](const Tensor& x) { return cat({clamp(x, -0.5), clamp(x, {}, 0.2), clamp(x, 0.5, -0.5)}, 1); }, {5});
  add("arithmetic",
      [](const Tensor& x) {
        const Tensor y = x.narrow(1, 0, 2), z = x.narrow(1, 1, 1);
        return 2 - (y + z * 3) / (1 + square(z)) - 1 / (square(y) + 1) + hypot(y, z) + maximum(y, z) * minimum(z, y);
      },
      {4, 3});
  add("powers", [](const Tensor& x) { return pow(abs(x) + 0.5, x) + pow(2, x) + pow(square(x) + 1, 1.5); }, {4});
  add("remainders",
      [](const Tensor& x) {
        const Tensor d = square(x.flip({1})) + 0.5;
        return remainder(x, 0.7) + fmod(x, d) + floor_divide(x, d) + remainder(x, d);
      },
      {6});
  add("integers",
      [](const Tensor& x) {
        const Tensor i = round(x * 10).to(DType::int64), three = full({}, 3, {.dtype = DType::int64});
        return remainder(i, three) * 100 + floor_divide(i, three) + i * 2 - clamp(i, -3, 4);
      },
      {6});
  add("comparisons",
      [](const Tensor& x) {
        const Tensor a = x.narrow(1, 0, 3), b = x.narrow(1, 3, 3);
        return where(logical_and(a<b, b> 0), a, b) + where((a >= b) | (a == 0) | ~(b <= 0), 1, 2).to(DType::float32);
      },
      {6});
  add("masks", [](const Tensor& x) { return (x > 0) ^ (x < 0.5); }, {6});
  add("masked_fill", [](const Tensor& x) { return masked_fill(x, x < 0, -7) + isnan(x).to(DType::float32); }, {6});
  add("reductions",
      [](const Tensor& x) {
        return stack({sum(x, {1, 2}), mean(x, {1, 2}), amax(x, {1, 2}), amin(x, {1, 2}), logsumexp(x, {1, 2}),
                      norm(x, 2, {1, 2}), norm(x, 1, {1, 2}), norm(x, 3, {1, 2}), norm(x, INFINITY, {1, 2}),
                      var(x, {1, 2}), tern::std(x, {1, 2}, 0), prod(x, 1).sum({1})},
                     1);
      },
      {3, 4});
  add("whole", [](const Tensor& x) { return sum(x) + mean(x) * max(x); }, {3, 4});
  add("extremes",
      [](const Tensor& x) {
        const auto [values, indices] = max(x, 1);
        return values * min(x, 2, true).values.sum({1}) + indices.to(DType::float32) +
               argmin(x, 2).to(DType::float32).sum({1}, true);
      },
      {3, 3});
  add("cumsum", [](const Tensor& x) { return cumsum(x, 1); }, {3, 4});
  add("views",
      [](const Tensor& x) {
        const Tensor y = x.reshape({x.size(0) * 2, -1}).t().reshape({6, x.size(0), 2}).permute({1, 0, 2});
        return (y.unsqueeze(1).expand({-1, 3, -1, -1}) + x.view({x.size(0), 1, 6, 2}))
            .flatten(1, 2)
            .unsqueeze(1)
            .squeeze(1);
      },
      {3, 4});
  add("slices",
      [](const Tensor& x) {
        return cat({x.select(1, 1), slice(x, 2, 1, {}, 2).flatten(1), x.narrow(2, 1, 2).sum({1}),
                    x.index({Ellipsis}).sum({1})},
                   1);
      },
      {3, 5});
  add("arranged",
      [](const Tensor& x) {
        return roll(x, 2, 1) + flip(x, {1, 2}) + tril(x, 1) - triu(x) + repeat(x, {1, 2, 1}).narrow(1, 1, 4);
      },
      {4, 4});
  add("pads",
      [](const Tensor& x) {
        return pad(pad(x, {1, 2, -1, 1}, PadMode::constant, 3), {1, 1}, PadMode::reflect) +
               pad(pad(x, {2, 3}, PadMode::replicate), {0, 0}, PadMode::circular);
      },
      {4, 4});
  add("indices",
      [](const Tensor& x) {
        const Tensor i = tensor<std::int64_t>({2, 0}), at = argmax(x, 2, true);
        return cat({index_select(x, 1, i).flatten(1), gather(x, 2, at).squeeze(2), scatter(x, 2, at, 9).sum({2}),
                    x.index({Slice(), -1})},
                   1);
      },
      {3, 4});
  add("sorted",
      [](const Tensor& x) {
        const SortResult s = sort(x, 1, true), t = topk(x, 2, 1);
        return cat({s.values, s.indices.to(DType::float32), t.values, median(x, 1, true).values,
                    kthvalue(x, 2, 1, true).values},
                   1);
      },
      {6});
  add("one_hot", [](const Tensor& x) { return one_hot(argmax(x, 1), 6); }, {6});
  add("products",
      [](const Tensor& x) {
        const Tensor y = matmul(x, x.transpose(1, 2)), z = einsum("bij,bkj->bik", {x, x});
        return y + z * 2 + matmul(x, x.transpose(1, 2).contiguous()) + baddbmm(y, x, x.transpose(1, 2), 2, 3);
      },
      {3, 4});
  add("attention_causal",
      [](const Tensor& x) {
        return scaled_dot_product_attention(x, x, x, {}, 0, true) +
               scaled_dot_product_attention(x, x, x, ones({3, 3}).tril().to(DType::uint8));
      },
      {2, 3, 4});
  add("in_place",
      [](const Tensor& x) {
        Tensor y = exp(x), sum = zeros(x.shape());
        const Tensor before = y * 2;
        y += x;
        y.relu_();
        y *= 3;
        sum += y;
        sum.add_(before, 0.5);
        return sum.clamp_(-1, 4) - y;
      },
      {3, 4});
  const auto pair = [&](const std::string& name, const std::function<Tensor(const Tensor&, const Tensor&)>& f) {
    exported.add(
        name, none, [&](const std::vector<Tensor>& in) { return std::vector{f(in[0], in[1])}; },
        [&](std::int64_t n) {
          return std::vector{normal({n, 4}), sigmoid(normal({n, 4}))};
        });
  };
  pair("l1", [](const Tensor& x, const Tensor& t) { return l1_loss(x, t); });
  pair("mse", [](const Tensor& x, const Tensor& t) { return mse_loss(x, t); });
  pair("smooth_l1", [](const Tensor& x, const Tensor& t) { return smooth_l1_loss(x, t); });
  pair("huber", [](const Tensor& x, const Tensor& t) { return huber_loss(x, t, Reduction::mean, 0.4); });
  pair("bce", [](const Tensor& x, const Tensor& t) { return binary_cross_entropy(sigmoid(x), t); });
  pair("bce_logits", [](const Tensor& x, const Tensor& t) { return binary_cross_entropy_with_logits(x, t); });
  pair("kl", [](const Tensor& x, const Tensor& t) { return kl_div(log_softmax(x, 1), softmax(t, 1)); });
  pair("poisson", [](const Tensor& x, const Tensor& t) { return poisson_nll_loss(x, t); });
  pair("gaussian", [](const Tensor& x, const Tensor& t) { return gaussian_nll_loss(x, t, t); });
  pair("cross_entropy", [](const Tensor& x, const Tensor& t) { return cross_entropy(x, argmax(t, 1)); });
  pair("probabilities", [](const Tensor& x, const Tensor& t) {
    return cross_entropy(x, softmax(t, 1), {.reduction = Reduction::none});
  });
  pair("nll", [](const Tensor& x, const Tensor& t) {
    return nll_loss(log_softmax(x, 1), argmax(t, 1), {.reduction = Reduction::none});
  });
  pair("cosine", [](const Tensor& x, const Tensor& t) { return cosine_similarity(x, t); });
  pair("distance", [](const Tensor& x, const Tensor& t) { return pairwise_distance(x, t); });
  pair("hinge", [](const Tensor& x, const Tensor& t) { return hinge_embedding_loss(x, sign(t - 0.5)); });
  pair("margin", [](const Tensor& x, const Tensor& t) { return soft_margin_loss(x, sign(t - 0.5)); });
  pair("ranking", [](const Tensor& x, const Tensor& t) { return margin_ranking_loss(x, t, sign(t - 0.5), 0.3); });
  pair("triplet", [](const Tensor& x, const Tensor& t) { return triplet_margin_loss(x, t, x * t); });
  exported.check();
}
