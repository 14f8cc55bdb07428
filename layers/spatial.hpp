#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/module.hpp>

/// Convolution, pooling and resampling. N may be left out, as in the ops.

namespace tern {

/// [N, in_channels, H, W] -> [N, out_channels, P, Q], padded with zeros only. Parameters weight [out, in / groups, R,
/// S] and bias [out].
class Conv2d : public Module {
 public:
  /// PyTorch's arguments, in its order.
  struct Options {
    std::int64_t in_channels, out_channels;  ///< C of the input, and of the output
    HeightWidth kernel_size;                 ///< rows and columns of a filter
    HeightWidth stride = 1;                  ///< elements from one window to the next
    Padding padding = 0;                     ///< zeros at either end of a side, or "same"
    HeightWidth dilation = 1;                ///< elements from one tap of the filter to the next
    std::int64_t groups = 1;  ///< parts of the channels that are convolved apart; divides both channel counts
    bool bias = true;         ///< whether one is added
  };
  explicit Conv2d(const Options& options);  ///< throws Error unless groups divide both channel counts

  using Module::operator();
  /// activate((*this)(x), activation), in one op unless a hook is to see what lies between.
  Tensor operator()(const Tensor& x, Activation activation) { return max_pool2d(x, 1, activation); }
  /// activate(max_pool2d((*this)(x), kernel_size), activation), likewise (conv2d_max_pool2d). A kernel_size of 1 pools
  /// nothing.
  Tensor max_pool2d(const Tensor& x, HeightWidth kernel_size, Activation activation = Activation::none);
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Conv2dOptions op_options() const;  ///< what conv2d is told

  Tensor weight, bias;  ///< undefined bias: none

 private:
  Options options_;
};

/// [N, in_channels, H, W] -> [N, out_channels, P, Q]: conv_transpose2d. Parameters weight [in, out / groups, R, S] and
/// bias [out].
class ConvTranspose2d : public Module {
 public:
  /// PyTorch's arguments, in its order.
  struct Options {
    std::int64_t in_channels, out_channels;                   ///< C of the input, and of the output
    HeightWidth kernel_size;                                  ///< rows and columns of a filter
    HeightWidth stride = 1, padding = 0, output_padding = 0;  ///< conv2d's; output_padding is added to the size
    std::int64_t groups = 1;                                  ///< parts of the channels, as Conv2d's
    bool bias = true;                                         ///< whether one is added
    HeightWidth dilation = 1;                                 ///< elements from one tap of the filter to the next
  };
  explicit ConvTranspose2d(const Options& options);  ///< throws Error unless groups divide both channel counts
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;  ///< undefined bias: none

 private:
  ConvTranspose2dOptions op_options() const;

  Options options_;
};

/// [N, in_channels, L] -> [N, out_channels, M]. Parameters weight [out, in / groups, S] and bias [out].
class Conv1d : public Module {
 public:
  /// PyTorch's arguments, in its order.
  struct Options {
    std::int64_t in_channels, out_channels, kernel_size;  ///< C of the input, and of the output; elements of a filter
    std::int64_t stride = 1;                              ///< elements from one window to the next
    Padding padding = 0;                                  ///< zeros at either end, or "same"
    std::int64_t dilation = 1, groups = 1;  ///< elements between taps; parts of the channels that are convolved apart
    bool bias = true;                       ///< whether one is added
  };
  explicit Conv1d(const Options& options);  ///< throws Error unless groups divide both channel counts
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;  ///< undefined bias: none

 private:
  Options options_;
};

/// [N, in_channels, L] -> [N, out_channels, M]. Parameters weight [in, out / groups, S] and bias [out].
class ConvTranspose1d : public Module {
 public:
  /// PyTorch's arguments, in its order.
  struct Options {
    std::int64_t in_channels, out_channels, kernel_size;  ///< C of the input, and of the output; elements of a filter
    std::int64_t stride = 1, padding = 0, output_padding = 0, groups = 1;  ///< as ConvTranspose2d's, along L
    bool bias = true;                                                      ///< whether one is added
    std::int64_t dilation = 1;  ///< elements from one tap of the filter to the next
  };
  explicit ConvTranspose1d(const Options& options);  ///< throws Error unless groups divide both channel counts
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

  Tensor weight, bias;  ///< undefined bias: none

 private:
  Options options_;
};

/// max_pool2d.
class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(HeightWidth kernel_size, const Pool2dOptions& options = {});  ///< unless given, stride = kernel
  Tensor forward(const Tensor& x) override { return max_pool2d(x, kernel_size_, options_); }
  std::string str() const override;

 private:
  HeightWidth kernel_size_;
  Pool2dOptions options_;
};

/// avg_pool2d.
class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(HeightWidth kernel_size, const Pool2dOptions& options = {});  ///< unless given, stride = kernel
  Tensor forward(const Tensor& x) override { return avg_pool2d(x, kernel_size_, options_); }
  std::string str() const override;

 private:
  HeightWidth kernel_size_;
  Pool2dOptions options_;
};

/// max_pool1d.
class MaxPool1d : public Module {
 public:
  explicit MaxPool1d(std::int64_t kernel_size, const Pool1dOptions& options = {});  ///< unless given, stride = kernel
  Tensor forward(const Tensor& x) override { return max_pool1d(x, kernel_size_, options_); }
  std::string str() const override;

 private:
  std::int64_t kernel_size_;
  Pool1dOptions options_;
};

/// avg_pool1d.
class AvgPool1d : public Module {
 public:
  explicit AvgPool1d(std::int64_t kernel_size, const Pool1dOptions& options = {});  ///< unless given, stride = kernel
  Tensor forward(const Tensor& x) override { return avg_pool1d(x, kernel_size_, options_); }
  std::string str() const override;

 private:
  std::int64_t kernel_size_;
  Pool1dOptions options_;
};

/// adaptive_avg_pool2d.
class AdaptiveAvgPool2d : public Module {
 public:
  /// Throws Error for a negative size, as those below do.
  explicit AdaptiveAvgPool2d(OutputSize output_size);
  Tensor forward(const Tensor& x) override { return adaptive_avg_pool2d(x, output_size_); }
  std::string str() const override;

 private:
  OutputSize output_size_;
};

/// adaptive_max_pool2d.
class AdaptiveMaxPool2d : public Module {
 public:
  explicit AdaptiveMaxPool2d(OutputSize output_size);  ///< none keeps x's
  Tensor forward(const Tensor& x) override { return adaptive_max_pool2d(x, output_size_); }
  std::string str() const override;

 private:
  OutputSize output_size_;
};

/// adaptive_avg_pool1d.
class AdaptiveAvgPool1d : public Module {
 public:
  explicit AdaptiveAvgPool1d(std::int64_t output_size);  ///< the length of each output
  Tensor forward(const Tensor& x) override { return adaptive_avg_pool1d(x, output_size_); }
  std::string str() const override;

 private:
  std::int64_t output_size_;
};

/// adaptive_max_pool1d.
class AdaptiveMaxPool1d : public Module {
 public:
  explicit AdaptiveMaxPool1d(std::int64_t output_size);  ///< the length of each output
  Tensor forward(const Tensor& x) override { return adaptive_max_pool1d(x, output_size_); }
  std::string str() const override;

 private:
  std::int64_t output_size_;
};

/// interpolate.
class Upsample : public Module {
 public:
  explicit Upsample(const InterpolateOptions& options);  ///< throws Error as interpolate does
  Tensor forward(const Tensor& x) override { return interpolate(x, options_); }
  std::string str() const override;

 private:
  InterpolateOptions options_;
};

/// pixel_shuffle.
class PixelShuffle : public Module {
 public:
  /// Throws Error for a factor below 1.
  explicit PixelShuffle(std::int64_t upscale_factor);
  Tensor forward(const Tensor& x) override { return pixel_shuffle(x, upscale_factor_); }
  std::string str() const override;

 private:
  std::int64_t upscale_factor_;
};

/// pixel_unshuffle.
class PixelUnshuffle : public Module {
 public:
  explicit PixelUnshuffle(std::int64_t downscale_factor);  ///< throws Error for a factor below 1
  Tensor forward(const Tensor& x) override { return pixel_unshuffle(x, downscale_factor_); }
  std::string str() const override;

 private:
  std::int64_t downscale_factor_;
};

}  // namespace tern
