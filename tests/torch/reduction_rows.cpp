#include "rows.hpp"

namespace tern::test {

static const Rows reductions{
    {"torch.sum", "torch.sum(a)", [](T a) { return sum(a); }, "[2,3] | [] | [0,3] | nan[7] | int[5] | bytes[40]"},
    {"torch.sum, dim", "torch.sum(a, 1)", [](T a) { return sum(a, 1); }, "[2,3] | [3,0] | [2,3,4] | int[2,5]"},
    {"torch.sum, dims", "torch.sum(a, (0, -1), keepdim=True)",
     [](T a) {
       return sum(a, {0, -1}, true);
     },
     "[2,3] | [2,3,4] | [0,3,2] | int[2,5]"},
    {"Tensor.sum", "a.sum()", [](T a) { return a.sum(); }, "[2,3] | [] | int[4]"},
    {"Tensor.sum, dim",
     "(a.sum(0), a.sum(-1, True))",
     [](T a) { return std::tuple(a.sum(0), a.sum(-1, true)); },
     "[2,3] | [4] | [3,0] | []",
     {.call = "a.sum(0)"}},
    {"torch.mean", "torch.mean(a)", [](T a) { return mean(a); }, "[2,3] | [] | [0,3] | nan[7]"},
    {"torch.mean, dims", "torch.mean(a, (0, 1))",
     [](T a) {
       return mean(a, {0, 1});
     },
     "[2,3] | [2,3,4] | [2,3,0]"},
    {"Tensor.mean", "a.mean(1, True)", [](T a) { return a.mean(1, true); }, "[2,3] | [2,3,4] | [3,0]"},
    {"torch.max", "torch.max(a)", [](T a) { return max(a); },
     "distinct[2,3] | ties[20] | [] | nan[9] | int[5] | bytes[3]"},
    {"torch.max, dim", "torch.max(a, 1)", [](T a) { return max(a, 1); },
     "distinct[2,3] | distinct[3,4,5] | [2,1] | [0,3]"},
    {"Tensor.max", "a.max()", [](T a) { return a.max(); }, "distinct[2,3] | int[5]"},
    {"Tensor.max, dim", "a.max(-1, True)", [](T a) { return a.max(-1, true); }, "distinct[2,3] | distinct[7] | []"},
    {"torch.argmax", "torch.argmax(a)", [](T a) { return argmax(a); }, "distinct[2,3] | [] | perm[9]"},
    {"torch.argmax, dim", "torch.argmax(a, 0, keepdim=True)", [](T a) { return argmax(a, 0, true); },
     "distinct[2,3] | distinct[7] | [3,0]"},
    {"Tensor.argmax", "a.argmax(1)", [](T a) { return a.argmax(1); }, "distinct[2,3] | distinct[3,4,2]"},
    {"torch.softmax", "torch.softmax(a, 1)", [](T a) { return softmax(a, 1); },
     "[2,3] | [2,5,3] | [2,1] | [0,3] | [2,0]"},
    {"Tensor.softmax", "a.softmax(-1)", [](T a) { return a.softmax(-1); }, "[2,3] | [4] | []"},
    {"torch.log_softmax", "torch.log_softmax(a, 0)", [](T a) { return log_softmax(a, 0); }, "[2,3] | [7] | [3,0]"},
    {"Tensor.log_softmax", "a.log_softmax(1)", [](T a) { return a.log_softmax(1); }, "[2,3] | [2,5,3]"},
    {"F.softmax", "F.softmax(a, dim=1)", [](T a) { return softmax(a, 1); }, "[2,3] | [2,5,3]"},
    {"F.log_softmax", "F.log_softmax(a, dim=1)", [](T a) { return log_softmax(a, 1); }, "[2,3] | [2,5,3]"},
};

static const Rows products{
    {"a @ b", "a @ b", [](T a, T b) { return matmul(a, b); }, "[17,33] [33,9]"},
    {"F.linear", "F.linear(a, b, c)", [](T a, T b, T c) { return linear(a, b, c); },
     "[2,3] [4,3] [4] | [5,2,3] [1,3] [1] | [3] [4,3] [4] | [0,3] [4,3] [4]"},
    {"F.linear, no bias", "F.linear(a, b)", [](T a, T b) { return linear(a, b); }, "[2,3] [4,3] | [3] [4,3]"},
};

}  // namespace tern::test
