/// What is in an exported file, and what is refused.

#include "runtime.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/trace.hpp>
#include <tern/tern.hpp>

#include <core/support.hpp>

#include <catch2/catch.hpp>

#include <cstring>

using namespace tern;
using namespace tern::test;
using Catch::Contains;

namespace {

/// A field of a message in protobuf's wire format: a number, or bytes.
struct Field {
  unsigned number;
  std::uint64_t value;
  std::string bytes;
};

std::vector<Field> fields_of(const std::string& message) {
  std::vector<Field> fields;
  std::size_t at = 0;
  const auto varint = [&] {
    std::uint64_t v = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      v |= std::uint64_t{byte & 127U} << shift;
      if (byte < 128) return v;
    }
  };
  while (at < message.size()) {
    const std::uint64_t tag = varint();
    Field field{static_cast<unsigned>(tag >> 3), 0, ""};
    if ((tag & 7) == 0) {
      field.value = varint();
    } else {
      const std::size_t size = (tag & 7) == 5 ? 4 : varint();
      field.bytes = message.substr(at, size);
      at += size;
    }
    fields.push_back(field);
  }
  return fields;
}

/// The bytes of all fields of a number.
std::vector<std::string> all_of(const std::string& message, unsigned number) {
  std::vector<std::string> all;
  for (const Field& field : fields_of(message)) {
    if (field.number == number) all.push_back(field.bytes);
  }
  return all;
}

struct Net : Module {
  Conv1d conv{{.in_channels = 2, .out_channels = 3, .kernel_size = 2}};
  BatchNorm1d norm{3};
  Dropout dropout{0.5};
  Linear fc{12, 2};

  Members members() override {
    return {.modules = {{"conv", &conv}, {"norm", &norm}, {"dropout", &dropout}, {"fc", &fc}}};
  }
  Tensor forward(const Tensor& x) override { return fc(dropout(relu(norm(conv(x)))).flatten(1)); }
};

/// The message with which the export of a function of x [2, 3, 4] is refused.
std::string refused(const std::function<Tensor(const Tensor&)>& f, const onnx::ExportOptions& options = {}) {
  const Folder folder;
  const fs::path file = folder.path / "net.onnx";
  write(file, "what was there");
  Sequential none;
  const std::string message = message_of([&] {
    onnx::save(
        none, [&](const std::vector<Tensor>& in) { return std::vector{f(in[0])}; }, {ones({2, 3, 4})}, file, options);
  });
  CHECK(read(file) == "what was there");
  CHECK(folder.files() == std::vector<std::string>{"net.onnx"});
  CHECK(Trace::current() == nullptr);
  CHECK_THAT(message, Contains("export " + file.string()));
  return message;
}

}  // namespace

TEST_CASE("a file says its opset, its names and its metadata") {
  const Folder folder;
  Net net;
  onnx::save(net, zeros({1, 2, 5}), folder.path / "net.onnx",
             {.input_names = {"signal"}, .output_names = {"logits"}, .metadata = {{"a", "b"}, {"note", "ü"}}});
  CHECK(folder.files() == std::vector<std::string>{"net.onnx"});
  const std::string model = read(folder.path / "net.onnx");
  CHECK(fields_of(model)[0].value == 8);  // ir_version
  CHECK(all_of(model, 2) == std::vector<std::string>{"tern"});
  const std::string opset = all_of(model, 8).at(0);
  CHECK(fields_of(opset).back().value == 17);
  std::map<std::string, std::string> metadata;
  for (const std::string& entry : all_of(model, 14)) metadata[all_of(entry, 1).at(0)] = all_of(entry, 2).at(0);
  CHECK(metadata == std::map<std::string, std::string>{{"a", "b"}, {"note", "ü"}});

  const std::string graph = all_of(model, 7).at(0);
  CHECK(all_of(graph, 2) == std::vector<std::string>{"Net"});
  CHECK(all_of(all_of(graph, 11).at(0), 1) == std::vector<std::string>{"signal"});
  CHECK(all_of(all_of(graph, 12).at(0), 1) == std::vector<std::string>{"logits"});
  CHECK_THAT(all_of(graph, 11).at(0), Contains("batch"));
  CHECK_THAT(all_of(graph, 12).at(0), Contains("batch"));
  StateDict initializers;
  for (const std::string& tensor : all_of(graph, 5)) {
    const std::string name = all_of(tensor, 8).at(0), bytes = all_of(tensor, 9).at(0);
    if (name.starts_with("constant_")) continue;
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    initializers[name] = tern::tensor(values);
  }
  StateDict state = net.state_dict();
  state.erase("norm.num_batches_tracked");  // which evaluation does not read
  CHECK(initializers.size() == state.size());
  for (const auto& [name, x] : state) {
    INFO(name);
    REQUIRE(initializers.contains(name));
    CHECK(initializers.at(name).to_vector<float>() == x.to_vector<float>());
  }
}

TEST_CASE("without a batch_dim all sizes are the example's") {
  const Folder folder;
  Net net;
  onnx::save(net, zeros({3, 2, 5}), folder.path / "net.onnx", {.batch_dim = {}});
  const std::string graph = all_of(read(folder.path / "net.onnx"), 7).at(0);
  CHECK_THAT(all_of(graph, 11).at(0), !Contains("batch"));
  const std::string shape = all_of(all_of(all_of(all_of(graph, 11).at(0), 2).at(0), 1).at(0), 2).at(0);
  std::vector<std::uint64_t> sizes;
  for (const std::string& dim : all_of(shape, 1)) sizes.push_back(fields_of(dim).at(0).value);
  CHECK(sizes == std::vector<std::uint64_t>{3, 2, 5});
}

TEST_CASE("exporting leaves modes, statistics and gradients as they were") {
  const Folder folder;
  Net net;
  net.train();
  net.norm.eval();
  const std::vector<float> mean = net.norm.running_mean.to_vector<float>();
  onnx::save(net, ones({2, 2, 5}), folder.path / "net.onnx");
  CHECK(message_of([&] { onnx::save(net, ones({2, 2, 9}), folder.path / "other.onnx"); }) != "(nothing was thrown)");
  CHECK(net.is_training());
  CHECK(net.dropout.is_training());
  CHECK_FALSE(net.norm.is_training());
  CHECK(net.norm.running_mean.to_vector<float>() == mean);
  CHECK(net.fc.weight.requires_grad());
  CHECK_FALSE(net.fc.weight.grad().defined());
  CHECK(is_grad_enabled());
}

TEST_CASE("ops without a counterpart in ONNX are refused by name") {
  const auto names = [](const char* op, const std::function<Tensor(const Tensor&)>& f) {
    INFO(op);
    CHECK_THAT(refused(f), Contains(std::string("'") + op + "'"));
  };
  names("atan2", [](const Tensor& x) { return atan2(x, x); });
  names("diagonal", [](const Tensor& x) { return diagonal(x); });
  names("cumprod", [](const Tensor& x) { return cumprod(x, 1); });
  names("index_add", [](const Tensor& x) { return index_add(x, 1, tensor<std::int64_t>({0}), x.narrow(1, 0, 1)); });
  names("dropout", [](const Tensor& x) { return dropout(x, 0.5); });
  names("nonzero", [](const Tensor& x) { return nonzero(x); });
  names("nonzero", [](const Tensor& x) { return masked_select(x, x > 0); });
  names("unique", [](const Tensor& x) { return unique(x).output; });
  names("searchsorted", [](const Tensor& x) { return searchsorted(arange(3), x); });
  names("doubled", [](const Tensor& x) {  // an op of one's own
    const std::vector<float> values = [&] {
      std::vector<float> all(static_cast<std::size_t>(x.numel()));
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = 2 * x.data<float>()[i];
      return all;
    }();
    return record("doubled", {x}, tensor(values).reshape(x.shape()), [](const Tensor& g) { return g * 2; });
  });
  names("the indices of max_pool",
        [](const Tensor& x) { return max_pool2d_with_indices(x.unsqueeze(1), 2).indices.to(DType::float32); });
}

TEST_CASE("what would become a constant is refused") {
  CHECK_THAT(refused([](const Tensor& x) { return x.sum().item() > 0 ? x : -x; }), Contains("'item or to_vector'"));
  CHECK_THAT(refused([](const Tensor& x) { return tensor(x.to_vector<float>()); }), Contains("'item or to_vector'"));
  CHECK_THAT(refused([](const Tensor& x) { return x + x.data<float>()[0]; }), Contains("are read before the first op"));
  CHECK_THAT(refused([](const Tensor& x) { return full({2}, exp(x).data<float>()[0]); }),
             Contains("are read after the op 'exp'"));
  CHECK_THAT(refused([](const Tensor& x) {
               const Tensor y = x.clone();
               y.narrow(1, 0, 2).add_(1);
               return y;
             }),
             Contains("add_: in-place on a view"));
  CHECK_THAT(refused([](const Tensor& x) { return x.clone().fill_(1); }), Contains("'fill_' of a tensor"));
  CHECK_THAT(refused([](const Tensor& x) {
               const Tensor constant = ones({4}), y = x * constant;
               constant.add_(1);
               return y;
             }),
             Contains("a constant of shape [4] is changed in place"));
}

TEST_CASE("ops that depend on the batch's size otherwise than by multiples are refused, unless that is fixed",
          "[onnxruntime]") {
  const auto by_count = [](const Tensor& x) { return x.sum({0}) / x.size(0); };
  const auto by_place = [](const Tensor& x) { return x + arange(x.size(0)).reshape({-1, 1, 1}); };
  const auto one_more = [](const Tensor& x) { return cat({x, zeros({1, 3, 4})}); };
  const auto other_ops = [](const Tensor& x) { return x.size(0) == 2 ? exp(x) : log(x); };
  const auto part = [](const Tensor& x) { return x.narrow(0, 0, x.size(0) - 1); };
  CHECK_THAT(refused(by_count), Contains("a constant of shape [] has other values for another batch"));
  CHECK_THAT(refused(by_place), Contains("depends on the batch's size"));
  CHECK_THAT(refused(one_more), Contains("is 4 for a batch of 3, expected a multiple"));
  CHECK_THAT(refused(other_ops), Contains("takes the op 'exp' where one of 3 takes 'log'"));
  CHECK_THAT(refused(part), Contains("'narrow' depends on the batch's size"));
  CHECK_THAT(refused([](const Tensor& x) { return x; }, {.batch_dim = -1}), Contains("batch_dim -1"));
  CHECK_THAT(refused([](const Tensor& x) { return x; }, {.input_names = {"a", "b"}}), Contains("2 names of inputs"));
  Exported exported;
  Sequential none;
  int i = 0;
  for (const std::function<Tensor(const Tensor&)>& f :
       std::initializer_list<std::function<Tensor(const Tensor&)>>{by_count, by_place, one_more, other_ops, part}) {
    exported.add(
        "fixed" + std::to_string(i++), none, [&](const std::vector<Tensor>& in) { return std::vector{f(in[0])}; },
        [](std::int64_t n) {
          return std::vector{square(normal({n, 3, 4})) + 0.1};
        },
        {.batch_dim = {}});
  }
  exported.check();
}
