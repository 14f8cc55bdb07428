#pragma once

/// How a kernel is tested. A test makes inputs and says once, as a lambda, how the kernel is called:
///
///   check_close<T>(random, each, [&]<class Real>(Run<Real>& run) {
///     run.floating().tanh(n, run.in(x), run.out("y", {n}));
///   });
///
/// The call runs on the reference backend, in double where T is a float, and then in T on every backend of the build.
/// Each run has its own memory: outputs begin as garbage, arrays lie at odd offsets between guards, and whatever the
/// kernel had no business to write must be as it was.

#include <tern/kernels/backend.hpp>

#include <catch2/catch.hpp>

#include <random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern::test {

using namespace tern::kernels;
using Dims = std::vector<int64_t>;

struct Subject {
  std::string name;
  Backend* backend;
};

/// Every backend of this build that has a device here, the reference first.
const std::vector<Subject>& subjects();

/// What a kernel wrote, wide enough for each dtype.
struct Output {
  std::string name;
  Dims dims;
  std::vector<long double> values;
  long double (*round)(long double);  ///< to the dtype
  bool exact;                         ///< the dtype is an integer
  double relative;                    ///< the error that the dtype may have
  double tiny;                        ///< below this the dtype loses digits
};

/// What an element may differ by: `Output::relative` times its own size, or times the largest element's where sums
/// cancel, in either case no less than `floor`.
struct Tolerance {
  bool whole = false;
  double floor = 0;
};
inline constexpr Tolerance each{};
inline constexpr Tolerance whole{.whole = true};
inline constexpr Tolerance whole_or_one{.whole = true, .floor = 1};

/// One line on where and how `got` is not `want`, empty if it is.
std::string first_mismatch(const Output& want, const Output& got, const Tolerance* tolerance);

/// One call of a kernel on one backend, floats in `Real`.
template <class Real_>
class Run {
 public:
  using Real = Real_;
  /// A test's values of type T in this run: floats become Real, integers stay.
  template <class T>
  using Stored = std::conditional_t<std::is_floating_point_v<T>, Real, T>;

  Run(Backend& backend, Random& random) : backend_(backend), random_(random) {}

  FloatKernels<Real>& floating() { return backend_.floating(Real{}); }
  ArrayKernels<Real>& array() { return backend_.array(Real{}); }

  template <class T>
  const Stored<T>* in(const std::vector<T>& values) {
    return place<Stored<T>>("an input", {static_cast<int64_t>(values.size())}, &values, false);
  }

  template <class T>
  Stored<T>* inout(const std::string& name, const Dims& dims, const std::vector<T>& values) {
    return place<Stored<T>>(name, dims, &values, true);
  }

  template <class T = Real>
  T* out(const std::string& name, const Dims& dims) {
    return place<T, T>(name, dims, nullptr, true);
  }

  /// The outputs in the order of their making. Fails the test if anything else was written to.
  std::vector<Output> finish() {
    std::vector<Output> outputs;
    for (const Block& block : blocks_) {
      std::vector<std::byte> after(block.before.size());
      backend_.download(after.size(), block.memory.get(), after.data());
      const auto unchanged = [&](std::size_t from, std::size_t to) {
        return std::equal(after.begin() + from, after.begin() + to, block.before.begin() + from);
      };
      if (!unchanged(0, block.begin)) FAIL_CHECK("the bytes before " << block.output.name << " were written to");
      if (!unchanged(block.end, after.size()))
        FAIL_CHECK("the bytes after " << block.output.name << " were written to");
      if (!block.is_output && !unchanged(block.begin, block.end)) FAIL_CHECK(block.output.name << " was written to");
      if (!block.is_output) continue;
      outputs.push_back(block.output);
      block.read(after.data() + block.begin, outputs.back().values);
    }
    return outputs;
  }

 private:
  struct Release {
    Backend* backend;
    std::size_t bytes;
    void operator()(void* p) const { backend->release(p, bytes); }
  };

  struct Block {
    std::unique_ptr<void, Release> memory;
    std::vector<std::byte> before;
    std::size_t begin, end;  ///< the array's bytes; what is around them is guards
    bool is_output;
    Output output;
    void (*read)(const std::byte*, std::vector<long double>&);
  };

  template <class T, class From>
  T* place(const std::string& name, const Dims& dims, const std::vector<From>* values, bool is_output) {
    std::size_t n = 1;
    for (const int64_t d : dims) n *= d;
    if (values && values->size() != n) throw std::logic_error(name + ": dims and values differ in size");

    constexpr std::size_t guard = 256;
    const std::size_t begin = guard + random_.pick({0, 0, 1, 2, 3}) * sizeof(T), end = begin + n * sizeof(T);
    std::vector<std::byte> bytes(end + guard);
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t garbage = garbage_();
      std::memcpy(&bytes[i], &garbage, std::min(sizeof(garbage), bytes.size() - i));
    }
    for (std::size_t i = 0; values && i < n; ++i) {
      const T v = static_cast<T>((*values)[i]);
      std::memcpy(bytes.data() + begin + i * sizeof(T), &v, sizeof(T));
    }

    void* memory = backend_.allocate(bytes.size());
    Output output{.name = name,
                  .dims = dims,
                  .values = std::vector<long double>(n),
                  .round = [](long double v) -> long double { return static_cast<T>(v); },
                  .exact = !std::is_floating_point_v<T>,
                  .relative = std::is_same_v<T, float> ? 1e-5 : 1e-12,
                  .tiny = std::is_floating_point_v<T> ? static_cast<double>(std::numeric_limits<T>::min()) : 0};
    const auto read = [](const std::byte* from, std::vector<long double>& to) {
      for (std::size_t i = 0; i < to.size(); ++i) {
        T v;
        std::memcpy(&v, from + i * sizeof(T), sizeof(T));
        to[i] = v;
      }
    };
    blocks_.push_back({{memory, Release{&backend_, bytes.size()}}, bytes, begin, end, is_output, output, read});
    backend_.upload(bytes.size(), bytes.data(), memory);
    return reinterpret_cast<T*>(static_cast<std::byte*>(memory) + begin);
  }

  Backend& backend_;
  Random& random_;
  std::mt19937_64 garbage_{static_cast<std::uint64_t>(random_.integer(1, 1'000'000'000))};
  std::vector<Block> blocks_;
};

template <class Truth, class T, class F>
void check_against(Random& random, const Tolerance* tolerance, F call) {
  Run<Truth> truth(reference_backend(), random);
  call(truth);
  const std::vector<Output> want = truth.finish();
  for (const Subject& subject : subjects()) {
    INFO("backend " << subject.name);
    Run<T> run(*subject.backend, random);
    call(run);
    const std::vector<Output> got = run.finish();
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(first_mismatch(want[i], got[i], tolerance) == "");
  }
}

/// The outputs equal the reference's, which runs in T as well.
template <class T, class F>
void check_exact(Random& random, F call) {
  check_against<T, T>(random, nullptr, call);
}

/// The outputs are as close to the reference's as `tolerance` says; integers are equal.
template <class T, class F>
void check_close(Random& random, const Tolerance& tolerance, F call) {
  check_against<std::conditional_t<std::is_floating_point_v<T>, double, T>, T>(random, &tolerance, call);
}

}  // namespace tern::test
