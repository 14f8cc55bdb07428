#pragma once

#include <tern/core/ops.hpp>
#include <tern/layers/layers.hpp>

#include <memory>
#include <string>
#include <vector>

/// The networks of chapter 8 of "Deep Learning with PyTorch" (Stevens, Antiga, Viehmann, 2020): each takes images
/// [N, 3, 32, 32] in [0, 1] and gives the logits [N, 2] of airplane and bird.
///
/// The book pools after tanh. tanh rises, so a window's largest element is largest before and after: pooling first
/// gives the same for a quarter of the work. A layer that is given what follows it does all of it in one kernel:
/// conv1.max_pool2d(x, 2, Activation::tanh) is tanh(max_pool2d(conv1(x), 2)).

namespace birds_vs_planes {

using tern::Activation;

inline constexpr const char* class_names[] = {"airplane", "bird"};

/// Two convolutions, two linear layers.
struct Net : tern::Module {
  tern::Conv2d conv1{{.in_channels = 3, .out_channels = 16, .kernel_size = 3, .padding = 1}};
  tern::Conv2d conv2{{.in_channels = 16, .out_channels = 8, .kernel_size = 3, .padding = 1}};
  tern::Linear fc1{8 * 8 * 8, 32};
  tern::Linear fc2{32, 2};

  tern::Members members() override {
    return {.modules = {{"conv1", &conv1}, {"conv2", &conv2}, {"fc1", &fc1}, {"fc2", &fc2}}};
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = conv1.max_pool2d(x, 2, Activation::tanh);
    out = conv2.max_pool2d(out, 2, Activation::tanh);
    out = out.view({-1, 8 * 8 * 8});
    out = fc1(out, Activation::tanh);
    return fc2(out);
  }
};

/// Net with twice the channels.
struct NetWidth : tern::Module {
  tern::Conv2d conv1{{.in_channels = 3, .out_channels = 32, .kernel_size = 3, .padding = 1}};
  tern::Conv2d conv2{{.in_channels = 32, .out_channels = 16, .kernel_size = 3, .padding = 1}};
  tern::Linear fc1{16 * 8 * 8, 32};
  tern::Linear fc2{32, 2};

  tern::Members members() override {
    return {.modules = {{"conv1", &conv1}, {"conv2", &conv2}, {"fc1", &fc1}, {"fc2", &fc2}}};
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = conv1.max_pool2d(x, 2, Activation::tanh);
    out = conv2.max_pool2d(out, 2, Activation::tanh);
    out = out.view({-1, 16 * 8 * 8});
    out = fc1(out, Activation::tanh);
    return fc2(out);
  }
};

/// NetWidth that drops whole channels after each pooling.
struct NetDropout : tern::Module {
  tern::Conv2d conv1{{.in_channels = 3, .out_channels = 32, .kernel_size = 3, .padding = 1}};
  tern::Dropout2d conv1_dropout{0.4};
  tern::Conv2d conv2{{.in_channels = 32, .out_channels = 16, .kernel_size = 3, .padding = 1}};
  tern::Dropout2d conv2_dropout{0.4};
  tern::Linear fc1{16 * 8 * 8, 32};
  tern::Linear fc2{32, 2};

  tern::Members members() override {
    return {.modules = {{"conv1", &conv1},
                        {"conv1_dropout", &conv1_dropout},
                        {"conv2", &conv2},
                        {"conv2_dropout", &conv2_dropout},
                        {"fc1", &fc1},
                        {"fc2", &fc2}}};
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = conv1.max_pool2d(x, 2, Activation::tanh);
    out = conv1_dropout(out);
    out = conv2.max_pool2d(out, 2, Activation::tanh);
    out = conv2_dropout(out);
    out = out.view({-1, 16 * 8 * 8});
    out = fc1(out, Activation::tanh);
    return fc2(out);
  }
};

/// NetWidth that normalises after each convolution.
struct NetBatchNorm : tern::Module {
  tern::Conv2d conv1{{.in_channels = 3, .out_channels = 32, .kernel_size = 3, .padding = 1}};
  tern::BatchNorm2d conv1_batchnorm{32};
  tern::Conv2d conv2{{.in_channels = 32, .out_channels = 16, .kernel_size = 3, .padding = 1}};
  tern::BatchNorm2d conv2_batchnorm{16};
  tern::Linear fc1{16 * 8 * 8, 32};
  tern::Linear fc2{32, 2};

  tern::Members members() override {
    return {.modules = {{"conv1", &conv1},
                        {"conv1_batchnorm", &conv1_batchnorm},
                        {"conv2", &conv2},
                        {"conv2_batchnorm", &conv2_batchnorm},
                        {"fc1", &fc1},
                        {"fc2", &fc2}}};
  }

  tern::Tensor forward(const tern::Tensor& x) override {
    tern::Tensor out = conv1_batchnorm.max_pool2d(conv1, x, 2, Activation::tanh);
    out = conv2_batchnorm.max_pool2d(conv2, out, 2, Activation::tanh);
    out = out.view({-1, 16 * 8 * 8});
    out = fc1(out, Activation::tanh);
    return fc2(out);
  }
};

/// "net", "width", "dropout", "batchnorm", and from residual_models.hpp "depth", "res", "resdeep", "resstrong".
std::vector<std::string> model_names();

/// A fresh model of that name, its weights drawn from tern::default_generator().
/// Throws tern::Error, which lists the names, for any other.
std::unique_ptr<tern::Module> make_model(const std::string& name);

}  // namespace birds_vs_planes
