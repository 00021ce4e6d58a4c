#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl generate with attention masks: rows of every kind give the same bytes whatever the mesh, batch and chunk, in
one process and under mpirun; masks that say the same give the same; a row that cannot be says why."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

from checks import MPI_ENV, check, failures

TRAWL, BUILD = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
ENV = {**os.environ, **MPI_ENV}
N = 150


def generate(model, rows, *flags, code=0, ranks=1, out=None):
    """The rows of the answer as lines, and stderr."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=model.parent))
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = out or folder / "out.jsonl"
    run = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    p = subprocess.run([*run, TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", folder / "in.jsonl",
                        "--output_filepath", out, "--threads", "1", "--dtype", "float32", *map(str, flags)],
                       capture_output=True, text=True, timeout=200, env=ENV)
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {p.stderr}")
    return (out.read_text().splitlines() if out.exists() else []), p.stderr


def matrix(rule, rows=N):
    return {"kind": "matrix", "rows": [[int(rule(i, j)) for j in range(N)] for i in range(rows)]}


def masks(rng):
    noise = [[rng.random() < 0.4 for _ in range(N)] for _ in range(N)]
    return [
        {},
        {"attention_mask": {"kind": "causal"}},
        {"attention_mask": matrix(lambda i, j: j <= i)},
        {"attention_mask": {"kind": "prefix_bidirectional", "prefix": 40}},
        {"attention_mask": matrix(lambda i, j: j <= i or max(i, j) < 40)},
        {"attention_mask": {"kind": "sliding_window", "window": 30}},
        {"attention_mask": {"kind": "sliding_window", "window": 30, "sinks": 3}},
        {"attention_window": 30, "attention_sinks": 3},
        {"attention_mask": {"kind": "block_diagonal", "lengths": [70, 10, 70]}},
        {"attention_mask": matrix(lambda i, j: j <= i and (noise[min(i, N - 1)][j] or i == j), N + 1)},
    ]


def test_same_bytes(model):
    rng = random.Random(1)
    tokens = [rng.randrange(640) for _ in range(N)]
    rows = [{"id": i, "tokens": tokens, "max_tokens": 40, "logprobs": 1, "ignore_eos": True, **m}
            for i, m in enumerate(masks(rng))]
    rows.append({"id": 10, "tokens": tokens[80:], "max_tokens": 40, "logprobs": 1, "ignore_eos": True})
    want, _ = generate(model, rows)
    out = [json.loads(line) for line in want]
    keys = ("tokens", "logprobs", "entropy", "varentropy")

    def same(a, b):
        return all(out[a][k] == out[b][k] for k in keys)

    check(same(0, 1) and same(0, 2), "causal, by name and by matrix, is no mask")
    check(same(3, 4), "a bidirectional prefix, by name and by matrix")
    check(same(6, 7), "a window with sinks, pruned or not")
    check(same(8, 10), "the last document is a prompt of its own")
    check(not any(same(a, b) for a, b in ((0, 3), (0, 5), (5, 6), (0, 8), (0, 9))), "masks change answers")
    check([r.get("pruned") for r in out] == [None] * 7 + [True] + [None] * 3, "only the pruned answer says so")
    ways = [("--mesh_shape", 1, 2, "--prefill_chunk", 61), ("--mesh_shape", 2, 1, "--batch_size", 2), ("--batch_size", 1)]
    for way in ways:
        check(generate(model, rows, *way)[0] == want, f"{way}: other bytes")
    if shutil.which("mpirun") is None or not (BUILD / "libtrawl-mpi.so").exists():
        print("without mpirun")
        return
    for ranks, way in ((2, ("--mesh_shape", 1, 2, "--prefill_chunk", 61)), (2, ("--mesh_shape", 2, 1))):
        check(generate(model, rows, *way, ranks=ranks)[0] == want, f"mpirun -n {ranks} {way}: other bytes")


def test_heavy_hitters_and_entropies(model):
    """The same bytes on any mesh, in one process or in several; the pruning shows in the answer and in the memory."""
    rng = random.Random(2)
    rows = [{"id": i, "tokens": [rng.randrange(640) for _ in range(260)], "max_tokens": 90, "logprobs": 1, "ignore_eos": True,
             "attn_entropy": i != 3, **m}
            for i, m in enumerate([{}, {"attention_window": 30, "attention_sinks": 3, "attention_heavy_hitters": 64},
                                   {"attention_window": 30, "attention_heavy_hitters": 100}, {"attention_window": 30}])]
    want, _ = generate(model, rows)
    out = [json.loads(line) for line in want]
    for i, r in enumerate(out):
        check(("attn_entropy" in r, "attn_varentropy" in r) == (i != 3, i != 3), f"row {i}: entropies where they are wanted")
        check(all(len(r[k]) == 90 and min(r[k]) >= 0 for k in ("attn_entropy", "attn_varentropy") if k in r), f"row {i}: one a token")
        check(r.get("pruned") == (True if i else None), f"row {i}: pruned is {r.get('pruned')}")
    check(len({json.dumps(r["logprobs"]) for r in out}) == 4, "pruning changes what is computed")
    ways = [(1, ("--mesh_shape", 1, 2, "--prefill_chunk", 61)), (1, ("--mesh_shape", 2, 1, "--batch_size", 2)), (1, ("--batch_size", 1))]
    if shutil.which("mpirun") is not None and (BUILD / "libtrawl-mpi.so").exists():
        ways += [(2, ("--mesh_shape", 1, 2, "--prefill_chunk", 61)), (2, ("--mesh_shape", 2, 1)), (4, ("--mesh_shape", 1, 4))]
    for ranks, way in ways:
        check(generate(model, rows, *way, ranks=ranks)[0] == want, f"{ranks} processes, {way}: other bytes")
    bare = [{k: v for k, v in row.items() if k not in ("attn_entropy", "attention_window", "attention_heavy_hitters")} for row in rows]
    options = ("--attention_window", 30, "--attention_heavy_hitters", 100, "--attn_entropy")
    check(json.loads(generate(model, bare[2:3], *options)[0][0]) == out[2], "options are the rows' defaults")


def test_options_are_defaults(model):
    rows = [{"tokens": list(range(100)), "max_tokens": 9}, {"tokens": list(range(100)), "max_tokens": 9, "attention_window": 0,
                                                            "attention_sinks": 0}]
    plain, _ = generate(model, rows)
    windowed, _ = generate(model, rows, "--attention_window", 10, "--attention_sinks", 1)
    check("pruned" in windowed[0] and "pruned" not in windowed[1], "the row has the last word")
    check(windowed[1] == plain[1], "0 switches the window off")


def test_refusals(model):
    cases = [
        ({"attention_mask": {"kind": "diagonal"}}, 'expected causal, prefix_bidirectional'),
        ({"attention_mask": {"kind": "causal", "window": 3}}, 'a causal mask has no "window"'),
        ({"attention_mask": {"kind": "sliding_window"}}, 'needs "window"'),
        ({"attention_mask": {"kind": "prefix_bidirectional", "prefix": -1}}, '"prefix" is -1'),
        ({"attention_mask": {"kind": "prefix_bidirectional", "prefix": 51}}, "one step of 51 tokens, a step takes 50"),
        ({"attention_mask": {"kind": "block_diagonal", "lengths": [50, "x"]}}, '"lengths"[1] is a string'),
        ({"attention_mask": {"kind": "block_diagonal", "lengths": [50, 49]}}, "99 tokens together, the prompt has 100"),
        ({"attention_mask": {"kind": "matrix", "rows": [[1]]}}, "row 0 is an array of 1, expected an array of 100"),
        ({"attention_mask": {"kind": "matrix", "rows": [[2] * 100] * 100}}, '"rows"[0][0] is an integer, expected 0 or 1'),
        ({"attention_mask": {"kind": "matrix", "rows": [[1] * 100] * 3}}, "the matrix has 3 rows"),
        ({"attention_mask": {"kind": "matrix", "rows": [[0] * 100] * 100}}, "row 0 of the matrix sees nothing"),
        ({"attention_mask": [1]}, '"attention_mask" is an array'),
        ({"attention_sinks": 4}, "the window is 0"),
        ({"attention_heavy_hitters": 64}, "expected a window of 1 or more"),
        ({"attention_heavy_hitters": -1}, '"attention_heavy_hitters" is -1'),
        ({"attention_window": 4, "attention_heavy_hitters": 64, "completions": [[1]]}, "attention_window is for sampled answers"),
        ({"attn_entropy": True, "completions": [[1]]}, "reports no entropies of attention"),
        ({"attn_entropy": 1}, '"attn_entropy" is an integer'),
        ({"attention_window": 4, "attention_mask": {"kind": "sliding_window", "window": 4}}, "without an attention mask"),
        ({"attention_window": 4, "attention_mask": {"kind": "block_diagonal", "lengths": [100]}}, "without an attention mask"),
    ]
    rows = [{"id": i, "tokens": list(range(100)), "max_tokens": 1, **c} for i, (c, _) in enumerate(cases)]
    out, talk = generate(model, rows, "--prefill_chunk", 50, code=3)
    for line, (_, message) in zip(out, cases):
        said = json.loads(line).get("error")
        check(message in (said or ""), f"{said!r} does not say {message!r}")
    check(len(out) == len(cases), f"{len(out)} rows, expected {len(cases)}: {talk}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = pathlib.Path(folder) / "model"
        subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--vocab", "640",
                        "--heads", "6", "--kv_heads", "2", "--head_dim", "16", "--seed", "1"], check=True)
        for test in (test_same_bytes, test_heavy_hitters_and_entropies, test_options_are_defaults, test_refusals):
            test(model)
    return 1 if failures() else 0


sys.exit(main())
