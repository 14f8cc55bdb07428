#pragma once

/// Exported models, run by onnxruntime.

#include <tern/interop/onnx.hpp>

#include <core/folder.hpp>

#include <functional>
#include <string>
#include <vector>

namespace tern::test {

/// Models that are exported one by one and run all at once.
class Exported {
 public:
  /// Saves a model by an example of a batch of 2, and notes what it gives for batches of 1 and 5: make(n) are inputs.
  void add(const std::string& name, Module& module, const onnx::Function& forward,
           const std::function<std::vector<Tensor>(std::int64_t batch)>& make, const onnx::ExportOptions& options = {});
  /// Of one tensor, of this shape behind the batch's.
  void add(const std::string& name, Module& module, const Shape& shape);
  /// The same for a file that is there, with inputs for it and what the model gave.
  void add_file(const std::string& name, const fs::path& file, const StateDict& inputs, const StateDict& outputs);

  /// Runs all, and checks that every element is within `tolerance` of what the model gave, or of the largest of its
  /// tensor where that is more than 1.
  void check(double tolerance = 1e-5);

 private:
  struct Case {
    std::string name;
    StateDict outputs;
  };
  void note(const std::string& name, const StateDict& inputs, const StateDict& outputs);

  Folder folder_;
  std::vector<Case> cases_;
};

/// Standard normal numbers from the test's seed.
Tensor normal(const Shape& shape);

}  // namespace tern::test
