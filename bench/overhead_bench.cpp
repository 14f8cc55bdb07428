/// What a training step costs outside kernels: recording, allocating, dispatching. Each benchmark runs a chain of ops
/// on tensors of 1 to 16 elements, and after it the same kernels by themselves on memory of their own. The counters are
/// medians, in nanoseconds for each op of the chain: all of it, its kernels, and the difference; and how many recorded
/// ops each consists of. `forward` builds the graph and lets it go; `step` is forward, backward, zero_grad and a step
/// of SGD.

#include <tern/kernels/optim.hpp>
#include <tern/tern.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace {

using namespace tern::kernels;
using benchmark::State;
using tern::Tensor;

FloatKernels<float>& kernels() { return cpu_backend().floating(float{}); }
ArrayKernels<float>& array_kernels() { return cpu_backend().array(float{}); }
float* data(const Tensor& x) { return x.data<float>(); }

/// A parameter.
Tensor parameter(const tern::Shape& shape) { return tern::rand(shape).set_requires_grad(); }

/// One op of a chain, from a tensor to one of its shape.
struct Link {
  std::function<Tensor(const Tensor&)> op;
  std::function<void()> forward, backward;  ///< the kernels that op calls
  std::vector<Tensor> params = {};
};

constexpr int64_t n = 16;
constexpr Strided walk{.ndim = 1, .size = {n}, .a = {1}, .b = {1}};

struct Buffers {
  Tensor a = tern::rand({n}), b = tern::rand({n}), y = tern::empty({n});
};

Link add() {
  const Tensor p = parameter({n});
  return {[p](const Tensor& x) { return x + p; },
          [m = Buffers()] { array_kernels().binary(BinaryOp::add, walk, data(m.a), data(m.b), data(m.y)); },
          [m = Buffers()] { array_kernels().copy(walk, data(m.a), data(m.y)); },  // one gradient for two tensors
          {p}};
}

Link mul() {
  const Tensor p = parameter({n});
  const auto multiply = [m = Buffers()] {
    array_kernels().binary(BinaryOp::mul, walk, data(m.a), data(m.b), data(m.y));
  };
  return {[p](const Tensor& x) { return x * p; },
          multiply,
          [multiply] {
            multiply();
            multiply();
          },
          {p}};
}

Link tanh() {
  return {[](const Tensor& x) { return tern::tanh(x); },
          [m = Buffers()] { kernels().unary({UnaryOp::tanh}, n, data(m.a), data(m.y)); },
          [m = Buffers()] { kernels().unary_backward({UnaryOp::tanh}, n, data(m.a), data(m.b), data(m.y)); }};
}

Link relu() {
  return {[](const Tensor& x) { return tern::relu(x); },
          [m = Buffers()] { kernels().unary({UnaryOp::relu}, n, data(m.a), data(m.y)); },
          [m = Buffers()] { kernels().unary_backward({UnaryOp::relu}, n, data(m.a), data(m.b), data(m.y)); }};
}

/// Over a dimension of one element: a sum, and a division by a number.
Link mean() {
  const auto divide = [m = Buffers()] { array_kernels().binary(BinaryOp::div, walk, data(m.a), 1.0F, data(m.y)); };
  return {[](const Tensor& x) { return x.mean({1}, true); },
          [divide, m = Buffers()] {
            array_kernels().reduce({ReduceOp::sum}, {.outer = n, .n = 1, .inner = 1}, data(m.a), data(m.y));
            divide();
          },
          divide};
}

/// A vector of 16 by a matrix of 16 x 16, and a bias.
Link linear() {
  const Tensor w = parameter({n, n}), b = parameter({n});
  const Tensor dw = tern::empty({n, n}), db = tern::empty({n});
  static constexpr LinearShape s{.rows = 1, .in = n, .out = n};
  return {[w, b](const Tensor& x) { return tern::linear(x, w, b); },
          [w, b, m = Buffers()] { kernels().linear(s, data(m.a), data(w), data(b), data(m.y)); },
          [w, dw, db, m = Buffers()] {
            kernels().linear_backward(s, data(m.a), data(w), nullptr, data(m.b), data(m.y), data(dw), data(db));
          },
          {w, b}};
}

/// An image of one element by a filter of one.
Link conv2d() {
  const Tensor w = parameter({1, 1, 1, 1}), b = parameter({1});
  static constexpr Conv2dShape s{.N = 1, .C = 1, .H = 1, .W = 1, .K = 1, .R = 1, .S = 1};
  return {[w, b](const Tensor& x) { return tern::conv2d(x, w, b); },
          [w, b, m = Buffers()] { kernels().conv2d(s, data(m.a), data(w), data(b), data(m.y)); },
          [w, m = Buffers()] {
            kernels().conv2d_backward_input(s, data(w), data(m.a), data(m.y));
            kernels().conv2d_backward_weight(s, data(m.a), data(m.b), data(m.y), data(m.y) + 1);
          },
          {w, b}};
}

using Chain = std::vector<Link>;

Chain repeated(Link (*link)()) {
  Chain chain(16);
  std::generate(chain.begin(), chain.end(), link);
  return chain;
}

Chain mixed() {
  Chain chain;
  for (int i = 0; i < 4; ++i) {
    for (Link (*link)() : {linear, tanh, mul, relu, add}) chain.push_back(link());
  }
  return chain;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Times `all` and right after it `only_kernels`.
template <class All, class Kernels>
void measure(State& state, std::size_t ops, const All& all, const Kernels& only_kernels) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> whole, alone, outside;
  for (auto _ : state) {
    const auto start = Clock::now();
    all();
    const auto between = Clock::now();
    only_kernels();
    const auto end = Clock::now();
    const std::chrono::duration<double, std::nano> first = between - start, second = end - between;
    whole.push_back(first.count() / static_cast<double>(ops));
    alone.push_back(second.count() / static_cast<double>(ops));
    outside.push_back(whole.back() - alone.back());
    state.SetIterationTime(first.count() * 1e-9);
  }
  state.counters = {{"all", median(whole)}, {"kernels", median(alone)}, {"outside", median(outside)}};
}

Tensor run(const Chain& chain, const Tensor& x) {
  Tensor y = x;
  for (const Link& link : chain) y = link.op(y);
  return y;
}

/// How many ops are recorded for each of the chain.
double recorded(const Chain& chain, const Tensor& x) {
  const auto before = run(chain, x).grad_node()->sequence, after = run(chain, x).grad_node()->sequence;
  return static_cast<double>(after - before) / static_cast<double>(chain.size());
}

void forward(State& state, const Chain& chain, const tern::Shape& shape) {
  const Tensor x = parameter(shape);
  measure(
      state, chain.size(), [&] { benchmark::DoNotOptimize(run(chain, x)); },
      [&] {
        for (const Link& link : chain) link.forward();
      });
  state.counters["recorded"] = recorded(chain, x);
}

void step(State& state, const Chain& chain, const tern::Shape& shape) {
  std::vector<Tensor> params{parameter(shape)};
  for (const Link& link : chain) params.insert(params.end(), link.params.begin(), link.params.end());
  tern::SGD optimizer(params, {.lr = 1e-9});
  const Tensor gradient = tern::ones(shape);
  std::vector<OptimizerParam<float>> updates;
  for (const Tensor& p : params) updates.push_back({p.numel(), data(p), data(p), {}});
  measure(
      state, chain.size(),
      [&] {
        const Tensor y = run(chain, params[0]);
        optimizer.zero_grad();
        y.backward(gradient);
        optimizer.step();
      },
      [&] {
        for (const Link& link : chain) link.forward();
        for (const Link& link : chain) link.backward();
        kernels().optimizer_step({.op = OptimizerOp::sgd, .lr = 1e-9}, updates);
      });
  state.counters["recorded"] = recorded(chain, params[0]);
}

void add_chain(const std::string& name, const Chain& chain, const tern::Shape& shape = {n}) {
  const auto add = [&](const char* kind, auto function) {
    benchmark::RegisterBenchmark((kind + name).c_str(), [=](State& state) {
      function(state, chain, shape);
    })->UseManualTime();
  };
  add("forward/", forward);
  add("step/", step);
}

}  // namespace

int main(int argc, char** argv) {
  add_chain("add", repeated(add));
  add_chain("mul", repeated(mul));
  add_chain("tanh", repeated(tanh));
  add_chain("relu", repeated(relu));
  add_chain("mean", repeated(mean), {n, 1});
  add_chain("linear", repeated(linear));
  add_chain("conv2d", repeated(conv2d), {1, 1, 1, 1});
  add_chain("linear, tanh, mul, relu, add", mixed());
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
