#include "rows.hpp"

namespace tern::test {

static const Rows convolution_pooling_and_resampling{
    {"F.conv2d", "F.conv2d(a, b, c)", [](T a, T b, T c) { return conv2d(a, b, c); },
     "[2,3,5,6] [4,3,3,2] [4] | [3,5,6] [4,3,1,1] [4] | [0,3,5,6] [4,3,3,2] [4]"},
    {"F.conv2d, options", "F.conv2d(a, b, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)",
     [](T a, T b) {
       return conv2d(a, b, {}, {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2});
     },
     "[2,4,5,6] [6,2,3,2] | [4,3,1] [2,2,1,2]"},
    {"F.conv2d, padding='same'", "F.conv2d(a, b, padding='same')",
     [](T a, T b) { return conv2d(a, b, {}, {.padding = "same"}); },
     "[2,3,5,6] [4,3,3,2] | [3,4,1] [1,3,4,4] | [1,1,1,1] [1,1,1,1]"},
    {"F.conv1d", "F.conv1d(a, b, c, stride=2, padding=1)",
     [](T a, T b, T c) { return conv1d(a, b, c, {.stride = 2, .padding = 1}); },
     "[2,3,7] [4,3,3] [4] | [3,1] [4,3,2] [4]"},
    {"F.conv_transpose2d", "F.conv_transpose2d(a, b, c)", [](T a, T b, T c) { return conv_transpose2d(a, b, c); },
     "[2,3,4,5] [3,4,3,2] [4] | [3,1,1] [3,2,2,2] [2] | [0,3,4,5] [3,4,3,2] [4]"},
    {"F.conv_transpose2d, options",
     "F.conv_transpose2d(a, b, stride=(2, 3), padding=1, output_padding=(1, 2), groups=2, dilation=(1, 2))",
     [](T a, T b) {
       return conv_transpose2d(
           a, b, {}, {.stride = {2, 3}, .padding = 1, .output_padding = {1, 2}, .groups = 2, .dilation = {1, 2}});
     },
     "[2,4,3,5] [4,3,3,2] | [4,2,2] [4,1,3,3]"},
    {"F.conv_transpose2d, output_padding of a stride", "F.conv_transpose2d(a, b, c, output_padding=1, dilation=2)",
     [](T a, T b, T c) { return conv_transpose2d(a, b, c, {.output_padding = 1, .dilation = 2}); },
     "[2,3,4,5] [3,4,3,2] [4] | [3,1,2] [3,2,1,2] [2]"},
    {"F.conv_transpose1d", "F.conv_transpose1d(a, b, c, stride=2)",
     [](T a, T b, T c) { return conv_transpose1d(a, b, c, {.stride = 2}); }, "[2,3,7] [3,4,3] [4] | [3,1] [3,4,2] [4]"},
    {"F.max_pool2d", "F.max_pool2d(a, 2)", [](T a) { return max_pool2d(a, 2); }, "[2,3,5,6] | ties[3,4,4] | [0,3,4,4]"},
    {"F.max_pool2d, options", "F.max_pool2d(a, (3, 2), stride=2, padding=1, dilation=(1, 2), ceil_mode=True)",
     [](T a) {
       return max_pool2d(a, {3, 2}, {.stride = HeightWidth(2), .padding = 1, .dilation = {1, 2}, .ceil_mode = true});
     },
     "[2,3,5,6] | ties[3,4,7] | [1,1,2,2]"},
    {"F.max_pool2d, return_indices=True", "return F.max_pool2d(a, 3, 2, ceil_mode=True, return_indices=True)",
     [](T a) { return max_pool2d_with_indices(a, 3, {.stride = HeightWidth(2), .ceil_mode = true}); },
     "distinct[2,3,6,6] | distinct[3,4,2]"},
    {"F.max_pool1d", "F.max_pool1d(a, 3, 2, 1)", [](T a) { return max_pool1d(a, 3, {.stride = 2, .padding = 1}); },
     "[2,3,7] | [3,2]"},
    {"F.avg_pool2d", "F.avg_pool2d(a, 2)", [](T a) { return avg_pool2d(a, 2); }, "[2,3,5,6] | [3,4,4] | [0,3,4,4]"},
    {"F.avg_pool2d, options", "F.avg_pool2d(a, 3, stride=2, padding=1, ceil_mode=True, count_include_pad=False)",
     [](T a) {
       return avg_pool2d(a, 3, {.stride = HeightWidth(2), .padding = 1, .ceil_mode = true, .count_include_pad = false});
     },
     "[2,3,5,6] | [3,4,1] | [1,1,6,6]"},
    {"F.avg_pool2d, ceil_mode=True", "F.avg_pool2d(a, 3, stride=2, padding=1, ceil_mode=True)",
     [](T a) { return avg_pool2d(a, 3, {.stride = HeightWidth(2), .padding = 1, .ceil_mode = true}); },
     "[2,3,6,6] | [3,4,2]"},
    {"F.avg_pool2d, divisor_override", "F.avg_pool2d(a, (2, 3), divisor_override=5)",
     [](T a) {
       return avg_pool2d(a, {2, 3}, {.divisor_override = 5});
     },
     "[2,3,5,6] | [3,4,3]"},
    {"F.avg_pool1d", "F.avg_pool1d(a, 3, 2, 1)", [](T a) { return avg_pool1d(a, 3, {.stride = 2, .padding = 1}); },
     "[2,3,7] | [3,2]"},
    {"F.adaptive_avg_pool2d", "F.adaptive_avg_pool2d(a, (3, 2))",
     [](T a) {
       return adaptive_avg_pool2d(a, {3, 2});
     },
     "[2,3,5,6] | [3,2,1] | [0,3,4,4]"},
    {"F.adaptive_avg_pool2d, global", "F.adaptive_avg_pool2d(a, 1)", [](T a) { return adaptive_avg_pool2d(a, 1); },
     "[2,3,5,6] | [3,2,1]"},
    {"F.adaptive_avg_pool2d, None", "F.adaptive_avg_pool2d(a, (None, 3))",
     [](T a) {
       return adaptive_avg_pool2d(a, {std::nullopt, 3});
     },
     "[2,3,5,6] | [3,2,4]"},
    {"F.adaptive_max_pool2d", "F.adaptive_max_pool2d(a, (3, 2))",
     [](T a) {
       return adaptive_max_pool2d(a, {3, 2});
     },
     "distinct[2,3,5,6] | [3,2,1]"},
    {"F.adaptive_max_pool2d, return_indices=True", "return F.adaptive_max_pool2d(a, (3, 2), return_indices=True)",
     [](T a) {
       return adaptive_max_pool2d_with_indices(a, {3, 2});
     },
     "distinct[2,3,5,6] | distinct[3,4,4]"},
    {"F.adaptive_avg_pool1d", "F.adaptive_avg_pool1d(a, 3)", [](T a) { return adaptive_avg_pool1d(a, 3); },
     "[2,3,7] | [3,2]"},
    {"F.adaptive_max_pool1d", "F.adaptive_max_pool1d(a, 3)", [](T a) { return adaptive_max_pool1d(a, 3); },
     "distinct[2,3,7]"},
    {"F.interpolate", "F.interpolate(a, scale_factor=2)", [](T a) { return interpolate(a, {.scale_factor = 2}); },
     "[2,3,4,5] | nan[1,2,3,3] | [0,3,4,5] | [2,3,5]"},
    {"F.interpolate, size", "F.interpolate(a, size=(7, 3))",
     [](T a) { return interpolate(a, {.size = HeightWidth(7, 3)}); }, "[2,3,4,5] | [1,1,1,1]"},
    {"F.interpolate, scale_factor", "F.interpolate(a, scale_factor=(2.6, 1.7))",
     [](T a) { return interpolate(a, {.scale_factor = ScaleFactor(2.6, 1.7)}); },
     "[2,3,4,5] | [1,1,1,1] | [1,1,7,9] | [0,2,3,3]"},
    {"F.interpolate, mode='nearest-exact', scale_factor",
     "F.interpolate(a, scale_factor=(2.2, 1.2), mode='nearest-exact')",
     [](T a) {
       return interpolate(a, {.scale_factor = ScaleFactor(2.2, 1.2), .mode = InterpolateMode::nearest_exact});
     },
     "[2,3,4,4] | [1,1,1,1] | [1,1,7,9]"},
    {"F.interpolate, mode='nearest-exact'", "F.interpolate(a, size=(7, 3), mode='nearest-exact')",
     [](T a) { return interpolate(a, {.size = HeightWidth(7, 3), .mode = InterpolateMode::nearest_exact}); },
     "[2,3,4,5] | [1,1,1,1]"},
    {"F.interpolate, mode='bilinear'", "F.interpolate(a, scale_factor=(2.5, 1.3), mode='bilinear')",
     [](T a) { return interpolate(a, {.scale_factor = ScaleFactor(2.5, 1.3), .mode = InterpolateMode::bilinear}); },
     "[2,3,4,5] | [1,1,1,1] | [0,3,4,5]"},
    {"F.interpolate, recompute_scale_factor",
     "F.interpolate(a, scale_factor=(2.5, 1.3), mode='bilinear', recompute_scale_factor=True)",
     [](T a) {
       return interpolate(
           a,
           {.scale_factor = ScaleFactor(2.5, 1.3), .mode = InterpolateMode::bilinear, .recompute_scale_factor = true});
     },
     "[2,3,5,7] | [1,1,1,1]"},
    {"F.interpolate, align_corners=True", "F.interpolate(a, size=(7, 3), mode='bilinear', align_corners=True)",
     [](T a) {
       return interpolate(a, {.size = HeightWidth(7, 3), .mode = InterpolateMode::bilinear, .align_corners = true});
     },
     "[2,3,4,5] | nan[1,2,4,5] | [1,1,1,1]"},
    {"F.interpolate, mode='linear'", "F.interpolate(a, size=9, mode='linear')",
     [](T a) { return interpolate(a, {.size = 9, .mode = InterpolateMode::linear}); }, "[2,3,5] | [1,1,1]"},
    {"F.interpolate, mode='area'", "F.interpolate(a, size=(3, 2), mode='area')",
     [](T a) { return interpolate(a, {.size = HeightWidth(3, 2), .mode = InterpolateMode::area}); }, "[2,3,4,5]"},
    {"F.pixel_shuffle", "F.pixel_shuffle(a, 2)", [](T a) { return pixel_shuffle(a, 2); },
     "[2,8,3,4] | [4,1,2] | [2,3,4,1,2]"},
    {"F.pixel_unshuffle", "F.pixel_unshuffle(a, 2)", [](T a) { return pixel_unshuffle(a, 2); }, "[2,2,4,6] | [1,2,2]"},

    {"nn.Conv2d",
     "with_state(nn.Conv2d(3, 4, (3, 2), stride=2, padding=1), weight=b, bias=c)(a)",
     [](T a, T b, T c) {
       Conv2d conv({.in_channels = 3, .out_channels = 4, .kernel_size = {3, 2}, .stride = 2, .padding = 1});
       conv.weight = b;
       conv.bias = c;
       return conv(a);
     },
     "[2,3,5,6] [4,3,3,2] [4] | [3,5,6] [4,3,3,2] [4]",
     {.call = "Conv2d({.in_channels = 3, .out_channels = 4, .kernel_size = {3, 2}, .stride = 2, .padding = 1})"}},
    {"nn.Conv1d",
     "with_state(nn.Conv1d(3, 4, 3), weight=b, bias=c)(a)",
     [](T a, T b, T c) {
       Conv1d conv({.in_channels = 3, .out_channels = 4, .kernel_size = 3});
       conv.weight = b;
       conv.bias = c;
       return conv(a);
     },
     "[2,3,5] [4,3,3] [4]",
     {.call = "Conv1d({.in_channels = 3, .out_channels = 4, .kernel_size = 3})"}},
    {"nn.ConvTranspose2d",
     "with_state(nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2), weight=b, bias=c)(a)",
     [](T a, T b, T c) {
       ConvTranspose2d conv(
           {.in_channels = 4, .out_channels = 6, .kernel_size = 3, .stride = 2, .output_padding = 1, .groups = 2});
       conv.weight = b;
       conv.bias = c;
       return conv(a);
     },
     "[2,4,3,5] [4,3,3,3] [6] | [4,1,1] [4,3,3,3] [6]",
     {.call = "ConvTranspose2d({.in_channels = 4, .out_channels = 6, .kernel_size = 3, .stride = 2, .output_padding = "
              "1, .groups = 2})"}},
    {"nn.ConvTranspose1d",
     "with_state(nn.ConvTranspose1d(4, 6, 3), weight=b, bias=c)(a)",
     [](T a, T b, T c) {
       ConvTranspose1d conv({.in_channels = 4, .out_channels = 6, .kernel_size = 3});
       conv.weight = b;
       conv.bias = c;
       return conv(a);
     },
     "[2,4,5] [4,6,3] [6]",
     {.call = "ConvTranspose1d({.in_channels = 4, .out_channels = 6, .kernel_size = 3})"}},
    {"nn.MaxPool2d", "nn.MaxPool2d(3, 2, ceil_mode=True)(a)",
     [](T a) { return MaxPool2d(3, {.stride = HeightWidth(2), .ceil_mode = true})(a); }, "[2,3,6,6]"},
    {"nn.AvgPool2d", "nn.AvgPool2d(3, count_include_pad=False, padding=1)(a)",
     [](T a) { return AvgPool2d(3, {.padding = 1, .count_include_pad = false})(a); }, "[2,3,6,6]"},
    {"nn.MaxPool1d", "nn.MaxPool1d(2)(a)", [](T a) { return MaxPool1d(2)(a); }, "[2,3,6]"},
    {"nn.AvgPool1d", "nn.AvgPool1d(2)(a)", [](T a) { return AvgPool1d(2)(a); }, "[2,3,6]"},
    {"nn.AdaptiveAvgPool2d", "nn.AdaptiveAvgPool2d((None, 3))(a)",
     [](T a) {
       return AdaptiveAvgPool2d({std::nullopt, 3})(a);
     },
     "[2,3,6,5]"},
    {"nn.AdaptiveMaxPool2d", "nn.AdaptiveMaxPool2d(2)(a)", [](T a) { return AdaptiveMaxPool2d(2)(a); },
     "distinct[2,3,5,5]"},
    {"nn.AdaptiveAvgPool1d", "nn.AdaptiveAvgPool1d(2)(a)", [](T a) { return AdaptiveAvgPool1d(2)(a); }, "[2,3,5]"},
    {"nn.AdaptiveMaxPool1d", "nn.AdaptiveMaxPool1d(2)(a)", [](T a) { return AdaptiveMaxPool1d(2)(a); },
     "distinct[2,3,5]"},
    {"nn.Upsample", "nn.Upsample(scale_factor=2, mode='bilinear')(a)",
     [](T a) { return Upsample({.scale_factor = 2, .mode = InterpolateMode::bilinear})(a); }, "[2,3,4,5]"},
    {"nn.PixelShuffle", "nn.PixelShuffle(2)(a)", [](T a) { return PixelShuffle(2)(a); }, "[2,8,3,4]"},
    {"nn.PixelUnshuffle", "nn.PixelUnshuffle(2)(a)", [](T a) { return PixelUnshuffle(2)(a); }, "[2,2,4,6]"},
};

}  // namespace tern::test
