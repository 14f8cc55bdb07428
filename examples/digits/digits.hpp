#pragma once

#include <tern/tern.hpp>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

/// The data of several examples: handwritten digits, images float32 [n, 1, 8, 8] in [0, 1] and labels int64 [n].
struct Digits {
  tern::TensorDataset train, test;

  /// Of the file that scripts/fetch_digits gets, with 64 numbers from 0 to 16 and the digit in each line: the last 360
  /// of its 1,797 are the test.
  static Digits load(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw tern::Error(path + ": cannot be read; scripts/fetch_digits gets digits.csv");
    std::vector<float> numbers;
    for (std::string line; std::getline(file, line);) {
      std::istringstream cells(line);
      for (std::string cell; std::getline(cells, cell, ',');) numbers.push_back(std::stof(cell));
    }
    const tern::Tensor table = tern::tensor(numbers).reshape({-1, 65});
    const tern::Tensor images = table.narrow(1, 0, 64).reshape({-1, 1, 8, 8}) / 16;
    const tern::Tensor labels = table.select(1, 64).to(tern::DType::int64);
    const auto part = [&](std::int64_t begin, std::int64_t end) {
      return tern::TensorDataset(slice(images, 0, begin, end), slice(labels, 0, begin, end));
    };
    const std::int64_t n = images.size(0);
    return {part(0, n - 360), part(n - 360, n)};
  }
};

/// Writes images [n, 1, 8, 8] as a PNG picture, so many in a row and framed, each pixel eight times as large.
inline void write_digits(const std::string& path, const tern::Tensor& images, std::int64_t in_a_row) {
  const tern::Tensor framed = pad(images, {1, 1, 1, 1}, tern::PadMode::constant, 0.25);
  const tern::Tensor rows = framed.reshape({-1, in_a_row, 10, 10}).permute({0, 2, 1, 3});
  const tern::Tensor picture = rows.reshape({1, 1, -1, in_a_row * 10});
  const tern::Tensor large = interpolate(round(picture * 255), {.scale_factor = 8});
  tern::write_png(path, large.squeeze(0).to(tern::DType::uint8));
}
