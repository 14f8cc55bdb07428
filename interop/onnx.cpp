#include <tern/core/autograd.hpp>
#include <tern/core/check.hpp>
#include <tern/core/file.hpp>
#include <tern/core/ops.hpp>
#include <tern/interop/onnx.hpp>
#include <tern/interop/onnx/graph.hpp>

#include <new>

namespace tern::onnx {
namespace {

constexpr std::int64_t ir_version = 8, opset = 17;

/// Puts a module and all its layers into evaluation mode, and at its end back into their own.
class Evaluation {
 public:
  explicit Evaluation(Module& module) : modes_{{&module, module.is_training()}} {
    for (const auto& [name, layer] : module.named_modules()) modes_.emplace_back(layer, layer->is_training());
    module.eval();
  }
  ~Evaluation() {
    for (const auto& [module, mode] : modes_) module->train(mode);  // each before its layers
  }
  Evaluation(const Evaluation&) = delete;
  Evaluation& operator=(const Evaluation&) = delete;

 private:
  std::vector<std::pair<Module*, bool>> modes_;
};

/// A forward pass: what went in, the ops, what came out.
struct Run {
  Run(const Function& forward, std::vector<Tensor> examples) : inputs(std::move(examples)) {
    Trace trace(inputs);
    outputs = forward(inputs);
    ops = trace.finish();
  }

  std::vector<Tensor> inputs, outputs;
  std::vector<Trace::Op> ops;
};

/// The examples as a batch of that size, made of their rows in turn.
std::vector<Tensor> batch_of(const std::vector<Tensor>& examples, int dim, std::int64_t size) {
  std::vector<Tensor> batch;
  for (const Tensor& x : examples) {
    if (x.dim() <= dim) {
      batch.push_back(x.detach());
      continue;
    }
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < size; ++i) rows.push_back(i % x.size(dim));
    batch.push_back(tern::index_select(x, dim, tensor(rows, x.device())));
  }
  return batch;
}

std::vector<std::string> names(const std::vector<std::string>& given, const char* what, std::size_t count) {
  check(given.empty() || given.size() == count, "{} names of {}s for {}, expected one for each", given.size(), what,
        count);
  if (!given.empty()) return given;
  std::vector<std::string> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(count == 1 ? what : fmt::format("{}_{}", what, i));
  return all;
}

Message graph_of(Module& module, const Run& two, const Run& three, const ExportOptions& options) {
  const std::vector<std::string> inputs = names(options.input_names, "input", two.inputs.size()),
                                 outputs = names(options.output_names, "output", two.outputs.size());
  Graph graph(module.state_dict());
  for (const std::string& name : outputs) graph.reserve(name);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    graph.add_input({two.inputs[i], three.inputs[i]}, inputs[i], options.batch_dim);
  }
  const std::vector<Trace::Op>&ops = two.ops, &others = three.ops;
  check(ops.size() == others.size() && two.outputs.size() == three.outputs.size(),
        "a batch of 2 takes {} ops and one of 3 {}, expected as many, or no batch_dim", ops.size(), others.size());
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Trace::Op &a = ops[i], &b = others[i];
    check(std::string_view(a.name) == b.name && a.inputs.size() == b.inputs.size(),
          "a batch of 2 takes the op '{}' where one of 3 takes '{}', expected one, or no batch_dim", a.name, b.name);
    add_op(graph, Step(a, b));
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) graph.add_output({two.outputs[i], three.outputs[i]}, outputs[i]);
  return graph.message(module.str().substr(0, module.str().find('(')));
}

std::string model_of(Module& module, const Function& forward, const std::vector<Tensor>& examples,
                     const ExportOptions& options) {
  check(!examples.empty(), "no examples, expected one for each input");
  for (const Tensor& x : examples) {
    check(x.defined() && x.numel() > 0, "an example without elements, expected at least one");
  }
  const Evaluation evaluation(module);
  const NoGradGuard no_grad;
  Message graph;
  if (options.batch_dim) {
    check(*options.batch_dim >= 0, "batch_dim {}, expected 0 or more", *options.batch_dim);
    const Run two(forward, batch_of(examples, *options.batch_dim, 2)),
        three(forward, batch_of(examples, *options.batch_dim, 3));
    graph = graph_of(module, two, three, options);
  } else {
    std::vector<Tensor> inputs;
    for (const Tensor& x : examples) inputs.push_back(x.detach());
    const Run run(forward, inputs);
    graph = graph_of(module, run, run, options);
  }
  Message model;
  model.add(1, ir_version).add(2, std::string_view("tern")).add(7, graph);
  model.add(8, Message().add(1, std::string_view("")).add(2, opset));
  for (const auto& [key, value] : options.metadata) model.add(14, Message().add(1, key).add(2, value));
  check(model.bytes().size() < std::size_t{1} << 31, "a model of {} bytes, expected less than 2 GiB",
        model.bytes().size());
  return model.bytes();
}

}  // namespace

void save(Module& module, const Function& forward, const std::vector<Tensor>& examples,
          const std::filesystem::path& file, const ExportOptions& options) {
  std::string model;
  try {
    model = model_of(module, forward, examples, options);
  } catch (const std::bad_alloc&) {
    fail("export {}: no memory left", file.string());
  } catch (const Error& error) {
    fail("export {}: {}", file.string(), error.what());
  }
  write_file(file, model, "export");
}

void save(Module& module, const Tensor& example, const std::filesystem::path& file, const ExportOptions& options) {
  save(
      module, [&](const std::vector<Tensor>& inputs) { return std::vector{module(inputs[0])}; }, {example}, file,
      options);
}

}  // namespace tern::onnx
