#pragma once

/// How a kernel is tested. A test makes inputs and says once, as a lambda, how the kernel is called:
///
///   check_close<T>(random, each, [&]<class Real>(Run<Real>& run) {
///     run.floating().unary({UnaryOp::tanh}, n, run.in(x), run.out("y", {n}));
///   });
///
/// The call runs on the reference backend, in double where T is a float, and then in T on every backend of the build.
/// Each run has its own memory: outputs begin as garbage, arrays lie between guards, at odd offsets or in some runs all
/// aligned, and whatever the kernel had no business to write must be as it was.

#include <tern/kernels/backend.hpp>

#include <catch2/catch.hpp>

#include <random.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace tern::test {

using namespace tern::kernels;
using Dims = std::vector<int64_t>;

inline int64_t numel(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<int64_t>());
}

struct Subject {
  std::string name;
  Backend* backend;
};

/// Every backend of this build that has a device here, the reference first.
const std::vector<Subject>& subjects();
/// The CPU's alone.
const std::vector<Subject>& cpu_alone();

/// Calls f with each precision of products that the dtype has on the CPU, and with the backends to try it on. On CUDA
/// less than the highest is another result: conv2d_gemm_test.cpp.
template <class T, class F>
void for_each_precision(F f) {
  f(Precision::highest, subjects());
  if constexpr (std::is_same_v<T, float>) f(Precision::high, cpu_alone());
}

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

/// The error that a result in T may have.
template <class T>
inline constexpr double error_of = std::is_same_v<T, float> ? 1e-5 : 1e-12;

/// One line on where and how `got` is not `want`, empty if it is.
std::string first_mismatch(const Output& want, const Output& got, const Tolerance* tolerance);

/// The arrays of one call, each a block of its own in a backend's memory with guards around it.
class Arrays {
 public:
  Arrays(Backend& backend, Random& random);

  /// An array that begins with these values, or with garbage where they are null.
  template <class T>
  T* place(const std::string& name, const Dims& dims, const T* values, bool is_output,
           double relative = error_of<T>) {
    Output output{.name = name,
                  .dims = dims,
                  .values = {},
                  .round = [](long double v) -> long double { return static_cast<T>(v); },
                  .exact = !std::is_floating_point_v<T>,
                  .relative = relative,
                  .tiny = std::is_floating_point_v<T> ? static_cast<double>(std::numeric_limits<T>::min()) : 0};
    const auto read = [](const std::byte* from) -> long double {
      T v;
      std::memcpy(&v, from, sizeof(T));
      return v;
    };
    return static_cast<T*>(place(std::move(output), sizeof(T), values, is_output, read));
  }

  /// The outputs in the order of their making. Fails the test if anything else was written to.
  std::vector<Output> finish();

 private:
  struct Release {
    Backend* backend;
    std::size_t bytes;
    void operator()(void* p) const { backend->release(p, bytes); }
  };

  struct Block {
    std::unique_ptr<void, Release> memory;
    std::vector<std::byte> before;
    std::size_t begin, end, element;  ///< where the array lies in the block, and the size of an element, in bytes
    bool is_output;
    Output output;
    long double (*read)(const std::byte*);
  };

  void* place(Output output, std::size_t element, const void* values, bool is_output,
              long double (*read)(const std::byte*));

  Backend& backend_;
  Random& random_;
  bool aligned_;
  std::mt19937_64 garbage_;
  std::vector<Block> blocks_;
};

/// One call of a kernel on one backend, floats in `Real`.
template <class Real>
class Run {
 public:
  /// A test's values of type T in this run: floats become Real, integers stay.
  template <class T>
  using Stored = std::conditional_t<std::is_floating_point_v<T>, Real, T>;

  Run(Backend& backend, Random& random) : backend_(backend), arrays_(backend, random) {}

  FloatKernels<Real>& floating() { return backend_.floating(Real{}); }
  ArrayKernels<Real>& array() { return backend_.array(Real{}); }

  template <class T>
  const Stored<T>* in(const std::vector<T>& values) {
    return place("an input", {static_cast<int64_t>(values.size())}, values, false);
  }

  /// Numbers that are double whatever Real is.
  const double* in_double(const std::vector<double>& values) {
    return arrays_.place<double>("an input", {static_cast<int64_t>(values.size())}, values.data(), false);
  }

  template <class T>
  Stored<T>* inout(const std::string& name, const Dims& dims, const std::vector<T>& values) {
    return place(name, dims, values, true);
  }

  template <class T = Real>
  T* out(const std::string& name, const Dims& dims) {
    return arrays_.place<T>(name, dims, nullptr, true);
  }

  /// Numbers that are double, with the error that Real has.
  double* out_double(const std::string& name, const Dims& dims) {
    return arrays_.place<double>(name, dims, nullptr, true, error_of<Real>);
  }

  std::vector<Output> finish() { return arrays_.finish(); }

 private:
  template <class T>
  Stored<T>* place(const std::string& name, const Dims& dims, const std::vector<T>& values, bool is_output) {
    if (numel(dims) != static_cast<int64_t>(values.size())) throw std::logic_error(name + ": not as many as its dims");
    const std::vector<Stored<T>> stored(values.begin(), values.end());
    return arrays_.place<Stored<T>>(name, dims, stored.data(), is_output);
  }

  Backend& backend_;
  Arrays arrays_;
};

template <class Truth, class T, class F>
void check_against(Random& random, const Tolerance* tolerance, F call, const std::vector<Subject>& backends) {
  Run<Truth> truth(reference_backend(), random);
  call(truth);
  const std::vector<Output> want = truth.finish();
  for (const Subject& subject : backends) {
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
  check_against<T, T>(random, nullptr, call, subjects());
}

/// The outputs are as close to the reference's as `tolerance` says; integers are equal.
template <class T, class F>
void check_close(Random& random, const Tolerance& tolerance, F call,
                 const std::vector<Subject>& backends = subjects()) {
  check_against<std::conditional_t<std::is_floating_point_v<T>, double, T>, T>(random, &tolerance, call, backends);
}

}  // namespace tern::test
