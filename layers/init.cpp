#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/layers/init.hpp>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tern::init {
namespace {

struct Fans {
  double in, out;
};

Fans fans_of(const char* name, const Tensor& x) {
  check(x.defined() && x.dim() >= 2, "{}: a tensor of shape {}, expected two dimensions or more", name,
        x.defined() ? x.shape().str() : "undefined");
  double each = 1;  // elements of a filter
  for (int d = 2; d < x.dim(); ++d) each *= static_cast<double>(x.size(d));
  return {static_cast<double>(x.size(1)) * each, static_cast<double>(x.size(0)) * each};
}

/// The y whose erf is u: Winitzki's approximation, 2008, and Newton's steps from there.
double erfinv(double u) {
  constexpr double a = 0.147;
  const double log = std::log((1 - u) * (1 + u)), t = 2 / (std::numbers::pi * a) + log / 2;
  double y = std::copysign(std::sqrt(std::sqrt(t * t - log / a) - t), u);
  for (int i = 0; i < 4 && std::isfinite(y); ++i) {
    y -= (std::erf(y) - u) * std::sqrt(std::numbers::pi) / 2 * std::exp(y * y);
  }
  return y;
}

double kaiming_std(const char* name, const Tensor& x, const KaimingOptions& o) {
  const Fans fans = fans_of(name, x);
  return calculate_gain(o.nonlinearity, o.a) / std::sqrt(o.mode == Fan::in ? fans.in : fans.out);
}

const Tensor& uniform_within(const Tensor& x, double std, Generator& generator) {
  const double bound = std::sqrt(3.0) * std;
  return x.numel() == 0 ? x : init::uniform_(x, -bound, bound, generator);
}

}  // namespace

const Tensor& uniform_(const Tensor& x, double a, double b, Generator& generator) {
  const NoGradGuard no_grad;
  tern::uniform_(x, a, b, generator);
  return x;
}

const Tensor& normal_(const Tensor& x, double mean, double std, Generator& generator) {
  const NoGradGuard no_grad;
  tern::normal_(x, mean, std, generator);
  return x;
}

const Tensor& trunc_normal_(const Tensor& x, double mean, double std, double a, double b, Generator& generator) {
  check(x.defined(), "trunc_normal_: x is undefined, expected a tensor");
  check(std > 0 && a <= b, "trunc_normal_: std {} and bounds {} and {}, expected more than 0 and the lower first", std,
        a, b);
  const NoGradGuard no_grad;
  const auto erf_of = [&](double bound) { return std::erf((bound - mean) / (std * std::numbers::sqrt2)); };
  const double low = erf_of(a), high = erf_of(b);
  std::vector<double> values = rand({x.numel()}, {.dtype = DType::float64}, generator).to_vector<double>();
  for (double& v : values) {
    v = std::clamp(mean + std * std::numbers::sqrt2 * erfinv(low + (high - low) * v), a, b);
  }
  return x.copy_(tensor(values).reshape(x.shape()));
}

const Tensor& constant_(const Tensor& x, double value) {
  const NoGradGuard no_grad;
  return x.fill_(value);
}
const Tensor& ones_(const Tensor& x) { return constant_(x, 1); }
const Tensor& zeros_(const Tensor& x) { return constant_(x, 0); }

const Tensor& eye_(const Tensor& x) {
  check(x.defined() && x.dim() == 2, "eye_: a tensor of shape {}, expected two dimensions",
        x.defined() ? x.shape().str() : "undefined");
  const NoGradGuard no_grad;
  std::vector<double> values(static_cast<std::size_t>(x.numel()));
  for (std::int64_t i = 0; i < std::min(x.size(0), x.size(1)); ++i) {
    values[static_cast<std::size_t>(i * x.size(1) + i)] = 1;
  }
  return x.copy_(tensor(values).reshape(x.shape()));
}

const Tensor& xavier_uniform_(const Tensor& x, double gain, Generator& generator) {
  const Fans fans = fans_of("xavier_uniform_", x);
  return uniform_within(x, gain * std::sqrt(2 / (fans.in + fans.out)), generator);
}

const Tensor& xavier_normal_(const Tensor& x, double gain, Generator& generator) {
  const Fans fans = fans_of("xavier_normal_", x);
  return init::normal_(x, 0, gain * std::sqrt(2 / (fans.in + fans.out)), generator);
}

double calculate_gain(Nonlinearity nonlinearity, double param) {
  switch (nonlinearity) {
    case Nonlinearity::tanh:
      return 5.0 / 3;
    case Nonlinearity::relu:
      return std::numbers::sqrt2;
    case Nonlinearity::leaky_relu:
      return std::sqrt(2 / (1 + param * param));
    case Nonlinearity::selu:
      return 0.75;
    case Nonlinearity::linear:
    case Nonlinearity::sigmoid:
      break;
  }
  return 1;
}

const Tensor& kaiming_uniform_(const Tensor& x, const KaimingOptions& options, Generator& generator) {
  return uniform_within(x, kaiming_std("kaiming_uniform_", x, options), generator);
}

const Tensor& kaiming_normal_(const Tensor& x, const KaimingOptions& options, Generator& generator) {
  return init::normal_(x, 0, kaiming_std("kaiming_normal_", x, options), generator);
}

const Tensor& orthogonal_(const Tensor& x, double gain, Generator& generator) {
  fans_of("orthogonal_", x);
  if (x.numel() == 0) return x;
  const NoGradGuard no_grad;
  const std::int64_t rows = x.size(0), columns = x.numel() / rows;
  const bool wide = rows <= columns;
  const std::int64_t vectors = wide ? rows : columns, length = wide ? columns : rows;
  Tensor q = randn({vectors, length}, {.dtype = DType::float64}, generator);
  const auto row = [&](std::int64_t i) { return q.data<double>() + i * length; };
  const auto dot = [&](const double* a, const double* b) {
    double sum = 0;
    for (std::int64_t k = 0; k < length; ++k) sum += a[k] * b[k];
    return sum;
  };
  for (std::int64_t i = 0; i < vectors; ++i) {
    for (int pass = 0; pass < 2; ++pass) {
      for (std::int64_t j = 0; j < i; ++j) {
        const double share = dot(row(i), row(j));
        for (std::int64_t k = 0; k < length; ++k) row(i)[k] -= share * row(j)[k];
      }
      const double norm = std::sqrt(dot(row(i), row(i)));
      for (std::int64_t k = 0; k < length; ++k) row(i)[k] /= norm;
    }
  }
  return x.copy_(((wide ? q : q.t()) * gain).reshape(x.shape()));
}

}  // namespace tern::init
