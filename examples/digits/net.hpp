#pragma once

#include <tern/tern.hpp>

/// Images of digits [n, 1, 8, 8] -> ten logits each.
inline tern::Sequential make_net() {
  return tern::Sequential{tern::Conv2d({.in_channels = 1, .out_channels = 16, .kernel_size = 3, .padding = 1}),
                          tern::BatchNorm2d(16),
                          tern::ReLU(),
                          tern::MaxPool2d(2),
                          tern::Conv2d({.in_channels = 16, .out_channels = 32, .kernel_size = 3, .padding = 1}),
                          tern::BatchNorm2d(32),
                          tern::ReLU(),
                          tern::MaxPool2d(2),
                          tern::Flatten(),
                          tern::Linear(32 * 2 * 2, 10)};
}
