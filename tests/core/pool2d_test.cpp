#include "support.hpp"

#include <tern/core/ops.hpp>

namespace tern::test {

TEST_CASE("pooling wants elements, and windows that fit", "[pool2d]") {
  for (const auto pool : {max_pool2d, avg_pool2d}) {
    const std::string op = pool == max_pool2d ? "max_pool2d" : "avg_pool2d";
    const auto error = [&](const Shape& shape, HeightWidth kernel, const Pool2dOptions& options = {}) {
      return message_of([&] { pool(zeros(shape), kernel, options); });
    };
    CHECK(error({1, 1, 2, 2}, 3) == op + ": kernel [3, 3] is larger than input [1, 1, 2, 2] with padding [0, 0]");
    // All padding: a window without a largest element.
    CHECK(error({1, 1, 0, 4}, 2, {.padding = 1}) ==
          op + ": kernel [2, 2] is larger than input [1, 1, 0, 4] with padding [1, 1]");
    CHECK(error({1, 1, 4, 4}, 3, {.padding = 2}) ==
          op + ": padding [2, 2] for kernel [3, 3], expected at most half of it");
    CHECK(error({1, 1, 4, 4}, 2, {.stride = HeightWidth(0)}) ==
          op + ": kernel [2, 2], stride [0, 0], expected 1 or more");
    CHECK(error({4, 4}, 2) == op + ": input [4, 4], expected [N, C, H, W] or [C, H, W]");
    CHECK(pool(zeros({3, 4, 4}), 2, {}).shape() == Shape{3, 2, 2});
    CHECK(error({1, 1, 4, 4}, 2, {.dilation = 0}) ==
          op + (op == "max_pool2d" ? ": dilation [0, 0], expected 1 or more" : ": dilation [0, 0], expected 1"));
    CHECK(pool(zeros({0, 3, 4, 4}), 2, {}).shape() == Shape{0, 3, 2, 2});
    CHECK(error({2, 0, 4, 4}, 2) == op + ": input [2, 0, 4, 4] without channels, expected at least one");
  }
}

}  // namespace tern::test
