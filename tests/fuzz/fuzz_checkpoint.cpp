/// Any safetensors file is a checkpoint of the run, weights of a model, or an error. An input is the byte that all
/// elements repeat, and then the file's header; behind it lie as many elements as the run's own checkpoints have.
/// What is accepted is the state of the run: it is saved and read again as it is, and the run goes on from it.
///
/// The run is that of RUN in seeds.py.

#include "fuzz.hpp"

#include <birds_vs_planes/data.hpp>
#include <birds_vs_planes/run.hpp>
#include <birds_vs_planes/saved_model.hpp>

#include <tern/kernels/error.hpp>

#include <memory>

using namespace birds_vs_planes;
using tern::test::MemoryFile;
using tern::test::require;

namespace {

const Options& options() {
  static const Options all = [] {
    Options o;
    o.recipe = "strong";
    o.model = "net";
    o.data = "synthetic:8";
    o.epochs = 2;
    o.holdout = 2;
    o.batch_size = 4;
    o.threads = 1;
    o.num_workers = 0;
    return o;
  }();
  return all;
}

Run& run() {
  static const Data data = load_data(options().data);
  static Run one(Setup(options(), "net"), options(), make_recipe(options(), "net"), data);
  return one;
}

std::size_t bytes_of(const tern::TensorFile& file) {
  std::size_t all = 0;
  for (const auto& [name, x] : file.tensors) all += static_cast<std::size_t>(x.numel()) * tern::size_of(x.dtype());
  return all;
}

/// What a training that has done an epoch keeps: the most that a checkpoint of the run can hold.
std::size_t most_bytes() {
  const tern::test::Folder folder;
  run().train(
      {.batch_done = [] {}, .epoch_done = [](const Epoch& e) { run().note(e, 0.5); }, .stop = [] { return false; }});
  return bytes_of(run().checkpoint());
}

void resume(const MemoryFile& file) {
  Run& r = run();
  r.resume(tern::load_safetensors(file.path()), "fuzz");
  const tern::TensorFile once = r.checkpoint();
  r.resume(once, "fuzz");
  require(r.checkpoint().metadata == once.metadata, "a state that was accepted is kept");
  r.train({.batch_done = [] {}, .epoch_done = [&](const Epoch& e) { r.note(e, {}); }, .stop = [] { return false; }});
  r.resume(r.checkpoint(), "fuzz");
}

template <class F>
void try_to(F f) {
  try {
    f();
  } catch (const tern::Error&) {  // as it should be
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::size_t elements = most_bytes();
  static MemoryFile file;
  if (size == 0) return 0;
  const std::uint64_t length = size - 1;
  const std::string fill(data[0] == 0 ? 0 : elements, static_cast<char>(data[0]));
  file.resize(0);
  file.write(tern::test::as_text(reinterpret_cast<const std::uint8_t*>(&length), sizeof length), 0);
  file.write(tern::test::as_text(data + 1, size - 1), sizeof length);
  file.write(fill, sizeof length + length);
  file.resize(sizeof length + length + elements);

  try_to([&] { Run::check_replaceable(file.path()); });
  try_to([&] { resume(file); });
  try_to([&] { load_model({}, file.path()); });
  try_to([&] { load_model("net", file.path()); });
  return 0;
}
