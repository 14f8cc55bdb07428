#include "rows.hpp"

namespace tern::test {

static const Rows arithmetic{
    {"torch.add", "torch.add(a, b)", [](T a, T b) { return add(a, b); },
     "[2,3] [3] | [4,1] [5] | [] [3] | [0,3] [3] | nan[7] nan[7] | int[3] [3] | bytes[3] int[3]"},
};

}  // namespace tern::test
