#pragma once

#include <tern/tern.hpp>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

/// Answers requests by one model, which all threads share: any number of them may call a module in evaluation.
class Server {
 public:
  /// The model, in evaluation, must outlive this.
  Server(const tern::Module& model, int threads) : model_(model) {
    for (int i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  /// Answers what it was asked before.
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

  /// What the model makes of x, or throws, once a thread has got round to it. To be called by any thread.
  std::future<tern::Tensor> predict(const tern::Tensor& x) {
    std::packaged_task<tern::Tensor()> request([this, x] { return model_(x); });
    std::future<tern::Tensor> answer = request.get_future();
    {
      const std::scoped_lock lock(mutex_);
      queue_.push_back(std::move(request));
    }
    arrived_.notify_one();
    return answer;
  }

 private:
  void work() {
    const tern::NoGradGuard no_grad;  // a thread's own
    std::unique_lock lock(mutex_);
    for (;;) {
      arrived_.wait(lock, [&] { return closing_ || !queue_.empty(); });
      if (queue_.empty()) return;
      std::packaged_task<tern::Tensor()> request = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      request();
      lock.lock();
    }
  }

  const tern::Module& model_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::packaged_task<tern::Tensor()>> queue_;
  bool closing_ = false;
  std::vector<std::thread> workers_;
};
