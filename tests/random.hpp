#pragma once

/// Fresh numbers for tests, the same again for the same seed: TERN_TEST_SEED from the environment, else a fixed one.

#include <catch2/catch.hpp>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace tern::test {

/// What all random numbers of this run grow from.
std::uint64_t base_seed();

class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t stream)
      : engine_(seed * 0x9E3779B97F4A7C15u + stream * 0xD1B54A32D192ED03u + 1) {}

  /// Uniform in [low, high], both included.
  std::int64_t integer(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(engine_);
  }

  /// Uniform in [low, high).
  double real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine_); }

  bool chance(double p) { return real(0, 1) < p; }

  template <class T>
  T pick(std::initializer_list<T> choices) {
    return choices.begin()[integer(0, static_cast<std::int64_t>(choices.size()) - 1)];
  }

  /// A number of elements: often small, at times 0, at times enough for several threads or blocks.
  std::int64_t length() {
    if (chance(0.1)) return integer(0, 1);
    if (chance(0.05)) return integer(20'000, 80'000);
    return integer(2, chance(0.5) ? 40 : 2'000);
  }

  template <class T>
  std::vector<T> between(std::int64_t n, double low, double high) {
    std::vector<T> values(n);
    for (T& v : values) v = static_cast<T>(real(low, high));
    return values;
  }

  /// Floats in [-2, 2), signed integers in [-9, 9], bytes of any value.
  template <class T>
  std::vector<T> values(std::int64_t n) {
    if constexpr (std::is_floating_point_v<T>) return between<T>(n, -2, 2);
    std::vector<T> values(n);
    for (T& v : values) v = static_cast<T>(std::is_signed_v<T> ? integer(-9, 9) : integer(0, 255));
    return values;
  }

  /// Whole numbers that are often equal to each other.
  template <class T>
  std::vector<T> ties(std::int64_t n) {
    std::vector<T> values(n);
    for (T& v : values) v = static_cast<T>(std::is_signed_v<T> ? integer(-2, 2) : integer(0, 3));
    return values;
  }

  /// Some of the values become NaN, an infinity or a zero of either sign.
  template <class T>
  void spoil(std::vector<T>& values, double share = 0.1) {
    if constexpr (std::is_floating_point_v<T>) {
      constexpr T infinity = std::numeric_limits<T>::infinity();
      for (T& v : values) {
        if (chance(share)) v = pick({std::numeric_limits<T>::quiet_NaN(), infinity, -infinity, T{0}, -T{0}});
      }
    }
  }

  std::vector<std::int64_t> indices(std::int64_t n, std::int64_t bound) {
    std::vector<std::int64_t> values(n);
    for (std::int64_t& v : values) v = integer(0, bound - 1);
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

/// Calls f(random) with fresh numbers each time. A failure inside says which case it was and of which seed.
template <class F>
void for_each_case(int count, F f) {
  for (int i = 0; i < count; ++i) {
    INFO("case " << i << " of TERN_TEST_SEED=" << base_seed());
    Random random(base_seed(), i);
    f(random);
  }
}

}  // namespace tern::test
