#include <tern/core/cuda.hpp>
#include <tern/core/ops.hpp>
#include <tern/data/augment.hpp>
#include <tern/data/data_loader.hpp>
#include <tern/data/image_batches.hpp>

#include <random.hpp>

#include <catch2/catch.hpp>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

namespace tern::test {
namespace {

std::vector<Device> devices() {
  std::vector<Device> list{Device::reference, Device::cpu};
  if (cuda::is_available()) list.push_back(Device::cuda);
  return list;
}

struct Images {
  Tensor images, labels;  ///< of which each has its own

  ImageBatches on(Device device, const ImageBatchesOptions& options) const {
    return {images.to(device), labels.to(device), options};
  }
};

Images random_images(Random& random, std::int64_t n, std::int64_t C, std::int64_t H, std::int64_t W) {
  return {tensor(random.values<std::uint8_t>(n * C * H * W)).reshape({n, C, H, W}), arange(n)};
}

Tensor number(std::int64_t step, Device device) { return tensor({step}, device); }

std::vector<std::int64_t> labels_of(ImageBatches& batches, Device device) {
  return batches.gather(number(batches.state().position, device)).target.to_vector<std::int64_t>();
}

/// The loader's batches, in order and whole ones alone, as the image batches' are.
DataLoaderOptions as_loader(const ImageBatchesOptions& o) {
  return {.batch_size = o.batch_size, .shuffle = o.shuffle, .drop_last = true, .num_workers = 0, .seed = o.seed};
}

}  // namespace

TEST_CASE("the parts of a batch are its images, in order, and each draws for itself") {
  for_each_case(15, [](Random& random) {
    const std::int64_t parts = random.integer(1, 4), size = random.integer(1, 3), n = random.integer(parts * size, 40);
    const auto [images, labels] = random_images(random, n, 2, 5, 4);
    ImageBatchesOptions options{.batch_size = parts * size, .seed = 7};
    for (const Device device : devices()) {
      INFO(device.str());
      ImageBatches batches(images.to(device), labels.to(device), options);
      const auto all = epoch_order(n, true, 7, 0);
      for (std::int64_t i = 0; i < parts * batches.size(); ++i) {
        const Batch part = batches.gather(number(i / parts, device), i % parts, parts);
        REQUIRE(part.input.shape() == Shape({size, 2, 5, 4}));
        for (std::int64_t k = 0; k < size; ++k) {
          const std::int64_t image = all[static_cast<std::size_t>(i * size + k)];
          CHECK(part.target.to_vector<std::int64_t>()[static_cast<std::size_t>(k)] == image);
          const auto pixels = images.select(0, image).to_vector<double>();
          const auto found = part.input.select(0, k).to_vector<double>();
          for (std::size_t p = 0; p < pixels.size(); ++p) CHECK(found[p] == Approx(pixels[p] / 255));
        }
      }
      // Moved and greyed as by a generator of its own, at whatever place.
      options.shift = 2;
      options.cutout = 3;
      ImageBatches changed(images.to(device), labels.to(device), options);
      const std::int64_t part = parts - 1;
      Generator one(3), other(3);
      const Batch drawn = changed.gather(number(0, device), part, parts, one);
      const Tensor rows = tensor(std::vector(all.begin() + part * size, all.begin() + (part + 1) * size));
      const ImageBatches alone(images.index_select(0, rows).to(device), rows.to(device),
                               {.batch_size = size, .shuffle = false, .shift = 2, .cutout = 3});
      const Batch expected = alone.gather(number(0, device), other);
      CHECK(drawn.input.to_vector<float>() == expected.input.to_vector<float>());
      CHECK(drawn.target.to_vector<std::int64_t>() == expected.target.to_vector<std::int64_t>());
      CHECK(one.state().offset == other.state().offset);
      CHECK_THROWS_WITH(changed.gather(number(0, device), parts, parts), Catch::Contains("of a batch of"));
      CHECK_THROWS_WITH(changed.gather(number(0, device), -1, parts), Catch::Contains("part -1"));
      CHECK_THROWS_WITH(changed.gather(number(0, device), 0, parts * size + 1),
                        Catch::Contains("as many as divide it"));
      CHECK_THROWS_WITH(changed.gather(number(0, device), 0, 0), Catch::Contains("part 0 of 0"));
      options.shift = std::nullopt;
      options.cutout = 0;
    }
  });
}

TEST_CASE("ImageBatches gives on every device what the host's loader and its augmentations give, bit by bit") {
  for_each_case(25, [](Random& random) {
    const auto side = [&] { return random.chance(0.2) ? 1 : random.chance(0.3) ? 8 : random.integer(2, 13); };
    const std::int64_t n = random.integer(1, 12), C = random.integer(1, 3), H = side(), W = side(),
                       largest = std::min(H, W) - 1;
    const ImageBatchesOptions options{
        .batch_size = random.chance(0.2) ? 1 : random.integer(1, n),
        .shuffle = random.chance(0.7),
        .seed = static_cast<std::uint64_t>(random.integer(0, 1 << 20)),
        .shift = random.chance(0.3) ? std::nullopt : std::optional(random.chance(0.3) ? 0 : random.integer(0, largest)),
        .cutout = random.chance(0.3) ? 0 : random.integer(1, 2 * std::max(H, W) + 3),
        .cutout_value = random.real(0, 1)};
    CAPTURE(n, C, H, W, options.batch_size, options.shuffle, options.shift.value_or(-1), options.cutout);
    const Images data = random_images(random, n, C, H, W);
    const TensorDataset dataset(data.images, data.labels);

    for (const Device device : devices()) {
      INFO("device " << device.str());
      DataLoader loader(dataset, as_loader(options));
      ImageBatches batches = data.on(device, options);
      REQUIRE(batches.size() == loader.size());
      Generator of_host(3), of_device(3);
      for (int epoch = 0; epoch < 3; ++epoch) {
        std::int64_t position = 0;
        for (const auto& [input, target] : loader) {
          CHECK(batches.state() == ImageBatches::State{epoch, position});
          const Tensor x = options.shift ? random_flip_and_shift(input, *options.shift, of_host) : input;
          if (options.cutout > 0) random_cutout_(x, options.cutout, options.cutout_value, of_host);
          const Batch got = batches.gather(number(position++, device), of_device);
          REQUIRE(got.input.shape() == x.shape());
          CHECK(got.input.device() == device);
          CHECK(got.input.to_vector<float>() == x.to_vector<float>());
          CHECK(got.target.to_vector<std::int64_t>() == target.to_vector<std::int64_t>());
          CHECK(of_device.state().offset == of_host.state().offset);
          batches.advance();
        }
      }
      CHECK(batches.state() == ImageBatches::State{3, 0});
    }
  });
}

TEST_CASE("ImageBatches gives float64 too, of the same pixels") {
  Random random(base_seed(), 0);
  const Images data = random_images(random, 4, 3, 5, 6);
  for (const Device device : devices()) {
    Generator a(1), b(1);
    ImageBatchesOptions options{.batch_size = 4, .shift = 2, .cutout = 3};
    const Tensor x = data.on(device, options).gather(number(0, device), a).input;
    options.dtype = DType::float64;
    const Tensor y = data.on(device, options).gather(number(0, device), b).input;
    CHECK(y.dtype() == DType::float64);
    CHECK(y.to(DType::float32).to_vector<float>() == x.to_vector<float>());
  }
}

TEST_CASE("ImageBatches goes on from a stored state, in the middle of an epoch and at its end") {
  for_each_case(20, [](Random& random) {
    const std::int64_t n = random.integer(1, 20);
    const ImageBatchesOptions options{.batch_size = random.integer(1, n), .shuffle = random.chance(0.8), .seed = 5};
    const Images data = random_images(random, n, 1, 1, 1);
    for (const Device device : devices()) {
      ImageBatches whole = data.on(device, options);
      std::vector<std::vector<std::int64_t>> expected;
      for (std::int64_t i = 0; i < 3 * whole.size(); ++i, whole.advance()) expected.push_back(labels_of(whole, device));

      const std::int64_t start = random.integer(0, std::ssize(expected) - 1);
      ImageBatches rest = data.on(device, options);
      rest.set_state({start / rest.size(), start % rest.size()});
      for (std::int64_t i = start; i < std::ssize(expected); ++i, rest.advance()) {
        CHECK(labels_of(rest, device) == expected[static_cast<std::size_t>(i)]);
      }
      rest.set_state({0, rest.size()});
      CHECK(rest.state() == ImageBatches::State{0, rest.size()});
      rest.advance();
      CHECK(rest.state() == ImageBatches::State{1, 0});
      CHECK(labels_of(rest, device) == expected[static_cast<std::size_t>(rest.size())]);
    }
  });
}

TEST_CASE("a graph of ImageBatches' gather follows the step, the epoch and the generator", "[cuda]") {
  for_each_case(4, [](Random& random) {
    const std::int64_t n = random.integer(6, 20);
    const ImageBatchesOptions options{.batch_size = random.integer(1, n / 3),
                                      .seed = 9,
                                      .shift = random.chance(0.2) ? std::nullopt : std::optional<std::int64_t>(2),
                                      .cutout = random.chance(0.2) ? 0 : 3};
    const Images data = random_images(random, n, 3, 6, random.pick<std::int64_t>({5, 8}));
    std::vector<std::vector<float>> inputs[2];
    std::vector<std::vector<std::int64_t>> targets[2];
    std::uint64_t offsets[2];
    for (const bool graphed : {false, true}) {
      manual_seed(4);
      ImageBatches batches = data.on(Device::cuda, options);
      const Tensor step = zeros({1}, {.dtype = DType::int64, .device = Device::cuda});
      // What is drawn before and after the batch moves the places of its draws.
      Tensor before, after;
      Batch batch;
      const Tensor x = ones({7}, {.device = Device::cuda});
      const auto work = [&] {
        before = dropout(x, 0.5);
        batch = batches.gather(step);
        after = dropout(x, 0.5);
      };
      std::optional<cuda::Graph> graph;
      if (graphed) graph.emplace(work);
      for (int epoch = 0; epoch < 3; ++epoch) {
        for (std::int64_t i = 0; i < batches.size(); ++i, batches.advance()) {
          step.copy_(tensor({i}));
          graphed ? graph->replay() : work();
          inputs[graphed].push_back(batch.input.to_vector<float>());
          targets[graphed].push_back(batch.target.to_vector<std::int64_t>());
          for (const Tensor& y : {before, after}) inputs[graphed].push_back(y.to_vector<float>());
        }
      }
      offsets[graphed] = default_generator().state().offset;
    }
    CHECK(inputs[1] == inputs[0]);
    CHECK(targets[1] == targets[0]);
    CHECK(offsets[1] == offsets[0]);
    const auto second = targets[0].begin() + std::ssize(targets[0]) / 3;
    CHECK(!std::equal(targets[0].begin(), second, second));  // the epochs' orders differ
  });
}

TEST_CASE("ImageBatches says what it cannot take") {
  const Tensor images = zeros({4, 3, 8, 6}, {.dtype = DType::uint8}), labels = arange(4);
  const auto made = [&](const ImageBatchesOptions& options) { return ImageBatches(images, labels, options); };
  CHECK_THROWS_WITH(ImageBatches({}, labels), "ImageBatches: images is undefined, expected a tensor");
  CHECK_THROWS_WITH(ImageBatches(images, {}), "ImageBatches: labels is undefined, expected a tensor");
  CHECK_THROWS_WITH(ImageBatches(zeros({4, 3, 8, 6}), labels),
                    "ImageBatches: images [4, 3, 8, 6] of float32, expected uint8 [n, C, H, W]");
  CHECK_THROWS_WITH(ImageBatches(images[0], labels),
                    "ImageBatches: images [3, 8, 6] of uint8, expected uint8 [n, C, H, W]");
  CHECK_THROWS_WITH(ImageBatches(images, arange(5)), "ImageBatches: labels [5] of int64, expected int64 [4]");
  CHECK_THROWS_WITH(ImageBatches(images, zeros({4})), "ImageBatches: labels [4] of float32, expected int64 [4]");
  CHECK_THROWS_WITH(ImageBatches(images, labels.to(Device::reference)),
                    "ImageBatches: tensors on cpu and reference, expected one device");
  CHECK_THROWS_WITH(made({.batch_size = 0}), "ImageBatches: batch_size 0 of 4 images, expected 1 to 4");
  CHECK_THROWS_WITH(made({.batch_size = 5}), "ImageBatches: batch_size 5 of 4 images, expected 1 to 4");
  CHECK_THROWS_WITH(made({.batch_size = 4, .shift = 6}), "ImageBatches: shift 6 of images of 8 x 6, expected 0 to 5");
  CHECK_THROWS_WITH(made({.batch_size = 4, .shift = -1}), "ImageBatches: shift -1 of images of 8 x 6, expected 0 to 5");
  CHECK_THROWS_WITH(made({.batch_size = 4, .cutout = -1}), "ImageBatches: cutout -1, expected at least 0");
  CHECK_THROWS_WITH(made({.batch_size = 4, .cutout_value = std::numeric_limits<double>::quiet_NaN()}),
                    "ImageBatches: cutout_value nan, expected a float32");
  CHECK_THROWS_WITH(made({.batch_size = 4, .dtype = DType::int64}),
                    "ImageBatches: batches of int64, expected float32 or float64");

  ImageBatches batches = made({.batch_size = 2});
  const std::uint64_t offset = default_generator().state().offset;
  CHECK_THROWS_WITH(batches.gather({}), "ImageBatches: step undefined, expected one int64 on cpu");
  CHECK_THROWS_WITH(batches.gather(zeros({1})), "ImageBatches: step [1] of float32 on cpu, expected one int64 on cpu");
  CHECK_THROWS_WITH(batches.gather(arange(2)), "ImageBatches: step [2] of int64 on cpu, expected one int64 on cpu");
  CHECK_THROWS_WITH(batches.gather(number(0, Device::reference)),
                    "ImageBatches: step [1] of int64 on reference, expected one int64 on cpu");
  CHECK_THROWS_WITH(batches.gather(number(2, Device::cpu)), "ImageBatches: step 2, expected 0 to 1");
  CHECK_THROWS_WITH(batches.gather(number(-1, Device::cpu)), "ImageBatches: step -1, expected 0 to 1");
  CHECK(default_generator().state().offset == offset);
  batches.advance();
  for (const ImageBatches::State bad : {ImageBatches::State{-1, 0}, {0, -1}, {0, 3}, {1'000'000'001, 0}}) {
    CHECK_THROWS_AS(batches.set_state(bad), Error);
    CHECK(batches.state() == ImageBatches::State{0, 1});
  }
}

TEST_CASE("ImageBatches' replicas share each batch, bit by bit, and leave the generator where one would") {
  for_each_case(20, [](Random& random) {
    const int replicas = static_cast<int>(random.integer(1, 4));
    const std::int64_t batch_size = random.pick<std::int64_t>({1, 3, 4, 8}), n = batch_size * replicas * 2 + 1;
    ImageBatchesOptions options{.batch_size = batch_size * replicas,
                                .shuffle = random.chance(0.7),
                                .seed = 9,
                                .shift = random.chance(0.5) ? std::optional<std::int64_t>(2) : std::nullopt,
                                .cutout = random.integer(0, 3)};
    CAPTURE(replicas, batch_size, options.shift.value_or(-1), options.cutout);
    const Images data = random_images(random, n, 2, 5, 4);
    for (const Device device : devices()) {
      INFO("device " << device.str());
      const ImageBatches whole = data.on(device, options);
      for (int rank = 0; rank < replicas; ++rank) {
        ImageBatchesOptions of_rank = options;
        of_rank.batch_size = batch_size;
        of_rank.num_replicas = replicas;
        of_rank.rank = rank;
        const ImageBatches share = data.on(device, of_rank);
        REQUIRE(share.size() == 2);
        Generator of_whole(3), of_share(3);
        for (std::int64_t step = 0; step < 2; ++step) {
          const Batch all = whole.gather(number(step, device), of_whole);
          const Batch got = share.gather(number(step, device), of_share);
          const std::int64_t first = rank * batch_size;
          CHECK(got.target.to_vector<std::int64_t>() ==
                all.target.narrow(0, first, batch_size).to_vector<std::int64_t>());
          CHECK(got.input.to_vector<float>() == all.input.narrow(0, first, batch_size).to_vector<float>());
          CHECK(of_share.state().offset == of_whole.state().offset);
        }
      }
    }
  });
  const Images data{zeros({7, 1, 4, 4}, {.dtype = DType::uint8}), arange(7)};
  CHECK_THROWS_WITH(data.on(Device::cpu, {.num_replicas = 2, .rank = -1}),
                    "ImageBatches: rank -1 of 2 replicas, expected 0 to 1");
  CHECK_THROWS_WITH(data.on(Device::cpu, {.batch_size = 4, .num_replicas = 2}),
                    "ImageBatches: batch_size 4 of 7 images on 2 replicas, expected 1 to 3");
}

}  // namespace tern::test
