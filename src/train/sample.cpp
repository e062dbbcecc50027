// SPDX-License-Identifier: Apache-2.0
#include "train/sample.h"

#include "data/pretokenize.h"
#include "data/tokenizer.h"
#include "train/machine.h"
#include "train/saved.h"
#include "train/wire.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace ringmaster::train {
namespace {

void check(const SampleOptions& o) {
  const auto refuse = [](const char* flag, const std::string& found, const char* expected, std::string cure = "") {
    throw Error({.kind = ErrorKind::usage,
                 .message = fmt::format("{} is {}, expected {}", flag, found, expected),
                 .key = flag,
                 .found = found,
                 .expected = expected,
                 .cure = cure.empty() ? fmt::format("give {} {}", flag, expected) : std::move(cure)});
  };
  if (o.count < 1) refuse("--count", fmt::format("{}", o.count), "at least 1");
  if (o.tokens < 1) refuse("--tokens", fmt::format("{}", o.tokens), "at least 1");
  const models::Choice& c = o.choice;
  if (!std::isfinite(c.temperature) || c.temperature < 0)
    refuse("--temperature", fmt::format("{}", c.temperature), "a number of at least 0",
           "0 takes the most probable token, 1 is the model's own odds");
  if (c.top_k < 0)
    refuse("--top-k", fmt::format("{}", c.top_k), "at least 1", "leave --top-k out to draw among all tokens");
  if (!(c.top_p > 0 && c.top_p <= 1))
    refuse("--top-p", fmt::format("{}", c.top_p), "a number above 0 and at most 1",
           "leave --top-p out to draw among all tokens; --temperature 0 takes the most probable one");
}

void check_makes_text(const config::Config& c) {
  const auto recipe = make_recipe(c);
  if (!recipe->rows.rows) return;
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("the recipe {} makes rows of numbers, not text", recipe->name()),
               .key = "--format",
               .found = "text",
               .expected = "npy or png",
               .cure = "give --format npy --out FILE.npy, or --format png --out FILE.png"});
}

bool trained_on_token_files(const config::Data& data) {
  const auto named_so = [](const std::string& path) {
    return path.ends_with(".bin") || path.ends_with(".u16") || path.ends_with(".llmc");
  };
  return data.format == "llmc" || data.format == "uint16" ||
         (data.format == "auto" && std::ranges::any_of(data.path, named_so));
}

// Before the first token is drawn, not at the first that has no text. (A table may be padded: its spare rows are not drawn.)
void check_shows_tokens(const config::Config& c, bool ids) {
  constexpr int64_t bytes = 256;
  if (ids || c.data.tokenizer != "byte" || c.model.vocab_size <= bytes || !trained_on_token_files(c.data)) return;
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("the model knows {} tokens, of which the byte tokenizer can show {}",
                                      c.model.vocab_size, bytes),
               .key = "--format",
               .found = "text",
               .expected = "ids, as the model's tokens are not bytes",
               .cure = "give --format ids and a prompt of ids"});
}

std::vector<int32_t> encoded(const std::string& prompt, const data::Tokenizer& tokenizer, int64_t vocab_size) {
  std::vector<int32_t> ids = tokenizer.encode(prompt);
  const int32_t highest = *std::max_element(ids.begin(), ids.end());
  if (highest < vocab_size) return ids;
  throw Error({.kind = ErrorKind::usage,
               .message = fmt::format("the prompt has token {}, the model knows {} tokens", highest, vocab_size),
               .key = "--prompt",
               .found = fmt::format("{}", highest),
               .expected = fmt::format("tokens below {}", vocab_size),
               .cure = "give a prompt in the model's own tokens"});
}

}  // namespace

std::vector<std::string> sample(const SampleOptions& options, comm::Communicator& comm) {
  Wire wire(comm);
  std::optional<Session> session;
  std::unique_ptr<data::Tokenizer> tokenizer;
  config::Config c;
  wire.agree("sample", [&] {
    check(options);
    const checkpoint::Loaded loaded = checkpoint::open(locate(options.from));
    c = saved_config(loaded, {}).config;
    if (!options.tokenizer_dir.empty()) c.data.tokenizer_dir = options.tokenizer_dir;
    check_makes_text(c);
    check_shows_tokens(c, options.ids);
    tokenizer = data::make_tokenizer(
        {.name = options.ids ? "ids" : c.data.tokenizer, .folder = c.data.tokenizer_dir, .key = "--tokenizer-dir"});
    session.emplace(
        c, comm,
        SessionOptions{.programs = {.sampler = true,
                                    .decoder = options.cache,
                                    .threads = threads_per_rank(c.launch.threads_per_rank, comm.node_size())}});
    restore(*session, loaded, WeightChoice::averaged);
  });
  const bool cached = session->programs().find("decoder") != nullptr;
  const models::TextPrograms programs{.sampler = session->executor("sampler"),
                                      .decoder = cached ? &session->executor("decoder") : nullptr};
  const std::vector<int32_t> prompt =
      encoded(options.prompt.empty() && !options.ids ? "\n" : options.prompt, *tokenizer, c.model.vocab_size);
  const bool live = options.on_text && options.count == 1 && wire.is_root();
  data::Utf8Stream whole;  // a token may end inside a character
  const auto on_token = [&](int32_t token) {
    if (live) options.on_text(whole.add(tokenizer->decode(std::array{token})));
  };

  nlohmann::json mine = nlohmann::json::array();  // this rank's sequences as token ids
  for (int64_t sequence = comm.rank(); sequence < options.count; sequence += comm.size()) {
    mine.push_back(models::generate_text(programs, prompt,
                                         {.seq_len = c.training.seq_len,
                                          .tokens = options.tokens,
                                          .choice = options.choice,
                                          .seed = options.seed,
                                          .sequence = static_cast<uint64_t>(sequence)},
                                         on_token));
  }
  if (live) options.on_text(whole.rest());
  std::vector<nlohmann::json> by_rank;
  for (const std::string& theirs : wire.gather("sample", mine.dump())) by_rank.push_back(nlohmann::json::parse(theirs));
  std::vector<std::string> texts;
  const auto ranks = static_cast<int64_t>(by_rank.size());
  for (int64_t sequence = 0; wire.is_root() && sequence < options.count; ++sequence) {
    const auto tokens = by_rank[static_cast<size_t>(sequence % ranks)][static_cast<size_t>(sequence / ranks)]
                            .get<std::vector<int32_t>>();
    texts.push_back(options.prompt + tokenizer->decode(tokens));
  }
  return texts;
}

}  // namespace ringmaster::train
