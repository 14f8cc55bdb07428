/// The reference in double against what PyTorch computes, as golden/make_golden.py wrote it down.

#include <tern/kernels/optim.hpp>
#include <tern/kernels/reference/reference.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace tern::test {

using namespace tern::kernels;
using nlohmann::json;
using Values = std::vector<double>;
using Indices = std::vector<int64_t>;

json golden(const std::string& family) {
  const std::string path = in_tree("tests/golden/" + family + ".json");
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot open " + path);
  return json::parse(file);
}

const double* or_null(const Values& values) { return values.empty() ? nullptr : values.data(); }

Values optional(const json& c, const std::string& name) { return c.contains(name) ? c[name].get<Values>() : Values{}; }

/// Equal to the golden `name`, but for 1e-12 of its largest element.
void check_values(const json& c, const std::string& name, const Values& got) {
  const Values want = c.at(name);
  REQUIRE(got.size() == want.size());
  double largest = 0;
  for (const double v : want) largest = std::max(largest, std::abs(v));
  const auto agree = [&](double a, double b) { return std::abs(a - b) <= 1e-12 * largest; };
  const auto i = static_cast<std::size_t>(std::ranges::mismatch(got, want, agree).in1 - got.begin());
  if (i < want.size()) FAIL_CHECK(name << ", element " << i << ": " << got[i] << ", expected " << want[i]);
}

ReferenceFloat<double>& reference() {
  static ReferenceFloat<double> kernels;
  return kernels;
}

Conv2dShape conv2d_shape(const json& j) {
  return {.N = j["N"],
          .C = j["C"],
          .H = j["H"],
          .W = j["W"],
          .K = j["K"],
          .R = j["R"],
          .S = j["S"],
          .stride_h = j["stride_h"],
          .stride_w = j["stride_w"],
          .pad_h = j["pad_h"],
          .pad_w = j["pad_w"],
          .dilation_h = j["dilation_h"],
          .dilation_w = j["dilation_w"],
          .groups = j["groups"]};
}

TEST_CASE("conv2d is PyTorch's", "[golden]") {
  for (const json& c : golden("conv2d")) {
    const json& j = c["shape"];
    CAPTURE(j.dump());
    const Conv2dShape s = conv2d_shape(j);
    const Values x = c["x"], w = c["w"], bias = c["bias"], dy = c["dy"];
    Values y(dy.size(), NAN), dx(x.size(), NAN), dw(w.size(), NAN), dbias(bias.size(), NAN);
    reference().conv2d(s, x.data(), w.data(), bias.data(), y.data());
    reference().conv2d_backward_input(s, w.data(), dy.data(), dx.data());
    reference().conv2d_backward_weight(s, x.data(), dy.data(), dw.data(), dbias.data());
    CHECK(s.N * s.K * s.P() * s.Q() == static_cast<int64_t>(c["y"].size()));
    check_values(c, "y", y);
    check_values(c, "dx", dx);
    check_values(c, "dw", dw);
    check_values(c, "dbias", dbias);
  }
}

TEST_CASE("conv2d_max_pool2d is PyTorch's", "[golden]") {
  for (const json& c : golden("conv2d_max_pool2d")) {
    const json& j = c["shape"];
    CAPTURE(j.dump());
    const std::string activation = j["activation"];
    const Conv2dMaxPool2dShape s{.conv = conv2d_shape(j),
                                 .R = j["window"][0],
                                 .S = j["window"][1],
                                 .activation = activation == "tanh"   ? Activation::tanh
                                               : activation == "relu" ? Activation::relu
                                                                      : Activation::none};
    const Values x = c["x"], w = c["w"], bias = c["bias"], dy = c["dy"];
    Values y(dy.size(), NAN), dx(x.size(), NAN), dw(w.size(), NAN), dbias(bias.size(), NAN);
    std::vector<uint8_t> picked(dy.size(), 255);
    reference().conv2d_max_pool2d(s, x.data(), w.data(), bias.data(), y.data(), picked.data());
    reference().conv2d_max_pool2d_backward(s, x.data(), w.data(), y.data(), picked.data(), dy.data(), dx.data(),
                                           dw.data(), dbias.data());
    check_values(c, "y", y);
    CHECK(picked == c["picked"].get<std::vector<uint8_t>>());
    check_values(c, "dx", dx);
    check_values(c, "dw", dw);
    check_values(c, "dbias", dbias);
  }
}

TEST_CASE("pool2d is PyTorch's", "[golden]") {
  for (const json& c : golden("pool2d")) {
    const json& j = c["shape"];
    CAPTURE(j.dump());
    const Pool2dShape s{.N = j["N"],
                        .C = j["C"],
                        .H = j["H"],
                        .W = j["W"],
                        .R = j["R"],
                        .S = j["S"],
                        .stride_h = j["stride_h"],
                        .stride_w = j["stride_w"],
                        .pad_h = j["pad_h"],
                        .pad_w = j["pad_w"]};
    const Values x = c["x"], dy = c["dy"];
    Values y(dy.size(), NAN), dx(x.size(), NAN);
    Indices indices(dy.size(), -1);
    CHECK(s.N * s.C * s.P() * s.Q() == static_cast<int64_t>(c["y_max"].size()));
    reference().max_pool2d(s, x.data(), y.data(), indices.data());
    check_values(c, "y_max", y);
    CHECK(indices == c["indices"].get<Indices>());
    reference().max_pool2d_backward(s, indices.data(), dy.data(), dx.data());
    check_values(c, "dx_max", dx);
    reference().avg_pool2d(s, x.data(), y.data());
    check_values(c, "y_avg", y);
    reference().avg_pool2d_backward(s, dy.data(), dx.data());
    check_values(c, "dx_avg", dx);
  }
}

TEST_CASE("batch_norm2d is PyTorch's", "[golden]") {
  for (const json& c : golden("batch_norm2d")) {
    const json& j = c["shape"];
    CAPTURE(j.dump());
    const BatchNorm2dShape s{.N = j["N"], .C = j["C"], .HW = j["HW"], .eps = j["eps"]};
    const Values x = c["x"], dy = c["dy"], weight = optional(c, "weight"), bias = optional(c, "bias");
    Values running_mean = c["running_mean"], running_var = c["running_var"];
    Values mean(s.C, NAN), invstd(s.C, NAN), y(x.size(), NAN), dx(x.size(), NAN), dweight(s.C, NAN), dbias(s.C, NAN);
    const auto check_backward = [&](const json& want, bool training, const Values& mu) {
      check_values(want, "y", y);
      reference().batch_norm2d_backward(s, training, x.data(), or_null(weight), mu.data(), invstd.data(), y.data(),
                                        dy.data(), dx.data(), dweight.data(), dbias.data(), nullptr);
      check_values(want, "dx", dx);
      if (weight.empty()) return;
      check_values(want, "dweight", dweight);
      check_values(want, "dbias", dbias);
    };
    reference().batch_norm2d_eval(s, x.data(), or_null(weight), or_null(bias), nullptr, running_mean.data(),
                                  running_var.data(), invstd.data(), y.data());
    check_backward(c["eval"], false, running_mean);
    int64_t num_batches = 7;
    reference().batch_norm2d(s, c["momentum"], x.data(), or_null(weight), or_null(bias), nullptr, running_mean.data(),
                             running_var.data(), &num_batches, mean.data(), invstd.data(), y.data());
    CHECK(num_batches == 8);
    check_backward(c["train"], true, mean);
    check_values(c, "new_running_mean", running_mean);
    check_values(c, "new_running_var", running_var);
  }
}

TEST_CASE("cross_entropy is PyTorch's", "[golden]") {
  const std::map<std::string, Reduction> reductions{
      {"none", Reduction::none}, {"mean", Reduction::mean}, {"sum", Reduction::sum}};
  for (const json& c : golden("cross_entropy")) {
    CAPTURE(c.dump());
    const CrossEntropyShape s{.N = c["N"],
                              .C = c["C"],
                              .label_smoothing = c["label_smoothing"],
                              .ignore_index = c["ignore_index"],
                              .reduction = reductions.at(c["reduction"])};
    const Values logits = c["logits"], weight = optional(c, "weight"), dloss = c["dloss"];
    const Indices target = c["target"];
    Values loss(dloss.size(), NAN), dlogits(logits.size(), NAN);
    reference().cross_entropy(s, logits.data(), target.data(), or_null(weight), loss.data(), dlogits.data());
    check_values(c, "loss", loss);
    for (int64_t i = 0; i < s.N * s.C; ++i) dlogits[i] *= dloss[s.reduction == Reduction::none ? i / s.C : 0];
    check_values(c, "dlogits", dlogits);
  }
}

TEST_CASE("matmul is PyTorch's", "[golden]") {
  for (const json& c : golden("matmul")) {
    for (const bool trans_a : {false, true}) {
      for (const bool trans_b : {false, true}) {
        const MatmulShape s{c["batch"], c["m"], c["n"], c["k"], trans_a, trans_b};
        CAPTURE(s.batch, s.m, s.n, s.k, trans_a, trans_b);
        const Values a = c[trans_a ? "a_transposed" : "a"], b = c[trans_b ? "b_transposed" : "b"];
        Values y(s.batch * s.m * s.n, NAN);
        reference().matmul(s, a.data(), b.data(), y.data());
        check_values(c, "y", y);
      }
    }
  }
}

TEST_CASE("sgd_step is PyTorch's", "[golden]") {
  for (const json& c : golden("sgd")) {
    OptimizerStep s{.op = OptimizerOp::sgd,
                    .lr = c["lr"],
                    .momentum = c["momentum"],
                    .weight_decay = c["weight_decay"],
                    .nesterov = c["nesterov"]};
    CAPTURE(c["lr"], c["momentum"], c["dampening"], c["weight_decay"], c["nesterov"]);
    std::vector<Values> params = c["start"], momenta;
    for (const Values& p : params) momenta.emplace_back(p.size());
    for (std::size_t step = 0; step < c["grads"].size(); ++step) {
      const std::vector<Values> grads = c["grads"][step];
      std::vector<OptimizerParam<double>> list;
      for (std::size_t i = 0; i < params.size(); ++i) {
        list.push_back({static_cast<int64_t>(params[i].size()),
                        params[i].data(),
                        grads[i].data(),
                        {s.momentum != 0 ? momenta[i].data() : nullptr}});
      }
      reference().optimizer_step(s, list, nullptr);
      s.decay = c["dampening"];  // from the second step on
      for (std::size_t i = 0; i < params.size(); ++i)
        check_values({{"param", c["after"][step][i]}}, "param", params[i]);
    }
  }
}

TEST_CASE("adamw_step is PyTorch's", "[golden]") {
  for (const json& c : golden("adamw")) {
    OptimizerStep s{.op = OptimizerOp::adamw,
                    .lr = c["lr"],
                    .momentum = c["betas"][0],
                    .decay = c["betas"][1],
                    .eps = c["eps"],
                    .weight_decay = c["weight_decay"]};
    CAPTURE(s.lr, s.momentum, s.decay, s.eps, s.weight_decay);
    std::size_t steps = 0;
    std::vector<Values> params = c["start"], exp_avg, exp_avg_sq;
    for (const Values& p : params) {
      exp_avg.emplace_back(p.size());
      exp_avg_sq.emplace_back(p.size());
    }
    for (const json& step : c["grads"]) {
      const std::vector<Values> grads = step;
      std::vector<OptimizerParam<double>> list;
      for (std::size_t i = 0; i < params.size(); ++i) {
        list.push_back({static_cast<int64_t>(params[i].size()),
                        params[i].data(),
                        grads[i].data(),
                        {exp_avg[i].data(), exp_avg_sq[i].data()}});
      }
      ++steps;
      s.correction1 = 1 - std::pow(s.momentum, static_cast<double>(steps));
      s.correction2 = 1 - std::pow(s.decay, static_cast<double>(steps));
      reference().optimizer_step(s, list, nullptr);
      for (std::size_t i = 0; i < params.size(); ++i) {
        check_values({{"param", c["after"][steps - 1][i]}}, "param", params[i]);
      }
    }
  }
}

TEST_CASE("philox gives the published words", "[golden]") {
  const PhiloxBlock zero = philox(0, 0);  // Random123's known answer
  CHECK(zero.word[0] == 0x6627e8d5);
  CHECK(zero.word[1] == 0xe169c58d);
  CHECK(zero.word[2] == 0xbc57ac4c);
  CHECK(zero.word[3] == 0x9b00dbd8);
  for (const json& c : golden("philox")) {
    const std::uint64_t seed = c["seed"], counter = c["counter"];
    CAPTURE(seed, counter);
    for (int i = 0; i < 4; ++i) {
      const std::uint32_t want = c["words"][i];
      CHECK(philox(seed, counter).word[i] == want);
      CHECK(philox_bits({seed, counter - 7}, 4 * 7 + i) == want);
    }
  }
}

TEST_CASE("uniform_from_bits stays in [0, 1)", "[golden]") {
  CHECK(uniform_from_bits(0) == 0);
  CHECK(uniform_from_bits(0xff) == 0);
  CHECK(uniform_from_bits(0x80000000) == 0.5f);
  CHECK(uniform_from_bits(0xffffffff) == 1 - 0x1p-24f);
}

TEST_CASE("philox_blocks counts the blocks that were begun", "[golden]") {
  CHECK(philox_blocks(0) == 0);
  CHECK(philox_blocks(1) == 1);
  CHECK(philox_blocks(4) == 1);
  CHECK(philox_blocks(5) == 2);
}

}  // namespace tern::test
