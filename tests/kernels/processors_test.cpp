#include <tern/kernels/cpu/processors.hpp>

#include <data/temporary_folder.hpp>

#include <catch2/catch.hpp>
#include <sched.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <string>
#include <thread>

namespace tern::test {

namespace {

/// What is counted where /proc and /sys hold these files and no others.
int processors(const std::map<std::string, std::string>& files) {
  const TemporaryFolder root;
  for (const auto& [path, text] : files) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  return kernels::usable_processors(root.path());
}

}  // namespace

TEST_CASE("processors are counted by the affinity mask", "[cpu]") {
  int one = 0, all = 0;
  std::thread([&] {
    cpu_set_t before, mask;
    sched_getaffinity(0, sizeof before, &before);
    all = CPU_COUNT(&before);
    CPU_ZERO(&mask);
    CPU_SET(sched_getcpu(), &mask);
    if (sched_setaffinity(0, sizeof mask, &mask) == 0) one = processors({});
  }).join();
  CHECK(one == 1);
  CHECK(processors({}) == all);
}

TEST_CASE("processors are counted by the quotas of control groups", "[cpu]") {
  const int all = processors({});
  const auto at_most = [all](int n) { return std::min(all, n); };
  const std::string v2 = "sys/fs/cgroup/", v1 = "sys/fs/cgroup/cpu/";

  SECTION("version 2") {
    const auto limited = [&](const std::string& max) {
      return processors({{"proc/self/cgroup", "0::/a/b\n"}, {v2 + "a/b/cpu.max", max}});
    };
    CHECK(limited("max 100000\n") == all);
    CHECK(limited("100000 100000\n") == 1);
    CHECK(limited("1000 100000\n") == 1);
    CHECK(limited("100001 100000\n") == at_most(2));
    CHECK(limited("150000 100000\n") == at_most(2));
    CHECK(limited("200000 100000\n") == at_most(2));
    CHECK(limited("200001 100000\n") == at_most(3));
    CHECK(limited("9000000000000000000 1\n") == all);
    for (const char* nonsense : {"", "\n", "100000", "100000 0\n", "0 100000\n", "-1 100000\n", "x 1\n", "1 x\n",
                                 "99999999999999999999 100000\n"}) {
      CAPTURE(nonsense);
      CHECK(limited(nonsense) == all);
    }
  }
  SECTION("version 2: the groups above count, others do not") {
    const auto in = [&](const std::string& path) {
      return processors({{"proc/self/cgroup", "0::/a/b\n"}, {v2 + path + "cpu.max", "50000 100000\n"}});
    };
    CHECK(in("a/b/") == 1);
    CHECK(in("a/") == 1);
    CHECK(in("") == 1);  // in a container the topmost group that is to be seen is its own
    CHECK(in("a/b/c/") == all);
    CHECK(in("other/") == all);
    CHECK(processors({{"proc/self/cgroup", "0::/a\n"},
                      {v2 + "a/cpu.max", "max 100000\n"},
                      {v2 + "cpu.max", "100000 100000\n"}}) == 1);
  }
  SECTION("version 1") {
    const auto limited = [&](const std::string& quota, const std::string& period) {
      return processors({{"proc/self/cgroup", "12:pids:/p\n4:cpu,cpuacct:/docker/1:2\n1:name=systemd:/s\n"},
                         {v1 + "docker/1:2/cpu.cfs_quota_us", quota},
                         {v1 + "docker/1:2/cpu.cfs_period_us", period}});
    };
    CHECK(limited("-1\n", "100000\n") == all);
    CHECK(limited("100000\n", "100000\n") == 1);
    CHECK(limited("25000\n", "50000\n") == 1);
    CHECK(limited("150000\n", "100000\n") == at_most(2));
    CHECK(limited("100000\n", "") == all);
  }
  SECTION("version 1: a container sees its own group on top, under a name from outside") {
    const auto named = [&](const std::string& line) {
      return processors(
          {{"proc/self/cgroup", line}, {v1 + "cpu.cfs_quota_us", "100000\n"}, {v1 + "cpu.cfs_period_us", "100000\n"}});
    };
    CHECK(named("4:cpu,cpuacct:/docker/12\n") == 1);
    CHECK(named("4:cpuacct,cpu:/\n") == 1);
    CHECK(named("4:cpuset:/\n") == all);
    CHECK(named("0::/\n") == all);
    CHECK(named("") == all);
    CHECK(named("\n:\n::\n4:cpu:\n") == 1);
  }
}

}  // namespace tern::test
