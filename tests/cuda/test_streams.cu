#include "device_buffer.hpp"

#include <tern/kernels/cuda/launch.hpp>

#include <catch2/catch.hpp>

#include <thread>
#include <vector>

// Streams, events and graphs as tern uses them, on a GPU and in the emulator.

using namespace tern::kernels::cuda;

namespace {

__global__ void add(int n, int value, int* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] += value;
}

__global__ void multiply(int n, int value, const int* x, int* y) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = value * x[i];
}

/// A stream that does not wait for the null stream.
class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  Event() { check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "cudaEventCreateWithFlags"); }
  ~Event() { static_cast<void>(cudaEventDestroy(event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  operator cudaEvent_t() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

/// What `work` queues on the stream, as a graph that can be launched.
template <class Work>
cudaGraphExec_t capture(cudaStream_t stream, Work&& work) {
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  work();
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
  cudaGraphExec_t executable = nullptr;
  check(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  check(cudaGraphDestroy(graph), "cudaGraphDestroy");
  return executable;
}

constexpr int n = 100;

}  // namespace

TEST_CASE("an event orders two streams") {
  const Stream a, b;
  const Event made;
  const DeviceBuffer<int> x(n), y(n);
  synchronize();  // the buffers are the current stream's
  check(cudaMemsetAsync(x.data(), 0, n * sizeof(int), a), "cudaMemsetAsync");
  launch(add, 1, 128, 0, a, n, 3, x.data());
  check(cudaEventRecord(made, a), "cudaEventRecord");
  check(cudaStreamWaitEvent(b, made), "cudaStreamWaitEvent");
  launch(multiply, 1, 128, 0, b, n, 5, x.data(), y.data());
  check(cudaStreamSynchronize(b), "cudaStreamSynchronize");
  CHECK(y.download() == std::vector<int>(n, 15));
}

TEST_CASE("a stream guard sends work elsewhere, and back") {
  const cudaStream_t main = current_stream();
  {
    const Stream other;
    const StreamGuard guard(other);
    CHECK(current_stream() == other);
    const DeviceBuffer<int> x(std::vector<int>(n, 1));
    launch(add, 1, 128, 0, current_stream(), n, 1, x.data());
    CHECK(x.download() == std::vector<int>(n, 2));
  }
  CHECK(current_stream() == main);
}

TEST_CASE("a captured graph does nothing until it is launched, and does it each time") {
  const Stream stream;
  const StreamGuard guard(stream);
  const DeviceBuffer<int> x(std::vector<int>(n, 1)), y(std::vector<int>(n, -1)), z(std::vector<int>(n, -1));
  synchronize();
  const cudaGraphExec_t graph = capture(stream, [&] {
    launch(add, 1, 128, 0, stream, n, 1, x.data());
    launch(multiply, 1, 128, 0, stream, n, 10, x.data(), y.data());
    check(cudaMemcpyAsync(z.data(), y.data(), n * sizeof(int), cudaMemcpyDeviceToDevice, stream), "cudaMemcpyAsync");
    check(cudaMemsetAsync(y.data(), 0, n * sizeof(int), stream), "cudaMemsetAsync");
  });
  CHECK(x.download() == std::vector<int>(n, 1));
  CHECK(z.download() == std::vector<int>(n, -1));
  for (int time = 1; time <= 3; ++time) {
    check(cudaGraphLaunch(graph, stream), "cudaGraphLaunch");
    CHECK(z.download() == std::vector<int>(n, 10 * (1 + time)));
    CHECK(y.download() == std::vector<int>(n, 0));
  }
  check(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy");
}

TEST_CASE("a graph spans two streams that an event forks and joins, and memory of its own") {
  const Stream a, b;
  const Event fork, join;
  const StreamGuard guard(a);
  const DeviceBuffer<int> x(std::vector<int>(n, 2)), y(n);
  synchronize();
  const cudaGraphExec_t graph = capture(a, [&] {
    const DeviceBuffer<int> scratch(n);
    check(cudaEventRecord(fork, a), "cudaEventRecord");
    check(cudaStreamWaitEvent(b, fork), "cudaStreamWaitEvent");
    launch(multiply, 1, 128, 0, b, n, 3, x.data(), scratch.data());
    check(cudaEventRecord(join, b), "cudaEventRecord");
    check(cudaStreamWaitEvent(a, join), "cudaStreamWaitEvent");
    launch(multiply, 1, 128, 0, a, n, 7, scratch.data(), y.data());
  });
  for (int time = 0; time < 2; ++time) {
    check(cudaMemsetAsync(y.data(), 0xFF, n * sizeof(int), a), "cudaMemsetAsync");
    check(cudaGraphLaunch(graph, a), "cudaGraphLaunch");
    CHECK(y.download() == std::vector<int>(n, 42));
  }
  check(cudaGraphExecDestroy(graph), "cudaGraphExecDestroy");
}

TEST_CASE("waiting for a stream breaks its capture") {
  const Stream stream;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
  CHECK(graph == nullptr);
  static_cast<void>(cudaGetLastError());
}

TEST_CASE("matrix products, row by row: y = a b") {
  const DeviceBuffer<double> a(std::vector<double>{1, 2, 3, 4, 5, 6}), b(std::vector<double>{1, 0, 2, 0, 1, 2}), y(4);
  const double one = 1, zero = 0;  // a is [2, 3] and b [3, 2]; a column-major product of b and a is theirs row-major
  check(cublasDgemm(Cublas(), CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 3, &one, b.data(), 2, a.data(), 3, &zero, y.data(), 2),
        "cublasDgemm");
  CHECK(y.download() == std::vector<double>{8, 6, 20, 12});

  const DeviceBuffer<double> pairs(8);  // two matrices, [1 3; 2 4] and [5 7; 6 8], each times its transpose
  const DeviceBuffer<double> squares(std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8});
  check(cublasDgemmStridedBatched(Cublas(), CUBLAS_OP_N, CUBLAS_OP_T, 2, 2, 2, &one, squares.data(), 2, 4,
                                  squares.data(), 2, 4, &zero, pairs.data(), 2, 4, 2),
        "cublasDgemmStridedBatched");
  CHECK(pairs.download() == std::vector<double>{10, 14, 14, 20, 74, 86, 86, 100});
}

TEST_CASE("each host thread has a cuBLAS handle of its own, and leaves it to the next one") {
  const cublasHandle_t mine = Cublas();
  CHECK(Cublas() == mine);
  std::vector<cublasHandle_t> others;
  for (int i = 0; i < 2; ++i) std::thread([&] { others.push_back(Cublas()); }).join();
  CHECK(others[0] != mine);
  CHECK(others[1] == others[0]);
}
