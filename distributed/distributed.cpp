#include <tern/core/autograd.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/distributed/transport.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace tern::distributed {
namespace {

struct World {
  std::unique_ptr<Ranks> ranks;  ///< null where there is one
  std::map<int, std::unique_ptr<Transport>> devices;
  bool initialized = false, finalized = false;
  Statistics statistics;
};

World& world() {
  static World& world = *new World;  // never destroyed: MPI is to end in finalize() or not at all
  return world;
}

const char* name_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
      return "sum";
    case ReduceOp::avg:
      return "avg";
    case ReduceOp::min:
      return "min";
    case ReduceOp::max:
      return "max";
    case ReduceOp::product:
      return "product";
  }
  return "?";
}

void check_tensor(const char* who, const Tensor& x) {
  check(!world().finalized, "{}: after finalize(), expected it before", who);
  check_defined(who, "x", x);
  check(x.is_contiguous(), "{}: a tensor of shape {} that is not contiguous, expected x.contiguous()", who, x.shape());
  check(!x.requires_grad() || !is_grad_enabled(), "{}: a tensor of shape {} that requires grad, expected x.detach()",
        who, x.shape());
}

std::string describe(std::string_view call, const Tensor& x) {
  return fmt::format("{} of {} {}{}", call, x.dtype(), x.shape(), x.device().on_host() ? "" : " on cuda");
}

std::byte* bytes_of(const Tensor& x, std::int64_t element = 0) {
  return static_cast<std::byte*>(x.storage()->data()) +
         (x.storage_offset() + element) * static_cast<std::int64_t>(size_of(x.dtype()));
}
std::int64_t num_bytes(const Tensor& x) { return x.numel() * static_cast<std::int64_t>(size_of(x.dtype())); }

/// What begins where another has come to its end, and a last thing to be done.
class Chained final : public Work::State {
 public:
  Chained(Work work, std::function<void()> then) : work_(std::move(work)), then_(std::move(then)) {}
  void wait() override {
    work_.wait();
    if (then_) std::exchange(then_, nullptr)();
  }
  bool is_completed() override { return !then_ || work_.is_completed(); }

 private:
  Work work_;
  std::function<void()> then_;
};

/// Whether tensors on this device go by host memory.
bool is_staged(Device device) {
#ifdef TERN_HAS_NCCL
  static_cast<void>(device);
  return false;
#else
  return !device.on_host() && world_size() > 1;
#endif
}

Work start(const std::string& what, Device device, std::vector<Round> rounds) {
  if (world_size() == 1) {
    for (const Round& round : rounds) {
      if (round.then) round.then();
    }
    return {};
  }
  Transport* transport = world().ranks.get();
#ifdef TERN_HAS_NCCL
  if (!device.on_host()) {
    auto& of_device = world().devices[device.index];
    if (!of_device) of_device = nccl_transport(*world().ranks, device.index);
    transport = of_device.get();
  }
#else
  static_cast<void>(device);
#endif
  return Work(transport->start(what, std::move(rounds)));
}

/// The other ranks, from the next one on, so that not all begin with the same.
std::vector<int> others() {
  std::vector<int> peers;
  for (int i = 1; i < world_size(); ++i) peers.push_back((rank() + i) % world_size());
  return peers;
}

/// a = a op b.
void combine_into(const Tensor& a, const Tensor& b, ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::avg:
      a.add_(b);
      return;
    case ReduceOp::min:
      a.copy_(minimum(a, b));
      return;
    case ReduceOp::max:
      a.copy_(maximum(a, b));
      return;
    case ReduceOp::product:
      a.mul_(b);
      return;
  }
}

/// all_reduce by names that are the caller's own.
Work begin_all_reduce(const Tensor& x, ReduceOp op) {
  check_tensor("all_reduce", x);
  check(op != ReduceOp::avg || is_floating(x.dtype()), "all_reduce: avg of {}, expected float32 or float64", x.dtype());
  std::function<void()> then;
  if (op == ReduceOp::avg && world_size() > 1) then = [x] { no_grad([&] { return x.div_(world_size()); }); };
  return combine(describe(fmt::format("all_reduce({})", name_of(op)), x),
                 {{{rank(), rank() + 1}, x.detach().view({-1})}}, world_size(), op, std::move(then));
}

Work begin_broadcast(const Tensor& x, int root) {
  check_tensor("broadcast", x);
  check(0 <= root && root < world_size(), "broadcast: from rank {}, expected 0 to {}", root, world_size() - 1);
  if (is_staged(x.device())) {
    const Tensor host = x.detach().cpu();
    return Work(std::make_shared<Chained>(begin_broadcast(host, root), [x, host] { x.detach().copy_(host); }));
  }
  Round round;
  if (rank() == root) {
    for (const int peer : others()) round.sends.push_back({peer, bytes_of(x), num_bytes(x)});
  } else {
    round.receives.push_back({root, bytes_of(x), num_bytes(x)});
  }
  round.then = [x] { x.storage()->bump_version(); };
  return start(describe(fmt::format("broadcast(root = {})", root), x), x.device(), {round});
}

}  // namespace

Work combine(const std::string& what, const std::vector<ShardSum<Tensor>::Node>& nodes, int shards, ReduceOp op,
             std::function<void()> then) {
  const Tensor result = nodes.at(0).value;
  if (is_staged(result.device())) {
    std::vector<ShardSum<Tensor>::Node> on_host;
    for (const auto& node : nodes) on_host.push_back({node.shards, node.value.cpu()});
    const auto back = [result, host = on_host[0].value, then = std::move(then)] {
      result.copy_(host);
      if (then) then();
    };
    return Work(std::make_shared<Chained>(combine(what, on_host, shards, op), back));
  }
  const int ranks = world_size(), me = rank();
  const std::int64_t n = result.numel();
  const auto first = [n, ranks](int piece) { return n * piece / ranks; };
  const auto length = [first](int piece) { return first(piece + 1) - first(piece); };
  const auto piece_bytes = [&](int piece) {
    return length(piece) * static_cast<std::int64_t>(size_of(result.dtype()));
  };
  // Each rank is sent its piece of all nodes, and adds it up.
  struct Part {
    Shards shards;
    Tensor value;
  };
  std::vector<Part> parts;
  Round scatter;
  for (int from = 0; from < ranks; ++from) {
    if (from == me) {
      for (const auto& node : nodes) parts.push_back({node.shards, node.value.narrow(0, first(me), length(me))});
      continue;
    }
    for (const Shards& theirs : nodes_of(shards_of(from, ranks, shards), shards)) {
      parts.push_back({theirs, empty({length(me)}, {.dtype = result.dtype(), .device = result.device()})});
      scatter.receives.push_back({from, bytes_of(parts.back().value), piece_bytes(me)});
    }
  }
  for (const int peer : others()) {
    for (const auto& node : nodes)
      scatter.sends.push_back({peer, bytes_of(node.value, first(peer)), piece_bytes(peer)});
  }
  const Tensor mine = result.narrow(0, first(me), length(me));
  // The nodes are held until nobody reads them any more.
  scatter.then = [parts = std::move(parts), nodes, mine, shards, op] {
    const NoGradGuard no_grad;
    ShardSum<Tensor> sum(shards);
    for (const Part& part : parts) {
      sum.push(part.shards, part.value, [op](const Tensor& a, const Tensor& b) { combine_into(a, b, op); });
    }
    const Tensor& all = sum.nodes()[0].value;
    if (all.storage() != mine.storage()) mine.copy_(all);
  };
  Round gather;
  for (const int peer : others()) {
    gather.sends.push_back({peer, bytes_of(mine), piece_bytes(me)});
    gather.receives.push_back({peer, bytes_of(result, first(peer)), piece_bytes(peer)});
  }
  gather.then = [result, then = std::move(then)] {
    result.storage()->bump_version();
    if (then) then();
  };
  std::vector<Round> rounds;
  rounds.push_back(std::move(scatter));
  rounds.push_back(std::move(gather));
  return start(what, result.device(), std::move(rounds));
}

int launched_ranks() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (const char* value = std::getenv(name)) return std::max(std::atoi(value), 1);
  }
  return std::getenv("PMIX_RANK") ? 1 : 0;
}

Statistics& counted() { return world().statistics; }
Statistics statistics() { return world().statistics; }

bool& is_among_local_shards() {
  thread_local bool is = false;
  return is;
}

void init(const InitOptions& options) {
  check(!world().initialized && !world().finalized, "init: called before, expected once");
  check(options.timeout.count() > 0, "init: timeout of {} s, expected more than 0", options.timeout.count());
  world().ranks = join(options);
  world().initialized = true;
  check_same("init", {{"version of tern", TERN_VERSION}});
}

bool is_initialized() { return world().initialized; }

void finalize() {
  if (!std::exchange(world().initialized, false)) return;
  world().devices.clear();
  if (world().ranks) world().ranks->finalize();
  world().ranks.reset();
  world().finalized = true;
}

void abort(const std::string& why) {
  std::fprintf(stderr, "rank %d: %s\n", rank(), why.c_str());
  std::fflush(nullptr);
  if (world().ranks) world().ranks->abort();
  std::_Exit(1);
}

int rank() { return world().ranks ? world().ranks->rank : 0; }
int world_size() { return world().ranks ? world().ranks->size : 1; }
int local_rank() { return world().ranks ? world().ranks->local_rank : 0; }
int local_world_size() { return world().ranks ? world().ranks->local_size : 1; }

void Work::wait() {
  if (state_) std::exchange(state_, nullptr)->wait();
}
bool Work::is_completed() { return !state_ || state_->is_completed(); }

void all_reduce(const Tensor& x, ReduceOp op) { begin_all_reduce(x, op).wait(); }
Work all_reduce_async(const Tensor& x, ReduceOp op) { return begin_all_reduce(x, op); }
void broadcast(const Tensor& x, int root) { begin_broadcast(x, root).wait(); }

std::vector<Tensor> all_gather(const Tensor& x) {
  check_tensor("all_gather", x);
  if (is_staged(x.device())) {
    std::vector<Tensor> all = all_gather(x.detach().cpu());
    for (Tensor& one : all) one = one.to(x.device());
    return all;
  }
  std::vector<Tensor> all;
  for (int from = 0; from < world_size(); ++from) all.push_back(from == rank() ? x.detach().clone() : empty_like(x));
  Round round;
  for (const int peer : others()) {
    round.sends.push_back({peer, bytes_of(x), num_bytes(x)});
    const Tensor& theirs = all[static_cast<std::size_t>(peer)];
    round.receives.push_back({peer, bytes_of(theirs), num_bytes(theirs)});
  }
  round.then = [x, all] {};  // which hold the memory
  start(describe("all_gather", x), x.device(), {round}).wait();
  return all;
}

std::vector<std::string> all_gather_object(const std::string& bytes) {
  const std::vector<Tensor> sizes = all_gather(tensor({static_cast<std::int64_t>(bytes.size())}));
  const auto all = std::make_shared<std::vector<std::string>>();
  for (const Tensor& size : sizes) all->emplace_back(static_cast<std::size_t>(size.item<std::int64_t>()), '\0');
  (*all)[static_cast<std::size_t>(rank())] = bytes;
  Round round;
  std::string& mine = (*all)[static_cast<std::size_t>(rank())];
  for (const int peer : others()) {
    std::string& theirs = (*all)[static_cast<std::size_t>(peer)];
    round.sends.push_back({peer, mine.data(), std::ssize(mine)});
    round.receives.push_back({peer, theirs.data(), std::ssize(theirs)});
  }
  round.then = [all] {};
  start("all_gather_object()", Device::cpu, {round}).wait();
  return std::move(*all);
}

void barrier() {
  check(!world().finalized, "barrier: after finalize(), expected it before");
  start("barrier()", Device::cpu, {}).wait();
}

void check_same(const char* who, const std::map<std::string, std::string>& settings) {
  std::string mine;
  const auto add = [&mine](const std::string& text) {
    mine += text;
    mine += '\0';
  };
  for (const auto& [name, value] : settings) {
    add(name);
    add(value);
  }
  const std::vector<std::string> all = all_gather_object(mine);
  const auto parsed = [](std::string_view text) {
    std::map<std::string, std::string, std::less<>> words;
    const auto next = [&text] {
      const std::size_t end = text.find('\0');
      const std::string_view word = text.substr(0, end);
      text.remove_prefix(end + 1);
      return std::string(word);
    };
    while (!text.empty()) {
      std::string name = next();
      words[std::move(name)] = next();
    }
    return words;
  };
  const auto first = parsed(all[0]);
  for (std::size_t other = 1; other < all.size(); ++other) {
    if (all[other] == all[0]) continue;
    const auto theirs = parsed(all[other]);
    const auto value = [](const auto& of, const std::string& name) {
      const auto at = of.find(name);
      return at == of.end() ? std::string("absent") : at->second;
    };
    auto names = first;
    names.insert(theirs.begin(), theirs.end());
    for (const auto& entry : names) {
      const std::string &name = entry.first, ours = value(first, name), other_value = value(theirs, name);
      check(ours == other_value, "{}: {} is {} on rank {} and {} on rank 0, expected the same on every rank", who, name,
            other_value, other, ours);
    }
  }
}

void check_same(const std::map<std::string, std::string>& settings) { check_same("check_same", settings); }

}  // namespace tern::distributed
