#include <birds_vs_planes/history.hpp>

#include <tern/core/check.hpp>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <sstream>

namespace birds_vs_planes {

namespace {

constexpr const char* header = "epoch,loss,seconds,lr,holdout_accuracy,val_accuracy\n";

std::string str(std::optional<double> x) { return x ? fmt::format("{}", *x) : ""; }

std::string row(const EpochRecord& e) {
  return fmt::format("{},{},{},{},{},{}\n", e.epoch, e.loss, e.seconds, e.lr, str(e.holdout_accuracy),
                     str(e.val_accuracy));
}

/// The numbers of a line, none where a field is empty. Nothing unless there are six fields, all are finite numbers, and
/// the first is an epoch's.
std::optional<std::vector<std::optional<double>>> fields(const std::string& line) {
  std::vector<std::optional<double>> all;
  std::istringstream text(line + ',');
  for (std::string field; std::getline(text, field, ',');) {
    if (field.empty()) {
      all.emplace_back();
      continue;
    }
    char* end = nullptr;
    all.emplace_back(std::strtod(field.c_str(), &end));
    if (*end != '\0' || !std::isfinite(*all.back())) return std::nullopt;
  }
  if (all.size() != 6 || !all[0] || !all[1] || !all[2] || !all[3]) return std::nullopt;
  const double epoch = *all[0];
  if (epoch < 1 || epoch > std::numeric_limits<int>::max() || epoch != std::floor(epoch)) return std::nullopt;
  return all;
}

}  // namespace

std::string to_csv(const History& history) {
  std::string text = header;
  for (const EpochRecord& epoch : history) text += row(epoch);
  return text;
}

History from_csv(const std::string& text, const std::string& from) {
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  tern::check(line + '\n' == header, "log {}: its first line is not '{}'", from,
              std::string_view(header, std::strlen(header) - 1));
  History history;
  for (int number = 2; std::getline(lines, line); ++number) {
    const auto f = fields(line);
    tern::check(f.has_value(), "log {}: line {} is '{}', expected an epoch and five numbers", from, number, line);
    history.push_back({static_cast<int>(*(*f)[0]), *(*f)[1], *(*f)[2], *(*f)[3], (*f)[4], (*f)[5]});
  }
  return history;
}

History read_csv(const std::filesystem::path& path) { return from_csv(tern::read_bytes(path, "log"), path.string()); }

Log::Log(const std::filesystem::path& file, const History& so_far) : file_(file, to_csv(so_far), "log") {}

void Log::add(const EpochRecord& epoch) { file_.add(row(epoch)); }

}  // namespace birds_vs_planes
