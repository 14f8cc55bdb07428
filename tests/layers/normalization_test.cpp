#include <core/support.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/layers/embedding.hpp>
#include <tern/layers/layers.hpp>

#include <cmath>

namespace tern::test {

namespace {

std::vector<std::string> state_names(Module& module) {
  std::vector<std::string> all;
  for (const auto& [name, x] : module.state_dict()) all.push_back(name);
  return all;
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("layers that normalise print and name their tensors as PyTorch's do", "[module]") {
  BatchNorm1d batch(3);
  CHECK(batch.str() == "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)");
  CHECK(state_names(batch) == Names{"bias", "num_batches_tracked", "running_mean", "running_var", "weight"});
  BatchNorm2d plain(16, 1e-3, {}, false, false);
  CHECK(plain.str() == "BatchNorm2d(16, eps=0.001, momentum=None, affine=False, track_running_stats=False)");
  CHECK(state_names(plain).empty());
  CHECK(BatchNorm3d(2, 1, 1).str() == "BatchNorm3d(2, eps=1.0, momentum=1.0, affine=True, track_running_stats=True)");
  LayerNorm layer({4, 5});
  CHECK(layer.str() == "LayerNorm((4, 5), eps=1e-05, elementwise_affine=True)");
  CHECK(state_names(layer) == Names{"bias", "weight"});
  CHECK(layer.weight.shape() == Shape{4, 5});
  LayerNorm without_bias(768, 1e-6, true, false);
  CHECK(without_bias.str() == "LayerNorm((768,), eps=1e-06, elementwise_affine=True)");
  CHECK(state_names(without_bias) == Names{"weight"});
  CHECK(LayerNorm(3, 1e-5, false).str() == "LayerNorm((3,), eps=1e-05, elementwise_affine=False)");
  CHECK(LayerNorm(3, 1e-5, false).num_parameters() == 0);
  CHECK(RMSNorm(768).str() == "RMSNorm((768,), eps=None, elementwise_affine=True)");
  CHECK(RMSNorm(8, 1e-8, false).str() == "RMSNorm((8,), eps=1e-08, elementwise_affine=False)");
  GroupNorm group(3, 6);
  CHECK(group.str() == "GroupNorm(3, 6, eps=1e-05, affine=True)");
  CHECK(state_names(group) == Names{"bias", "weight"});
  CHECK(InstanceNorm2d(4).str() ==
        "InstanceNorm2d(4, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)");
  Embedding table(10, 3, -1);
  CHECK(table.str() == "Embedding(10, 3, padding_idx=9)");
  CHECK(Embedding(10, 3).str() == "Embedding(10, 3)");
  CHECK(state_names(table) == Names{"weight"});
}

TEST_CASE("batch normalisation without running statistics takes the batch's own, in evaluation too", "[module]") {
  for (const Device device : devices()) {
    INFO(device);
    BatchNorm1d tracking(2), own(2, 1e-5, 0.1, true, false);
    tracking.to(device);
    own.to(device);
    const Tensor x = tensor({1.0f, 2.0f, 3.0f, 4.0f, 8.0f, 0.0f}, device).reshape({3, 2});
    const Tensor in_training = tracking(x);
    own.eval();
    check_equal(own(x), in_training);
    CHECK(message_of([&] { own(x.narrow(0, 0, 1)); }) ==
          "batch_norm: input [1, 2] has one value a channel, expected more in training");
    tracking.eval();
    CHECK(tracking(x.narrow(0, 0, 1)).shape() == Shape{1, 2});
    // Fused with what follows, a layer without parameters and statistics is the same as one with those of the start.
    BatchNorm2d bare(2, 1e-5, 0.1, false, false), full(2);
    bare.to(device);
    full.to(device);
    const Tensor images = tensor({1.0f, 2.0f, 3.0f, 4.0f, 8.0f, 0.0f, 5.0f, -1.0f}, device).reshape({1, 2, 2, 2});
    const Tensor pooled = full.max_pool2d(images, 2, Activation::tanh), added = full(images, Activation::relu, images);
    check_equal(bare.max_pool2d(images, 2, Activation::tanh), pooled);
    check_equal(bare(images, Activation::relu, images), added);
  }
}

TEST_CASE("batch normalisation without a momentum averages over all batches", "[module]") {
  BatchNorm1d norm(1, 1e-5, {});
  norm(tensor({1.0f, 3.0f}).reshape({2, 1}));
  norm(tensor({5.0f, 5.0f, 5.0f, 5.0f}).reshape({1, 1, 4}));
  CHECK(norm.running_mean.item() == Approx(3.5));
  CHECK(norm.running_var.item() == Approx(1));
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 2);
}

TEST_CASE("what layers that normalise refuse", "[module]") {
  CHECK(message_of([] {
          BatchNorm1d(3)(zeros({2, 3, 4, 4}));
        }) == "BatchNorm1d: input [2, 3, 4, 4], expected [N, C] or [N, C, L]");
  CHECK(message_of([] { BatchNorm2d(3)(zeros({2, 3})); }) == "BatchNorm2d: input [2, 3], expected [N, C, H, W]");
  CHECK(message_of([] {
          BatchNorm2d(3)(zeros({2, 4, 2, 2}));
        }) == "BatchNorm2d: input [2, 4, 2, 2], expected 3 channels");
  CHECK(message_of([] { BatchNorm1d(-1); }) == "BatchNorm1d: -1 features, expected 0 or more");
  CHECK(message_of([] {
          LayerNorm({4, 5})(zeros({4, 6}));
        }) == "layer_norm: input [4, 6], expected its last dimensions to be normalized_shape [4, 5], of one or more");
  CHECK(message_of([] { LayerNorm(5)(zeros({})); }) ==
        "layer_norm: input [], expected its last dimensions to be normalized_shape [5], of one or more");
  CHECK(message_of([] { LayerNorm(Shape{}); }) == "LayerNorm: normalized_shape [], expected one dimension or more");
  CHECK(message_of([] { LayerNorm(5, -1); }) == "LayerNorm: eps -1, expected a finite number, not below 0");
  CHECK(message_of([] {
          layer_norm(zeros({2, 3}), {3}, zeros({2}));
        }) == "layer_norm: weight or bias of shape [2], expected [3]");
  CHECK(message_of([] { GroupNorm(4, 6); }) == "GroupNorm: 4 groups of 6 channels, expected a divisor");
  CHECK(message_of([] { GroupNorm(2, 6)(zeros({2, 4, 5})); }) == "GroupNorm: input [2, 4, 5], expected [N, 6, ...]");
  CHECK(message_of([] {
          group_norm(zeros({1, 4}), 4);
        }) == "group_norm: input [1, 4] has one value a group, expected more");
  CHECK(message_of([] {
          instance_norm(zeros({2, 4, 1, 1}));
        }) == "instance_norm: input [2, 4, 1, 1] has one value a channel, expected more");
  CHECK(message_of([] { Embedding(3, 2, 3); }) == "Embedding: padding_idx 3 of 3 rows, expected -3 to 2");
  CHECK(message_of([] { Embedding(-3, 2); }) == "Embedding: -3 rows of 2, expected 0 or more");
  CHECK(message_of([] { Embedding(3, 2)(tensor<std::int64_t>({0, 3})); }) == "embedding: index 3, expected 0 to 2");
  CHECK(message_of([] { Embedding(3, 2)(zeros({2})); }) == "embedding: index of float32, expected int64");
  CHECK(message_of([] { Embedding::from_pretrained(zeros({2})); }) == "Embedding: weight [2], expected [num, dim]");

  EmbeddingBag bag({.num_embeddings = 3, .embedding_dim = 2});
  const auto whole = [](std::vector<std::int64_t> v) { return tensor(v); };
  const Tensor index = whole({0, 1, 2});
  CHECK(message_of([&] { bag(index); }) ==
        "embedding_bag: index [3] without offsets, expected [n] with them or [bags, length] without");
  CHECK(message_of([&] {
          bag(index.reshape({1, 3}), whole({0}));
        }) == "embedding_bag: index [1, 3] with offsets, expected [n] with them or [bags, length] without");
  CHECK(message_of([&] {
          bag(index, whole({1, 2}));
        }) == "embedding_bag: 2 offsets for 3 indices, expected the first to be 0");
  CHECK_FALSE(message_of([&] {
                embedding_bag(zeros({1, 3}, {.dtype = DType::int64}), zeros({2, 2}, {.dtype = DType::bfloat16}),
                              {.mode = BagMode::sum, .per_sample_weights = zeros({1, 3})});
              }).empty());
  CHECK(message_of([&] { bag(index, whole({})); }) ==
        "embedding_bag: 0 offsets for 3 indices, expected the first to be 0");
  CHECK(message_of([&] {
          bag(index, whole({0, 4}));
        }) == "embedding_bag: offset 4 after 0 of 3 indices, expected them to rise");
  CHECK(message_of([&] {
          bag(index, whole({0, 2, 1}));
        }) == "embedding_bag: offset 1 after 2 of 3 indices, expected them to rise");
  CHECK(message_of([&] { bag(index, zeros({1})); }) == "embedding_bag: offsets of float32 [1], expected int64 [bags]");
  CHECK(message_of([&] { bag(index, whole({0}), ones({3})); }) ==
        "embedding_bag: per_sample_weights [3] for index [3], expected the same shape, and the mode sum");
  CHECK(message_of([&] { bag(whole({0, 3}), whole({0})); }) == "embedding: index 3, expected 0 to 2");
  CHECK(message_of([] { EmbeddingBag({.num_embeddings = 3, .embedding_dim = 2, .padding_idx = 3}); }) ==
        "EmbeddingBag: padding_idx 3 of 3 rows, expected -3 to 2");
}

TEST_CASE("layer_norm of rows without elements, and of no rows", "[module]") {
  for (const Device device : devices()) {
    for (const Shape& shape : {Shape{3, 0}, Shape{0, 3}}) {
      const Tensor x = zeros(shape, {.device = device, .requires_grad = true});
      const Tensor weight = ones({shape[1]}, {.device = device, .requires_grad = true});
      const Tensor y = layer_norm(x, {shape[1]}, weight);
      CHECK(y.shape() == shape);
      y.sum().backward();
      CHECK(x.grad().shape() == shape);
      check_equal(weight.grad(), zeros({shape[1]}));
    }
  }
}

TEST_CASE("a table's row of padding starts as 0 and gets no gradient", "[module]") {
  for (const Device device : devices()) {
    INFO(device);
    Embedding table(4, 2, -2);
    table.to(device);
    CHECK(table.weight[2].to_vector<double>() == std::vector<double>{0, 0});
    const Tensor index = tensor<std::int64_t>({2, 1, 2, 3, 1, 2}, device).reshape({2, 3});
    const Tensor y = table(index);
    CHECK(y.shape() == Shape{2, 3, 2});
    check_equal(y[0][1], table.weight[1].detach());
    y.backward(tensor<float>({1, 1, 2, 3, 1, 1, 4, 5, 6, 7, 1, 1}, device).reshape({2, 3, 2}));
    CHECK(table.weight.grad().to_vector<double>() == std::vector<double>{0, 0, 8, 10, 0, 0, 4, 5});
    CHECK(embedding(tensor<std::int64_t>({3}, device).reshape({}), table.weight).shape() == Shape{2});
    CHECK(embedding(zeros({0, 5}, {.dtype = DType::int64, .device = device}), table.weight).shape() == Shape{0, 5, 2});
  }
}

TEST_CASE("bags without indices are 0, in every mode, and their row of padding starts as 0", "[module]") {
  for (const Device device : devices()) {
    INFO(device);
    for (const BagMode mode : {BagMode::sum, BagMode::mean, BagMode::max}) {
      EmbeddingBag bag({.num_embeddings = 4, .embedding_dim = 2, .mode = mode, .padding_idx = -1});
      bag.to(device);
      CHECK(bag.weight[3].to_vector<double>() == std::vector<double>{0, 0});
      const TensorOptions whole{.dtype = DType::int64, .device = device};
      check_equal(bag(zeros({3, 0}, whole)), zeros({3, 2}));
      check_equal(bag(zeros({0, 3}, whole)), zeros({0, 2}));
      check_equal(bag(zeros({0}, whole), zeros({2}, whole)), zeros({2, 2}));
      check_equal(bag(full({2, 3}, 3, whole)), zeros({2, 2}));
      bag(zeros({3, 0}, whole)).sum().backward();
      CHECK(bag.weight.grad().to_vector<double>() == std::vector<double>(8, 0));
    }
  }
}

TEST_CASE("a table starts normal, or as it is given", "[module]") {
  manual_seed(base_seed());
  const Embedding table(300, 100);
  double sum = 0, squares = 0;
  for (const double v : table.weight.to_vector<double>()) {
    sum += v;
    squares += v * v;
  }
  CHECK(std::abs(sum / 30'000) < 5 / std::sqrt(30'000));
  CHECK(std::abs(squares / 30'000 - 1) < 5 * std::sqrt(2.0 / 30'000));
  CHECK(table.weight.requires_grad());

  const Tensor weight = tensor<float>({1, 2, 3, 4}).reshape({2, 2});
  Embedding frozen = Embedding::from_pretrained(weight), learned = Embedding::from_pretrained(weight, false, 0);
  CHECK_FALSE(frozen.weight.requires_grad());
  CHECK(learned.weight.requires_grad());
  CHECK_FALSE(weight.requires_grad());
  CHECK(learned.str() == "Embedding(2, 2, padding_idx=0)");
  check_equal(frozen(tensor<std::int64_t>({1, 1})), tensor<float>({3, 4, 3, 4}).reshape({2, 2}));
}

}  // namespace tern::test
