#pragma once

#include <tern/core/tensor.hpp>

#include <string>

namespace birds_vs_planes {

/// How to show a colour: 24 bits, the 256 of xterm's palette, or as a character as dark or light as it.
enum class Colours { true_colour, palette, none };

/// The one that a name stands for: true, 256, none; for "auto" what the terminal can: none where standard output is no
/// terminal, NO_COLOR is set or TERM is "dumb", true where COLORTERM says so, else 256. Throws tern::Error for others.
Colours choose_colours(const std::string& name);

/// The nearest colour of xterm's palette: 16 + 36 r + 6 g + b of its cube, or one of 24 greys from 232 on.
int palette_colour(int red, int green, int blue);

/// A picture uint8 [3, H, W] in H / 2 lines of W characters: each shows a pixel above another as the two colours of an
/// upper half block. Without colours each is one of ten characters for the brightness of the two.
std::string terminal_image(const tern::Tensor& image, Colours colours);

}  // namespace birds_vs_planes
