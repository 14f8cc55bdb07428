#include <birds_vs_planes/commands.hpp>
#include <birds_vs_planes/console.hpp>
#include <birds_vs_planes/data.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/saved_model.hpp>
#include <birds_vs_planes/terminal_image.hpp>

#include <tern/core/check.hpp>
#include <tern/data/image.hpp>

#include <nlohmann/json.hpp>

namespace birds_vs_planes {

void show(const Options& options) {
  const Console console(options);
  const Colours colours = choose_colours(options.colours);
  if (options.output) check_writable(*options.output);
  const Data data = load_data(options.data);
  const tern::TensorDataset& images = options.part == "train" ? data.train : data.validation;
  tern::check(options.number < images.size(), "show {}: there are {} {} images, expected 0 to {}", options.number,
              images.size(), options.part, images.size() - 1);

  const tern::Tensor image = images.inputs()[options.number];
  console.say("{} image {}: {}", options.part, options.number,
              class_names[images.targets()[options.number].item<std::int64_t>()]);
  nlohmann::ordered_json object{{"part", options.part},
                                {"number", options.number},
                                {"class", class_names[images.targets()[options.number].item<std::int64_t>()]}};
  if (options.output) {
    tern::write_png(*options.output, image);
    console.say("saved: {}", *options.output);
    object["saved"] = *options.output;
  }
  console.object(object);
  if (options.output) return;
  const std::string text = terminal_image(image, colours);
  console.drawing(text.substr(0, text.size() - 1));
}

}  // namespace birds_vs_planes
