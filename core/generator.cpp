#include <tern/core/cuda.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/generator.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

namespace tern {
namespace {

/// Draws 2i and 2i + 1 as 53 uniform bits in [0, 1).
double uniform53(kernels::PhiloxState state, std::uint64_t i) {
  const std::uint64_t high = kernels::philox_bits(state, 2 * i), low = kernels::philox_bits(state, 2 * i + 1);
  return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
}

void check_floating(const char* op, const Tensor& x) {
  check_defined(op, "x", x);
  check(is_floating(x.dtype()), "{}: got {}, expected float32 or float64", op, x.dtype());
}

/// The same whole numbers, int64 unless the options name another dtype.
Tensor as_asked(const Tensor& x, const TensorOptions& options) {
  const Tensor y = x.to(options.dtype.value_or(DType::int64)).to(options.device);
  return options.requires_grad ? y.set_requires_grad() : y;
}

/// A number that is about the largest of a dtype below high, and no less than low.
double below(double high, double low, DType dtype) {
  if (dtype == DType::float64) return std::nextafter(high, low);
  if (!is_half(dtype)) return std::nextafter(static_cast<float>(high), static_cast<float>(low));
  return std::max(low, high - std::abs(high) * epsilon_of(dtype));
}

/// x[i] = value(i), made on the host, so that every device gets the same bits.
template <class F>
void fill_from(const Tensor& x, F value) {
  std::vector<double> values(static_cast<std::size_t>(x.numel()));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(i);
  x.copy_(tensor(values).to(x.dtype()).reshape(x.shape()));
}

/// In place of the process's, where not null.
thread_local Generator* default_of_thread = nullptr;

}  // namespace

kernels::PhiloxState Generator::advance(std::uint64_t n) {
  check(this == &default_generator() || !cuda::is_capturing(),
        "generator: {} numbers for a graph, whose replays would get the same ones, expected default_generator()", n);
  const kernels::PhiloxState start = state_;
  state_.offset += kernels::philox_blocks(n);
  return start;
}

std::uint64_t Generator::below(std::uint64_t bound) {
  check(bound >= 1, "below: bound 0, expected at least 1");
  const std::uint64_t unbiased = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;  // a multiple of bound
  for (;;) {
    const kernels::PhiloxBlock block = kernels::philox(state_.seed, advance(2).offset);
    const std::uint64_t bits = std::uint64_t{block.word[0]} << 32 | block.word[1];
    if (bits < unbiased) return bits % bound;
  }
}

Generator& default_generator() {
  static Generator generator;
  return default_of_thread ? *default_of_thread : generator;
}

GeneratorGuard::GeneratorGuard(Generator& generator) : previous_(std::exchange(default_of_thread, &generator)) {}
GeneratorGuard::~GeneratorGuard() { default_of_thread = previous_; }

void manual_seed(std::uint64_t seed) { default_generator().manual_seed(seed); }

void uniform_(const Tensor& x, double low, double high, Generator& generator) {
  check_floating("uniform_", x);
  const double most = largest_of(x.dtype());
  check(-most <= low && low <= high && high <= most && high - low <= most,
        "uniform_: from {} to {}, expected the lower first, and neither they nor the way between beyond {}", low, high,
        x.dtype());
  // Rounded to x's dtype, a number just below high would be high.
  const double last = below(high, low, x.dtype());
  const kernels::PhiloxState state = generator.state();
  fill_from(x, [&](std::uint64_t i) { return std::min(low + (high - low) * uniform53(state, i), last); });
  generator.advance(2 * static_cast<std::uint64_t>(x.numel()));
}

void normal_(const Tensor& x, double mean, double std, Generator& generator) {
  check_floating("normal_", x);
  check(std >= 0, "normal_: standard deviation {}, expected 0 or more", std);
  const std::uint64_t pairs = (static_cast<std::uint64_t>(x.numel()) + 1) / 2;
  const kernels::PhiloxState state = generator.state();
  // Box, Muller, "A note on the generation of random normal deviates", 1958.
  fill_from(x, [&](std::uint64_t i) {
    const double u = 1 - uniform53(state, i / 2 * 2), angle = 2 * std::numbers::pi * uniform53(state, i / 2 * 2 + 1);
    const double radius = std::sqrt(-2 * std::log(u));
    return mean + std * radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle));
  });
  generator.advance(4 * pairs);
}

const Tensor& Tensor::uniform_(double low, double high) const {
  tern::uniform_(*this, low, high);
  return *this;
}

const Tensor& Tensor::normal_(double mean, double std) const {
  tern::normal_(*this, mean, std);
  return *this;
}

Tensor rand(const Shape& shape, const TensorOptions& options, Generator& generator) {
  const Tensor x = empty(shape, {.dtype = options.dtype, .device = options.device});
  uniform_(x, 0, 1, generator);
  return options.requires_grad ? x.set_requires_grad() : x;
}

Tensor randn(const Shape& shape, const TensorOptions& options, Generator& generator) {
  const Tensor x = empty(shape, {.dtype = options.dtype, .device = options.device});
  normal_(x, 0, 1, generator);
  return options.requires_grad ? x.set_requires_grad() : x;
}

Tensor rand_like(const Tensor& x, Generator& generator) {
  check_floating("rand_like", x);
  return rand(x.shape(), {.dtype = x.dtype(), .device = x.device()}, generator);
}

Tensor randn_like(const Tensor& x, Generator& generator) {
  check_floating("randn_like", x);
  return randn(x.shape(), {.dtype = x.dtype(), .device = x.device()}, generator);
}

Tensor randperm(std::int64_t n, Generator& generator) {
  check(n >= 0, "randperm: {} elements, expected 0 or more", n);
  const Tensor order = arange(n);
  std::int64_t* values = order.data<std::int64_t>();
  for (std::int64_t i = n - 1; i > 0; --i) {  // Fisher, Yates
    std::swap(values[i], values[generator.below(static_cast<std::uint64_t>(i) + 1)]);
  }
  return order;
}

Tensor randperm(std::int64_t n, const TensorOptions& options, Generator& generator) {
  return as_asked(randperm(n, generator), options);
}

Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, const TensorOptions& options,
               Generator& generator) {
  check(low < high, "randint: from {} to {}, expected the lower first", low, high);
  const Tensor x = empty(shape, {.dtype = DType::int64});
  const std::uint64_t first = static_cast<std::uint64_t>(low), bound = static_cast<std::uint64_t>(high) - first;
  std::int64_t* const values = x.data<std::int64_t>();
  for (std::int64_t i = 0; i < x.numel(); ++i) values[i] = static_cast<std::int64_t>(first + generator.below(bound));
  return as_asked(x, options);
}

Tensor bernoulli(const Tensor& x, Generator& generator) {
  check_floating("bernoulli", x);
  const std::vector<double> p = x.to_vector<double>();
  std::vector<std::uint8_t> ones;
  const kernels::PhiloxState state = generator.state();
  for (std::size_t i = 0; i < p.size(); ++i) {
    check(0 <= p[i] && p[i] <= 1, "bernoulli: a probability of {}, expected 0 to 1", p[i]);
    ones.push_back(uniform53(state, i) < p[i]);
  }
  generator.advance(2 * p.size());
  return tensor(ones, x.device()).to(x.dtype()).reshape(x.shape());
}

Tensor multinomial(const Tensor& x, std::int64_t num_samples, bool replacement, Generator& generator) {
  check_floating("multinomial", x);
  check(x.dim() == 1 || x.dim() == 2, "multinomial: shape {}, expected one or two dimensions", x.shape());
  check(num_samples >= 1, "multinomial: {} samples, expected 1 or more", num_samples);
  const std::size_t m = static_cast<std::size_t>(x.shape().back()), k = static_cast<std::size_t>(num_samples);
  const std::size_t rows = x.dim() == 2 ? static_cast<std::size_t>(x.shape()[0]) : 1;
  const std::vector<double> weights = x.to_vector<double>();
  for (std::size_t row = 0; row < rows; ++row) {
    std::size_t positive = 0;
    double sum = 0;
    for (std::size_t i = 0; i < m; ++i) {
      const double weight = weights[row * m + i];
      check(weight >= 0, "multinomial: a weight of {}, expected 0 or more", weight);
      positive += weight > 0;
      sum += weight;
    }
    check(std::isfinite(sum), "multinomial: weights whose sum is {}, expected a finite one", sum);
    check(positive >= (replacement ? 1 : k), "multinomial: {} samples of {} weights that are not 0, expected no more",
          num_samples, positive);
  }
  std::vector<std::int64_t> places;
  const kernels::PhiloxState state = generator.state();
  std::vector<double> sums(m);
  std::vector<std::pair<double, std::int64_t>> keys(m);
  for (std::size_t row = 0; row < rows; ++row) {
    const double* const weight = weights.data() + row * m;
    if (replacement) {
      std::partial_sum(weight, weight + m, sums.begin());
      for (std::size_t i = 0; i < k; ++i) {
        const auto at = std::upper_bound(sums.begin(), sums.end(), uniform53(state, row * k + i) * sums.back());
        // Rounded up to the sum of all, a draw is of the last that counts.
        const auto last = std::lower_bound(sums.begin(), sums.end(), sums.back());
        places.push_back(std::min(at, last) - sums.begin());
      }
    } else {
      // The k smallest of -log(u) / weight. Efraimidis, Spirakis, "Weighted random sampling with a reservoir", 2006.
      for (std::size_t i = 0; i < m; ++i) {
        const double waits = -std::log1p(-uniform53(state, row * m + i)) / weight[i];
        constexpr double most = std::numeric_limits<double>::max(), never = std::numeric_limits<double>::infinity();
        keys[i] = {weight[i] > 0 ? std::min(waits, most) : never, static_cast<std::int64_t>(i)};
      }
      std::partial_sort(keys.begin(), keys.begin() + num_samples, keys.end());
      for (std::size_t i = 0; i < k; ++i) places.push_back(keys[i].second);
    }
  }
  generator.advance(2 * rows * (replacement ? k : m));
  Shape shape = x.shape();
  shape[shape.size() - 1] = num_samples;
  return tensor(places, x.device()).reshape(shape);
}

}  // namespace tern
