/// examples/prediction_server in libtorch: the same net, queue, threads and requests, of digits drawn at random.
///
///   tern_torch_server [THREADS [REQUESTS]]

#include <torch/torch.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

namespace {

class Server {
 public:
  Server(torch::nn::Sequential model, int threads) : model_(std::move(model)) {
    for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~Server() {
    {
      const std::scoped_lock lock(mutex_);
      closing_ = true;
    }
    arrived_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::future<torch::Tensor> predict(const torch::Tensor& x) {
    std::packaged_task<torch::Tensor()> request([this, x] { return model_->forward(x); });
    std::future<torch::Tensor> answer = request.get_future();
    {
      const std::scoped_lock lock(mutex_);
      queue_.push_back(std::move(request));
    }
    arrived_.notify_one();
    return answer;
  }

 private:
  void work() {
    const torch::NoGradGuard no_grad;
    std::unique_lock lock(mutex_);
    for (;;) {
      arrived_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      std::packaged_task<torch::Tensor()> request = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      request();
      lock.lock();
    }
  }

  torch::nn::Sequential model_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::packaged_task<torch::Tensor()>> queue_;
  bool closing_ = false;
  std::vector<std::thread> workers_;
};

template <class F>
double rate(int times, F f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return times / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 4, requests = argc > 2 ? std::atoi(argv[2]) : 20000;
  at::set_num_threads(1);
  namespace nn = torch::nn;
  nn::Sequential net(nn::Conv2d(nn::Conv2dOptions(1, 16, 3).padding(1)), nn::BatchNorm2d(16), nn::ReLU(),
                     nn::MaxPool2d(2), nn::Conv2d(nn::Conv2dOptions(16, 32, 3).padding(1)), nn::BatchNorm2d(32),
                     nn::ReLU(), nn::MaxPool2d(2), nn::Flatten(), nn::Linear(32 * 2 * 2, 10));
  net->eval();
  const std::vector<torch::Tensor> images = torch::rand({360, 1, 8, 8}).split(1);
  const auto image = [&](int i) { return images[static_cast<std::size_t>(i) % images.size()]; };

  std::vector<torch::Tensor> alone, served;
  const double rate_alone = rate(requests, [&] {
    const torch::NoGradGuard no_grad;
    for (int i = 0; i < requests; ++i) alone.push_back(net->forward(image(i)));
  });
  const double rate_served = rate(requests, [&] {
    Server server(net, threads);
    std::vector<std::future<torch::Tensor>> answers;
    for (int i = 0; i < requests; ++i) answers.push_back(server.predict(image(i)));
    for (std::future<torch::Tensor>& answer : answers) served.push_back(answer.get());
  });
  int differ = 0;
  for (std::size_t i = 0; i < alone.size(); ++i) differ += !torch::equal(served[i], alone[i]);
  std::printf("%d requests; %.0f a second on one thread, %.0f by %d, %d answers differ\n", requests, rate_alone,
              rate_served, threads, differ);
}
