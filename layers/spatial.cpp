#include <tern/core/check.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/layers/parameters.hpp>
#include <tern/layers/spatial.hpp>

#include <string_view>

namespace tern {
namespace {

std::string tuple(HeightWidth v) { return fmt::format("({}, {})", v.h, v.w); }
std::string tuple(std::int64_t v) { return fmt::format("({},)", v); }
std::string both(HeightWidth v) { return v.h == v.w ? fmt::format("{}", v.h) : tuple(v); }
std::string capital(bool v) { return v ? "True" : "False"; }
/// As Python writes a float: with a point.
std::string real(double v) {
  const std::string text = fmt::format("{}", v);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

/// Makes a convolution's parameters: weight [first, second / groups, window...] and bias. Throws Error for channels or
/// groups that are none.
template <class Options>
void make_parameters(const char* who, const Options& o, std::int64_t first, std::int64_t second, const Shape& window,
                     Tensor& weight, Tensor& bias) {
  check(o.in_channels > 0 && o.out_channels > 0 && o.in_channels % o.groups == 0 && o.out_channels % o.groups == 0,
        "{}: {} to {} channels, {} groups, kernel {}, expected positive numbers and groups that divide both channels",
        who, o.in_channels, o.out_channels, o.groups, window);
  Shape shape{first, second / o.groups};
  for (const std::int64_t size : window) shape.push_back(size);
  const std::int64_t fan_in = shape.numel() / first;
  weight = uniform_parameter(shape, fan_in);
  if (o.bias) bias = uniform_parameter({o.out_channels}, fan_in);
}

Members weight_and_bias(const Tensor& weight, const Tensor& bias) {
  Members m{.parameters = {{"weight", weight}}};
  if (bias.defined()) m.parameters.emplace_back("bias", bias);
  return m;
}

/// As PyTorch prints a convolution: what is as usual is left out, but for the stride.
template <class Options, class Sizes>
std::string conv_str(const char* name, const Options& o, const std::string& padding, Sizes output_padding) {
  std::string text = fmt::format("{}({}, {}, kernel_size={}, stride={}", name, o.in_channels, o.out_channels,
                                 tuple(o.kernel_size), tuple(o.stride));
  const auto add = [&](const char* what, const std::string& value, const std::string& usual) {
    if (value != usual) text += fmt::format(", {}={}", what, value);
  };
  add("padding", padding, tuple(Sizes(0)));
  add("dilation", tuple(o.dilation), tuple(Sizes(1)));
  add("output_padding", tuple(output_padding), tuple(Sizes(0)));
  add("groups", fmt::format("{}", o.groups), "1");
  add("bias", capital(o.bias), "True");
  return text + ")";
}

void check_output_size(const char* who, OutputSize size) {
  check(size.h.value_or(0) >= 0 && size.w.value_or(0) >= 0, "{}: output size [{}, {}], expected no negative one", who,
        size.h.value_or(0), size.w.value_or(0));
}

std::string str(OutputSize size) {
  const auto one = [](std::optional<std::int64_t> v) { return v ? fmt::format("{}", *v) : "None"; };
  return size.h && size.h == size.w ? one(size.h) : fmt::format("({}, {})", one(size.h), one(size.w));
}

std::int64_t checked_factor(const char* who, std::int64_t factor) {
  check(factor > 0, "{}: factor {}, expected 1 or more", who, factor);
  return factor;
}

}  // namespace

Conv2d::Conv2d(const Options& o) : options_(o) {
  check_options("Conv2d", o.kernel_size, op_options());
  make_parameters("Conv2d", o, o.out_channels, o.in_channels, {o.kernel_size.h, o.kernel_size.w}, weight, bias);
}

Conv2dOptions Conv2d::op_options() const {
  return {
      .stride = options_.stride, .padding = options_.padding, .dilation = options_.dilation, .groups = options_.groups};
}

Tensor Conv2d::forward(const Tensor& x) { return conv2d(x, weight, bias, op_options()); }

Tensor Conv2d::max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation) {
  const Call call(*this);
  if (!has_hooks()) return conv2d_max_pool2d(x, weight, bias, op_options(), kernel_size, activation);
  const Tensor y = (*this)(x);
  return activate(kernel_size.h == 1 && kernel_size.w == 1 ? y : tern::max_pool2d(y, kernel_size), activation);
}

Members Conv2d::members() { return weight_and_bias(weight, bias); }

std::string Conv2d::str() const {
  const std::string padding = options_.padding.same ? "same" : tuple(options_.padding);
  return conv_str("Conv2d", options_, padding, HeightWidth(0));
}

ConvTranspose2d::ConvTranspose2d(const Options& o) : options_(o) {
  check_options("ConvTranspose2d", o.kernel_size, op_options());
  make_parameters("ConvTranspose2d", o, o.in_channels, o.out_channels, {o.kernel_size.h, o.kernel_size.w}, weight,
                  bias);
}

ConvTranspose2dOptions ConvTranspose2d::op_options() const {
  return {.stride = options_.stride,
          .padding = options_.padding,
          .output_padding = options_.output_padding,
          .groups = options_.groups,
          .dilation = options_.dilation};
}

Tensor ConvTranspose2d::forward(const Tensor& x) { return conv_transpose2d(x, weight, bias, op_options()); }
Members ConvTranspose2d::members() { return weight_and_bias(weight, bias); }
std::string ConvTranspose2d::str() const {
  return conv_str("ConvTranspose2d", options_, tuple(options_.padding), options_.output_padding);
}

Conv1d::Conv1d(const Options& o) : options_(o) {
  Conv2dOptions two{.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups};
  check_options("Conv1d", o.kernel_size, two);
  make_parameters("Conv1d", o, o.out_channels, o.in_channels, {o.kernel_size}, weight, bias);
}

Tensor Conv1d::forward(const Tensor& x) {
  return conv1d(x, weight, bias,
                {.stride = options_.stride,
                 .padding = options_.padding,
                 .dilation = options_.dilation,
                 .groups = options_.groups});
}
Members Conv1d::members() { return weight_and_bias(weight, bias); }
std::string Conv1d::str() const {
  const std::string padding = options_.padding.same ? "same" : tuple(options_.padding.w);
  return conv_str("Conv1d", options_, padding, std::int64_t{0});
}

ConvTranspose1d::ConvTranspose1d(const Options& o) : options_(o) {
  const ConvTranspose2dOptions two{.stride = o.stride,
                                   .padding = o.padding,
                                   .output_padding = o.output_padding,
                                   .groups = o.groups,
                                   .dilation = o.dilation};
  check_options("ConvTranspose1d", o.kernel_size, two);
  make_parameters("ConvTranspose1d", o, o.in_channels, o.out_channels, {o.kernel_size}, weight, bias);
}

Tensor ConvTranspose1d::forward(const Tensor& x) {
  return conv_transpose1d(x, weight, bias,
                          {.stride = options_.stride,
                           .padding = options_.padding,
                           .output_padding = options_.output_padding,
                           .groups = options_.groups,
                           .dilation = options_.dilation});
}
Members ConvTranspose1d::members() { return weight_and_bias(weight, bias); }
std::string ConvTranspose1d::str() const {
  return conv_str("ConvTranspose1d", options_, tuple(options_.padding), options_.output_padding);
}

MaxPool2d::MaxPool2d(HeightWidth kernel_size, const Pool2dOptions& options)
    : kernel_size_(kernel_size), options_(options) {
  check_options("MaxPool2d", kernel_size, options);
}

AvgPool2d::AvgPool2d(HeightWidth kernel_size, const Pool2dOptions& options)
    : kernel_size_(kernel_size), options_(options) {
  check_options("AvgPool2d", kernel_size, options);
}

MaxPool1d::MaxPool1d(std::int64_t kernel_size, const Pool1dOptions& o) : kernel_size_(kernel_size), options_(o) {
  check_options("MaxPool1d", kernel_size,
                Pool2dOptions{.stride = o.stride, .padding = o.padding, .dilation = o.dilation});
}

AvgPool1d::AvgPool1d(std::int64_t kernel_size, const Pool1dOptions& o) : kernel_size_(kernel_size), options_(o) {
  check_options("AvgPool1d", kernel_size, Pool2dOptions{.stride = o.stride, .padding = o.padding});
}

std::string MaxPool2d::str() const {
  return fmt::format("MaxPool2d(kernel_size={}, stride={}, padding={}, dilation={}, ceil_mode={})", both(kernel_size_),
                     both(options_.stride.value_or(kernel_size_)), both(options_.padding), both(options_.dilation),
                     capital(options_.ceil_mode));
}
std::string MaxPool1d::str() const {
  return fmt::format("MaxPool1d(kernel_size={}, stride={}, padding={}, dilation={}, ceil_mode={})", kernel_size_,
                     options_.stride.value_or(kernel_size_), options_.padding, options_.dilation,
                     capital(options_.ceil_mode));
}
std::string AvgPool2d::str() const {
  return fmt::format("AvgPool2d(kernel_size={}, stride={}, padding={})", both(kernel_size_),
                     both(options_.stride.value_or(kernel_size_)), both(options_.padding));
}
std::string AvgPool1d::str() const {
  return fmt::format("AvgPool1d(kernel_size={}, stride={}, padding={})", tuple(kernel_size_),
                     tuple(options_.stride.value_or(kernel_size_)), tuple(options_.padding));
}

AdaptiveAvgPool2d::AdaptiveAvgPool2d(OutputSize size) : output_size_(size) {
  check_output_size("AdaptiveAvgPool2d", size);
}
AdaptiveMaxPool2d::AdaptiveMaxPool2d(OutputSize size) : output_size_(size) {
  check_output_size("AdaptiveMaxPool2d", size);
}
AdaptiveAvgPool1d::AdaptiveAvgPool1d(std::int64_t size) : output_size_(size) {
  check_output_size("AdaptiveAvgPool1d", size);
}
AdaptiveMaxPool1d::AdaptiveMaxPool1d(std::int64_t size) : output_size_(size) {
  check_output_size("AdaptiveMaxPool1d", size);
}
std::string AdaptiveAvgPool2d::str() const { return "AdaptiveAvgPool2d(output_size=" + tern::str(output_size_) + ")"; }
std::string AdaptiveMaxPool2d::str() const { return "AdaptiveMaxPool2d(output_size=" + tern::str(output_size_) + ")"; }
std::string AdaptiveAvgPool1d::str() const { return fmt::format("AdaptiveAvgPool1d(output_size={})", output_size_); }
std::string AdaptiveMaxPool1d::str() const { return fmt::format("AdaptiveMaxPool1d(output_size={})", output_size_); }

Upsample::Upsample(const InterpolateOptions& options) : options_(options) { check_options("Upsample", options); }

std::string Upsample::str() const {
  constexpr const char* modes[] = {"nearest", "nearest-exact", "linear", "bilinear", "area"};
  const char* const mode = modes[static_cast<int>(options_.mode)];
  if (options_.size) return fmt::format("Upsample(size={}, mode={})", both(*options_.size), mode);
  const auto [h, w] = *options_.scale_factor;
  const std::string factor = h == w ? real(h) : fmt::format("({}, {})", real(h), real(w));
  return fmt::format("Upsample(scale_factor={}, mode={})", factor, mode);
}

PixelShuffle::PixelShuffle(std::int64_t r) : upscale_factor_(checked_factor("PixelShuffle", r)) {}
PixelUnshuffle::PixelUnshuffle(std::int64_t r) : downscale_factor_(checked_factor("PixelUnshuffle", r)) {}
std::string PixelShuffle::str() const { return fmt::format("PixelShuffle(upscale_factor={})", upscale_factor_); }
std::string PixelUnshuffle::str() const {
  return fmt::format("PixelUnshuffle(downscale_factor={})", downscale_factor_);
}

}  // namespace tern
