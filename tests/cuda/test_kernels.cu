/// What only the CUDA kernels do: their grids and tables have an end, they wait for nothing and can be captured.
/// Whether they compute the right thing is tested in tests/kernels, on every backend.

#include "device_buffer.hpp"

#include <tern/kernels/cuda/cuda.hpp>
#include <tern/kernels/optim.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

using namespace tern::kernels;
using namespace tern::kernels::cuda;

namespace {

std::vector<float> random_floats(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(n);
  for (float& v : values) v = uniform(generator);
  return values;
}

}  // namespace

TEST_CASE("more elements than a grid has threads") {
  const std::size_t n = (std::size_t{1} << 14) * 256 + 77;
  const DeviceBuffer<uint8_t> y(std::vector<uint8_t>(n + 2, 9));
  cuda_backend(0).array(uint8_t{}).fill(static_cast<int64_t>(n), 5, y.data() + 1);  // not aligned: a thread, a byte
  const std::vector<uint8_t> values = y.download();
  CHECK(values.front() == 9);
  CHECK(std::all_of(values.begin() + 1, values.end() - 1, [](uint8_t v) { return v == 5; }));
  CHECK(values.back() == 9);
}

TEST_CASE("an upload leaves the host's memory at once") {
  const std::size_t n = 2'500'000;  // of more than one place in the staging memory
  const std::vector<float> values = random_floats(n, 1);
  std::vector<float> host = values;
  const DeviceBuffer<float> device(n);
  cuda_backend(0).upload(n * sizeof(float), host.data(), device.data());
  std::fill(host.begin(), host.end(), 7.0f);
  CHECK(device.download() == values);
}

TEST_CASE("no such device") {
  CHECK_THROWS_WITH(cuda_backend(99), Catch::StartsWith("device cuda:99: expected one of this machine's"));
  CHECK_THROWS_AS(cuda_backend(-1), tern::Error);
}

TEST_CASE("a target that is no class makes its row NaN") {
  auto& kernels = cuda_backend(0).floating(float{});
  CrossEntropyShape s{.N = 4, .C = 3, .label_smoothing = 0.1, .reduction = Reduction::none};
  const DeviceBuffer<float> logits(random_floats(12, 2)), weight(random_floats(3, 3)), loss(4), dlogits(12);
  const DeviceBuffer<int64_t> target(std::vector<int64_t>{2, 3, -1, s.ignore_index});
  kernels.cross_entropy(s, logits.data(), target.data(), weight.data(), loss.data(), dlogits.data());
  const std::vector<float> losses = loss.download(), gradient = dlogits.download();
  CHECK(std::isfinite(losses[0]));
  CHECK(std::isnan(losses[1]));
  CHECK(std::isnan(losses[2]));
  CHECK(losses[3] == 0);
  for (int i = 0; i < 12; ++i) CHECK(std::isnan(gradient[i]) == (i / 3 == 1 || i / 3 == 2));

  s.reduction = Reduction::mean;
  kernels.cross_entropy(s, logits.data(), target.data(), weight.data(), loss.data(), dlogits.data());
  CHECK(std::isnan(loss.download()[0]));
}

TEST_CASE("a sum of floats is as good as a pairwise one") {
  // 0.1 added one by one to a float is off by 1 % after a million; ceil(log2 n) roundings leave 20 half ulps.
  const int64_t n = 1'000'000;
  const DeviceBuffer<float> x(std::vector<float>(n, 0.1f)), y(1);
  for (const ReduceShape& r : {ReduceShape{1, n, 1}, ReduceShape{1, n / 2, 2}}) {
    const DeviceBuffer<float> sums(static_cast<std::size_t>(r.inner));
    cuda_backend(0).array(float{}).reduce({ReduceOp::sum}, r, x.data(), sums.data());
    for (const float v : sums.download()) {
      CHECK(std::abs(v / (static_cast<double>(r.n) * 0.1f) - 1) < 20 * 0x1p-24);
    }
  }
}

TEST_CASE("a step of training can be captured, and replayed gives the same") {
  auto& kernels = cuda_backend(0).floating(float{});
  const Conv2dShape conv{.N = 3, .C = 3, .H = 8, .W = 8, .K = 4, .R = 3, .S = 3, .pad_h = 1, .pad_w = 1};
  const Pool2dShape pool{.N = 3, .C = 4, .H = 8, .W = 8, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
  const BatchNorm2dShape norm{.N = 3, .C = 4, .HW = 64};
  const std::size_t n = 3 * 4 * 64;
  const DeviceBuffer<float> x(random_floats(3 * 3 * 64, 4)), y(n), mean(4), invstd(4), z(n), pooled(n / 4), dz(n),
      dy(n), dw(4 * 27), dbias(4);
  DeviceBuffer<float> w(random_floats(4 * 27, 5));
  const DeviceBuffer<int64_t> indices(n / 4);
  const auto step = [&] {
    kernels.conv2d(conv, x.data(), w.data(), nullptr, y.data());
    kernels.batch_norm2d(norm, 0.1, y.data(), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, mean.data(),
                         invstd.data(), z.data());
    kernels.max_pool2d(pool, z.data(), pooled.data(), indices.data());
    kernels.max_pool2d_backward(pool, indices.data(), pooled.data(), dz.data());
    kernels.batch_norm2d_backward(norm, true, y.data(), nullptr, mean.data(), invstd.data(), nullptr, dz.data(),
                                  dy.data(), nullptr, nullptr, nullptr);
    kernels.conv2d_backward_weight(conv, x.data(), dy.data(), dw.data(), dbias.data());
    const OptimizerParam<float> param{4 * 27, w.data(), dw.data(), {}};
    kernels.optimizer_step({.op = OptimizerOp::sgd, .lr = 0.1}, {&param, 1});
  };
  const std::vector<float> start = w.download();
  step();
  step();
  const std::vector<float> expected = w.download();

  w.upload(start);
  synchronize();
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  {
    const StreamGuard guard(stream);
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
    step();
    check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
    check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    check(cudaGraphLaunch(executable, stream), "cudaGraphLaunch");
    CHECK(w.download() == expected);
  }
  CHECK(expected != start);
  check(cudaGraphExecDestroy(executable), "cudaGraphExecDestroy");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  check(cudaStreamDestroy(stream), "cudaStreamDestroy");
}
