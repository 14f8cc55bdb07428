#include "support.hpp"

#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>

#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace tern::test {

namespace {

namespace fs = std::filesystem;

/// A folder of its own, gone at the end.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "tern_test_XXXXXX").string();
    REQUIRE(mkdtemp(name.data()));
    path = name;
  }
  ~Folder() { fs::remove_all(path); }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path path;
};

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  fs::remove(path);  // some file systems flush a file that is written over
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

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
  const std::string header = R"({"__metadata__":{"k":"v"},"a":{"data_offsets":[0,1],"dtype":"U8","shape":[1]},)"
                             R"("b":{"data_offsets":[1,9],"dtype":"F32","shape":[1,2]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  CHECK(read(folder.path / "file") == file_of(padded, std::string("\x07\0\0\x80\x3f\0\0\0\xc0", 9)));
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
          std::size_t bytes = 0;
          for (const auto& [name, x] : got.tensors) bytes += x.storage()->bytes();
          CHECK(bytes == 9);
        } catch (const Error& e) {
          if (std::string(e.what()).find('\n') != std::string::npos) FAIL_CHECK(e.what());
        }
      }
    }
    CHECK(loaded > 0);  // under other names
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
    CHECK(message.starts_with(prefix));
    return message.substr(prefix.size());
  };
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return R"({"x":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
  };
  // The entry by itself is sound.
  write(path, file_of(entry("\"F32\"", "[2]", "[0,8]"), std::string(8, '\0')));
  CHECK(load_safetensors(path).tensors.at("x").to_vector<double>() == std::vector<double>{0, 0});

  const std::string no_json = "the header is not a JSON object, expected a safetensors file";
  for (const char* header : {"", "{", "[]", "3", "null", "{} {}", "\xff"}) CHECK(error(header) == no_json);
  CHECK(error("{}") == "8 bytes of elements, expected the 0 that the header describes");
  for (const char* header : {R"({"x":3})", R"({"x":{}})", R"({"x":{"dtype":"F32","shape":[2]}})", R"({"x":[]})"}) {
    CHECK(error(header) == "\"x\": expected dtype, shape and two data_offsets");
  }
  for (const auto& [shape, offsets] : std::vector<std::pair<std::string, std::string>>{
           {"2", "[0,8]"}, {"{}", "[0,8]"}, {"[2]", "[0]"}, {"[2]", "[0,4,8]"}, {"[2]", "8"}}) {
    CHECK(error(entry("\"F32\"", shape, offsets)) == "\"x\": expected dtype, shape and two data_offsets");
  }
  CHECK(error(entry("3", "[2]", "[0,8]")) == "\"x\": expected dtype, shape and two data_offsets");
  CHECK(error(entry("\"F16\"", "[4]", "[0,8]")) == "\"x\": dtype \"F16\", expected F32, F64, I64 or U8");
  CHECK(error(entry("\"a\\nb\"", "[4]", "[0,8]")) == "\"x\": dtype \"a\\nb\", expected F32, F64, I64 or U8");
  for (const char* shape : {"[-2]", "[2.0]", "[\"2\"]", "[null]", "[[2]]", "[1e0]", "[99999999999999999999]"}) {
    CHECK(error(entry("\"F32\"", shape, "[0,8]")) == "\"x\": a size that is no whole number");
  }
  CHECK(error(entry("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]")) == "\"x\": 9 dimensions, expected at most 8");
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
        "\"x\": data_offsets 8 to 0 of 8 bytes, expected 8 bytes for shape [2] of float32");
  for (const char* offsets : {"[4,12]", "[0,4]", "[0,9]", "[18446744073709551612,4]", "[0,18446744073709551615]"}) {
    CHECK(error(entry("\"F32\"", "[2]", offsets)).ends_with("of 8 bytes, expected 8 bytes for shape [2] of float32"));
  }
  CHECK(error(R"({"__metadata__":3})", 0) == "\"__metadata__\": expected a JSON object of strings");
  CHECK(error(R"({"__metadata__":{"k":3}})", 0) == "\"__metadata__\": expected a JSON object of strings");

  // Deeply nested, where a recursive reader runs out of stack.
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  CHECK(error(deep) == no_json);
  CHECK(error(entry("\"F32\"", "[" + deep + "]", "[0,8]")) == "\"x\": a size that is no whole number");
  CHECK(error(entry("\"F32\"", "[2]", "[0," + deep + "]")) == "\"x\": a data_offset that is no whole number");
  CHECK(error(entry(deep, "[2]", "[0,8]")) == "\"x\": expected dtype, shape and two data_offsets");
  CHECK(error(R"({"__metadata__":{"k":)" + deep + "}}", 0) == "\"__metadata__\": expected a JSON object of strings");
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
  CHECK(load({{0, 4}, {0, 4}}, 8) == "a tensor begins at byte 0, expected 4, where the one before ends");
  CHECK(load({{0, 4}, {2, 6}}, 8) == "a tensor begins at byte 2, expected 4, where the one before ends");
  CHECK(load({{0, 2}, {4, 8}, {4, 6}}, 8) == "a tensor begins at byte 4, expected 2, where the one before ends");
  CHECK(load({{0, 4}, {6, 8}}, 8) == "a tensor begins at byte 6, expected 4, where the one before ends");
  CHECK(load({{1, 8}}, 8) == "a tensor begins at byte 1, expected 0, where the one before ends");
  CHECK(load({{0, 4}, {6, 6}}, 8) == "a tensor begins at byte 6, expected 4, where the one before ends");
  CHECK(load({{0, 7}}, 8) == "8 bytes of elements, expected the 7 that the header describes");
}

TEST_CASE("files that cannot be read", "[safetensors]") {
  const Folder folder;
  const auto missing = [](const fs::path& path) {
    return "load " + path.string() + ": no such file, expected a safetensors file";
  };
  for (const fs::path& path : {folder.path / "none", folder.path / "none" / "file", folder.path,
                               folder.path / std::string(5000, 'x'), fs::path()}) {
    CHECK(message_of([&] { load_safetensors(path); }) == missing(path));
  }
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
  CHECK(message == "save " + path.string() + ": cannot write: File too large");
  unchanged();

  // A folder in the way of the last step.
  fs::create_directory(folder.path / "taken");
  CHECK(error(folder.path / "taken", fresh) ==
        "save " + (folder.path / "taken").string() + ": cannot rename: Is a directory");
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
  CHECK(error(path, {{{"x", Tensor()}}, {}}) == "tensor: undefined, expected one that holds an array");
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
    for (const std::string& name : folder.files()) {
      if (name != "file") fs::remove(folder.path / name);  // what a killed process was writing
    }
  }
}

}  // namespace tern::test
