#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/setup.hpp>
#include <birds_vs_planes/terminal.hpp>

#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>
#include <tern/data/image.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <exception>
#include <filesystem>
#include <string_view>
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

struct Answer {
  std::string file, error;            ///< error: why there is none
  std::vector<double> probabilities;  ///< of each class

  /// The class that is most probable.
  std::size_t best() const {
    return static_cast<std::size_t>(std::max_element(probabilities.begin(), probabilities.end()) -
                                    probabilities.begin());
  }
};

/// Adds the pictures in a folder and those below it, yet to be answered, and folders that cannot be read.
void add_pictures(const fs::path& folder, std::vector<Answer>& all) {
  std::error_code error, unknown;
  fs::directory_iterator at(folder, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    if (fs::is_directory(at->symlink_status(unknown))) {
      add_pictures(at->path(), all);
    } else if (is_picture(at->path()) && (at->is_regular_file(unknown) || unknown)) {
      all.push_back({at->path().string(), "", {}});
    }
  }
  if (error)
    all.push_back({folder.string(), fmt::format("predict: folder {}: {}", folder.string(), error.message()), {}});
}

/// What is to be answered of a folder, by name.
std::vector<Answer> pictures_in(const std::string& folder) {
  std::vector<Answer> all;
  add_pictures(folder, all);
  if (all.empty()) all.push_back({folder, "predict: folder " + folder + " has no JPEG, PNG or BMP picture in it", {}});
  std::sort(all.begin(), all.end(), [](const Answer& a, const Answer& b) { return a.file < b.file; });
  return all;
}

Answer answer(const std::string& file, const Setup& setup) {
  try {
    const tern::Tensor image = tern::resize_to_square(tern::read_image(file), 32).to(tern::DType::float32) / 255;
    const tern::Tensor input = image.unsqueeze(0).to(setup.device);
    return {file, "", probabilities(*setup.model.module, input, setup.model.flips()).to_vector<double>()};
  } catch (const std::exception& e) {  // no memory for one file says nothing of the others
    const std::string what = e.what();
    return {file, what.find(file) != std::string::npos ? what : "predict: " + file + ": " + what, {}};
  }
}

std::vector<Answer> answers(const Options& options, const Setup& setup) {
  std::vector<Answer> all;
  for (const std::string& path : options.images) {
    std::error_code unknown;
    if (!fs::is_directory(path, unknown)) {
      all.push_back(answer(path, setup));
      continue;
    }
    for (const Answer& found : pictures_in(path)) {
      all.push_back(found.error.empty() ? answer(found.file, setup) : found);
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

  // On a terminal a name that is too long loses its beginning, so that each answer is one line.
  constexpr std::size_t beside = std::string_view("  airplane  probability").size();
  const std::size_t room = std::max(terminal_columns(stdout).value_or(1 << 20), beside + 8) - beside;
  const auto name = [&](const Answer& a) { return shortened(printable(a.file), room); };
  std::size_t width = 4;
  for (const Answer& a : all) width = std::max(width, a.error.empty() ? columns_of(name(a)) : 0);
  console.say("{:<{}}  class     probability", "file", width);
  int failed = 0;
  for (const Answer& a : all) {
    console.object(as_json(a));
    if (!a.error.empty()) {
      ++failed;
      complain(a.error);
      continue;
    }
    const std::string space(width - columns_of(name(a)), ' ');
    console.result("{}{}  {:<8}  {:.4f}", name(a), space, class_names[a.best()], a.probabilities[a.best()]);
  }
  return failed;
}

}  // namespace birds_vs_planes
