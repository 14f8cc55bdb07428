#include <tern/data/synthetic.hpp>

#include <tern/core/check.hpp>
#include <tern/kernels/philox.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>

namespace tern {

namespace {

constexpr int side = 32, plane = side * side;

/// The random numbers of one image.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t image) : key_(kernels::philox(seed, image)) {}

  /// Uniform in [low, high).
  float between(float low, float high) {
    if (draw_ % 4 == 0) block_ = kernels::philox(key_.word[0] | std::uint64_t{key_.word[1]} << 32, draw_ / 4);
    return low + (high - low) * kernels::uniform_from_bits(block_.word[draw_++ % 4]);
  }
  bool chance(float p) { return between(0, 1) < p; }
  int below(int n) { return static_cast<int>(between(0, static_cast<float>(n))); }

 private:
  kernels::PhiloxBlock key_, block_{};
  std::uint64_t draw_ = 0;
};

struct Colour {
  float r, g, b;
};

Colour operator*(float f, Colour c) { return {f * c.r, f * c.g, f * c.b}; }
Colour operator+(Colour a, Colour b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
Colour mix(Colour a, Colour b, float share) { return (1 - share) * a + share * b; }

template <std::size_t n>
Colour pick(Random& random, const std::array<Colour, n>& colours) {
  return random.between(0.8F, 1.2F) * colours[static_cast<std::size_t>(random.below(n))];
}

struct Point {
  float x, y;
};

/// All that is drawn: a line from a to b whose half width goes from ra to rb. With a = b it is a disc.
struct Stroke {
  Point a, b;
  float ra, rb;
  Colour colour;
};

class Canvas {
 public:
  Colour& at(int x, int y) { return pixels_[static_cast<std::size_t>(y * side + x)]; }

  /// The stroke, in pixels, with an edge that fades over `softness` pixels.
  void draw(const Stroke& s, float softness = 1) {
    const float dx = s.b.x - s.a.x, dy = s.b.y - s.a.y, length2 = dx * dx + dy * dy;
    for (int y = 0; y < side; ++y) {
      for (int x = 0; x < side; ++x) {
        const float px = static_cast<float>(x) + 0.5F - s.a.x, py = static_cast<float>(y) + 0.5F - s.a.y;
        const float t = length2 > 0 ? std::clamp((px * dx + py * dy) / length2, 0.0F, 1.0F) : 0;
        const float outside = std::hypot(px - t * dx, py - t * dy) - (s.ra + t * (s.rb - s.ra));
        const float cover = std::clamp(0.5F - outside / softness, 0.0F, 1.0F);
        if (cover > 0) at(x, y) = mix(at(x, y), s.colour, cover);
      }
    }
  }

 private:
  std::array<Colour, plane> pixels_{};
};

/// Where an animal or a machine is and which way it looks. It is described nose to +x, back to -y, about 2 long.
struct Pose {
  Point centre;
  float scale, angle, mirror, squash;

  Point place(Point p) const {
    const float x = mirror * p.x, y = squash * p.y, c = std::cos(angle), s = std::sin(angle);
    return {centre.x + scale * (c * x - s * y), centre.y + scale * (s * x + c * y)};
  }
  void draw(Canvas& canvas, std::initializer_list<Stroke> strokes) const {
    for (const Stroke& s : strokes) {
      canvas.draw({place(s.a), place(s.b), scale * s.ra, scale * s.rb, s.colour});
    }
  }
};

Pose random_pose(Random& random, float smallest, float largest, float tilt) {
  return {{random.between(13, 19), random.between(13, 19)},
          random.between(smallest, largest),
          random.between(-tilt, tilt),
          random.chance(0.5F) ? 1.0F : -1.0F,
          random.between(0.8F, 1)};
}

void draw_sky(Canvas& canvas, Random& random) {
  static constexpr std::array<Colour, 5> skies = {
      {{0.35F, 0.55F, 0.9F}, {0.55F, 0.75F, 0.95F}, {0.65F, 0.68F, 0.7F}, {0.8F, 0.6F, 0.5F}, {0.35F, 0.45F, 0.65F}}};
  const Colour top = pick(random, skies), bottom = mix(top, pick(random, skies), random.between(0, 0.8F));
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) canvas.at(x, y) = mix(top, bottom, static_cast<float>(y) / side);
  }
  const float white = random.between(0.7F, 1);
  for (int cloud = random.below(4); cloud > 0; --cloud) {
    const Point a{random.between(-4, 36), random.between(-4, 36)}, b{a.x + random.between(2, 14), a.y};
    canvas.draw({a, b, random.between(1, 4), random.between(1, 4), white * Colour{1, 1, 1}}, 6);
  }
}

void draw_ground(Canvas& canvas, Random& random) {
  static constexpr std::array<Colour, 4> grounds = {
      {{0.35F, 0.5F, 0.25F}, {0.5F, 0.42F, 0.3F}, {0.5F, 0.5F, 0.5F}, {0.3F, 0.4F, 0.45F}}};
  const float depth = random.between(3, 12);
  canvas.draw({{-8, 40}, {40, 40 + random.between(-2, 2)}, 8 + depth, 8 + depth, pick(random, grounds)});
}

void draw_leaves(Canvas& canvas, Random& random) {
  static constexpr std::array<Colour, 4> leaves = {
      {{0.25F, 0.45F, 0.2F}, {0.4F, 0.55F, 0.3F}, {0.35F, 0.3F, 0.2F}, {0.55F, 0.6F, 0.4F}}};
  for (int leaf = 15 + random.below(30); leaf > 0; --leaf) {
    const Point a{random.between(-3, 35), random.between(-3, 35)};
    const Point b{a.x + random.between(-6, 6), a.y + random.between(-6, 6)};
    canvas.draw({a, b, random.between(1, 4), random.between(0, 2), pick(random, leaves)}, 2);
  }
}

void draw_plane(Canvas& canvas, Random& random) {
  static constexpr std::array<Colour, 5> paints = {
      {{0.95F, 0.95F, 0.95F}, {0.9F, 0.9F, 0.92F}, {0.75F, 0.77F, 0.8F}, {0.85F, 0.3F, 0.25F}, {0.2F, 0.2F, 0.23F}}};
  const Colour body = pick(random, paints), wing = random.between(0.6F, 1) * body, fin = pick(random, paints);
  const float r = random.between(0.09F, 0.16F), root = random.between(0, 0.25F), sweep = random.between(0.1F, 0.6F);
  const float span = random.between(0.6F, 0.95F), chord = random.between(0.1F, 0.18F);
  const Stroke fuselage{{-0.85F, 0}, {0.8F, 0}, 0.7F * r, r, body};
  if (random.chance(0.5F)) {  // from above
    random_pose(random, 12, 16, 0.6F)
        .draw(canvas, {{{root, 0}, {root - sweep, -span}, chord, 0.05F, wing},
                       {{root, 0}, {root - sweep, span}, chord, 0.05F, wing},
                       {{-0.75F, 0}, {-0.95F, -0.35F}, 0.08F, 0.04F, fin},
                       {{-0.75F, 0}, {-0.95F, 0.35F}, 0.08F, 0.04F, fin},
                       fuselage});
  } else {  // from the side
    random_pose(random, 12, 16, 0.4F)
        .draw(canvas, {{{root, 0}, {root - sweep, -0.5F * span}, 0.8F * chord, 0.04F, 0.8F * wing},
                       {{-0.7F, 0}, {-0.95F, -0.45F}, 0.12F, 0.06F, fin},
                       fuselage,
                       {{-0.75F, 0}, {-0.98F, 0.08F}, 0.06F, 0.04F, fin},
                       {{root, 0.05F}, {root - sweep, 0.6F * span}, chord, 0.05F, wing}});
  }
}

void draw_bird(Canvas& canvas, Random& random) {
  static constexpr std::array<Colour, 6> feathers = {{{0.15F, 0.14F, 0.15F},
                                                      {0.35F, 0.26F, 0.2F},
                                                      {0.3F, 0.3F, 0.32F},
                                                      {0.55F, 0.22F, 0.18F},
                                                      {0.7F, 0.6F, 0.2F},
                                                      {0.95F, 0.95F, 0.95F}}};
  static constexpr std::array<Colour, 3> beaks = {{{0.85F, 0.6F, 0.2F}, {0.3F, 0.28F, 0.25F}, {0.7F, 0.65F, 0.55F}}};
  const Colour body = pick(random, feathers), wing = random.between(0.5F, 1) * body, beak = pick(random, beaks);
  const Colour head = random.chance(0.6F) ? body : pick(random, feathers);
  const float r = random.between(0.2F, 0.32F);
  if (random.chance(0.5F)) {  // in flight: each wing bends at its wrist
    const float lift = random.between(-0.5F, 0.9F), reach = random.between(0.6F, 0.9F);
    const auto wings = [&](float to) {
      const Point shoulder{0.15F, 0}, wrist{0.2F, to * 0.5F * reach - 0.4F * lift};
      const Point tip{-0.25F, to * reach - 0.4F * lift + 0.3F * std::abs(lift)};
      return std::array<Stroke, 2>{Stroke{shoulder, wrist, 0.8F * r, 0.6F * r, wing},
                                   Stroke{wrist, tip, 0.6F * r, 0.02F, wing}};
    };
    const auto left = wings(-1), right = wings(1);
    random_pose(random, 11, 15, 0.5F)
        .draw(canvas, {left[0],
                       left[1],
                       right[0],
                       right[1],
                       {{-0.4F, 0}, {-0.85F, 0.05F}, 0.5F * r, 0.8F * r, wing},
                       {{-0.35F, 0}, {0.3F, -0.03F}, 0.6F * r, 0.9F * r, body},
                       {{0.55F, -0.08F}, {0.55F, -0.08F}, 0.7F * r, 0.7F * r, head},
                       {{0.65F, -0.06F}, {0.95F, 0}, 0.3F * r, 0, beak}});
  } else {  // on its legs
    const float up = random.between(0.35F, 0.6F), leg = random.between(0.25F, 0.6F);
    random_pose(random, 11, 15, 0.3F)
        .draw(canvas, {{{-0.05F, 0.2F}, {-0.05F, 0.35F + leg}, 0.03F, 0.04F, beak},
                       {{0.1F, 0.2F}, {0.12F, 0.35F + leg}, 0.03F, 0.04F, beak},
                       {{-0.4F, 0.1F}, {-0.95F, 0.35F}, 0.5F * r, 0.3F * r, wing},
                       {{-0.3F, 0.1F}, {0.25F, -0.05F}, r, 1.1F * r, body},
                       {{0.25F, -0.1F}, {0.45F, -up}, 0.8F * r, 0.6F * r, head},
                       {{0.45F, -up}, {0.45F, -up}, 0.75F * r, 0.75F * r, head},
                       {{0.55F, -up}, {0.9F, 0.08F - up}, 0.3F * r, 0, beak},
                       {{0.15F, 0.02F}, {-0.5F, 0.15F}, 0.6F * r, 0.1F, wing}});
  }
}

/// One image as 3072 bytes: reds, greens, blues.
void draw_image(bool bird, Random random, std::uint8_t* out) {
  Canvas canvas;
  draw_sky(canvas, random);
  if (random.chance(bird ? 0.5F : 0.05F)) draw_leaves(canvas, random);
  if (random.chance(bird ? 0.2F : 0.4F)) draw_ground(canvas, random);
  bird ? draw_bird(canvas, random) : draw_plane(canvas, random);

  const float light = random.between(0.7F, 1.1F), noise = random.between(0.01F, 0.08F);
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x, ++out) {
      const Colour c = light * canvas.at(x, y);
      out[0] = static_cast<std::uint8_t>(std::clamp(c.r + random.between(-noise, noise), 0.0F, 1.0F) * 255);
      out[plane] = static_cast<std::uint8_t>(std::clamp(c.g + random.between(-noise, noise), 0.0F, 1.0F) * 255);
      out[2 * plane] = static_cast<std::uint8_t>(std::clamp(c.b + random.between(-noise, noise), 0.0F, 1.0F) * 255);
    }
  }
}

}  // namespace

TensorDataset synthetic_birds_and_planes(std::int64_t n, std::uint64_t seed) {
  check(n >= 0, "synthetic_birds_and_planes: {} images, expected at least 0", n);
  const Tensor images = empty({n, 3, side, side}, {.dtype = DType::uint8});
  const Tensor labels = empty({n}, {.dtype = DType::int64});
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t label = i % 2;
    labels.data<std::int64_t>()[i] = label;
    draw_image(label == 1, Random(seed, static_cast<std::uint64_t>(i)), images.data<std::uint8_t>() + i * 3 * plane);
  }
  return TensorDataset(images, labels);
}

}  // namespace tern
