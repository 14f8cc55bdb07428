#include "rows.hpp"

#include <core/support.hpp>
#include <data/temporary_folder.hpp>
#include <folders.hpp>
#include <python.hpp>
#include <random.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/safetensors.hpp>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string_view>

namespace tern::test {

std::vector<Tensor> to_tensors(const Tensor& y) { return {y}; }
std::vector<Tensor> to_tensors(const std::vector<Tensor>& y) { return y; }
std::vector<Tensor> to_tensors(const std::string& y) { return {tensor(std::vector<std::uint8_t>(y.begin(), y.end()))}; }
std::vector<Tensor> to_tensors(DType y) { return to_tensors(std::string(name_of(y))); }
std::vector<Tensor> to_tensors(const Shape& y) { return {tensor(std::vector<std::int64_t>(y.begin(), y.end()))}; }
std::vector<Tensor> to_tensors(const std::vector<double>& y) { return {tensor(y)}; }
std::vector<Tensor> to_tensors(const std::vector<std::int64_t>& y) { return {tensor(y)}; }

namespace {

std::deque<Row>& all_rows() {
  static std::deque<Row> rows;
  return rows;
}

struct Input {
  std::string text, kind;
  Shape shape;

  explicit Input(const std::string& of) : text(of) {
    static const std::regex form("([a-z]*[0-9]*)\\[([0-9,]*)\\]");
    std::smatch match;
    if (!std::regex_match(of, match, form)) throw Error("row: input \"" + of + "\", expected a kind and [2,3]");
    kind = match[1];
    std::stringstream sizes(match[2]);
    for (std::string size; std::getline(sizes, size, ',');) shape.push_back(std::stoll(size));
  }

  /// Numbers that float32 has as well.
  Tensor draw(Random& random) const {
    const std::int64_t n = shape.numel();
    const auto floats = [&](std::vector<double> values) {
      for (double& v : values) v = static_cast<float>(v);
      return tensor(values).reshape(shape);
    };
    const auto order = [&] {
      std::vector<std::int64_t> places(static_cast<std::size_t>(n));
      std::iota(places.begin(), places.end(), 0);
      for (std::int64_t i = n - 1; i > 0; --i) std::swap(places[i], places[random.integer(0, i)]);
      return places;
    };
    if (kind.empty() || kind == "f") return floats(random.between<double>(n, -2, 2));
    if (kind == "pos") return floats(random.between<double>(n, 0.5, 2.5));
    if (kind == "prob") return floats(random.between<double>(n, 0.05, 0.95));
    if (kind == "dist") {
      const Tensor x = tensor(random.between<double>(n, 0.05, 0.95)).reshape(shape);
      return floats((x / sum(x, {-1}, true)).to_vector<double>());
    }
    if (kind == "distinct") {
      std::vector<double> values;
      for (const std::int64_t place : order()) values.push_back(0.125 * (place - n / 2) + 0.0625);
      return floats(values);
    }
    if (kind == "ties") return floats(random.ties<double>(n));
    if (kind == "nan") {
      std::vector<double> values = random.between<double>(n, -2, 2);
      random.spoil(values, 0.3);
      return floats(values);
    }
    if (kind == "int") return tensor(random.values<std::int64_t>(n)).reshape(shape);
    if (kind == "perm") return tensor(order()).reshape(shape);
    if (kind == "bytes") return tensor(random.values<std::uint8_t>(n)).reshape(shape);
    if (kind == "mask") return tensor(random.indices(n, 2)).to(DType::uint8).reshape(shape);
    if (kind.starts_with("below") && kind.size() > 5) {
      return tensor(random.indices(n, std::stoll(kind.substr(5)))).reshape(shape);
    }
    throw Error("row: input \"" + text + "\" is of no known kind");
  }
};

/// A row, what it is given and in which dtype, and what PyTorch makes of it: of numbers of 16 bits in float64.
struct Job {
  const Row* row;
  DType dtype;
  std::string set;
  std::vector<std::string> kinds;
  std::vector<Tensor> inputs;

  std::vector<Tensor> outputs, gradients = std::vector<Tensor>(inputs.size());
  std::vector<std::uint8_t> requires_grad;
  std::string error;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, at);) parts.push_back(part);
  return parts;
}

/// Each set in float64 and, if it has floats, in the other dtypes. A row's numbers do not depend on other rows.
std::vector<Job> jobs_of(const Row& row) {
  std::vector<Job> jobs;
  std::vector<std::string> sets = split(row.inputs, '|');
  if (sets.empty()) sets.emplace_back();
  Random random(base_seed(), std::hash<std::string>()(row.name));
  for (const std::string& set : sets) {
    Job job{&row, DType::float64, set, {}, {}, {}, {}, {}, {}};
    bool floats = false;
    for (const std::string& text : split(set, ' ')) {
      if (text.empty()) continue;
      const Input input(text);
      job.kinds.push_back(input.kind);
      job.inputs.push_back(input.draw(random));
      floats = floats || is_floating(job.inputs.back().dtype());
    }
    if (static_cast<int>(job.inputs.size()) != row.tern.inputs()) {
      throw Error(
          text("row: set \"", set, "\" has ", job.inputs.size(), " inputs, the function takes ", row.tern.inputs()));
    }
    job.gradients.resize(job.inputs.size());
    jobs.push_back(job);
    if (!floats || row.options.only_float64) continue;
    job.dtype = DType::float32;
    const std::vector<Tensor> wide = job.inputs;
    for (Tensor& x : job.inputs) x = x.dtype() == DType::float64 ? x.to(DType::float32) : x;
    jobs.push_back(job);
    const std::string_view name = row.name;  // parameters are not of 16 bits
    if (!row.options.half || name.starts_with("optim.") || name.starts_with("nn.init.")) continue;
    for (const DType half : {DType::bfloat16, DType::float16}) {
      job.dtype = half;
      job.inputs = wide;
      for (Tensor& x : job.inputs) x = x.dtype() == DType::float64 ? x.to(half).to(DType::float64) : x;
      jobs.push_back(job);
    }
  }
  return jobs;
}

/// PyTorch is asked once, for all rows. A row that cannot be asked for says so when it runs.
const std::map<const Row*, std::vector<Job>>& evaluated() {
  static const std::map<const Row*, std::vector<Job>> all = [] {
    std::map<const Row*, std::vector<Job>> by_row;
    std::vector<Job*> asked;
    nlohmann::json description = nlohmann::json::array();
    TensorFile given;
    for (const Row& row : all_rows()) {
      std::vector<Job>& jobs = by_row[&row];
      try {
        jobs = jobs_of(row);
      } catch (const Error& e) {
        jobs = {{&row, DType::float64, row.inputs, {}, {}, {}, {}, {}, e.what()}};
        continue;
      }
      for (Job& job : jobs) {
        if (!*row.python) continue;
        const std::string number = std::to_string(asked.size());
        for (std::size_t i = 0; i < job.inputs.size(); ++i) {
          given.tensors[number + "." + std::to_string(i)] = job.inputs[i];
        }
        description.push_back({{"python", row.python}, {"inputs", job.kinds}, {"gradient", row.options.gradient}});
        asked.push_back(&job);
      }
    }
    const TemporaryFolder folder;
    save_safetensors(folder / "in", given);
    std::ofstream(folder / "jobs") << description;
    const std::string command = python_with_torch() + " " + in_tree("tests/torch/evaluate.py") + " " +
                                (folder / "jobs").string() + " " + (folder / "in").string() + " " +
                                (folder / "out").string();
    if (std::system(command.c_str()) != 0) throw Error("evaluate.py failed");
    for (const auto& [name, x] : load_safetensors(folder / "out").tensors) {
      const std::size_t dot = name.find('.');
      Job& job = *asked.at(std::stoull(name));
      const std::string what = name.substr(dot + 1);
      if (what == "error" || what == "requires_grad") {
        const std::vector<std::uint8_t> bytes = x.to_vector<std::uint8_t>();
        if (what == "error")
          job.error = "PyTorch throws " + std::string(bytes.begin(), bytes.end());
        else
          job.requires_grad = bytes;
        continue;
      }
      std::vector<Tensor>& list = what[0] == 'y' ? job.outputs : job.gradients;
      const std::size_t place = std::stoull(what.substr(1));
      if (list.size() <= place) list.resize(place + 1);
      list[place] = x;
    }
    return by_row;
  }();
  return all;
}

/// evaluate.py has the same.
Tensor slopes(const Tensor& y, std::int64_t output) {
  std::vector<double> values;
  for (std::int64_t i = 0; i < y.numel(); ++i) values.push_back(((i + output) * 40503 + 9973) % 65536 / 32768.0 - 1);
  return tensor(values).to(y.dtype()).reshape(y.shape()).to(y.device());
}

/// The dtype that ours must have: PyTorch's, or the job's where PyTorch worked in float64 for 16 bits.
DType dtype_for(const Job& job, const Tensor& torchs) {
  return is_half(job.dtype) && torchs.dtype() == DType::float64 ? job.dtype : torchs.dtype();
}

/// What the first difference is; "" where there is none.
std::string difference(const Tensor& ours, const Tensor& torchs, const Job& job) {
  const DType dtype = dtype_for(job, torchs);
  if (ours.dtype() != dtype) return text("is ", ours.dtype(), ", PyTorch's ", dtype);
  if (ours.shape() != torchs.shape()) return text("is ", ours.shape(), ", PyTorch's ", torchs.shape());
  if (!is_floating(ours.dtype())) {
    const auto a = ours.to_vector<std::int64_t>(), b = torchs.to_vector<std::int64_t>();
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (a[i] != b[i]) return text("has at ", i, " ", a[i], ", PyTorch ", b[i]);
    }
    return "";
  }
  const std::vector<double> a = ours.to_vector<double>(), b = torchs.to_vector<double>();
  double scale = 1;
  for (const double v : b) scale = std::isfinite(v) ? std::max(scale, std::abs(v)) : scale;
  const double rounding = job.row->options.looser * (dtype == DType::float64 ? 1e-10 : 2e-5);
  const double bound = scale * (is_half(job.dtype) ? 6 * epsilon_of(dtype) : is_half(dtype) && job.row->options.looser == 1 ? 0 : rounding);
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i]) && !(std::abs(a[i] - b[i]) <= bound)) {
      return text("has at ", i, " ", a[i], ", PyTorch ", b[i], ", may be off by ", bound);
    }
  }
  return "";
}

/// What is wrong with the job on this device; "" if nothing is.
std::string wrong(const Job& job, Device device) {
  const RowOptions& options = job.row->options;
  if (!job.error.empty()) return job.error;
  std::vector<Tensor> x;
  for (const Tensor& input : job.inputs) {
    const bool narrow = is_half(job.dtype) && input.dtype() == DType::float64;
    x.push_back((narrow ? input.to(job.dtype) : input.clone()).to(device));
    if (options.gradient && is_floating(input.dtype())) x.back().set_requires_grad();
  }
  const std::vector<Tensor> y = job.row->tern(x);
  if (options.check) {
    if (const std::string what = options.check(y, x); !what.empty()) return what;
    if (!*job.row->python) return "";
  }
  if (y.size() != job.outputs.size()) return text("gives ", y.size(), " tensors, PyTorch ", job.outputs.size());
  for (std::size_t k = 0; k < y.size(); ++k) {
    const Tensor ours = options.check ? job.outputs[k] : y[k];
    std::string what = options.check ? "" : difference(ours, job.outputs[k], job);
    if (const DType dtype = dtype_for(job, ours);
        options.check && (y[k].dtype() != dtype || y[k].shape() != ours.shape())) {
      what = text("is ", y[k].dtype(), " ", y[k].shape(), ", PyTorch's ", dtype, " ", ours.shape());
    }
    if (what.empty() && y[k].requires_grad() != (job.requires_grad[k] == 1)) {
      what = text(y[k].requires_grad() ? "requires" : "does not require", " grad, PyTorch's otherwise");
    }
    if (!what.empty()) return text("output ", k, " ", what);
  }
  if (!options.gradient || options.check) return "";
  bool recorded = false;
  for (std::size_t k = 0; k < y.size(); ++k) {
    if (!y[k].requires_grad()) continue;
    recorded = true;
    y[k].backward(slopes(y[k], static_cast<std::int64_t>(k)), true);
  }
  if (!recorded) return "";
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Tensor ours = x[i].grad(), &torchs = job.gradients[i];
    if (!ours.defined() && !torchs.defined()) continue;
    const std::string what = difference(ours.defined() ? ours : zeros_like(x[i]),
                                        torchs.defined() ? torchs : zeros_like(job.inputs[i]), job);
    if (!what.empty()) return text("the gradient of input ", i, " ", what);
  }
  return "";
}

class Invoker : public Catch::ITestInvoker {
 public:
  explicit Invoker(const Row& row) : row_(row) {}

  void invoke() const override {
    const auto jobs = evaluated().find(&row_);
    for (const Job& job : jobs->second) {
      for (const Device device : devices()) {
        std::string what;
        try {
          what = wrong(job, device);
        } catch (const std::exception& e) {
          what = text("throws ", e.what());
        }
        INFO(row_.name << " on " << device << " in " << job.dtype << " with the inputs " << job.set
                       << ", TERN_TEST_SEED=" << base_seed());
        CHECK(what == "");
      }
    }
  }

 private:
  const Row& row_;
};

}  // namespace

Rows::Rows(std::initializer_list<Row> rows) : Rows(std::vector<Row>(rows)) {}

Rows::Rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    static std::set<std::string> names;
    std::string name = row.name;
    while (!names.insert(name).second) name += ", again";
    all_rows().push_back(row);
    Catch::AutoReg(new Invoker(all_rows().back()), {__FILE__, __LINE__}, "", {name, "[torch]"});
  }
}

}  // namespace tern::test
