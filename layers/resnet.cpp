#include <tern/layers/init.hpp>
#include <tern/layers/resnet.hpp>

namespace tern {
namespace {

Conv2d convolution(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel_size, std::int64_t stride) {
  Conv2d conv({.in_channels = in_channels,
               .out_channels = out_channels,
               .kernel_size = kernel_size,
               .stride = stride,
               .padding = kernel_size / 2,
               .bias = false});
  init::kaiming_normal_(conv.weight, {.mode = init::Fan::out, .nonlinearity = init::Nonlinearity::relu});
  return conv;
}

Sequential stage(std::int64_t in_channels, std::int64_t out_channels, std::int64_t blocks, std::int64_t stride) {
  Sequential all;
  for (std::int64_t i = 0; i < blocks; ++i) {
    all.append(i == 0 ? BasicBlock(in_channels, out_channels, stride) : BasicBlock(out_channels, out_channels));
  }
  return all;
}

}  // namespace

BasicBlock::BasicBlock(std::int64_t in_channels, std::int64_t out_channels, std::int64_t stride)
    : conv1_(convolution(in_channels, out_channels, 3, stride)),
      bn1_(out_channels),
      conv2_(convolution(out_channels, out_channels, 3, 1)),
      bn2_(out_channels) {
  if (stride == 1 && in_channels == out_channels) return;
  downsample_.append(convolution(in_channels, out_channels, 1, stride));
  downsample_.append(BatchNorm2d(out_channels));
}

Tensor BasicBlock::forward(const Tensor& x) {
  const Tensor y = bn1_(conv1_(x), Activation::relu);
  return bn2_(conv2_(y), Activation::relu, downsample_.size() > 0 ? downsample_(x) : x);
}

Members BasicBlock::members() {
  Members m{.modules = {{"conv1", &conv1_}, {"bn1", &bn1_}, {"conv2", &conv2_}, {"bn2", &bn2_}}};
  if (downsample_.size() > 0) m.modules.emplace_back("downsample", &downsample_);
  return m;
}

ResNet::ResNet(const Options& o)
    : conv1_(o.stem == Stem::imagenet ? convolution(3, o.width, 7, 2) : convolution(3, o.width, 3, 1)),
      bn1_(o.width),
      stages_{stage(o.width, o.width, o.blocks[0], 1), stage(o.width, 2 * o.width, o.blocks[1], 2),
              stage(2 * o.width, 4 * o.width, o.blocks[2], 2), stage(4 * o.width, 8 * o.width, o.blocks[3], 2)},
      fc_(8 * o.width, o.num_classes),
      stem_(o.stem) {}

Tensor ResNet::forward(const Tensor& x) {
  Tensor y = bn1_(conv1_(x), Activation::relu);
  if (stem_ == Stem::imagenet) y = max_pool2d(y, 3, {.stride = 2, .padding = 1});
  for (Sequential& blocks : stages_) y = blocks(y);
  return fc_(y.mean({2, 3}));
}

Members ResNet::members() {
  return {.modules = {{"conv1", &conv1_},
                      {"bn1", &bn1_},
                      {"layer1", &stages_[0]},
                      {"layer2", &stages_[1]},
                      {"layer3", &stages_[2]},
                      {"layer4", &stages_[3]},
                      {"fc", &fc_}}};
}

ResNet resnet18(std::int64_t num_classes, ResNet::Stem stem) {
  return ResNet({.blocks = {2, 2, 2, 2}, .num_classes = num_classes, .stem = stem});
}

ResNet resnet34(std::int64_t num_classes, ResNet::Stem stem) {
  return ResNet({.blocks = {3, 4, 6, 3}, .num_classes = num_classes, .stem = stem});
}

}  // namespace tern
