#include "runtime.hpp"

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>

#include <folders.hpp>
#include <python.hpp>
#include <random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace tern::test {

Tensor normal(const Shape& shape) {
  static Generator generator(base_seed());
  return randn(shape, {}, generator);
}

namespace {

/// By the names that an export gives unless it is told others.
StateDict named(const std::vector<Tensor>& tensors, const std::string& what) {
  StateDict all;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    all[tensors.size() == 1 ? what : what + '_' + std::to_string(i)] = tensors[i];
  }
  return all;
}

}  // namespace

void Exported::note(const std::string& name, const StateDict& inputs, const StateDict& outputs) {
  save_safetensors(folder_.path / (name + ".in"), {inputs, {}});
  cases_.push_back({name, outputs});
}

void Exported::add(const std::string& name, Module& module, const onnx::Function& forward,
                   const std::function<std::vector<Tensor>(std::int64_t)>& make, const onnx::ExportOptions& options) {
  INFO(name << ", TERN_TEST_SEED=" << base_seed());
  try {
    onnx::save(module, forward, make(2), folder_.path / (name + ".onnx"), options);
  } catch (const Error& error) {
    FAIL_CHECK(error.what());
    return;
  }
  module.eval();
  const NoGradGuard no_grad;
  for (const std::int64_t n : {1, 5}) {
    if (!options.batch_dim && n != 1) continue;
    const std::vector<Tensor> inputs = make(options.batch_dim ? n : 2);
    note(name + '.' + std::to_string(n), named(inputs, "input"), named(forward(inputs), "output"));
  }
}

void Exported::add(const std::string& name, Module& module, const Shape& shape) {
  add(
      name, module, [&](const std::vector<Tensor>& inputs) { return std::vector{module(inputs[0])}; },
      [&](std::int64_t n) {
        Shape whole = shape;
        whole.insert(0, n);
        return std::vector{normal(whole)};
      });
}

void Exported::add_file(const std::string& name, const fs::path& file, const StateDict& inputs,
                        const StateDict& outputs) {
  fs::copy_file(file, folder_.path / (name + ".onnx"));
  note(name + ".0", inputs, outputs);
}

void Exported::check(double tolerance) {
  const std::string command = "NODE_PATH='" + onnxruntime() + "/node_modules' node " +
                              in_tree("tests/interop/run_onnx.js") + " '" + folder_.path.string() + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  for (const Case& c : cases_) {
    INFO(c.name << ", TERN_TEST_SEED=" << base_seed());
    if (fs::exists(folder_.path / (c.name + ".error"))) {
      FAIL_CHECK(read(folder_.path / (c.name + ".error")));
      continue;
    }
    const StateDict got = load_safetensors(folder_.path / (c.name + ".out")).tensors;
    REQUIRE(got.size() == c.outputs.size());
    for (const auto& [output, x] : c.outputs) {
      INFO(output);
      REQUIRE(got.contains(output));
      const Tensor& theirs = got.at(output);
      CHECK(theirs.shape() == x.shape());
      CHECK((theirs.dtype() == x.dtype()));
      const std::vector<double> a = x.to_vector<double>(), b = theirs.to_vector<double>();
      REQUIRE(a.size() == b.size());
      double scale = 1;
      for (const double v : a) scale = std::max(scale, std::isfinite(v) ? std::abs(v) : 0);
      for (std::size_t at = 0; at < a.size(); ++at) {
        const bool same =
            std::abs(a[at] - b[at]) <= tolerance * scale || (std::isnan(a[at]) && std::isnan(b[at])) || a[at] == b[at];
        if (same) continue;
        FAIL_CHECK("element " << at << ": tern " << a[at] << ", onnxruntime " << b[at]);
        break;
      }
    }
  }
}

}  // namespace tern::test
