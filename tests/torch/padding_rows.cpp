#include "rows.hpp"

namespace tern::test {

static const Rows padding_layers{
    {"nn.ReflectionPad1d", "(nn.ReflectionPad1d((2, 1))(a), nn.ReflectionPad1d(1)(a))",
     [](T a) {
       return std::pair(ReflectionPad1d({2, 1})(a), ReflectionPad1d(1)(a));
     },
     "[2,3,4] | [2,3]"},
    {"nn.ReflectionPad2d", "(nn.ReflectionPad2d((2, 1, 0, 3))(a), nn.ReflectionPad2d(1)(a))",
     [](T a) {
       return std::pair(ReflectionPad2d({2, 1, 0, 3})(a), ReflectionPad2d(1)(a));
     },
     "[2,3,4,5] | [2,5,3]"},
    {"nn.ReplicationPad1d", "(nn.ReplicationPad1d((2, 5))(a), nn.ReplicationPad1d(1)(a))",
     [](T a) {
       return std::pair(ReplicationPad1d({2, 5})(a), ReplicationPad1d(1)(a));
     },
     "[2,3,4] | [2,1]"},
    {"nn.ReplicationPad2d", "(nn.ReplicationPad2d((2, 1, 0, 3))(a), nn.ReplicationPad2d(1)(a))",
     [](T a) {
       return std::pair(ReplicationPad2d({2, 1, 0, 3})(a), ReplicationPad2d(1)(a));
     },
     "[2,3,4,5] | [2,1,1]"},
    {"nn.CircularPad1d", "(F.pad(a, (2, 1), mode='circular'), F.pad(a, (1, 1), mode='circular'))",
     [](T a) {
       return std::pair(CircularPad1d({2, 1})(a), CircularPad1d(1)(a));
     },
     "[2,3,4] | [1,2,2]"},
    {"nn.CircularPad2d", "(F.pad(a, (2, 1, 0, 3), mode='circular'), F.pad(a, (1, 1, 1, 1), mode='circular'))",
     [](T a) {
       return std::pair(CircularPad2d({2, 1, 0, 3})(a), CircularPad2d(1)(a));
     },
     "[2,3,4,5] | [1,2,3,2]"},
    {"nn.ConstantPad1d", "(nn.ConstantPad1d((2, -1), 3)(a), nn.ConstantPad1d(1, -2)(a))",
     [](T a) {
       return std::pair(ConstantPad1d({2, -1}, 3)(a), ConstantPad1d(1, -2)(a));
     },
     "[2,3,4] | [1] | int[2,3]"},
    {"nn.ConstantPad2d", "(nn.ConstantPad2d((2, 1, -1, 3), 0.5)(a), nn.ConstantPad2d(1, 2)(a))",
     [](T a) {
       return std::pair(ConstantPad2d({2, 1, -1, 3}, 0.5)(a), ConstantPad2d(1, 2)(a));
     },
     "[2,3,4,5] | [1,1]"},
    {"nn.ZeroPad2d", "(nn.ZeroPad2d((2, 1, -1, 3))(a), nn.ZeroPad2d(1)(a))",
     [](T a) {
       return std::pair(ZeroPad2d({2, 1, -1, 3})(a), ZeroPad2d(1)(a));
     },
     "[2,3,4,5] | [1,1] | int[2,2]"},
    {"nn.ReflectionPad2d, printed",
     "(str(nn.ReflectionPad1d((2, 1))), str(nn.ReplicationPad2d(3)), str(nn.ConstantPad1d(1, 2.5)), "
     "str(nn.ConstantPad2d((2, 1, 0, 3), 1)), str(nn.ZeroPad2d(2)))",
     [] {
       return std::tuple(ReflectionPad1d({2, 1}).str(), ReplicationPad2d(3).str(), ConstantPad1d(1, 2.5).str(),
                         ConstantPad2d({2, 1, 0, 3}, 1).str(), ZeroPad2d(2).str());
     },
     "",
     {.call = "ReflectionPad2d(3).str()"}},
};

}  // namespace tern::test
