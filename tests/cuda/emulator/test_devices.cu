#include "../device_buffer.hpp"

#include <tern/kernels/backend.hpp>
#include <tern/kernels/cuda/emulator/emulator.hpp>
#include <tern/kernels/cuda/launch.hpp>
#include <tern/kernels/unary.hpp>

#include <catch2/catch.hpp>

#include <vector>

// Several devices: which of them work and memory go to, and which are left alone.

using namespace tern::kernels::cuda;
namespace emulator = tern::emulator;

namespace {

class Devices {
 public:
  explicit Devices(int count) { emulator::set_devices(count); }
  ~Devices() { emulator::set_devices(1); }
};

__global__ void set(int value, int* x) { *x = value; }

int device_of_cuda() {
  int device = -1;
  check(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

}  // namespace

TEST_CASE("devices: a program that uses one makes no context on another") {
  const Devices devices(3);
  auto& backend = tern::kernels::cuda_backend(1);
  const std::vector<float> ones(100, 1);
  std::vector<float> back(100);
  for (int time = 0; time < 2; ++time) {
    void* x = backend.allocate(400);
    backend.upload(400, ones.data(), x);
    backend.floating(float{}).unary({tern::kernels::UnaryOp::exp}, 100, static_cast<float*>(x), static_cast<float*>(x));
    backend.download(400, x, back.data());
    backend.release(x, 400);
    CHECK(back[99] == Approx(2.718281828));
    CHECK(current_device() == 0);
  }
  static_cast<void>(memory_stats(1));
  CHECK(emulator::contexts() == std::vector<int>{1});
}

TEST_CASE("devices: a guard for the device that is current does nothing") {
  const Devices devices(2);
  { const DeviceGuard guard(0); }
  CHECK(emulator::contexts().empty());
}

TEST_CASE("devices: guards go there and back, whether or not the device before has a context") {
  const Devices devices(3);
  const bool used_before = GENERATE(false, true);
  if (used_before) check(cudaSetDevice(0), "cudaSetDevice");
  for (int time = 0; time < 2; ++time) {
    const DeviceGuard first(1);
    CHECK(current_device() == 1);
    CHECK(device_of_cuda() == 1);
    {
      const DeviceGuard second(2);
      CHECK(device_of_cuda() == 2);
      const DeviceGuard third(1);
      CHECK(device_of_cuda() == 1);
      const DeviceGuard none(1);
      CHECK(current_device() == 1);
    }
    CHECK(current_device() == 1);
    CHECK(device_of_cuda() == 1);
  }
  CHECK(current_device() == 0);
  CHECK(device_of_cuda() == (used_before ? 0 : 1));
  {
    const DeviceGuard back(0);
    CHECK(current_device() == 0);
    CHECK(device_of_cuda() == 0);
  }
  CHECK(device_of_cuda() == 0);
  CHECK_THROWS_WITH(DeviceGuard(3), Catch::StartsWith("cuda:3: "));
  CHECK(current_device() == 0);
}

TEST_CASE("devices: each has streams of its own, and a launch on another's fails") {
  const Devices devices(2);
  const cudaStream_t main = current_stream();
  const DeviceGuard guard(1);
  CHECK(current_stream() != main);
  const DeviceBuffer<int> x(1);
  launch(set, 1, 1, 0, current_stream(), 5, x.data());
  CHECK(x.download() == std::vector<int>{5});
  CHECK_THROWS_WITH(launch(set, 1, 1, 0, main, 5, x.data()), Catch::Contains("a stream of device 0"));
}

TEST_CASE("devices: they are counted once for a backend, not for every op") {
  auto& backend = tern::kernels::cuda_backend(0);
  const Devices none(0);
  CHECK(&tern::kernels::cuda_backend(0) == &backend);
}
