#include "check.hpp"
#include "shapes.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tern::test {
namespace {

/// The number that such bits are: a sign, an exponent of so many bits, and a fraction.
double value_of(std::uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits, bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = bits >> fraction_bits & ((1 << exponent_bits) - 1);
  const double fraction = std::ldexp(bits & ((1 << fraction_bits) - 1), -fraction_bits), sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias));
}

template <class T>
constexpr int exponent_bits = std::is_same_v<T, float16> ? 5 : 8;

/// The bits of what x rounds to, found among all there are: the nearest, of two the one whose bits are even.
template <class T>
std::uint16_t rounded(float x) {
  static const std::vector<double> sizes = [] {
    std::vector<double> all;
    for (unsigned bits = 0; bits < 0x8000; ++bits) {
      const double v = value_of(static_cast<std::uint16_t>(bits), exponent_bits<T>);
      if (std::isnan(v)) break;
      all.push_back(v);
    }
    all.back() = 2 * all[all.size() - 2] - all[all.size() - 3];  // infinity, as the number that would come next
    return all;
  }();
  const double size = std::abs(static_cast<double>(x));
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const auto above = std::lower_bound(sizes.begin(), sizes.end(), size);
  if (above == sizes.end()) return static_cast<std::uint16_t>(sign | (sizes.size() - 1));
  auto at = static_cast<std::uint16_t>(above - sizes.begin());
  if (at > 0) {
    const double up = sizes[at] - size, down = size - sizes[at - 1u];
    if (down < up || (down == up && at % 2 == 1)) --at;
  }
  return static_cast<std::uint16_t>(sign | at);
}

/// n elements on a backend, one element behind what is aligned if `odd`.
template <class T>
class Block {
 public:
  Block(Backend& backend, std::size_t n, bool odd = false)
      : backend_(backend), n_(n), memory_(backend.allocate((n + 1) * sizeof(T))) {
    data_ = static_cast<T*>(memory_) + (odd ? 1 : 0);
  }
  ~Block() { backend_.release(memory_, (n_ + 1) * sizeof(T)); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  T* data() { return data_; }
  void set(const void* from) { backend_.upload(n_ * sizeof(T), from, data_); }
  template <class Bits>
  std::vector<Bits> get() const {
    static_assert(sizeof(Bits) == sizeof(T));
    std::vector<Bits> values(n_);
    backend_.download(n_ * sizeof(T), data_, values.data());
    return values;
  }

 private:
  Backend& backend_;
  std::size_t n_;
  void* memory_;
  T* data_;
};

}  // namespace

TEMPLATE_TEST_CASE("every number of 16 bits is the float of its value", "[half]", float16, bfloat16) {
  using T = TestType;
  std::vector<std::uint16_t> all(65536);
  for (unsigned i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const Subject& subject : subjects()) {
    INFO("backend " << subject.name);
    Block<T> x(*subject.backend, all.size());
    Block<float> y(*subject.backend, all.size());
    x.set(all.data());
    subject.backend->half(T()).cast(static_cast<int64_t>(all.size()), x.data(), y.data());
    const std::vector<float> got = y.template get<float>();
    int wrong = 0;
    for (unsigned i = 0; i < all.size(); ++i) {
      const double want = value_of(all[i], exponent_bits<T>);
      wrong += std::isnan(want) ? !std::isnan(got[i]) : got[i] != want || std::signbit(got[i]) != (i >> 15 != 0);
    }
    CHECK(wrong == 0);
  }
}

TEMPLATE_TEST_CASE("a float becomes the nearest of 16 bits, of two the even one", "[half]", float16, bfloat16) {
  using T = TestType;
  for_each_case(6, [](Random& random) {
    std::vector<float> x;
    // Any bits; all numbers that there are, and what lies half-way to the next, and on either side of that.
    for (int i = 0; i < 20000; ++i) {
      x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random.integer(0, 0xffffffff))));
    }
    for (int i = 0; i < 20000; ++i) {
      const auto bits = static_cast<std::uint16_t>(random.integer(0, 0xfffe));
      const double a = value_of(bits, exponent_bits<T>), b = value_of(bits + 1, exponent_bits<T>);
      const auto middle = static_cast<float>((a + b) / 2);
      for (const float v :
           {static_cast<float>(a), middle, std::nextafter(middle, INFINITY), std::nextafter(middle, -INFINITY)}) {
        x.push_back(v);
      }
    }
    for (const float v : {0.0f, -0.0f, 65519.99f, 65520.0f, 65536.0f, 0x1p-24f, 0x1p-25f, 0x1.8p-25f, 0x1p-149f,
                          3.4e38f, 0x1.ffp127f, INFINITY, -INFINITY, NAN}) {
      x.push_back(v);
    }
    x.resize(x.size() - static_cast<std::size_t>(random.integer(0, 9)));
    const bool odd = random.chance(0.5);
    for (const Subject& subject : subjects()) {
      INFO("backend " << subject.name);
      Block<float> from(*subject.backend, x.size(), odd);
      Block<T> to(*subject.backend, x.size(), odd);
      from.set(x.data());
      subject.backend->half(T()).cast(static_cast<int64_t>(x.size()), from.data(), to.data());
      const auto got = to.template get<std::uint16_t>();
      int wrong = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const bool same =
            std::isnan(x[i]) ? std::isnan(value_of(got[i], exponent_bits<T>)) : got[i] == rounded<T>(x[i]);
        if (!same && wrong++ == 0) UNSCOPED_INFO(x[i] << " became " << value_of(got[i], exponent_bits<T>));
      }
      CHECK(wrong == 0);
    }
  });
}

TEMPLATE_TEST_CASE("numbers of 16 bits are filled in and copied", "[half]", float16, bfloat16) {
  using T = TestType;
  for_each_case(30, [](Random& random) {
    const Box box = random_box(random, false);
    const auto bits = [&](int64_t n) {
      std::vector<std::uint16_t> values(static_cast<std::size_t>(n));
      for (std::uint16_t& v : values) v = static_cast<std::uint16_t>(random.integer(0, 0xffff));
      return values;
    };
    const std::vector<std::uint16_t> a = bits(box.n_a), b = bits(box.n_b);
    std::vector<std::uint16_t> want = b;
    for (int64_t i = 0; i < box.s.numel(); ++i) {
      int64_t from = 0, to = 0;
      for (int64_t d = box.s.ndim - 1, rest = i; d >= 0; rest /= box.s.size[d], --d) {
        from += rest % box.s.size[d] * box.s.a[d];
        to += rest % box.s.size[d] * box.s.b[d];
      }
      want[static_cast<std::size_t>(to)] = a[static_cast<std::size_t>(from)];
    }
    const auto value = static_cast<float>(random.real(-100, 100));
    const int64_t n = random.length();
    for (const Subject& subject : subjects()) {
      INFO("backend " << subject.name);
      Block<T> from(*subject.backend, a.size()), to(*subject.backend, b.size()),
          filled(*subject.backend, static_cast<std::size_t>(n));
      from.set(a.data());
      to.set(b.data());
      subject.backend->half(T()).copy(box.s, from.data(), to.data());
      CHECK(to.template get<std::uint16_t>() == want);
      subject.backend->half(T()).fill(n, T(value), filled.data());
      CHECK(filled.template get<std::uint16_t>() ==
            std::vector<std::uint16_t>(static_cast<std::size_t>(n), rounded<T>(value)));
    }
  });
}

}  // namespace tern::test
