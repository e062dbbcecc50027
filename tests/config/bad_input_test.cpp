// SPDX-License-Identifier: Apache-2.0
// Bad configurations: each is refused with its place, what was found and expected and a cure, and creates nothing.
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/config/files.h"

namespace ringmaster::config {
namespace {

struct BadFile {
  const char* name;
  std::string text;
  int line, column;
  const char* key;
  const char* message;  // a part of it
  const char* cure;     // a part of it
};

void PrintTo(const BadFile& bad, std::ostream* out) { *out << bad.name; }

class BadConfig : public ConfigFile, public ::testing::WithParamInterface<BadFile> {};

TEST_P(BadConfig, IsRefusedAtItsPlace) {
  const BadFile& bad = GetParam();
  const ErrorInfo error = error_in(bad.text);
  EXPECT_EQ(error.kind, ErrorKind::config) << error.message;
  EXPECT_EQ(exit_code(error.kind), 2);
  EXPECT_EQ(error.file, (folder_.path() / "c.yaml").string());
  EXPECT_EQ(error.line, bad.line) << error.message;
  EXPECT_EQ(error.column, bad.column) << error.message;
  EXPECT_EQ(error.key, bad.key) << error.message;
  EXPECT_TRUE(holds(error.message, bad.message));
  EXPECT_TRUE(holds(error.cure, bad.cure)) << error.message;
  EXPECT_FALSE(error.message.ends_with('.'));
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"c.yaml"});
}

const auto case_name = [](const auto& info) { return std::string(info.param.name); };

const std::vector<BadFile> bad_names = {
    {"UnknownKey", "model:\n  layers: 2\n  colour: red\n", 3, 3, "model.colour", "unknown key", ""},
    {"MisspeltKey", "training:\n  setps: 5\n", 2, 3, "training.setps", "unknown key", "did you mean `steps`?"},
    {"NameOfAnotherProgram", "optimizer:\n  learning_rate: 3e-4\n", 2, 3, "optimizer.learning_rate", "unknown key",
     "did you mean `lr`?"},
    {"KeyOfAnotherSection", "model:\n  seq_len: 8\n", 2, 3, "model.seq_len", "unknown key", "`training.seq_len`"},
    {"UnknownSection", "zoo:\n  a: 1\n", 1, 1, "zoo", "unknown section", ""},
    {"MisspeltSection", "trianing:\n  steps: 5\n", 1, 1, "trianing", "unknown section", "did you mean `training`?"},
    {"KeyWithoutSection", "lr: 3e-4\n", 1, 1, "lr", "unknown section", "`optimizer.lr`"},
    {"DottedKey", "training.steps: 5\n", 1, 1, "training.steps", "unknown section", "write `steps:` under"},
    {"DuplicateKey", "training:\n  steps: 5\n  seed: 1\n  steps: 5\n", 4, 3, "training.steps", ":2:3", "keep one"},
    {"DuplicateSection", "training:\n  steps: 5\nmodel:\n  layers: 1\ntraining:\n  seed: 5\n", 5, 1, "training", ":1:1",
     "keep one"},
    {"QuotedDuplicateKey", "training:\n  steps: 5\n  \"steps\": 6\n", 3, 3, "training.steps", "twice", "keep one"},
    {"ScalarForSection", "training: 5\n", 1, 11, "training", "`training` is `5`", "indented"},
    {"ListForSection", "training:\n  - steps\n", 2, 3, "training", "a list", "indented"},
    {"SectionForScalar", "training:\n  steps:\n    a: 5\n", 3, 5, "training.steps", "a section", ""},
    {"ListForScalar", "training:\n  steps: [5]\n", 2, 10, "training.steps", "a list", ""},
    {"SectionForList", "data:\n  path: {a: b}\n", 2, 9, "data.path", "a section", ""},
    {"ListInList", "data:\n  path: [a, [b]]\n", 2, 13, "data.path[1]", "a list", ""},
    {"ScalarForGroups", "optimizer:\n  groups: 5\n", 2, 11, "optimizer.groups", "`5`", ""},
    {"ScalarForGroup", "optimizer:\n  groups: [5]\n", 2, 12, "optimizer.groups[0]", "`5`", ""},
    {"UnknownGroupKey", "optimizer:\n  groups:\n    - match: a\n      lr_facter: 1\n", 4, 7,
     "optimizer.groups[0].lr_facter", "unknown key", "`lr_factor`"},
    {"DuplicateGroupKey", "optimizer:\n  groups:\n    - match: a\n      match: b\n", 4, 7, "optimizer.groups[0].match",
     "twice", "keep one"},
    {"GroupWithoutMatch", "optimizer:\n  groups:\n    - lr_factor: 1\n", 3, 7, "optimizer.groups[0]", "no `match`",
     "add"},
    {"BadRegex", "optimizer:\n  groups:\n    - match: \"a(\"\n", 3, 14, "optimizer.groups[0].match",
     "not a regular expression", "escape"},
    {"EmptyPath", "data:\n  path: \"\"\n", 2, 9, "data.path", "empty", ""},
    {"NoSpaceAfterColon", "training:\n  steps:5\n", 2, 3, "training", "`steps:5`", "space after the colon"},
};
INSTANTIATE_TEST_SUITE_P(Names, BadConfig, ::testing::ValuesIn(bad_names), case_name);

BadFile bad_value(const char* name, const std::string& key, const std::string& value, const char* message,
                  const char* cure = "") {
  static std::vector<std::unique_ptr<std::string>> keys;
  keys.push_back(std::make_unique<std::string>(key));
  const size_t dot = key.find('.');
  return {.name = name,
          .text = key.substr(0, dot) + ":\n  " + key.substr(dot + 1) + ": " + value + "\n",
          .line = 2,
          .column = static_cast<int>(key.size() - dot + 4),
          .key = keys.back()->c_str(),
          .message = message,
          .cure = cure};
}

const std::vector<BadFile> bad_values = {
    bad_value("WordForInteger", "training.steps", "many", "`many`"),
    bad_value("FractionForInteger", "training.steps", "1.0", "not a whole number"),
    bad_value("ExponentForInteger", "training.steps", "1e3", "not a whole number"),
    bad_value("OctalLike", "training.steps", "010", "`010`", "leading zeros"),
    bad_value("OctalLikeReal", "optimizer.lr", "00.1", "`00.1`", "leading zeros"),
    bad_value("Hex", "training.steps", "0x10", "`0x10`", "decimal"),
    bad_value("Underscore", "training.steps", "1_000", "`1_000`", "underscores"),
    bad_value("PlusSign", "training.steps", "+5", "`+5`", "plus"),
    bad_value("QuotedInteger", "training.steps", "\"5\"", "the string `5`", "remove the quotes"),
    bad_value("NegativeCount", "training.steps", "-1", "out of range"),
    bad_value("ZeroCount", "training.steps", "0", "out of range"),
    bad_value("NegativeWarmup", "lr_scheduler.warmup_steps", "-1", "out of range"),
    bad_value("TooLong", "training.steps", "9223372036854775808", "64 bits"),
    bad_value("NegativeSeed", "training.seed", "-1", "out of range"),
    bad_value("SeedTooLong", "training.seed", "18446744073709551616", "64 bits"),
    bad_value("FractionalSeed", "training.seed", "1.5", "`1.5`"),
    bad_value("ContextOfOne", "training.seq_len", "1", "out of range"),
    bad_value("VocabularyOfOne", "model.vocab_size", "1", "out of range"),
    bad_value("Billion", "launch.ranks", "1000000000", "out of range"),
    bad_value("ZeroThreads", "launch.threads_per_rank", "0", "out of range"),
    bad_value("AutoMisspelt", "launch.threads_per_rank", "automatic", "`automatic`"),
    bad_value("Overflow", "optimizer.lr", "1e400", "64-bit float"),
    bad_value("Nan", "optimizer.lr", ".nan", "`.nan`"),
    bad_value("NanWord", "optimizer.lr", "nan", "`nan`"),
    bad_value("Inf", "optimizer.lr", ".inf", "`.inf`"),
    bad_value("NegativeInf", "optimizer.lr", "-inf", "`-inf`"),
    bad_value("DecimalComma", "optimizer.lr", "0,1", "`0,1`"),
    bad_value("NegativeRate", "optimizer.lr", "-1e-3", "out of range"),
    bad_value("DropoutOfOne", "model.dropout", "1", "out of range"),
    bad_value("FractionOfOne", "data.validation_fraction", "1.0", "out of range"),
    bad_value("NegativeFraction", "data.validation_fraction", "-0.1", "out of range"),
    bad_value("ZeroEps", "optimizer.eps", "0", "out of range"),
    bad_value("NoTimeout", "comm.timeout_s", "0", "out of range"),
    bad_value("BadSize", "comm.segment_bytes", "256KKB", "`256KKB`"),
    bad_value("FractionalSize", "comm.segment_bytes", "1.5", "`1.5`"),
    bad_value("HugeSize", "comm.segment_bytes", "9999999999GiB", "`9999999999GiB`"),
    bad_value("NoAsBoolean", "model.tied_embeddings", "no", "`no`", "write `false`"),
    bad_value("YesAsBoolean", "model.tied_embeddings", "yes", "`yes`", "write `true`"),
    bad_value("OnAsBoolean", "model.tied_embeddings", "on", "`on`", "write `true`"),
    bad_value("CapitalTrue", "model.tied_embeddings", "True", "`True`", "write `true`"),
    bad_value("NumberAsBoolean", "model.tied_embeddings", "1", "`1`", "write `true`"),
    bad_value("QuotedBoolean", "model.tied_embeddings", "\"true\"", "the string `true`", "write `true`"),
    bad_value("NoAsString", "model.recipe", "no", "not a string", "\"no\""),
    bad_value("TrueAsString", "output.dir", "true", "not a string", "\"true\""),
    bad_value("NumberAsString", "output.dir", "2024", "not a string", "\"2024\""),
    bad_value("OctalAsString", "output.dir", "0o17", "not a string", "\"0o17\""),
    bad_value("EmptyString", "output.dir", "\"\"", "empty"),
    bad_value("NulInString", "output.dir", "\"a\\0b\"", "NUL"),
    bad_value("UnknownChoice", "optimizer.name", "adamm", "`adamm`", "did you mean `adam`?"),
    bad_value("NoAsChoice", "lr_scheduler.decay_type", "no", "`no`"),
    bad_value("Anchor", "training.steps", "&a 5", "anchors"),
    bad_value("Tag", "training.steps", "!!int 5", "tags"),
    bad_value("LocalTag", "training.steps", "! 5", "tags"),
    bad_value("UnquotedGlob", "data.path", "*.txt", "aliases", "quotes"),
};
INSTANTIATE_TEST_SUITE_P(Values, BadConfig, ::testing::ValuesIn(bad_values), case_name);

BadFile bad_text(const char* name, std::string text, int line, int column, const char* message, const char* cure = "",
                 const char* key = "") {
  return {name, std::move(text), line, column, key, message, cure};
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadConfig,
    ::testing::Values(
        bad_text("Empty", "", 0, 0, "holds no keys"), bad_text("OnlyComments", "# a\n\n# b\n", 0, 0, "holds no keys"),
        bad_text("OnlyADocumentMark", "---\n", 0, 0, "holds no keys"),
        bad_text("Json", R"({"training": {"steps": 5}})", 1, 1, "JSON", "YAML"),
        bad_text("JsonAfterBlankLines", "\n  {\n\t\"training\": 1}", 2, 3, "JSON", "YAML"),
        bad_text("TopLevelList", "- training\n", 1, 1, "a list"), bad_text("TopLevelWord", "hello\n", 1, 1, "`hello`"),
        bad_text("TwoDocuments", "model:\n  layers: 2\n---\nmodel:\n  heads: 2\n", 3, 1, "second document", "keep one"),
        bad_text("EmptySecondDocument", "model:\n  layers: 2\n---\n", 3, 1, "second document", "keep one"),
        bad_text("Directive", "%YAML 1.2\n---\nmodel:\n  layers: 2\n", 1, 1, "directives", "remove"),
        bad_text("TabIndent", "model:\n\tlayers: 2\n", 2, 1, "a tab", "use spaces"),
        bad_text("TabAfterColon", "model:\n  layers:\t2\n", 2, 10, "a tab", "use spaces"),
        bad_text("ByteOrderMark", "\xEF\xBB\xBFmodel:\n  layers: 2\n", 1, 1, "byte order mark", "UTF-8"),
        bad_text("Latin1", "model:\n  recipe: caf\xE9\n", 2, 14, "not UTF-8", "UTF-8"),
        bad_text("OverlongUtf8", "model:\n  recipe: a\xC0\xAF\n", 2, 12, "not UTF-8", "UTF-8"),
        bad_text("Surrogate", "a: \xED\xA0\x80\n", 1, 4, "not UTF-8", "UTF-8"),
        bad_text("CutUtf8", "a: \xE2\x82", 1, 4, "not UTF-8", "UTF-8"),
        bad_text("ControlCharacter", "model:\n  recipe: \x1b[31m\n", 2, 11, "control character", "remove"),
        bad_text("LoneCarriageReturn", "model:\r  layers: 2\r", 1, 7, "control character", "remove"),
        bad_text("Binary", std::string("model:\0\n", 8), 0, 0, "binary", "data.path"),
        bad_text("UnclosedQuote", "model:\n  recipe: \"abc\n", 2, 15, "not valid YAML", "quotes", "model.recipe"),
        bad_text("BadIndent", "model:\n  layers: 2\n heads: 2\n", 3, 2, "not valid YAML", "indentation"),
        bad_text("NoValue", "training:\n  steps:\n  seed: 1\n", 2, 3, "`training.steps` has no value",
                 "remove the line", "training.steps"),
        bad_text("Null", "training:\n  steps: null\n", 2, 3, "no value", "remove the line", "training.steps"),
        bad_text("Tilde", "training:\n  steps: ~\n", 2, 3, "no value", "remove the line", "training.steps"),
        bad_text("EmptySection", "training:\nmodel:\n  layers: 2\n", 1, 1, "no value", "remove the line", "training"),
        bad_text("NullInList", "data:\n  path: [a, ~]\n", 2, 13, "no value", "remove", "data.path[1]"),
        bad_text("Alias", "model: &m\n  layers: 2\ntraining: *m\n", 1, 8, "anchors", "write the value out", "model"),
        bad_text("MergeKey", "model:\n  <<: {layers: 2}\n", 2, 3, "merge keys", "write the keys out", "model"),
        bad_text("ListAsKey", "model:\n  [a]: 2\n", 2, 3, "a key must be a name", "", "model"),
        bad_text("OpenQuoteOverLines", "model:\n  recipe: \"abc\n  layers: 2\n \n", 3, 12, "not valid YAML", "quotes",
                 "model.recipe"),
        bad_text("TextAfterQuote", "model:\n  recipe: \"a\" b\n", 2, 15, "not valid YAML", "quotes", "model"),
        bad_text("TwoColons", "model:\n  layers: 2: 3\n", 2, 12, "not valid YAML", "colon", "model"),
        bad_text("StrayBracket", "model:\n  layers: 2]\n", 2, 11, "`2]`", "", "model.layers"),
        bad_text("StrayKeyAtTheEnd", "model:\n  layers: 2\nheads\n", 3, 1, "no value", "", "heads"),
        bad_text("LiteralBlock", "model:\n  recipe: |\n    abc\n", 2, 11, "blocks of text", "double quotes",
                 "model.recipe"),
        bad_text("FoldedBlock", "model:\n  recipe: >-\n    abc\n", 2, 11, "blocks of text", "", "model.recipe"),
        bad_text("OpenList", "data:\n  path: [a, b\n", 2, 13, "no value", "", "data.path[1].b"),
        bad_text("EndMarkThenText", "model:\n  layers: 2\n...\nmodel:\n  heads: 2\n", 4, 1, "second document"),
        bad_text("LargeFile", std::string(300'000, '#'), 0, 0, "too large", "data.path")),
    case_name);

TEST_F(ConfigFile, ErrorsShowTheLineAndTheKeysOfTheSection) {
  const ErrorInfo error = error_in("optimizer:\n    learning_rate: 3e-4\n");
  EXPECT_EQ(error.excerpt, "    learning_rate: 3e-4");
  EXPECT_EQ(error.found, "learning_rate");
  EXPECT_TRUE(holds(error.expected, "one of: name, lr, beta1, beta2"));
  EXPECT_TRUE(holds(render(error), "c.yaml:2:5: error: unknown key `optimizer.learning_rate`\n    learning_rate"));
}

TEST(ConfigPath, MissingFileNamesTheNearestOne) {
  const TempFolder folder;
  folder.write("gpt-quickstart.yaml", "model:\n  layers: 2\n");
  const std::string path = (folder.path() / "gpt-quikstart.yaml").string();
  const ErrorInfo error = error_of([&] { load(path); });
  EXPECT_EQ(error.kind, ErrorKind::config);
  EXPECT_EQ(error.file, path);
  EXPECT_TRUE(holds(error.message, "no such file"));
  EXPECT_TRUE(holds(error.cure, "gpt-quickstart.yaml"));
}

TEST(ConfigPath, FolderFifoAndEmptyNameAreRefused) {
  const TempFolder folder;
  EXPECT_TRUE(holds(error_of([&] { load(folder.path().string()); }).message, "folder"));
  const std::string fifo = (folder.path() / "fifo.yaml").string();
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(holds(error_of([&] { load(fifo); }).message, "not a regular file"));
  EXPECT_TRUE(holds(error_of([&] { load(""); }).message, "no such file"));
  EXPECT_TRUE(holds(error_of([&] { load((folder.path() / "fifo.yaml" / "x").string()); }).message, "no such file"));
}

TEST(ConfigPath, UnreadableFileIsRefused) {
  const TempFolder folder;
  ASSERT_EQ(::chmod(folder.path().c_str(), 0755), 0);
  const std::string path = folder.write("c.yaml", "model:\n  layers: 2\n");
  ASSERT_EQ(::chmod(path.c_str(), 0), 0);
  const uid_t user = ::geteuid();
  constexpr uid_t nobody = 65534;
  if (user == 0) {
    ASSERT_EQ(::seteuid(nobody), 0);  // root reads everything
  }
  const ErrorInfo error = error_of([&] { load(path); });
  ASSERT_EQ(::seteuid(user), 0);
  EXPECT_EQ(error.kind, ErrorKind::config);
  EXPECT_TRUE(holds(error.message, "cannot read the file: permission denied"));
}

struct BadSet {
  const char* name;
  std::vector<std::string> sets;
  ErrorKind kind;
  const char* key;
  const char* message;
  const char* cure;
};
void PrintTo(const BadSet& bad, std::ostream* out) { *out << bad.name; }
class BadSetting : public ConfigFile, public ::testing::WithParamInterface<BadSet> {};

TEST_P(BadSetting, IsRefused) {
  const BadSet& bad = GetParam();
  const ErrorInfo error = error_in("model:\n  layers: 2\n", bad.sets);
  EXPECT_EQ(error.kind, bad.kind) << error.message;
  EXPECT_EQ(exit_code(error.kind), 2);
  EXPECT_EQ(error.key, bad.key) << error.message;
  EXPECT_EQ(error.line, 0);
  EXPECT_EQ(error.file, "");
  EXPECT_TRUE(holds(error.message, bad.message));
  EXPECT_TRUE(holds(error.cure, bad.cure)) << error.message;
  EXPECT_TRUE(holds(render(error), "--set"));
}

constexpr ErrorKind usage = ErrorKind::usage, bad_config = ErrorKind::config;
INSTANTIATE_TEST_SUITE_P(
    Sets, BadSetting,
    ::testing::Values(
        BadSet{"NoEquals", {"training.steps"}, usage, "training.steps", "not KEY=VALUE", ""},
        BadSet{"NoKey", {"=5"}, usage, "", "not KEY=VALUE", ""},
        BadSet{"Nothing", {""}, usage, "", "not KEY=VALUE", ""},
        BadSet{"NoValue", {"training.steps="}, bad_config, "", "missing", ""},
        BadSet{"Null", {"training.steps=null"}, bad_config, "", "missing", ""},
        BadSet{"Twice", {"training.steps=5", "training.steps=5"}, usage, "training.steps", "twice", "keep one"},
        BadSet{"Unknown", {"zoo.animal=5"}, bad_config, "zoo.animal", "unknown key", ""},
        BadSet{"Misspelt", {"training.setps=5"}, bad_config, "training.setps", "unknown key", "`training.steps`"},
        BadSet{"MisspeltSection", {"trainin.steps=5"}, bad_config, "trainin.steps", "unknown key", "`training.steps`"},
        BadSet{"WithoutSection", {"steps=5"}, bad_config, "steps", "unknown key", "`training.steps`"},
        BadSet{"Section", {"training=5"}, bad_config, "training", "a section", "training.steps"},
        BadSet{"Groups", {"optimizer.groups=[]"}, usage, "optimizer.groups", "cannot be given by --set", "file"},
        BadSet{"List", {"data.path=[a, b]"}, usage, "data.path", "a list", "configuration file"},
        BadSet{"Map", {"data.path=a: b"}, usage, "data.path", "a section", "quotes"},
        BadSet{"Comment", {"data.path=a #b"}, usage, "data.path", "YAML reads as `a`", "quotes"},
        BadSet{"FoldedLines", {"data.path=a\nb"}, usage, "data.path", "YAML reads as `a b`", "quotes"},
        BadSet{"Mistyped", {"training.steps=x"}, bad_config, "training.steps", "`x`", ""},
        BadSet{"NotUtf8", {"output.dir=\xFF"}, bad_config, "", "not UTF-8", ""},
        BadSet{"Contradiction", {"model.heads=3"}, bad_config, "model.heads", "does not divide", ""}),
    case_name);

TEST_F(ConfigFile, FlagsAreCheckedUnderTheirOwnName) {
  for (const char* ranks :
       {"0", "-1", "x", "1000000000", "10^9", "1.5", "", " 2", "2 ", "0x2", "99999999999999999999"}) {
    const ErrorInfo error = error_in("model:\n  layers: 2\n", {}, {{"--ranks", "launch.ranks", ranks}});
    EXPECT_EQ(error.kind, ErrorKind::usage) << ranks;
    EXPECT_EQ(error.key, "--ranks") << ranks;
    EXPECT_EQ(error.found, ranks);
    EXPECT_EQ(error.expected, "an integer in 1..65536");
  }
  const ErrorInfo twice = error_in("model:\n  layers: 2\n", {"launch.ranks=2"}, {{"--ranks", "launch.ranks", "2"}});
  EXPECT_EQ(twice.kind, ErrorKind::usage);
  EXPECT_TRUE(holds(twice.message, "twice"));
}

}  // namespace
}  // namespace ringmaster::config
