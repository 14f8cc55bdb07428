#include "rows.hpp"

#include <sstream>

namespace tern::test {

namespace {

/// Of PyTorch's text, too: what it writes of a layer itself, which tern says more shortly, is left out.
const char* const printed = R"(
  net = nn.Sequential(nn.Tanh(), nn.Sequential(nn.ReLU(), nn.Identity()), nn.ModuleList([nn.SiLU(), nn.Tanh()]))
  return (str(net), str(nn.Softmax(1)), str(nn.LeakyReLU(0.2)), str(nn.ELU(2.5)), str(nn.Unflatten(1, (2, -1))))
)";

template <class M>
std::string text_of(const M& module) {
  std::ostringstream out;
  out << module;
  return out.str();
}

/// Fills the parameters with 1, 2, ... in turn.
template <class M>
M numbered(M module) {
  double value = 0;
  for (const Tensor& p : module.parameters()) init::constant_(p, value += 1);
  return module;
}

}  // namespace

static const Rows activation_layers{
    {"nn.GELU", "nn.GELU()(a)", [](T a) { return GELU()(a); }, "[2,3] | []"},
    {"nn.GELU, approximate", "nn.GELU('tanh')(a)", [](T a) { return GELU(Approximate::tanh)(a); }, "[2,3]"},
    {"nn.SiLU", "nn.SiLU()(a)", [](T a) { return SiLU()(a); }, "[2,3] | []"},
    {"nn.LeakyReLU",
     "(nn.LeakyReLU()(a), nn.LeakyReLU(0.3)(a))",
     [](T a) { return std::pair(LeakyReLU()(a), LeakyReLU(0.3)(a)); },
     "[2,3]",
     {.call = "LeakyReLU(0.3)(a)"}},
    {"nn.ELU",
     "(nn.ELU()(a), nn.ELU(0.5)(a))",
     [](T a) { return std::pair(ELU()(a), ELU(0.5)(a)); },
     "[2,3]",
     {.call = "ELU(0.5)(a)"}},
    {"nn.Softplus",
     "(nn.Softplus()(a), nn.Softplus(2, 1)(a))",
     [](T a) { return std::pair(Softplus()(a), Softplus(2, 1)(a)); },
     "[2,3]",
     {.call = "Softplus(2, 1)(a)"}},
    {"nn.Hardtanh",
     "(nn.Hardtanh()(a), nn.Hardtanh(-0.5, 0.25)(a))",
     [](T a) { return std::pair(Hardtanh()(a), Hardtanh(-0.5, 0.25)(a)); },
     "[2,30] | [0]",
     {.call = "Hardtanh(-0.5, 0.25)(a)"}},
    {"nn.ReLU6", "nn.ReLU6()(a * 5)", [](T a) { return ReLU6()(a * 5); }, "[2,30]"},
    {"nn.Softsign", "nn.Softsign()(a)", [](T a) { return Softsign()(a); }, "[2,3]"},
    {"nn.LogSigmoid", "nn.LogSigmoid()(a)", [](T a) { return LogSigmoid()(a); }, "[2,3]"},
    {"nn.Mish", "nn.Mish()(a)", [](T a) { return Mish()(a); }, "[2,3]"},
    {"nn.Softmax", "nn.Softmax(1)(a)", [](T a) { return Softmax(1)(a); }, "[2,3] | [2,3,4]"},
    {"nn.LogSoftmax", "nn.LogSoftmax(-1)(a)", [](T a) { return LogSoftmax(-1)(a); }, "[2,3] | [2,3,4]"},
    {"nn.Identity", "nn.Identity()(a)", [](T a) { return Identity()(a); }, "[2,3] | int[3]"},
    {"nn.Unflatten", "(nn.Unflatten(1, (2, -1))(a), nn.Unflatten(-1, (3, 2))(a))",
     [](T a) {
       return std::pair(Unflatten(1, {2, -1})(a), Unflatten(-1, {3, 2})(a));
     },
     "[2,6] | [0,6]"},
};

static const Rows modules{
    {"nn.ModuleList",
     R"(
       layers = nn.ModuleList([nn.Tanh(), nn.Sigmoid()])
       layers.append(nn.ReLU())
       x = a
       for layer in layers: x = layer(x)
       return (x, layers[0](a), layers[-1](a), len(layers))
     )",
     [](T a) {
       ModuleList layers{Tanh(), Sigmoid()};
       layers.append(ReLU());
       Tensor x = a;
       for (const AnyModule& layer : layers) x = (*layer)(x);
       return std::tuple(x, layers[0](a), layers[-1](a), layers.size());
     },
     "[2,3]",
     {.call = "ModuleList(Tanh(), Sigmoid())"}},
    {"nn.ModuleDict",
     R"(
       layers = nn.ModuleDict({"second": nn.Tanh(), "first": nn.Sigmoid()})
       layers["third"] = nn.ReLU()
       return (layers["second"](a), layers["third"](a), "".join(key + " " for key in layers.keys()), len(layers), "first" in layers)
     )",
     [](T a) {
       ModuleDict layers{{"second", Tanh()}, {"first", Sigmoid()}};
       layers.insert("third", ReLU());
       std::string keys;
       for (const std::string& key : layers.keys()) keys += key + ' ';
       return std::tuple(layers["second"](a), layers["third"](a), keys, layers.size(), layers.contains("first"));
     },
     "[2,3]",
     {.call = "ModuleDict{{\"first\", Tanh()}}"}},
    {"nn.Sequential.__getitem__",
     "s = nn.Sequential(nn.Tanh(), nn.Sigmoid()); return (s[0](a), s[-1](a), len(s))",
     [](T a) {
       Sequential s{Tanh(), Sigmoid()};
       return std::tuple(s[0](a), s[-1](a), s.size());
     },
     "[3]",
     {.call = "seq[0]"}},
    {"nn.Module.named_children",
     R"(
       net = nn.Sequential(nn.Sequential(nn.Tanh(), nn.ReLU()), nn.Sigmoid())
       return ("".join(name + " " for name, _ in net.named_children()), len(list(net.children())))
     )",
     [] {
       Sequential net{Sequential(Tanh(), ReLU()), Sigmoid()};
       std::string names;
       for (const auto& [name, child] : net.named_children()) names += name + ' ';
       return std::pair(names, static_cast<std::int64_t>(net.children().size()));
     },
     "",
     {.call = "net.named_children()"}},
    {"nn.Module.children",
     "len(list(nn.Sequential(nn.Tanh(), nn.ReLU()).children()))",
     [] { return static_cast<std::int64_t>(Sequential(Tanh(), ReLU()).children().size()); },
     "",
     {.call = "net.children()"}},
    {"nn.Module.apply",
     R"(
       net = nn.Sequential(nn.Sequential(nn.Tanh(), nn.ReLU()), nn.Sigmoid())
       order = []
       net.apply(lambda m: order.append(type(m).__name__ + " "))
       return "".join(order)
     )",
     [] {
       Sequential net{Sequential(Tanh(), ReLU()), Sigmoid()};
       std::string order;
       net.apply([&](Module& m) {
         const std::string text = m.str();
         order += text.substr(0, text.find('(')) + ' ';
       });
       return order;
     },
     "",
     {.call = "net.apply([](Module& m) { ... })"}},
    {"nn.Module.requires_grad_",
     "m = nn.Linear(2, 3).requires_grad_(False); before = m.weight.requires_grad; m.requires_grad_(); "
     "return (before, m.weight.requires_grad, m.bias.requires_grad)",
     [] {
       Linear m(2, 3);
       m.requires_grad_(false);
       const bool before = m.weight.requires_grad();
       m.requires_grad_();
       return std::tuple(before, m.weight.requires_grad(), m.bias.requires_grad());
     },
     "",
     {.call = "module.requires_grad_(false)"}},
    {"copy.deepcopy",
     R"(
       import copy
       net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm2d(3))
       other = copy.deepcopy(net)
       for i, p in enumerate(net.parameters()): init.constant_(p, i + 1)
       for i, p in enumerate(other.parameters()): init.constant_(p, -i - 1)
       return (list(net.parameters()), list(other.parameters()))
     )",
     [] {
       Sequential net(Linear(2, 2), BatchNorm2d(3));
       Sequential other = clone(net);
       net = numbered(net);
       double value = 0;
       for (const Tensor& p : other.parameters()) init::constant_(p, value -= 1);
       return std::pair(net.parameters(), other.parameters());
     },
     "",
     {.call = "clone(net)"}},
    {"nn.Module, printed",
     printed,
     [] {
       const Sequential net{Tanh(), Sequential(ReLU(), Identity()), ModuleList(SiLU(), Tanh())};
       return std::tuple(text_of(net), text_of(Softmax(1)), text_of(LeakyReLU(0.2)), text_of(ELU(2.5)),
                         text_of(Unflatten(1, {2, -1})));
     },
     "",
     {.differs = "layers show their options more shortly", .call = "std::cout << net"}},
};

}  // namespace tern::test
