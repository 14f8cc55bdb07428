/// The models in tern and in PyTorch: the same weights, the same batch, the same numbers. The weights go
/// over and come back through files, so this holds docs/load_weights.py, too.

#include "child.hpp"

#include <birds_vs_planes/models.hpp>
#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/safetensors.hpp>
#include <tern/optim/optimizer.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>
#include <python.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <iostream>

using namespace tern;
using namespace tern::test;

namespace {

double largest(const Tensor& x) {
  double most = 0;
  for (double v : x.to_vector<double>()) most = std::max(most, std::abs(v));
  return most;
}

/// Every element within `tolerance` of the largest of its tensor, or of `least`, if that is larger.
void check_close(const std::string& name, const Tensor& ours, const Tensor& torchs, double tolerance, double least) {
  INFO(name);
  REQUIRE(ours.shape() == torchs.shape());
  const std::vector<double> a = ours.to_vector<double>(), b = torchs.to_vector<double>();
  const double scale = std::max(largest(torchs), least);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= tolerance * scale)) {
      FAIL_CHECK("element " << i << ": tern " << a[i] << ", PyTorch " << b[i] << ", largest " << scale);
      return;
    }
  }
}

/// The least difference between the two largest elements of any 2 x 2 window of x [N, C, H, W].
double smallest_gap(const Tensor& x) {
  const std::vector<double> v = x.to_vector<double>();
  const std::int64_t H = x.size(2), W = x.size(3), planes = x.size(0) * x.size(1);
  double least = INFINITY;
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    for (std::int64_t h = 0; h < H; h += 2) {
      for (std::int64_t w = 0; w < W; w += 2) {
        const double* at = v.data() + (plane * H + h) * W + w;
        std::array<double, 4> window{at[0], at[1], at[W], at[W + 1]};
        std::sort(window.begin(), window.end());
        least = std::min(least, window[3] - window[2]);
      }
    }
  }
  return least;
}

/// Images of which no pooling window is undecided: where two elements are equal but for rounding, float32 may choose
/// otherwise on either side, and then the gradients differ, neither being wrong.
Tensor decided_images(tern::Module& model, DType dtype, Generator& generator) {
  double gap = 0;
  for (const auto& [name, layer] : model.named_modules()) {
    if (name.ends_with("batchnorm") || (model.named_buffers().empty() && (name == "conv1" || name == "conv2"))) {
      layer->register_forward_hook([&](Module&, const Tensor& y) { gap = std::min(gap, smallest_gap(y.tanh())); });
    }
  }
  NoGradGuard no_grad;
  for (;;) {
    const Tensor x = rand({4, 3, 32, 32}, {.dtype = dtype}, generator);
    gap = INFINITY;
    model(x.to(DType::float64));
    if (gap > 1e-6) return x;
  }
}

}  // namespace

TEST_CASE("The models agree with PyTorch: logits, loss, gradients, and weights after three steps") {
  const std::string python = python_with_torch();
  if (python.empty()) {
    std::cout << "PyTorch is not compared with: no python3 that can import torch (scripts/setup test installs it)\n";
    return;
  }
  struct Case {
    std::string kind;
    DType dtype;
    Tensor x, y;
    StateDict weights;  ///< before
    std::string back;   ///< PyTorch's answer
  };
  const TemporaryFolder folder;
  std::vector<Case> cases;
  std::string command = python + " " + in_tree("tests/examples/torch_parity.py");
  Generator generator(base_seed());
  manual_seed(base_seed());
  for (const std::string& kind : birds_vs_planes::model_names()) {
    // The deeper ones in float64 alone: in float32 a relu or a pooling of so many is always undecided.
    const bool deep = kind == "depth" || kind.starts_with("res");
    for (DType dtype : {DType::float32, DType::float64}) {
      if (deep && dtype == DType::float32) continue;
      const std::string name = kind + "." + name_of(dtype);
      Case c{kind, dtype, {}, {}, {}, folder / (name + ".back")};
      std::vector<std::int64_t> labels;
      for (int i = 0; i < 4; ++i) labels.push_back(static_cast<std::int64_t>(generator.below(2)));
      c.y = tensor(labels);
      const auto model = birds_vs_planes::make_model(kind);
      model->to(dtype);
      c.weights = model->state_dict();
      const auto exact = birds_vs_planes::make_model(kind);
      exact->to(DType::float64);
      exact->load_state_dict(c.weights);
      exact->train(kind != "dropout");
      c.x = deep ? rand({4, 3, 32, 32}, {.dtype = dtype}, generator) : decided_images(*exact, dtype, generator);
      TensorFile file{.tensors = {{"input", c.x}, {"target", c.y}}, .metadata = {}};
      for (const auto& [key, t] : c.weights) file.tensors["model." + key] = t;
      save_safetensors(folder / name, file);
      command += " " + kind + " '" + (folder / name) + "' '" + c.back + "'";
      cases.push_back(std::move(c));
    }
  }
  REQUIRE(std::system(command.c_str()) == 0);

  for (const Case& c : cases) {
    const auto torchs = load_safetensors(c.back).tensors;
    StateDict torchs_weights;
    double largest_gradient = 0;
    for (const auto& [name, t] : torchs) {
      if (name.starts_with("model.")) torchs_weights[name.substr(6)] = t;
      if (name.starts_with("grad.")) largest_gradient = std::max(largest_gradient, largest(t));
    }
    for (Device device : devices()) {
      INFO(c.kind << ", " << name_of(c.dtype) << " on " << device.str() << ", seed " << base_seed());
      const bool exact = c.dtype == DType::float64;
      const double tolerance = exact ? 1e-11 : 1e-5;
      const auto model = birds_vs_planes::make_model(c.kind);
      model->to(c.dtype);
      model->load_state_dict(c.weights);
      model->to(device);
      model->train(c.kind != "dropout");
      const Tensor x = c.x.to(device), y = c.y.to(device);
      SGD optimizer(model->parameters(), {.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01});
      for (int step = 0; step < 3; ++step) {
        const Tensor logits = (*model)(x), loss = cross_entropy(logits, y);
        optimizer.zero_grad();
        loss.backward();
        if (step == 0) {
          check_close("logits", logits, torchs.at("logits"), tolerance, 0);
          check_close("loss", loss, torchs.at("loss"), tolerance, 0);
          for (const auto& [name, p] : model->named_parameters()) {
            // In float32 a small gradient may be a small difference of large terms, and is held against the model's
            // largest. A bias before a batch norm has no effect: its gradient is zero but for rounding.
            const bool is_zero = c.kind == "batchnorm" && (name == "conv1.bias" || name == "conv2.bias");
            check_close("gradient of " + name, p.grad(), torchs.at("grad." + name), tolerance,
                        exact && !is_zero ? 0 : largest_gradient);
          }
        }
        optimizer.step();
      }
      for (const auto& [name, t] : model->state_dict()) {
        // In float32 a window may be undecided after the first step.
        if (exact) check_close(name + " after three steps", t, torchs_weights.at(name), tolerance, 0);
      }

      // And PyTorch's weights load into a model here.
      const auto other = birds_vs_planes::make_model(c.kind);
      other->to(c.dtype);
      other->load_state_dict(torchs_weights);
      other->to(device);
      for (const auto& [name, t] : other->state_dict()) check_close(name, t, torchs_weights.at(name), 0, 0);
    }
  }
}

TEST_CASE("docs/load_weights.py reads what it and tern have saved, and says what it cannot read") {
  const std::string python = python_with_torch();
  if (python.empty()) {
    std::cout << "docs/load_weights.py is not tried: no python3 that can import torch\n";
    return;
  }
  const TemporaryFolder folder;
  const std::string made = folder / "";
  REQUIRE(std::system((python + " " + in_tree("tests/examples/load_weights_check.py") + " " + made).c_str()) == 0);
  const TensorFile stored = load_safetensors(folder / "stored"), converted = load_safetensors(folder / "converted");
  const auto check_same = [](const TensorFile& got, const TensorFile& want) {
    REQUIRE(got.tensors.size() == want.tensors.size());
    for (const auto& [name, x] : want.tensors) {
      INFO(name);
      REQUIRE(got.tensors.contains(name));
      check_equal(got.tensors.at(name), x);
    }
  };
  CHECK(stored.tensors.size() >= 30);  // three of each of ten dtypes
  check_same(stored, converted);

  // From tern through PyTorch and back, tensors of no elements among them.
  Random random(base_seed(), 0);
  TensorFile file;
  for (const DType dtype : all_dtypes) {
    for (const Shape& shape : {Shape{}, Shape{1}, Shape{0}, Shape{3, 0, 2}, Shape{5, 7}}) {
      file.tensors[text(name_of(dtype), shape.str())] = random_tensor(random, shape, dtype, Device::cpu);
    }
  }
  save_safetensors(folder / "in", file);
  const std::string script = in_tree("docs/load_weights.py");
  REQUIRE(std::system((python + " " + script + " " + (folder / "in") + " " + (folder / "out")).c_str()) == 0);
  check_same(load_safetensors(folder / "out"), file);
}
