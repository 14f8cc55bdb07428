#include <tern/core/autocast.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>

#include <algorithm>
#include <string>

/// Written in matmul, sum and views, which supply the gradient.

namespace tern {
namespace {

/// A tensor whose dimensions have names: letters, and '0', '1', ... for what "..." stands for, from the right.
struct Named {
  Tensor x;
  std::string names;
};

bool has(const std::string& names, char name) { return names.find(name) != std::string::npos; }

int place_of(const std::string& names, char name) { return static_cast<int>(names.find(name)); }

/// x with its dimensions in the order of `names`, where it has them, and sizes of 1 where it has not.
Tensor arranged(const Named& a, const std::string& names) {
  Shape order;
  for (const char name : names) {
    if (has(a.names, name)) order.push_back(place_of(a.names, name));
  }
  Tensor x = a.x.permute(order);
  for (std::size_t d = 0; d < names.size(); ++d) {
    if (!has(a.names, names[d])) x = x.unsqueeze(static_cast<std::int64_t>(d));
  }
  return x;
}

/// Sums over the dimensions that are not in `kept`.
Named summed(const Named& a, const std::string& kept) {
  Named y{a.x, ""};
  Shape dims;
  for (std::size_t d = 0; d < a.names.size(); ++d) {
    if (has(kept, a.names[d])) {
      y.names += a.names[d];
    } else {
      dims.push_back(static_cast<std::int64_t>(d));
    }
  }
  if (!dims.empty()) y.x = sum(a.x, dims);
  return y;
}

/// The operand with "..." resolved, and the diagonal taken of what is named twice.
Named operand(std::string_view equation, const std::string& text, Tensor x) {
  const std::size_t dots = text.find("...");
  const auto letters = static_cast<int>(text.size() - (dots == std::string::npos ? 0 : 3));
  check(dots == std::string::npos ? letters == x.dim() : letters <= x.dim(),
        "einsum: '{}' names {} dimensions as '{}', of an operand {}", equation, letters, text, x.shape());
  std::string names = text;
  if (dots != std::string::npos) {
    std::string rest;
    for (int d = x.dim() - letters; d > 0; --d) rest += static_cast<char>('0' + d - 1);
    names.replace(dots, 3, rest);
  }
  for (std::size_t d = 0; d < names.size();) {
    const std::size_t twin = names.find(names[d], d + 1);
    if (twin == std::string::npos) {
      ++d;
      continue;
    }
    const std::int64_t n = x.shape()[static_cast<int>(d)];
    check(x.shape()[static_cast<int>(twin)] == n, "einsum: '{}' names sizes {} and {} of an operand {} alike", equation,
          n, x.shape()[static_cast<int>(twin)], x.shape());
    // Both go to the end as one dimension of n * n, of which every (n + 1)-th element is wanted.
    Shape order, flat;
    std::string left;
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (i == d || i == twin) continue;
      order.push_back(static_cast<std::int64_t>(i));
      flat.push_back(x.shape()[static_cast<int>(i)]);
      left += names[i];
    }
    order.push_back(static_cast<std::int64_t>(d));
    order.push_back(static_cast<std::int64_t>(twin));
    flat.push_back(n * n);
    const Tensor diagonal = arange(n, {.device = x.device()}) * (n + 1);
    x = index_select(x.permute(order).reshape(flat), -1, diagonal);
    names = left + names[d];
    d = 0;
  }
  return {x, names};
}

/// The sum of products, over what is not in `kept`.
Named contracted(std::string_view equation, Named a, Named b, const std::string& kept) {
  // A size of 1 stretches to the other: the operand may as well not have it.
  for (const char name : std::string(a.names)) {
    if (!has(b.names, name)) continue;
    const std::int64_t of_a = a.x.shape()[place_of(a.names, name)], of_b = b.x.shape()[place_of(b.names, name)];
    check(of_a == of_b || of_a == 1 || of_b == 1, "einsum: '{}' names sizes {} and {} alike, of operands {} and {}",
          equation, of_a, of_b, a.x.shape(), b.x.shape());
    if (of_a == of_b) continue;
    Named& one = of_a == 1 ? a : b;
    one.x = one.x.squeeze(place_of(one.names, name));
    one.names.erase(one.names.find(name), 1);
  }
  a = summed(a, kept + b.names);
  b = summed(b, kept + a.names);
  std::string batch, left, inner, right;
  for (const char name : a.names) (!has(b.names, name) ? left : has(kept, name) ? batch : inner) += name;
  for (const char name : b.names) {
    if (!has(a.names, name)) right += name;
  }
  std::int64_t sizes[4] = {1, 1, 1, 1};
  Shape shape;
  const std::string parts[4] = {batch, left, inner, right};
  for (const int part : {0, 1, 3, 2}) {
    for (const char name : parts[part]) {
      const bool of_a = has(a.names, name);
      const std::int64_t size = of_a ? a.x.shape()[place_of(a.names, name)] : b.x.shape()[place_of(b.names, name)];
      sizes[part] *= size;
      if (part != 2) shape.push_back(size);
    }
  }
  const Tensor y = matmul(arranged(a, batch + left + inner).reshape({sizes[0], sizes[1], sizes[2]}),
                          arranged(b, batch + inner + right).reshape({sizes[0], sizes[2], sizes[3]}));
  return {y.reshape(shape), batch + left + right};
}

}  // namespace

Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands) {
  if (const Autocast cast(Autocast::low); cast) {
    std::vector<Tensor> low;
    for (const Tensor& x : operands) low.push_back(cast(x));
    return einsum(equation, low);
  }
  check(!operands.empty(), "einsum: no operands, expected one or more");
  std::string text;
  for (const char c : equation) {
    if (c != ' ') text += c;
  }
  const std::size_t arrow = text.find("->");
  const std::string inputs = text.substr(0, arrow);
  const auto check_names = [&](const std::string& names) {
    std::string rest = names;
    if (const std::size_t dots = rest.find("..."); dots != std::string::npos) rest.erase(dots, 3);
    const bool letters =
        std::all_of(rest.begin(), rest.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
    check(letters, "einsum: '{}' in '{}', expected letters and at most one '...'", names, equation);
  };
  std::vector<Named> all;
  for (std::size_t begin = 0; begin <= inputs.size();) {
    const std::size_t end = std::min(inputs.find(',', begin), inputs.size());
    const std::string names = inputs.substr(begin, end - begin);
    check_names(names);
    check(all.size() < operands.size(), "einsum: '{}' with {} operands, expected as many as it names", equation,
          operands.size());
    check_defined("einsum", "an operand", operands[all.size()]);
    check_alike("einsum", operands[0], operands[all.size()]);
    all.push_back(operand(equation, names, operands[all.size()]));
    begin = end + 1;
  }
  check(all.size() == operands.size(), "einsum: '{}' with {} operands, expected as many as it names", equation,
        operands.size());

  // What "..." stands for is the longest of all operands; without "->" it comes first, then what is named once.
  std::string dots, output;
  for (const Named& a : all) {
    std::string own;
    for (const char name : a.names) {
      if (name <= '9') own += name;
    }
    std::sort(own.rbegin(), own.rend());
    if (own.size() > dots.size()) dots = own;
  }
  if (arrow == std::string::npos) {
    for (char name = 'A'; name <= 'z'; ++name) {
      if (std::count(inputs.begin(), inputs.end(), name) == 1) output += name;
    }
    output = dots + output;
  } else {
    output = text.substr(arrow + 2);
    check_names(output);
    if (const std::size_t at = output.find("..."); at != std::string::npos) output.replace(at, 3, dots);
    for (const char name : output) {
      check(std::count(output.begin(), output.end(), name) == 1 &&
                std::any_of(all.begin(), all.end(), [&](const Named& a) { return has(a.names, name); }),
            "einsum: '{}', expected each name of the output once, and in an operand", equation);
    }
  }
  Named y = all[0];
  for (std::size_t i = 1; i < all.size(); ++i) {
    std::string kept = output;
    for (std::size_t later = i + 1; later < all.size(); ++later) kept += all[later].names;
    y = contracted(equation, y, all[i], kept);
  }
  return arranged(summed(y, output), output);
}

Tensor tensordot(const Tensor& a, const Tensor& b, const Shape& dims_a, const Shape& dims_b) {
  check_defined("tensordot", "a", a);
  check_defined("tensordot", "b", b);
  check_alike("tensordot", a, b);
  check(dims_a.size() == dims_b.size(), "tensordot: dimensions {} and {}, expected as many", dims_a, dims_b);
  Named named_a{a, std::string("abcdefgh").substr(0, static_cast<std::size_t>(a.dim()))},
      named_b{b, std::string("ijklmnop").substr(0, static_cast<std::size_t>(b.dim()))};
  std::string kept = named_a.names + named_b.names;
  for (int i = 0; i < dims_a.size(); ++i) {
    const int of_a = existing_dim("tensordot", dims_a[i], a.dim()),
              of_b = existing_dim("tensordot", dims_b[i], b.dim());
    char &name_a = named_a.names[static_cast<std::size_t>(of_a)],
         &name_b = named_b.names[static_cast<std::size_t>(of_b)];
    check(has(kept, name_a) && has(kept, name_b), "tensordot: dimensions {} and {}, expected each once", dims_a,
          dims_b);
    check(a.shape()[of_a] == b.shape()[of_b],
          "tensordot: dimensions {} and {} of shapes {} and {}, expected equal sizes", of_a, of_b, a.shape(),
          b.shape());
    kept.erase(kept.find(name_a), 1);
    kept.erase(kept.find(name_b), 1);
    name_b = name_a;
  }
  const Named y = contracted("tensordot", named_a, named_b, kept);
  return arranged(y, kept);
}

Tensor tensordot(const Tensor& a, const Tensor& b, std::int64_t dims) {
  check_defined("tensordot", "a", a);
  check_defined("tensordot", "b", b);
  check(0 <= dims && dims <= std::min(a.dim(), b.dim()), "tensordot: {} dimensions of shapes {} and {}", dims,
        a.shape(), b.shape());
  Shape last, first;
  for (std::int64_t d = 0; d < dims; ++d) {
    last.push_back(a.dim() - dims + d);
    first.push_back(d);
  }
  return tensordot(a, b, last, first);
}

}  // namespace tern
