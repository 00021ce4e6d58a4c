#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl generate with --prefix_cache and --kv_cache_bytes: the same bytes, in one process and under mpirun, and a line that says
what was found, evicted and preempted."""
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

from checks import MPI_ENV, check, failures

TRAWL, BUILD = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
ENV = {**os.environ, **MPI_ENV}
PAGE = 2 * 2 * 2 * 64 * 16 * 2  # bytes: keys and values, layers, heads, positions, width, bfloat16


def generate(model, rows, *flags, code=0, ranks=1):
    """Bytes of the answers, the counters by name, and stderr."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=model.parent))
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "out.jsonl"
    run = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    p = subprocess.run([*run, TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", folder / "in.jsonl",
                        "--output_filepath", out, "--threads", "1", "--logprobs", "1", *map(str, flags)],
                       capture_output=True, text=True, timeout=200, env=ENV)
    check(p.returncode == code, f"{flags}: exit {p.returncode}, expected {code}: {p.stderr}")
    line = re.search(r"KV cache: (\d+) of (\d+) prompt tokens found, at most (\d+) of (\d+) pages in use, (\d+) % filled; "
                     r"(\d+) evicted, (\d+) preemptions?, (\d+) steps\n", p.stderr)
    names = ("found", "prompt", "peak", "pages", "filled", "evicted", "preemptions", "steps")
    counters = dict(zip(names, map(int, line.groups()))) if line else dict.fromkeys(names, 0)
    return (out.read_bytes() if out.exists() else b""), counters, p.stderr


def make_rows():
    draw = random.Random(11)
    common = [draw.randrange(512) for _ in range(330)]
    rows = []
    for i in range(10):
        own = [draw.randrange(512) for _ in range(draw.randrange(40))]
        rows.append({"id": str(i), "tokens": common[:draw.randrange(1, 330)] + own, "max_tokens": draw.randrange(60, 220),
                     "ignore_eos": True, "temperature": 5 if i % 2 else 0, "seed": i})
    return rows


def check_same_bytes(model):
    rows = make_rows()
    prompt = sum(len(row["tokens"]) for row in rows)
    plain, counters, talk = generate(model, rows, "--batch_size", 1, "--prefix_cache", 0)
    check("KV cache" not in talk, f"nothing was found or evicted, yet: {talk}")
    for flags in (["--prefix_cache", 1], ["--prefill_chunk", 30], ["--mesh_shape", 2, 1], ["--mesh_shape", 1, 2]):
        got, counters, _ = generate(model, rows, *flags)
        check(got == plain, f"{flags}: other bytes")
        check(counters["found"] > 400 and counters["prompt"] == prompt, f"{flags}: {counters}")
    for flags in (["--prefix_cache", 1], ["--prefix_cache", 0], ["--mesh_shape", 1, 2]):
        got, counters, _ = generate(model, rows, *flags, "--kv_cache_bytes", 11 * PAGE)
        check(got == plain, f"{flags}, little memory: other bytes")
        check(flags == ["--prefix_cache", 0] or counters["pages"] == 11, f"{flags}, little memory: {counters}")
    if shutil.which("mpirun") and (BUILD / "libtrawl-mpi.so").exists():
        for mesh in ((1, 2), (2, 1)):
            got, counters, _ = generate(model, rows, "--mesh_shape", *mesh, "--kv_cache_bytes", f"{11 * PAGE // 1024}k",
                                        ranks=2)
            check(got == plain, f"mpirun, mesh {mesh}: other bytes")
            check(counters["pages"] == 11 * mesh[0] and counters["prompt"] == prompt, f"mpirun, mesh {mesh}: {counters}")


def check_preemption(model):
    """Short prompts with long answers are let in together, and do not fit when they have grown."""
    draw = random.Random(3)
    rows = [{"id": str(i), "tokens": [draw.randrange(512) for _ in range(30)], "max_tokens": 200, "ignore_eos": True,
             "temperature": 5, "seed": i} for i in range(6)]
    plain, _, _ = generate(model, rows)
    for cache in (0, 1):
        for mesh in ((1, 1), (1, 2)):
            got, counters, _ = generate(model, rows, "--kv_cache_bytes", 8 * PAGE, "--prefix_cache", cache, "--mesh_shape",
                                        *mesh)
            check(got == plain, f"preempted, prefix cache {cache}, mesh {mesh}: other bytes")
            check(counters["preemptions"] > 1 and counters["peak"] == 8, f"preemption: {counters}")


def check_samples(model):
    """Samples of a prompt compute it once."""
    row = {"id": "a", "tokens": list(range(300)), "max_tokens": 3, "n": 5, "temperature": 1, "ignore_eos": True}
    _, counters, _ = generate(model, [row], "--batch_size", 5)
    check(counters["found"] == 4 * 256 and counters["prompt"] == 5 * 300, f"samples: {counters}")


def check_refusals(model):
    long = {"id": "long", "tokens": [1] * 200, "max_tokens": 100}
    short = {"id": "short", "tokens": [1] * 100, "max_tokens": 4}
    out, _, _ = generate(model, [long, short], "--kv_cache_bytes", 4 * PAGE, code=3)
    check(b"200 prompt and 100 new tokens need 5 KV pages of 64 tokens, the cache has 4" in out, f"refusal: {out}")
    check(json.loads(out.splitlines()[1])["id"] == "short" and b"error" not in out.splitlines()[1], "the other row goes on")
    _, _, talk = generate(model, [short], "--prefix_cache", 2, code=2)
    check("prefix_cache" in talk and "0" in talk and "1" in talk, f"usage: {talk}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "model"
        subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--tokenizer",
                        SOURCE / "tests/text/data/digits"], check=True)
        check_same_bytes(model)
        check_preemption(model)
        check_samples(model)
        check_refusals(model)
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
