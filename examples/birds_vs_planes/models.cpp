#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/residual_models.hpp>

#include <tern/core/check.hpp>

namespace birds_vs_planes {

namespace {

struct Kind {
  const char* name;
  std::unique_ptr<tern::Module> (*make)();
};

template <class Model>
std::unique_ptr<tern::Module> make() {
  return std::make_unique<Model>();
}

constexpr Kind kinds[] = {{"net", make<Net>},
                          {"width", make<NetWidth>},
                          {"dropout", make<NetDropout>},
                          {"batchnorm", make<NetBatchNorm>},
                          {"depth", make<NetDepth>},
                          {"res", make<NetRes>},
                          {"resdeep", make<NetResDeep>},
                          {"resstrong", make<NetResStrong>}};

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const Kind& kind : kinds) names.emplace_back(kind.name);
  return names;
}

std::unique_ptr<tern::Module> make_model(const std::string& name) {
  for (const Kind& kind : kinds) {
    if (name == kind.name) return kind.make();
  }
  tern::fail("model '{}': expected one of {}", name, fmt::join(model_names(), ", "));
}

}  // namespace birds_vs_planes
