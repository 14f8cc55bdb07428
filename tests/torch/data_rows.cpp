#include "rows.hpp"

namespace tern::test {

namespace {

using Tensors = std::vector<Tensor>;

/// The inputs and targets of an epoch, batch by batch.
Tensors batches(const Dataset& dataset, const DataLoaderOptions& options) {
  Tensors all;
  DataLoader loader(dataset, options);
  for (const auto& [input, target] : loader) {
    all.push_back(input);
    all.push_back(target);
  }
  return all;
}

/// What is wrong with y, the batches of x in another order.
std::string shuffled(const Tensors& y, const Tensors& x) {
  const Tensor inputs = cat({y[0], y[2], y[4]}), targets = cat({y[1], y[3], y[5]});
  if (index_select(x[0].cpu(), 0, targets).to_vector<double>() != inputs.to_vector<double>()) return "parts pairs";
  std::vector<bool> seen(static_cast<std::size_t>(targets.numel()));
  for (const std::int64_t target : targets.to_vector<std::int64_t>()) seen.at(static_cast<std::size_t>(target)) = true;
  return std::find(seen.begin(), seen.end(), false) == seen.end() ? "" : "leaves examples out";
}

}  // namespace

static const Rows data_loading{
    {"utils.data.TensorDataset",
     "torch.utils.data.TensorDataset(a, b)[1:3]",
     [](T a, T b) {
       const std::vector<std::int64_t> places{1, 2};
       const auto [input, target] = TensorDataset(a.cpu(), b.cpu()).get(places);
       return std::pair(input, target);
     },
     "[5,2] below9[5]",
     {.gradient = false, .call = "TensorDataset(a, b).get(indices)"}},
    {"utils.data.TensorDataset, of tokens and numbers",
     "list(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(a, b), batch_size=3))",
     [](T a, T b) { return batches(TensorDataset(a.cpu(), b.cpu()), {.batch_size = 3}); },
     "int[7,2] [7,3] | [4] int[4,1] | int[3] mask[3,2]",
     {.gradient = false, .call = "TensorDataset(a, b)"}},
    {"utils.data.DataLoader",
     "list(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(a, b), batch_size=3))",
     [](T a, T b) { return batches(TensorDataset(a.cpu(), b.cpu()), {.batch_size = 3}); },
     "[7,2] below9[7] | [6] below9[6]",
     {.gradient = false, .call = "DataLoader(dataset, {.batch_size = 3})"}},
    {"utils.data.DataLoader, drop_last",
     "list(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(a, b), batch_size=3, drop_last=True))",
     [](T a, T b) {
       return batches(TensorDataset(a.cpu(), b.cpu()), {.batch_size = 3, .drop_last = true, .num_workers = 1});
     },
     "[7,2] below9[7] | [3] below9[3]",
     {.gradient = false, .call = "DataLoader(dataset, {.batch_size = 3, .drop_last = true})"}},
    {"utils.data.DataLoader, shuffle",
     "list(torch.utils.data.DataLoader(torch.utils.data.TensorDataset(a, torch.arange(len(a))), batch_size=3, "
     "shuffle=True))",
     [](T a) { return batches(TensorDataset(a.cpu(), arange(a.size(0))), {.batch_size = 3, .shuffle = true}); },
     "[8,2]",
     {.gradient = false, .call = "DataLoader(dataset, {.batch_size = 3, .shuffle = true})", .check = shuffled}},
    {"utils.data.Subset",
     "list(torch.utils.data.DataLoader("
     "torch.utils.data.Subset(torch.utils.data.TensorDataset(a, b), [3, 1, 1, 0]), batch_size=3))",
     [](T a, T b) {
       const TensorDataset all(a.cpu(), b.cpu());
       return batches(Subset(all, {3, 1, 1, 0}), {.batch_size = 3});
     },
     "[5,2] below9[5]",
     {.gradient = false, .call = "Subset(dataset, {3, 1, 1, 0})"}},
    {"utils.data.ConcatDataset",
     "set_of = torch.utils.data.TensorDataset; "
     "return list(torch.utils.data.DataLoader(torch.utils.data.ConcatDataset([set_of(a, b), set_of(c, d)]), "
     "batch_size=4))",
     [](T a, T b, T c, T d) {
       const TensorDataset first(a.cpu(), b.cpu()), second(c.cpu(), d.cpu());
       return batches(ConcatDataset(first, second), {.batch_size = 4});
     },
     "[3,2] below9[3] [2,2] below9[2]",
     {.gradient = false, .call = "ConcatDataset(first, second)"}},
};

}  // namespace tern::test
