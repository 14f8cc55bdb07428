#pragma once

/// Internal: the order in which what shards have is added up.

#include <algorithm>
#include <utility>
#include <vector>

namespace tern::distributed {

/// Shards first to end - 1.
struct Shards {
  int first, end;
};

/// A sum over shards 0 to n - 1 along a tree that depends on n alone: neighbours are added up where together they are
/// 2^k shards of which the first is a multiple of 2^k, or what n leaves of these. So a rank can add up its own,
/// whatever they are, and who has all ranks' nodes can go on.
template <class Value>
class ShardSum {
 public:
  struct Node {
    Shards shards;
    Value value;
  };

  explicit ShardSum(int n) : n_(n) {}

  /// The value of shards that follow those before: of one, or of a node of the tree. add(a, b) is a += b.
  template <class Add>
  void push(Shards shards, Value value, const Add& add) {
    nodes_.push_back({shards, std::move(value)});
    while (nodes_.size() >= 2 && are_siblings(nodes_[nodes_.size() - 2].shards, nodes_.back().shards)) {
      const Node last = std::move(nodes_.back());
      nodes_.pop_back();
      add(nodes_.back().value, last.value);
      nodes_.back().shards.end = last.shards.end;
    }
  }

  const std::vector<Node>& nodes() const { return nodes_; }

 private:
  bool are_siblings(Shards a, Shards b) const {
    const int size = a.end - a.first;
    return (size & (size - 1)) == 0 && a.first % (2 * size) == 0 && b.end == std::min(a.first + 2 * size, n_);
  }

  int n_;
  std::vector<Node> nodes_;
};

/// The fewest nodes that make up the shards [first, end) of n.
inline std::vector<Shards> nodes_of(Shards shards, int n) {
  ShardSum<int> sum(n);
  for (int i = shards.first; i < shards.end; ++i) sum.push({i, i + 1}, 0, [](int, int) {});
  std::vector<Shards> nodes;
  for (const auto& node : sum.nodes()) nodes.push_back(node.shards);
  return nodes;
}

/// Of n shards, those of a rank of `ranks`, a divisor.
inline Shards shards_of(int rank, int ranks, int n) { return {n / ranks * rank, n / ranks * (rank + 1)}; }

}  // namespace tern::distributed
