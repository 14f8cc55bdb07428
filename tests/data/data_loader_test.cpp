#include <tern/data/data_loader.hpp>
#include <tern/kernels/error.hpp>

#include <random.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <span>
#include <stdexcept>
#include <thread>
#include <vector>

using Catch::Matchers::Contains;
using tern::DataLoader;
using tern::test::Random;
using namespace std::chrono_literals;

namespace {

static_assert(std::input_iterator<DataLoader::Iterator>);
static_assert(std::sentinel_for<std::default_sentinel_t, DataLoader::Iterator>);

using Indices = std::vector<std::int64_t>;

/// Example i is the number i; each fetch goes through `before` first.
class Numbers : public tern::Dataset {
 public:
  explicit Numbers(std::int64_t n, std::function<void(std::span<const std::int64_t>)> before = {})
      : n_(n), before_(std::move(before)) {}
  std::int64_t size() const override { return n_; }
  tern::Batch get(std::span<const std::int64_t> indices) const override {
    if (before_) before_(indices);
    const tern::Tensor x = tern::tensor(Indices(indices.begin(), indices.end()));
    return {x.to(tern::DType::float32), x};
  }

 private:
  std::int64_t n_;
  std::function<void(std::span<const std::int64_t>)> before_;
};

/// The targets of the batches that are left of this epoch.
std::vector<Indices> epoch(DataLoader& loader) {
  std::vector<Indices> batches;
  for (const auto& [input, target] : loader) {
    batches.push_back(target.to_vector<std::int64_t>());
    CHECK(input.to_vector<std::int64_t>() == batches.back());
  }
  return batches;
}

Indices joined(const std::vector<Indices>& batches) {
  Indices all;
  for (const Indices& b : batches) all.insert(all.end(), b.begin(), b.end());
  return all;
}

Indices up_to(std::int64_t n) {
  Indices all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

/// Waits for the condition, and says whether it came true within ten seconds.
bool soon(const std::function<bool()>& condition) {
  for (const auto deadline = std::chrono::steady_clock::now() + 10s; std::chrono::steady_clock::now() < deadline;) {
    if (condition()) return true;
    std::this_thread::sleep_for(1ms);
  }
  return condition();
}

tern::DataLoaderOptions random_options(Random& random, std::int64_t n) {
  return {.batch_size = random.integer(1, n),
          .shuffle = random.chance(0.7),
          .drop_last = random.chance(0.5),
          .num_workers = static_cast<int>(random.integer(0, 4)),
          .seed = static_cast<std::uint64_t>(random.integer(0, 1 << 20))};
}

}  // namespace

TEST_CASE("An epoch gives every example once, in batches of the size asked for") {
  tern::test::for_each_case(60, [](Random& random) {
    const std::int64_t n = random.integer(1, 70);
    const auto options = random_options(random, n);
    const Numbers dataset(n);
    DataLoader loader(dataset, options);
    const auto batches = epoch(loader);

    const std::int64_t whole = n / options.batch_size, rest = options.drop_last ? 0 : n % options.batch_size;
    REQUIRE(static_cast<std::int64_t>(batches.size()) == whole + (rest > 0));
    CHECK(loader.size() == static_cast<std::int64_t>(batches.size()));
    for (std::int64_t b = 0; b < loader.size(); ++b) {
      CHECK(std::ssize(batches[static_cast<std::size_t>(b)]) == (b < whole ? options.batch_size : rest));
    }
    Indices all = joined(batches);
    if (options.shuffle) std::sort(all.begin(), all.end());
    if (options.shuffle && options.drop_last) {
      CHECK(std::set(all.begin(), all.end()).size() == all.size());
    } else {
      CHECK(all == up_to(std::ssize(all)));
    }
  });
}

TEST_CASE("The order depends on seed and epoch alone, not on the workers or the batches") {
  tern::test::for_each_case(20, [](Random& random) {
    const std::int64_t n = random.integer(20, 60);
    auto options = random_options(random, n);
    options.shuffle = true;
    options.drop_last = false;
    const Numbers dataset(n);
    DataLoader a(dataset, options);
    options.num_workers = static_cast<int>(random.integer(0, 4));
    options.batch_size = random.integer(1, n);
    DataLoader b(dataset, options);
    options.seed += 1;
    DataLoader other(dataset, options);

    std::set<Indices> orders;
    for (int e = 0; e < 4; ++e) {
      const Indices order = joined(epoch(a));
      CHECK(joined(epoch(b)) == order);
      orders.insert(order);
      orders.insert(joined(epoch(other)));
    }
    CHECK(orders.size() == 8);
  });
}

TEST_CASE("All orders are equally likely") {
  const Numbers dataset(4);
  DataLoader loader(dataset, {.batch_size = 4, .num_workers = 0, .seed = tern::test::base_seed()});
  constexpr int epochs = 24 * 200;
  std::map<Indices, int> count;
  for (int e = 0; e < epochs; ++e) ++count[joined(epoch(loader))];
  REQUIRE(count.size() == 24);
  double chi2 = 0;
  for (const auto& [order, times] : count) chi2 += (times - 200.0) * (times - 200.0) / 200;
  CHECK(chi2 < 73);  // 23 degrees of freedom: more than this once in a million
}

TEST_CASE("A stored state goes on where it was stored") {
  tern::test::for_each_case(30, [](Random& random) {
    const std::int64_t n = random.integer(1, 40);
    auto options = random_options(random, n);
    const Numbers dataset(n);
    DataLoader whole(dataset, options), first(dataset, options);
    std::vector<Indices> expected;
    for (int e = 0; e < 4; ++e) {
      for (const Indices& b : epoch(whole)) expected.push_back(b);
    }
    CHECK(whole.state() == DataLoader::State{4, 0});

    const std::int64_t stop = random.integer(1, std::ssize(expected));
    std::vector<Indices> got;
    DataLoader::State state;
    while (std::ssize(got) < stop) {
      for (const auto& [input, target] : first) {
        got.push_back(target.to_vector<std::int64_t>());
        state = first.state();
        CHECK(state.epoch * first.size() + state.position == std::ssize(got));
        if (std::ssize(got) == stop) break;
      }
    }
    options.num_workers = static_cast<int>(random.integer(0, 3));
    DataLoader second(dataset, options);
    second.set_state(state);
    while (second.state().epoch < 4) {
      for (const Indices& b : epoch(second)) got.push_back(b);
    }
    CHECK(got == expected);
  });
}

TEST_CASE("A loop left early stops the workers, and the next one goes on") {
  tern::test::for_each_case(30, [](Random& random) {
    std::atomic<int> inside = 0;
    const Numbers dataset(40, [&](auto) {
      ++inside;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      --inside;
    });
    const int workers = static_cast<int>(random.integer(0, 4)), stop = static_cast<int>(random.integer(1, 9));
    DataLoader loader(dataset, {.batch_size = 4, .shuffle = false, .num_workers = workers});
    int batches = 0;
    for (const auto& [input, target] : loader) {
      CHECK(target[0].item<std::int64_t>() == 4 * batches);
      if (++batches == stop) break;
    }
    CHECK(inside == 0);
    try {
      for ([[maybe_unused]] const auto& batch : loader) throw std::runtime_error("from the loop's body");
    } catch (const std::runtime_error&) {
    }
    CHECK(inside == 0);
    CHECK(loader.state() == DataLoader::State{0, stop + 1});
    Indices rest = up_to(40);
    rest.erase(rest.begin(), rest.begin() + 4 * (stop + 1));
    CHECK(joined(epoch(loader)) == rest);
  });
}

TEST_CASE("Workers gather ahead, two batches each and no more") {
  for (const int workers : {1, 3}) {
    std::atomic<int> gathered = 0;
    const Numbers dataset(100, [&](auto) { ++gathered; });
    DataLoader loader(dataset, {.batch_size = 1, .num_workers = workers});
    auto it = loader.begin();
    for (int given = 1; given <= 20; ++given, ++it) {
      CHECK(soon([&] { return gathered == given + 2 * workers; }));
      std::this_thread::sleep_for(1ms);
      CHECK(gathered == given + 2 * workers);
    }
  }
}

TEST_CASE("Workers gather side by side") {
  std::mutex mutex;
  std::condition_variable changed;
  int waiting = 0;
  bool met = false;
  const Numbers dataset(2, [&](auto) {
    std::unique_lock lock(mutex);
    met = ++waiting == 2 || met;
    changed.notify_all();
    changed.wait_for(lock, 10s, [&] { return met; });
  });
  DataLoader loader(dataset, {.batch_size = 1, .num_workers = 2});
  CHECK(epoch(loader).size() == 2);
  CHECK(met);
}

TEST_CASE("What a dataset throws comes out at the batch it was thrown for, and can be tried again") {
  tern::test::for_each_case(20, [](Random& random) {
    const std::int64_t bad = random.integer(0, 9);
    const int workers = static_cast<int>(random.integer(0, 4));
    std::atomic<bool> broken = true;
    const Numbers dataset(10, [&](std::span<const std::int64_t> indices) {
      if (broken && indices[0] == bad) throw std::out_of_range("example " + std::to_string(bad) + " is broken");
    });
    DataLoader loader(dataset, {.batch_size = 1, .shuffle = false, .num_workers = workers});
    for (int attempt = 0; attempt < 2; ++attempt) {
      Indices got;
      const auto loop = [&] {
        for (const auto& [input, target] : loader) got.push_back(target.item<std::int64_t>());
      };
      CHECK_THROWS_MATCHES(loop(), std::out_of_range,
                           Catch::Matchers::Message("example " + std::to_string(bad) + " is broken"));
      CHECK(got == (attempt == 0 ? up_to(bad) : Indices{}));
      CHECK(loader.state() == DataLoader::State{0, bad});
    }
    broken = false;
    Indices rest = up_to(10);
    rest.erase(rest.begin(), rest.begin() + bad);
    CHECK(joined(epoch(loader)) == rest);
  });
}

TEST_CASE("A batch in hand stays as it is while the next are gathered") {
  const Numbers dataset(30);
  DataLoader loader(dataset, {.batch_size = 5, .shuffle = false, .num_workers = 2});
  std::vector<tern::Batch> kept;
  for (const tern::Batch& batch : loader) kept.push_back(batch);
  for (std::size_t b = 0; b < kept.size(); ++b) {
    Indices expected = up_to(5);
    for (auto& i : expected) i += static_cast<std::int64_t>(5 * b);
    CHECK(kept[b].target.to_vector<std::int64_t>() == expected);
    CHECK(kept[b].input.to_vector<std::int64_t>() == expected);
  }
}

TEST_CASE("DataLoader refuses what cannot be") {
  const Numbers dataset(10), nothing(0);
  CHECK_THROWS_WITH(DataLoader(dataset, {.batch_size = 0}), Contains("batch_size 0"));
  CHECK_THROWS_WITH(DataLoader(dataset, {.batch_size = 2, .num_workers = -1}), Contains("num_workers -1"));
  CHECK_THROWS_WITH(DataLoader(dataset, {.batch_size = 2, .num_workers = 257}), Contains("num_workers 257"));
  CHECK_THROWS_WITH(DataLoader(dataset), Contains("10 gives no batch of 64 with drop_last"));
  CHECK_THROWS_WITH(DataLoader(nothing, {.drop_last = false}), Contains("0 gives no batch of 64"));
  CHECK(DataLoader(dataset, {.drop_last = false}).size() == 1);

  DataLoader loader(dataset, {.batch_size = 5});
  for (const DataLoader::State bad : {DataLoader::State{-1, 0}, {0, -1}, {0, 3}}) {
    CHECK_THROWS_AS(loader.set_state(bad), tern::Error);
    CHECK(loader.state() == DataLoader::State{});
  }
  loader.set_state({0, 2});
  CHECK(epoch(loader).empty());
  CHECK(loader.state() == DataLoader::State{1, 0});
}
