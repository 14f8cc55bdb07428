#include "check.hpp"

#include <tern/kernels/error.hpp>

#include <algorithm>
#include <iomanip>
#include <iostream>
#include <sstream>

namespace tern::test {

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> all = [] {
    std::vector<Subject> list{{"reference", &reference_backend()}, {"cpu", &cpu_backend()}};
#ifdef TERN_HAS_CUDA
    try {
      list.push_back({"cuda", &cuda_backend(0)});
    } catch (const Error& e) {
      std::cout << "cuda is not tested: " << e.what() << std::endl;
    }
#endif
    return list;
  }();
  return all;
}

namespace {

std::string list(const Dims& dims) {
  std::ostringstream text;
  for (std::size_t d = 0; d < dims.size(); ++d) text << (d > 0 ? ", " : "[") << dims[d];
  return text.str() + "]";
}

Dims position(const Dims& dims, int64_t i) {
  Dims at(dims.size());
  for (std::size_t d = dims.size(); d-- > 0; i /= dims[d]) at[d] = i % dims[d];
  return at;
}

}  // namespace

std::string first_mismatch(const Output& want, const Output& got, const Tolerance* tolerance) {
  double largest = 0;
  for (const long double v : want.values) {
    if (std::isfinite(v)) largest = std::max(largest, static_cast<double>(std::abs(v)));
  }
  std::size_t count = 0, first = 0;
  for (std::size_t i = 0; i < want.values.size(); ++i) {
    const long double g = got.values[i], w = got.round(want.values[i]);
    bool same = g == w || (std::isnan(g) && std::isnan(w));
    if (!same && tolerance && !got.exact && std::isfinite(w)) {
      const double size = tolerance->whole ? largest : static_cast<double>(std::abs(w));
      same = std::abs(g - w) <= got.relative * std::max(size, tolerance->floor) + got.tiny;
    }
    if (!same && count++ == 0) first = i;
  }
  if (count == 0) return "";
  std::ostringstream text;
  text << std::setprecision(17) << got.name << list(position(got.dims, static_cast<int64_t>(first))) << " of "
       << list(got.dims) << " is " << got.values[first] << ", expected " << want.values[first] << "; " << count
       << " of " << want.values.size() << " elements differ";
  return text.str();
}

}  // namespace tern::test
