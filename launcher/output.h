// SPDX-License-Identifier: Apache-2.0
// output: stdout is data, stderr is chatter. With --json, stdout is exactly one object and a newline, on failure too.
#pragma once
#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

#include "core/error.h"

namespace ringmaster::launcher {

// All of it or an Error (io): a full disk must not look like success. Blocks. A pipe that nobody reads ends the program
// quietly, except where SIGPIPE is ignored.
void print(std::string_view text);
void print_json(const nlohmann::json& object);  // on one line

nlohmann::json error_json(const ErrorInfo& info);  // schema ringmaster.error/1
void report(const ErrorInfo& info);                // stderr, for people; never fails
void note(std::string_view line);                  // one line on stderr; never fails
void chatter(std::string_view text);               // as it is on stderr; never fails

}  // namespace ringmaster::launcher
