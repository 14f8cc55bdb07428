/// What `birds_vs_planes export` writes gives in onnxruntime the program's logits and probabilities.

#include "child.hpp"

#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/saved_model.hpp>
#include <interop/runtime.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/safetensors.hpp>

#include <catch2/catch.hpp>
#include <folders.hpp>
#include <python.hpp>
#include <random.hpp>

using namespace tern;
using namespace tern::test;
using namespace birds_vs_planes;

namespace {

/// A saved model of that name whose statistics are those of some images, as after training.
void save_trained(const std::string& name, bool normalized, const std::string& file) {
  manual_seed(base_seed());
  NamedModel model = fresh_model(name);
  if (normalized) normalize_input(model, rand({3}), rand({3}) + 0.5);
  const NoGradGuard no_grad;
  for (int i = 0; i < 3; ++i) (*model.module)(rand({16, 3, 32, 32}));
  for (const Tensor& x : model.module->parameters()) x.add_(randn(x.shape()) * 0.02);
  std::map<std::string, std::string> metadata;
  if (normalized) metadata["flips"] = "yes";
  save_model(file, model, metadata);
}

}  // namespace

TEST_CASE("exported models give the program's logits in onnxruntime", "[onnxruntime]") {
  const TemporaryFolder folder;
  Exported exported;
  for (const std::string& name : model_names()) {
    for (const bool normalized : {false, true}) {
      if (normalized && name != "net" && name != "resstrong") continue;
      const std::string weights = folder / (name + ".safetensors"), file = folder / (name + ".onnx");
      save_trained(name, normalized, weights);
      const Outcome outcome = run_program({"export", "--load", weights, "--output", file});
      INFO(outcome.err);
      REQUIRE(outcome.code == 0);
      CHECK(outcome.out.find(name + " as ONNX") != std::string::npos);
      const NamedModel model = load_model({}, weights);
      model.module->eval();
      const NoGradGuard no_grad;
      for (const std::int64_t n : {1, 7}) {
        const Tensor images = rand({n, 3, 32, 32});
        exported.add_file(name + (normalized ? "_normalized_" : "_") + std::to_string(n), file, {{"images", images}},
                          {{"logits", (*model.module)(images)},
                           {"probabilities", probabilities(*model.module, images, model.flips())}});
      }
    }
  }
  exported.check(1e-5);
}

TEST_CASE("export says what is wrong and leaves the file that was there") {
  const TemporaryFolder folder;
  const std::string weights = folder / "net.safetensors", file = folder / "net.onnx";
  save_trained("net", false, weights);
  CHECK(run_program({"export", "--load", weights}).code == 2);
  CHECK(run_program({"export", "--load", weights, "--output", weights}).code == 2);
  CHECK(run_program({"export", "--load", weights, "--output", folder / "no/net.onnx"}).code == 1);
  CHECK(run_program({"export", "--load", folder / "nothing", "--output", file}).code == 1);
  CHECK(folder.contents() == std::vector<std::string>{"net.safetensors"});
}

TEST_CASE("the program loads weights that torch.save wrote", "[torch]") {
  const TemporaryFolder folder;
  const std::string weights = folder / "net.safetensors", file = folder / "net.pt";
  save_trained("batchnorm", false, weights);
  REQUIRE(std::system((python_with_torch() + " -c \"import sys, torch; sys.path.insert(0, '" + in_tree("docs") +
                       "'); from load_weights import load; torch.save(load('" + weights + "'), '" + file + "')\"")
                          .c_str()) == 0);
  const StateDict got = load_model("batchnorm", file).module->state_dict(), want = load_safetensors(weights).tensors;
  REQUIRE(got.size() == want.size());
  for (const auto& [name, x] : want) CHECK(got.at(name).to_vector<double>() == x.to_vector<double>());
  CHECK(run_program({"info", "--load", file}).code == 1);  // which names no model
  CHECK(run_program({"info", "--model", "batchnorm", "--load", file}).code == 0);
}
