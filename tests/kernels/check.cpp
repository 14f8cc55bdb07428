#include "check.hpp"

#include <tern/kernels/error.hpp>

#include <algorithm>
#include <cmath>
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
      std::cout << "cuda is skipped: " << e.what() << "; TERN_CUDA=EMULATE checks its kernels on the host" << std::endl;
    }
#endif
    return list;
  }();
  return all;
}

const std::vector<Subject>& cpu_alone() {
  static const std::vector<Subject> all{{"cpu", &cpu_backend()}};
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

Arrays::Arrays(Backend& backend, Random& random)
    : backend_(backend),
      random_(random),
      aligned_(random.chance(0.3)),
      garbage_(static_cast<std::uint64_t>(random.integer(0, 1'000'000'000))) {}

void* Arrays::place(Output output, std::size_t element, const void* values, bool is_output,
                    long double (*read)(const std::byte*)) {
  constexpr std::size_t guard = 256;
  const std::size_t size = element * numel(output.dims);
  const std::size_t begin = guard + (aligned_ ? 0 : random_.pick({0, 0, 1, 2, 3})) * element, end = begin + size;
  std::vector<std::byte> bytes(end + guard);
  for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
    const std::uint64_t garbage = garbage_();
    std::memcpy(&bytes[i], &garbage, std::min(sizeof(garbage), bytes.size() - i));
  }
  if (values && size > 0) std::memcpy(&bytes[begin], values, size);

  void* memory = backend_.allocate(bytes.size());
  blocks_.push_back({{memory, Release{&backend_, bytes.size()}}, bytes, begin, end, element, is_output, output, read});
  backend_.upload(bytes.size(), bytes.data(), memory);
  return static_cast<std::byte*>(memory) + begin;
}

std::vector<Output> Arrays::finish() {
  std::vector<Output> outputs;
  for (const Block& block : blocks_) {
    std::vector<std::byte> after(block.before.size());
    backend_.download(after.size(), block.memory.get(), after.data());
    const auto unchanged = [&](std::size_t from, std::size_t to) {
      return std::equal(after.begin() + from, after.begin() + to, block.before.begin() + from);
    };
    const std::string& name = block.output.name;
    if (!unchanged(0, block.begin)) FAIL_CHECK("what lies before " << name << " was written to");
    if (!unchanged(block.end, after.size())) FAIL_CHECK("what lies after " << name << " was written to");
    if (!block.is_output) {
      if (!unchanged(block.begin, block.end)) FAIL_CHECK(name << " was written to");
      continue;
    }
    outputs.push_back(block.output);
    for (std::size_t at = block.begin; at < block.end; at += block.element) {
      outputs.back().values.push_back(block.read(&after[at]));
    }
  }
  return outputs;
}

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
