#include "gradcheck.hpp"
#include "support.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/ops.hpp>

#include <cmath>

namespace tern::test {

namespace {

constexpr int cases_per_op = 60;

std::vector<Tensor> moved(const std::vector<Tensor>& inputs, DType dtype, Device device) {
  std::vector<Tensor> all;
  for (const Tensor& x : inputs) all.push_back(x.to(dtype).to(device));
  return all;
}

double largest_of(const Tensor& x) {
  double largest = 0;
  for (const double v : x.to_vector<double>()) largest = std::max(largest, std::abs(v));
  return largest;
}

/// Empty where got is want to 1e-5 of want's largest element, or of `least`: what it is a sum of may cancel.
std::string float32_difference(const std::string& what, const Tensor& want, const Tensor& got, double least = 0.1) {
  if (!(want.shape() == got.shape())) return what + " has shape " + got.shape().str();
  const std::vector<double> a = want.to_vector<double>(), b = got.to_vector<double>();
  const double largest = std::max(least, largest_of(want));
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isfinite(a[i]) ? !(std::abs(a[i] - b[i]) <= 1e-5 * largest) : !same(a[i], b[i])) {
      return text(what, " ", i, " is ", b[i], ", expected ", a[i]);
    }
  }
  return "";
}

}  // namespace

TEST_CASE("every op's gradient is that of differences", "[gradient]") {
  for (const Device device : devices()) {
    for (const OpCase& op : op_cases()) {
      INFO(op.name << " on " << device);
      for_each_case(cases_per_op, [&](Random& random) {
        const Problem p = op.make(random);
        CHECK(gradcheck(p.function, p.inputs, random, device) == "");
      });
    }
  }
}

TEST_CASE("every op in float32 is as the reference in float64", "[gradient]") {
  for (const Device device : devices()) {
    for (const OpCase& op : op_cases()) {
      INFO(op.name << " on " << device);
      for_each_case(cases_per_op, [&](Random& random) {
        const Problem p = op.make(random);
        std::vector<Tensor> truth = moved(p.inputs, DType::float64, Device::reference);
        std::vector<Tensor> subject = moved(p.inputs, DType::float32, device);
        for (std::size_t i = 0; i < truth.size(); ++i) {
          truth[i] = truth[i].clone().set_requires_grad();
          subject[i] = subject[i].clone().set_requires_grad();
        }
        const Tensor want = p.function(truth), got = p.function(subject);
        CHECK(got.dtype() == DType::float32);
        CHECK(got.device() == device);
        CHECK(float32_difference("output", want, got) == "");
        const Tensor projection = random_view(random, want.shape(), DType::float32, Device::reference);
        want.backward(projection.to(DType::float64));
        got.backward(projection.to(device));
        const double least = std::max(0.1, largest_of(projection));
        for (std::size_t i = 0; i < truth.size(); ++i) {
          CHECK(subject[i].grad().dtype() == DType::float32);
          const std::string what = "gradient of input " + std::to_string(i);
          CHECK(float32_difference(what, truth[i].grad(), subject[i].grad(), least) == "");
        }
      });
    }
  }
}

TEST_CASE("cross_entropy without smoothing takes nothing from the weights of classes that are no target",
          "[gradient]") {
  for (const Device device : devices()) {
    CAPTURE(device);
    for (const float weight : {INFINITY, NAN}) {
      const Tensor x = zeros({1, 2}, {.dtype = DType::float64, .device = device, .requires_grad = true});
      const Tensor weights = tensor({2.0, double{weight}}, device);
      const Tensor loss = cross_entropy(x, tensor<std::int64_t>({0}, device), {.weight = weights});
      loss.backward();
      CHECK(loss.item() == Approx(std::log(2.0)));
      const std::vector<double> gradient = x.grad().to_vector<double>();
      CHECK(gradient[0] == Approx(-0.5));
      CHECK(gradient[1] == Approx(0.5));
    }
  }
}

TEST_CASE("the gradient check finds a wrong gradient", "[gradient]") {
  for (const Device device : devices())
    for_each_case(5, [&](Random& random) {
      const Tensor x = random_tensor(random, {3}, DType::float64, Device::reference);
      const auto wrong = [](const std::vector<Tensor>& in) {
        return record("wrong", {in[0]}, in[0].detach() * 2, [](const Tensor& g) { return g * 2.00001; });
      };
      CHECK(gradcheck(wrong, {x}, random, device) != "");
      const auto constant = [](const std::vector<Tensor>& in) { return in[0].detach() + in[1]; };
      CHECK(gradcheck(constant, {x, x}, random, device) == "input 0 got no gradient");
    });
}

}  // namespace tern::test
