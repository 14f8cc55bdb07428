#include <tern/kernels/cpu/processors.hpp>

#include <sched.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <thread>

namespace tern::kernels {

namespace {

namespace fs = std::filesystem;

constexpr int unlimited = std::numeric_limits<int>::max();

int allowed_processors() {
  std::array<cpu_set_t, 16> mask;  // of 16,384; the system refuses a mask that is too short
  if (sched_getaffinity(0, sizeof mask, mask.data()) == 0) return CPU_COUNT_S(sizeof mask, mask.data());
  return static_cast<int>(std::thread::hardware_concurrency());
}

/// The next number, or -1 where none is, as in "max".
std::int64_t number(std::istream& in) {
  std::int64_t n = -1;
  return in >> n ? n : -1;
}

/// The quota of one group, both in microseconds.
int processors(std::int64_t quota, std::int64_t period) {
  if (quota <= 0 || period <= 0) return unlimited;
  return static_cast<int>(std::min<std::int64_t>(unlimited, (quota - 1) / period + 1));
}

int quota_v1(const fs::path& folder) {
  std::ifstream quota(folder / "cpu.cfs_quota_us"), period(folder / "cpu.cfs_period_us");
  return processors(number(quota), number(period));
}

int quota_v2(const fs::path& folder) {
  std::ifstream file(folder / "cpu.max");
  const std::int64_t quota = number(file);
  return processors(quota, number(file));
}

/// The least quota of the process's groups and those above them.
int granted_processors(const fs::path& root) {
  int least = unlimited;
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // 0::/group, or 4:cpu,cpuacct:/group in version 1
    std::istringstream fields(line);
    std::string id, controllers, name, controller;
    std::getline(std::getline(std::getline(fields, id, ':'), controllers, ':'), name);
    bool v1 = false;
    for (std::istringstream list(controllers); std::getline(list, controller, ',');) v1 |= controller == "cpu";
    if (!v1 && !controllers.empty()) continue;
    const fs::path mount = root / (v1 ? "sys/fs/cgroup/cpu" : "sys/fs/cgroup");
    // In a container the name may be one outside, whose folder is not here; its own is then the topmost.
    for (fs::path group = fs::path(name).relative_path();; group = group.parent_path()) {
      least = std::min(least, v1 ? quota_v1(mount / group) : quota_v2(mount / group));
      if (group.empty()) break;
    }
  }
  return least;
}

}  // namespace

int usable_processors(const fs::path& root) {
  return std::max(1, std::min(allowed_processors(), granted_processors(root)));
}

}  // namespace tern::kernels
