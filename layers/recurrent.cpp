#include <tern/core/autocast.hpp>
#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/dispatch.hpp>
#include <tern/core/ops.hpp>
#include <tern/core/ops/options.hpp>
#include <tern/core/trace.hpp>
#include <tern/layers/recurrent.hpp>

#include <cmath>

namespace tern {
namespace {

std::int64_t sums_of(Cell cell) { return kernels::CellShape{cell}.sums(); }

Cell cell_of(RNN::Nonlinearity f) { return f == RNN::Nonlinearity::tanh ? Cell::tanh : Cell::relu; }

Tensor uniform_parameter(const Shape& shape, std::int64_t hidden_size) {
  const Tensor x = empty(shape);
  const double bound = 1 / std::sqrt(static_cast<double>(hidden_size));
  uniform_(x, -bound, bound);
  return x.set_requires_grad();
}

/// The inputs' part of all sums. A gru's bias of the state's part stays apart, for only that is multiplied by a gate.
Tensor input_sums(Cell cell, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& bias_hh) {
  return linear(x, weight, bias.defined() && cell != Cell::gru ? bias + bias_hh : bias);
}

/// recurrent() of a layer's weights; one op of a trace, since the step's sums are ONNX's layers', too.
Tensor one_layer(Cell cell, const Tensor& x, const Tensor& weight_ih, const Tensor& weight_hh, const Tensor& bias_ih,
                 const Tensor& bias_hh, const Tensor& h, const Tensor& c, bool reverse) {
  if (const Autocast cast(Autocast::low); cast) {
    return one_layer(cell, cast(x), cast(weight_ih), cast(weight_hh), cast(bias_ih), cast(bias_hh), cast(h), cast(c),
                     reverse);
  }
  if (Trace* const trace = Trace::current()) {
    return trace->run("recurrent", {x, weight_ih, weight_hh, bias_ih, bias_hh, h, c},
                      {{"cell", static_cast<int>(cell)}, {"reverse", reverse}},
                      [&] { return one_layer(cell, x, weight_ih, weight_hh, bias_ih, bias_hh, h, c, reverse); });
  }
  return recurrent(cell, input_sums(cell, x, weight_ih, bias_ih, bias_hh), weight_hh,
                   cell == Cell::gru ? bias_hh : Tensor(), h, c, reverse);
}

/// The state given, or zeros where there is none.
Tensor state_or_zeros(const char* who, const char* what, const Tensor& state, const Shape& shape, const Tensor& x) {
  if (!state.defined()) return zeros(shape, {.dtype = x.dtype(), .device = x.device()});
  check_alike(who, x, state);
  check(state.shape() == shape, "{}: {} {}, expected {}", who, what, state.shape(), shape);
  return state;
}

}  // namespace

RNNBase::RNNBase(const char* name, Cell cell, const Options& o) : name_(name), cell_(cell), options_(o) {
  check(o.input_size > 0 && o.hidden_size > 0 && o.num_layers > 0,
        "{}: {} to {} features in {} layers, expected positive numbers", name, o.input_size, o.hidden_size,
        o.num_layers);
  check_probability(name, o.dropout);
  const std::int64_t rows = sums_of(cell) * o.hidden_size, directions = o.bidirectional ? 2 : 1;
  for (std::int64_t layer = 0; layer < o.num_layers; ++layer) {
    for (std::int64_t direction = 0; direction < directions; ++direction) {
      const std::string suffix = fmt::format("_l{}{}", layer, direction == 1 ? "_reverse" : "");
      const auto add = [&](const char* what, const Shape& shape) {
        parameters_.emplace_back(what + suffix, uniform_parameter(shape, o.hidden_size));
      };
      add("weight_ih", {rows, layer == 0 ? o.input_size : directions * o.hidden_size});
      add("weight_hh", {rows, o.hidden_size});
      if (o.bias) add("bias_ih", {rows});
      if (o.bias) add("bias_hh", {rows});
    }
  }
}

RNNBase::Run RNNBase::advance(const Tensor& in, const Tensor& in_h, const Tensor& in_c) {
  const Options& o = options_;
  check_defined(name_, "x", in);
  check((in.dim() == 2 || in.dim() == 3) && in.size(-1) == o.input_size, "{}: input {}, expected [T, {}] or {}", name_,
        in.shape(), o.input_size, o.batch_first ? "[N, T, ...]" : "[T, N, ...]");
  const bool batched = in.dim() == 3;
  Tensor x = !batched ? in.unsqueeze(1) : o.batch_first ? in.transpose(0, 1) : in;
  check(x.size(0) > 0, "{}: input {}, expected one step or more", name_, in.shape());
  const std::int64_t N = x.size(1), H = o.hidden_size, directions = o.bidirectional ? 2 : 1;
  Shape state{o.num_layers * directions, N, H};
  if (!batched) state.erase(1);
  const Shape wide{o.num_layers * directions, N, H};
  const Tensor h = state_or_zeros(name_, "h", in_h, state, x).reshape(wide),
               c = cell_ == Cell::lstm ? state_or_zeros(name_, "c", in_c, state, x).reshape(wide) : Tensor();

  std::vector<Tensor> last_h, last_c;
  auto next = parameters_.begin();
  for (std::int64_t layer = 0; layer < o.num_layers; ++layer) {
    if (layer > 0) x = dropout(x, o.dropout, is_training());
    std::vector<Tensor> outputs;
    for (std::int64_t direction = 0; direction < directions; ++direction) {
      const Tensor weight_ih = (next++)->second, weight_hh = (next++)->second;
      const Tensor bias_ih = o.bias ? (next++)->second : Tensor(), bias_hh = o.bias ? (next++)->second : Tensor();
      const std::int64_t i = layer * directions + direction, T = x.size(0);
      const Tensor all = one_layer(cell_, x, weight_ih, weight_hh, bias_ih, bias_hh, h.select(0, i),
                                   c.defined() ? c.select(0, i) : Tensor(), direction == 1);
      outputs.push_back(cell_ == Cell::lstm ? all.narrow(0, 0, T) : all);
      last_h.push_back(all.select(0, direction == 1 ? 0 : T - 1));
      if (cell_ == Cell::lstm) last_c.push_back(all.select(0, T));
    }
    x = directions == 2 ? cat(outputs, 2) : outputs[0];
  }
  const auto stacked = [&](const std::vector<Tensor>& states) {
    return states.empty() ? Tensor() : stack(states).reshape(state);
  };
  return {!batched ? x.squeeze(1) : o.batch_first ? x.transpose(0, 1) : x, stacked(last_h), stacked(last_c)};
}

Tensor RNNBase::forward(const Tensor& x) { return advance(x, {}, {}).output; }

Members RNNBase::members() {
  Members m;
  for (const auto& [name, x] : parameters_) m.parameters.emplace_back(name, x);
  return m;
}

std::string RNNBase::str() const {
  const Options& o = options_;
  std::string text = fmt::format("{}({}, {}", name_, o.input_size, o.hidden_size);
  if (o.num_layers != 1) text += fmt::format(", num_layers={}", o.num_layers);
  if (!o.bias) text += ", bias=False";
  if (o.batch_first) text += ", batch_first=True";
  if (o.dropout != 0) text += fmt::format(", dropout={}", o.dropout);
  return text + (o.bidirectional ? ", bidirectional=True)" : ")");
}

RNN::RNN(const Options& options, Nonlinearity nonlinearity) : RNNBase("RNN", cell_of(nonlinearity), options) {}

RNN::Result RNN::operator()(const Tensor& x, const Tensor& h) {
  return call([&] {
    const Run all = advance(x, h, {});
    return Result{all.output, all.h};
  });
}

GRU::Result GRU::operator()(const Tensor& x, const Tensor& h) {
  return call([&] {
    const Run all = advance(x, h, {});
    return Result{all.output, all.h};
  });
}

LSTM::Result LSTM::operator()(const Tensor& x, const State& state) {
  return call([&] {
    const Run all = advance(x, state.h, state.c);
    return Result{all.output, {all.h, all.c}};
  });
}

RNNCellBase::RNNCellBase(const char* name, Cell cell, std::int64_t input_size, std::int64_t hidden_size, bool bias)
    : name_(name), cell_(cell) {
  check(input_size > 0 && hidden_size > 0, "{}: {} to {} features, expected positive numbers", name, input_size,
        hidden_size);
  const std::int64_t rows = sums_of(cell) * hidden_size;
  weight_ih = uniform_parameter({rows, input_size}, hidden_size);
  weight_hh = uniform_parameter({rows, hidden_size}, hidden_size);
  if (!bias) return;
  bias_ih = uniform_parameter({rows}, hidden_size);
  bias_hh = uniform_parameter({rows}, hidden_size);
}

std::pair<Tensor, Tensor> RNNCellBase::advance(const Tensor& x, const Tensor& in_h, const Tensor& in_c) {
  check_defined(name_, "x", x);
  check((x.dim() == 1 || x.dim() == 2) && x.size(-1) == weight_ih.size(1), "{}: input {}, expected [N, {}] or [{}]",
        name_, x.shape(), weight_ih.size(1), weight_ih.size(1));
  const std::int64_t N = x.dim() == 2 ? x.size(0) : 1, H = weight_hh.size(1);
  Shape state = x.shape();
  state[x.dim() - 1] = H;
  const Tensor h = state_or_zeros(name_, "h", in_h, state, x).reshape({N, H}),
               c = cell_ == Cell::lstm ? state_or_zeros(name_, "c", in_c, state, x).reshape({N, H}) : Tensor();
  const Tensor all =
      one_layer(cell_, x.reshape({1, N, x.size(-1)}), weight_ih, weight_hh, bias_ih, bias_hh, h, c, false);
  return {all.select(0, 0).reshape(state), cell_ == Cell::lstm ? all.select(0, 1).reshape(state) : Tensor()};
}

Tensor RNNCellBase::forward(const Tensor& x) { return advance(x, {}, {}).first; }

Members RNNCellBase::members() {
  Members m{.parameters = {{"weight_ih", weight_ih}, {"weight_hh", weight_hh}}};
  if (bias_ih.defined()) m.parameters.insert(m.parameters.end(), {{"bias_ih", bias_ih}, {"bias_hh", bias_hh}});
  return m;
}

std::string RNNCellBase::str() const {
  return fmt::format("{}({}, {}{}{})", name_, weight_ih.size(1), weight_hh.size(1),
                     bias_ih.defined() ? "" : ", bias=False", cell_ == Cell::relu ? ", nonlinearity=relu" : "");
}

LSTM::State LSTMCell::operator()(const Tensor& x, const LSTM::State& state) {
  return call([&] {
    const auto [h, c] = advance(x, state.h, state.c);
    return LSTM::State{h, c};
  });
}

Tensor GRUCell::operator()(const Tensor& x, const Tensor& h) {
  return call([&] { return advance(x, h, {}).first; });
}

RNNCell::RNNCell(std::int64_t input_size, std::int64_t hidden_size, bool bias, RNN::Nonlinearity nonlinearity)
    : RNNCellBase("RNNCell", cell_of(nonlinearity), input_size, hidden_size, bias) {}

Tensor RNNCell::operator()(const Tensor& x, const Tensor& h) {
  return call([&] { return advance(x, h, {}).first; });
}

}  // namespace tern
