#include <birds_vs_planes/setup.hpp>

#include <tern/core/check.hpp>
#include <tern/core/cuda.hpp>
#include <tern/core/generator.hpp>
#include <tern/distributed/distributed.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <algorithm>

namespace birds_vs_planes {

namespace {

/// Ranks of one machine take one GPU each, while there are any.
tern::Device own_gpu() {
  return {tern::Device::cuda, tern::distributed::local_rank() % std::max(1, tern::cuda::device_count())};
}

/// The device of that name. Throws where this build or this machine does not have it.
tern::Device choose_device(const std::string& name) {
  if (name == "auto") {
#ifdef AUTO_DEVICE_CUDA
    try {
      tern::backend(own_gpu());
      return own_gpu();
    } catch (const tern::Error&) {
    }
#endif
    return tern::Device::cpu;
  }
  const tern::Device device = name == "cuda" ? own_gpu() : tern::Device::parse(name);
  tern::backend(device);
  return device;
}

}  // namespace

Setup::Setup(const Options& options, const std::string& fresh) : device(choose_device(options.device)) {
  if (options.threads) tern::set_num_threads(*options.threads);
  tern::manual_seed(options.seed);
  model = options.load ? load_model(options.model, *options.load) : fresh_model(options.model.value_or(fresh));
  model.module->to(device);
}

std::string Setup::str() const {
  return fmt::format("model: {}, {} parameters; device: {}; threads: {}", model.name, model.module->num_parameters(),
                     device, tern::num_threads());
}

}  // namespace birds_vs_planes
