#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How near is a job of short and long requests to the sum of its steps?

    scripts/check_mixed_job.py TRAWL MODEL_DIR [ROUNDS]

A job of REQUESTS requests, 20 to 2,000 tokens each, prompt and answer together, runs with a batch of BATCH. Its
ideal is made of measured steps: all prompts computed without answers, and every token of an answer at the cost of its
share in a step of a full batch at its context. What is lost between is lost to a batch that is not full (at the end of
the job), and to the scheduler.

Times are processor times of one thread, the least of all rounds: others on the machine disturb them little. Prints
the figures and the program's own line on the KV cache; exit code 1 when the job runs at less than 0.9 of its ideal.
"""
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile

REQUESTS, BATCH, LONGEST, PAGE = 96, 8, 2000, 64
STEPS, CONTEXTS = 48, (64, 1024)


def job():
    draw = random.Random(5)
    rows = []
    for i in range(REQUESTS):
        total = draw.randint(20, LONGEST)
        answer = max(1, min(total - 1, draw.randint(total // 8, total // 3)))
        rows.append((total - answer, answer, i))
    return rows


def page_bytes(model):
    with open(os.path.join(model, "config.json")) as f:
        c = json.load(f)
    heads = c.get("num_key_value_heads", c["num_attention_heads"])
    width = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
    return 2 * c["num_hidden_layers"] * heads * width * PAGE * 2


def run(trawl, model, folder, rows, pages):
    """Processor seconds, and the line on the KV cache if there is one."""
    path = os.path.join(folder, "rows.jsonl")
    with open(path, "w") as f:
        for n_prompt, n_answer, seed in rows:
            draw = random.Random(seed)
            ids = [draw.randrange(1000, 40000) for _ in range(n_prompt)]
            f.write(json.dumps({"tokens": ids, "max_tokens": n_answer, "ignore_eos": True}) + "\n")
    words = [trawl, "generate", "--model_path", model, "--threads", "1", "--batch_size", str(BATCH),
             "--max_model_len", "2048", "--kv_cache_bytes", str(pages * page_bytes(model)),
             "--prompts_file", path, "--output_filepath", os.path.join(folder, "out.jsonl"), "--quiet"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = re.search("KV cache: .*", done.stderr)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before, found.group(0) if found else ""


def measure(trawl, model, folder):
    enough = BATCH * 2048 // PAGE
    rows = job()

    def seconds(rows):
        return run(trawl, model, folder, rows, enough)[0]

    start = seconds([(1, 1, 0)])
    prompts = seconds([(p, 1, i) for p, _, i in rows]) - start
    steps = []
    for c in CONTEXTS:
        full = [[(c, n, i) for i in range(BATCH)] for n in (1, 1 + STEPS)]
        steps.append((seconds(full[1]) - seconds(full[0])) / STEPS)
    slope = (steps[1] - steps[0]) / (CONTEXTS[1] - CONTEXTS[0])
    answers = 0.0
    for p, a, _ in rows:
        context = p + a / 2 - STEPS / 2
        answers += (a - 1) * (steps[0] + slope * (context - CONTEXTS[0])) / BATCH
    got, line = run(trawl, model, folder, rows, enough)
    return {"start": start, "prompts": prompts, "answers": answers, "got": got - start}, line


def main():
    trawl, model = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 2
    best, line = {}, ""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            figures, line = measure(trawl, model, folder)
            best = {k: min(v, best.get(k, v)) for k, v in figures.items()}
    rows = job()
    ideal = best["prompts"] + best["answers"]
    print(f"{len(rows)} requests, {sum(p for p, _, _ in rows)} prompt and {sum(a for _, a, _ in rows)} new tokens, "
          f"batch {BATCH}")
    print(f"ideal {ideal:.1f} s: prompts {best['prompts']:.1f} s, answers {best['answers']:.1f} s")
    print(f"job   {best['got']:.1f} s: {ideal / best['got']:.3f} of the ideal")
    print(line)
    return 0 if ideal / best["got"] >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
