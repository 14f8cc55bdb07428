#include <tern/tern.hpp>

#include <cmath>
#include <iostream>

// Fits y = sin(3 x) with a small network, as a program outside tern's own tree would.
int main() {
  tern::manual_seed(1);
  tern::Sequential net(tern::Linear(1, 32), tern::Tanh(), tern::Linear(32, 1));
  tern::AdamW optimizer(net.parameters(), {.lr = 0.01});

  const tern::Tensor x = tern::rand({256, 1}) * 2 - 1;
  std::vector<float> values = x.to_vector<float>();
  for (float& v : values) v = std::sin(3 * v);
  const tern::Tensor y = tern::tensor(values).reshape({256, 1});

  double first = 0, last = 0;
  for (int step = 0; step < 500; ++step) {
    const tern::Tensor loss = tern::mse_loss(net(x), y);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    last = loss.item();
    if (step == 0) first = last;
  }
  std::cout << "mean squared error: " << first << " before, " << last << " after\n";
  return last < first / 20 ? 0 : 1;
}
