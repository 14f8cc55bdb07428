#pragma once

/// Random programs of ops: any bytes are one.
///
/// A program is a list of up to 12 ops, each on tensors that it makes and on what the ops before it gave: views of any
/// kind, sizes of 0 and 1, at times whole numbers that are often equal, NaN and infinities. It runs on the reference
/// first. Every other device must then give the same shapes, dtypes and values op by op, the same errors, and the same
/// gradients, op by op and at the leaves.
///
/// So that each op is judged by what it was given, an output that differs from the reference's within what its dtype
/// allows is replaced by that, and so is a gradient on its way back: nothing adds up, and no comparison or maximum
/// turns out another way for a rounding before it.

#include <tern/core/device.hpp>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace tern::test {

/// A device gave something else than the reference; the text has the program.
struct Disagreement : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What the programs did, added up, on the reference.
struct ProgramCounts {
  std::int64_t programs = 0, ops = 0, errors = 0, backward = 0, gradients = 0;
};

/// Runs the program that the bytes stand for on the reference and on the device, and throws Disagreement where they
/// differ.
void run_program(std::string_view bytes, Device device, ProgramCounts& counts);

}  // namespace tern::test
