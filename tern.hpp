#pragma once

/// All of tern.

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/core/tensor.hpp>
