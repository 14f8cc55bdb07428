/// The core of a server that reads digits: requests wait in a queue for one of several threads, which share a model.
/// Measures how many a second it answers, and that each answer is what a single thread gives, bit by bit.
///
///   prediction_server $(scripts/fetch_digits) --load digits.safetensors

#include <digits/digits.hpp>
#include <digits/net.hpp>
#include <prediction_server/server.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <exception>

namespace {

/// How often a second something was done that took f() this many times.
template <class F>
double rate(int times, F f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return times / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) try {
  std::string data, load;
  int threads = 4, requests = 20000;
  CLI::App app("Answers requests by one model that several threads share");
  app.add_option("DATA", data, "digits.csv, as scripts/fetch_digits gets it")->required();
  app.add_option("--load", load, "The weights, as the example digits saves them; without, those to begin with");
  app.add_option("--threads", threads)->capture_default_str()->check(CLI::Range(1, 256));
  app.add_option("--requests", requests)->capture_default_str()->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);

  tern::set_num_threads(1);  // each request on the thread that answers it
  const auto [train, test] = Digits::load(data);
  tern::Sequential net = make_net();
  if (!load.empty()) net.load_state_dict(tern::load_safetensors(load).tensors);
  net.eval();
  const std::vector<tern::Tensor> images = test.inputs().split(1);
  const auto image = [&](int i) { return images[static_cast<std::size_t>(i) % images.size()]; };

  std::vector<tern::Tensor> alone, served;
  const double rate_alone = rate(requests, [&] {
    const tern::NoGradGuard no_grad;
    for (int i = 0; i < requests; ++i) alone.push_back(net(image(i)));
  });
  const double rate_served = rate(requests, [&] {
    Server server(net, threads);
    std::vector<std::future<tern::Tensor>> answers;
    for (int i = 0; i < requests; ++i) answers.push_back(server.predict(image(i)));
    for (std::future<tern::Tensor>& answer : answers) served.push_back(answer.get());
  });

  int differ = 0, right = 0;
  for (int i = 0; i < requests; ++i) {
    const auto k = static_cast<std::size_t>(i);
    differ += !equal(served[k], alone[k]);
    right += served[k].argmax().item<std::int64_t>() == test.targets()[i % test.size()].item<std::int64_t>();
  }
  std::printf("%d requests, %.1f %% read right; %.0f a second on one thread, %.0f by %d, %d answers differ\n", requests,
              100.0 * right / requests, rate_alone, rate_served, threads, differ);
  return differ == 0 ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
