#include <birds_vs_planes/nearest.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>

namespace birds_vs_planes {

namespace {

/// Without what does not count.
std::string bare(const std::string& word) {
  std::string letters = word.substr(std::min(word.find_first_not_of('-'), word.size()));
  std::transform(letters.begin(), letters.end(), letters.begin(), [](unsigned char c) { return std::tolower(c); });
  return letters;
}

std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::optional<std::string> nearest(const std::string& word, const std::vector<std::string>& names) {
  const std::string typed = bare(word).substr(0, 100);
  std::optional<std::string> best;
  std::size_t least = 0;
  for (const std::string& name : names) {
    const std::string meant = bare(name);
    const std::size_t d = distance(typed, meant);
    const bool near = d <= std::max<std::size_t>(typed.size() / 3, 1) && d < meant.size();
    const bool within = typed.size() > 2 && meant.find(typed) != std::string::npos;
    if ((!near && !within) || (best && d >= least)) continue;
    best = name;
    least = d;
  }
  return best;
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& names) {
  const auto name = nearest(word, names);
  return name ? "; did you mean " + *name + "?" : "";
}

std::string alternatives(const std::vector<std::string>& names, const std::string& last) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " " + last + " " : ", ";
    text += names[i];
  }
  return text;
}

}  // namespace birds_vs_planes
