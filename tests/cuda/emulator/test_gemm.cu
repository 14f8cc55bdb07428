#include "../../../bench/kernels/padded_conv2d.hpp"
#include "../device_buffer.hpp"

#include <tern/kernels/cuda/emulator/emulator.hpp>
#include <tern/kernels/cuda/gemm/conv2d.hpp>
#include <tern/kernels/cuda/gemm/plan.hpp>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

using namespace tern::kernels;
using namespace tern::kernels::cuda;
namespace emulator = tern::emulator;

namespace {

/// The layers of resstrong, and of a ResNet-18 for CIFAR, that have other sizes than those before them.
std::vector<Conv2dShape> layers(std::int64_t N) {
  const auto layer = [N](std::int64_t C, std::int64_t K, std::int64_t size, std::int64_t filter, std::int64_t stride) {
    return padded_conv2d(N, C, size, K, filter, stride);
  };
  return {layer(32, 32, 16, 3, 1),   layer(32, 64, 16, 3, 1),   layer(64, 64, 8, 3, 1),   layer(64, 128, 8, 3, 1),
          layer(128, 128, 4, 3, 1),  // resstrong
          layer(64, 64, 32, 3, 1),   layer(64, 128, 32, 3, 2),  layer(64, 128, 32, 1, 2), layer(128, 128, 16, 3, 1),
          layer(128, 256, 16, 3, 2), layer(128, 256, 16, 1, 2), layer(256, 256, 8, 3, 1), layer(256, 512, 8, 3, 2),
          layer(256, 512, 8, 1, 2),  layer(512, 512, 4, 3, 1)};
}

double useful(const Conv2dShape& s) { return static_cast<double>(s.N * s.P() * s.Q() * s.K * s.C * s.R * s.S); }

/// conv2d and its gradients once.
void run_all(const Conv2dShape& s) {
  const auto ones = [](std::int64_t n) { return std::vector<float>(static_cast<std::size_t>(n), 1); };
  const DeviceBuffer<float> x(ones(s.N * s.C * s.H * s.W)), w(ones(s.K * s.C / s.groups * s.R * s.S)),
      y(ones(s.N * s.K * s.P() * s.Q()));
  gemm_conv2d(s, Activation::none, x.data(), w.data(), nullptr, y.data());
  gemm_conv2d_backward_input(s, w.data(), y.data(), x.data());
  gemm_conv2d_backward_weight(s, x.data(), y.data(), w.data());
  synchronize();
}

}  // namespace

TEST_CASE("gemm: every layer of wide networks executes little more than it needs") {
  for (const Conv2dShape& s : layers(128)) {
    INFO(fmt::format("{} x {} x {}, {} channels, {} x {}, stride {}", s.C, s.H, s.W, s.K, s.R, s.S, s.stride_h));
    const std::int64_t pixels = s.N * s.P() * s.Q(), taps = s.C * s.R * s.S;
    const double forward = static_cast<double>(plan_gemm(pixels, s.K, taps, 1, false).executed(taps)) / useful(s);
    const double by_weight = static_cast<double>(plan_gemm(taps, s.K, pixels, 1, true).executed(pixels)) / useful(s);
    double by_input = 0;
    for (std::int64_t i = 0; i < s.stride_h * s.stride_w; ++i) {
      const auto met = [&](std::int64_t from, std::int64_t filter) {
        std::int64_t taps_met = 0;
        for (std::int64_t r = 0; r < filter; ++r) taps_met += (from + filter / 2 - r) % s.stride_h == 0;
        return taps_met;
      };
      const std::int64_t k = s.K * met(i / s.stride_w, s.R) * met(i % s.stride_w, s.S);
      const std::int64_t of_x = s.N * (s.H / s.stride_h) * (s.W / s.stride_w);
      by_input += static_cast<double>(plan_gemm(of_x, s.C, k, 1, false).executed(k)) / useful(s);
    }
    UNSCOPED_INFO(fmt::format("{:.2f} {:.2f} {:.2f}", forward, by_input, by_weight));
    CHECK(forward <= 1.3);
    CHECK(by_input <= 1.3);
    CHECK(by_weight <= 1.3);
  }
}

TEST_CASE("gemm: warps meet no bank of shared memory twice at a time") {
  if (!emulator::is_checked()) return;
  emulator::clear_profile();
  emulator::set_profiling(true);
  // By each tile, with and without neighbours that are copied four at a time, in each precision.
  for (const Precision precision : {Precision::highest, Precision::high, Precision::medium}) {
    const auto run = [precision](Conv2dShape s) {
      s.precision = precision;
      run_all(s);
    };
    for (const std::int64_t size : {5, 8}) {
      for (const std::int64_t K : {32, 64}) {
        for (const std::int64_t filter : {1, 3}) {
          run({.N = 1, .C = 32, .H = size, .W = size, .K = K, .R = filter, .S = filter, .pad_h = 1, .pad_w = 1});
        }
      }
    }
    for (const std::int64_t K : {32, 64}) {
      run({.N = 100, .C = 16, .H = 13, .W = 13, .K = K, .R = 1, .S = 1});
      run({.N = 1, .C = 128, .H = 8, .W = 8, .K = K, .R = 1, .S = 1});
    }
  }
  emulator::set_profiling(false);
  std::set<std::string> seen;
  for (const emulator::KernelProfile& kernel : emulator::profile()) {
    if (kernel.name.find("implicit_gemm") == std::string::npos) continue;
    INFO(kernel.name);
    seen.insert(kernel.name);
    CHECK(kernel.memory.bank_conflicts == 0);
    CHECK(kernel.memory.shared_accesses > 0);
  }
  CHECK(seen.size() == 18);  // three tiles, two layouts of the rows, three precisions
}
