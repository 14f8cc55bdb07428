#pragma once

/// The PyTorch names that tern has. Each is a row, tested against python3-torch itself, on every device, in float64 and
/// float32, and a line of docs/from-pytorch.md. To add rows put a file into tests/torch named FAMILY_rows.cpp; nothing
/// else changes:
///
///   #include "rows.hpp"
///
///   namespace tern::test {
///   static const Rows selecting{
///       {"torch.where", "torch.where(a > 0, a, b)", [](T a, T b) { return where(gt(a, 0), a, b); },
///        "[2,3] [3] | [5] [5] | [] [] | [0,3] [1,3]"},
///       {"torch.round", "torch.round(a)", [](T a) { return round(a); }, "[7] | int[4]", {.gradient = false}},
///   };
///   }  // namespace tern::test
///
/// that is: PyTorch's name as its documentation lists it ("torch.where", "Tensor.flatten", "nn.LayerNorm", "F.gelu",
/// "optim.Adam"; all are different, what tells two of one name apart follows a comma: "torch.sum, dims"), the Python of
/// the inputs a, b, c, ...; the same in C++; the sets of inputs; options. Then `tern_torch_tests "torch.where*"` runs
/// it and tests/torch/table.py writes the documentation's table under "Selecting", where the lambda's expression stands
/// as tern's way to say it.
///
/// An input is a kind and a shape. Kinds: none or `f` is floats in [-2, 2); `pos` in [0.5, 2.5); `prob` in [0.05,
/// 0.95); `dist` the same, adding up to 1 along the last dimension; `distinct` floats no two of which are within 0.1;
/// `ties` floats that are whole and often equal; `nan` floats, some of them NaN, infinite or 0; `int` int64 in [-9, 9];
/// `below5` int64 in [0, 5); `perm` int64, all that are less than their number; `bytes` uint8; `mask` uint8 of 0 and 1,
/// for Python a bool.
///
/// The Python is an expression, or the body of a function that returns. Beside torch, nn, F, optim, lr_scheduler, init
/// and math it has what evaluate.py defines, such as with_state(nn.LayerNorm(5), weight=b, bias=c). Both may give a
/// tensor, a number, a bool, a string, a shape, a dtype, or several of these. There are no bools in tern: uint8 is as
/// good.

#include <tern/tern.hpp>

#include <initializer_list>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern::test {

using T = const Tensor&;

// What a row's function may give, as tensors.
std::vector<Tensor> to_tensors(const Tensor& y);
std::vector<Tensor> to_tensors(const std::vector<Tensor>& y);
std::vector<Tensor> to_tensors(const std::string& y);  ///< its bytes
std::vector<Tensor> to_tensors(DType y);               ///< its name
std::vector<Tensor> to_tensors(const Shape& y);
std::vector<Tensor> to_tensors(const std::vector<double>& y);
std::vector<Tensor> to_tensors(const std::vector<std::int64_t>& y);
template <class Number>
requires std::is_arithmetic_v<Number> std::vector<Tensor> to_tensors(Number y) {
  using Element = std::conditional_t<std::is_same_v<Number, bool>, std::uint8_t,
                                     std::conditional_t<std::is_integral_v<Number>, std::int64_t, double>>;
  return {tensor({static_cast<Element>(y)}).reshape({})};
}
template <class... Parts>
std::vector<Tensor> to_tensors(const std::tuple<Parts...>& y) {
  std::vector<Tensor> all;
  const auto append = [&](const auto& part) {
    for (const Tensor& x : to_tensors(part)) all.push_back(x);
  };
  std::apply([&](const Parts&... parts) { (append(parts), ...); }, y);
  return all;
}
template <class A, class B>
std::vector<Tensor> to_tensors(const std::pair<A, B>& y) {
  return to_tensors(std::tuple(y.first, y.second));
}
template <class Result>
requires requires(const Result& y) { y.values, y.indices; }
std::vector<Tensor> to_tensors(const Result& y) { return {y.values, y.indices}; }

/// A lambda without captures, of up to eight tensors, or a function of one.
class Function {
 public:
  template <class F>
  Function(F) : inputs_(count<F>(std::index_sequence<>())), call_(call<F>) {}
  Function(Tensor (*unary)(const Tensor&)) : inputs_(1), unary_(unary) {}

  int inputs() const { return inputs_; }
  std::vector<Tensor> operator()(const std::vector<Tensor>& x) const {
    return unary_ ? std::vector<Tensor>{unary_(x[0])} : call_(x.data());
  }

 private:
  template <std::size_t>
  using Input = const Tensor&;

  template <class F, std::size_t... I>
  static constexpr int count(std::index_sequence<I...>) {
    static_assert(sizeof...(I) <= 8, "a row's function takes up to eight of const Tensor&");
    if constexpr (std::is_invocable_v<F, Input<I>...> || sizeof...(I) > 8)
      return sizeof...(I);
    else
      return count<F>(std::make_index_sequence<sizeof...(I) + 1>());
  }
  template <class F>
  static std::vector<Tensor> call(const Tensor* x) {
    return []<std::size_t... I>(const Tensor* inputs, std::index_sequence<I...>) {
      return to_tensors(F()(inputs[I]...));
    }
    (x, std::make_index_sequence<count<F>(std::index_sequence<>())>());
  }

  int inputs_;
  std::vector<Tensor> (*call_)(const Tensor*) = nullptr;
  Tensor (*unary_)(const Tensor&) = nullptr;
};

struct RowOptions {
  /// By how much more than 1e-10 in float64 and 2e-5 in float32 of the tensor's largest element, or of 1, it may be
  /// off.
  double looser = 1;
  /// Whether the inputs require grad, and their gradients are compared, too: of all outputs, times fixed numbers.
  bool gradient = true;
  /// Where a last bit decides.
  bool only_float64 = false;
  /// Whether it is tried in bfloat16 and float16, too, within 6 of their epsilons.
  bool half = true;
  /// How tern differs from the name's PyTorch; then the Python says what tern does.
  const char* differs = "";
  /// tern's way to say it, where the function is more than an expression.
  const char* call = "";
  /// What is wrong with tern's outputs, given the inputs, else "". With it only shapes and dtypes are compared, and
  /// these only where there is any Python.
  std::string (*check)(const std::vector<Tensor>& y, const std::vector<Tensor>& x) = nullptr;
};

struct Row {
  const char* name;
  const char* python;
  Function tern;
  const char* inputs = "";
  RowOptions options = {};
};

/// Makes each of the rows a test case, tagged [torch]. What the object is called is the family's name.
struct Rows {
  Rows(std::initializer_list<Row> rows);
  explicit Rows(const std::vector<Row>& rows);
};

}  // namespace tern::test
