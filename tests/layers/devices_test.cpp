#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/layers.hpp>

#include <cmath>
#include <memory>

namespace tern::test {

namespace {

struct Layer {
  std::function<std::unique_ptr<Module>()> make;
  Shape input;
};

template <class L, class... Args>
Layer layer(const Shape& input, Args... args) {
  return {[=] { return std::make_unique<L>(args...); }, input};
}

/// In training, then in evaluation, on float64: what comes out, the gradients, and what is left in the buffers.
std::vector<Tensor> run(const Layer& layer, Device device, const std::vector<double>& input) {
  manual_seed(base_seed());
  const std::unique_ptr<Module> module = layer.make();
  module->to(DType::float64);
  module->to(device);
  std::vector<Tensor> results;
  for (const bool training : {true, false}) {
    module->train(training);
    const Tensor x = tensor(input, device).reshape(layer.input).clone().set_requires_grad();
    const Tensor y = (*module)(x);
    (y * y).sum().backward();
    results.push_back(y.detach());
    results.push_back(x.grad());
  }
  for (const auto& [name, p] : module->named_parameters()) results.push_back(p.grad());
  for (const auto& [name, b] : module->named_buffers()) results.push_back(b);
  return results;
}

}  // namespace

TEST_CASE("every layer gives on every device what it gives on the reference", "[module]") {
  const Shape images{3, 4, 9, 7};
  const std::vector<Layer> layers{
      layer<Conv2d>(images, Conv2d::Options{.in_channels = 4, .out_channels = 6, .kernel_size = 3, .padding = 1}),
      layer<Conv2d>(images, Conv2d::Options{.in_channels = 4,
                                            .out_channels = 6,
                                            .kernel_size = {3, 2},
                                            .stride = 2,
                                            .padding = {2, 3},
                                            .dilation = 2,
                                            .groups = 2,
                                            .bias = false}),
      layer<Linear>({5, 7}, 7, 3),
      layer<Linear>({2, 5, 7}, 7, 3, false),
      layer<BatchNorm2d>(images, 4),
      layer<Dropout>(images, 0.3),
      layer<Dropout2d>(images, 0.5),
      layer<MaxPool2d>(images, HeightWidth(2)),
      layer<MaxPool2d>(images, HeightWidth(3), Pool2dOptions{.stride = HeightWidth(2), .padding = 1}),
      layer<AvgPool2d>(images, HeightWidth(2, 3), Pool2dOptions{.stride = HeightWidth(1), .padding = 1}),
      layer<ConvTranspose2d>(images, ConvTranspose2d::Options{.in_channels = 4,
                                                              .out_channels = 6,
                                                              .kernel_size = {3, 2},
                                                              .stride = 2,
                                                              .padding = 1,
                                                              .output_padding = 1,
                                                              .groups = 2}),
      layer<Conv1d>({3, 4, 9}, Conv1d::Options{.in_channels = 4, .out_channels = 6, .kernel_size = 3}),
      layer<ConvTranspose1d>({3, 4, 9},
                             ConvTranspose1d::Options{.in_channels = 4, .out_channels = 6, .kernel_size = 3}),
      layer<AdaptiveAvgPool2d>(images, OutputSize(4, 3)),
      layer<AdaptiveMaxPool2d>(images, OutputSize(4, 3)),
      layer<Upsample>(images, InterpolateOptions{.scale_factor = 2, .mode = InterpolateMode::bilinear}),
      layer<Tanh>(images),
      layer<ReLU>(images),
      layer<Sigmoid>(images),
      layer<Flatten>(images),
      {[] {
         return std::make_unique<Sequential>(Conv2d({.in_channels = 4, .out_channels = 2, .kernel_size = 3}), Tanh(),
                                             Flatten(), Linear(70, 2));
       },
       images},
  };
  Random random(base_seed(), 0);
  for (const Layer& layer : layers) {
    const std::vector<double> input = random.between<double>(layer.input.numel(), -2, 2);
    const std::vector<Tensor> want = run(layer, Device::reference, input);
    for (const Device device : devices()) {
      INFO(layer.make()->str() << " on " << device << ", TERN_TEST_SEED=" << base_seed());
      const std::vector<Tensor> got = run(layer, device, input);
      REQUIRE(got.size() == want.size());
      for (std::size_t i = 0; i < want.size(); ++i) {
        CHECK(got[i].device() == device);
        CHECK(got[i].shape() == want[i].shape());
        const std::vector<double> a = got[i].to_vector<double>(), b = want[i].to_vector<double>();
        double largest = 1;
        for (const double v : b) largest = std::max(largest, std::abs(v));
        for (std::size_t j = 0; j < a.size(); ++j) {
          INFO("result " << i << ", element " << j << ": " << a[j] << ", expected " << b[j]);
          CHECK(std::abs(a[j] - b[j]) <= 1e-12 * largest);
          CHECK((a[j] == 0) == (b[j] == 0));  // masks are the same
        }
      }
    }
  }
}

}  // namespace tern::test
