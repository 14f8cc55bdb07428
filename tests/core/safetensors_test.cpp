#include "folder.hpp"
#include "support.hpp"

#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/kernels/cpu/memory.hpp>

#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <malloc.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace tern::test {

namespace {

/// A file with this header, of this length unless another is claimed.
std::string file_of(const std::string& header, const std::string& elements) {
  const std::uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + elements;
}

void check_same(const TensorFile& got, const TensorFile& want) {
  CHECK(got.metadata == want.metadata);
  REQUIRE(got.tensors.size() == want.tensors.size());
  for (const auto& [name, x] : want.tensors) {
    CAPTURE(name);
    REQUIRE(got.tensors.contains(name));
    check_equal(got.tensors.at(name), x);
    CHECK(got.tensors.at(name).device() == Device::cpu);
  }
}

}  // namespace

TEST_CASE("what is saved is loaded", "[safetensors]") {
  const Folder folder;
  for_each_case(30, [&](Random& random) {
    TensorFile file;
    for (std::int64_t n = random.integer(0, 6); n > 0; --n) {
      const std::string name =
          random.pick({"conv1.weight", "bn.running_mean", "x", "", "größe", "with \"quotes\"\n", "0"});
      file.tensors[name] = random_view(random, random_shape(random, 0, 4, 5, 0.05),
                                       random.pick({DType::uint8, DType::int64, DType::float32, DType::float64}),
                                       devices()[random.integer(0, static_cast<std::int64_t>(devices().size()) - 1)]);
    }
    if (random.chance(0.5)) file.metadata = {{"format", "pt"}, {"note", "ü\n\"{}\""}, {"", ""}};
    save_safetensors(folder.path / "file", file);
    check_same(load_safetensors(folder.path / "file"), file);
    CHECK(folder.files() == std::vector<std::string>{"file"});
  });
}

TEST_CASE("numbers keep their bits", "[safetensors]") {
  const Folder folder;
  std::vector<double> values{NAN, INFINITY, -INFINITY, -0.0, 5e-324, 1e308};
  save_safetensors(folder.path / "file", {{{"x", tensor(values)}}, {}});
  const std::vector<double> got = load_safetensors(folder.path / "file").tensors.at("x").to_vector<double>();
  CHECK(std::memcmp(got.data(), values.data(), sizeof(double) * values.size()) == 0);
}

TEST_CASE("the bytes of a file are those of the format", "[safetensors]") {
  const Folder folder;
  save_safetensors(folder.path / "file",
                   {{{"b", tensor({1.0f, -2.0f}).view({1, 2})}, {"a", tensor<std::uint8_t>({7})}}, {{"k", "v"}}});
  const std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  CHECK(read(folder.path / "file") == file_of(padded, std::string("\0\0\x80\x3f\0\0\0\xc0\x07", 9)));

  // As the format's own writer has them in its tests.
  save_safetensors(folder.path / "file", {});
  CHECK(read(folder.path / "file") == file_of("{}      ", ""));
  save_safetensors(folder.path / "file", {{}, {{"framework", "pt"}}});
  CHECK(read(folder.path / "file") == file_of(R"({"__metadata__":{"framework":"pt"}}     )", ""));
  const Tensor x = arange(6, {.dtype = DType::float32});
  const std::string floats("\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40", 24);
  save_safetensors(folder.path / "file", {{{"attn.0", x.view({1, 2, 3})}}, {}});
  CHECK(read(folder.path / "file") ==
        file_of(R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})", floats));
  save_safetensors(folder.path / "file", {{{"attn0", x.view({1, 1, 2, 3})}}, {}});
  CHECK(read(folder.path / "file") ==
        file_of(R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )", floats));
}

TEST_CASE("tensors are written widest dtype first, by name among these, and so each is aligned", "[safetensors]") {
  const Folder folder;
  const Tensor byte = tensor<std::uint8_t>({1, 2, 3}), f32 = tensor({1.0f}), f64 = tensor({1.0, 2.0}),
               i64 = tensor<std::int64_t>({4});
  save_safetensors(folder.path / "file",
                   {{{"a", byte}, {"b", f32}, {"c", f64}, {"d", i64}, {"e", f64}, {"f", f32}, {"g", i64}}, {}});
  const std::string bytes = read(folder.path / "file");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  CHECK(length % 8 == 0);
  std::string header = bytes.substr(8, length);
  header.erase(header.find_last_not_of(' ') + 1);
  CHECK(header == R"({"d":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                  R"("g":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},)"
                  R"("c":{"dtype":"F64","shape":[2],"data_offsets":[16,32]},)"
                  R"("e":{"dtype":"F64","shape":[2],"data_offsets":[32,48]},)"
                  R"("b":{"dtype":"F32","shape":[1],"data_offsets":[48,52]},)"
                  R"("f":{"dtype":"F32","shape":[1],"data_offsets":[52,56]},)"
                  R"("a":{"dtype":"U8","shape":[3],"data_offsets":[56,59]}})");
}

TEST_CASE("files as tern wrote them before, by name and with the header's fields sorted, are loaded", "[safetensors]") {
  const Folder folder;
  write(folder.path / "file",
        file_of(R"({"__metadata__":{"k":"v"},"a":{"data_offsets":[0,1],"dtype":"U8","shape":[1]},)"
                R"("b":{"data_offsets":[1,9],"dtype":"F32","shape":[1,2]},)"
                R"("c":{"data_offsets":[9,17],"dtype":"F64","shape":[]}}     )",
                std::string("\x07\0\0\x80\x3f\0\0\0\xc0\0\0\0\0\0\0\x04\x40", 17)));
  check_same(load_safetensors(folder.path / "file"),
             {{{"a", tensor<std::uint8_t>({7})}, {"b", tensor({1.0f, -2.0f}).view({1, 2})}, {"c", tensor({2.5})[0]}},
              {{"k", "v"}}});
}

namespace {

/// The number x of a file that holds these bytes as that dtype, of n elements.
Tensor loaded(const Folder& folder, const std::string& dtype, std::int64_t n, const std::string& bytes) {
  write(folder.path / "file",
        file_of(text(R"({"x":{"dtype":")", dtype, R"(","shape":[)", n, R"(],"data_offsets":[0,)", bytes.size(), "]}}"),
                bytes));
  return load_safetensors(folder.path / "file").tensors.at("x");
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

/// The number that IEEE 754's binary16 or, of 8 and 7 bits, bfloat16 means: sign, exponent and fraction by the book.
double value_of(unsigned bits, int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
  const double fraction = std::ldexp(bits & ((1U << fraction_bits) - 1), -fraction_bits), sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias));
}

}  // namespace

TEST_CASE("every float16 and bfloat16 is read as its value, and written as it was", "[safetensors]") {
  const Folder folder;
  std::vector<std::uint16_t> all(65536);
  for (unsigned i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
  for (const auto& [name, exponent_bits] : std::vector<std::pair<std::string, int>>{{"F16", 5}, {"BF16", 8}}) {
    const Tensor x = loaded(folder, name, 65536, bytes_of(all));
    REQUIRE(x.dtype() == (exponent_bits == 5 ? DType::float16 : DType::bfloat16));
    const std::string before = read(folder.path / "file");
    save_safetensors(folder.path / "again", {{{"x", x}}, {}});
    const std::string after = read(folder.path / "again");
    CHECK(after.substr(after.size() - 131072) == before.substr(before.size() - 131072));
    CHECK(after.find("\"" + name + "\"") != std::string::npos);
    const std::vector<double> got = x.to_vector<double>();
    int wrong = 0;
    for (unsigned i = 0; i < all.size(); ++i) {
      const double want = value_of(i, exponent_bits, 15 - exponent_bits);
      wrong += !same(got[i], want) || std::signbit(got[i]) != (i >> 15 != 0);
    }
    CHECK(wrong == 0);
  }
  // A few by hand.
  CHECK(loaded(folder, "F16", 6, bytes_of<std::uint16_t>({0x3c00, 0xc000, 0x7bff, 0x0001, 0x3555, 0x7c00}))
            .to_vector<double>() == std::vector<double>{1, -2, 65504, 0x1p-24, 0.333251953125, INFINITY});
  CHECK(loaded(folder, "BF16", 4, bytes_of<std::uint16_t>({0x3f80, 0xc000, 0x4049, 0x0001})).to_vector<double>() ==
        std::vector<double>{1, -2, 3.140625, 0x1p-133});
}

TEST_CASE("the other integers become int64, and bool uint8", "[safetensors]") {
  const Folder folder;
  using Int = std::int64_t;
  const auto check_int64 = [&](const std::string& dtype, const std::string& bytes, const std::vector<Int>& want) {
    INFO(dtype);
    const Tensor x = loaded(folder, dtype, static_cast<Int>(want.size()), bytes);
    CHECK(x.dtype() == DType::int64);
    CHECK(x.to_vector<Int>() == want);
  };
  check_int64("I8", bytes_of<std::int8_t>({0, 1, -1, 127, -128}), {0, 1, -1, 127, -128});
  check_int64("I16", bytes_of<std::int16_t>({0, -1, 32767, -32768}), {0, -1, 32767, -32768});
  check_int64("U16", bytes_of<std::uint16_t>({0, 1, 65535}), {0, 1, 65535});
  check_int64("I32", bytes_of<std::int32_t>({0, -1, INT32_MAX, INT32_MIN}), {0, -1, INT32_MAX, INT32_MIN});
  check_int64("U32", bytes_of<std::uint32_t>({0, UINT32_MAX}), {0, Int{UINT32_MAX}});
  check_int64("U64", bytes_of<std::uint64_t>({0, (1ULL << 53) + 1, INT64_MAX}), {0, (Int{1} << 53) + 1, INT64_MAX});
  for (const char* dtype :
       {"F64", "F32", "BF16", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}) {
    CHECK(loaded(folder, dtype, 0, "").shape() == Shape{0});
  }
  const Tensor flags = loaded(folder, "BOOL", 5, std::string("\0\x01\x02\xff\0", 5));
  CHECK(flags.dtype() == DType::uint8);
  CHECK(flags.to_vector<double>() == std::vector<double>{0, 1, 1, 1, 0});

  // More than is converted at a time.
  std::vector<std::int16_t> many(100'003);
  std::vector<Int> want;
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = static_cast<std::int16_t>(i * 7919);
  want.assign(many.begin(), many.end());
  check_int64("I16", bytes_of(many), want);

  std::vector<std::uint64_t> large(20'000);
  large[19'999] = 1ULL << 63;
  CHECK(message_of([&] { loaded(folder, "U64", 20'000, bytes_of(large)); }) ==
        text("load ", (folder.path / "file").string(), ": \"x\": a number of U64 beyond what int64 holds"));
}

namespace {

/// By how many bytes the most memory of this process grows, in a process of its own, while f() runs.
template <class F>
std::int64_t peak_of(F f) {
  int result[2];
  REQUIRE(pipe(result) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto peak = [] {
      rusage usage{};
      getrusage(RUSAGE_SELF, &usage);
      return usage.ru_maxrss;
    };
    const long before = peak();  // what is there is in it
    f();
    const std::int64_t grown = (peak() - before) * 1024L;
    _exit(::write(result[1], &grown, sizeof grown) == sizeof grown ? 0 : 1);
  }
  close(result[1]);
  std::int64_t grown = -1;
  REQUIRE(::read(result[0], &grown, sizeof grown) == sizeof grown);
  close(result[0]);
  REQUIRE(waitpid(child, nullptr, 0) == child);
  return grown;
}

}  // namespace

#ifndef __SANITIZE_ADDRESS__  // which has memory of its own

TEST_CASE("a save takes no memory beside the tensors, a load that of the tensors", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  constexpr std::int64_t size = 48 << 20, spare = 4 << 20;
  TensorFile file;
  for (int i = 0; i < 6; ++i) file.tensors[text("x", i)] = full({size / 6 / 4}, i);
  const std::int64_t save = peak_of([&] { save_safetensors(path, file); });
  save_safetensors(path, file);
  file = {};
  kernels::cpu_memory().trim();
  malloc_trim(0);  // what other tests have given back is not to be had without asking the system
  const std::int64_t load = peak_of([&] { load_safetensors(path); });
  write(path, file_of(text(R"({"x":{"dtype":"F16","shape":[)", size / 4, R"(],"data_offsets":[0,)", size / 2, "]}}"),
                      std::string(size / 2, '\x01')));
  const std::int64_t half = peak_of([&] { load_safetensors(path); });
  std::cout << "of " << (size >> 20) << " MiB: a save takes " << save / 1024 << " KiB more, a load " << load / 1024
            << " KiB, a load of half of it in float16 " << half / 1024 << " KiB" << std::endl;
  CHECK(save < spare);
  CHECK(load > size / 2);
  CHECK(load < size + spare);
  CHECK(half < size / 2 + spare);
}

TEST_CASE("a hostile header is an error that costs little memory", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const auto fill = [&](std::size_t size, const std::string& begin, const std::string& repeated,
                        const std::string& end) {
    std::string header = begin;
    while (header.size() + repeated.size() + end.size() <= size) header += repeated;
    write(path, file_of(header + end, ""));
  };
  const auto cost = [&] {
    return peak_of([&] {
      if (!message_of([&] { load_safetensors(path); }).starts_with("load " + path.string() + ": ")) _exit(1);
    });
  };
  constexpr std::int64_t little = 4 << 20;
  const std::string entry = R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0])";
  struct Header {
    std::string begin, repeated, end;
    std::int64_t cost = little;
  };
  constexpr std::size_t size = 10'000'000;
  for (const auto& [begin, repeated, end, bound] : std::vector<Header>{
           {entry + R"(,"more":)", "[", ""},
           {entry + R"(,"more":)", "{\"a\":", ""},
           {entry + R"(,"more":[)", "7,", "x"},
           {entry + R"(,"more":[)", R"({"a":[]},)", "x"},
           {R"({"x":{"dtype":"U8","shape":[)", "1,", "1]}}"},
           {R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[)", "0,", "0]}}"},
           {R"({"x":)", "[", ""},
           {R"({"x":)", R"({"x":)", ""},
           {"{}", " ", "\n"},
           {"{}", std::string(1, '\0'), ""},
           {" ", " ", "{}"},
           {entry + R"(,"more":[)", "[],", "x"},
           {entry + R"(,"more":)", "1", "x"},
           {"{", " ", "x"},
           // The parser keeps a name, a few times.
           {"{\"", "x", "\":3}", 8 * size},
           {entry + R"(,")", "\\\"", "\":3}x", 8 * size}}) {
    fill(size, begin, repeated, end);
    INFO(begin << repeated << "...");
    CHECK(cost() < bound);
  }
  fill(99'000'000, entry + R"(,"more":)", "[", "");
  CHECK(cost() < little);
  fill(99'000'000, entry + R"(,"more":[)", "[],", "x");
  CHECK(cost() < little);
  const std::string begins = "load " + path.string() + ": ";
  CHECK(message_of([&] { load_safetensors(path); }) == begins + "a header with more than 65536 bytes without a string");
  fill(99'000'000, "{\"", "x", "\":3}");
  CHECK(cost() < 128 << 20);
  CHECK(message_of([&] { load_safetensors(path); }) ==
        begins + "a header with more than 16777216 bytes in one string");

  // 1.5 GB of zeros, that the disk does not hold: they are judged by the first of them.
  std::ofstream(path, std::ios::trunc).close();
  fs::resize_file(path, 1'500'000'000);
  CHECK(message_of([&] { load_safetensors(path); }) ==
        "load " + path.string() + ": the header does not begin with '{', expected a safetensors file");
  CHECK(cost() < little);
}

#endif

TEST_CASE("a name or metadata is saved and loaded up to 16 MiB, and more is refused by both", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const std::string most(16 << 20, 'x'), more = most + 'x';
  save_safetensors(path, {{}, {{"k", most}}});
  CHECK(load_safetensors(path).metadata == std::map<std::string, std::string>{{"k", most}});
  const std::string escaped(most.size() / 2, '"');  // twice as long in JSON
  save_safetensors(path, {{}, {{escaped, "v"}}});
  CHECK(load_safetensors(path).metadata == std::map<std::string, std::string>{{escaped, "v"}});
  for (const TensorFile& file : {TensorFile{{}, {{"k", more}}}, TensorFile{{}, {{escaped + '"', "v"}}},
                                 TensorFile{{{more, zeros({1})}}, {}}}) {
    const std::string message = message_of([&] { save_safetensors(path, file); });
    CHECK(message.starts_with("save " + path.string() + ": a name or metadata of 167772"));
    CHECK(message.ends_with(" bytes, expected at most 16777216"));
  }
  CHECK(load_safetensors(path).metadata.size() == 1);
}

TEST_CASE("the gradient graph stays out of the file", "[safetensors]") {
  const Folder folder;
  const Tensor x = ones({2}, {.requires_grad = true});
  save_safetensors(folder.path / "file", {{{"x", x}, {"y", x * 2.0}}, {}});
  const TensorFile file = load_safetensors(folder.path / "file");
  CHECK_FALSE(file.tensors.at("x").requires_grad());
  CHECK(file.tensors.at("y").to_vector<double>() == std::vector<double>{2, 2});
}

TEST_CASE("damaged files are errors", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  save_safetensors(path, {{{"a", tensor({1.0f, 2.0f})}, {"b", tensor<std::uint8_t>({3})[0]}}, {}});
  const std::string good = read(path);
  std::uint64_t header = 0;
  std::memcpy(&header, good.data(), sizeof header);

  SECTION("cut short anywhere") {
    for (std::size_t n = 0; n < good.size(); ++n) {
      write(path, good.substr(0, n));
      const std::string message = message_of([&] { load_safetensors(path); });
      CAPTURE(n);
      CHECK(message.starts_with("load " + path.string() + ": "));
      CHECK(message.find('\n') == std::string::npos);
    }
  }
  SECTION("with more behind") {
    write(path, good + '\0');
    CHECK(message_of([&] { load_safetensors(path); }) ==
          "load " + path.string() + ": 10 bytes of elements, expected the 9 that the header describes");
  }
  SECTION("any byte of the header another one") {
    int loaded = 0;
    for (std::size_t at = 0; at < sizeof header + header; ++at) {
      for (int value = 0; value < 256; ++value) {
        if (static_cast<char>(value) == good[at]) continue;
        std::string bad = good;
        bad[at] = static_cast<char>(value);
        write(path, bad);
        try {
          const TensorFile got = load_safetensors(path);
          ++loaded;
          std::int64_t elements = 0;
          for (const auto& [name, x] : got.tensors) elements += x.numel();
          CHECK(elements == 3);
        } catch (const Error& e) {
          if (std::string(e.what()).find('\n') != std::string::npos) FAIL_CHECK(e.what());
        }
      }
    }
    CHECK(loaded > 0);  // under other names, or of another dtype as wide
  }
  SECTION("a header's length beyond the file, or beyond counting") {
    for (const std::uint64_t length :
         {header + 10, std::uint64_t{100'000'001}, ~std::uint64_t{0}, std::uint64_t{1} << 63}) {
      std::string bad = good;
      std::memcpy(bad.data(), &length, sizeof length);
      write(path, bad);
      CHECK(message_of([&] { load_safetensors(path); }) == text("load ", path.string(), ": a header of ", length,
                                                                " bytes in a file of ", good.size(),
                                                                ", expected a whole safetensors file"));
    }
  }
}

TEST_CASE("headers that are JSON but not safetensors", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const auto error = [&](const std::string& header, std::size_t bytes = 8) {
    write(path, file_of(header, std::string(bytes, '\x01')));
    const std::string message = message_of([&] { load_safetensors(path); }), prefix = "load " + path.string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  };
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  // The entry by itself is sound.
  write(path, file_of(entry("\"F32\"", "[2]", "[0,8]"), std::string(8, '\0')));
  CHECK(load_safetensors(path).tensors.at("x").to_vector<double>() == std::vector<double>{0, 0});

  const std::string no_json = "the header is not a JSON object, expected a safetensors file",
                    no_begin = "the header does not begin with '{', expected a safetensors file";
  for (const char* header : {"", "[]", "3", "null", " {}", "\n{}", "\xff", "\xef\xbb\xbf{}"}) {
    CHECK(error(header) == no_begin);
  }
  for (const char* header : {"{", "{\xff}", "{]", "{\"\xff\":{}}", "{\"x\"}", "{,}", "{//\n}"})
    CHECK(error(header) == no_json);
  CHECK(error(std::string("{\0}", 3)) == no_json);
  for (const auto& [behind, byte] : std::vector<std::pair<std::string, std::string>>{{"}", "0x7d"},
                                                                                     {" {}", "0x7b"},
                                                                                     {"  \n", "0x0a"},
                                                                                     {"\t", "0x09"},
                                                                                     {std::string(1, '\0'), "0x00"},
                                                                                     {std::string("  \0 ", 4), "0x00"},
                                                                                     {"\xff", "0xff"}}) {
    CHECK(error("{}" + behind) == "byte " + byte + " after the header's JSON object, expected spaces");
  }
  CHECK(error("{\n\t\r }     ", 0) == "(nothing was thrown)");
  CHECK(error("{}") == "8 bytes of elements, expected the 0 that the header describes");
  for (const char* header : {R"({"x":3})", R"({"x":{}})", R"({"x":{"dtype":"F32","shape":[2]}})", R"({"x":[]})"}) {
    CHECK(error(header) == "\"x\": expected dtype, shape and two data_offsets");
  }
  for (const auto& [shape, offsets] : std::vector<std::pair<std::string, std::string>>{
           {"2", "[0,8]"}, {"{}", "[0,8]"}, {"[2]", "[0]"}, {"[2]", "[0,4,8]"}, {"[2]", "8"}}) {
    CHECK(error(entry("\"F32\"", shape, offsets)) == "\"x\": expected dtype, shape and two data_offsets");
  }
  CHECK(error(entry("3", "[2]", "[0,8]")) == "\"x\": expected dtype, shape and two data_offsets");
  const std::string dtypes = ", expected one of U64 I64 F64 F32 U32 I32 BF16 F16 U16 I16 I8 U8 BOOL";
  for (const char* dtype : {"F8_E4M3", "F8_E5M2", "F4", "C64", "f32", "F32 ", "", "a\\nb"}) {
    CHECK(error(entry(text('"', dtype, '"'), "[4]", "[0,8]")) == text("\"x\": dtype \"", dtype, '"', dtypes));
  }
  // A name that would move the cursor, or fill the screen.
  CHECK(error(R"({"\u001b[2J\u009b":3})") == R"("\u001b[2J\u009b": expected dtype, shape and two data_offsets)");
  CHECK(error("{\"" + std::string(10'000, 'x') + "\":3}") ==
        "\"" + std::string(100, 'x') + "\"...: expected dtype, shape and two data_offsets");
  for (const char* shape : {"[-2]", "[2.0]", "[\"2\"]", "[null]", "[[2]]", "[1e0]", "[99999999999999999999]"}) {
    CHECK(error(entry("\"F32\"", shape, "[0,8]")) == "\"x\": a size that is no whole number");
  }
  CHECK(error(entry("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]")) == "\"x\": more dimensions than 8");
  const std::string too_large = "\"x\": a shape too large for any file";
  CHECK(error(entry("\"F32\"", "[18446744073709551615]", "[0,8]")) == too_large);
  CHECK(error(entry("\"F32\"", "[4611686018427387904,2]", "[0,8]")) == too_large);
  CHECK(error(entry("\"F32\"", "[4294967296,4294967296]", "[0,0]"), 0) == too_large);
  CHECK(error(entry("\"F32\"", "[0,4611686018427387904,4611686018427387904]", "[0,0]"), 0) == too_large);
  CHECK(error(entry("\"U8\"", "[0,18446744073709551615]", "[0,0]"), 0) == too_large);
  for (const char* offsets : {"[-8,0]", "[0.0,8.0]", "[\"0\",\"8\"]", "[null,8]", "[[0],8]"}) {
    CHECK(error(entry("\"F32\"", "[2]", offsets)) == "\"x\": a data_offset that is no whole number");
  }
  CHECK(error(entry("\"F32\"", "[2]", "[8,0]")) ==
        "\"x\": data_offsets 8 to 0 of 8 bytes, expected 8 bytes for shape [2] of F32");
  for (const char* offsets : {"[4,12]", "[0,4]", "[0,9]", "[18446744073709551612,4]", "[0,18446744073709551615]"}) {
    CHECK(error(entry("\"F32\"", "[2]", offsets)).ends_with("of 8 bytes, expected 8 bytes for shape [2] of F32"));
  }
  CHECK(error(R"({"__metadata__":3})", 0) == "\"__metadata__\": expected a JSON object of strings");
  CHECK(error(R"({"__metadata__":{"k":3}})", 0) == "\"__metadata__\": expected a JSON object of strings");

  // Deeply nested, where a recursive reader runs out of stack.
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  CHECK(error(deep) == no_begin);
  CHECK(error(entry("\"F32\"", "[" + deep + "]", "[0,8]")) == "\"x\": a size that is no whole number");
  CHECK(error(entry("\"F32\"", "[2]", "[0," + deep + "]")) == "\"x\": a data_offset that is no whole number");
  CHECK(error(entry(deep, "[2]", "[0,8]")) == "\"x\": expected dtype, shape and two data_offsets");
  CHECK(error(R"({"__metadata__":{"k":)" + deep + "}}", 0) == "\"__metadata__\": expected a JSON object of strings");

  // Fields that the format does not name are let pass, to a depth.
  const auto with_more = [&](const std::string& more) {
    return R"({"x":{"more":)" + more + R"(,"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  };
  for (const std::string more : {"3", "-3", "0.5", "null", "true", "\"F16\"", "{}", "[]", "[1,{\"dtype\":[2]},[[]]]",
                                 R"({"shape":[9],"shape":{}})"}) {
    INFO(more);
    CHECK(error(with_more(more)) == "(nothing was thrown)");
  }
  CHECK(error(with_more(std::string(100, '[') + std::string(100, ']'))) == "(nothing was thrown)");
  const std::string too_deep = "\"x\": \"more\" is nested deeper than 100 levels";
  CHECK(error(with_more(std::string(101, '[') + std::string(101, ']'))) == too_deep);
  CHECK(error(with_more(deep)) == too_deep);
}

TEST_CASE("a name that is there twice is an error", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const auto error = [&](const std::string& header, std::size_t bytes) {
    write(path, file_of(header, std::string(bytes, '\x01')));
    const std::string message = message_of([&] { load_safetensors(path); }), prefix = "load " + path.string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  };
  const std::string dtype = R"("dtype":"U8")", shape = R"("shape":[2])", offsets = R"("data_offsets":[0,2])",
                    fields = dtype + ',' + shape + ',' + offsets, x = "\"x\":{" + fields + '}';
  CHECK(error('{' + x + '}', 2) == "(nothing was thrown)");
  CHECK(error('{' + x + ',' + x + '}', 2) == "\"x\": it is there twice");
  CHECK(error("{" + x + R"(,"\u0078":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})", 4) ==
        "\"x\": it is there twice");
  CHECK(error("{\"y\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[2,2]}," + x + ',' + x + '}', 2) ==
        "\"x\": it is there twice");
  CHECK(error("{\"x\":{" + fields + ',' + dtype + "}}", 2) == "\"x\": \"dtype\" is there twice");
  CHECK(error("{\"x\":{" + shape + ',' + fields + "}}", 2) == "\"x\": \"shape\" is there twice");
  CHECK(error("{\"x\":{" + offsets + ',' + fields + "}}", 2) == "\"x\": \"data_offsets\" is there twice");
  CHECK(error("{\"x\":{\"more\":1," + fields + ",\"more\":1}}", 2) == "\"x\": \"more\" is there twice");
  CHECK(error(R"({"__metadata__":{"k":"1","j":"1","k":"1"},)" + x + '}', 2) ==
        "\"__metadata__\": \"k\" is there twice");
  CHECK(error(R"({"__metadata__":{},)" + x + R"(,"__metadata__":{}})", 2) == "\"__metadata__\": it is there twice");
  // One name at different places is another each time.
  CHECK(error(R"({"__metadata__":{"x":"","dtype":""},)" + x +
                  R"(,"dtype":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
              3) == "(nothing was thrown)");
}

TEST_CASE("tensors in a file lie one behind the other", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const auto load = [&](const std::vector<std::pair<int, int>>& parts, int bytes) {
    std::string header;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      header += text(i == 0 ? "{" : ",", "\"", i, "\":{\"dtype\":\"U8\",\"shape\":[", parts[i].second - parts[i].first,
                     "],\"data_offsets\":[", parts[i].first, ",", parts[i].second, "]}");
    }
    write(path, file_of(header + "}", std::string(static_cast<std::size_t>(bytes), '\x01')));
    const std::string message = message_of([&] { load_safetensors(path); }), prefix = "load " + path.string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  };
  CHECK(load({{0, 4}, {4, 8}}, 8) == "(nothing was thrown)");
  CHECK(load({{4, 8}, {0, 4}}, 8) == "(nothing was thrown)");
  CHECK(load({{0, 4}, {4, 4}, {4, 8}, {0, 0}, {8, 8}}, 8) == "(nothing was thrown)");
  // As many bytes as there are, but some twice and some never.
  CHECK(load({{0, 4}, {0, 4}}, 8).ends_with("\" begins at byte 0, expected 4, where the one before ends"));
  CHECK(load({{0, 4}, {2, 6}}, 8) == "\"1\" begins at byte 2, expected 4, where the one before ends");
  CHECK(load({{0, 2}, {4, 8}, {4, 6}}, 8) == "\"2\" begins at byte 4, expected 2, where the one before ends");
  CHECK(load({{0, 4}, {6, 8}}, 8) == "\"1\" begins at byte 6, expected 4, where the one before ends");
  CHECK(load({{1, 8}}, 8) == "\"0\" begins at byte 1, expected 0, where the one before ends");
  CHECK(load({{0, 4}, {6, 6}}, 8) == "\"1\" begins at byte 6, expected 4, where the one before ends");
  CHECK(load({{0, 7}}, 8) == "8 bytes of elements, expected the 7 that the header describes");
}

TEST_CASE("files that cannot be read", "[safetensors]") {
  const Folder folder;
  const auto error = [](const fs::path& path) {
    const std::string message = message_of([&] { load_safetensors(path); }), prefix = "load " + path.string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  };
  CHECK(error(folder.path / "none") == "no such file");
  CHECK(error(folder.path / "none" / "file") == "no such file");
  CHECK(error(fs::path()) == "no such file");
  CHECK(error(folder.path) == "no regular file");
  CHECK(error("/dev/null") == "no regular file");
  CHECK(error(folder.path / std::string(5000, 'x')) == "cannot be opened: File name too long");
  REQUIRE(mkfifo((folder.path / "pipe").c_str(), 0600) == 0);
  CHECK(error(folder.path / "pipe") == "no regular file");  // and nobody is waited for
  write(folder.path / "file", "{}");
  CHECK(error(folder.path / "file" / "x") == "cannot be opened: Not a directory");
  CHECK(error(folder.path / "file") == "2 bytes, expected a safetensors file");
}

TEST_CASE("a save that fails keeps the old file and leaves nothing beside it", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const TensorFile old{{{"x", arange(5)}}, {}}, fresh{{{"x", zeros({50'000})}}, {}};
  save_safetensors(path, old);
  const auto unchanged = [&] {
    CHECK(folder.files() == std::vector<std::string>{"file"});
    check_same(load_safetensors(path), old);
  };
  const auto error = [](const fs::path& at, const TensorFile& file) {
    return message_of([&] { save_safetensors(at, file); });
  };

  CHECK(error(folder.path / "none" / "file", fresh) ==
        "save " + (folder.path / "none" / "file").string() + ": cannot create a file there: No such file or directory");
  CHECK(error(path / "file", fresh) ==
        "save " + (path / "file").string() + ": cannot create a file there: Not a directory");
  unchanged();

  // The disk full halfway: the same error by a limit on the size of files.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 10'000;
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const std::string message = error(path, fresh);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);
  CHECK(message == "save " + path.string() + ": cannot be written: File too large");
  unchanged();

  // A folder in the way of the last step.
  fs::create_directory(folder.path / "taken");
  CHECK(error(folder.path / "taken", fresh) ==
        "save " + (folder.path / "taken").string() + ": it is there and no regular file");
  fs::remove(folder.path / "taken");
  unchanged();

  fs::permissions(folder.path, fs::perms::owner_read | fs::perms::owner_exec);
  if (geteuid() != 0) {  // root may write anywhere
    CHECK(error(path, fresh) == "save " + path.string() + ": cannot create a file there: Permission denied");
  }
  fs::permissions(folder.path, fs::perms::owner_all);
  unchanged();

  CHECK(error(path, {{{"\xff", zeros({1})}}, {}}) ==
        "save " + path.string() + ": a name or metadata that is not UTF-8");
  CHECK(error(path, {{}, {{"k", "\xff"}}}) == "save " + path.string() + ": a name or metadata that is not UTF-8");
  CHECK(error(path, {{{"__metadata__", zeros({1})}}, {}}) ==
        "save " + path.string() + ": a tensor named __metadata__, which the format keeps for itself");
  CHECK(error(path, {{{"x", arange(2)}, {"y\n", Tensor()}}, {}}) ==
        "save " + path.string() + ": \"y\\n\" is undefined, expected a tensor that holds an array");
  unchanged();

  save_safetensors(path, fresh);
  check_same(load_safetensors(path), fresh);
  CHECK(folder.files() == std::vector<std::string>{"file"});
}

TEST_CASE("a process that is killed while it saves leaves the old file or the new one", "[safetensors]") {
  const Folder folder;
  const fs::path path = folder.path / "file";
  const TensorFile a{{{"x", full({200'000}, 1)}}, {}}, b{{{"x", full({300'000}, 2)}}, {}};
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  save_safetensors(path, a);
  const std::int64_t once = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin).count();
  Random random(base_seed(), 0);
  for (int round = 0; round < 25; ++round) {
    int started[2];
    REQUIRE(pipe(started) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      for (close(started[1]);;) {
        save_safetensors(path, b);
        save_safetensors(path, a);
      }
    }
    close(started[1]);
    char none;
    REQUIRE(::read(started[0], &none, 1) == 0);  // the child has closed the other end
    close(started[0]);
    std::this_thread::sleep_for(std::chrono::microseconds(random.integer(0, 3 * once)));
    REQUIRE(kill(child, SIGKILL) == 0);
    REQUIRE(waitpid(child, nullptr, 0) == child);
    const TensorFile got = load_safetensors(path);
    check_same(got, got.tensors.at("x").numel() == 200'000 ? a : b);
    save_safetensors(path, a);
    CHECK(folder.files() == std::vector<std::string>{"file"});  // what the killed process was writing is gone
  }
}

}  // namespace tern::test
