/// Times training steps of one of the program's models on this rank and those started with it, and says as JSON what of
/// their exchange of gradients backward does not hide. bench/distributed runs it, by itself and by mpirun.

#include <birds_vs_planes/models.hpp>

#include <tern/distributed/data_parallel.hpp>
#include <tern/tern.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace {

namespace dist = tern::distributed;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point t) { return std::chrono::duration<double>(Clock::now() - t).count(); }

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// When, since a step's begin, the gradient by each parameter is there, in the order of a backward pass; and the bytes
/// of each. Medians of so many steps.
struct Gradients {
  std::vector<double> ready;
  std::vector<std::int64_t> bytes;
};

template <class Step>
Gradients watch(tern::Module& model, const Step& step, int steps) {
  std::vector<tern::Tensor> parameters = model.parameters();
  std::reverse(parameters.begin(), parameters.end());
  std::vector<std::vector<double>> times(parameters.size());
  std::vector<tern::RemovableHandle> hooks;
  Clock::time_point start;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    hooks.push_back(parameters[i].register_hook(
        [&times, &start, i](const tern::Tensor&) { times[i].push_back(seconds_since(start)); }));
  }
  for (int i = 0; i < steps; ++i) {
    start = Clock::now();
    step();
  }
  for (const tern::RemovableHandle& hook : hooks) hook.remove();
  Gradients found;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    found.ready.push_back(median(times[i]));
    found.bytes.push_back(4 * parameters[i].numel());
  }
  return found;
}

/// As DistributedDataParallel sends them: [when the last of it is there, bytes] of each bucket.
nlohmann::json buckets_of(const Gradients& gradients, std::int64_t bucket_bytes, double backward) {
  nlohmann::json buckets = nlohmann::json::array();
  double ready = 0;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < gradients.bytes.size(); ++i) {
    if (bytes > 0 && bytes + gradients.bytes[i] > bucket_bytes) {
      buckets.push_back({ready, std::exchange(bytes, 0)});
    }
    bytes += gradients.bytes[i];
    ready = std::min(std::max(ready, gradients.ready[i]), backward);  // and none goes before the one before it
  }
  buckets.push_back({ready, bytes});
  return buckets;
}

/// The seconds of all_reduce of one number and of 16 MiB, and those bytes.
int time_network() {
  dist::init();
  const auto time = [](std::int64_t numel, int times) {
    const tern::Tensor x = tern::zeros({numel});
    std::vector<double> seconds;
    for (int i = 0; i < times; ++i) {
      const auto start = Clock::now();
      dist::all_reduce(x);
      seconds.push_back(seconds_since(start));
    }
    return median(seconds);
  };
  constexpr std::int64_t many = 1 << 22;
  const nlohmann::json said{time(1, 2000), time(many, 20), 4 * many};
  if (dist::rank() == 0) std::cout << said << std::endl;
  dist::finalize();
  return 0;
}

int run(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--network") return time_network();
  if (argc != 6) {
    std::cerr << "usage: tern_distributed_step MODEL IMAGES_A_RANK BUCKET_BYTES THREADS SECONDS\n"
                 "       tern_distributed_step --network\n";
    return 2;
  }
  const std::int64_t images = std::atoll(argv[2]), bucket_bytes = std::atoll(argv[3]);
  const double duration = std::atof(argv[5]);
  dist::init();
  tern::set_num_threads(std::atoi(argv[4]));
  tern::manual_seed(0);
  const auto model = birds_vs_planes::make_model(argv[1]);
  dist::DistributedDataParallel ddp(*model, {.bucket_bytes = bucket_bytes});
  tern::SGD optimizer(model->parameters(), {.lr = 1e-4, .momentum = 0.9});
  const tern::Tensor input = tern::rand({images, 3, 32, 32});
  const tern::Tensor target = tern::zeros({images}, {.dtype = tern::DType::int64});
  double of_backward = 0;
  const auto step = [&] {
    const auto start = Clock::now();
    optimizer.zero_grad();
    ddp.backward([&](int) { return cross_entropy((*model)(input), target); });
    of_backward = seconds_since(start);
    optimizer.step();
  };

  for (int i = 0; i < 5; ++i) step();  // warms up
  const int steps = [&] {              // so many as rank 0 has time for
    dist::barrier();
    const auto start = Clock::now();
    for (int i = 0; i < 5; ++i) step();
    const tern::Tensor n = tern::tensor({static_cast<std::int64_t>(5 * duration / seconds_since(start))});
    dist::broadcast(n);
    return std::max(5, static_cast<int>(n.item<std::int64_t>()));
  }();
  std::vector<double> whole, backward;
  const dist::Statistics before = dist::statistics();
  for (int i = 0; i < steps; ++i) {
    const auto start = Clock::now();
    step();
    whole.push_back(seconds_since(start));
    backward.push_back(of_backward);
  }
  const dist::Statistics after = dist::statistics();
  nlohmann::json said{{"model", argv[1]},
                      {"ranks", dist::world_size()},
                      {"images", images},
                      {"bucket_bytes", bucket_bytes},
                      {"threads", tern::num_threads()},
                      {"seconds", median(whole)},
                      {"backward", median(backward)},
                      {"bytes_sent", (after.bytes_sent - before.bytes_sent) / steps},
                      {"collectives", static_cast<double>(after.collectives - before.collectives) / steps},
                      {"waited", (after.seconds_waited - before.seconds_waited) / steps},
                      {"open", (after.seconds_open - before.seconds_open) / steps}};
  if (dist::world_size() == 1)
    said["buckets"] = buckets_of(watch(*model, step, std::min(steps, 100)), bucket_bytes, median(backward));
  if (dist::rank() == 0) std::cout << said << std::endl;
  dist::finalize();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    dist::abort(e.what());
  }
}
