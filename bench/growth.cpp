/// Whether anything grows: a million training steps of a small net, graphs made and freed, in one process. Prints, after
/// 1,000 steps and at ten points from there on, the process's resident memory, the bytes that tensors hold and have held
/// at most, and the median time of a step since the point before. Ends with an error where memory at the end is more
/// than after 1,000 steps by over 1 MiB, or a step takes over 5 % longer than in the first tenth.

#include <tern/kernels/cpu/memory.hpp>
#include <tern/tern.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

struct SmallNet : tern::Module {
  tern::Conv2d conv{{.in_channels = 3, .out_channels = 2, .kernel_size = 3, .padding = 1}};
  tern::BatchNorm2d norm{2};
  tern::Dropout dropout{0.1};
  tern::Linear fc{2 * 2 * 2, 2};

  tern::Members members() override { return {.modules = {{"conv", &conv}, {"norm", &norm}, {"fc", &fc}}}; }
  tern::Tensor forward(const tern::Tensor& x) override {
    return fc(dropout(norm.max_pool2d(conv(x), 2, tern::Activation::relu)).flatten(1));
  }
};

/// In KiB.
std::int64_t resident() {
  std::int64_t pages = 0, ignored = 0;
  std::ifstream("/proc/self/statm") >> ignored >> pages;
  return pages * sysconf(_SC_PAGESIZE) / 1024;
}

}  // namespace

int main(int argc, char** argv) {
  const std::int64_t steps = argc > 1 ? std::atoll(argv[1]) : 1'000'000, warm = 1'000;
  if (steps < 2 * warm) {
    std::cerr << "usage: tern_growth [STEPS], 2000 or more\n";
    return 2;
  }
  tern::set_num_threads(1);
  tern::manual_seed(0);
  SmallNet net;
  tern::AdamW optimizer(net.parameters(), {.lr = 1e-4});
  const tern::Tensor input = tern::randn({2, 3, 4, 4}), target = tern::tensor(std::vector<std::int64_t>{0, 1});
  using Clock = std::chrono::steady_clock;
  std::vector<float> micros;
  micros.resize(static_cast<std::size_t>(steps / 10 + warm));  // resident from the start
  micros.clear();
  std::int64_t first_memory = 0, memory = 0;
  float first_time = 0, time = 0;
  for (std::int64_t step = 1; step <= steps; ++step) {
    const auto start = Clock::now();
    const tern::Tensor loss = cross_entropy(net(input), target);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    micros.push_back(std::chrono::duration<float, std::micro>(Clock::now() - start).count());
    if (step != warm && step % (steps / 10) != 0) continue;
    const auto middle = micros.begin() + static_cast<std::ptrdiff_t>(micros.size() / 2);
    std::nth_element(micros.begin(), middle, micros.end());
    time = *middle;
    memory = resident();
    micros.clear();
    if (step == warm) first_memory = memory;
    if (first_time == 0 && step > warm) first_time = time;
    const tern::kernels::MemoryStats stats = tern::kernels::cpu_memory().stats();
    std::cout << step << " steps: " << memory << " KiB resident, " << stats.bytes_in_use << " bytes of tensors, "
              << stats.bytes_peak << " at most, " << time << " us a step" << std::endl;
  }
  const bool grows = memory > first_memory + 1024, slows = time > 1.05F * first_time;
  if (grows) std::cout << "memory grew\n";
  if (slows) std::cout << "steps became slower\n";
  return grows || slows ? 1 : 0;
}
