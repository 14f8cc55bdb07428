#pragma once

#include <cstdint>

// x is [rows, 2 n], y and dy are [rows, n], dx is [rows, 2 n], dense in the memory of the device.

void swiglu_cuda(int device, std::int64_t rows, std::int64_t n, const float* x, float* y);
void swiglu_backward_cuda(int device, std::int64_t rows, std::int64_t n, const float* x, const float* dy, float* dx);
