#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/setup.hpp>

#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/data/image.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>

namespace birds_vs_planes {

namespace {

namespace fs = std::filesystem;
using json = nlohmann::ordered_json;

bool is_picture(const fs::path& file) {
  std::string ending = file.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png" || ending == ".bmp";
}

/// The pictures in a folder and those below it, by name. Throws where there is none.
std::vector<std::string> pictures_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (at->is_regular_file() && is_picture(at->path())) files.push_back(at->path().string());
  }
  tern::check(!error, "predict: folder {}: {}", folder, error.message());
  tern::check(!files.empty(), "predict: folder {} has no JPEG, PNG or BMP picture in it", folder);
  std::sort(files.begin(), files.end());
  return files;
}

struct Answer {
  std::string file, error;            ///< error: why there is none
  std::vector<double> probabilities;  ///< of each class

  /// The class that is most probable.
  std::size_t best() const {
    return static_cast<std::size_t>(std::max_element(probabilities.begin(), probabilities.end()) -
                                    probabilities.begin());
  }
};

Answer answer(const std::string& file, const Setup& setup) {
  try {
    const tern::Tensor image = tern::resize_to_square(tern::read_image(file), 32).to(tern::DType::float32) / 255;
    const tern::Tensor input = image.unsqueeze(0).to(setup.device);
    return {file, "", probabilities(*setup.model.module, input, setup.model.flips()).to_vector<double>()};
  } catch (const tern::Error& e) {
    return {file, e.what(), {}};
  }
}

std::vector<Answer> answers(const Options& options, const Setup& setup) {
  std::vector<Answer> all;
  for (const std::string& path : options.images) {
    if (!fs::is_directory(path)) {
      all.push_back(answer(path, setup));
      continue;
    }
    try {
      for (const std::string& file : pictures_in(path)) all.push_back(answer(file, setup));
    } catch (const tern::Error& e) {
      all.push_back({path, e.what(), {}});
    }
  }
  return all;
}

json as_json(const Answer& a) {
  if (!a.error.empty()) return {{"file", a.file}, {"error", a.error}};
  json of_each;
  for (std::size_t c = 0; c < a.probabilities.size(); ++c) of_each[class_names[c]] = a.probabilities[c];
  return {{"file", a.file},
          {"class", class_names[a.best()]},
          {"probability", a.probabilities[a.best()]},
          {"probabilities", of_each}};
}

}  // namespace

int predict(const Options& options) {
  const Console console(options);
  const Setup setup(options, "net");
  const std::vector<Answer> all = answers(options, setup);

  std::size_t width = 4;
  for (const Answer& a : all) width = std::max(width, a.error.empty() ? a.file.size() : 0);
  console.say("{:<{}}  class     probability", "file", width);
  int failed = 0;
  for (const Answer& a : all) {
    console.object(as_json(a).dump(-1, ' ', false, json::error_handler_t::replace));
    if (!a.error.empty()) {
      ++failed;
      complain(a.error);
      continue;
    }
    console.result("{:<{}}  {:<8}  {:.4f}", a.file, width, class_names[a.best()], a.probabilities[a.best()]);
  }
  return failed;
}

}  // namespace birds_vs_planes
