/// The calls of CUDA that a training step makes fail in turn.

#ifdef TERN_EMULATOR

#include "training.hpp"

#include <tern/optim/graphed_step.hpp>

#include <catch2/catch.hpp>
#include <emulator.hpp>
#include <fmt/format.h>
#include <random.hpp>

#include <algorithm>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>

using namespace tern;
using namespace tern::test;

namespace {

struct Fault {
  int error;
  const char* says;
};
constexpr Fault faults[] = {{2, "cudaErrorMemoryAllocation"}, {999, "cudaErrorUnknown"}};

/// Does the work while the fault befalls it. What it threw, if anything, and the calls it made.
struct Outcome {
  std::optional<std::string> message;
  std::vector<std::string> calls;
};
Outcome outcome(const emulator::CallFault& fault, const std::function<void()>& work) {
  Outcome result;
  const emulator::CallWatch watch(fault);
  try {
    work();
  } catch (const CudaError& e) {
    result.message = e.what();
  }
  result.calls = watch.names();
  return result;
}

/// Whether the message says which call it was, or what it was for.
bool names(const std::string& message, const std::string& call) {
  const auto says = [&](const char* text) { return message.find(text) != message.npos; };
  if (call == "launch") return says("launch of ");
  if (call == "cudaMemcpyAsync") return says("upload: ") || says("download: ") || says("copy: ");
  if (call == "cudaEventQuery" || call == "cudaEventSynchronize") return says("upload: ");
  if (call == "cudaMallocAsync") return says("cudaMallocAsync: ") || says("out of memory");
  if (call.starts_with("cublas")) return says("cublas") || says("matmul") || says("linear");
  return says(call.substr(0, call.find("WithFlags")).c_str());
}

/// Fails calls of step(run) in turn, of many some forty, which the seed chooses, on a fresh run that has done some
/// steps.
template <class Run>
void fail_each_call(const std::string& what, const std::function<std::unique_ptr<Run>(int)>& after,
                    const std::function<Bits(Run&)>& bits, const std::function<void(Run&)>& step, int done) {
  const Bits old = bits(*after(done)), expected = bits(*after(done + 2));
  REQUIRE(old != expected);
  Random random(base_seed(), static_cast<std::uint64_t>(done));
  for (const Fault& fault : faults) {
    const std::unique_ptr<Run> whole = after(done);
    const std::size_t calls = outcome({}, [&] { step(*whole); }).calls.size();
    const std::size_t stride = std::max<std::size_t>(calls / 40, 1);
    std::size_t failed = 0, errors = 0;
    const auto first = static_cast<std::size_t>(random.integer(0, static_cast<std::int64_t>(stride) - 1));
    for (std::size_t at = first; at < calls; at += stride) {
      ++failed;
      const std::unique_ptr<Run> run = after(done);
      const Outcome o = outcome({.at = static_cast<long>(at), .error = fault.error}, [&] { step(*run); });
      REQUIRE(o.calls.size() > at);
      INFO(what << ", " << fault.says << " in call " << at << ", " << o.calls[at] << ": " << o.message.value_or("no error"));
      if (o.message) {
        ++errors;
        CHECK(names(*o.message, o.calls[at]));
        CHECK(bits(*run) == old);
        step(*run);
      }
      step(*run);
      CHECK(bits(*run) == expected);
    }
    std::cout << what << ", " << fault.says << ": " << failed << " of " << calls << " calls failed, " << errors
              << " errors" << std::endl;
    CHECK(errors > failed / 10);
  }
}

/// With the device's data of a GraphedStep beside it.
struct Graphed {
  explicit Graphed(const TrainingJob& job)
      : training(job, Device::cuda),
        input(training.input().to(Device::cuda)),
        target(training.target().to(Device::cuda)),
        schedule(training.optimizer(), 1, 8),
        step(training.optimizer(), [this](const Tensor&) { return cross_entropy(training.model()(input), target); },
             {.schedule = &schedule, .average = &training.average(), .scaler = &scaler}) {
    step.begin(0, 6);
  }

  Training training;
  Tensor input, target;
  WarmupCosineLR schedule;
  GradScaler scaler{{.init_scale = 1024, .growth_interval = 1}};
  GraphedStep step;
};

}  // namespace

TEST_CASE("CUDA calls of a training step fail in turn, and the step done again gives the same bits", "[cuda]") {
  for (const TrainingJob& job : {TrainingJob{"SGD with momentum", false, false, false},
                                 TrainingJob{"AdamW, batch norm and dropout", true, true, true}}) {
    for (const int done : {0, 1}) {
      fail_each_call<Training>(
          fmt::format("step {} with {}", done + 1, job.name),
          [&](int n) {
            auto training = std::make_unique<Training>(job, Device::cuda);
            for (int i = 0; i < n; ++i) training->step();
            return training;
          },
          [](Training& training) { return training.bits(); }, [](Training& training) { training.step(); }, done);
    }
  }
}

TEST_CASE("CUDA calls of a GraphedStep fail in turn, and the step done again gives the same bits", "[cuda]") {
  const TrainingJob job{"", true, true, true};
  for (const int done : {0, 1, 2}) {  // as it is, recorded, replayed
    fail_each_call<Graphed>(
        fmt::format("step {} of GraphedStep", done + 1),
        [&](int n) {
          auto run = std::make_unique<Graphed>(job);
          for (int i = 0; i < n; ++i) run->step();
          return run;
        },
        [](Graphed& run) {
          Bits all = run.training.bits();
          all.erase("optimizer.adamw.lr");  // the schedule's, set again before each step
          all["loss"] = {run.step.state().loss_sum};
          all["scale"] = {run.scaler.get_scale()};
          return all;
        },
        [](Graphed& run) { run.step(); }, done);
  }
}

#endif
