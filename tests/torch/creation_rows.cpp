#include "rows.hpp"

namespace tern::test {

namespace {

using Tensors = std::vector<Tensor>;

/// What is wrong with y as numbers of that mean and standard deviation, all within [low, high].
std::string judged(const Tensor& y, double mean, double deviation, double low, double high) {
  const std::vector<double> v = y.to_vector<double>();
  const double n = static_cast<double>(v.size());
  double sum = 0, squares = 0;
  for (const double x : v) {
    if (!(low <= x && x <= high)) return "has " + std::to_string(x);
    sum += x;
    squares += (x - mean) * (x - mean);
  }
  if (std::abs(sum / n - mean) > 6 * deviation / std::sqrt(n)) return "has the mean " + std::to_string(sum / n);
  const double found = std::sqrt(squares / n);
  return std::abs(found / deviation - 1) > 0.2 ? "has the deviation " + std::to_string(found) : "";
}

std::string uniform(const Tensors& y, const Tensors&) { return judged(y[0], 0.5, std::sqrt(1 / 12.0), 0, 1); }
std::string normal(const Tensors& y, const Tensors&) { return judged(y[0], 0, 1, -9, 9); }
std::string anything(const Tensors&, const Tensors&) { return ""; }

}  // namespace

static const Rows making_tensors{
    {"torch.tensor",
     "torch.tensor([1.5, -2.0, 3.0], dtype=torch.float64)",
     [] {
       return tensor({1.5, -2.0, 3.0});
     },
     "",
     {.differs = "of doubles float64, of floats float32"}},
    {"torch.tensor, whole numbers", "torch.tensor([1, 2, 3])",
     [] {
       return tensor({1, 2, 3});
     }},
    {"torch.tensor, nested", "torch.tensor([[1, 2], [3, 4], [5, 6]])",
     [] {
       return tensor({{1, 2}, {3, 4}, {5, 6}});
     }},
    {"torch.tensor, nested twice", "torch.tensor([[[1, 2]], [[3, 4]]])",
     [] {
       return tensor({{{1, 2}}, {{3, 4}}});
     }},
    {"torch.tensor, bools", "torch.tensor([True, False])",
     [] {
       return tensor({true, false});
     }},
    {"torch.empty", "torch.empty(2, 0, 3)",
     [] {
       return empty({2, 0, 3});
     }},
    {"torch.zeros", "torch.zeros(2, 3)",
     [] {
       return zeros({2, 3});
     }},
    {"torch.zeros, one size", "torch.zeros(3)", [] { return zeros(3); }},
    {"torch.zeros, dtype", "torch.zeros((), dtype=torch.int64)", [] { return zeros({}, {.dtype = DType::int64}); }},
    {"torch.ones", "torch.ones(2, 3, dtype=torch.uint8)",
     [] {
       return ones({2, 3}, {.dtype = DType::uint8});
     }},
    {"torch.full", "torch.full((2, 2), 1.5)",
     [] {
       return full({2, 2}, 1.5);
     }},
    {"torch.full, whole number",
     "torch.full((2, 2), 7, dtype=torch.float32)",
     [] {
       return full({2, 2}, 7);
     },
     "",
     {.differs = "float32 unless the options say otherwise"}},
    {"torch.empty_like",
     "torch.empty_like(a)",
     [](T a) { return empty_like(a); },
     "[2,3] | [] | int[4]",
     {.check = anything}},
    {"torch.zeros_like", "torch.zeros_like(a)", [](T a) { return zeros_like(a); }, "[2,3] | [] | [0,3] | int[4]"},
    {"torch.ones_like", "torch.ones_like(a)", [](T a) { return ones_like(a); }, "[2,3] | [] | [0,3] | bytes[4]"},
    {"torch.arange", "torch.arange(5)", [] { return arange(5); }},
    {"torch.arange, dtype", "torch.arange(7, dtype=torch.float32)",
     [] { return arange(7, {.dtype = DType::float32}); }},
    {"torch.rand",
     "torch.rand(40, 50)",
     [] {
       return rand({40, 50});
     },
     "",
     {.check = uniform}},
    {"torch.randn",
     "torch.randn(40, 50, dtype=torch.float64)",
     [] {
       return randn({40, 50}, {.dtype = DType::float64});
     },
     "",
     {.check = normal}},
    {"torch.rand_like", "torch.rand_like(a)", [](T a) { return rand_like(a); }, "[30,70]", {.check = uniform}},
    {"torch.randn_like", "torch.randn_like(a)", [](T a) { return randn_like(a); }, "[30,70]", {.check = normal}},
    {"torch.manual_seed",
     "torch.manual_seed(3); x = torch.rand(5); torch.manual_seed(3); return (x == torch.rand(5)).sum()",
     [] {
       manual_seed(3);
       const Tensor x = rand(5);
       manual_seed(3);
       return (x == rand(5)).sum();
     },
     "",
     {.differs = "the numbers are others", .call = "manual_seed(3)"}},
    {"torch.Generator",
     "g = torch.Generator().manual_seed(3); x = torch.rand(5, generator=g); return x.shape",
     [] {
       Generator g(3);
       return rand(5, {}, g).shape();
     },
     "",
     {.differs = "the numbers are others, and the same on every device", .call = "Generator(3)"}},
    {"nn.init.uniform_",
     "init.uniform_(a, 2, 2.5)",
     [](T a) {
       uniform_(a, 2, 2.5);
       return a;
     },
     "[900]",
     {.gradient = false,
      .call = "uniform_(a, 2, 2.5)",
      .check = [](const Tensors& y, const Tensors&) { return judged(y[0], 2.25, 0.5 / std::sqrt(12), 2, 2.5); }}},
    {"nn.init.normal_",
     "init.normal_(a, 2, 0.1)",
     [](T a) {
       normal_(a, 2, 0.1);
       return a;
     },
     "[900]",
     {.gradient = false,
      .call = "normal_(a, 2, 0.1)",
      .check = [](const Tensors& y, const Tensors&) { return judged(y[0], 2, 0.1, 1, 3); }}},
    {"torch.from_numpy",
     "torch.from_numpy(__import__('numpy').array([1.5, 2.5]))",
     [] {
       return tensor(std::vector<double>{1.5, 2.5});
     },
     "",
     {.differs = "a copy"}},
};

}  // namespace tern::test
