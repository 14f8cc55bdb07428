#include <tern/core/check.hpp>
#include <tern/distributed/transport.hpp>

namespace tern::distributed {

std::unique_ptr<Ranks> join(const InitOptions&) {
  check(launched_ranks() <= 1, "init: {} ranks were started of a tern that was built without MPI, expected TERN_MPI=ON",
        launched_ranks());
  return nullptr;
}

}  // namespace tern::distributed
