/// The elementwise functions, where floats may lie. At edges and of integers their values by PyTorch are golden ones.

#include <unary_cases.hpp>

#include "rows.hpp"

#include <algorithm>
#include <deque>

namespace tern::test {

static const Rows elementwise_functions([] {
  static std::deque<std::string> python;
  std::vector<Row> rows;
  // Of these PyTorch's gradient at NaN is one where it has vectors, and another at the end of an array.
  const auto depends_on_place = {"elu", "hardtanh", "relu6", "hardswish", "selu", "softshrink", "hardshrink"};
  for (const UnaryCase& c : unary_cases()) {
    python.push_back("(lambda x: " + c.torch + ")(a)");
    const bool no_nan = std::any_of(depends_on_place.begin(), depends_on_place.end(),
                                    [&](const char* name) { return c.name.starts_with(name); });
    rows.push_back({c.torch.c_str(), python.back().c_str(), c.function,
                    no_nan ? "[2,3] | [7] | [] | [0,3]" : "[2,3] | nan[7] | [] | [0,3]"});
  }
  return rows;
}());

}  // namespace tern::test
