/// cuDNN's convolutions, pooling and batch normalisation against the handwritten ones, over random shapes.

#include "device_buffer.hpp"

#include <tern/kernels/cuda/cudnn.hpp>

#include <catch2/catch.hpp>

#include <kernels/shapes.hpp>
#include <random.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

namespace tern::test {
namespace {

using cuda::DeviceBuffer;

/// Calls `call(kernels, out)` on both backends, where out(n) is an array of n elements that begins as NaN, and compares
/// what they wrote: no element may differ by more than `relative` of the largest.
template <class T, class Call>
void compare(Call call) {
  const double relative = std::is_same_v<T, float> ? 1e-4 : 1e-11;
  std::vector<std::vector<T>> results[2];
  Backend* backends[] = {&cuda_backend(0), &cudnn_backend(0)};
  for (int i = 0; i < 2; ++i) {
    std::vector<std::unique_ptr<DeviceBuffer<T>>> outputs;
    call(backends[i]->floating(T{}), [&](std::int64_t n) {
      const std::vector<T> garbage(static_cast<std::size_t>(n), std::numeric_limits<T>::quiet_NaN());
      outputs.push_back(std::make_unique<DeviceBuffer<T>>(garbage));
      return outputs.back()->data();
    });
    for (const auto& output : outputs) results[i].push_back(output->download());
  }
  REQUIRE(results[0].size() == results[1].size());
  for (std::size_t k = 0; k < results[0].size(); ++k) {
    const std::vector<T>&ours = results[0][k], &theirs = results[1][k];
    double largest = 0, worst = 0;
    for (std::size_t i = 0; i < ours.size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(ours[i])));
      const double difference = std::abs(static_cast<double>(ours[i]) - static_cast<double>(theirs[i]));
      worst = difference <= worst ? worst : difference;  // NaN is the worst
    }
    INFO("output " << k << " of " << ours.size() << " elements, the largest " << largest);
    CHECK(worst <= relative * largest);
  }
}

}  // namespace

TEMPLATE_TEST_CASE("cuDNN's conv2d is ours", "[cudnn]", float, double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const Conv2dShape s = random_conv2d(random);
    CAPTURE(s);
    const std::int64_t of_x = s.N * s.C * s.H * s.W, of_w = s.K * s.C / s.groups * s.R * s.S,
                       of_y = s.N * s.K * s.P() * s.Q();
    const DeviceBuffer<T> x(random.values<T>(of_x)), w(random.values<T>(of_w)), bias(random.values<T>(s.K)),
        dy(random.values<T>(of_y));
    compare<T>([&](FloatKernels<T>& k, auto out) { k.conv2d(s, x.data(), w.data(), bias.data(), out(of_y)); });
    compare<T>([&](FloatKernels<T>& k, auto out) { k.conv2d_backward_input(s, w.data(), dy.data(), out(of_x)); });
    compare<T>(
        [&](FloatKernels<T>& k, auto out) { k.conv2d_backward_weight(s, x.data(), dy.data(), out(of_w), out(s.K)); });
  });
}

TEMPLATE_TEST_CASE("cuDNN's pooling is ours", "[cudnn]", float, double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const Pool2dShape s = random_pool2d(random);
    CAPTURE(s);
    const std::int64_t of_x = s.N * s.C * s.H * s.W, of_y = s.N * s.C * s.P() * s.Q();
    const DeviceBuffer<T> x(random.values<T>(of_x)), dy(random.values<T>(of_y));
    compare<T>([&](FloatKernels<T>& k, auto out) { k.max_pool2d(s, x.data(), out(of_y), nullptr); });
    compare<T>([&](FloatKernels<T>& k, auto out) { k.avg_pool2d(s, x.data(), out(of_y)); });
    compare<T>([&](FloatKernels<T>& k, auto out) { k.avg_pool2d_backward(s, dy.data(), out(of_x)); });
  });
}

TEMPLATE_TEST_CASE("cuDNN's batch_norm2d is ours", "[cudnn]", float, double) {
  using T = TestType;
  for_each_case(60, [](Random& random) {
    const BatchNorm2dShape s{.N = random.integer(2, 20), .C = random.integer(1, 40), .HW = random.integer(1, 300)};
    CAPTURE(s.N, s.C, s.HW);
    const std::int64_t n = s.N * s.C * s.HW;
    const DeviceBuffer<T> x(random.values<T>(n)), dy(random.values<T>(n)), weight(random.values<T>(s.C)),
        bias(random.values<T>(s.C)), mean(static_cast<std::size_t>(s.C)), invstd(static_cast<std::size_t>(s.C)),
        y(static_cast<std::size_t>(n));
    const std::vector<T> start = random.between<T>(s.C, 0.5, 2);
    compare<T>([&](FloatKernels<T>& k, auto out) {
      T *const running_mean = out(s.C), *const running_var = out(s.C);
      for (T* running : {running_mean, running_var})
        cuda_backend(0).upload(start.size() * sizeof(T), start.data(), running);
      k.batch_norm2d(s, 0.1, x.data(), weight.data(), bias.data(), nullptr, running_mean, running_var, nullptr,
                     out(s.C), out(s.C), out(n));
    });
    cuda_backend(0).floating(T{}).batch_norm2d(s, 0.1, x.data(), weight.data(), bias.data(), nullptr, nullptr, nullptr,
                                               nullptr, mean.data(), invstd.data(), y.data());
    compare<T>([&](FloatKernels<T>& k, auto out) {
      k.batch_norm2d_backward(s, true, x.data(), weight.data(), mean.data(), invstd.data(), nullptr, dy.data(), out(n),
                              out(s.C), out(s.C), nullptr);
    });
  });
}

TEST_CASE("batches larger than cuDNN's pooling and batch_norm2d take are ours", "[cudnn]") {
  Random random(base_seed(), 0);
  for (const std::int64_t N : {65'535, 65'536}) {
    const Pool2dShape s{.N = N, .C = 1, .H = 2, .W = 2, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
    CAPTURE(s);
    const DeviceBuffer<float> x(random.values<float>(4 * N)), dy(random.values<float>(N));
    compare<float>([&](FloatKernels<float>& k, auto out) { k.max_pool2d(s, x.data(), out(N), nullptr); });
    compare<float>([&](FloatKernels<float>& k, auto out) { k.avg_pool2d(s, x.data(), out(N)); });
    compare<float>([&](FloatKernels<float>& k, auto out) { k.avg_pool2d_backward(s, dy.data(), out(4 * N)); });
  }
  for (const std::int64_t N : {131'070, 131'071}) {
    const BatchNorm2dShape s{.N = N, .C = 2, .HW = 3};
    CAPTURE(s);
    const DeviceBuffer<float> x(random.values<float>(6 * N)), dy(random.values<float>(6 * N)),
        weight(random.values<float>(2)), bias(random.values<float>(2)), mean(std::vector<float>{0.1F, -0.1F}),
        invstd(std::vector<float>{0.8F, 0.9F});
    compare<float>([&](FloatKernels<float>& k, auto out) {
      k.batch_norm2d(s, 0.1, x.data(), weight.data(), bias.data(), nullptr, nullptr, nullptr, nullptr, out(2), out(2),
                     out(6 * N));
    });
    compare<float>([&](FloatKernels<float>& k, auto out) {
      k.batch_norm2d_backward(s, true, x.data(), weight.data(), mean.data(), invstd.data(), nullptr, dy.data(),
                              out(6 * N), out(2), out(2), nullptr);
    });
  }
}

}  // namespace tern::test
