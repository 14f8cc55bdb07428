#include <catch2/catch.hpp>
#include <folders.hpp>

#include <cstdlib>

TEST_CASE("docs/from-pytorch.md is the table of the rows") {
  CHECK(std::system(("python3 " + tern::test::in_tree("tests/torch/table.py") + " --check").c_str()) == 0);
}
