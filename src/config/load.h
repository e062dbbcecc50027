// SPDX-License-Identifier: Apache-2.0
// load: a YAML file and the command line become a complete, checked configuration. Later wins: defaults, file, --set,
// flags. Nothing is created and, but for the one file, nothing is read. Relative paths in it mean the working
// directory.
#pragma once
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "core/error.h"

namespace ringmaster::config {

// Where a value comes from.
struct Origin {
  std::string source = "default";  // "default", "--set", a flag such as "--ranks", or the file
  int line = 0;                    // of the key, 1-based; 0 = not a line of a file
  int column = 0;
  std::string excerpt;  // the source line or the words of the command line
  bool given() const { return source != "default"; }
};
std::string str(const Origin& origin);  // "file:line:column", "--set", "default"

struct Resolved {
  Config config;
  std::string file;                      // as the user named it
  std::map<std::string, Origin> origin;  // by full key name; every key is in it
  const Origin& origin_of(std::string_view key) const;
};

// A flag of the command line that stands for a key: {"--ranks", "launch.ranks", "2"}. The value is taken as it is, not
// as YAML.
struct Flag {
  std::string flag;
  std::string key;
  std::string value;
};

// `sets` are the texts after --set, "key=YAML_SCALAR". A key may be given once by all sets and flags together.
// Throws Error: kind config for the file and for values, kind usage for flags and malformed --set. Blocks on the file.
Resolved load(const std::string& path, const std::vector<std::string>& sets = {}, const std::vector<Flag>& flags = {});

// The same from the flat {key: value} object that to_json() made and a checkpoint holds; `file` is named in errors. A
// key that is absent has its default. Unknown keys and bad values are errors of kind checkpoint.
Resolved load_json(const nlohmann::json& values, const std::string& file, const std::vector<std::string>& sets = {},
                   const std::vector<Flag>& flags = {});

// Fills the computed defaults and refuses contradictions; load() and load_json() end with it. Idempotent.
void resolve(Resolved& resolved);

// The default of training.grain_size: the largest divisor of the batch that is at most max(1, batch / 4).
int64_t default_grain_size(int64_t global_batch_size);

// Throws if data comes from files and data.path is empty: what trains needs data, what only plans does not.
void require_data(const Resolved& resolved);

// An error about the value of `key`, at the place where it was given, for checks that other folders make. Fill in
// `expected` and `cure` before throwing.
ErrorInfo error_at(const Resolved& resolved, std::string_view key, std::string message);

}  // namespace ringmaster::config
