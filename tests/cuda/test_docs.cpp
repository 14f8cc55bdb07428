#include <catch2/catch.hpp>
#include <folders.hpp>

#include <fstream>
#include <iterator>
#include <string>

TEST_CASE("docs/emulator.md shows the example as it is") {
  const auto text_of = [](const std::string& path) {
    std::ifstream file(tern::test::in_tree(path));
    REQUIRE(file);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string example = text_of("tests/cuda/example_row_max.cu");
  CHECK(text_of("docs/emulator.md").find("```cpp\n" + example + "```") != std::string::npos);
}
