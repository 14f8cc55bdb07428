/// Every allocation of saving and loading fails in turn.

#include "../core/folder.hpp"
#include "failing.hpp"
#include "training.hpp"

#include <tern/core/safetensors.hpp>

#include <catch2/catch.hpp>

#include <memory>

using namespace tern;
using namespace tern::test;

namespace {

/// All that a run goes on from.
TensorFile checkpoint(Training& training) {
  TensorFile file{{}, {{"kind", "checkpoint"}, {"history", "epoch,loss\n1,0.5\n"}}};
  const auto add = [&file](const std::string& prefix, const StateDict& state) {
    for (const auto& [name, x] : state) file.tensors[prefix + name] = x.detach();
  };
  add("model.", training.model().state_dict());
  add("optimizer.", training.optimizer().state_dict());
  add("average.", training.average().state_dict());
  file.metadata["generator_offset"] = std::to_string(default_generator().state().offset);
  return file;
}

StateDict part(const TensorFile& file, const std::string& prefix) {
  StateDict found;
  for (const auto& [name, x] : file.tensors) {
    if (name.starts_with(prefix)) found[name.substr(prefix.size())] = x;
  }
  return found;
}

/// A training run after so many steps.
std::unique_ptr<Training> trained(int steps) {
  auto training = std::make_unique<Training>(TrainingJob{"", true, true, true});
  for (int i = 0; i < steps; ++i) training->step();
  return training;
}

}  // namespace

TEST_CASE("each allocation of a save fails in turn, and the file that was there stays whole") {
  const auto training = trained(1);
  const auto other = trained(2);
  const auto weights = [](Training& of) { return TensorFile{of.model().state_dict(), {{"format", "pt"}}}; };
  for (const bool whole_checkpoint : {false, true}) {
    const auto save = [&](const fs::path& path, Training& of) {
      save_safetensors(path, whole_checkpoint ? checkpoint(of) : weights(of));
    };
    const Folder folder;
    const fs::path path = folder.path / "saved";
    save(path, *other);
    const std::string expected = read(path);
    save(path, *training);
    const std::string old = read(path);
    REQUIRE(old != expected);
    const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
      const bool failed = attempt(fault, [&] { save(path, *other); });
      CHECK(read(path) == (failed ? old : expected));
      CHECK(folder.files() == std::vector<std::string>{"saved"});
      if (failed) save(path, *other);
      CHECK(read(path) == expected);
      write(path, old);
    });
    report(whole_checkpoint ? "a checkpoint's saving" : "a model's saving", counts);
    CHECK(counts.errors > 50);
  }
}

TEST_CASE("each allocation of a load fails in turn, and the model is the old one or the new one") {
  const Folder folder;
  const fs::path path = folder.path / "saved";
  const Bits expected = [&] {
    const auto saved = trained(2);
    save_safetensors(path, checkpoint(*saved));
    return saved->bits();
  }();
  const auto bits = [](Training& training) {
    Bits all = training.bits();
    all.erase("generator");
    return all;
  };
  const auto without_generator = [](Bits all) {
    all.erase("generator");
    return all;
  };
  const auto load = [&](Training& training, const TensorFile& file) {
    training.model().load_state_dict(part(file, "model."));
    training.optimizer().load_state_dict(part(file, "optimizer."));
    training.average().load_state_dict(part(file, "average."));
  };

  SECTION("of a file") {
    const TensorFile whole = load_safetensors(path);
    const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
      TensorFile file;
      if (attempt(fault, [&] { file = load_safetensors(path); })) file = load_safetensors(path);
      CHECK(file.metadata == whole.metadata);
      CHECK(file.tensors.size() == whole.tensors.size());
      const auto training = trained(0);
      load(*training, file);
      CHECK(bits(*training) == without_generator(expected));
    });
    report("a checkpoint's loading", counts);
    CHECK(counts.errors > 50);
  }

  SECTION("into a model, an optimiser and a moving average") {
    const TensorFile file = load_safetensors(path);
    const auto each = [&](const char* what, const std::string& prefix, const auto& load_into) {
      const auto of = [&](Bits all) {
        std::erase_if(all, [&](const auto& entry) {
          const bool of_model = prefix == "average." && entry.first.ends_with("num_batches_tracked");
          return of_model || !entry.first.starts_with(prefix);
        });
        return all;
      };
      const Bits old = of(trained(1)->bits());
      const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
        const auto training = trained(1);
        const StateDict state = part(file, prefix);
        const bool failed = attempt(fault, [&] { load_into(*training, state); });
        CHECK(of(training->bits()) == (failed ? old : of(expected)));
        if (failed) load_into(*training, state);
        CHECK(of(training->bits()) == of(expected));
      });
      report(what, counts);
      CHECK(counts.errors > 10);
    };
    each("load_state_dict of a model", "model.", [](Training& t, const StateDict& s) { t.model().load_state_dict(s); });
    each("load_state_dict of AdamW", "optimizer.",
         [](Training& t, const StateDict& s) { t.optimizer().load_state_dict(s); });
    each("load_state_dict of a moving average", "average.",
         [](Training& t, const StateDict& s) { t.average().load_state_dict(s); });
  }

  SECTION("and of a model's conversion") {
    const Counts counts = fail_each([&](const AllocationFault& fault, const Attempt& attempt) {
      const auto training = trained(1);
      const bool failed = attempt(fault, [&] { training->model().to(DType::float64); });
      for (const Tensor& p : training->model().parameters()) {
        CHECK(p.dtype() == (failed ? DType::float32 : DType::float64));
      }
    });
    report("Module::to", counts);
    CHECK(counts.errors > 10);
  }
}
