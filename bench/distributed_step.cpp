// What a data-parallel training step costs a rank: time, bytes, and how much of the communication the backward pass
// does not hide, for buckets of several sizes.
//
//   mpirun -n 2 tern_distributed_step MODEL [SHARDS [BATCH_SIZE [STEPS]]]

#include <birds_vs_planes/models.hpp>

#include <tern/core/generator.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/distributed/data_parallel.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/optim/optimizer.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace dist = tern::distributed;

namespace {

struct Cost {
  double seconds, waited, open, bytes;  // a step
};

Cost measure(const std::string& name, int shards, std::int64_t batch_size, int steps, std::int64_t bucket_bytes) {
  using Clock = std::chrono::steady_clock;
  tern::manual_seed(1);
  const auto model = birds_vs_planes::make_model(name);
  dist::DistributedDataParallel ddp(*model, {.shards = shards, .bucket_bytes = bucket_bytes});
  tern::SGD optimizer(model->parameters(), {.lr = 1e-3});
  std::vector<std::int64_t> indices(static_cast<std::size_t>(batch_size));
  std::iota(indices.begin(), indices.end(), 0);
  const auto [input, target] = tern::synthetic_birds_and_planes(batch_size, 1).get(indices);
  std::vector<Cost> costs;
  for (int i = -3; i < steps; ++i) {
    dist::barrier();
    const auto before = dist::statistics();
    const auto start = Clock::now();
    optimizer.zero_grad();
    ddp.backward([&, &x = input, &y = target](int shard) {
      return cross_entropy(ddp(dist::share(x, shard, ddp.shards())), dist::share(y, shard, ddp.shards()));
    });
    optimizer.step();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const auto after = dist::statistics();
    if (i < 0) continue;
    costs.push_back({seconds, after.seconds_waited - before.seconds_waited, after.seconds_open - before.seconds_open,
                     static_cast<double>(after.bytes_sent - before.bytes_sent)});
  }
  const auto median = [&costs](double Cost::*member) {
    std::vector<double> values;
    for (const Cost& cost : costs) values.push_back(cost.*member);
    std::nth_element(values.begin(), values.begin() + std::ssize(values) / 2, values.end());
    return values[values.size() / 2];
  };
  return {median(&Cost::seconds), median(&Cost::waited), median(&Cost::open), median(&Cost::bytes)};
}

}  // namespace

int main(int argc, char** argv) {
  try {
    dist::init();
    const auto number = [&](int i, int otherwise) { return i < argc ? std::atoi(argv[i]) : otherwise; };
    const std::string name = argc > 1 ? argv[1] : "net";
    const int shards = number(2, dist::world_size()), batch_size = number(3, 64), steps = number(4, 50);
    tern::set_num_threads(std::max(1, tern::num_threads() / dist::local_world_size()));
    if (dist::rank() == 0) {
      fmt::print("{}: {} ranks of {} threads, {} shards, batches of {}; medians of {} steps\n", name,
                 dist::world_size(), tern::num_threads(), shards, batch_size, steps);
      fmt::print("{:>10} {:>10} {:>12} {:>14} {:>10}\n", "bucket KiB", "ms a step", "ms under way", "ms not hidden",
                 "KiB sent");
    }
    for (const std::int64_t bucket_kib : {16, 64, 256, 1024, 4096, 16384}) {
      const Cost cost = measure(name, shards, batch_size, steps, bucket_kib << 10);
      if (dist::rank() == 0) {
        fmt::print("{:>10} {:>10.3f} {:>12.3f} {:>14.3f} {:>10.1f}\n", bucket_kib, cost.seconds * 1e3, cost.open * 1e3,
                   cost.waited * 1e3, cost.bytes / 1024);
      }
    }
    dist::finalize();
  } catch (const std::exception& e) {
    dist::abort(e.what());
  }
}
