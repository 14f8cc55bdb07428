#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/normalized.hpp>
#include <birds_vs_planes/residual_models.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/summary.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cmath>
#include <set>

using namespace tern;
using birds_vs_planes::make_model;

namespace {

std::set<std::string> names(const StateDict& state) {
  std::set<std::string> names;
  for (const auto& [name, x] : state) names.insert(name);
  return names;
}

Tensor images(std::int64_t n, test::Random& random) {
  return tensor(random.between<float>(n * 3 * 32 * 32, 0, 1)).reshape({n, 3, 32, 32});
}

void check_near(const Tensor& a, const Tensor& b, double tolerance) {
  REQUIRE(a.shape() == b.shape());
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO("element " << i << ": " << x[i] << " and " << y[i]);
    REQUIRE(std::abs(x[i] - y[i]) <= tolerance);
  }
}

}  // namespace

TEST_CASE("the models have the article's parameters") {
  CHECK(birds_vs_planes::model_names() ==
        std::vector<std::string>{"net", "width", "dropout", "batchnorm", "depth", "res", "resdeep", "resstrong"});
  CHECK(make_model("net")->num_parameters() == 18090);
  CHECK(make_model("width")->num_parameters() == 38386);
  CHECK(make_model("dropout")->num_parameters() == 38386);
  CHECK(make_model("batchnorm")->num_parameters() == 38482);

  const std::set<std::string> plain{"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias",
                                    "fc1.weight",   "fc1.bias",   "fc2.weight",   "fc2.bias"};
  std::set<std::string> normalised = plain;
  for (const char* layer : {"conv1_batchnorm.", "conv2_batchnorm."}) {
    for (const char* x : {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}) {
      normalised.insert(std::string(layer) + x);
    }
  }
  CHECK(names(make_model("net")->state_dict()) == plain);
  CHECK(names(make_model("width")->state_dict()) == plain);
  CHECK(names(make_model("dropout")->state_dict()) == plain);
  CHECK(names(make_model("batchnorm")->state_dict()) == normalised);
  CHECK(make_model("net")->state_dict().at("fc1.weight").shape() == Shape{32, 512});
  CHECK(make_model("width")->state_dict().at("conv2.weight").shape() == Shape{16, 32, 3, 3});
}

TEST_CASE("an unknown model is an error that lists the known ones") {
  CHECK_THROWS_WITH(make_model("resnet"),
                    "model 'resnet': expected one of net, width, dropout, batchnorm, depth, res, resdeep, resstrong");
}

TEST_CASE("every model gives two logits an image, and every parameter learns") {
  test::for_each_case(2, [](test::Random& random) {
    const std::int64_t n = random.integer(2, 5);
    for (const std::string& name : birds_vs_planes::model_names()) {
      INFO(name);
      const auto model = make_model(name);
      const Tensor logits = (*model)(images(n, random));
      REQUIRE(logits.shape() == Shape{n, name == "resstrong" ? 10 : 2});
      cross_entropy(logits, zeros({n}, {.dtype = DType::int64})).backward();
      for (const auto& [parameter, x] : model->named_parameters()) {
        INFO(parameter);
        REQUIRE(x.grad().defined());
        // Batch normalisation takes the mean, and with it the bias before it, away.
        const bool cancelled = name == "batchnorm" && (parameter == "conv1.bias" || parameter == "conv2.bias");
        // A block that starts as the identity gives nothing back to what is in it.
        const bool unused = name == "resstrong" && (parameter.find(".first.") != std::string::npos ||
                                                    parameter.find(".second.conv.") != std::string::npos);
        if (!cancelled && !unused) CHECK(x.grad().pow(2).sum().item() > 0);
      }
    }
  });
}

TEST_CASE("dropout's model is the wide one in evaluation, and drops channels in training") {
  test::for_each_case(2, [](test::Random& random) {
    const auto wide = make_model("width"), dropout = make_model("dropout");
    dropout->load_state_dict(wide->state_dict());
    const Tensor x = images(3, random);
    dropout->eval();
    CHECK((*dropout)(x).to_vector<float>() == (*wide)(x).to_vector<float>());
    dropout->train();
    const auto first = (*dropout)(x).to_vector<float>();
    CHECK(first != (*wide)(x).to_vector<float>());
    CHECK(first != (*dropout)(x).to_vector<float>());
  });
}

TEST_CASE("batch normalisation stands between a convolution and its tanh") {
  // In evaluation it is an affine function of each channel, so it can be folded into the convolution before it.
  test::for_each_case(2, [](test::Random& random) {
    const auto normalised = make_model("batchnorm"), wide = make_model("width");
    const NoGradGuard no_grad;
    StateDict state = normalised->state_dict(), folded;
    for (const auto& [name, x] : wide->state_dict()) folded[name] = state.at(name).clone();
    for (const std::string conv : {"conv1", "conv2"}) {
      const std::string norm = conv + "_batchnorm.";
      for (const auto& [name, low, high] :
           {std::tuple{"weight", 0.5, 2.0}, std::tuple{"bias", -1.0, 1.0}, std::tuple{"running_mean", -1.0, 1.0},
            std::tuple{"running_var", 0.2, 3.0}}) {
        const Tensor x = state.at(norm + name);
        x.copy_(tensor(random.between<float>(x.numel(), low, high)));
      }
      const Tensor scale = state.at(norm + "weight") / (state.at(norm + "running_var") + 1e-5).sqrt();
      const Tensor bias = (state.at(conv + ".bias") - state.at(norm + "running_mean")) * scale;
      folded[conv + ".weight"] = state.at(conv + ".weight") * scale.reshape({-1, 1, 1, 1});
      folded[conv + ".bias"] = bias + state.at(norm + "bias");
    }
    wide->load_state_dict(folded);
    normalised->eval();
    const Tensor x = images(3, random);
    check_near((*normalised)(x), (*wide)(x), 1e-5);
  });
}

TEST_CASE("the models beyond the article have their parameters, and convolutions without a bias") {
  // A convolution of 3 x 3 has 9 in out weights, its normalisation 2 out; a linear layer in out + out.
  const auto conv = [](std::int64_t in, std::int64_t out) { return 9 * in * out + 2 * out; };
  const std::int64_t depth = conv(3, 32) + conv(32, 16) + conv(16, 16) + 256 * 32 + 32 + 66;
  CHECK(make_model("depth")->num_parameters() == depth);
  CHECK(make_model("res")->num_parameters() == depth);
  CHECK(make_model("resdeep")->num_parameters() == 896 + 10 * conv(32, 32) + 2048 * 32 + 32 + 66);
  const std::int64_t strong = conv(3, 16) + conv(16, 32) + 2 * conv(32, 32) + conv(32, 64) + 2 * conv(64, 64) +
                              conv(64, 128) + 2 * conv(128, 128) + 1290;
  CHECK(make_model("resstrong")->num_parameters() == strong);
  CHECK(strong > 300000);
  CHECK(strong < 500000);
  for (const auto& [name, x] : make_model("resstrong")->state_dict()) CHECK_FALSE(name.ends_with("conv.bias"));
  CHECK(make_model("resdeep")->state_dict().contains("resblocks.9.batch_norm.running_var"));
}

TEST_CASE("convolutions before a normalisation start normal with variance 2 / fan_in") {
  manual_seed(test::base_seed());
  const auto model = make_model("resstrong");
  for (const auto& [name, fan_in] : {std::pair{"block3.first.conv.weight", 128 * 9}, {"widen2.conv.weight", 32 * 9}}) {
    INFO(name);
    const Tensor w = model->state_dict().at(name).detach();
    const double n = static_cast<double>(w.numel()), variance = 2.0 / fan_in;
    const double squares = w.pow(2).mean().item(), fourth = w.pow(4).mean().item();
    CHECK(std::abs(w.mean().item()) < 5 * std::sqrt(variance / n));
    CHECK(std::abs(squares / variance - 1) < 5 * std::sqrt(2 / n));
    CHECK(fourth / (squares * squares) == Approx(3).margin(5 * std::sqrt(96 / n)));  // a normal distribution's kurtosis
  }
  CHECK(make_model("resdeep")->state_dict().at("resblocks.0.batch_norm.weight").detach().sum().item() == 16);
}

TEST_CASE("a residual block that starts at zero is the identity for what relu lets through") {
  test::for_each_case(3, [](test::Random& random) {
    birds_vs_planes::DoubleResBlock block(4);
    const Tensor x = tensor(random.between<float>(2 * 4 * 6 * 6, 0, 1)).reshape({2, 4, 6, 6});
    CHECK(block(x).to_vector<float>() == x.to_vector<float>());
    birds_vs_planes::ResBlock half(4);
    CHECK(half(x).to_vector<float>() != x.to_vector<float>());
  });
}

TEST_CASE("a normalised model is the model of the normalised image, and saves what it normalises by") {
  test::for_each_case(2, [](test::Random& random) {
    const Tensor x = images(3, random), mean = tensor(random.between<float>(3, 0, 1)),
                 std = tensor(random.between<float>(3, 0.1, 1));
    auto plain = make_model("net");
    birds_vs_planes::Normalized model(make_model("net"), mean, std);
    model.load_state_dict(plain->state_dict(), false);
    const NoGradGuard no_grad;
    const Tensor by_hand = (x - mean.reshape({1, 3, 1, 1})) / std.reshape({1, 3, 1, 1});
    check_near(model(x), (*plain)(by_hand), 1e-5);
    std::set<std::string> expected = names(plain->state_dict());
    expected.insert({"input_mean", "input_std"});
    CHECK(names(model.state_dict()) == expected);
    CHECK(model.num_parameters() == plain->num_parameters());
  });
}

TEST_CASE("the table of layers names each layer, its kind, its output, its parameters and its work") {
  CHECK(summary(*make_model("dropout"), zeros({1, 3, 32, 32})) ==
        "layer          kind                                                               output           parameters "
        " mult-adds\n"
        "conv1          Conv2d(3, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))   [1, 32, 32, 32]         896 "
        "   884,736\n"
        "conv1_dropout  Dropout2d(p=0.4)                                                   [1, 32, 16, 16]           0 "
        "         0\n"
        "conv2          Conv2d(32, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))  [1, 16, 16, 16]       4,624 "
        " 1,179,648\n"
        "conv2_dropout  Dropout2d(p=0.4)                                                   [1, 16, 8, 8]             0 "
        "         0\n"
        "fc1            Linear(1024, 32)                                                   [1, 32]              32,800 "
        "    32,768\n"
        "fc2            Linear(32, 2)                                                      [1, 2]                   66 "
        "        64\n"
        "\n"
        "parameters: 38,386\n"
        "mult-adds: 2,097,216\n"
        "memory: input 0.01 MB, outputs 0.18 MB, parameters 0.15 MB\n");
}

TEST_CASE("a layer's row counts what is in it, and stands before it") {
  const auto model = make_model("resdeep");
  const auto rows = layer_rows(*model, [&] { (*model)(zeros({1, 3, 32, 32})); });
  REQUIRE(rows.size() == 34);  // conv1, resblocks, 10 blocks of a convolution and a normalisation, fc1, fc2
  CHECK(rows[1].name == "resblocks");
  CHECK(rows[1].kind == "Sequential");
  CHECK(rows[1].parameters == 10 * rows[2].parameters);
  CHECK(rows[1].mult_adds == 10 * rows[2].mult_adds);
  CHECK(rows[2].name == "resblocks.0");
  CHECK(rows[2].mult_adds == 32 * 32 * 9 * 16 * 16);
  CHECK(rows[3].name == "resblocks.0.conv");
  CHECK(rows[3].is_leaf);
  CHECK_FALSE(rows[2].is_leaf);
  CHECK(rows.back().name == "fc2");
}
