// SPDX-License-Identifier: Apache-2.0
#include "train/sample_rows.h"

#include "tests/train/tiny_run.h"
#include "train/sample.h"
#include "train/session.h"

#include <png.h>

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

TEST(Scatter, PointsLieWhereTheAxesSay) {
  constexpr int side = 400;
  const PointSeries series[] = {{{{0, 0}, {1, 1}, {NAN, 0}}, blue}};
  const std::string file = scatter_png(series, side);
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  ASSERT_NE(png_image_begin_read_from_memory(&image, file.data(), file.size()), 0);
  image.format = PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
  ASSERT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
  EXPECT_EQ(image.width, static_cast<png_uint_32>(side));
  std::vector<std::array<int, 2>> bluish;
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      const uint8_t* p = &pixels[static_cast<size_t>(3 * (y * side + x))];
      if (p[2] > p[0] + 60) bluish.push_back({x, y});
    }
  }
  // two discs: the view is the points' square and a twentieth more on each side, in a frame of 84 pixels less than the picture
  const double frame = side - 84, low = 0.05 / 1.1 * frame, high = 1.05 / 1.1 * frame;
  int at_low = 0, at_high = 0;
  for (const auto& [x, y] : bluish) {
    at_low += std::hypot(x + 0.5 - (64 + low), y + 0.5 - (20 + frame - low)) < 4 ? 1 : 0;
    at_high += std::hypot(x + 0.5 - (64 + high), y + 0.5 - (20 + frame - high)) < 4 ? 1 : 0;
  }
  EXPECT_GT(at_low, 10);
  EXPECT_GT(at_high, 10);
  EXPECT_EQ(static_cast<size_t>(at_low + at_high), bluish.size());
}

}  // namespace
}  // namespace ringmaster::train
