/// The elementwise functions, where floats may lie. At edges and of integers their values by PyTorch are golden ones.

#include <unary_cases.hpp>

#include "rows.hpp"

#include <deque>

namespace tern::test {

static const Rows elementwise_functions([] {
  static std::deque<std::string> python;
  std::vector<Row> rows;
  for (const UnaryCase& c : unary_cases()) {
    python.push_back("(lambda x: " + c.torch + ")(a)");
    // What PyTorch makes of the gradient of elu at NaN depends on the element's place.
    rows.push_back({c.torch.c_str(), python.back().c_str(), c.function,
                    c.name.starts_with("elu") ? "[2,3] | [7] | [] | [0,3]" : "[2,3] | nan[7] | [] | [0,3]"});
  }
  return rows;
}());

}  // namespace tern::test
