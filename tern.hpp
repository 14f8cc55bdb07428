#pragma once

/// All of tern.

#include <tern/core/autograd.hpp>
#include <tern/core/checkpoint.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/file.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/core/step_guard.hpp>
#include <tern/core/tensor.hpp>
#include <tern/data/augment.hpp>
#include <tern/data/cifar10.hpp>
#include <tern/data/data_loader.hpp>
#include <tern/data/image.hpp>
#include <tern/data/image_batches.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/kernels/cpu/threads.hpp>
#include <tern/layers/activation.hpp>
#include <tern/layers/attention.hpp>
#include <tern/layers/containers.hpp>
#include <tern/layers/embedding.hpp>
#include <tern/layers/init.hpp>
#include <tern/layers/layers.hpp>
#include <tern/layers/losses.hpp>
#include <tern/layers/normalization.hpp>
#include <tern/layers/recurrent.hpp>
#include <tern/layers/resnet.hpp>
#include <tern/layers/summary.hpp>
#include <tern/layers/transformer.hpp>
#include <tern/optim/averaged_model.hpp>
#include <tern/optim/clip.hpp>
#include <tern/optim/graphed_step.hpp>
#include <tern/optim/optimizer.hpp>
#include <tern/optim/schedules.hpp>
