#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cmath>

using namespace tern;
using birds_vs_planes::make_model;

namespace {

struct Training {
  std::string model = "net";
  int epochs = 1, threads = 1, num_workers = 0;
  double lr = 0.05, weight_decay = 0, l2 = 0;
};

struct Trained {
  std::vector<birds_vs_planes::Epoch> epochs;
  int batches = 0;
  StateDict state;
};

/// On 128 drawn images, in batches of 32.
Trained train(const Training& t) {
  const TensorDataset images = synthetic_birds_and_planes(128, test::base_seed());
  const int threads = num_threads();
  set_num_threads(t.threads);
  manual_seed(test::base_seed());
  const auto model = make_model(t.model);
  DataLoader loader(images, {.batch_size = 32, .num_workers = t.num_workers, .seed = test::base_seed()});
  SGD optimizer(model->parameters(), {.lr = t.lr, .weight_decay = t.weight_decay});
  Trained trained;
  birds_vs_planes::training_loop(
      t.epochs, optimizer, *model, CrossEntropyLoss(), loader, Device::cpu, t.l2,
      {.batch_done = [&] { ++trained.batches; },
       .epoch_done = [&](const birds_vs_planes::Epoch& epoch) { trained.epochs.push_back(epoch); }});
  set_num_threads(threads);
  trained.state = model->state_dict();
  return trained;
}

double largest_difference(const StateDict& a, const StateDict& b) {
  double largest = 0;
  for (const auto& [name, x] : a) {
    const auto u = x.to_vector<double>(), v = b.at(name).to_vector<double>();
    for (std::size_t i = 0; i < u.size(); ++i) largest = std::max(largest, std::abs(u[i] - v[i]));
  }
  return largest;
}

bool bitwise_equal(const StateDict& a, const StateDict& b) {
  for (const auto& [name, x] : a) {
    if (x.to_vector<double>() != b.at(name).to_vector<double>()) return false;
  }
  return a.size() == b.size();
}

/// Takes every image for a bird if its first value is above 0.5.
struct FirstPixel : Module {
  bool was_training = true;
  Tensor forward(const Tensor& x) override {
    was_training = is_training();
    const Tensor first = x.flatten(1).narrow(1, 0, 1);
    return cat({0.5 - first, first - 0.5}, 1);
  }
};

}  // namespace

TEST_CASE("an epoch's loss is the mean over its batches") {
  // With a learning rate too small to change a float, it is the loss of the first weights.
  const Trained still = train({.epochs = 2, .lr = 1e-30});
  REQUIRE(still.epochs.size() == 2);
  CHECK(still.batches == 8);
  CHECK(still.epochs[0].number == 1);
  CHECK(still.epochs[1].number == 2);

  manual_seed(test::base_seed());
  const auto model = make_model("net");
  const Tensor images = synthetic_birds_and_planes(128, test::base_seed()).inputs().to(DType::float32) / 255;
  const Tensor labels = synthetic_birds_and_planes(128, test::base_seed()).targets();
  const double loss = cross_entropy((*model)(images), labels).item();
  CHECK(still.epochs[0].loss == Approx(loss).epsilon(1e-5));
  CHECK(still.epochs[1].loss == Approx(loss).epsilon(1e-5));

  double squares = 0;
  for (const Tensor& p : model->parameters()) {
    for (const double v : p.to_vector<double>()) squares += v * v;
  }
  CHECK(train({.lr = 1e-30, .l2 = 0.25}).epochs[0].loss == Approx(loss + 0.25 * squares).epsilon(1e-5));
}

TEST_CASE("the loss falls") {
  const Trained trained = train({.epochs = 20});
  CHECK(trained.epochs.back().loss < 0.98 * trained.epochs.front().loss);
}

TEST_CASE("the explicit penalty is weight decay of twice the factor") {
  // d/dp (l2 * p * p) = 2 * l2 * p, which is what weight decay adds to the gradient.
  const Trained penalty = train({.epochs = 2, .l2 = 0.1}), decay = train({.epochs = 2, .weight_decay = 0.2});
  const Trained neither = train({.epochs = 2});
  CHECK(largest_difference(penalty.state, decay.state) < 1e-5);
  CHECK(largest_difference(penalty.state, neither.state) > 1e-3);
}

TEST_CASE("training is bitwise the same for any number of threads and workers") {
  for (const std::string& model : birds_vs_planes::model_names()) {
    INFO(model);
    const Trained one = train({.model = model, .l2 = 0.001});
    CHECK(bitwise_equal(one.state, train({.model = model, .l2 = 0.001}).state));
    CHECK(bitwise_equal(one.state, train({.model = model, .threads = 2, .num_workers = 2, .l2 = 0.001}).state));
  }
}

TEST_CASE("a loss that is no number ends the training") {
  CHECK_THROWS_WITH(train({.lr = 1e39}), Catch::Contains("train: the loss of epoch 1 is ") && Catch::Contains("nan") &&
                                             Catch::Contains("learning rate"));
}

TEST_CASE("accuracy counts in evaluation mode, with or without the last batch") {
  test::for_each_case(20, [](test::Random& random) {
    const std::int64_t n = random.integer(1, 40), batch_size = random.integer(1, n);
    const bool drop_last = random.chance(0.5);
    const Tensor images = tensor(random.between<float>(n * 3, 0, 1)).reshape({n, 3, 1, 1});
    std::vector<std::int64_t> labels = random.indices(n, 2);
    const std::int64_t counted = drop_last ? n / batch_size * batch_size : n;
    std::int64_t correct = 0;
    for (std::int64_t i = 0; i < counted; ++i) correct += (images.data<float>()[3 * i] > 0.5F) == (labels[i] == 1);

    const TensorDataset dataset(images, tensor(labels));
    DataLoader loader(dataset, {.batch_size = batch_size, .shuffle = false, .drop_last = drop_last, .num_workers = 0});
    FirstPixel model;
    const auto a = birds_vs_planes::accuracy(model, loader, Device::cpu);
    CHECK(a.correct == correct);
    CHECK(a.total == counted);
    CHECK(a.value() == static_cast<double>(correct) / static_cast<double>(counted));
    CHECK_FALSE(model.was_training);
    CHECK(model.is_training());
    CHECK(grad_enabled());
  });
}
