#include <tern/core/generator.hpp>
#include <tern/core/ops.hpp>
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
#include <limits>
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

/// The targets of a loop's batches.
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

TEST_CASE("The order depends on seed and epoch alone, not on the workers or the batches", "[threads]") {
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
  DataLoader loader(dataset, {.batch_size = 4, .shuffle = true, .seed = tern::test::base_seed()});
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

TEST_CASE("A loader made without options gives every example by itself, in order, as PyTorch's does") {
  const Numbers dataset(1000);
  DataLoader loader(dataset);
  for (int e = 0; e < 2; ++e) {
    const auto batches = epoch(loader);
    CHECK(batches.size() == 1000);
    CHECK(joined(batches) == up_to(1000));
  }
}

TEST_CASE("A loop left early stops the workers, and the next one is a whole epoch unless it is told to go on",
          "[threads]") {
  tern::test::for_each_case(30, [](Random& random) {
    std::atomic<int> inside = 0;
    const Numbers dataset(40, [&](auto) {
      ++inside;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      --inside;
    });
    const int workers = static_cast<int>(random.integer(0, 4)), stop = static_cast<int>(random.integer(1, 9));
    const tern::DataLoaderOptions options{
        .batch_size = 4, .shuffle = random.chance(0.5), .num_workers = workers, .seed = 3};
    DataLoader whole(dataset, options), loader(dataset, options);
    std::vector<Indices> expected;
    for (int e = 0; e < 4; ++e) expected.push_back(joined(epoch(whole)));

    const auto leave = [&](bool by_exception) {
      int batches = 0;
      try {
        for ([[maybe_unused]] const auto& batch : loader) {
          if (++batches < stop) continue;
          if (by_exception) throw std::runtime_error("from the loop's body");
          break;
        }
      } catch (const std::runtime_error&) {
      }
      CHECK(inside == 0);
    };
    leave(false);
    CHECK(loader.state() == DataLoader::State{0, stop});
    CHECK(joined(epoch(loader)) == expected[1]);
    CHECK(loader.state() == DataLoader::State{2, 0});
    leave(true);
    CHECK(loader.state() == DataLoader::State{2, stop});
    loader.set_state(loader.state());
    CHECK(joined(epoch(loader)) == Indices(expected[2].begin() + 4 * stop, expected[2].end()));
    CHECK(joined(epoch(loader)) == expected[3]);
  });
}

TEST_CASE("Workers gather ahead, two batches each and no more", "[threads]") {
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

TEST_CASE("Workers gather side by side", "[threads]") {
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

TEST_CASE("What a dataset throws comes out at the batch it was thrown for, and can be tried again", "[threads]") {
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
      loader.set_state(loader.state());
      CHECK_THROWS_MATCHES(loop(), std::out_of_range,
                           Catch::Matchers::Message("example " + std::to_string(bad) + " is broken"));
      CHECK(got == (attempt == 0 ? up_to(bad) : Indices{}));
      CHECK(loader.state() == DataLoader::State{0, bad});
    }
    broken = false;
    loader.set_state(loader.state());
    Indices rest = up_to(10);
    rest.erase(rest.begin(), rest.begin() + bad);
    CHECK(joined(epoch(loader)) == rest);
  });
}

TEST_CASE("A batch in hand stays as it is while the next are gathered", "[threads]") {
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

TEST_CASE("What a dataset draws for an example depends on seed, epoch and example alone", "[threads]") {
  /// Example i is a number that its generator gives.
  class Drawn : public Numbers {
   public:
    using Numbers::Numbers;
    tern::Batch draw(std::span<const std::int64_t> indices, std::span<tern::Generator> generators) const override {
      const tern::Batch batch = get(indices);
      for (std::size_t k = 0; k < indices.size(); ++k) {
        batch.input.data<float>()[k] = tern::rand({1}, {}, generators[k]).item<float>();
      }
      return batch;
    }
  };
  tern::test::for_each_case(10, [](Random& random) {
    const std::int64_t n = random.integer(2, 20), middle = random.integer(0, n);
    const Drawn dataset(n), a(middle), b(n - middle);
    /// What is drawn in two epochs, example by example.
    const auto drawn = [&](std::uint64_t seed) {
      auto options = random_options(random, n);
      options.drop_last = false;
      options.seed = seed;
      DataLoader loader(dataset, options);
      std::vector<std::vector<float>> epochs(2, std::vector<float>(static_cast<std::size_t>(n)));
      for (auto& of_example : epochs) {
        for (const auto& [input, target] : loader) {
          const auto examples = target.to_vector<std::int64_t>();
          const auto values = input.to_vector<float>();
          for (std::size_t k = 0; k < values.size(); ++k) of_example[static_cast<std::size_t>(examples[k])] = values[k];
        }
      }
      return epochs;
    };
    const auto first = drawn(1), other = drawn(2);
    CHECK(drawn(1) == first);
    std::set<float> all;
    for (const auto* epochs : {&first, &other}) {
      for (const auto& values : *epochs) all.insert(values.begin(), values.end());
    }
    CHECK(std::ssize(all) >= 4 * n - 1);  // two of float's 2^24 numbers may meet, hardly ever more

    // Datasets made of others hand the generators on.
    Indices backwards = up_to(n);
    std::reverse(backwards.begin(), backwards.end());
    const tern::Subset subset(dataset, backwards);
    const tern::ConcatDataset both(a, b);
    for (const tern::Dataset* made :
         {static_cast<const tern::Dataset*>(&subset), static_cast<const tern::Dataset*>(&both)}) {
      DataLoader loader(*made, {.batch_size = random.integer(1, n), .num_workers = 2, .seed = 1});
      std::vector<float> values;
      for (const auto& [input, target] : loader) {
        for (const float v : input.to_vector<float>()) values.push_back(v);
      }
      CHECK(values == first[0]);
    }
  });
}

TEST_CASE("What get() draws from the default generator is the same from run to run, and leaves it alone", "[threads]") {
  /// Example i is a number from the default generator.
  class Drawn : public tern::Dataset {
   public:
    std::int64_t size() const override { return 30; }
    tern::Batch get(std::span<const std::int64_t> indices) const override {
      const auto n = static_cast<std::int64_t>(indices.size());
      return {tern::rand({n}), tern::tensor(Indices(indices.begin(), indices.end()))};
    }
  } dataset;
  tern::manual_seed(1);
  const auto before = tern::default_generator().state();
  std::vector<std::vector<float>> first;
  for (const int workers : {0, 1, 4}) {
    DataLoader loader(dataset, {.batch_size = 4, .shuffle = true, .num_workers = workers, .seed = 6});
    std::vector<std::vector<float>> drawn;
    for (int e = 0; e < 3; ++e) {
      for (const auto& [input, target] : loader) drawn.push_back(input.to_vector<float>());
    }
    CHECK(std::set(drawn.begin(), drawn.end()).size() == drawn.size());
    if (first.empty()) first = drawn;
    CHECK(drawn == first);
  }
  CHECK(tern::default_generator().state().offset == before.offset);
  CHECK(tern::default_generator().state().seed == before.seed);
}

TEST_CASE("Batches that are none are refused, at their place") {
  class Fixed : public tern::Dataset {
   public:
    explicit Fixed(tern::Batch batch) : batch_(std::move(batch)) {}
    std::int64_t size() const override { return 4; }
    tern::Batch get(std::span<const std::int64_t>) const override { return batch_; }

   private:
    tern::Batch batch_;
  };
  const tern::Tensor x = tern::ones({4, 3}), y = tern::arange(4);
  const auto loop = [](const tern::Batch& batch, int workers) {
    const Fixed dataset(batch);
    DataLoader loader(dataset, {.batch_size = 4, .num_workers = workers});
    for ([[maybe_unused]] const auto& got : loader) {
    }
  };
  for (const int workers : {0, 2}) {
    CHECK_NOTHROW(loop({x, y}, workers));
    CHECK_THROWS_WITH(loop({{}, y}, workers), "DataLoader: the dataset gave an undefined input for 4 examples");
    CHECK_THROWS_WITH(loop({x, {}}, workers), "DataLoader: the dataset gave an undefined target for 4 examples");
    for (const auto& [input, target] : {tern::Batch{x, tern::arange(3)},
                                        {tern::ones({3, 3}), y},
                                        {tern::ones({}), y},
                                        {x, tern::ones({})},
                                        {x, tern::ones({1, 4})}}) {
      CHECK_THROWS_WITH(loop({input, target}, workers), Contains("for 4 examples, expected [4, ...] both"));
    }
    for (const tern::Tensor& target : {tern::ones({4}), y.reshape({4, 1}), y.to(tern::DType::uint8)}) {
      CHECK_NOTHROW(loop({x, target}, workers));
    }
  }
}

TEST_CASE("DataLoader refuses what cannot be") {
  const Numbers dataset(10), nothing(0), negative(-1);
  CHECK_THROWS_WITH(DataLoader(dataset, {.batch_size = 0}), Contains("batch_size 0"));
  CHECK_THROWS_WITH(DataLoader(dataset, {.batch_size = 2, .num_workers = -1}), Contains("num_workers -1"));
  CHECK_THROWS_WITH(DataLoader(dataset, {.batch_size = 2, .num_workers = 257}), Contains("num_workers 257"));
  CHECK_THROWS_WITH(DataLoader(dataset, {.batch_size = 64, .drop_last = true}),
                    Contains("10 gives no batch of 64 with drop_last"));
  CHECK_THROWS_WITH(DataLoader(nothing, {.batch_size = 64}), Contains("0 gives no batch of 64"));
  CHECK_THROWS_WITH(DataLoader(negative, {.batch_size = 64}), Contains("-1 gives no batch of 64"));
  for (const std::int64_t size : {(std::int64_t{1} << 40) + 1, std::numeric_limits<std::int64_t>::max()}) {
    const Numbers many(size);
    CHECK_THROWS_WITH(DataLoader(many, {.shuffle = true}), Contains("expected at most 1099511627776"));
  }
  CHECK(DataLoader(dataset, {.batch_size = 64}).size() == 1);
  DataLoader largest(dataset, {.batch_size = std::numeric_limits<std::int64_t>::max()});
  CHECK(epoch(largest) == std::vector<Indices>{up_to(10)});

  DataLoader loader(dataset, {.batch_size = 5});
  for (const DataLoader::State bad :
       {DataLoader::State{-1, 0}, {0, -1}, {0, 3}, {1'000'000'001, 0}, {std::numeric_limits<std::int64_t>::max(), 0}}) {
    CHECK_THROWS_AS(loader.set_state(bad), tern::Error);
    CHECK(loader.state() == DataLoader::State{});
  }
  loader.set_state({0, 2});
  CHECK(epoch(loader).empty());
  CHECK(loader.state() == DataLoader::State{1, 0});
  loader.set_state({1'000'000'000, 1});
  CHECK(epoch(loader).size() == 1);
  CHECK(loader.state() == DataLoader::State{1'000'000'001, 0});
}

TEST_CASE("Replicas share each epoch: batch k of all of them is batch k of one loader") {
  tern::test::for_each_case(30, [](Random& random) {
    const std::int64_t n = random.integer(1, 60), batch_size = random.integer(1, 7);
    const int replicas = static_cast<int>(random.integer(1, 5));
    const Numbers numbers(n);
    tern::DataLoaderOptions options{.batch_size = batch_size * replicas,
                                    .shuffle = random.chance(0.7),
                                    .drop_last = random.chance(0.5) && n >= batch_size * replicas,
                                    .num_workers = static_cast<int>(random.integer(0, 2)),
                                    .seed = static_cast<std::uint64_t>(random.integer(0, 99))};
    DataLoader whole(numbers, options);
    // The second epoch, from its second batch on.
    const DataLoader::State state{1, 1};
    whole.set_state(state);
    std::vector<Indices> all(static_cast<std::size_t>(whole.size() - 1));
    options.batch_size = batch_size;
    options.num_replicas = replicas;
    for (options.rank = 0; options.rank < replicas; ++options.rank) {
      DataLoader loader(numbers, options);
      CHECK(loader.size() == whole.size());
      loader.set_state(state);
      const std::vector<Indices> mine = epoch(loader);
      REQUIRE(mine.size() == all.size());
      for (std::size_t k = 0; k < mine.size(); ++k) {
        all[k].insert(all[k].end(), mine[k].begin(), mine[k].end());
        if (k + 1 < mine.size()) CHECK(std::ssize(mine[k]) == batch_size);
      }
      CHECK(loader.state() == DataLoader::State{2, 0});
    }
    CHECK(all == epoch(whole));
  });
  const Numbers numbers(10);
  CHECK_THROWS_WITH(DataLoader(numbers, {.num_replicas = 2, .rank = 2}), Contains("rank 2 of 2 replicas"));
  CHECK_THROWS_WITH(DataLoader(numbers, {.num_replicas = 0}), Contains("rank 0 of 0 replicas"));
  CHECK_THROWS_WITH(DataLoader(numbers, {.batch_size = 6, .drop_last = true, .num_replicas = 2}),
                    Contains("gives no batch of 12"));
}
