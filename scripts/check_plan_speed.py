#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Is the speed that `trawl plan --measure` expects the speed of real runs?

    scripts/check_plan_speed.py TRAWL MODEL_DIR [ROUNDS]

On small meshes of this machine, plans and runs of `trawl generate` take turns. A run's speed is the difference of two
runs that differ in the tokens of interest only, so that start-up counts for nothing. Others on the machine only ever
slow things down, so of all rounds the fastest plan and the least times are taken. Prints one line a figure; exit code 1
when one is more than 25 % off. Wants a quiet machine all the same, so it is no part of the test suite.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import time

PROMPT, GEN = 256, 64
MESHES = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1)]


def mesh_words(mesh):
    return ["--mesh_shape", str(mesh[0]), str(mesh[1]), "--threads", str(mesh[2]), "--batch_size", "1"]


def expect(trawl, model, mesh):
    # Half of max_model_len is the context of decoding; a chunk is a prompt.
    words = [trawl, "plan", "--model_path", model, *mesh_words(mesh), "--max_model_len", str(2 * PROMPT + GEN),
             "--prefill_chunk", str(PROMPT), "--measure", "--json"]
    speed = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["speed"]
    return speed["decode_tok_s"], speed["prefill_tok_s"]


def seconds(trawl, model, mesh, folder, prompts, tokens):
    draw = random.Random(prompts)
    rows = os.path.join(folder, "rows.jsonl")
    with open(rows, "w") as f:
        for _ in range(prompts):
            ids = [draw.randrange(1000, 40000) for _ in range(PROMPT)]
            f.write(json.dumps({"tokens": ids, "max_tokens": tokens, "ignore_eos": True}) + "\n")
    words = [trawl, "generate", "--model_path", model, *mesh_words(mesh), "--prefill_chunk", str(PROMPT),
             "--max_model_len", "1024", "--prompts_file", rows, "--output_filepath", os.path.join(folder, "out.jsonl"),
             "--quiet"]
    start = time.monotonic()
    subprocess.run(words, capture_output=True, check=True)
    return time.monotonic() - start


def main():
    trawl, model = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    off = 0
    with tempfile.TemporaryDirectory() as folder:
        for mesh in MESHES:
            data = mesh[0]
            plans, times = [], []
            for _ in range(rounds):
                plans.append(expect(trawl, model, mesh))
                times.append([seconds(trawl, model, mesh, folder, data, 1), seconds(trawl, model, mesh, folder, data, 1 + GEN),
                              seconds(trawl, model, mesh, folder, 5 * data, 1)])
            decode, prefill = (max(values) for values in zip(*plans))
            short, long, many = (min(values) for values in zip(*times))
            for what, expected, found in (("decode", decode, data * GEN / max(long - short, 1e-9)),
                                          ("prefill", prefill, 4 * data * PROMPT / max(many - short, 1e-9))):
                off += not 0.75 <= expected / found <= 1.25
                print("mesh %dx%d, %d threads a device: %s %.1f tokens/s expected, %.1f measured, ratio %.2f"
                      % (*mesh, what, expected, found, expected / found), flush=True)
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
