#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl perplexity of real models against what transformers computed for the same windows, in float32 and in f64:
$TRAWL_GOLDENS/real/<model>/perplexity.{json,safetensors}, models in $TRAWL_MODELS. Skipped where they are not there."""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
if "TRAWL_GOLDENS" not in os.environ or "TRAWL_MODELS" not in os.environ:
    print("skipped: TRAWL_GOLDENS and TRAWL_MODELS are not set")
    sys.exit(77)
GOLDENS = pathlib.Path(os.environ["TRAWL_GOLDENS"], "real")
MODELS = pathlib.Path(os.environ["TRAWL_MODELS"])


def read_ids(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    begin, end = json.loads(data[8:8 + n])["ids"]["data_offsets"]
    return list(struct.unpack(f"<{(end - begin) // 4}i", data[8 + n + begin:8 + n + end]))


def tokenize(model, row):
    p = subprocess.run([TRAWL, "tokenize", "--model_path", model], input=json.dumps(row) + "\n", capture_output=True,
                       text=True, check=True)
    return json.loads(p.stdout)


def compare(golden, model, folder):
    want = json.loads((golden / "perplexity.json").read_text())
    ids = read_ids(golden / "perplexity.safetensors")
    text = tokenize(model, {"ids": ids})["text"]
    if tokenize(model, {"text": text})["ids"] != ids:
        check(False, f"{golden.name}: the text of the golden's ids has other ids")
        return
    (folder / "text.txt").write_text(text, newline="")
    out = subprocess.run([TRAWL, "perplexity", "--quiet", "--model_path", model, "--input", folder / "text.txt",
                          "--context_size", str(want["window"]), "--dtype", "float32", "--json"],
                         capture_output=True, text=True, check=True).stdout
    got = json.loads(out)
    windows = [w["mean_nll"] for w in got["inputs"][0]["windows"]]
    truth = want["f64"]["window_mean_nll"]
    error = max(abs(a - b) for a, b in zip(windows, truth))
    theirs = max(abs(a - b) for a, b in zip(want["fp32"]["window_mean_nll"], truth))
    print(f"{golden.name}: perplexity {got['perplexity']:.6f}, f64 {want['f64']['perplexity']:.6f}; a window's mean NLL "
          f"is off by at most {error:.1e}, transformers' float32 by {theirs:.1e}")
    check(got["scored_tokens"] == want["scored"] and len(windows) == want["windows"], f"{golden.name}: tokens")
    check(error < 2e-6, f"{golden.name}: mean NLL of a window is off by {error}")
    check(abs(got["mean_nll"] - want["fp32"]["mean_nll"]) < 1e-6, f"{golden.name}: mean NLL {got['mean_nll']}")


n = 0
for golden in sorted(GOLDENS.glob("*/perplexity.json")):
    model = MODELS / golden.parent.name
    if not model.is_dir():
        print(f"{model} is not there")
        continue
    n += 1
    with tempfile.TemporaryDirectory() as tmp:
        compare(golden.parent, model, pathlib.Path(tmp))
if n == 0:
    print("skipped: none of the models is there")
    sys.exit(77)
sys.exit(1 if failures() else 0)
