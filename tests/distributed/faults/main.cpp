// What goes wrong between ranks, after which nothing works any more: scripts/test runs it by mpirun and looks at what it
// says and how it ends.
//
//   tern_distributed_faults differs | late | killed | thrown

#include <tern/core/tensor.hpp>
#include <tern/distributed/distributed.hpp>

#include <chrono>
#include <csignal>
#include <exception>
#include <string>
#include <thread>

namespace dist = tern::distributed;

int main(int argc, char** argv) {
  try {
    dist::init({.timeout = std::chrono::seconds(3)});
    dist::barrier();
    const std::string fault = argc > 1 ? argv[1] : "";
    const bool faulty = dist::rank() == 1;
    if (faulty && fault == "late") std::this_thread::sleep_for(std::chrono::seconds(60));
    if (faulty && fault == "killed") std::raise(SIGKILL);
    if (faulty && fault == "thrown") throw tern::Error("train: no space left");
    if (fault == "order" && faulty) dist::barrier();
    dist::all_reduce(tern::zeros(faulty && fault == "differs" ? tern::Shape{4, 1} : tern::Shape{3}));
    dist::finalize();
  } catch (const std::exception& e) {
    dist::abort(e.what());
  }
}
