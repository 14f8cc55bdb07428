#pragma once

#include <filesystem>

namespace tern::kernels {

/// The processors that this process may keep busy, at least 1: those it may run on, or fewer where a control group
/// (version 1 or 2) that it is in, or one above, has a quota of processor time; a quota of 1.5 counts as 2. Groups are
/// looked for in /proc and /sys below `root`.
int usable_processors(const std::filesystem::path& root = "/");

}  // namespace tern::kernels
