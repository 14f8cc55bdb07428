#include <tern/distributed/data_parallel.hpp>
#include <tern/tern.hpp>

#include <exception>
#include <iomanip>
#include <iostream>

namespace dist = tern::distributed;

// Fits y = tanh(x w) with dropout. Any number of ranks that divides four ends at the same bits.
int main() {
  try {
    dist::init();
    tern::manual_seed(1);
    tern::Sequential net(tern::Linear(8, 32), tern::Tanh(), tern::Dropout(0.1), tern::Linear(32, 1));
    dist::DistributedDataParallel ddp(net, {.shards = 4});
    tern::AdamW optimizer(net.parameters(), {.lr = 0.01});
    const tern::Tensor w = tern::randn({8, 1});

    double first = 0, last = 0;
    for (int step = 0; step < 200; ++step) {
      const tern::Tensor x = tern::randn({64, 8}), y = tern::tanh(tern::matmul(x, w));
      optimizer.zero_grad();
      const tern::Tensor loss = ddp.backward(
          [&](int shard) { return tern::mse_loss(ddp(dist::share(x, shard, 4)), dist::share(y, shard, 4)); });
      optimizer.step();
      last = loss.item();
      if (step == 0) first = last;
    }
    if (dist::rank() == 0) {
      std::cout << std::setprecision(17) << "mean squared error: " << first << " before, " << last << " after\n";
    }
    dist::finalize();
    return last < first / 4 ? 0 : 1;
  } catch (const std::exception& e) {
    dist::abort(e.what());
  }
}
