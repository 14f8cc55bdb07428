#pragma once

#include <tern/core/ops/recurrent.hpp>
#include <tern/layers/module.hpp>

/// Recurrent layers under PyTorch's names. Their tensors are uniform in +-1 / sqrt(hidden_size) at first. Each has an
/// operator() that takes the initial state, too, zero where it is not given, and returns the last. There are no packed
/// sequences and no proj_size.

namespace tern {

/// What RNN, LSTM and GRU have in common: layers of cells, one after the other in time, on top of each other, and in
/// both directions if so asked. Parameters weight_ih_l0 [sums * hidden_size, input_size], weight_hh_l0, bias_ih_l0,
/// bias_hh_l0, those of the other direction with _reverse, and so on for l1, l2, ...
class RNNBase : public Module {
 public:
  /// PyTorch's arguments.
  struct Options {
    std::int64_t input_size, hidden_size, num_layers = 1;  ///< numbers in an input, and in a state; layers
    bool bias = true, batch_first = false;  ///< bias: of input and state; batch_first: [N, T, ...] for [T, N, ...]
    double dropout = 0;                     ///< of each layer's output but the last's, in training
    bool bidirectional = false;             ///< a second direction in every layer, from the end on
  };

  /// The outputs alone.
  Tensor forward(const Tensor& x) override;
  Members members() override;
  std::string str() const override;

 protected:
  /// Throws Error for sizes that are not positive and a probability that is none.
  RNNBase(const char* name, Cell cell, const Options& options);

  /// The outputs of all steps, and the last state.
  struct Run {
    Tensor output, h, c;  ///< as Result's, LSTM's with c
  };
  /// From that state, of zeros where undefined; c is lstm's alone.
  Run advance(const Tensor& x, const Tensor& h, const Tensor& c);

 private:
  const char* name_;
  Cell cell_;
  Options options_;
  std::vector<std::pair<std::string, Tensor>> parameters_;  ///< in PyTorch's order
};

/// x [T, N, input_size], [N, T, input_size] for batch_first, or [T, input_size] -> output likewise, with hidden_size
/// numbers for each direction. The state h is [num_layers * directions, N, hidden_size], without N for [T, input_size].
class RNN : public RNNBase {
 public:
  /// Of the sums: `tanh` or `relu`.
  enum class Nonlinearity { tanh, relu };
  explicit RNN(const Options& options, Nonlinearity nonlinearity = Nonlinearity::tanh);  ///< throws Error as RNNBase

  /// The outputs of all steps, and the last state.
  struct Result {
    Tensor output, h;  ///< h [num_layers * directions, N, hidden_size]
  };
  Result operator()(const Tensor& x, const Tensor& h = {});  ///< h: zeros unless given
};

/// As RNN.
class GRU : public RNNBase {
 public:
  explicit GRU(const Options& options) : RNNBase("GRU", Cell::gru, options) {}  ///< throws Error as RNNBase does

  /// The outputs of all steps, and the last state.
  using Result = RNN::Result;
  Result operator()(const Tensor& x, const Tensor& h = {});  ///< h: zeros unless given
};

/// As RNN, with a state of two: auto [output, state] = lstm(x, {h, c}).
class LSTM : public RNNBase {
 public:
  explicit LSTM(const Options& options) : RNNBase("LSTM", Cell::lstm, options) {}  ///< throws Error as RNNBase does

  /// PyTorch's pair of hidden state and cell state.
  struct State {
    Tensor h, c;  ///< each as RNN's h
  };
  /// The outputs of all steps, and the last state.
  struct Result {
    Tensor output;  ///< [T, N, directions * hidden_size], N first for batch_first
    State state;    ///< after the last step
  };
  Result operator()(const Tensor& x, const State& state = {});  ///< state: zeros unless given
};

/// What the cells have in common: parameters weight_ih [sums * hidden_size, input_size], weight_hh, bias_ih, bias_hh.
class RNNCellBase : public Module {
 public:
  Tensor forward(const Tensor& x) override;  ///< h, from a state of zeros
  Members members() override;
  std::string str() const override;

  Tensor weight_ih, weight_hh, bias_ih, bias_hh;  ///< [sums * hidden_size, ...]; biases undefined without bias

 protected:  /// `name` is the class, for str() and messages. Throws Error for sizes that are not positive.
  RNNCellBase(const char* name, Cell cell, std::int64_t input_size, std::int64_t hidden_size, bool bias);
  /// The next h, and of an lstm c.
  std::pair<Tensor, Tensor> advance(const Tensor& x, const Tensor& h, const Tensor& c);

 private:
  const char* name_;
  Cell cell_;
};

/// One step: x [N, input_size] or [input_size], and a state of h and c [N, hidden_size] or [hidden_size], to the next.
class LSTMCell : public RNNCellBase {
 public:
  LSTMCell(std::int64_t input_size, std::int64_t hidden_size, bool bias = true)
      : RNNCellBase("LSTMCell", Cell::lstm, input_size, hidden_size, bias) {}  ///< bias: of input and state
  LSTM::State operator()(const Tensor& x, const LSTM::State& state = {});  ///< to the next state; of zeros unless given
};

/// The same with a state of h alone.
class GRUCell : public RNNCellBase {
 public:
  GRUCell(std::int64_t input_size, std::int64_t hidden_size, bool bias = true)
      : RNNCellBase("GRUCell", Cell::gru, input_size, hidden_size, bias) {}  ///< bias: of input and state
  Tensor operator()(const Tensor& x, const Tensor& h = {});                  ///< to the next h; of zeros unless given
};

/// As GRUCell.
class RNNCell : public RNNCellBase {
 public:
  RNNCell(std::int64_t input_size, std::int64_t hidden_size, bool bias = true,
          RNN::Nonlinearity nonlinearity = RNN::Nonlinearity::tanh);  ///< bias: of input and state
  Tensor operator()(const Tensor& x, const Tensor& h = {});           ///< to the next h; of zeros unless given
};

}  // namespace tern
