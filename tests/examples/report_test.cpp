#include "child.hpp"

#include <birds_vs_planes/data_url.hpp>
#include <birds_vs_planes/models.hpp>
#include <birds_vs_planes/report_data.hpp>

#include <tern/core/safetensors.hpp>
#include <tern/data/image.hpp>
#include <tern/data/synthetic.hpp>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <random.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <regex>

using namespace tern;
using namespace tern::test;
using namespace birds_vs_planes;

namespace {

Judgement random_judgement(Random& random) {
  Judgement j;
  const std::int64_t n = random.integer(1, 300);
  for (std::int64_t i = 0; i < n; ++i) {
    j.labels.push_back(static_cast<int>(random.integer(0, 1)));
    j.probability.push_back(random.chance(0.1) ? random.pick({0.0, 0.5, 1.0}) : random.real(0, 1));
  }
  return j;
}

/// A report on a model trained for a moment, with the logs of that training, of another, and of three that were not
/// made here, one of them a hundred times as slow as another; and the JSON in it.
struct Report {
  TemporaryFolder folder;
  std::string page = folder / "report.html", html;
  nlohmann::json data;

  Report() {
    for (const char* seed : {"1", "2"}) {
      REQUIRE(run_program({"train",
                           "--data",
                           "synthetic:200",
                           "--model",
                           "res",
                           "--device",
                           "cpu",
                           "--threads",
                           "1",
                           "--epochs",
                           "3",
                           "--seed",
                           seed,
                           "--lr",
                           "0.02",
                           "--momentum",
                           "0.9",
                           "--eval-every",
                           "1",
                           "--save",
                           folder / "net",
                           "--log",
                           folder / (std::string("run<!--<script>") + seed)})
                  .code == 0);
    }
    for (const auto& [name, seconds] : {std::pair("brisk.csv", "2"), {"steady.csv", "6"}, {"slow.csv", "200"}}) {
      std::ofstream log(folder / name);
      log << "epoch,loss,seconds,lr,holdout_accuracy,val_accuracy\n";
      for (int epoch = 1; epoch <= 100; ++epoch) log << epoch << ',' << 1. / epoch << ',' << seconds << ",0.1,0.75,\n";
    }
    const Outcome outcome =
        run_program({"report", "--data", "synthetic:200", "--device", "cpu", "--load", folder / "net", "--log",
                     folder / "run<!--<script>1", folder / "run<!--<script>2", folder / "brisk.csv",
                     folder / "steady.csv", folder / "slow.csv", "--output", page});
    INFO(outcome.err);
    REQUIRE(outcome.code == 0);
    html = read_file(page);
    const std::string open = "<script id=\"data\" type=\"application/json\">";
    const std::size_t start = html.find(open) + open.size();
    data = nlohmann::json::parse(html.substr(start, html.find("</script>", start) - start));
  }
};

const Report& made() {
  static const Report once;
  return once;
}

}  // namespace

TEST_CASE("base64 gives the test vectors of RFC 4648") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("a picture of numbers spans from the least finite one to the largest") {
  CHECK(stretched(tensor<float>({1, 3, 2, 5}).reshape({1, 2, 2})).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 128, 64, 255});
  CHECK(stretched(tensor<float>({NAN, INFINITY, -INFINITY, 1, 2, 2}).reshape({1, 2, 3})).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 255, 0, 0, 255, 255});
  CHECK(stretched(full({1, 2, 2}, NAN)).to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 0, 0, 0});
}

TEST_CASE("a log has epochs and finite numbers") {
  const std::string header = "epoch,loss,seconds,lr,holdout_accuracy,val_accuracy\n";
  CHECK(from_csv(header + "2147483647,1,1,1,,0.5\n", "log").at(0).epoch == 2147483647);
  for (const char* line : {"nan,1,1,1,,", "inf,1,1,1,,", "1e300,1,1,1,,", "0,1,1,1,,", "1.5,1,1,1,,", "1,nan,1,1,,"}) {
    INFO(line);
    CHECK_THROWS_WITH(from_csv(header + line + "\n", "log"), Catch::Contains("expected an epoch and five numbers"));
  }
}

TEST_CASE("a model whose answers are no numbers is not reported on") {
  auto model = fresh_model("net");
  model.module->state_dict().at("fc2.weight").detach().fill_(NAN);
  const TensorDataset images = synthetic_birds_and_planes(8, 1);
  DataLoader loader(images, {.batch_size = 8});
  CHECK_THROWS_WITH(judge(model, loader, Device::cpu), Catch::Contains("no number"));
}

TEST_CASE("confusion, worst mistakes and calibration are what counting gives") {
  for_each_case(30, [](Random& random) {
    const Judgement j = random_judgement(random);
    const auto n = j.confusion();
    std::int64_t right = 0, counted = 0;
    double distance = 0;
    for (std::size_t i = 0; i < j.labels.size(); ++i) right += (j.probability[i] > 0.5) == (j.labels[i] == 1);
    CHECK(n[0][0] + n[1][1] == right);
    CHECK(n[0][1] + n[0][0] == std::count(j.labels.begin(), j.labels.end(), 0));
    CHECK(n[0][0] + n[0][1] + n[1][0] + n[1][1] == static_cast<std::int64_t>(j.labels.size()));

    for (const int label : {0, 1}) {
      const auto worst = j.worst(label, 1000);
      CHECK(static_cast<std::int64_t>(worst.size()) == (label == 0 ? n[0][1] : n[1][0]));
      CHECK(j.worst(label, 2).size() == std::min<std::size_t>(2, worst.size()));
      for (std::size_t i = 0; i < worst.size(); ++i) {
        const auto at = static_cast<std::size_t>(worst[i]);
        CHECK(j.labels[at] == label);
        CHECK((j.probability[at] > 0.5) != (label == 1));
        if (i > 0) CHECK(j.confidence(at) <= j.confidence(static_cast<std::size_t>(worst[i - 1])));
      }
    }

    const auto bins = calibration(j);
    REQUIRE(bins.size() == 10);
    for (const CalibrationBin& bin : bins) {
      counted += bin.count;
      distance += static_cast<double>(bin.count) * std::abs(bin.accuracy - bin.confidence);
      if (bin.count > 0) CHECK((bin.from - 1e-9 <= bin.confidence && bin.confidence <= bin.to + 1e-9));
    }
    CHECK(counted == static_cast<std::int64_t>(j.labels.size()));
    CHECK(calibration_error(bins) == Approx(distance / static_cast<double>(counted)).margin(1e-12));
  });
}

TEST_CASE("a report's figures are those of the model, the data and the logs, and nothing is fetched") {
  const Report& r = made();
  auto model = load_model({}, r.folder / "net");
  const TensorDataset images = synthetic_birds_and_planes(50, 2);
  DataLoader loader(images, {.batch_size = 64});
  const Judgement j = judge(model, loader, Device::cpu);
  CHECK(r.data.at("confusion") == nlohmann::json(j.confusion()));
  CHECK(r.data.at("images") == 50);
  CHECK(r.data.at("command") == load_safetensors(r.folder / "net").metadata.at("command"));
  CHECK(r.data.at("calibration_error") == calibration_error(calibration(j)));
  CHECK(r.data.at("right") == j.confusion()[0][0] + j.confusion()[1][1]);
  REQUIRE(r.data.at("runs").size() == 5);
  for (std::size_t run = 0; run < 2; ++run) {
    const History rows = read_csv(r.folder / ("run<!--<script>" + std::to_string(run + 1)));
    REQUIRE(r.data.at("runs")[run].at("epochs").size() == rows.size());
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& epoch = r.data.at("runs")[run].at("epochs")[i];
      CHECK(epoch.at("loss") == rows[i].loss);
      CHECK(epoch.at("val_accuracy") == *rows[i].val_accuracy);
      CHECK(epoch.at("holdout_accuracy").is_null());
    }
  }
  auto worst = j.worst(0, 12);
  for (const std::int64_t bird : j.worst(1, 12)) worst.push_back(bird);
  REQUIRE(r.data.at("mistakes").size() == worst.size());
  for (std::size_t i = 0; i < worst.size(); ++i) {
    CHECK(r.data.at("mistakes")[i].at("number") == worst[i]);
    CHECK(r.data.at("mistakes")[i].at("image") == data_url(images.inputs()[worst[i]]));
  }
  CHECK(r.data.at("filters").size() == 32);
  CHECK(r.data.at("features").size() == 33);
  CHECK(r.data.at("layers").size() == 11);
  std::string without_names = std::regex_replace(r.html, std::regex("http://www.w3.org/2000/svg"), "");
  for (const char* fetches : {"http:", "https:", "src=\"", "@import", "url("})
    CHECK(without_names.find(fetches) == std::string::npos);
}

TEST_CASE("a browser shows the report without an error, as wide as its window, and as readers need it") {
  if (std::system("command -v chromium >/dev/null") != 0) {
    std::cout << "the report is not opened: no chromium\n";
    return;
  }
  const Report& r = made();
  // The page in a frame, since a window is never as narrow as a phone. It says what was drawn, and how.
  const std::string probe = R"(<script>
    const all = (selector, within = document) => [...within.querySelectorAll(selector)];
    const ends = grid => Math.max(...[...grid.children].map(child => child.getBoundingClientRect().right));
    const pixels = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    // A colour's luminance as WCAG 2 has it, painted over those below it.
    const luminance = layers => {
      for (const colour of layers) { pixels.fillStyle = colour; pixels.fillRect(0, 0, 1, 1); }
      const [r, g, b] = [...pixels.getImageData(0, 0, 1, 1).data].map(
        v => v / 255 <= .04045 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4);
      return .2126 * r + .7152 * g + .0722 * b;
    };
    const contrast = element => {
      const layers = [];
      for (let e = element; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
      const style = getComputedStyle(element), ink = element.tagName === 'text' ? style.fill : style.color;
      const [a, b] = [luminance(layers), luminance([...layers, ink])].sort((x, y) => x - y);
      return (b + .05) / (a + .05);
    };
    const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
    const look = () => {
      const charts = all('svg[role=img]'), height = document.documentElement.scrollHeight;
      document.querySelector('details').open = true;
      const texts = all('body *').filter(e => !e.closest('script, noscript, caption, title') && e.getClientRects().length &&
        [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()));
      const levels = all('h1, h2, h3').map(h => Number(h.tagName[1]));
      const time = charts.find(c => c.ariaLabel.startsWith('Time'));
      parent.postMessage(JSON.stringify({
        width: innerWidth, wide: document.documentElement.scrollWidth > innerWidth, height, charts: charts.length,
        tables: all('table').length, pictures: [...document.images].filter(i => i.naturalWidth > 0).length,
        first: document.querySelector('h1').textContent, title: document.title,
        level_skipped: levels.some((level, i) => level > (i ? levels[i - 1] + 1 : 1)),
        unnamed_axes: charts.filter(c => all('.axis', c).filter(t => t.textContent.trim()).length !== 2).length,
        unlabelled: charts.filter(c => !c.ariaLabel).length + all('img:not([alt])').length + all('th:not([scope])').length +
          all('table').filter(t => !t.caption).length,
        overlapping: charts.flatMap(c => all('text', c).map(t => t.getBoundingClientRect())).length &&
          charts.filter(c => { const boxes = all('text', c).map(t => t.getBoundingClientRect());
            return boxes.some((a, i) => boxes.some((b, j) => i < j && overlap(a, b))); }).map(c => c.ariaLabel),
        overflowing: all('section').filter(s => s.scrollWidth > s.clientWidth).map(s => s.textContent.slice(0, 30)),
        outside: charts.filter(c => all('text', c).some(t => t.getBoundingClientRect().left < 0 ||
          t.getBoundingClientRect().right > innerWidth)).length,
        unfilled: all('.pictures, .tiles').filter(g => g.children.length >= 20 &&
          g.getBoundingClientRect().right - ends(g) > 1.5).length,
        smallest: Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
        contrast: Math.min(...texts.map(contrast)),
        stuck: all('.wide').filter(e => e.scrollWidth > e.clientWidth && e.tabIndex !== 0).length,
        dark: matchMedia('(prefers-color-scheme: dark)').matches,
        hidden: all('section').filter(s => !s.getClientRects().length).map(s => s.id),
        time: time?.textContent, paths: time ? all('path', time).map(p => p.getBoundingClientRect().top) : []}), '*');
    };
    addEventListener('load', () => setTimeout(look, 500));</script></body>)";
  const auto open = [&](std::string html, int width, const std::string& options) {
    html.replace(html.rfind("</body>"), 7, probe);
    std::ofstream(r.folder / "probed.html") << html;
    std::ofstream(r.folder / "frame.html")
        << "<title></title><script>addEventListener('message', e => document.title = e.data)</script>"
        << "<iframe src='probed.html' style='border: 0; height: 900px; width: " << width << "px'></iframe>";
    const std::string command = "HOME=" + (r.folder / "home") +
                                " timeout 120 chromium --headless --no-sandbox --disable-gpu --enable-logging=stderr "
                                "--virtual-time-budget=5000 --dump-dom --window-size=1300,950" +
                                options + " 'file://" + (r.folder / "frame.html") + "' >" + (r.folder / "dom") + " 2>" +
                                (r.folder / "err");
    REQUIRE(std::system(command.c_str()) == 0);
    CHECK(read_file(r.folder / "err").find("CONSOLE") == std::string::npos);
    const std::string dom = read_file(r.folder / "dom");
    std::smatch title;
    REQUIRE(std::regex_search(dom, title, std::regex("<title>([^<]*)</title>")));
    return nlohmann::json::parse(std::regex_replace(title[1].str(), std::regex("&[a-z]+;"), "?"));
  };
  for (const int width : {1280, 390}) {
    for (const bool dark : {false, true}) {
      INFO(width << (dark ? ", dark" : ""));
      const auto seen = open(r.html, width, dark ? " --force-dark-mode" : "");
      CHECK(seen.at("dark") == dark);
      CHECK(seen.at("hidden") == nlohmann::json::array());
      CHECK(seen.at("width") == width);
      CHECK(seen.at("wide") == false);
      CHECK(seen.at("height") < (width < 500 ? 6000 : 4500));
      CHECK(seen.at("charts") == 4);
      CHECK(seen.at("tables") == 3);
      CHECK(seen.at("pictures") == r.data.at("mistakes").size() + 32 + 33);
      const double accuracy = 100 * r.data.at("accuracy").get<double>();
      CHECK(std::stod(seen.at("first").get<std::string>()) == Approx(accuracy).margin(0.006));
      CHECK(std::stod(seen.at("title").get<std::string>()) == Approx(accuracy).margin(0.006));
      CHECK(seen.at("level_skipped") == false);
      CHECK(seen.at("unnamed_axes") == 0);
      CHECK(seen.at("unlabelled") == 0);
      CHECK(seen.at("overlapping") == nlohmann::json::array());
      CHECK(seen.at("overflowing") == nlohmann::json::array());
      CHECK(seen.at("outside") == 0);
      CHECK(seen.at("unfilled") == 0);
      CHECK(seen.at("smallest") >= 12);
      CHECK(seen.at("contrast") >= 4.5);
      CHECK(seen.at("stuck") == 0);
      // The run of 200 seconds an epoch leaves those of 2 and 6 apart.
      CHECK_THAT(seen.at("time").get<std::string>(), Catch::Contains("logarithmic"));
      REQUIRE(seen.at("paths").size() == 5);
      CHECK(seen.at("paths")[2].get<double>() - seen.at("paths")[3].get<double>() > 8);
    }
  }
  const std::string without_logs = r.folder / "without_logs.html";
  REQUIRE(run_program({"report", "--data", "synthetic:200", "--device", "cpu", "--load", r.folder / "net", "--output",
                       without_logs})
              .code == 0);
  const auto seen = open(read_file(without_logs), 390, "");
  CHECK(seen.at("hidden") == nlohmann::json({"training"}));
  CHECK(seen.at("charts") == 1);
}
