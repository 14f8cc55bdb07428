/// The rows of unary_cases.hpp as ops. Their gradients are checked with all others' in gradients_test.cpp.

#include "support.hpp"

#include <catch2/catch.hpp>
#include <folders.hpp>
#include <nlohmann/json.hpp>
#include <unary_cases.hpp>

#include <cmath>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

namespace tern::test {

namespace {

using nlohmann::json;
using Values = std::vector<double>;

std::string read(const std::string& path) {
  std::ifstream file(in_tree(path));
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// golden/unary.json by the rows' names.
const std::map<std::string, json>& golden() {
  static const std::map<std::string, json> all = [] {
    std::map<std::string, json> by_name;
    for (const json& line : json::parse(read("tests/golden/unary.json"))) by_name[line["name"]] = line;
    return by_name;
  }();
  return all;
}

/// Numbers, of which those that are not finite are written as words.
Values values_of(const json& numbers) {
  Values values;
  for (const json& v : numbers) values.push_back(v.is_string() ? std::stod(v.get<std::string>()) : v.get<double>());
  return values;
}

/// One line on the first element that is not as PyTorch has it: to 1e-12 in double, 2e-6 in float, of what it is and of
/// 1. Infinities and NaN are to be the same.
std::string difference(const Tensor& got, const Values& want, const Values& x) {
  const bool narrow = got.dtype() == DType::float32;
  const Values y = got.to_vector<double>();
  REQUIRE(y.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double w = narrow ? static_cast<float>(want[i]) : want[i];
    const bool near = std::abs(y[i] - w) <= (narrow ? 2e-6 : 1e-12) * std::max(1.0, std::abs(w));
    if (!same(y[i], w) && !(std::isfinite(w) && near)) {
      return text("at ", x[i], " it is ", y[i], ", PyTorch's is ", w);
    }
  }
  return "";
}

}  // namespace

TEST_CASE("elementwise functions and their gradients are PyTorch's", "[unary]") {
  for (const UnaryCase& c : unary_cases()) {
    INFO(c.name << "; new rows get their values by golden/unary.py");
    REQUIRE(golden().contains(c.name));
    const json& g = golden().at(c.name);
    const Values values = values_of(g["x"]);
    for (const Device device : devices()) {
      for (const DType dtype : {DType::float64, DType::float32}) {
        INFO(dtype << " on " << device);
        const Tensor x = tensor(values).to(dtype).to(device).set_requires_grad(), y = c.function(x);
        CHECK(y.dtype() == dtype);
        CHECK(difference(y, values_of(g["y"]), values) == "");
        y.backward(tensor(values_of(g["dy"])).to(dtype).to(device));
        CHECK(difference(x.grad(), values_of(g["dx"]), values) == "");
      }
    }
  }
}

TEST_CASE("elementwise functions take integers as PyTorch does", "[unary]") {
  for (const UnaryCase& c : unary_cases()) {
    for (const Device device : devices()) {
      for (const DType dtype : {DType::int64, DType::uint8}) {
        INFO(c.name << " of " << dtype << " on " << device);
        const json& g = golden().at(c.name)["integers"][std::string(name_of(dtype))];
        if (g.is_null()) {
          const std::string op = c.name.substr(0, c.name.find(' '));
          CHECK_THAT(message_of([&] { c.function(zeros({3}, {.dtype = dtype, .device = device})); }),
                     Catch::StartsWith(op) && Catch::EndsWith(text(": got ", dtype, ", expected float32 or float64")));
          continue;
        }
        const Values x = values_of(g["x"]);
        const Tensor y = c.function(tensor(x).to(dtype).to(device));
        CHECK(name_of(y.dtype()) == g["dtype"].get<std::string>());
        CHECK(difference(y, values_of(g["y"]), x) == "");
      }
    }
  }
}

TEST_CASE("elementwise functions of views, of nothing and of one number", "[unary]") {
  for (const UnaryCase& c : unary_cases()) {
    for (const Device device : devices()) {
      for_each_case(10, [&](Random& random) {
        const Shape shape = random_shape(random, 0, 4, 5, 0.1);
        const Layout layout(random, shape);
        const Values source = random.between<double>(layout.source_shape.numel(), c.low, c.high),
                     slopes = random.values<double>(shape.numel());
        const Tensor x = tensor(source, device).reshape(layout.source_shape).detach().set_requires_grad();
        const Tensor view = layout.view(x), y = c.function(view), dy = tensor(slopes, device).reshape(shape);
        INFO(c.name << " of " << shape << " on " << device);
        CHECK(y.shape() == shape);
        CHECK(y.is_contiguous());
        y.backward(dy);
        // The same, element by element.
        const Tensor dense = tensor(view.to_vector<double>(), device).set_requires_grad(), want = c.function(dense);
        want.backward(tensor(slopes, device));
        CHECK(first_difference(want.to_vector<double>(), y.to_vector<double>()) == "");
        const Tensor again = x.detach().set_requires_grad();
        layout.view(again).backward(dense.grad().reshape(shape));
        CHECK(first_difference(again.grad().to_vector<double>(), x.grad().to_vector<double>()) == "");
      });
    }
  }
}

TEST_CASE("every elementwise function has a row, and stands in the list", "[unary]") {
  const std::string header = read("kernels/unary.hpp"), list = read("docs/from-pytorch.md");
  const std::size_t begin = header.find("enum class UnaryOp");
  const std::string names = std::regex_replace(header.substr(begin, header.find("};", begin) - begin),
                                               std::regex("///<[^\n]*"), "");
  const std::regex enumerator("\n  (\\w+),");
  std::set<UnaryOp> tested;
  for (const UnaryCase& c : unary_cases()) {
    tested.insert(c.kernel.op);
    INFO(c.name);
    const std::string call = "| `" + c.name.substr(0, c.name.find(' '));
    CHECK((list.find(call + "(a") != std::string::npos || list.find(call + "_loss(a") != std::string::npos));
  }
  CHECK(std::distance(std::sregex_iterator(names.begin(), names.end(), enumerator), {}) ==
        static_cast<std::ptrdiff_t>(tested.size()));
  CHECK(golden().size() == unary_cases().size());
}

}  // namespace tern::test
