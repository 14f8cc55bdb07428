#include <birds_vs_planes/divergence.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/run.hpp>
#include <birds_vs_planes/train.hpp>

#include <tern/core/autograd.hpp>
#include <tern/core/generator.hpp>
#include <tern/data/synthetic.hpp>
#include <tern/kernels/cpu/threads.hpp>

#include <catch2/catch.hpp>
#include <random.hpp>

#include <cmath>
#include <optional>

using namespace tern;
using birds_vs_planes::make_model;

namespace {

struct Training {
  std::string model = "net";
  int epochs = 1, threads = 1;
  double lr = 0.05, weight_decay = 0, l2 = 0;
  std::optional<std::int64_t> shift = {};
  std::int64_t cutout = 0;
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
  ImageBatches batches(
      images.inputs(), images.targets(),
      {.batch_size = 32, .seed = test::base_seed(), .shift = t.shift, .cutout = t.cutout});
  SGD optimizer(model->parameters(), {.lr = t.lr, .weight_decay = t.weight_decay});
  Trained trained;
  birds_vs_planes::Training training{.model = *model,
                                     .optimizer = optimizer,
                                     .batches = batches,
                                     .loss_fn = CrossEntropyLoss(),
                                     .l2_lambda = t.l2};
  birds_vs_planes::training_loop(
      t.epochs, training,
      {.batch_done = [&] { ++trained.batches; },
       .epoch_done = [&](const birds_vs_planes::Epoch& epoch) { trained.epochs.push_back(epoch); },
       .stop = [] { return false; }});
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

TEST_CASE("a stop that is asked for while an epoch is measured, the last one too, is not lost") {
  const TensorDataset images = synthetic_birds_and_planes(64, test::base_seed());
  const auto model = make_model("net");
  ImageBatches drawn(images.inputs(), images.targets(), {.batch_size = 32});
  SGD optimizer(model->parameters(), {.lr = 0.01});
  birds_vs_planes::Training training{
      .model = *model, .optimizer = optimizer, .batches = drawn, .loss_fn = CrossEntropyLoss()};
  int batches = 0, epochs = 0;
  bool stop = false;
  const birds_vs_planes::TrainingEvents events{.batch_done = [&] { ++batches; },
                                               .epoch_done =
                                                   [&](const birds_vs_planes::Epoch&) {
                                                     ++epochs;
                                                     stop = true;
                                                   },
                                               .stop = [&] { return stop; }};
  for (int epoch = 1; epoch <= 2; ++epoch) {
    stop = false;
    CHECK_FALSE(birds_vs_planes::training_loop(2, training, events));
    CHECK(epochs == epoch);
    CHECK(batches == 2 * epoch);
  }
  CHECK(birds_vs_planes::training_loop(2, training, events));
  CHECK(batches == 4);
}

TEST_CASE("an epoch's learning rate is that of its last step, also where the run stopped after that step") {
  const TensorDataset images = synthetic_birds_and_planes(64, test::base_seed());
  for (const bool stops : {false, true}) {
    const auto model = make_model("net");
    ImageBatches batches(images.inputs(), images.targets(), {.batch_size = 16});
    SGD optimizer(model->parameters(), {.lr = 0.01});
    WarmupCosineLR schedule(optimizer, 6, 12);
    birds_vs_planes::Training training{.model = *model,
                                       .optimizer = optimizer,
                                       .batches = batches,
                                       .loss_fn = CrossEntropyLoss(),
                                       .schedule = &schedule};
    std::vector<double> lr;
    const birds_vs_planes::TrainingEvents events{
        .batch_done = [] {},
        .epoch_done = [&](const birds_vs_planes::Epoch& epoch) { lr.push_back(epoch.lr); },
        .stop = [&] { return stops; }};
    while (!birds_vs_planes::training_loop(2, training, events)) {
    }
    REQUIRE(lr.size() == 2);
    CHECK(lr[0] == Approx(0.01 * 4 / 6));
    CHECK(lr[1] == Approx(0.01 * (1 + std::cos(M_PI / 6)) / 2));
  }
}

TEST_CASE("a batch cut into shards gives the mean of their gradients, and the same bits on any number of threads") {
  const TensorDataset images = synthetic_birds_and_planes(64, test::base_seed());
  const auto trained = [&](int shards, int threads, int steps) {
    const int before = num_threads();
    set_num_threads(threads);
    manual_seed(test::base_seed());
    const auto model = make_model("width");
    ImageBatches batches(images.inputs(), images.targets(), {.batch_size = 32, .seed = test::base_seed()});
    SGD optimizer(model->parameters(), {.lr = 0.05});
    distributed::DistributedDataParallel parallel(*model, {.shards = shards});
    birds_vs_planes::Training training{.model = *model,
                                       .optimizer = optimizer,
                                       .batches = batches,
                                       .loss_fn = CrossEntropyLoss(),
                                       .parallel = shards > 0 ? &parallel : nullptr};
    birds_vs_planes::training_loop(
        2, training,
        {.batch_done = [&] { --steps; }, .epoch_done = [](const auto&) {}, .stop = [&] { return steps <= 0; }});
    set_num_threads(before);
    return model->state_dict();
  };
  const StateDict plain = trained(0, 1, 1);
  CHECK(bitwise_equal(plain, trained(1, 1, 1)));
  for (const int shards : {2, 4, 32}) {
    const StateDict cut = trained(shards, 1, 1);  // a step, after which rounding alone differs
    CHECK(largest_difference(plain, cut) < 1e-6);
    CHECK_FALSE(bitwise_equal(plain, cut));
  }
  CHECK(bitwise_equal(trained(4, 1, 4), trained(4, 2, 4)));
}

TEST_CASE("a loss that is not finite in one shard stops all of them, and is told of that shard") {
  /// Its output is infinite for a shard of birds.
  struct NoBirds : Module {
    Linear fc{1, 2};
    Members members() override { return {.modules = {{"fc", &fc}}}; }
    Tensor forward(const Tensor& x) override { return fc(1 / (1 - x.view({-1, 1}))); }
  };
  // The birds are white, and come last.
  const Tensor images = cat({zeros({6, 1, 1, 1}), full({2, 1, 1, 1}, 255)}).to(DType::uint8);
  const Tensor labels = cat({zeros({6}), ones({2})}).to(DType::int64);
  for (const int shards : {1, 2, 4}) {
    NoBirds model;
    ImageBatches batches(images, labels, {.batch_size = 8, .shuffle = false});
    SGD optimizer(model.parameters(), {.lr = 0.1});
    distributed::DistributedDataParallel parallel(model, {.shards = shards});
    birds_vs_planes::Training training{.model = model,
                                       .optimizer = optimizer,
                                       .batches = batches,
                                       .loss_fn = CrossEntropyLoss(),
                                       .parallel = shards > 1 ? &parallel : nullptr};
    StateDict before;
    for (const auto& [name, x] : model.state_dict()) before[name] = x.detach().clone();
    CHECK_THROWS_WITH(
        birds_vs_planes::training_loop(
            1, training, {.batch_done = [] {}, .epoch_done = [](const auto&) {}, .stop = [] { return false; }}),
        Catch::Contains("step 1 of epoch 1") && Catch::Contains("is that of fc, "));
    CHECK(bitwise_equal(before, model.state_dict()));
  }
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
    CHECK(bitwise_equal(one.state, train({.model = model, .threads = 2, .l2 = 0.001}).state));
  }
}

TEST_CASE("a loss that is no number ends the training, and says where it began") {
  CHECK_THROWS_WITH(train({.lr = 1e39}),
                    Catch::StartsWith("train: the loss is nan at step 2 of epoch 1: the first output "
                                      "that is not finite is that of conv1, Conv2d(3, 16, ") &&
                        Catch::EndsWith(", whose weight is not finite: try a lower learning rate"));
}

TEST_CASE("a divergence is found in the layer where it begins, wherever that is") {
  for (const std::string layer : {"conv1", "conv2", "fc1", "fc2"}) {
    for (const bool in_weights : {true, false}) {
      INFO(layer << ", " << in_weights);
      const auto model = make_model("net");
      {
        // Infinite weights, or weights so large that the output overflows; what comes into each layer is about 1.
        const NoGradGuard no_grad;
        for (const char* bias : {"conv1.bias", "conv2.bias", "fc1.bias"}) model->state_dict().at(bias).fill_(10);
        model->state_dict().at(layer + ".weight").fill_(in_weights ? INFINITY : 3e38);
      }
      const std::string text = birds_vs_planes::describe_divergence(*model, ones({2, 3, 32, 32}), 3, 7, NAN);
      CHECK_THAT(text, Catch::StartsWith("train: the loss is nan at step 7 of epoch 3: ") &&
                           Catch::Contains("is that of " + layer + ", "));
      CHECK((text.find("whose weight is not finite") != std::string::npos) == in_weights);
    }
  }
  const auto model = make_model("net");
  CHECK_THAT(birds_vs_planes::describe_divergence(*model, zeros({2, 3, 32, 32}), 1, 1, INFINITY),
             Catch::Contains("every layer's output is finite"));
}

TEST_CASE("images are changed at random when asked, and alike for a seed") {
  const Trained plain = train({}), changed = train({.shift = 4});
  CHECK(largest_difference(plain.state, changed.state) > 1e-6);
  CHECK(bitwise_equal(changed.state, train({.threads = 2, .shift = 4}).state));
  CHECK(largest_difference(changed.state, train({.shift = 4, .cutout = 8}).state) > 1e-6);
}

TEST_CASE("probabilities with flips are the mean over an image and its mirror image") {
  test::for_each_case(3, [](test::Random& random) {
    const auto model = make_model("batchnorm");
    const Tensor x = tensor(random.between<float>(2 * 3 * 32 * 32, 0, 1)).reshape({2, 3, 32, 32});
    std::vector<float> reversed;
    const auto v = x.to_vector<float>();
    for (std::size_t row = 0; row < v.size() / 32; ++row) {
      for (std::size_t w = 32; w-- > 0;) reversed.push_back(v[row * 32 + w]);
    }
    const Tensor mirrored = tensor(reversed).reshape(x.shape());
    const Tensor one = birds_vs_planes::probabilities(*model, x, false),
                 other = birds_vs_planes::probabilities(*model, mirrored, false);
    const auto both = birds_vs_planes::probabilities(*model, x, true).to_vector<float>();
    const auto expected = ((one + other) / 2).to_vector<float>();
    CHECK(model->is_training());
    CHECK(one.to_vector<float>() != both);
    for (std::size_t i = 0; i < both.size(); ++i) CHECK(both[i] == Approx(expected[i]).margin(1e-6));
  });
}

TEST_CASE("options go before the recipe") {
  using namespace birds_vs_planes;
  Options options;
  options.recipe = "strong";
  const Recipe strong = make_recipe(options, "resstrong");
  CHECK(strong.cutout > 0);
  CHECK(strong.classes == 2);
  options.cutout = 0;
  options.classes = 10;
  options.lr = 0.25;
  const Recipe changed = make_recipe(options, "resstrong");
  CHECK(changed.cutout == 0);
  CHECK(changed.classes == 10);
  CHECK(changed.lr == 0.25);
  CHECK(changed.momentum == strong.momentum);
}

TEST_CASE("with ten classes a run learns from the images of the others, and is judged by two") {
  using namespace birds_vs_planes;
  Data data = load_data("synthetic:64");
  const Tensor drawn = synthetic_birds_and_planes(128, 3).inputs();
  data.others.emplace(drawn, full({128}, 9, {.dtype = DType::int64}));
  Options options;
  options.recipe = "strong";
  options.device = "cpu";
  options.epochs = 1;
  options.batch_size = options.holdout = 16;
  for (const int classes : {10, 2}) {
    options.classes = classes;
    Options article = options;
    article.recipe = "article";
    CHECK(make_recipe(article, "resstrong").classes == classes);  // as where a file that is loaded names it
    const Recipe recipe = make_recipe(options, model_for("strong"));
    Run run(Setup(options, recipe.model), options, recipe, data);
    CHECK(run.train_images().size() == 48);
    CHECK(run.steps_per_epoch() == (classes == 10 ? 48 + 128 : 48) / 16);
    Module& model = *run.setup().model.module;
    const Tensor before = model.state_dict().at("fc.weight").clone();
    REQUIRE(run.train({.batch_done = [] {}, .epoch_done = [](const Epoch&) {}, .stop = [] { return false; }}));
    model.train();
    CHECK(model(data.train.get(std::vector<std::int64_t>{0, 1}).input).size(1) == 10);
    model.eval();
    CHECK(model(data.train.get(std::vector<std::int64_t>{0, 1}).input).size(1) == 2);
    // The logit of class 9 has learnt to stand out where its images are there, else to stay below.
    model.train();
    const NoGradGuard no_grad;
    const auto logits =
        model(data.others->get(std::vector<std::int64_t>{0, 1, 2, 3}).input).mean({0}).to_vector<float>();
    CHECK((logits[9] > logits[8]) == (classes == 10));
  }
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
    DataLoader loader(dataset, {.batch_size = batch_size, .drop_last = drop_last});
    FirstPixel model;
    const auto a = birds_vs_planes::accuracy(model, loader, Device::cpu);
    CHECK(a.correct == correct);
    CHECK(a.total == counted);
    CHECK(a.value() == static_cast<double>(correct) / static_cast<double>(counted));
    CHECK_FALSE(model.was_training);
    CHECK(model.is_training());
    CHECK(is_grad_enabled());
  });
}
