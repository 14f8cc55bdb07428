#pragma once

#include <random.hpp>

#include <vector>

namespace tern::test {

/// Arrays of several sizes for one call, as a model has parameters; at times many small ones, more than a launch takes.
template <class T>
std::vector<std::vector<T>> random_arrays(Random& random) {
  const bool many = random.chance(0.1);
  std::vector<std::vector<T>> arrays(many ? random.integer(60, 140) : random.integer(0, 9));
  for (auto& a : arrays) a = random.values<T>(many ? random.integer(0, 9) : random.length());
  return arrays;
}

}  // namespace tern::test
