// SPDX-License-Identifier: Apache-2.0
#include "train/sample_rows.h"

#include "tests/train/tiny_run.h"
#include "train/glyphs.h"
#include "train/sample.h"
#include "train/session.h"

#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace ringmaster::train {
namespace {

constexpr const char* gan =
    "model: {recipe: wgan_gp, layers: 1, width: 16}\n"
    "training: {steps: 2, global_batch_size: 8, max_norm: 0}\n"
    "data: {source: generated}\n";
constexpr const char* distance =
    "model: {recipe: wasserstein, layers: 1, width: 16}\n"
    "training: {steps: 2, global_batch_size: 8, max_norm: 0}\n"
    "data: {source: generated, other_set: two_moons, points: 100}\n";

Rows rows_on(int ranks, const SampleRowsOptions& options) {
  Rows rows;
  comm::run_ranks(ranks,
                  [&](comm::Communicator& comm) {
                    Rows mine = sample_rows(options, comm);
                    if (comm.rank() == 0) rows = std::move(mine);
                  },
                  {.timeout_s = 60});
  return rows;
}

TEST(SampleRows, RowsDoNotDependOnRanksOrCount) {
  const TinyRun run(gan);
  ASSERT_EQ(run.train(1), 0);
  const Rows all = rows_on(1, {.from = run.folder(), .count = 1100, .seed = 7});
  EXPECT_EQ(all.columns, (std::vector<std::string>{"x", "y"}));
  ASSERT_EQ(all.values.size(), 2200U);
  for (const int ranks : {2, 3, 7})
    EXPECT_EQ(rows_on(ranks, {.from = run.folder(), .count = 1100, .seed = 7}).values, all.values);
  const Rows few = rows_on(2, {.from = run.folder(), .count = 3, .seed = 7});
  EXPECT_EQ(few.values, std::vector<float>(all.values.begin(), all.values.begin() + 6));
  EXPECT_NE(rows_on(1, {.from = run.folder(), .count = 3, .seed = 8}).values, few.values);
}

TEST(SampleRows, NoiseIsNotThatOfTheTraining) {
  const TinyRun run(gan);  // the seed of the run, its first step: a sampler draws something else
  ASSERT_EQ(run.train(1, {"training.seed=5", "optimizer.lr=0"}), 0);
  const Rows rows = rows_on(1, {.from = run.folder(), .count = 8, .seed = 5});
  const auto comm = comm::make_single();
  const config::Config c = run.resolved({"training.seed=5"}).config;
  Session session(c, *comm, {.programs = {.sampler = true}});
  session.initialise(5);
  exec::Executor& sampler = session.executor("sampler");
  sampler.run({.seed = 5}, session.recipe().rows.batch);
  const auto training = sampler.output("rows");
  EXPECT_NE(rows.values, std::vector<float>(training.begin(), training.begin() + 16));
}

TEST(SampleRows, AveragedWeightsAreUsed) {
  const TinyRun raw(gan), averaged(gan);
  const std::vector<std::string> fast{"optimizer.lr=0.1", "training.steps=3"};
  ASSERT_EQ(raw.train(1, fast), 0);
  auto with = fast;
  with.emplace_back("ema.decay=0.999");
  ASSERT_EQ(averaged.train(1, with), 0);
  const TinyRun start(gan);
  ASSERT_EQ(start.train(1, {"optimizer.lr=0"}), 0);
  const auto far = [&](const TinyRun& a, const TinyRun& b) {
    const Rows x = rows_on(1, {.from = a.folder(), .count = 100}), y = rows_on(1, {.from = b.folder(), .count = 100});
    double sum = 0;
    for (size_t i = 0; i < x.values.size(); ++i) sum += std::abs(static_cast<double>(x.values[i] - y.values[i]));
    return sum;
  };
  EXPECT_LT(far(averaged, start), 0.1 * far(raw, start));  // three steps move the average by 0.3 % of the way
}

TEST(SampleRows, ACriticsValuesStandBesideItsPoints) {
  const TinyRun run(distance);
  ASSERT_EQ(run.train(1), 0);
  const Rows rows = rows_on(2, {.from = run.folder()});
  EXPECT_EQ(rows.count, 100);
  EXPECT_EQ(rows.columns.size(), 6U);
  const ErrorInfo e = error_of([&] { rows_on(1, {.from = run.folder(), .count = 101}); });
  EXPECT_EQ(e.key, "--count");
  const auto comm = comm::make_single();
  EXPECT_EQ(error_of([&] { sample({.from = run.folder()}, *comm); }).key, "--format");
}

TEST(SampleRows, APlotNamesWhatItShows) {
  const auto plot = [](const char* yaml) {
    const TinyRun run(yaml);
    EXPECT_EQ(run.train(1), 0);
    const Rows rows = rows_on(1, {.from = run.folder(), .for_plot = true});
    std::vector<std::string> names{rows.axes.x, rows.axes.y};
    for (const PointSeries& series : rows.plot) {
      names.push_back(series.name);
      for (const char c : series.name)
        EXPECT_TRUE(c == ' ' || std::ranges::any_of(glyphs, [c](const Glyph& g) { return g.character == c; })) << c;
    }
    return names;
  };
  EXPECT_EQ(plot(gan), (std::vector<std::string>{"x", "y", "held-out data", "samples"}));
  EXPECT_EQ(plot(distance), (std::vector<std::string>{"x0, y0", "x1, y1", "x: eight_gaussians", "y: two_moons"}));
}

TEST(SampleRows, ATextRecipeHasNoRows) {
  const TinyRun run;
  ASSERT_EQ(run.train(1), 0);
  EXPECT_EQ(error_of([&] { rows_on(1, {.from = run.folder()}); }).key, "--format");
}

TEST(Npy, HeaderIsAlignedAndSaysTheShape) {
  const std::string file = to_npy({.columns = {"x", "y"}, .count = 2, .values = {1, 2, 3, 4}});
  EXPECT_EQ(file.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const size_t header = static_cast<unsigned char>(file[8]) + 256U * static_cast<unsigned char>(file[9]);
  EXPECT_EQ((10 + header) % 64, 0U);
  EXPECT_NE(file.find("'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }"), std::string::npos);
  ASSERT_EQ(file.size(), 10 + header + 16);
  float last = 0;
  std::memcpy(&last, file.data() + file.size() - 4, 4);
  EXPECT_EQ(last, 4.0F);
}

struct Picture {
  int side = 0;
  std::vector<uint8_t> pixels;  // red, green, blue

  explicit Picture(const std::string& file) {
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    EXPECT_NE(png_image_begin_read_from_memory(&image, file.data(), file.size()), 0);
    image.format = PNG_FORMAT_RGB;
    pixels.resize(PNG_IMAGE_SIZE(image));
    EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
    EXPECT_EQ(image.width, image.height);
    side = static_cast<int>(image.width);
  }
  template <typename Is> std::vector<std::array<int, 2>> where(const Is& is) const {
    std::vector<std::array<int, 2>> found;
    for (int y = 0; y < side; ++y)
      for (int x = 0; x < side; ++x)
        if (is(&pixels[static_cast<size_t>(3 * (y * side + x))])) found.push_back({x, y});
    return found;
  }
  std::vector<std::array<int, 2>> bluish() const {
    return where([](const uint8_t* p) { return p[2] > p[0] + 60; });
  }
  // of the characters and the frame, which have no soft edges
  std::vector<std::array<int, 2>> ink() const {
    return where([](const uint8_t* p) { return p[0] == 60 && p[1] == 60 && p[2] == 60; });
  }
};

TEST(Scatter, PointsLieWhereTheAxesSay) {
  constexpr int side = 400;
  const PointSeries series[] = {{{{0, 0}, {1, 1}, {NAN, 0}}, blue}};
  const Picture picture(scatter_png(series, {}, side));
  ASSERT_EQ(picture.side, side);
  // two discs: the view is the points' square and a twentieth more on each side, in a frame of 98 pixels less than the picture
  const double frame = side - 98, low = 0.05 / 1.1 * frame, high = 1.05 / 1.1 * frame;
  int at_low = 0, at_high = 0;
  const auto bluish = picture.bluish();
  for (const auto& [x, y] : bluish) {
    at_low += std::hypot(x + 0.5 - (64 + low), y + 0.5 - (48 + frame - low)) < 4 ? 1 : 0;
    at_high += std::hypot(x + 0.5 - (64 + high), y + 0.5 - (48 + frame - high)) < 4 ? 1 : 0;
  }
  EXPECT_GT(at_low, 10);
  EXPECT_GT(at_high, 10);
  EXPECT_EQ(static_cast<size_t>(at_low + at_high), bluish.size());
}

TEST(Scatter, TheLegendNamesASeriesBesideItsColor) {
  const std::vector<std::array<float, 2>> none;
  const PointSeries unnamed[] = {{none, blue}}, named[] = {{none, blue, "samples"}};
  const Picture without(scatter_png(unnamed)), with(scatter_png(named));
  EXPECT_EQ(without.bluish().size(), 0U);
  const auto discs = with.bluish();
  ASSERT_GT(discs.size(), 60U);
  for (const auto& [x, y] : discs) EXPECT_LT(y, 48) << "above the frame, at column " << x;
  int right_of_the_disc = 0;
  const auto before = without.ink(), after = with.ink();
  for (const auto& pixel : after)
    if (std::find(before.begin(), before.end(), pixel) == before.end() && pixel[0] > discs.back()[0])
      ++right_of_the_disc;
  EXPECT_GT(right_of_the_disc, 7 * 8) << "seven letters of at least two cells of 4 pixels";
  EXPECT_EQ(after.size() - before.size(), static_cast<size_t>(right_of_the_disc));
}

TEST(Scatter, TheAxesHaveTheirNames) {
  const PointSeries series[] = {{{{0, 0}, {1, 1}}, blue}};
  const Picture unnamed(scatter_png(series, {"", ""})), named(scatter_png(series, {"x0, y0", "x1, y1"}));
  const auto before = unnamed.ink();
  int above = 0, below = 0;
  for (const auto& pixel : named.ink()) {
    if (std::find(before.begin(), before.end(), pixel) != before.end()) continue;
    above += pixel[1] < 48 ? 1 : 0;
    below += pixel[1] > named.side - 34 ? 1 : 0;
  }
  EXPECT_GT(above, 6 * 8);
  EXPECT_GT(below, 6 * 8);
}

TEST(Glyphs, NoneIsTwiceOrLikeAnother) {
  for (const Glyph& a : glyphs) {
    for (const Glyph& b : glyphs) {
      if (&a == &b) continue;
      EXPECT_NE(a.character, b.character);
      EXPECT_NE(a.rows, b.rows) << a.character << " and " << b.character;
    }
    for (const uint8_t row : a.rows) EXPECT_LT(row, 32) << a.character;
  }
}

}  // namespace
}  // namespace ringmaster::train
