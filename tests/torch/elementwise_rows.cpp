#include "rows.hpp"

namespace tern::test {

// The functions of one tensor at edge values, in integers and with other parameters: tests/unary_cases.hpp.
static const Rows elementwise_functions{
    {"torch.neg", "torch.neg(a)", [](T a) { return neg(a); }, "[2,3] | nan[7] | [] | [0,3]"},
    {"torch.exp", "torch.exp(a)", [](T a) { return exp(a); }, "[2,3] | nan[7] | [] | [0,3] | int[5]"},
    {"torch.clamp", "torch.clamp(a, -1, 0.5)", [](T a) { return clamp(a, -1, 0.5); }, "[2,3] | nan[7] | [] | [0,3]"},
};

static const Rows arithmetic{
    {"torch.add", "torch.add(a, b)", [](T a, T b) { return add(a, b); },
     "[2,3] [3] | [4,1] [5] | [] [3] | [0,3] [3] | int[3] [3] | bytes[3] int[3]"},
};

}  // namespace tern::test
