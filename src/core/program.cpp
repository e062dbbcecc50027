// SPDX-License-Identifier: Apache-2.0
#include "core/program.h"

namespace ringmaster {
namespace {

std::string& called() {
  static std::string name = "ringmaster";
  return name;
}

}  // namespace

const std::string& program_name() { return called(); }

void set_program_name(std::string_view argv0) {
  argv0.remove_prefix(argv0.rfind('/') + 1);  // npos + 1 is 0
  if (!argv0.empty()) called() = argv0;
}

}  // namespace ringmaster
