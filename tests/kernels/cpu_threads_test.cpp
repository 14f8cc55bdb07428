#include "shapes.hpp"

#include <tern/kernels/cpu/threads.hpp>
#include <tern/kernels/error.hpp>
#include <tern/kernels/optim.hpp>

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <unary_cases.hpp>

#include <atomic>
#include <chrono>
#include <cstring>
#include <ctime>
#include <functional>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

namespace tern::test {

namespace {

/// Sets the number of threads back at the end of a test.
class KeepThreads {
 public:
  ~KeepThreads() { set_num_threads(before_); }

 private:
  int before_ = num_threads();
};

/// 0 + 1 + ... + 999.
std::int64_t sum_in_pieces() {
  std::atomic<std::int64_t> sum = 0;
  parallel_for(1000, 7, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) sum += i;
  });
  return sum;
}

using Outputs = std::vector<std::vector<float>>;

/// Runs the kernel on 1, 2 and 3 threads, over different garbage each time: all bits of all outputs are the same.
void check_same_bits(const std::vector<std::int64_t>& sizes, const std::function<void(Outputs&)>& kernel) {
  const KeepThreads keep;
  Outputs want;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Outputs got;
    for (const std::int64_t n : sizes) got.emplace_back(n, static_cast<float>(threads) + 0.5f);
    kernel(got);
    if (threads == 1) want = got;
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(threads, i);
      CHECK(std::memcmp(got[i].data(), want[i].data(), got[i].size() * sizeof(float)) == 0);
    }
  }
}

FloatKernels<float>& floating() { return cpu_backend().floating(float{}); }
ArrayKernels<float>& array() { return cpu_backend().array(float{}); }

}  // namespace

TEST_CASE("the pieces of parallel_for cover a range once, whatever the threads", "[cpu]") {
  const KeepThreads keep;
  for_each_case(20, [](Random& random) {
    const std::int64_t n = random.integer(0, 500), grain = random.integer(1, 60);
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      std::vector<std::atomic<int>> seen(n);
      std::atomic<bool> whole = true;
      parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
        if (begin % grain != 0 || end != std::min(n, begin + grain)) whole = false;
        // Pieces within a piece run one after the other.
        parallel_for(end - begin, 1, [&](std::int64_t first, std::int64_t) { ++seen[begin + first]; });
      });
      CAPTURE(n, grain, threads);
      CHECK(whole);
      CHECK(std::all_of(seen.begin(), seen.end(), [](const std::atomic<int>& times) { return times == 1; }));
    }
  });
}

TEST_CASE("an exception leaves parallel_for from any piece", "[cpu]") {
  const KeepThreads keep;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    for (const std::int64_t failing : {0, 30, 90}) {
      std::atomic<int> begun = 0;
      const auto fail = [&](std::int64_t begin, std::int64_t) {
        ++begun;
        if (begin == failing) throw Error("piece " + std::to_string(failing));
      };
      CAPTURE(threads, failing);
      CHECK_THROWS_WITH(parallel_for(100, 10, fail), "piece " + std::to_string(failing));
      CHECK(begun <= 10);
    }
    CHECK_THROWS_AS(parallel_for(100, 1, [](std::int64_t, std::int64_t) { throw Error("each"); }), Error);
    CHECK(sum_in_pieces() == 499'500);  // the pool is as good as before
  }
  CHECK_THROWS_AS(set_num_threads(0), Error);
}

TEST_CASE("pieces run on as many threads as are set, from one loop to the next", "[cpu]") {
  const KeepThreads keep;
  for (const int threads : {3, 1, 2, 4, 2}) {
    set_num_threads(threads);
    // Each piece waits for the others, which takes a thread for each.
    std::atomic<int> begun = 0;
    std::mutex mutex;
    std::set<std::thread::id> ids;
    parallel_for(threads, 1, [&](std::int64_t, std::int64_t) {
      ++begun;
      while (begun < threads) std::this_thread::yield();
      const std::scoped_lock lock(mutex);
      ids.insert(std::this_thread::get_id());
    });
    CHECK(ids.size() == static_cast<std::size_t>(threads));
    CHECK(ids.count(std::this_thread::get_id()) == 1);
    ids.clear();
    parallel_for(50, 1, [&](std::int64_t, std::int64_t) {
      const std::scoped_lock lock(mutex);
      ids.insert(std::this_thread::get_id());
    });
    CHECK(ids.size() <= static_cast<std::size_t>(threads));
  }
}

TEST_CASE("threads that call parallel_for at once each get what they would alone", "[cpu]") {
  const KeepThreads keep;
  set_num_threads(3);
  std::atomic<int> right = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int round = 0; round < 500; ++round) right += sum_in_pieces() == 499'500;
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(right == 4 * 500);

  bool alone = true;
  std::thread([&] {
    run_loops_alone();
    parallel_for(100, 1, [&, self = std::this_thread::get_id()](std::int64_t, std::int64_t) {
      if (std::this_thread::get_id() != self) alone = false;
    });
  }).join();
  CHECK(alone);

  // One caller need not wait for another: here its loop is over first.
  std::atomic<bool> done = false;
  parallel_for(2, 1, [&](std::int64_t begin, std::int64_t) {
    if (begin != 0) return;
    std::thread([&] { done = sum_in_pieces() == 499'500; }).join();
  });
  CHECK(done);
}

TEST_CASE("threads that wait sleep", "[cpu]") {
  const KeepThreads keep;
  set_num_threads(2);
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(3)); };
  const auto before = std::clock();
  for (int round = 0; round < 100; ++round) {
    pause();                                                    // the pool waits for a loop
    parallel_for(2, 1, [&](std::int64_t begin, std::int64_t) {  // one thread waits for the other
      if (begin == 0) pause();
    });
  }
  // The processor's time of all threads. Who kept looking would take 0.6 s on an idle machine.
  CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < 0.2);
}

#ifndef __SANITIZE_THREAD__  // which ends a child that starts threads
TEST_CASE("the child of a fork starts threads of its own, which share one processor without loss", "[cpu]") {
  const KeepThreads keep;
  set_num_threads(2);
  CHECK(sum_in_pieces() == 499'500);
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);  // lest it waits for ever
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(sched_getcpu(), &mask);
    if (sched_setaffinity(0, sizeof mask, &mask) != 0) _exit(2);
    const auto seconds = [](int threads) {
      set_num_threads(threads);
      const auto before = std::clock();
      for (int round = 0; round < 300; ++round) {
        std::vector<double> sums(20);
        parallel_for(20, 1, [&](std::int64_t i, std::int64_t) {
          for (int n = 1; n <= 20'000; ++n) sums[i] += 1.0 / n;
        });
        for (const double sum : sums) {
          if (sum != sums[0] || !(sum > 10.48 && sum < 10.49)) _exit(3);
        }
      }
      return static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    };
    set_num_threads(2);
    std::atomic<int> begun = 0;
    parallel_for(2, 1, [&](std::int64_t, std::int64_t) {  // takes two threads
      ++begun;
      while (begun < 2) std::this_thread::yield();
    });
    const double alone = seconds(1), shared = seconds(2);
    _exit(shared < 2 * alone ? 0 : 4);
  }
  REQUIRE(child > 0);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(sum_in_pieces() == 499'500);
}
#endif

TEST_CASE("convolutions are the same for any number of threads", "[cpu]") {
  for_each_case(12, [](Random& random) {
    Conv2dShape s;
    s.precision = random.pick({Precision::highest, Precision::high});
    s.groups = random.pick<std::int64_t>({1, 1, 2});
    s.N = random.integer(1, 20);
    s.C = s.groups * random.integer(1, 36);
    s.K = s.groups * random.integer(1, 20);
    s.H = random.integer(5, 40);
    s.W = random.integer(5, 40);
    s.R = random.integer(1, 3);
    s.S = random.integer(1, 3);
    s.stride_h = s.stride_w = random.integer(1, 2);
    s.pad_h = s.pad_w = random.integer(0, 1);
    if (random.chance(0.4)) {  // as Winograd's algorithm takes them
      s.R = s.S = 3;
      s.stride_h = s.stride_w = 1;
      s.H = random.chance(0.5) ? 4 * random.integer(2, 10) : random.integer(6, 40);
      s.W = random.chance(0.5) ? 16 * random.integer(1, 3) : random.integer(8, 40);
    }
    if (random.chance(0.2)) {  // of which one image makes several blocks
      s.C = s.groups * random.integer(60, 70);
      s.W = random.integer(100, 200);
    }
    CAPTURE(s);
    const std::int64_t nx = s.N * s.C * s.H * s.W, nw = s.K * s.C / s.groups * s.R * s.S,
                       ny = s.N * s.K * s.P() * s.Q();
    const auto x = random.values<float>(nx), w = random.values<float>(nw), b = random.values<float>(s.K);
    const auto dy = random.values<float>(ny);
    check_same_bits({ny, nx, nw, s.K}, [&](Outputs& out) {
      floating().conv2d(s, x.data(), w.data(), b.data(), out[0].data());
      floating().conv2d_backward_input(s, w.data(), dy.data(), out[1].data());
      floating().conv2d_backward_weight(s, x.data(), dy.data(), out[2].data(), out[3].data());
    });

    const Conv2dMaxPool2dShape pooled = random_windows(random, s);
    CAPTURE(pooled);
    const std::int64_t windows = s.N * s.K * pooled.P() * pooled.Q();
    check_same_bits({windows, windows, nx, nw, s.K}, [&](Outputs& out) {
      std::vector<std::uint8_t> picked(windows, 255);
      floating().conv2d_max_pool2d(pooled, x.data(), w.data(), b.data(), out[0].data(), picked.data());
      std::copy(picked.begin(), picked.end(), out[1].begin());
      floating().conv2d_max_pool2d_backward(pooled, x.data(), w.data(), out[0].data(), picked.data(), dy.data(),
                                            out[2].data(), out[3].data(), out[4].data());
    });
  });
}

TEST_CASE("a filter too large for sixteen partial sums is the same for any number of threads", "[cpu]") {
  Random random(base_seed(), 0);
  const Conv2dShape s{.N = 3,
                      .C = 300,
                      .H = 16,
                      .W = 16,
                      .K = 300,
                      .R = 3,
                      .S = 3,
                      .pad_h = 1,
                      .pad_w = 1,
                      .precision = Precision::high};
  const auto x = random.values<float>(s.N * s.C * 256), dy = random.values<float>(s.N * s.K * 256);
  check_same_bits({s.K * s.C * 9, s.K}, [&](Outputs& out) {
    floating().conv2d_backward_weight(s, x.data(), dy.data(), out[0].data(), out[1].data());
  });
}

TEST_CASE("products are the same for any number of threads", "[cpu]") {
  for_each_case(8, [](Random& random) {
    MatmulShape s{.batch = random.integer(1, 3),
                  .m = random.integer(1, 600),
                  .n = random.integer(1, 600),
                  .k = random.integer(1, 300),
                  .trans_a = random.chance(0.5),
                  .trans_b = random.chance(0.5)};
    CAPTURE(s);
    const auto a = random.values<float>(s.batch * s.m * s.k), b = random.values<float>(s.batch * s.k * s.n);
    check_same_bits({s.batch * s.m * s.n},
                    [&](Outputs& out) { floating().matmul(s, a.data(), b.data(), out[0].data()); });
  });
}

TEST_CASE("linear and its gradient are the same for any number of threads", "[cpu]") {
  for_each_case(6, [](Random& random) {
    const LinearShape s{.rows = random.integer(1, 600),
                        .in = random.integer(1, 300),
                        .out = random.integer(1, 600),
                        .activation = random.pick({Activation::none, Activation::tanh, Activation::relu})};
    CAPTURE(s);
    const auto x = random.values<float>(s.rows * s.in), w = random.values<float>(s.out * s.in),
               bias = random.values<float>(s.out), dy = random.values<float>(s.rows * s.out);
    check_same_bits({s.rows * s.out, s.rows * s.in, s.out * s.in, s.out}, [&](Outputs& out) {
      floating().linear(s, x.data(), w.data(), bias.data(), out[0].data());
      floating().linear_backward(s, x.data(), w.data(), out[0].data(), dy.data(), out[1].data(), out[2].data(),
                                 out[3].data());
    });
  });
}

TEST_CASE("sums are the same for any number of threads", "[cpu]") {
  for_each_case(12, [](Random& random) {
    const ReduceShape r{.outer = random.integer(1, 3),
                        .n = random.integer(1, random.chance(0.5) ? 100'000 : 300),
                        .inner = random.pick<std::int64_t>({1, 1, 7, 700})};
    if (r.outer * r.n * r.inner > 2'000'000) return;
    CAPTURE(r);
    const auto x = random.values<float>(r.outer * r.n * r.inner);
    check_same_bits({r.outer * r.inner, r.outer * r.inner, r.outer * r.inner}, [&](Outputs& out) {
      array().reduce({ReduceOp::sum}, r, x.data(), out[0].data());
      floating().var(r, 1, x.data(), out[1].data(), out[2].data());
    });
  });
}

TEST_CASE("batch norm is the same for any number of threads", "[cpu]") {
  for_each_case(6, [](Random& random) {
    const BatchNorm2dShape s{.N = random.integer(1, 20),
                             .C = random.integer(1, 20),
                             .HW = random.integer(1, 1200),
                             .activation = random.pick({Activation::none, Activation::tanh, Activation::relu})};
    CAPTURE(s);
    const std::int64_t n = s.N * s.C * s.HW;
    const auto x = random.values<float>(n), dy = random.values<float>(n), w = random.values<float>(s.C),
               residual = random.values<float>(n);
    check_same_bits({s.C, s.C, s.C, s.C, n, n, s.C, s.C, n}, [&](Outputs& out) {
      std::fill(out[0].begin(), out[0].end(), 0.0f);
      std::fill(out[1].begin(), out[1].end(), 1.0f);
      floating().batch_norm2d(s, 0.1, x.data(), w.data(), w.data(), residual.data(), out[0].data(), out[1].data(),
                              nullptr, out[2].data(), out[3].data(), out[4].data());
      floating().batch_norm2d_backward(s, true, x.data(), w.data(), out[2].data(), out[3].data(), out[4].data(),
                                       dy.data(), out[5].data(), out[6].data(), out[7].data(), out[8].data());
    });
  });
}

TEST_CASE("group norm and a table's gradient are the same for any number of threads", "[cpu]") {
  for_each_case(8, [](Random& random) {
    GroupNormShape s = random_group_norm(random);
    s.N = random.integer(1, 700);
    if (s.rows() * s.n() > 1'000'000) return;
    CAPTURE(s);
    const std::int64_t n = s.rows() * s.n(), C = s.groups * s.channels;
    const auto x = random.values<float>(n), dy = random.values<float>(n), w = random.values<float>(C);
    check_same_bits({n, n, C, C}, [&](Outputs& out) {
      std::vector<double> mean(s.rows()), invstd(s.rows());
      floating().group_norm(s, x.data(), w.data(), w.data(), mean.data(), invstd.data(), out[0].data());
      floating().group_norm_backward(s, x.data(), w.data(), mean.data(), invstd.data(), dy.data(), out[1].data(),
                                     out[2].data(), out[3].data());
    });
    const ReduceShape columns{s.N, s.groups, s.channels * s.run};
    check_same_bits({n, n, n}, [&](Outputs& out) {
      floating().softmax(false, columns, x.data(), out[0].data());
      floating().softmax(true, {s.rows(), s.n(), 1}, x.data(), out[1].data());
      floating().softmax_backward(true, columns, x.data(), dy.data(), out[2].data());
    });
    const ReduceShape table{.n = 500, .inner = s.n()};
    const auto index = random.indices(s.rows(), table.n);
    check_same_bits({table.n * table.inner}, [&](Outputs& out) {
      array().index_select_backward(table, s.rows(), index.data(), dy.data(), out[0].data());
    });
  });
}

TEST_CASE("batch norm with max-pooling is the same for any number of threads", "[cpu]") {
  for_each_case(6, [](Random& random) {
    const Pool2dShape s = windows_of_2({.N = random.integer(1, 20),
                                        .C = random.integer(1, 20),
                                        .H = random.integer(2, 40),
                                        .W = random.integer(2, 40)});
    const Activation activation = random.pick({Activation::none, Activation::tanh, Activation::relu});
    CAPTURE(s, activation);
    const std::int64_t nx = s.N * s.C * s.H * s.W, ny = s.N * s.C * s.P() * s.Q();
    const auto x = random.values<float>(nx), dy = random.values<float>(ny);
    auto w = random.values<float>(s.C);
    w[0] = 0;
    check_same_bits({s.C, s.C, s.C, s.C, ny, ny, nx, s.C, s.C}, [&](Outputs& out) {
      std::fill(out[0].begin(), out[0].end(), 0.0f);
      std::fill(out[1].begin(), out[1].end(), 1.0f);
      floating().batch_norm2d_max_pool2d(s, activation, 1e-5, 0.1, x.data(), w.data(), w.data(), out[0].data(),
                                         out[1].data(), nullptr, out[2].data(), out[3].data(), out[4].data(),
                                         out[5].data());
      floating().batch_norm2d_max_pool2d_backward(s, activation, x.data(), w.data(), out[2].data(), out[3].data(),
                                                  out[4].data(), out[5].data(), dy.data(), out[6].data(), out[7].data(),
                                                  out[8].data());
    });
  });
}

TEST_CASE("an image is convolved to the same bits in any batch", "[cpu]") {
  for_each_case(60, [](Random& random) {
    Conv2dShape s = random.chance(0.5) ? random_conv3x3(random) : random_conv2d(random);
    if (random.chance(0.5)) {  // one block, or several, or several images of one
      s = {.C = random.integer(1, 40), .H = random.integer(4, 70), .W = random.integer(4, 70), .R = 3, .S = 3};
      s.K = random.integer(1, 20);
      s.pad_h = s.pad_w = random.integer(0, 1);
    }
    s.N = random.integer(2, 5);
    s.precision = random.pick({Precision::highest, Precision::high});
    CAPTURE(s);
    Conv2dShape alone = s;
    alone.N = 1;
    const std::int64_t nx = s.C * s.H * s.W, ny = s.K * s.P() * s.Q();
    const auto x = random.values<float>(s.N * nx), dy = random.values<float>(s.N * ny),
               w = random.values<float>(s.K * (s.C / s.groups) * s.R * s.S), bias = random.values<float>(s.K);
    std::vector<float> y(s.N * ny), y_alone(s.N * ny), dx(s.N * nx), dx_alone(s.N * nx);
    floating().conv2d(s, x.data(), w.data(), bias.data(), y.data());
    floating().conv2d_backward_input(s, w.data(), dy.data(), dx.data());
    for (std::int64_t n = 0; n < s.N; ++n) {
      floating().conv2d(alone, x.data() + n * nx, w.data(), bias.data(), y_alone.data() + n * ny);
      floating().conv2d_backward_input(alone, w.data(), dy.data() + n * ny, dx_alone.data() + n * nx);
    }
    CHECK(std::memcmp(y.data(), y_alone.data(), y.size() * sizeof(float)) == 0);
    CHECK(std::memcmp(dx.data(), dx_alone.data(), dx.size() * sizeof(float)) == 0);
  });
}

TEST_CASE("a convolution with batch norm and max-pooling is the same for any number of threads", "[cpu]") {
  for_each_case(6, [](Random& random) {
    const Conv2dMaxPool2dShape s{.conv = {.N = random.integer(1, 20),
                                          .C = random.integer(1, 12),
                                          .H = random.integer(6, 36),
                                          .W = random.integer(6, 36),
                                          .K = random.integer(1, 20),
                                          .R = 3,
                                          .S = 3,
                                          .pad_h = 1,
                                          .pad_w = 1,
                                          .precision = random.pick({Precision::highest, Precision::high})},
                                 .R = random.integer(1, 2),
                                 .S = 2,
                                 .activation = random.pick({Activation::none, Activation::tanh, Activation::relu})};
    CAPTURE(s);
    const Conv2dShape& c = s.conv;
    const std::int64_t nx = c.N * c.C * c.H * c.W, nw = c.K * c.C * 9, ny = c.N * c.K * s.P() * s.Q(),
                       n = c.N * c.K * c.P() * c.Q();
    const auto x = random.values<float>(nx), w = random.values<float>(nw), of_channels = random.values<float>(c.K),
               dy = random.values<float>(ny);
    check_same_bits({c.K, c.K, n, ny, ny, nw, c.K, c.K, c.K}, [&](Outputs& out) {
      const float* const v = of_channels.data();
      floating().conv2d_batch_norm2d_max_pool2d(s, 1e-5, 0.1, x.data(), w.data(), v, v, v, nullptr, nullptr, nullptr,
                                                out[0].data(), out[1].data(), out[2].data(), out[3].data(),
                                                out[4].data());
      std::vector<float> room = out[2];
      floating().conv2d_batch_norm2d_max_pool2d_backward(
          s, x.data(), w.data(), out[2].data(), v, out[0].data(), out[1].data(), out[3].data(), out[4].data(),
          dy.data(), room.data(), nullptr, out[5].data(), out[6].data(), out[7].data(), out[8].data());
    });
  });
}

TEST_CASE("elementwise kernels, pooling and optimisers are the same for any number of threads", "[cpu]") {
  Random random(base_seed(), 0);
  const std::int64_t n = 200'003;
  const auto x = random.values<float>(n), y = random.values<float>(n), state = random.between<float>(n, 0, 1);
  for (const UnaryCase& c : unary_cases()) {
    CAPTURE(c.name);
    check_same_bits({n, n}, [&](Outputs& out) {
      floating().unary(c.kernel, n, x.data(), out[0].data());
      floating().unary_backward(c.kernel, n, x.data(), y.data(), out[1].data());
    });
  }
  check_same_bits({n, n, n}, [&](Outputs& out) {
    const Strided dense{.ndim = 1, .size = {n}, .a = {1}, .b = {1}};
    array().binary(BinaryOp::add, dense, x.data(), y.data(), out[0].data());
    array().copy(dense, x.data(), out[1].data());
    floating().dropout({.n = n, .group = 1, .p = 0.3}, {5, 6}, x.data(), out[2].data());
  });

  const Pool2dShape s{.N = 5, .C = 7, .H = 33, .W = 41, .R = 2, .S = 2, .stride_h = 2, .stride_w = 2};
  const std::int64_t windows = s.N * s.C * s.P() * s.Q(), nx = s.N * s.C * s.H * s.W;
  check_same_bits({windows, nx}, [&](Outputs& out) {
    std::vector<std::int64_t> indices(windows);
    floating().max_pool2d(s, x.data(), out[0].data(), indices.data());
    floating().max_pool2d_backward(s, indices.data(), y.data(), out[1].data());
  });

  for (int op = 0; op <= static_cast<int>(OptimizerOp::adamax); ++op) {
    check_same_bits({n, n, n, n}, [&](Outputs& out) {
      out = {x, state, state, state};
      const OptimizerParam<float> param{n, out[0].data(), y.data(), {out[1].data(), out[2].data(), out[3].data()}};
      floating().optimizer_step({.op = static_cast<OptimizerOp>(op),
                                 .lr = 0.1,
                                 .momentum = 0.9,
                                 .correction1 = 0.7,
                                 .correction2 = 0.03,
                                 .decay = 0.99,
                                 .eps = 1e-8,
                                 .weight_decay = 0.01},
                                std::span(&param, 1));
    });
  }
}

}  // namespace tern::test
