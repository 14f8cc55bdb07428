#include <tern/layers/layers.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>

namespace tern::test {

TEST_CASE("how convolutions, poolings and their like print", "[module]") {
  // As PyTorch 1.13 prints the same.
  CHECK(Conv2d({.in_channels = 3, .out_channels = 16, .kernel_size = 3}).str() ==
        "Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1))");
  CHECK(Conv2d({.in_channels = 4,
                .out_channels = 8,
                .kernel_size = {3, 5},
                .stride = 2,
                .padding = {1, 2},
                .dilation = 2,
                .groups = 2,
                .bias = false})
            .str() ==
        "Conv2d(4, 8, kernel_size=(3, 5), stride=(2, 2), padding=(1, 2), dilation=(2, 2), groups=2, bias=False)");
  CHECK(Conv2d({.in_channels = 3, .out_channels = 16, .kernel_size = 3, .padding = "same"}).str() ==
        "Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=same)");
  CHECK(Conv1d({.in_channels = 3, .out_channels = 6, .kernel_size = 3, .padding = 1, .groups = 3}).str() ==
        "Conv1d(3, 6, kernel_size=(3,), stride=(1,), padding=(1,), groups=3)");
  CHECK(ConvTranspose2d({.in_channels = 3, .out_channels = 6, .kernel_size = 3, .stride = 2, .output_padding = 1})
            .str() == "ConvTranspose2d(3, 6, kernel_size=(3, 3), stride=(2, 2), output_padding=(1, 1))");
  CHECK(ConvTranspose1d({.in_channels = 2, .out_channels = 2, .kernel_size = 3, .bias = false, .dilation = 2}).str() ==
        "ConvTranspose1d(2, 2, kernel_size=(3,), stride=(1,), dilation=(2,), bias=False)");
  CHECK(MaxPool2d(2).str() == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)");
  CHECK(MaxPool2d({2, 3}, {.ceil_mode = true}).str() ==
        "MaxPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0, dilation=1, ceil_mode=True)");
  CHECK(AvgPool2d({2, 3}, {.stride = HeightWidth(1), .padding = 1}).str() ==
        "AvgPool2d(kernel_size=(2, 3), stride=1, padding=1)");
  CHECK(MaxPool1d(2).str() == "MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)");
  CHECK(AvgPool1d(2).str() == "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))");
  CHECK(AdaptiveAvgPool2d({std::nullopt, 3}).str() == "AdaptiveAvgPool2d(output_size=(None, 3))");
  CHECK(AdaptiveMaxPool2d(2).str() == "AdaptiveMaxPool2d(output_size=2)");
  CHECK(AdaptiveAvgPool1d(3).str() == "AdaptiveAvgPool1d(output_size=3)");
  CHECK(Upsample({.scale_factor = 2}).str() == "Upsample(scale_factor=2.0, mode=nearest)");
  CHECK(Upsample({.scale_factor = ScaleFactor(2, 3.5)}).str() == "Upsample(scale_factor=(2.0, 3.5), mode=nearest)");
  CHECK(Upsample({.size = HeightWidth(3, 4), .mode = InterpolateMode::bilinear, .align_corners = true}).str() ==
        "Upsample(size=(3, 4), mode=bilinear)");
  CHECK(PixelShuffle(2).str() == "PixelShuffle(upscale_factor=2)");
  CHECK(PixelUnshuffle(2).str() == "PixelUnshuffle(downscale_factor=2)");
}

TEST_CASE("a transposed convolution's parameters begin as PyTorch's", "[module]") {
  manual_seed(1);
  const ConvTranspose2d layer({.in_channels = 8, .out_channels = 32, .kernel_size = {3, 2}, .groups = 2});
  CHECK(layer.weight.shape() == Shape{8, 16, 3, 2});
  CHECK(layer.bias.shape() == Shape{32});
  const double bound =
      1 / std::sqrt(16.0 * 3 * 2);  // its fan_in is what one output channel of a group has, as for conv2d's weight
  for (const Tensor& x : {layer.weight, layer.bias}) {
    double largest = 0;
    for (const double v : x.to_vector<double>()) largest = std::max(largest, std::abs(v));
    CHECK(largest <= bound);
    CHECK(largest > 0.85 * bound);
  }
}

TEST_CASE("layers may go without a batch", "[module]") {
  manual_seed(2);
  const Tensor one = ones({4, 6, 8}), line = ones({4, 9});
  Conv2d conv({.in_channels = 4, .out_channels = 6, .kernel_size = 3});
  CHECK(conv(one).shape() == Shape{6, 4, 6});
  CHECK(conv.max_pool2d(one, 2, Activation::tanh).shape() == Shape{6, 2, 3});
  CHECK(ConvTranspose2d({.in_channels = 4, .out_channels = 2, .kernel_size = 2, .stride = 2})(one).shape() ==
        Shape{2, 12, 16});
  CHECK(Conv1d({.in_channels = 4, .out_channels = 2, .kernel_size = 4, .padding = "same"})(line).shape() ==
        Shape{2, 9});
  CHECK(ConvTranspose1d({.in_channels = 4, .out_channels = 2, .kernel_size = 3})(line).shape() == Shape{2, 11});
  CHECK(MaxPool2d(3, {.stride = HeightWidth(2), .ceil_mode = true})(one).shape() == Shape{4, 3, 4});
  CHECK(AvgPool2d(2)(one).shape() == Shape{4, 3, 4});
  CHECK(MaxPool1d(2)(line).shape() == Shape{4, 4});
  CHECK(AvgPool1d(2)(line).shape() == Shape{4, 4});
  CHECK(AdaptiveAvgPool2d({std::nullopt, 3})(one).shape() == Shape{4, 6, 3});
  CHECK(AdaptiveMaxPool2d(2)(one).shape() == Shape{4, 2, 2});
  CHECK(AdaptiveAvgPool1d(4)(line).shape() == Shape{4, 4});
  CHECK(AdaptiveMaxPool1d(4)(line).shape() == Shape{4, 4});
  CHECK(Upsample({.scale_factor = 2})(one).shape() == Shape{4, 6, 16});
  CHECK(PixelShuffle(2)(one).shape() == Shape{1, 12, 16});
  CHECK(PixelUnshuffle(2)(one).shape() == Shape{16, 3, 4});
}

TEST_CASE("what convolutions, poolings and their like refuse", "[module]") {
  CHECK_THROWS_AS(ConvTranspose2d({.in_channels = 3, .out_channels = 4, .kernel_size = 2, .output_padding = 1}), Error);
  CHECK_THROWS_AS(ConvTranspose2d({.in_channels = 3, .out_channels = 4, .kernel_size = 2, .groups = 2}), Error);
  CHECK_THROWS_AS(Conv2d({.in_channels = 3, .out_channels = 4, .kernel_size = 2, .stride = 2, .padding = "same"}),
                  Error);
  CHECK_THROWS_AS(Padding("around"), Error);
  CHECK_THROWS_AS(MaxPool1d(2, {.dilation = 0}), Error);
  CHECK_THROWS_AS(AvgPool2d(2, {.divisor_override = 0}), Error);
  CHECK_THROWS_AS(AdaptiveAvgPool2d({-1, 2}), Error);
  CHECK_THROWS_AS(Upsample({}), Error);
  CHECK_THROWS_AS(Upsample({.size = 2, .scale_factor = 2}), Error);
  CHECK_THROWS_AS(Upsample({.scale_factor = -1}), Error);
  CHECK_THROWS_AS(Upsample({.size = 2, .align_corners = true}), Error);
  CHECK_THROWS_AS(PixelShuffle(0), Error);
}

}  // namespace tern::test
