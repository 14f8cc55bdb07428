#include <tern/core/autograd.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/ops.hpp>

#include <catch2/catch.hpp>

#include <string>

namespace tern::test {

TEST_CASE("cuda: a device that this build or this machine does not have is refused") {
  const int count = cuda::device_count();
  CHECK(cuda::is_available() == (count > 0));
  CHECK_THROWS_AS(cuda::memory_allocated(count), CudaError);
  CHECK_THROWS_AS(cuda::synchronize(count), CudaError);
  CHECK_THROWS_AS(cuda::DeviceGuard(count), CudaError);
}

TEST_CASE("cuda: cuDNN is chosen where the build has it, and else refused") {
  CHECK(conv_backend() == ConvBackend::handwritten);
#ifdef TERN_HAS_CUDNN
  set_conv_backend(ConvBackend::cudnn);
  CHECK(conv_backend() == ConvBackend::cudnn);
#else
  CHECK_THROWS_WITH(set_conv_backend(ConvBackend::cudnn), Catch::Contains("expected TERN_CUDNN=ON"));
#endif
  set_conv_backend(ConvBackend::handwritten);
  CHECK(conv_backend() == ConvBackend::handwritten);
}

TEST_CASE("cuda: a guard changes this thread's device, and back", "[cuda]") {
  const int before = cuda::current_device();
  {
    const cuda::DeviceGuard guard(cuda::device_count() - 1);
    CHECK(cuda::current_device() == cuda::device_count() - 1);
  }
  CHECK(cuda::current_device() == before);
  CHECK_THROWS_WITH(cuda::DeviceGuard(99), Catch::StartsWith("cuda:99: "));
  CHECK_THROWS_AS(cuda::memory_allocated(99), CudaError);
  CHECK(cuda::current_device() == before);
}

TEST_CASE("cuda: memory is counted tensor by tensor", "[cuda]") {
  const std::size_t before = cuda::memory_allocated();
  cuda::reset_peak_memory_stats();
  {
    const Tensor x = zeros({1000}, {.device = Device::cuda});
    CHECK(cuda::memory_allocated() == before + 4000);
    { const Tensor y = zeros({500}, {.dtype = DType::float64, .device = Device::cuda}), view = y.reshape({5, 100}); }
    CHECK(cuda::memory_allocated() == before + 4000);
    CHECK(cuda::memory_reserved() >= cuda::memory_allocated());
  }
  CHECK(cuda::memory_allocated() == before);
  CHECK(cuda::max_memory_allocated() == before + 8000);
  cuda::empty_cache();
  cuda::reset_peak_memory_stats();
  CHECK(cuda::max_memory_allocated() == before);
}

TEST_CASE("cuda: out of memory says how much was asked for and how much is held, and what was there stays usable",
          "[cuda]") {
  const Tensor x = ones({1000}, {.device = Device::cuda});
  const std::size_t held = cuda::memory_allocated();
  try {
    empty({std::int64_t{1} << 48}, {.device = Device::cuda});
    FAIL("no exception");
  } catch (const CudaError& error) {
    CHECK_THAT(error.what(), Catch::StartsWith("cuda:0 is out of memory: 1125899906842624 bytes asked for, " +
                                               std::to_string(held) + " held by tensors, "));
  }
  CHECK(cuda::memory_allocated() == held);
  CHECK(x.sum().item() == 1000);
}

}  // namespace tern::test
