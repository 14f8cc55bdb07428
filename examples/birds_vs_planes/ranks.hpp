#pragma once

#include <birds_vs_planes/options.hpp>

#include <tern/core/safetensors.hpp>

#include <functional>

/// What the ranks of one run do together (docs/distributed.md). A program that nothing has started several times is
/// rank 0 of one.

namespace birds_vs_planes {

/// Joins the other ranks. All but rank 0 say and write nothing from then on, which their options are changed to mean;
/// ranks of one machine share its processors, unless --threads or OMP_NUM_THREADS says how many threads each has.
void join_ranks(Options& options);

/// Has each rank do `work` by itself, such as reading its data. Where it throws on any, all throw FailedTogether: what
/// was thrown on the first of them, with its rank unless that is 0.
void together(const std::function<void()>& work);

/// The greatest of all ranks' numbers.
int greatest_of_ranks(int mine);

/// Gives each rank what rank 0 has.
void give_to_ranks(tern::TensorFile& file);

}  // namespace birds_vs_planes
