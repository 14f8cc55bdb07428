#pragma once

#include <map>
#include <mutex>
#include <vector>

namespace tern::kernels::cuda {

/// A host thread's handles of a library, one for each device. They are costly to make, so when the thread ends they are
/// left for the next one.
template <class Handle>
class ThreadHandles {
 public:
  ThreadHandles() = default;
  ~ThreadHandles() {
    const std::scoped_lock lock(idle().mutex);
    for (const auto& [device, handle] : handles_) idle().handles[device].push_back(handle);
  }
  ThreadHandles(const ThreadHandles&) = delete;
  ThreadHandles& operator=(const ThreadHandles&) = delete;

  /// The one for the device, which is the current one; `make()` gives a new one.
  template <class Make>
  Handle& get(int device, Make make) {
    if (const auto mine = handles_.find(device); mine != handles_.end()) return mine->second;
    const std::scoped_lock lock(idle().mutex);
    std::vector<Handle>& left = idle().handles[device];
    if (left.empty()) left.push_back(make());
    Handle& handle = handles_.emplace(device, left.back()).first->second;
    left.pop_back();
    return handle;
  }

 private:
  struct Idle {
    std::mutex mutex;
    std::map<int, std::vector<Handle>> handles;
  };
  static Idle& idle() {
    static Idle& idle = *new Idle;  // never destroyed: threads may end after main
    return idle;
  }

  std::map<int, Handle> handles_;
};

}  // namespace tern::kernels::cuda
