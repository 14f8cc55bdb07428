#include <birds_vs_planes/layer_table.hpp>
#include <birds_vs_planes/models.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>

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
  CHECK(birds_vs_planes::model_names() == std::vector<std::string>{"net", "width", "dropout", "batchnorm"});
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
  CHECK_THROWS_WITH(make_model("resnet"), "model 'resnet': expected one of net, width, dropout, batchnorm");
}

TEST_CASE("every model gives two logits an image, and every parameter learns") {
  test::for_each_case(2, [](test::Random& random) {
    const std::int64_t n = random.integer(2, 5);
    for (const std::string& name : birds_vs_planes::model_names()) {
      INFO(name);
      const auto model = make_model(name);
      const Tensor logits = (*model)(images(n, random));
      REQUIRE(logits.shape() == Shape{n, 2});
      cross_entropy(logits, zeros({n}, {.dtype = DType::int64})).backward();
      for (const auto& [parameter, x] : model->named_parameters()) {
        INFO(parameter);
        REQUIRE(x.grad().defined());
        // Batch normalisation takes the mean, and with it the bias before it, away.
        const bool cancelled = name == "batchnorm" && (parameter == "conv1.bias" || parameter == "conv2.bias");
        if (!cancelled) CHECK(x.grad().pow(2).sum().item() > 0);
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

TEST_CASE("the table of layers names each layer, its kind, its output and its parameters") {
  CHECK(birds_vs_planes::layer_table(make_model("dropout"), zeros({1, 3, 32, 32})) ==
        "layer          kind                                      output           parameters\n"
        "conv1          Conv2d(3, 32, kernel_size=3, padding=1)   [1, 32, 32, 32]         896\n"
        "conv1_dropout  Dropout2d(p=0.4)                          [1, 32, 16, 16]           0\n"
        "conv2          Conv2d(32, 16, kernel_size=3, padding=1)  [1, 16, 16, 16]        4624\n"
        "conv2_dropout  Dropout2d(p=0.4)                          [1, 16, 8, 8]             0\n"
        "fc1            Linear(1024, 32)                          [1, 32]               32800\n"
        "fc2            Linear(32, 2)                             [1, 2]                   66\n"
        "total                                                                          38386\n");
}
