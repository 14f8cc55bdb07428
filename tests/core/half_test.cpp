#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>
#include <tern/layers/layers.hpp>
#include <tern/optim/averaged_model.hpp>
#include <tern/optim/optimizer.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cmath>
#include <sstream>

namespace tern::test {
namespace {

const DType halves[] = {DType::float16, DType::bfloat16};

}  // namespace

// What each op gives is compared with PyTorch's in tests/torch.

TEST_CASE("two dtypes meet in the later one, and those of 16 bits in float32", "[half]") {
  using enum DType;
  const DType order[] = {uint8, int64, float16, bfloat16, float32, float64};
  for (const DType a : order) {
    for (const DType b : order) {
      const DType want = a != b && is_half(a) && is_half(b) ? float32 : std::max(a, b);
      CHECK(promote_types(a, b) == want);
      CHECK((ones({2}, {.dtype = a}) + ones({2}, {.dtype = b})).dtype() == want);
      CHECK(cat({ones({2}, {.dtype = a}), ones({2}, {.dtype = b})}, 0).dtype() == want);
    }
    CHECK((ones({2}, {.dtype = a}) / 2).dtype() == (is_floating(a) ? a : float32));
  }
}

TEST_CASE("an op of 16 bits computes in float32 and rounds once", "[half]") {
  for (const Device device : devices()) {
    for (const DType dtype : halves) {
      CAPTURE(device, dtype);
      const Tensor x = full({4096}, 1, {.dtype = dtype, .device = device});
      CHECK(sum(x).item() == 4096);  // one by one in 16 bits it would stop at 256, or 2048
      const Tensor tiny = full({}, epsilon_of(dtype) / 4, {.dtype = dtype, .device = device});
      CHECK((1 + tiny).item() == 1);
      CHECK(sum(cat({full({1}, 1, {.dtype = dtype, .device = device}), tiny.expand({8})})).item() ==
            1 + 2 * epsilon_of(dtype));
    }
    CHECK((full({}, 60000, {.dtype = DType::float16, .device = device}) * 2).item() == INFINITY);
    CHECK((full({}, 60000, {.dtype = DType::bfloat16, .device = device}) * 2).item() == 119808);
  }
}

TEST_CASE("gradients are of the leaf's 16 bits, and add up there", "[half]") {
  for (const Device device : devices()) {
    for (const DType dtype : halves) {
      CAPTURE(device, dtype);
      const Tensor x = full({3}, 0.5, {.dtype = dtype, .device = device, .requires_grad = true});
      const Tensor y = full({3}, 3, {.dtype = dtype, .device = device});
      (x * y).sum().backward();
      CHECK(x.grad().dtype() == dtype);
      (x * y + x * x).sum().backward();
      sum(x).backward();
      CHECK(x.grad().to_vector<double>() == std::vector<double>{8, 8, 8});
      const Tensor wide = full({3}, 2, {.device = device, .requires_grad = true});
      (wide.to(dtype) * y).sum().backward();
      CHECK(wide.grad().dtype() == DType::float32);
      CHECK(wide.grad().to_vector<double>() == std::vector<double>{3, 3, 3});
    }
  }
}

TEST_CASE("tensors of 16 bits are made, changed in place, moved and printed", "[half]") {
  for (const Device device : devices()) {
    for (const DType dtype : halves) {
      CAPTURE(device, dtype);
      const TensorOptions like{.dtype = dtype, .device = device};
      Tensor x = zeros({2, 3}, like);
      x += 1;
      x *= full({3}, 2, like);
      x.sub_(full({}, 0.5, like));
      CHECK(x.to_vector<float>() == std::vector<float>(6, 1.5f));
      x.t().copy_(arange(6, {.dtype = DType::float64}).reshape({3, 2}));
      CHECK(x.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 2, 4, 1, 3, 5});
      CHECK_THROWS_WITH(x.add_(ones({3}, {.device = device})),
                        std::string("add_: float32 into ") + name_of(dtype) + ", which cannot hold it");
      CHECK(x.to(Device::cpu).to(device).to_vector<double>() == x.to_vector<double>());
      std::ostringstream printed;
      printed << x.to(Device::cpu).narrow(0, 0, 1);
      CHECK(printed.str() == std::string("[[0.0000, 2.0000, 4.0000]]\n[ ") + name_of(dtype) + " [1, 3] ]");
      Generator generator;
      generator.manual_seed(base_seed());
      const Tensor drawn = rand({2000}, like, generator);
      CHECK(drawn.max().item() < 1);
      CHECK(drawn.min().item() >= 0);
      CHECK(std::abs(drawn.to(DType::float64).mean().item() - 0.5) < 0.05);
    }
  }
}

TEST_CASE("a batch norm of 16 bits keeps float32 statistics and parameters", "[half]") {
  Random random(base_seed(), 3);
  for (const Device device : devices()) {
    for (const DType dtype : halves) {
      CAPTURE(device, dtype);
      Generator generator;
      generator.manual_seed(base_seed());
      BatchNorm2d norm(5), wide(5);
      norm.to(device);
      wide.to(device);
      const Tensor x = randn({4, 5, 6, 3}, {.dtype = DType::float32}, generator).to(dtype).to(device);
      const Tensor y = norm(x), want = wide(x.to(DType::float32));
      CHECK(y.dtype() == dtype);
      CHECK(equal(y, want.to(dtype)));
      CHECK(norm.running_mean.dtype() == DType::float32);
      CHECK(equal(norm.running_mean, wide.running_mean));
      CHECK(equal(norm.running_var, wide.running_var));
      y.sum().backward();
      CHECK(norm.weight.grad().dtype() == DType::float32);
      BatchNorm2d all(5);
      all.to(device);
      all.to(dtype);  // everything
      CHECK(equal(all(x), want.to(dtype)));
      CHECK(equal(all.running_var, wide.running_var.to(dtype)));
    }
  }
}

TEST_CASE("optimisers and averages want float32, and say so", "[half]") {
  const Tensor p = ones({2}, {.dtype = DType::bfloat16, .requires_grad = true});
  CHECK_THROWS_WITH(SGD({p}), Catch::Contains("expected a contiguous float32 or float64 leaf"));
  Linear fc(2, 2);
  fc.to(DType::bfloat16);
  CHECK_THROWS_WITH(AveragedModel(fc, 0.9), "AveragedModel: 'bias' of bfloat16, expected float32 or float64");
}

}  // namespace tern::test
