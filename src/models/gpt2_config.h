// SPDX-License-Identifier: Apache-2.0
// gpt2_config: Hugging Face's config.json of a GPT-2, both ways.
// https://huggingface.co/docs/transformers/model_doc/gpt2#transformers.GPT2Config
#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "config/config.h"

namespace ringmaster::models {

nlohmann::json to_gpt2_config(const config::Config& config);

// The keys of ours that a config.json decides, flat as config::load_json() reads them; what it leaves out has GPT-2's own
// default. Dropout is no property of weights and not among them. Throws Error (checkpoint) naming `file` and the key: a model of
// another type, or a variant of GPT-2 that language_model does not compute.
nlohmann::json from_gpt2_config(const nlohmann::json& gpt2, const std::string& file);

}  // namespace ringmaster::models
