#pragma once

#include <tern/core/tensor.hpp>
#include <tern/kernels/philox.hpp>

#include <cstdint>

namespace tern {

/// The one source of randomness: Philox4x32-10, keyed by a seed, with an offset that counts the blocks of four 32-bit
/// words used so far. The same state gives the same numbers on every device and for any number of threads. One thread
/// at a time may use one. What draws and throws has not moved it.
class Generator {
 public:
  explicit Generator(std::uint64_t seed = 0) : state_{seed, 0} {}  ///< at the beginning of that seed's stream

  /// Begins that seed's stream.
  void manual_seed(std::uint64_t seed) { state_ = {seed, 0}; }
  /// Where the stream stands: store it, and set it to go on from there.
  /// @{
  kernels::PhiloxState state() const { return state_; }
  void set_state(kernels::PhiloxState state) { state_ = state; }

  /// @}

  /// Reserves n draws of 32 bits and returns where they start.
  kernels::PhiloxState advance(std::uint64_t n);
  /// A uniform integer in [0, bound), without bias. bound is at least 1.
  std::uint64_t below(std::uint64_t bound);

 private:
  kernels::PhiloxState state_;
};

/// What random functions use unless given another. Like every Generator it is not locked: one thread at a time.
Generator& default_generator();

/// While it lives, default_generator() is that one for this thread. Guards may nest.
class GeneratorGuard {
 public:
  explicit GeneratorGuard(Generator& generator);  ///< which must outlive the guard
  ~GeneratorGuard();
  GeneratorGuard(const GeneratorGuard&) = delete;
  GeneratorGuard& operator=(const GeneratorGuard&) = delete;

 private:
  Generator* previous_;
};

/// Restarts default_generator() from this seed.
void manual_seed(std::uint64_t seed);

/// Uniform in [0, 1), floating dtypes.
/// @{
Tensor rand(const Shape& shape, const TensorOptions& options = {}, Generator& generator = default_generator());
Tensor rand_like(const Tensor& x, Generator& generator = default_generator());
/// @}

/// Standard normal, floating dtypes.
/// @{
Tensor randn(const Shape& shape, const TensorOptions& options = {}, Generator& generator = default_generator());
Tensor randn_like(const Tensor& x, Generator& generator = default_generator());
/// @}

/// A random order of 0 ... n - 1, int64 unless the options name a dtype.
/// @{
Tensor randperm(std::int64_t n, Generator& generator = default_generator());
Tensor randperm(std::int64_t n, const TensorOptions& options, Generator& generator = default_generator());
/// @}

/// Whole numbers in [low, high), int64 unless the options name a dtype.
Tensor randint(std::int64_t low, std::int64_t high, const Shape& shape, const TensorOptions& options = {},
               Generator& generator = default_generator());
/// 1 with the probability that x is at its place, else 0, in x's dtype.
Tensor bernoulli(const Tensor& x, Generator& generator = default_generator());
/// num_samples places along the last dimension of x [m] or [rows, m], int64, each with a probability in proportion to
/// x, without replacement none twice. Throws Error where x is negative or not finite, or has not so many that are not
/// 0.
Tensor multinomial(const Tensor& x, std::int64_t num_samples, bool replacement = false,
                   Generator& generator = default_generator());
/// Fills with uniform numbers in [low, high), or normal ones, in place.
/// @{
void uniform_(const Tensor& x, double low, double high, Generator& generator = default_generator());
void normal_(const Tensor& x, double mean, double std, Generator& generator = default_generator());
/// @}

}  // namespace tern
