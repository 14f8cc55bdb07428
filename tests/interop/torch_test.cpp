/// What torch.save wrote is read, tensor by tensor, and what it would never write is refused.

#include "archive.hpp"

#include <tern/core/ops.hpp>
#include <tern/interop/torch.hpp>
#include <tern/layers/resnet.hpp>

#include <core/folder.hpp>
#include <core/support.hpp>
#include <folders.hpp>
#include <python.hpp>
#include <random.hpp>

#include <catch2/catch.hpp>

#include <cstring>

using namespace tern;
using namespace tern::test;
using Catch::Contains;

namespace {

/// A folder with what PyTorch wrote.
const fs::path& written() {
  static const Folder folder;
  static const bool is_there = [] {
    const std::string command = python_with_torch() + " " + in_tree("tests/interop/write_pt.py") + " '" +
                                folder.path.string() + "' " + std::to_string(base_seed());
    return std::system(command.c_str()) == 0;
  }();
  REQUIRE(is_there);
  return folder.path;
}

std::string unicode(const std::string& s) { return 'X' + little(static_cast<std::uint32_t>(s.size())) + s; }
std::string whole(std::int64_t v) { return "\x8a\x08" + little(v); }
std::string tuple(const std::vector<std::int64_t>& values) {
  std::string all = "(";
  for (const std::int64_t v : values) all += whole(v);
  return all + "t";
}
const std::string proto = "\x80\x02";

/// _rebuild_tensor_v2 of a storage of so many floats, which is the zip's entry of that key.
std::string tensor_of(std::int64_t elements, std::int64_t offset, const std::vector<std::int64_t>& size,
                      const std::vector<std::int64_t>& stride, const std::string& key = "0",
                      const std::string& storage = "FloatStorage") {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + unicode("storage") + "ctorch\n" + storage + "\n" + unicode(key) +
         unicode("cpu") + whole(elements) + "tQ" + whole(offset) + tuple(size) + tuple(stride) + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}
std::string dict(const std::string& items) { return proto + "}(" + items + "u."; }

struct Archive {
  Folder folder;
  fs::path path = folder.path / "x.pt";

  explicit Archive(const std::string& pickle, const std::string& elements = std::string(24, '\0'), bool wide = false) {
    write(path, zip_of({{"x/data.pkl", pickle}, {"x/data/0", elements}, {"x/version", "3\n"}}, wide));
  }
  std::string message(const std::string& key = "") const {
    return message_of([&] { load_torch(path, key); });
  }
};

std::string message(const std::string& pickle) { return Archive(pickle).message(); }

}  // namespace

TEST_CASE("what torch.save wrote is read", "[torch]") {
  for (const char* name :
       {"state_dict", "parameters", "checkpoint", "optimizer", "dtypes", "views", "empty", "nothing"}) {
    INFO(name);
    const StateDict got = load_torch(written() / (std::string(name) + ".pt")).tensors,
                    want = load_safetensors(written() / (std::string(name) + ".safetensors")).tensors;
    CHECK(got.size() == want.size());
    for (const auto& [key, x] : want) {
      INFO(key);
      REQUIRE(got.contains(key));
      CHECK((got.at(key).dtype() == x.dtype()));
      check_equal(got.at(key), Dense(x));
    }
  }
  CHECK(load_torch(written() / "large.pt").tensors.at("x").numel() == 70000);
}

TEST_CASE("what is no tensor in a checkpoint is metadata, and a key chooses", "[torch]") {
  const fs::path path = written() / "checkpoint.pt";
  const TensorFile all = load_torch(path);
  CHECK(all.metadata == std::map<std::string, std::string>{{"epoch", "3"},
                                                           {"best", "0.25"},
                                                           {"name", "größe"},
                                                           {"done", "True"},
                                                           {"none", "None"},
                                                           {"sizes.0", "1"},
                                                           {"sizes.1.0", "2"},
                                                           {"sizes.1.1", "3"},
                                                           {"shape.0", "4"},
                                                           {"shape.1", "5"}});
  const TensorFile model = load_torch(path, "model");
  CHECK(model.metadata.empty());
  REQUIRE(model.tensors.contains("0.weight"));
  check_equal(model.tensors.at("0.weight"), Dense(all.tensors.at("model.0.weight")));
  CHECK(load_torch(path, "epoch").metadata == std::map<std::string, std::string>{{"", "3"}});
  CHECK_THAT(message_of([&] { load_torch(path, "mod"); }),
             Contains("nothing under the key \"mod\"") && Contains("\"epoch\"") && Contains("\"model\""));
  // Adam's numbers are in the optimizer's.
  CHECK(load_torch(written() / "optimizer.pt", "param_groups.0").metadata.at("lr") == "0.001");
}

TEST_CASE("views that shared a storage share it", "[torch]") {
  const StateDict views = load_torch(written() / "views.pt").tensors;
  for (const char* name : {"t", "part", "row", "steps", "one", "stretched"}) {
    CHECK(views.at(name).storage() == views.at("whole").storage());
  }
  CHECK(views.at("t").strides() == Shape{1, 6});
  CHECK(views.at("image").storage() != views.at("whole").storage());
}

TEST_CASE("other files of PyTorch's are refused by what they are", "[torch]") {
  const auto refused = [](const char* name) { return message_of([&] { load_torch(written() / name); }); };
  CHECK_THAT(refused("legacy.bin"), Contains("PyTorch before 1.6"));
  CHECK_THAT(refused("script.bin"), Contains("TorchScript"));
  CHECK_THAT(refused("module.bin"),
             Contains("GLOBAL \"torch.nn.modules.container.Sequential\"") && Contains("nothing of it was executed"));
  CHECK_THAT(refused("function.bin"), Contains("print"));
  CHECK_THAT(refused("protocol4.bin"), Contains("opcode FRAME"));
}

TEST_CASE("a pickle written by hand is read", "[torch]") {
  const std::vector<float> values{1, 2, 3, 4, 5, 6};
  const std::string elements(reinterpret_cast<const char*>(values.data()), 24);
  for (const bool wide : {false, true}) {
    const Archive archive(
        dict(unicode("x") + tensor_of(6, 1, {2, 2}, {1, 2}) + unicode("n") + whole(-5) + unicode("big") +
             "\x8a\x01\xff" + unicode("f") + "G" + std::string("\x3f\xd0\0\0\0\0\0\0", 8)),
        elements, wide);
    const TensorFile file = load_torch(archive.path);
    CHECK(file.tensors.at("x").to_vector<float>() == std::vector<float>{2, 4, 3, 5});
    CHECK(file.metadata == std::map<std::string, std::string>{{"n", "-5"}, {"big", "-1"}, {"f", "0.25"}});
  }
}

TEST_CASE("a hostile pickle is refused by name and place, and nothing of it runs", "[torch]") {
  // What would run a command, in the ways that there are.
  CHECK_THAT(message(proto + "cos\nsystem\n" + unicode("touch /tmp/pwned") + "\x85R."),
             Contains("data.pkl: at byte 2: GLOBAL \"os.system\""));
  CHECK_THAT(message(proto + "c__builtin__\neval\n."), Contains("GLOBAL \"__builtin__.eval\""));
  CHECK_THAT(message(proto + "(ios\nsystem\n."), Contains("at byte 3: the opcode INST"));
  CHECK_THAT(message(proto + unicode("os") + unicode("system") + "\x93."), Contains("the opcode STACK_GLOBAL"));
  CHECK_THAT(message(proto + "\x82\x01."), Contains("the opcode EXT1"));
  CHECK_THAT(message(proto + "ccollections\nOrderedDict\n)\x81."), Contains("the opcode NEWOBJ"));
  CHECK_THAT(message(proto + "(ccollections\nOrderedDict\no."), Contains("the opcode OBJ"));
  CHECK_THAT(message(proto + "P0\n."), Contains("the opcode PERSID"));
  CHECK_THAT(message(proto + "\xfe."), Contains("the opcode 0xfe"));
  CHECK_THAT(message(proto + "S'x'\n."), Contains("the opcode STRING"));
  CHECK_THAT(message(proto + "b."), Contains("BUILD of a value that is not there"));
  CHECK_THAT(message(proto + "]}b."), Contains("BUILD to something else than a dictionary"));
  CHECK_THAT(message(proto + "]]b."), Contains("BUILD to something else"));
  CHECK_THAT(message(proto + "ctorch\nFloatStorage\n)R."),
             Contains("REDUCE of \"torch.FloatStorage\", which is no function"));
  CHECK_THAT(message(proto + "ccollections\nOrderedDict\n(]tR."), Contains("OrderedDict with arguments"));
  CHECK_THAT(message(proto + unicode("f") + ")R."), Contains("REDUCE of something else than a global"));
  CHECK_THAT(message(proto + unicode("x") + "Q."), Contains("BINPERSID of something else than a storage"));
  CHECK_THAT(message("\x80\x09."), Contains("protocol 9"));
  CHECK_THAT(message(proto + "\x8a\x09" + std::string(9, '\0') + "."), Contains("LONG1 of 9 bytes"));
}

TEST_CASE("a damaged pickle is an error", "[torch]") {
  CHECK_THAT(message(""), Contains("no STOP"));
  CHECK_THAT(message(proto), Contains("at byte 2: no STOP"));
  CHECK_THAT(message(proto + "."), Contains("STOP of a value that is not there"));
  CHECK_THAT(message(proto + "}}."), Contains("STOP with 1 values left over"));
  CHECK_THAT(message(proto + "X\xff\xff\xff\xff"), Contains("BINUNICODE needs 4294967295 bytes more"));
  CHECK_THAT(message(proto + "t."), Contains("TUPLE without a mark"));
  CHECK_THAT(message(proto + "\x87."), Contains("TUPLE3 of values that are not there"));
  CHECK_THAT(message(proto + "h\x07."), Contains("BINGET of 7, which nothing was put in"));
  CHECK_THAT(message(proto + "q\x07."), Contains("BINPUT of nothing"));
  CHECK_THAT(message(proto + "Na."), Contains("APPEND"));
  CHECK_THAT(message(proto + "}(Nu."), Contains("SETITEMS of a key without a value"));
  CHECK_THAT(message(proto + "ctorch"), Contains("a name without an end"));
  CHECK_THAT(message(proto + "}(NNu."), Contains("a key that is neither a text nor a number"));
  CHECK_THAT(message(dict(unicode("a") + "N" + unicode("a") + "N")), Contains("\"a\" is there twice"));
  // One level more than may be, one in itself, and each twice in the next.
  std::string deep = proto;
  for (int i = 0; i < 40; ++i) deep += "]";
  for (int i = 0; i < 39; ++i) deep += "a";
  CHECK_THAT(message(deep + "."), Contains("nested deeper than 32 levels"));
  CHECK_THAT(message(proto + "]q\x01h\x01"
                             "a."),
             Contains("nested deeper than 32 levels"));
  std::string laughs = "]q" + std::string(1, '\0');
  for (char i = 1; i < 30; ++i)
    laughs += std::string("](h") + static_cast<char>(i - 1) + "h" + static_cast<char>(i - 1) + "eq" + i;
  CHECK_THAT(message(proto + laughs + "(h\x1dt."), Contains("STOP with 30 values left over"));
  CHECK_THAT(message(proto + "(" + laughs + "t."), Contains("more than 65598 names of 31 values"));
  CHECK_THAT(message(dict(unicode(std::string(5000, 'n')) + "N")), Contains("is longer than 4096 bytes"));
}

TEST_CASE("tensors that do not fit their storage are errors", "[torch]") {
  const auto refused = [](const std::string& x) { return message(dict(unicode("x") + x)); };
  constexpr std::int64_t huge = std::int64_t{1} << 62;
  CHECK_THAT(refused(tensor_of(6, 0, {7}, {1})), Contains("within a storage of 6 elements"));
  CHECK_THAT(refused(tensor_of(6, 6, {1}, {1})), Contains("within a storage of 6 elements"));
  CHECK_THAT(refused(tensor_of(6, -1, {1}, {1})), Contains("within a storage of 6 elements"));
  CHECK_THAT(refused(tensor_of(6, 0, {2, 2}, {5, 1})), Contains("within a storage of 6 elements"));
  CHECK_THAT(refused(tensor_of(6, 0, {3}, {huge})), Contains("within a storage of 6 elements"));
  CHECK_THAT(refused(tensor_of(6, 0, {huge, huge}, {0, 0})), Contains("within a storage of 6 elements"));
  CHECK_THAT(refused(tensor_of(6, 0, {-1}, {1})), Contains("numbers of 0 or more"));
  CHECK_THAT(refused(tensor_of(6, 0, {1}, {-1})), Contains("numbers of 0 or more"));
  CHECK_THAT(refused(tensor_of(6, 0, {1, 1}, {1})), Contains("2 sizes and 1 strides"));
  CHECK_THAT(refused(tensor_of(6, 0, std::vector<std::int64_t>(9, 1), std::vector<std::int64_t>(9, 1))),
             Contains("at most 8 numbers"));
  CHECK_THAT(refused(tensor_of(7, 0, {7}, {1})), Contains("has 24 bytes, expected 7 elements of F32"));
  CHECK_THAT(refused(tensor_of(huge, 0, {1}, {1})), Contains("has 24 bytes, expected"));
  CHECK_THAT(refused(tensor_of(6, 0, {6}, {1}, "0", "DoubleStorage")), Contains("6 elements of F64"));
  CHECK_THAT(refused(tensor_of(6, 0, {6}, {1}, "1")), Contains("no zip entry \"x/data/1\""));
  CHECK_THAT(refused(tensor_of(6, 0, {6}, {1}, "../data/0")), Contains("no zip entry"));
  CHECK_THAT(refused(tensor_of(6, 0, {6}, {1}, "0", "ComplexFloatStorage")),
             Contains("GLOBAL \"torch.ComplexFloatStorage\""));
}

TEST_CASE("a damaged zip archive is an error", "[torch]") {
  const Folder folder;
  const auto refused = [&](const std::string& bytes) {
    write(folder.path / "x.pt", bytes);
    return message_of([&] { load_torch(folder.path / "x.pt"); });
  };
  const std::string pickle = dict(unicode("x") + tensor_of(6, 0, {6}, {1})), elements(24, '\1');
  const std::vector<Entry> right{{"x/data.pkl", pickle}, {"x/data/0", elements}};
  const std::string good = zip_of(right);
  CHECK(refused(good) == "(nothing was thrown)");
  CHECK(refused(zip_of(right, true)) == "(nothing was thrown)");
  CHECK_THAT(refused(""), Contains("no zip archive"));
  CHECK_THAT(refused("hello, this is no archive of any kind"), Contains("no zip archive"));
  CHECK_THAT(refused(zip_of({})), Contains("without a data.pkl"));
  CHECK_THAT(refused(zip_of({{"x/data.pkl", pickle}, {"y/data.pkl", pickle}})), Contains("two pickles"));
  CHECK_THAT(refused(zip_of({{"x/data.pkl", pickle}, {"x/data.pkl", pickle}})), Contains("is there twice"));
  CHECK_THAT(refused(zip_of({{"x/data.pkl", pickle, 8}, {"x/data/0", elements}})), Contains("compressed or encrypted"));
  CHECK_THAT(refused(zip_of({{"x/data.pkl", pickle, 0, 7}, {"x/data/0", elements}})), Contains("is damaged"));
  CHECK_THAT(refused(zip_of({{"x/data.pkl", pickle}, {"x/data/0", elements, 0, 7}})), Contains("is damaged"));
  CHECK_THAT(refused(zip_of({{"x/data.pkl", pickle}, {"x/byteorder", "big"}, {"x/data/0", elements}})),
             Contains("little-endian"));
  // Every byte of what is not elements, changed, and every length: an error, or what changes nothing; never worse.
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const char change : {'\1', '\x80', '\xff'}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ change);
      CHECK_THAT(refused(bad), Contains("load ") || Contains("nothing was thrown"));
    }
    CHECK_THAT(refused(good.substr(0, i)), Contains("load "));
  }
}

TEST_CASE("resnet18 with PyTorch's weights gives PyTorch's logits", "[torch]") {
  const Folder folder;
  for (const bool cifar : {false, true}) {
    const std::string file = folder.path / (cifar ? "cifar.pt" : "imagenet.pt");
    REQUIRE(std::system((python_with_torch() + " " + in_tree("tests/interop/resnet18.py") + " '" + file + "' " +
                         (cifar ? "cifar " : "imagenet ") + std::to_string(base_seed()))
                            .c_str()) == 0);
    const std::int64_t classes = cifar ? 10 : 1000;
    ResNet net = resnet18(classes, cifar ? ResNet::Stem::cifar : ResNet::Stem::imagenet);
    const Module::LoadReport report = net.load_state_dict(load_torch(file, "model").tensors);
    CHECK(report.missing.empty());
    CHECK(report.unexpected.empty());
    net.eval();
    const Tensor x = load_torch(file).tensors.at("input"), want = load_torch(file).tensors.at("logits");
    const std::vector<double> a = net(x).to_vector<double>(), b = want.to_vector<double>();
    REQUIRE(a.size() == b.size());
    double scale = 0, worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      scale = std::max(scale, std::abs(b[i]));
      worst = std::max(worst, std::abs(a[i] - b[i]));
    }
    CAPTURE(scale, worst);
    CHECK(scale > 0.1);
    CHECK(worst < 1e-4);
  }
}
