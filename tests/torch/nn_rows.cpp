#include "rows.hpp"

#include <sstream>

namespace tern::test {

namespace {

using Tensors = std::vector<Tensor>;

/// What is wrong with y as x, of which elements, or planes of `plane` elements, were dropped with probability p.
std::string dropped(const Tensor& out, const Tensor& in, double p, std::int64_t plane) {
  const std::vector<double> y = out.to_vector<double>(), x = in.to_vector<double>();
  std::int64_t kept = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const bool zero = y[i] == 0;
    if (!zero && std::abs(y[i] - x[i] / (1 - p)) > 1e-5) return "has " + std::to_string(y[i]);
    if (zero != (y[i / static_cast<std::size_t>(plane) * static_cast<std::size_t>(plane)] == 0)) return "drops parts";
    kept += !zero;
  }
  const double share = static_cast<double>(kept) / static_cast<double>(y.size());
  const double places = static_cast<double>(y.size()) / static_cast<double>(plane);
  return std::abs(share - (1 - p)) > 5 * std::sqrt(p * (1 - p) / places) ? "keeps " + std::to_string(share) : "";
}

std::string elements_dropped(const Tensors& y, const Tensors& x) { return dropped(y[0], x[0], 0.25, 1); }
std::string planes_dropped(const Tensors& y, const Tensors& x) { return dropped(y[0], x[0], 0.25, 6); }

}  // namespace

static const Rows convolution_and_pooling{
    {"F.conv2d", "F.conv2d(a, b, c)", [](T a, T b, T c) { return conv2d(a, b, c); },
     "[2,3,5,6] [4,3,3,2] [4] | [1,1,1,1] [1,1,1,1] [1] | [0,2,4,4] [3,2,3,3] [3]"},
    {"F.conv2d, options", "F.conv2d(a, b, None, stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)",
     [](T a, T b) {
       return conv2d(a, b, {}, {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2});
     },
     "[2,4,7,6] [6,2,3,3] | [1,2,5,5] [2,1,1,2]"},
    {"F.max_pool2d", "F.max_pool2d(a, 2)", [](T a) { return max_pool2d(a, 2); },
     "distinct[2,3,4,6] | distinct[1,1,5,7] | [0,2,4,4]"},
    {"F.max_pool2d, options", "F.max_pool2d(a, (3, 2), stride=(1, 2), padding=(1, 1))",
     [](T a) {
       return max_pool2d(a, {3, 2}, {.stride = HeightWidth(1, 2), .padding = 1});
     },
     "distinct[2,3,5,6] | distinct[1,1,3,3]"},
    {"F.max_pool2d, indices", "F.max_pool2d(a, 2, return_indices=True)",
     [](T a) { return max_pool2d_with_indices(a, 2); }, "distinct[2,3,4,6]"},
    {"F.avg_pool2d", "F.avg_pool2d(a, 2)", [](T a) { return avg_pool2d(a, 2); }, "[2,3,4,6] | [1,1,5,7]"},
    {"F.avg_pool2d, options", "F.avg_pool2d(a, 3, stride=2, padding=1)",
     [](T a) { return avg_pool2d(a, 3, {.stride = 2, .padding = 1}); }, "[2,3,5,6] | [1,1,3,3]"},
    {"F.dropout",
     "F.dropout(a, 0.25)",
     [](T a) { return dropout(a, 0.25); },
     "pos[50,60]",
     {.half = false, .check = elements_dropped}},
    {"F.dropout, evaluation", "F.dropout(a, 0.25, training=False)", [](T a) { return dropout(a, 0.25, false); },
     "[5] | [] | [0]"},
    {"F.dropout2d",
     "F.dropout2d(a, 0.25)",
     [](T a) { return dropout2d(a, 0.25); },
     "pos[50,60,2,3]",
     {.half = false, .check = planes_dropped}},
};

static const Rows losses{
    {"F.cross_entropy", "F.cross_entropy(a, b)", [](T a, T b) { return cross_entropy(a, b); },
     "[4,5] below5[4] | [1,2] below2[1] | [300,10] below10[300]"},
    {"F.cross_entropy, reduction", "F.cross_entropy(a, b, reduction='none')",
     [](T a, T b) { return cross_entropy(a, b, {.reduction = Reduction::none}); }, "[4,5] below5[4] | [0,3] below3[0]"},
    {"F.cross_entropy, options",
     "F.cross_entropy(a, b, c.detach(), ignore_index=2, label_smoothing=0.1)",
     [](T a, T b, T c) {
       return cross_entropy(a, b, {.weight = c.detach(), .ignore_index = 2, .label_smoothing = 0.1});
     },
     "[40,5] below5[40] pos[5]",
     {.call = "cross_entropy(a, b, {.weight = c, .ignore_index = 2, .label_smoothing = 0.1})"}},
    {"F.mse_loss", "F.mse_loss(a, b)", [](T a, T b) { return mse_loss(a, b); }, "[2,3] [2,3] | [] [] | [0] [0]"},
    {"F.mse_loss, reduction",
     "(F.mse_loss(a, b, reduction='sum'), F.mse_loss(a, b, reduction='none'))",
     [](T a, T b) { return std::tuple(mse_loss(a, b, Reduction::sum), mse_loss(a, b, Reduction::none)); },
     "[2,3] [2,3] | [0] [0]",
     {.call = "mse_loss(a, b, Reduction::sum)"}},
    {"nn.CrossEntropyLoss", "nn.CrossEntropyLoss(label_smoothing=0.2)(a, b)",
     [](T a, T b) { return CrossEntropyLoss({.label_smoothing = 0.2})(a, b); }, "[4,5] below5[4]"},
    {"nn.MSELoss", "nn.MSELoss(reduction='sum')(a, b)", [](T a, T b) { return MSELoss(Reduction::sum)(a, b); },
     "[2,3] [2,3]"},
};

static const Rows layers{
    {"nn.Linear",
     "with_state(nn.Linear(3, 4), weight=b, bias=c)(a)",
     [](T a, T b, T c) {
       Linear fc(3, 4);
       fc.weight = b;
       fc.bias = c;
       return fc(a);
     },
     "[2,3] [4,3] [4] | [5,2,3] [4,3] [4]",
     {.call = "Linear(3, 4)(a)"}},
    {"nn.Linear, no bias",
     "with_state(nn.Linear(3, 4, bias=False), weight=b)(a)",
     [](T a, T b) {
       Linear fc(3, 4, false);
       fc.weight = b;
       return fc(a);
     },
     "[2,3] [4,3]",
     {.call = "Linear(3, 4, false)(a)"}},
    {"nn.Conv2d",
     "with_state(nn.Conv2d(2, 4, 3, padding=1), weight=b, bias=c)(a)",
     [](T a, T b, T c) {
       Conv2d conv({.in_channels = 2, .out_channels = 4, .kernel_size = 3, .padding = 1});
       conv.weight = b;
       conv.bias = c;
       return conv(a);
     },
     "[2,2,5,4] [4,2,3,3] [4]",
     {.call = "Conv2d({.in_channels = 2, .out_channels = 4, .kernel_size = 3, .padding = 1})(a)"}},
    {"nn.Dropout",
     "nn.Dropout(0.25)(a)",
     [](T a) { return Dropout(0.25)(a); },
     "pos[50,60]",
     {.half = false, .check = elements_dropped}},
    {"nn.Dropout2d",
     "nn.Dropout2d(0.25)(a)",
     [](T a) { return Dropout2d(0.25)(a); },
     "pos[50,60,2,3]",
     {.half = false, .check = planes_dropped}},
    {"nn.MaxPool2d", "nn.MaxPool2d(2, stride=1)(a)", [](T a) { return MaxPool2d(2, {.stride = 1})(a); },
     "distinct[2,3,4,6]"},
    {"nn.AvgPool2d", "nn.AvgPool2d(2)(a)", [](T a) { return AvgPool2d(2)(a); }, "[2,3,4,6]"},
    {"nn.Tanh", "nn.Tanh()(a)", [](T a) { return Tanh()(a); }, "[2,3] | []"},
    {"nn.ReLU", "nn.ReLU()(a)", [](T a) { return ReLU()(a); }, "[2,3] | []"},
    {"nn.Sigmoid", "nn.Sigmoid()(a)", [](T a) { return Sigmoid()(a); }, "[2,3] | []"},
    {"nn.Flatten", "nn.Flatten()(a)", [](T a) { return Flatten()(a); }, "[2,3,4] | [0,3,2]"},
    {"nn.Sequential",
     "nn.Sequential(with_state(nn.Linear(3, 2), weight=b, bias=c), nn.Tanh())(a)",
     [](T a, T b, T c) {
       Linear fc(3, 2);
       fc.weight = b;
       fc.bias = c;
       return Sequential(fc, Tanh())(a);
     },
     "[4,3] [2,3] [2]",
     {.call = "Sequential(Linear(3, 2), Tanh())(a)"}},
};

namespace {

Sequential small() { return Sequential(Linear(3, 2), Sequential(BatchNorm2d(2), Tanh())); }

/// The names and shapes of these, a line each.
template <class Named>
std::string listed(const Named& all) {
  std::ostringstream out;
  for (const auto& [name, x] : all) out << name << ' ' << x.shape() << '\n';
  return out.str();
}

}  // namespace

static const Rows modules{
    {"nn.Module.named_parameters",
     "listed(small().named_parameters())",
     [] { return listed(small().named_parameters()); },
     "",
     {.call = "model.named_parameters()"}},
    {"nn.Module.named_buffers",
     "listed(small().named_buffers())",
     [] { return listed(small().named_buffers()); },
     "",
     {.call = "model.named_buffers()"}},
    {"nn.Module.named_modules",
     "'\\n'.join(name for name, _ in small().named_modules() if name)",
     [] {
       std::string names;
       Sequential model = small();
       for (const auto& [name, module] : model.named_modules()) {
         if (!name.empty()) names += (names.empty() ? "" : "\n") + name;
       }
       return names;
     },
     "",
     {.call = "model.named_modules()"}},
    {"nn.Module.parameters",
     "sum(p.numel() for p in small().parameters())",
     [] {
       std::int64_t n = 0;
       for (const Tensor& p : small().parameters()) n += p.numel();
       return n;
     },
     "",
     {.call = "model.parameters()"}},
    {"nn.Module.state_dict",
     "listed(sorted(small().state_dict().items()))",
     [] { return listed(small().state_dict()); },
     "",
     {.call = "model.state_dict()"}},
    {"nn.Module.load_state_dict",
     "m = nn.Linear(3, 2).to(a.dtype); m.load_state_dict({'weight': a, 'bias': b}); return (m.weight.detach(), "
     "m.bias.detach())",
     [](T a, T b) {
       Linear fc(3, 2);
       fc.to(a.dtype());
       fc.to(a.device());
       fc.load_state_dict({{"weight", a}, {"bias", b}});
       return std::tuple(fc.weight.detach(), fc.bias.detach());
     },
     "[2,3] [2]",
     {.gradient = false, .call = "model.load_state_dict(state)"}},
    {"nn.Module.train",
     "m = small(); m.eval(); m.train(); return [m.training, m[1][0].training]",
     [] {
       Sequential model = small();
       model.eval();
       model.train();
       return std::tuple(model.is_training(), model.is_training());
     },
     "",
     {.call = "model.train()"}},
    {"nn.Module.eval",
     "m = small(); m.eval(); return m.training",
     [] {
       Sequential model = small();
       model.eval();
       return model.is_training();
     },
     "",
     {.call = "model.eval()"}},
    {"nn.Module.training",
     "small().training",
     [] { return small().is_training(); },
     "",
     {.call = "model.is_training()"}},
    {"nn.Module.to",
     "nn.Linear(3, 2).to(torch.float64).weight.dtype",
     [] {
       Linear fc(3, 2);
       fc.to(DType::float64);
       return fc.weight.dtype();
     },
     "",
     {.call = "model.to(DType::float64)"}},
    {"nn.Module.zero_grad",
     "m = with_state(nn.Linear(3, 2, bias=False)); m(a.float()).sum().backward(); m.zero_grad(set_to_none=True); "
     "return m.weight.grad is None",
     [](T a) {
       Linear fc(3, 2, false);
       fc.to(a.device());
       fc(a.to(DType::float32)).sum().backward();
       fc.zero_grad();
       return !fc.weight.grad().defined();
     },
     "[4,3]",
     {.gradient = false,
      .differs = "the gradients become undefined, as PyTorch's since 2.0",
      .call = "model.zero_grad()"}},
    {"nn.Module.register_forward_hook",
     "seen = []; m = nn.Tanh(); m.register_forward_hook(lambda module, x, y: seen.append(y)); m(a); return seen",
     [](T a) {
       std::vector<Tensor> seen;
       Tanh m;
       m.register_forward_hook([&](Module&, const Tensor& y) { seen.push_back(y); });
       m(a);
       return seen;
     },
     "[2,3]",
     {.call = "module.register_forward_hook([](Module&, const Tensor& y) { ... })"}},
    {"nn.Module.register_forward_pre_hook",
     "m = nn.Tanh(); first = m.register_forward_pre_hook(lambda module, x: x[0] * 2); "
     "m.register_forward_pre_hook(lambda module, x: x[0] + 1); y = m(a); first.remove(); return y, m(a)",
     [](T a) {
       Tanh m;
       const RemovableHandle first = m.register_forward_pre_hook([](Module&, const Tensor& x) { return x * 2; });
       m.register_forward_pre_hook([](Module&, const Tensor& x) { return x + 1; });
       const Tensor y = m(a);
       first.remove();
       return std::pair(y, m(a));
     },
     "[2,3]",
     {.call = "module.register_forward_pre_hook([](Module&, const Tensor& x) { return x * 2; })"}},
    {"nn.Module.register_full_backward_hook",
     R"(
       m = with_state(nn.Linear(3, 2), weight=b, bias=c)
       seen = []
       def doubled(module, grad_input, grad_output):
         seen.extend([grad_input[0], grad_output[0]])
         return (grad_input[0] * 2,)
       handle = m.register_full_backward_hook(doubled)
       m.register_full_backward_hook(lambda module, grad_input, grad_output: seen.append(grad_input[0]))
       y = m(m(a.tanh()) @ d).square().sum()
       seen.extend(torch.autograd.grad(y, [a, b, c], retain_graph=True))
       handle.remove()
       return seen + list(torch.autograd.grad(m(a).sum(), [a, b, c]))
     )",
     [](T a, T b, T c, T d) {
       Linear m(3, 2);
       m.weight = b;
       m.bias = c;
       std::vector<Tensor> seen;
       const RemovableHandle handle =
           m.register_full_backward_hook([&](Module&, const Tensor& grad_input, const Tensor& grad_output) {
             seen.push_back(grad_input);
             seen.push_back(grad_output);
             return grad_input * 2;
           });
       m.register_full_backward_hook(
           [&](Module&, const Tensor& grad_input, const Tensor&) { seen.push_back(grad_input); });
       const Tensor y = square(m(m(tanh(a)).matmul(d))).sum();
       for (const Tensor& g : grad({y}, {a, b, c}, {.retain_graph = true})) seen.push_back(g);
       handle.remove();
       for (const Tensor& g : grad({m(a).sum()}, {a, b, c})) seen.push_back(g);
       return seen;
     },
     "[4,3] [2,3] [2] [2,3]",
     {.call = "module.register_full_backward_hook([](Module&, const Tensor& grad_input, const Tensor& grad_output) "
              "{ ... })"}},
};

}  // namespace tern::test
