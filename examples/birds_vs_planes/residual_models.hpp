#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/layers.hpp>

/// Where the book goes after the article, "Deep Learning with PyTorch" 8.5.3: deeper networks, and the skip connections
/// that let them train. As in models.hpp, images [N, 3, 32, 32] in [0, 1] become the logits [N, 2] of airplane and
/// bird, but for NetResStrong in training.
///
/// Every convolution here is followed by batch normalisation, so it has no bias, and starts as He et al., "Delving deep
/// into rectifiers", 2015, equation 10 has it: normal with variance 2 / fan_in.

namespace birds_vs_planes {

/// A convolution of 3 x 3 that keeps height and width, and batch normalisation.
struct ConvNorm : tern::Module {
  /// `scale` is what the normalisation's weights start from.
  ConvNorm(std::int64_t in_channels, std::int64_t out_channels, double scale = 1);

  tern::Members members() override { return {.modules = {{"conv", &conv}, {"batch_norm", &batch_norm}}}; }
  tern::Tensor forward(const tern::Tensor& x) override { return batch_norm(conv(x)); }
  std::string str() const override { return "ConvNorm"; }

  /// relu((*this)(x) + residual), in one op with the normalisation unless a hook is to see what lies between. A
  /// residual may be left out.
  tern::Tensor relu(const tern::Tensor& x, const tern::Tensor& residual = {});
  /// relu(max_pool2d((*this)(x), 2)), likewise.
  tern::Tensor max_pool2d_relu(const tern::Tensor& x);

  tern::Conv2d conv;
  tern::BatchNorm2d batch_norm;
};

/// And max-pooling, which halves height and width.
struct ConvNormPool : ConvNorm {
  using ConvNorm::ConvNorm;
  tern::Tensor forward(const tern::Tensor& x) override { return batch_norm.max_pool2d(conv, x, 2); }
  std::string str() const override { return "ConvNormPool"; }

  /// relu((*this)(x)), likewise.
  tern::Tensor relu(const tern::Tensor& x);
};

/// Three convolutions, each pooled, two linear layers.
struct NetDepth : tern::Module {
  ConvNorm conv1{3, 32}, conv2{32, 16}, conv3{16, 16};
  tern::Linear fc1{4 * 4 * 16, 32}, fc2{32, 2};

  tern::Members members() override {
    return {.modules = {{"conv1", &conv1}, {"conv2", &conv2}, {"conv3", &conv3}, {"fc1", &fc1}, {"fc2", &fc2}}};
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = conv1.max_pool2d_relu(x);
    out = conv2.max_pool2d_relu(out);
    out = conv3.max_pool2d_relu(out);
    out = fc1(out.flatten(1), tern::Activation::relu);
    return fc2(out);
  }
};

/// NetDepth with a skip connection round its third convolution.
struct NetRes : NetDepth {
  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = conv1.max_pool2d_relu(x);
    out = conv2.max_pool2d_relu(out);
    out = max_pool2d(conv3.relu(out) + out, 2);
    out = fc1(out.flatten(1), tern::Activation::relu);
    return fc2(out);
  }
};

/// The book's residual block: relu(norm(conv(x))) + x, the normalisation starting at one half.
struct ResBlock : ConvNorm {
  explicit ResBlock(std::int64_t channels) : ConvNorm(channels, channels, 0.5) {}
  tern::Tensor forward(const tern::Tensor& x) override { return batch_norm(conv(x), tern::Activation::relu) + x; }
  std::string str() const override { return "ResBlock"; }
};

/// Ten residual blocks of 32 channels between two poolings. The book's listing multiplies a list that holds one block,
/// so its ten share their weights; here each has its own, as its text means.
struct NetResDeep : tern::Module {
  tern::Conv2d conv1{{.in_channels = 3, .out_channels = 32, .kernel_size = 3, .padding = 1}};
  tern::Sequential resblocks{ResBlock(32), ResBlock(32), ResBlock(32), ResBlock(32), ResBlock(32),
                             ResBlock(32), ResBlock(32), ResBlock(32), ResBlock(32), ResBlock(32)};
  tern::Linear fc1{8 * 8 * 32, 32}, fc2{32, 2};

  tern::Members members() override {
    return {.modules = {{"conv1", &conv1}, {"resblocks", &resblocks}, {"fc1", &fc1}, {"fc2", &fc2}}};
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = conv1.max_pool2d(x, 2, tern::Activation::relu);
    out = max_pool2d(resblocks(out), 2);
    out = fc1(out.flatten(1), tern::Activation::relu);
    return fc2(out);
  }
};

/// Two convolutions and a skip connection: relu(x + norm(conv(relu(norm(conv(x)))))). The last normalisation starts at
/// zero, so that the block starts as the identity. Goyal et al., "Accurate, large minibatch SGD", 2017, section 5.1.
struct DoubleResBlock : tern::Module {
  explicit DoubleResBlock(std::int64_t channels) : first(channels, channels), second(channels, channels, 0) {}
  ConvNorm first, second;

  tern::Members members() override { return {.modules = {{"first", &first}, {"second", &second}}}; }
  tern::Tensor forward(const tern::Tensor& x) override { return second.relu(first.relu(x), x); }
  std::string str() const override { return "DoubleResBlock"; }
};

/// The network for `--recipe strong`: a stem, then three stages that each widen, halve height and width, and end in a
/// residual block; the mean over what is left of the image; one linear layer. In training it tells all ten classes of
/// CIFAR-10 apart, airplane and bird first: with `--classes 10` the other eight teach it what they have in common with
/// these. In evaluation the logits of airplane and bird are left.
struct NetResStrong : tern::Module {
  ConvNorm stem{3, 16};
  ConvNormPool widen1{16, 32}, widen2{32, 64}, widen3{64, 128};
  DoubleResBlock block1{32}, block2{64}, block3{128};
  tern::Linear fc{128, 10};

  tern::Members members() override {
    return {.modules = {{"stem", &stem},
                        {"widen1", &widen1},
                        {"block1", &block1},
                        {"widen2", &widen2},
                        {"block2", &block2},
                        {"widen3", &widen3},
                        {"block3", &block3},
                        {"fc", &fc}}};
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = stem.relu(x);
    out = block1(widen1.relu(out));
    out = block2(widen2.relu(out));
    out = block3(widen3.relu(out));
    out = fc(out.mean({2, 3}));
    return is_training() ? out : out.narrow(1, 0, 2);
  }
};

}  // namespace birds_vs_planes
