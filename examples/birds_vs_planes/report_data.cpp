#include <birds_vs_planes/divergence.hpp>
#include <birds_vs_planes/evaluate.hpp>
#include <birds_vs_planes/report_data.hpp>

#include <tern/core/check.hpp>
#include <tern/core/ops.hpp>

#include <algorithm>
#include <cmath>

namespace birds_vs_planes {

std::array<std::array<std::int64_t, 2>, 2> Judgement::confusion() const {
  std::array<std::array<std::int64_t, 2>, 2> counts{};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    ++counts[static_cast<std::size_t>(labels[i])][static_cast<std::size_t>(predicted(i))];
  }
  return counts;
}

std::vector<std::int64_t> Judgement::worst(int label, std::size_t at_most) const {
  std::vector<std::int64_t> wrong;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] == label && predicted(i) != label) wrong.push_back(static_cast<std::int64_t>(i));
  }
  std::stable_sort(wrong.begin(), wrong.end(), [&](std::int64_t a, std::int64_t b) {
    return confidence(static_cast<std::size_t>(a)) > confidence(static_cast<std::size_t>(b));
  });
  wrong.resize(std::min(wrong.size(), at_most));
  return wrong;
}

Judgement judge(NamedModel& model, tern::DataLoader& loader, tern::Device device) {
  Judgement all;
  for (const auto& [input, target] : loader) {
    const tern::Tensor p = probabilities(*model.module, input.to(device), model.flips());
    tern::check(all_finite(p), "judge: the model's output for an image is no number: its weights are spoiled");
    for (const double bird : p.select(1, 1).contiguous().to_vector<double>()) all.probability.push_back(bird);
    for (const std::int64_t label : target.to_vector<std::int64_t>()) all.labels.push_back(static_cast<int>(label));
  }
  return all;
}

std::vector<CalibrationBin> calibration(const Judgement& judgement) {
  constexpr std::size_t n = 10;
  std::vector<CalibrationBin> bins;
  for (std::size_t b = 0; b < n; ++b) {
    bins.push_back({0.5 + 0.05 * static_cast<double>(b), 0.5 + 0.05 * static_cast<double>(b + 1), 0, 0, 0});
  }
  for (std::size_t i = 0; i < judgement.labels.size(); ++i) {
    const double confidence = judgement.confidence(i);
    CalibrationBin& bin = bins[std::min(n - 1, static_cast<std::size_t>((confidence - 0.5) * 20))];
    ++bin.count;
    bin.confidence += confidence;
    bin.accuracy += judgement.predicted(i) == judgement.labels[i];
  }
  for (CalibrationBin& bin : bins) {
    if (bin.count == 0) continue;
    bin.confidence /= static_cast<double>(bin.count);
    bin.accuracy /= static_cast<double>(bin.count);
  }
  return bins;
}

double calibration_error(const std::vector<CalibrationBin>& bins) {
  double sum = 0, count = 0;
  for (const CalibrationBin& bin : bins) {
    sum += static_cast<double>(bin.count) * std::abs(bin.confidence - bin.accuracy);
    count += static_cast<double>(bin.count);
  }
  return count > 0 ? sum / count : 0;
}

}  // namespace birds_vs_planes
