#pragma once

#include <optional>
#include <string>
#include <vector>

namespace birds_vs_planes {

/// What somebody may have meant who typed a word that is none of these: the one from which it is the fewest letters
/// away that are missing, superfluous, wrong or swapped with the next (the optimal string alignment distance), if it
/// is that for a third of them at most or stands in it. Case and dashes in front do not count.
std::optional<std::string> nearest(const std::string& word, const std::vector<std::string>& names);

/// "; did you mean NAME?", or nothing where none is near.
std::string did_you_mean(const std::string& word, const std::vector<std::string>& names);

/// "a, b or c".
std::string alternatives(const std::vector<std::string>& names, const std::string& last = "or");

}  // namespace birds_vs_planes
