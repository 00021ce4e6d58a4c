#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeds for fuzz_generate_rows: make_rows.py tests/fuzz/corpus/generate_rows. Rows as `trawl generate --prompts_file`
reads them, one of every kind, and some that it refuses."""
import json
import pathlib
import sys

ROWS = {
    "prompt": {"id": 1, "prompt": "The capital of France is", "max_tokens": 8},
    "messages": {"id": "m", "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why\n"}]},
    "tokens": {"id": None, "tokens": [1, 2, 3, 0], "max_tokens": 0, "ignore_eos": True},
    "sampled": {"prompt": "a", "temperature": 0.7, "top_k": 40, "top_p": 0.9, "min_p": 0.05, "typical_p": 0.5, "top_n_sigma": 1.5,
                "xtc_probability": 0.5, "xtc_threshold": 0.1, "seed": 7, "n": 3, "logprobs": 4},
    "processors": {"prompt": "a", "repetition_penalty": 1.2, "presence_penalty": -1, "frequency_penalty": 2,
                   "no_repeat_ngram_size": 3, "min_tokens": 2, "logit_bias": {"5": 1.5, "17": -100}, "suppress_tokens": [3, 4]},
    "stops": {"prompt": "a b", "stop": ["x", "\n\n", "é"], "stop_token_ids": [9, 2]},
    "stop": {"prompt": "a b", "stop": "end"},
    "best_of": {"prompt": "a", "temperature": 1, "best_of": 5, "n": 2, "logprobs": True},
    "beams": {"prompt": "a", "num_beams": 4, "n": 2, "length_penalty": 0.5, "early_stopping": "never"},
    "scores": {"prompt": "The capital", "completions": [" is", [1, 2], "Ω"], "logprobs": 1},
    "dfs": {"tokens": [5], "dfs": {"min_prob": 0.01, "max_nodes": 100, "max_outputs": 3}},
    "masked": {"tokens": [1, 2, 3], "max_tokens": 2, "attention_mask": {"kind": "prefix_lm", "prefix_length": 2}},
    "window": {"tokens": [1, 2, 3], "attention_sinks": 4, "attention_window": 64},
    "regex": {"prompt": "a", "guided_regex": "(yes|no)[0-9]{2}"},
    "json": {"prompt": "a", "guided_json": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    "choice": {"prompt": "a", "guided_choice": ["red", "green"]},
    "policy": {"prompt": "a", "entropy_policy": "no/such/file.json"},
    "nothing": {},
    "two_prompts": {"prompt": "a", "tokens": [1]},
    "unknown": {"prompt": "a", "temprature": 1},
    "contradiction": {"prompt": "a", "num_beams": 2, "dfs": {"min_prob": 0.5}},
    "ranges": {"tokens": [-1, 2147483648, 1.5], "max_tokens": -1},
    "zero": {"prompt": "a\x00b", "stop": "a\x00"},
}

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for name, row in ROWS.items():
    (out / name).write_text(json.dumps(row, ensure_ascii=False))
(out / "list").write_text("[1]")
(out / "cut").write_text('{"prompt": "a')
(out / "twice").write_text('{"prompt": "a", "prompt": "b"}')
