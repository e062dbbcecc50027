// SPDX-License-Identifier: Apache-2.0
// main: the program with the recipes and ops that it is built with. docs/your-model.md shows one with its own.
#include "launcher/ringmaster.h"

int main(int argc, char** argv) { return ringmaster::main(argc, argv, ringmaster::Registry::builtin()); }
