// SPDX-License-Identifier: Apache-2.0
// program: what messages call the program that runs, for an outside project has one of its own.
#pragma once
#include <string>
#include <string_view>

namespace ringmaster {

// "ringmaster", or what set_program_name said.
const std::string& program_name();
// The file name in argv[0]. Once, before threads start.
void set_program_name(std::string_view argv0);

}  // namespace ringmaster
