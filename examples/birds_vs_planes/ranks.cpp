#include <birds_vs_planes/failure.hpp>
#include <birds_vs_planes/ranks.hpp>

#include <tern/core/check.hpp>
#include <tern/distributed/distributed.hpp>
#include <tern/kernels/cpu/processors.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <nlohmann/json.hpp>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

namespace birds_vs_planes {

namespace dist = tern::distributed;

namespace {

using Processors = std::array<cpu_set_t, 16>;  ///< 16,384, as bits

/// How many processors this rank may keep busy: all of those that only it may run on, and of each that others on its
/// machine may run on, too, its part.
int share_of_processors() {
  Processors mine{};
  if (sched_getaffinity(0, sizeof mine, mine.data()) != 0) return 1;
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  std::string text(host.data(), host.size());
  text.append(reinterpret_cast<const char*>(mine.data()), sizeof mine);

  std::vector<Processors> here;
  for (const std::string& other : dist::all_gather_object(text)) {
    if (!std::equal(host.begin(), host.end(), other.begin())) continue;
    std::copy(other.begin() + host.size(), other.end(), reinterpret_cast<char*>(here.emplace_back().data()));
  }
  double share = 0;
  for (std::size_t i = 0; i < 8 * sizeof mine; ++i) {
    if (!CPU_ISSET_S(i, sizeof mine, mine.data())) continue;
    const auto users = std::count_if(here.begin(), here.end(),
                                     [i](const Processors& p) { return CPU_ISSET_S(i, sizeof p, p.data()) != 0; });
    share += 1 / static_cast<double>(users);
  }
  const int usable = tern::kernels::usable_processors();
  const auto ranks = static_cast<double>(here.size());
  if (usable < CPU_COUNT_S(sizeof mine, mine.data())) share = std::min(share, usable / ranks);  // a quota, of all ranks
  return std::max(1, static_cast<int>(share + 1e-6));
}

}  // namespace

void join_ranks(Options& options) {
  dist::init({.timeout = std::chrono::duration<double>(options.timeout)});
  if (dist::world_size() == 1) return;
  if (!options.threads && !std::getenv("OMP_NUM_THREADS")) tern::set_num_threads(share_of_processors());
  if (dist::rank() == 0) return;
  options.quiet = options.silent = true;
  options.checkpoint = options.checkpoint_place();
  options.save = options.log = options.tensorboard = options.output = std::nullopt;
}

void together(const std::function<void()>& work) {
  if (dist::world_size() == 1) return work();
  std::string failure;
  try {
    work();
  } catch (...) {
    const Failure f = failure_of(std::current_exception());
    failure = fmt::format("{} {}", f.code, f.message);
  }
  const std::vector<std::string> failures = dist::all_gather_object(failure);
  for (std::size_t i = 0; i < failures.size(); ++i) {
    if (failures[i].empty()) continue;
    const std::size_t space = failures[i].find(' ');
    const std::string message = failures[i].substr(space + 1);
    throw FailedTogether(i == 0 ? message : fmt::format("rank {}: {}", i, message), std::stoi(failures[i]));
  }
}

int greatest_of_ranks(int mine) {
  if (dist::world_size() == 1) return mine;
  const tern::Tensor all = tern::tensor({std::int64_t{mine}});
  dist::all_reduce(all, dist::ReduceOp::max);
  return static_cast<int>(all.item<std::int64_t>());
}

void give_to_ranks(tern::TensorFile& file) {
  if (dist::world_size() == 1) return;
  using nlohmann::json;
  json said{{"metadata", file.metadata}, {"tensors", json::object()}};
  for (const auto& [name, x] : file.tensors) {
    said["tensors"][name] = {{"dtype", x.dtype()}, {"shape", std::vector(x.shape().begin(), x.shape().end())}};
  }
  const std::string text = dist::rank() == 0 ? said.dump() : "";
  said = json::parse(dist::all_gather_object(text)[0]);
  file.metadata = said["metadata"].get<decltype(file.metadata)>();
  for (const auto& [name, form] : said["tensors"].items()) {
    if (dist::rank() == 0) continue;
    const auto shape = form["shape"].get<std::vector<std::int64_t>>();
    file.tensors[name] = tern::empty(tern::Shape(std::span(shape)), {.dtype = form["dtype"].get<tern::DType>()});
  }
  for (const auto& [name, x] : file.tensors) dist::broadcast(x);
}

}  // namespace birds_vs_planes
