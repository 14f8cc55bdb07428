/// What the kernels are tried on: the random shapes of the tests beside this file have every kind of edge.

#include "shapes.hpp"

#include <map>
#include <string>

namespace tern::test {

namespace {

/// Calls look(random, seen) for as many cases as the kernel's test has, and fails it for each kind that never came.
template <class F>
void check_all_seen(int cases, const std::vector<std::string>& kinds, F look) {
  std::map<std::string, int> seen;
  for_each_case(cases, [&](Random& random) { look(random, seen); });
  for (const std::string& kind : kinds) {
    INFO(kind << ", TERN_TEST_SEED=" << base_seed());
    CHECK(seen[kind] > 0);
  }
}

}  // namespace

TEST_CASE("random convolutions have every kind of edge", "[conv2d]") {
  check_all_seen(150,
                 {"batch 0", "batch 1", "odd size", "size 1", "stride 2", "stride over filter", "pad 0", "pad 1",
                  "pad 2", "pad 3", "dilation", "groups", "depthwise", "one channel", "filter not square",
                  "stride not square", "one output", "all at once"},
                 [](Random& random, std::map<std::string, int>& seen) {
                   const Conv2dShape s = random_conv2d(random);
                   seen["batch 0"] += s.N == 0;
                   seen["batch 1"] += s.N == 1;
                   seen["odd size"] += s.H % 2 == 1 && s.W % 2 == 1 && s.H > 1 && s.W > 1;
                   seen["size 1"] += s.H == 1 || s.W == 1;
                   seen["stride 2"] += s.stride_h == 2;
                   seen["stride over filter"] += s.stride_h > s.R || s.stride_w > s.S;
                   seen["pad " + std::to_string(s.pad_h)] += 1;
                   seen["dilation"] += s.dilation_h > 1 && s.R > 1;
                   seen["groups"] += s.groups > 1;
                   seen["depthwise"] += s.groups > 1 && s.C == s.groups;
                   seen["one channel"] += s.C == 1 || s.K == 1;
                   seen["filter not square"] += s.R != s.S;
                   seen["stride not square"] += s.stride_h != s.stride_w;
                   seen["one output"] += s.P() == 1 && s.Q() == 1;
                   seen["all at once"] += s.stride_h > 1 && s.pad_h > 0 && s.dilation_h > 1 && s.groups > 1;
                 });
}

TEST_CASE("random poolings have every kind of edge", "[pool2d]") {
  check_all_seen(100,
                 {"batch 0", "batch 1", "odd size", "size 1", "overlap", "stride 2", "stride over window", "pad 0",
                  "pad 1", "pad 2", "window not square", "window of 1"},
                 [](Random& random, std::map<std::string, int>& seen) {
                   const Pool2dShape s = random_pool2d(random);
                   seen["batch 0"] += s.N == 0;
                   seen["batch 1"] += s.N == 1;
                   seen["odd size"] += s.H % 2 == 1 && s.W % 2 == 1 && s.H > 1 && s.W > 1;
                   seen["size 1"] += s.H == 1 || s.W == 1;
                   seen["overlap"] += s.stride_h < s.R && s.stride_w < s.S;
                   seen["stride 2"] += s.stride_h == 2;
                   seen["stride over window"] += s.stride_h > s.R || s.stride_w > s.S;
                   seen["pad " + std::to_string(s.pad_h)] += 1;
                   seen["window not square"] += s.R != s.S;
                   seen["window of 1"] += s.R == 1 && s.S == 1;
                 });
}

}  // namespace tern::test
