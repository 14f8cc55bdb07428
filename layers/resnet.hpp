#pragma once

#include <tern/layers/layers.hpp>

#include <array>

namespace tern {

/// torchvision.models.resnet's BasicBlock: relu(bn2(conv2(relu(bn1(conv1(x))))) + x), convolutions of 3 x 3, the first
/// with the stride. Where height and width or the channels change, the x that is added goes through `downsample`: a
/// convolution of 1 x 1 and a normalisation.
class BasicBlock : public Module {
 public:
  BasicBlock(std::int64_t in_channels, std::int64_t out_channels, std::int64_t stride = 1);  ///< stride: of conv1
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override { return "BasicBlock()"; }

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  Conv2d conv2_;
  BatchNorm2d bn2_;
  Sequential downsample_;  ///< empty where x is added as it is
};

/// torchvision.models.resnet's ResNet of basic blocks, under its state_dict's names: conv1.weight,
/// layer1.0.bn1.running_mean, layer2.0.downsample.0.weight, fc.weight. Images [N, 3, H, W] become logits [N,
/// num_classes]: a stem, four stages of blocks with 64, 128, 256 and 512 channels, of which each but the first halves
/// height and width, the mean over what is left of the image, one linear layer. He et al., "Deep residual learning for
/// image recognition", 2015. Convolutions start normal with variance 2 / fan_out.
class ResNet : public Module {
 public:
  /// What comes before the stages.
  enum class Stem {
    imagenet,  ///< torchvision's: a convolution of 7 x 7 with stride 2, max-pooling of 3 x 3 with stride 2
    cifar      ///< for small images: a convolution of 3 x 3 with stride 1, no pooling
  };
  /// What a ResNet is like.
  struct Options {
    std::array<std::int64_t, 4> blocks = {2, 2, 2, 2};  ///< of each stage
    std::int64_t num_classes = 1000;                    ///< logits of an image
    Stem stem = Stem::imagenet;                         ///< what comes before the stages
    std::int64_t width = 64;  ///< channels of the first stage; each of the others has twice as many as the one before
  };
  explicit ResNet(const Options& options);  ///< with first weights from default_generator()
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override { return "ResNet()"; }

 private:
  Conv2d conv1_;
  BatchNorm2d bn1_;
  std::array<Sequential, 4> stages_;
  Linear fc_;
  Stem stem_;
};

/// Those of torchvision, with its numbers of blocks.
/// @{
ResNet resnet18(std::int64_t num_classes = 1000, ResNet::Stem stem = ResNet::Stem::imagenet);
ResNet resnet34(std::int64_t num_classes = 1000, ResNet::Stem stem = ResNet::Stem::imagenet);
/// @}

}  // namespace tern
