#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

namespace tern::test {

TEST_CASE("cat and stack", "[index]") {
  for (const Device device : devices()) {
    for_each_case(60, [&](Random& random) {
      const Shape shape = random_shape(random, 1, 4, 4, 0.03);
      const int d = static_cast<int>(random.integer(0, shape.size() - 1));
      const DType dtype = random.pick({DType::uint8, DType::int64, DType::float32, DType::float64});
      std::vector<Tensor> parts, alike;
      std::vector<Dense> values, alike_values;
      Shape together = shape, stacked = shape;
      together[d] = 0;
      for (std::int64_t count = random.integer(1, 4); count > 0; --count) {
        Shape part = shape;
        part[d] = random.integer(0, 3);
        together[d] += part[d];
        parts.push_back(random_view(random, part, dtype, device));
        values.emplace_back(parts.back());
        alike.push_back(random_view(random, shape, dtype, device));
        alike_values.emplace_back(alike.back());
      }
      CAPTURE(shape, d, dtype, device);
      const Tensor y = cat(parts, random.chance(0.5) ? d : d - shape.size());
      CHECK(y.dtype() == dtype);
      check_equal(y, Dense(together, [&](Shape index) {
                    std::size_t part = 0;
                    while (index[d] >= values[part].shape[d]) index[d] -= values[part++].shape[d];
                    return values[part][index];
                  }));
      const int at = static_cast<int>(random.integer(0, shape.size()));
      stacked.insert(at, static_cast<std::int64_t>(alike.size()));
      check_equal(stack(alike, random.chance(0.5) ? at : at - shape.size() - 1), Dense(stacked, [&](Shape index) {
                    const std::size_t part = static_cast<std::size_t>(index[at]);
                    index.erase(at);
                    return alike_values[part][index];
                  }));
    });
  }
  CHECK(stack({tensor({1.0})[0], tensor({2.0})[0]}).to_vector<double>() == std::vector<double>{1, 2});
  CHECK(message_of([] { cat({}); }) == "cat: no tensors, expected at least one");
  CHECK(message_of([] { stack({}); }) == "stack: no tensors, expected at least one");
  CHECK(message_of([] {
          cat({zeros({2, 3}), zeros({2, 4})});
        }) == "cat: shapes [2, 3] and [2, 4] differ in dimension 1, expected only in 0");
  CHECK(message_of([] {
          cat({zeros({2, 3}), zeros({3})});
        }) == "cat: shapes [2, 3] and [3], expected one number of dimensions");
  CHECK(message_of([] { cat({zeros({2})}, 1); }) == "cat: dimension 1 of a tensor with 1 dimensions, expected -1 to 0");
  CHECK(message_of([] { stack({zeros({2}), zeros({3})}); }) == "stack: shapes [2] and [3], expected one");
}

TEST_CASE("index_select", "[index]") {
  for (const Device device : devices()) {
    for_each_case(60, [&](Random& random) {
      const Shape shape = random_shape(random, 1, 4, 4);
      const int d = static_cast<int>(random.integer(0, shape.size() - 1));
      const DType dtype = random.pick({DType::uint8, DType::int64, DType::float32, DType::float64});
      const Tensor x = random_view(random, shape, dtype, device);
      const Dense values(x);
      const std::vector<std::int64_t> index = random.indices(random.integer(0, 7), shape[d]);
      // The index as a column of a matrix, so that it does not lie densely.
      const Tensor at = stack({tensor(index, device), tensor(index, device) * 0}, 1).select(1, 0);
      Shape picked = shape;
      picked[d] = at.numel();
      CAPTURE(shape, d, dtype, device);
      const Tensor y = index_select(x, random.chance(0.5) ? d : d - shape.size(), at);
      CHECK(y.dtype() == dtype);
      check_equal(y, Dense(picked, [&](Shape i) {
                    i[d] = index[static_cast<std::size_t>(i[d])];
                    return values[i];
                  }));
    });
  }
  const Tensor x = zeros({2, 3});
  CHECK(message_of([&] {
          index_select(x, 1, tensor<std::int64_t>({0, 3}));
        }) == "index_select: index 3 of dimension 1 of shape [2, 3], expected 0 to 2");
  CHECK(message_of([&] { index_select(x, 1, tensor<std::int64_t>({-1})); }) ==
        "index_select: index -1 of dimension 1 of shape [2, 3], expected 0 to 2");
  CHECK(message_of([&] { index_select(x, 1, tensor({1.0})); }) ==
        "index_select: index float64 of shape [1], expected int64 [n]");
  CHECK(message_of([&] {
          index_select(x, 1, zeros({1, 1}, {.dtype = DType::int64}));
        }) == "index_select: index int64 of shape [1, 1], expected int64 [n]");
}

TEST_CASE("index_select on cuda: an index out of range reads nothing and gives NaN, of integers 0", "[index][cuda]") {
  for (const DType dtype : all_dtypes) {
    CAPTURE(dtype);
    const Tensor x = tensor({1.0, 2.0, 3.0, 4.0}).to(dtype).reshape({2, 2}).to(Device::cuda);
    const Tensor at = tensor<std::int64_t>({1, 2, 0, -1, std::int64_t{1} << 32, INT64_MIN}, Device::cuda);
    const double none = is_floating(dtype) ? NAN : 0;
    check_equal(index_select(x, 0, at), Dense({6, 2}, [&](const Shape& i) {
                  return i[0] == 0 ? 3.0 + static_cast<double>(i[1]) : i[0] == 2 ? 1.0 + static_cast<double>(i[1]) : none;
                }));
  }
}

TEST_CASE("matmul and linear", "[matmul]") {
  for (const Device device : devices()) {
    for_each_case(60, [&](Random& random) {
      const std::int64_t b = random.integer(0, 3), m = random.integer(0, 4), k = random.integer(0, 4),
                         n = random.integer(0, 4);
      const bool batch_a = random.chance(0.5), batch_b = random.chance(0.5);
      const Tensor x = random_view(random, batch_a ? Shape{b, m, k} : Shape{m, k}, DType::float64, device);
      const Tensor z = random_view(random, batch_b ? Shape{b, k, n} : Shape{k, n}, DType::float64, device);
      CAPTURE(x.shape(), z.shape(), device);
      const Dense dx(x), dz(z);
      const Shape shape = batch_a || batch_b ? Shape{b, m, n} : Shape{m, n};
      const Tensor y = matmul(x, z);
      REQUIRE(y.shape() == shape);
      std::vector<double> got = y.to_vector<double>();
      std::size_t i = 0;
      for_each_index(shape, [&](const Shape& index) {
        double want = 0;
        const int row = index.size() - 2;
        for (std::int64_t l = 0; l < k; ++l) {
          want += dx[batch_a ? Shape{index[0], index[row], l} : Shape{index[row], l}] *
                  dz[batch_b ? Shape{index[0], l, index[row + 1]} : Shape{l, index[row + 1]}];
        }
        CHECK(got[i++] == Approx(want).epsilon(1e-12).margin(1e-12));
      });
    });
    for_each_case(40, [&](Random& random) {
      Shape shape = random_shape(random, 1, 4, 4, 0.05);
      const std::int64_t in = shape.back(), out = random.integer(0, 4);
      const Tensor x = random_view(random, shape, DType::float64, device);
      const Tensor w = random_view(random, {out, in}, DType::float64, device);
      const Tensor bias = random.chance(0.5) ? random_view(random, {out}, DType::float64, device) : Tensor();
      CAPTURE(shape, out, device);
      const Dense dx(x), dw(w);
      const Tensor y = linear(x, w, bias);
      shape[shape.size() - 1] = out;
      REQUIRE(y.shape() == shape);
      const std::vector<double> got = y.to_vector<double>();
      std::size_t i = 0;
      for_each_index(shape, [&](Shape index) {
        const std::int64_t o = index.back();
        double want = bias.defined() ? bias[o].item() : 0;
        for (std::int64_t l = 0; l < in; ++l) {
          index[index.size() - 1] = l;
          want += dx[index] * dw[{o, l}];
        }
        CHECK(got[i++] == Approx(want).epsilon(1e-12).margin(1e-12));
      });
    });
  }
  CHECK(message_of([] {
          matmul(zeros({2, 3}), zeros({2, 3}));
        }) == "matmul: shapes [2, 3] and [2, 3]: 3 columns against 2 rows");
  CHECK(message_of([] {
          matmul(zeros({}), zeros({2, 3}));
        }) == "matmul: shapes [] and [2, 3], expected one dimension or more");
  CHECK(message_of([] {
          matmul(zeros({2, 3, 4}), zeros({3, 4, 5}));
        }) == "matmul: shapes [2] and [3] do not broadcast: 2 against 3");
  CHECK(message_of([] {
          matmul(zeros({2, 2}), zeros({2, 2}, {.dtype = DType::float64}));
        }) == "matmul: tensors of float32 and float64, expected one dtype");
  CHECK(message_of([] {
          matmul(arange(4).view({2, 2}), arange(4).view({2, 2}));
        }) == "matmul: got int64, expected float32 or float64");
  CHECK(message_of([] {
          linear(zeros({2, 3}), zeros({2, 4}));
        }) == "linear: input [2, 3] and weight [2, 4], expected [..., in] and [out, in]");
  CHECK(message_of([] { linear(zeros({2, 3}), zeros({2, 3}), zeros({3})); }) == "linear: bias [3], expected [2]");
  CHECK(message_of([] {
          linear(zeros({2, 3}), zeros({2, 3}), zeros({2}, {.dtype = DType::float64}));
        }) == "linear: tensors of float32 and float64, expected one dtype");
}

TEST_CASE("linear in one op is the product, the sum and the activation, gradients included", "[matmul]") {
  for (const Device device : devices()) {
    for_each_case(40, [&](Random& random) {
      Shape shape = random_shape(random, 1, 4, 4, 0.05);
      const std::int64_t in = shape.back(), out = random.integer(0, 4);
      const bool has_bias = random.chance(0.7);
      const Activation activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
      std::vector<Tensor> leaves{random_view(random, shape, DType::float64, device),
                                 random_view(random, {out, in}, DType::float64, device),
                                 random_view(random, {out}, DType::float64, device)};
      for (Tensor& x : leaves) x = x.detach().set_requires_grad(random.chance(0.8));
      const Tensor &x = leaves[0], &w = leaves[1], &bias = leaves[2];
      CAPTURE(shape, out, has_bias, static_cast<int>(activation), device);
      const Tensor fused = linear(x, w, has_bias ? bias : Tensor(), activation);

      Tensor y =
          matmul(x.reshape({in > 0 ? x.numel() / in : fused.numel() / std::max<std::int64_t>(out, 1), in}), w.t())
              .reshape(fused.shape());
      if (has_bias) y = y + bias;
      if (activation == Activation::tanh) y = tern::tanh(y);
      if (activation == Activation::relu) y = relu(y);
      const auto close = [](const Tensor& got, const Tensor& want) {
        REQUIRE(got.shape() == want.shape());
        const std::vector<double> a = got.to_vector<double>(), b = want.to_vector<double>();
        for (std::size_t i = 0; i < a.size(); ++i) CHECK(a[i] == Approx(b[i]).epsilon(1e-10).margin(1e-12));
      };
      close(fused, y);
      REQUIRE(fused.requires_grad() == y.requires_grad());
      if (!y.requires_grad()) return;
      CHECK(fused.grad_node()->name == std::string("linear"));
      const Tensor g = random_view(random, y.shape(), DType::float64, device);
      y.backward(g);
      std::vector<Tensor> want;
      for (const Tensor& leaf : leaves) {
        want.push_back(leaf.grad());
        leaf.set_grad({});
      }
      fused.backward(g);
      for (std::size_t i = 0; i < leaves.size(); ++i) {
        REQUIRE(leaves[i].grad().defined() == want[i].defined());
        if (want[i].defined()) close(leaves[i].grad(), want[i]);
      }
    });
  }
}

}  // namespace tern::test
