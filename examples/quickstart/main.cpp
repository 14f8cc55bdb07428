#include <tern/tern.hpp>

#include <iostream>

struct Net : tern::Module {
  tern::Conv2d conv{{.in_channels = 3, .out_channels = 16, .kernel_size = 3, .padding = 1}};
  tern::Linear fc{16 * 16 * 16, 2};

  tern::Members members() override { return {.modules = {{"conv", &conv}, {"fc", &fc}}}; }
  tern::Tensor forward(const tern::Tensor& x) override {
    return fc(max_pool2d(tanh(conv(x)), 2).flatten(1));
  }
};

int main() {
  tern::manual_seed(0);
  const tern::TensorDataset images = tern::synthetic_birds_and_planes(2048);  // drawn, 3 x 32 x 32
  tern::DataLoader loader(images, {.batch_size = 64, .shuffle = true});
  Net net;
  tern::AdamW optimizer(net.parameters(), {.lr = 1e-3});
  for (int epoch = 1; epoch <= 10; ++epoch) {
    double sum = 0;
    for (const auto& [input, target] : loader) {
      const tern::Tensor loss = cross_entropy(net(input), target);
      optimizer.zero_grad();
      loss.backward();
      optimizer.step();
      sum += loss.item();
    }
    std::cout << "epoch " << epoch << ", loss " << sum / static_cast<double>(loader.size()) << '\n';
  }
  tern::save_safetensors("net.safetensors", {net.state_dict(), {{"format", "pt"}}});
}
