#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""arc run in shards, joined by arc merge and acts merge: the bytes of one run. And what merging refuses."""
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from checks import check, failures

trawl, source = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_SOURCE"])
TASKS, MAX = 5, 16


def run(*words, code=0, says=""):
    p = subprocess.run([trawl, *map(str, words)], capture_output=True, text=True)
    check(p.returncode == code and says in p.stderr,
          f"{' '.join(map(str, words))}: exit {p.returncode}, expected {code} and \"{says}\": {p.stderr[-600:]}")


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same(a, b, what):
    x, y = files(a), files(b)
    check(x.keys() == y.keys(), f"{what}: files {sorted(x.keys() ^ y.keys())}")
    for name in x.keys() & y.keys():
        check(x[name] == y[name], f"{what}: {name} differs")


def make_tasks(path):
    rng = random.Random(3)
    side = lambda n: [[rng.randrange(10) for _ in range(n)] for _ in range(n)]
    tasks = {f"t{i}": {"train": [{"input": side(2), "output": side(2)}], "test": [{"input": side(2)} for _ in range(1 + i % 3)]}
             for i in range(TASKS)}
    tasks["t1"]["train"] = [{"input": side(30), "output": side(30)}]  # its prompts are too long: requests without rows
    path.write_text(json.dumps(tasks))


def arc(folder, model, tasks, fmt, *more, code=3):
    folder.mkdir()
    run("arc", "run", "--model_path", model, "--dataset_path", tasks, "--output_filepath", folder / "out.json",
        "--activations_dir", folder / "acts", "--activations_format", fmt, "--predictions_per_task", 3, "--batch_size", 2,
        "--save_every_n_batches", 2, "--max_output_tokens", MAX, "--layers_to_extract", 0, 2, "--max_model_len", 1200,
        "--temperature", 1, "--threads", 1, "--quiet", *more, code=code)


with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    model, tasks = d / "model", d / "tasks.json"
    subprocess.run([sys.executable, source / "tests/golden/make_model.py", model, "--vocab", "640", "--layers", "3",
                    "--tokenizer", source / "tests/text/data/digits"], check=True)
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}")
    make_tasks(tasks)
    for fmt, counts in (("pkl", (2, 3)), ("safetensors", (2, 7))):
        one = d / fmt
        arc(one, model, tasks, fmt)
        for n in counts:
            parts = [d / f"{fmt}{n}-{i}" for i in range(n)]
            for i, part in enumerate(parts):  # only the shard with task 1 has requests that cannot be run
                arc(part, model, tasks, fmt, "--shard_id", i, "--num_shards", n, code=3 if 1 % n == i else 0)
            whole = d / f"{fmt}{n}"
            whole.mkdir()
            mixed = parts[::-1]
            run("arc", "merge", "--inputs", *[p / "out_task_results.json" for p in mixed], "--output_filepath",
                whole / "out.json")
            run("acts", "merge", "--inputs", *[p / "acts" for p in mixed], "--output_dir", whole / "acts")
            for name in ("out.json", "out_task_results.json"):
                check((whole / name).read_bytes() == (one / name).read_bytes(), f"{fmt}, {n} shards: {name} differs")
            same(one / "acts", whole / "acts", f"{fmt}, {n} shards")

    results = [d / f"pkl3-{i}" / "out_task_results.json" for i in range(3)]
    acts = [d / f"pkl3-{i}" / "acts" for i in range(3)]
    run("arc", "merge", "--inputs", results[0], results[2], "--output_filepath", d / "x.json", code=2, says="shard 1 of 3 is missing")
    run("arc", "merge", "--inputs", *results[:2], "--output_filepath", d / "x.json", code=2, says="shard 2 of 3 is missing")
    run("arc", "merge", "--inputs", *results, results[1], "--output_filepath", d / "x.json", code=2, says="are both shard 1")
    run("acts", "merge", "--inputs", acts[1], acts[2], "--output_dir", d / "x", code=2, says="shard 0 of 3 is missing")
    run("acts", "merge", "--inputs", *acts, d / "pkl2-0/acts", "--output_dir", d / "x", code=2,
        says="is one of 3")
    run("acts", "merge", "--inputs", acts[0], d / "safetensors2-1/acts", "--output_dir", d / "x", code=2,
        says="store.format \"pkl\"")
    run("acts", "merge", "--inputs", *acts, "--output_dir", d / "pkl/acts", code=1, says="is there already")
    meta = acts[2] / "metadata.json"
    text = meta.read_text()
    meta.write_text(text.replace('"complete": true', '"complete": false'))
    run("acts", "merge", "--inputs", *acts, "--output_dir", d / "x", code=2, says="shard 2 of 3 is not finished")
    meta.write_text(text)
    chunk = next(acts[1].glob("*.pkl"))
    chunk.write_bytes(chunk.read_bytes()[:-40])
    run("acts", "merge", "--inputs", *acts, "--output_dir", d / "y", code=1, says=chunk.name)
sys.exit(failures() > 0)
