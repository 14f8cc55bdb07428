#pragma once

/// Gradients against differences, and the ops that are checked that way.

#include <tern/core/tensor.hpp>

#include <random.hpp>

#include <functional>
#include <string>
#include <vector>

namespace tern::test {

/// From leaves to an output.
using Function = std::function<Tensor(const std::vector<Tensor>&)>;

/// What an op is tried on: float64 values on the reference device, which float32 can hold as well, and the function.
struct Problem {
  std::vector<Tensor> inputs;
  Function function;
};

struct OpCase {
  std::string name;
  std::function<Problem(Random&)> make;
};

/// Every op of core/ops.hpp and every view, with fresh shapes, layouts and values at each call of make.
const std::vector<OpCase>& op_cases();

/// Compares the gradients of a random projection of function(inputs) on the device, all float64, with differences:
/// those of the device itself where it is the host, else, for an emulated one is slow, those of the reference, whose
/// output it must then have. Empty where all agree to 1e-6 of their size, else one line on the first that does not.
std::string gradcheck(const Function& function, const std::vector<Tensor>& inputs, Random& random, Device device);

}  // namespace tern::test
