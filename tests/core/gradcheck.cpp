#include "gradcheck.hpp"

#include "support.hpp"

#include <tern/core/autograd.hpp>

#include <cmath>

namespace tern::test {

namespace {

Tensor like(const Tensor& x, const std::vector<double>& values) {
  return tensor(values, x.device()).reshape(x.shape());
}

double dot(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  long double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += static_cast<long double>(x[i]) * y[i];
  return static_cast<double>(sum);
}

}  // namespace

std::string gradcheck(const Function& function, const std::vector<Tensor>& given, Random& random, Device device) {
  std::vector<Tensor> leaves, inputs;
  for (const Tensor& x : given) leaves.push_back(x.to(device).clone().set_requires_grad());
  const Tensor y = function(leaves);
  Tensor projection = random_view(random, y.shape(), DType::float64, device);
  y.backward(projection);

  NoGradGuard no_grad;
  const Device host = device.on_host() ? device : Device(Device::reference);
  for (const Tensor& x : given) inputs.push_back(x.to(host));
  projection = projection.to(host);
  if (!device.on_host()) {
    const std::vector<double> want = function(inputs).to_vector<double>(), got = y.detach().to_vector<double>();
    for (std::size_t i = 0; i < want.size(); ++i) {
      if (!(std::abs(got[i] - want[i]) <= 1e-12 * std::max(1.0, std::abs(want[i])))) {
        return text("output ", i, " is ", got[i], ", expected ", want[i]);
      }
    }
  }
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    if (!leaves[k].grad().defined()) return text("input ", k, " got no gradient");
    const std::vector<double> gradient = leaves[k].grad().to_vector<double>();
    double largest = 1;
    for (const double g : gradient) largest = std::max(largest, std::abs(g));
    std::vector<double> values = inputs[k].to_vector<double>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto moved = [&](double by) {
        std::vector<Tensor> at = inputs;
        const double before = values[i];
        values[i] += by;
        at[k] = like(inputs[k], values);
        values[i] = before;
        return dot(function(at), projection);
      };
      constexpr double h = 5e-4;  // the error is of the order h^4
      const double slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
      const double allowed = 1e-6 * std::max(std::abs(gradient[i]), std::abs(slope)) + 1e-9 * largest;
      if (!(std::abs(gradient[i] - slope) <= allowed)) {
        return text("gradient ", i, " of input ", k, " ", inputs[k].shape(), " is ", gradient[i], ", by differences ",
                    slope);
      }
    }
  }
  return "";
}

}  // namespace tern::test
