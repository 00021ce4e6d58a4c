#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl bench on a model of a few kilobytes: every key that scripts rely on, and figures that hold together. Rates
are only checked against what follows from the sizes of the model, which is worked out here a second time."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

from checks import check, failures

trawl, source = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_SOURCE"])
H, I, L, Q, G, V = 64, 128, 4, 4, 2, 512  # make_model.py's defaults
D = H // Q


def near(x, y, what):
    check(abs(x / y - 1) < 1e-3, f"{what}: {x}, expected {y}")


def bench(*flags, code=0):
    p = subprocess.run(
        [trawl, "bench", "--model_path", model, "--quiet", *flags], capture_output=True, text=True
    )
    check(p.returncode == code, f"{flags}: exit {p.returncode}, expected {code}: {p.stderr}")
    return p.stdout, p.stderr


def decode_macs(seen):
    """Multiply-adds of one token that looks at `seen` positions."""
    layer = H * Q * D + 2 * H * G * D + Q * D * H + 3 * H * I + 2 * Q * D * seen
    return L * layer + H * V


def check_case(name, c, machine_peak, read):
    check(len(c["samples"]) == 3, f"{name}: {len(c['samples'])} samples, expected 3")
    near(c["tok_s"], statistics.median(c["samples"]), f"{name}: median")
    check(c["tok_s"] > 0 and c["roofline_fraction"] > 0, f"{name}: {c}")
    share = {"compute": c["gflops"] / machine_peak, "memory": c["read_gbs"] / read}
    near(c["roofline_fraction"], statistics.median(c["roofline_fractions"]), f"{name}: fraction of the limit")
    # Beside the limits just before and after each run, not beside the medians of all: near, where nobody else works.
    check(0.1 < c["roofline_fraction"] / max(share.values()) < 10, f"{name}: shares {share}, {c}")
    check(share[c["bound"]] == max(share.values()), f"{name}: bound by {c['bound']}, shares {share}")


with tempfile.TemporaryDirectory() as folder:
    model = folder
    subprocess.run([sys.executable, source / "tests/golden/make_model.py", model], check=True)

    # The contract, letter by letter, and more batches and prompts than one.
    text, _ = bench(
        "--threads",
        "2",
        "--prompt",
        "96,32",
        "--gen",
        "8",
        "--batch",
        "1,4,8",
        "--context",
        "160",
        "--dtype",
        "bfloat16",
        "--json",
    )
    r = json.loads(text)
    roof = r["roofline"]
    check(
        roof["read_gbs"] > 0
        and roof["fma_gflops"] > 0
        and roof["dot_gflops"] is None
        or roof["dot_gflops"] > 0,
        roof,
    )
    check(
        all(roof["best"][key] >= (value or 0) * 0.999 for key, value in roof.items() if key.endswith("s") and value),
        roof,
    )
    check(roof["unit"] in ("fma", "dot") and (roof["unit"] == "fma" or roof["dot_gflops"]), roof)
    peak = roof[roof["unit"] + "_gflops"]
    check(r["machine"]["threads"] == 2 and r["machine"]["isa"], r["machine"])
    check(list(r["decode"]) == ["1", "4", "8"], list(r["decode"]))
    check(
        list(r["prefill_by_prompt"]) == ["96", "32"] and list(r["decode_by_context"]) == ["160"],
        "names of cases",
    )
    check(r["prefill"] == r["prefill_by_prompt"]["96"], "prefill is the first of --prompt")
    cases = {"prefill": r["prefill"], "harvest": r["harvest"], "context": r["decode_by_context"]["160"]}
    cases |= {f"decode {b}": c for b, c in r["decode"].items()}
    for name, c in cases.items():
        check_case(name, c, peak, roof["read_gbs"])
    check(r["harvest"]["without_capture_tok_s"] > 0 and r["harvest"]["layers"] == [1, 2, 3], r["harvest"])
    check(r["memory"]["resident_bytes"] > r["memory"]["weight_bytes"] > 0, r["memory"])
    check(r["load"]["seconds"] > 0 and 0 <= r["load"]["page_cache_fraction"] <= 1, r["load"])
    for batch, c in r["decode"].items():
        seen = 128 + 4.5  # in the middle of the window
        near(c["gflops"] * 1e9 / c["tok_s"], 2 * decode_macs(seen), f"decode {batch}: flops of a token")
        kv = 2 * 2 * L * G * D * seen
        near(
            c["read_gbs"] * 1e9 / c["tok_s"],
            r["memory"]["weight_bytes"] / int(batch) + kv,
            f"decode {batch}: bytes",
        )
    # All positions of all layers but the last, where only keys, values and the last position count.
    n, whole = 96, H * Q * D + Q * D * H + 3 * H * I
    macs = (
        L * n * 2 * H * G * D
        + ((L - 1) * n + 1) * whole
        + 2 * Q * D * ((L - 1) * n * (n + 1) / 2 + n)
        + H * V
    )
    near(r["prefill"]["gflops"] * 1e9 / r["prefill"]["tok_s"], 2 * macs / n, "prefill: flops of a token")

    # A mesh, float32, more runs, the table.
    text, _ = bench(
        "--mesh_shape",
        "2",
        "2",
        "--threads",
        "1",
        "--dtype",
        "float32",
        "--prompt",
        "16",
        "--gen",
        "4",
        "--batch",
        "1,3",
        "--runs",
        "4",
        "--json",
    )
    r = json.loads(text)
    check(r["settings"]["mesh_shape"] == [2, 2] and r["machine"]["threads"] == 4, r["settings"])
    check(r["model"]["dtype"] == "float32" and r["roofline"]["unit"] == "fma", r["roofline"])
    check(all(len(c["samples"]) == 4 for c in r["decode"].values()), "four runs")
    text, _ = bench("--threads", "1", "--prompt", "16", "--gen", "4", "--batch", "2")
    for words in (
        "machine  ",
        "limits   read ",
        "prefill of 16 tokens",
        "decode, 2 sequences",
        "harvest of 3 layers",
    ):
        check(words in text, f'the table lacks "{words}":\n{text}')

    # Refusals.
    _, error = bench("--runs", "2", code=2)
    check("--runs" in error, error)
    _, error = bench("--batch_size", "4", code=2)
    check("--batch" in error, error)
    _, error = bench("--max_model_len", "100", code=2)
    check("the measurements need" in error, error)
    _, error = bench("--context", "5000", code=2)
    check("4096" in error, error)
sys.exit(bool(failures()))
