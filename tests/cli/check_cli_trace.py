#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl trace: token ids in, a safetensors file out. What is in the file, that it is the same bytes however it was made,
and what is refused. The values are checked by tests/engine/check_engine_f64.py."""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])


def trace(folder, tokens, sites, *flags, out="out.safetensors"):
    (folder / "in.json").write_text(tokens if isinstance(tokens, str) else json.dumps(tokens))
    if (folder / out).is_file():
        (folder / out).unlink()
    return subprocess.run([TRAWL, "trace", "--quiet", "--model_path", folder / "model", "--tokens", folder / "in.json",
                           "--sites", *sites, "--out", folder / out, "--threads", "1", *flags],
                          capture_output=True, text=True, timeout=100)


def header(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + n]), data[8 + n:]


def test_contents(folder):
    sequences = [[1], [2, 3, 4, 5], list(range(99))]
    p = trace(folder, sequences, ["blocks.*.hook_resid_post,layer_0", "blocks.1.attn.hook_k", "logits"])
    check(p.returncode == 0 and p.stdout == "", f"trace: {p}")
    tensors, data = header(folder / "out.safetensors")
    tensors.pop("__metadata__", None)
    want = {}
    for i, tokens in enumerate(sequences):
        n = len(tokens)
        want |= {f"seq.{i}.tokens": ("I32", [n]), f"seq.{i}.blocks.0.hook_resid_post": ("F32", [n, 64]),
                 f"seq.{i}.blocks.1.hook_resid_post": ("F32", [n, 64]), f"seq.{i}.blocks.1.attn.hook_k": ("F32", [n, 32]),
                 f"seq.{i}.logits": ("F32", [n, 99]), f"seq.{i}.logprobs": ("F32", [n - 1])}
    check({k: (t["dtype"], t["shape"]) for k, t in tensors.items()} == want, f"tensors: {tensors}")
    for i, tokens in enumerate(sequences):
        begin, end = tensors[f"seq.{i}.tokens"]["data_offsets"]
        check(list(struct.unpack(f"<{len(tokens)}i", data[begin:end])) == tokens, f"tokens of sequence {i}")
    first = (folder / "out.safetensors").read_bytes()
    for flags in (("--mesh_shape", "2", "2"), ("--mesh_shape=1x4",), ("--prefill_chunk", "7"), ("--batch_size", "1"),
                  ("--threads", "2")):
        trace(folder, sequences, ["blocks.*.hook_resid_post,layer_0", "blocks.1.attn.hook_k", "logits"], *flags)
        check((folder / "out.safetensors").read_bytes() == first, f"{flags} changes the file")
    p = trace(folder, sequences, ["hook_embed"])
    check(p.returncode == 0 and set(header(folder / "out.safetensors")[0]) - {"__metadata__"} ==
          {f"seq.{i}.{x}" for i in range(3) for x in ("tokens", "hook_embed")}, f"without logits: {p}")
    # many sequences, more than are submitted ahead
    many = [[i % 99, i // 99] for i in range(300)]
    p = trace(folder, many, ["ln_final.hook_normalized"])
    tensors, data = header(folder / "out.safetensors")
    check(p.returncode == 0 and all(
        list(struct.unpack("<2i", data[slice(*tensors[f"seq.{i}.tokens"]["data_offsets"])])) == many[i]
        for i in range(300)), f"300 sequences: {p}")


def test_refusals(folder):
    ok = [[1, 2]]
    for tokens, sites, flags, words in (
            ("{}", ["logits"], (), "in.json: holds an object, expected a list of lists of token ids"),
            ("[]", ["logits"], (), "expected a list of lists of token ids"),
            ("[]", ["logits"], (), "in.json: holds an empty list, expected a list of lists of token ids"),
            ("[[1], []]", ["logits"], (), "in.json: sequence 1 is empty, expected a list of token ids"),
            ("[[1], 2]", ["logits"], (), "sequence 1 is an integer, expected a list"),
            ("[[1, 2.5]]", ["logits"], (), "sequence 0, place 1 is a number, expected a token id"),
            ("[[1", ["logits"], (), "in.json: not JSON at line 1"),
            ([[1], [2, 99]], ["logits"], (), "sequence 1: token 1 of the prompt is 99, the vocabulary has 99 ids"),
            ([[1] * 300], ["logits"], (), "sequence 0: the prompt has 300 tokens, the context holds 256"),
            (ok, ["blocks.2.hook_resid_post"], (), "layer 2 of a model with 2 layers (0 to 1)"),
            (ok, ["blocks.0.hook_resid"], (), '"blocks.0.hook_resid" is no site; sites are hook_embed'),
            (ok, ["logits"], ("--mesh_shape", "1", "3"), "can be split over 1, 2 or 4 devices, not over 3"),
            (ok, ["logits"], ("--model_path", "nowhere"), "nowhere"),
            (ok, ["logits"], ("--max_model_len", "1000"), "max_model_len is 1000, the model's context is 256")):
        p = trace(folder, tokens, sites, *flags)
        check(p.returncode in (1, 2), f"exit {p.returncode}, expected a refusal: {words}")
        check(words in p.stderr, f'stderr "{p.stderr}" does not say "{words}"')
        check(not (folder / "out.safetensors").exists(), f"a file was left after: {words}")
    p = trace(folder, ok, ["logits"], out="new/folder/o.safetensors")
    check(p.returncode == 0 and (folder / "new/folder/o.safetensors").exists(), f"a folder that is not there: {p}")
    (folder / "file").write_text("")
    p = trace(folder, ok, ["logits"], out="file/o.safetensors")
    check(p.returncode == 1 and "file: cannot make a folder" in p.stderr, f"a folder that cannot be: {p}")
    check(not list(folder.glob("*.tmp")), "a temporary file was left")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", tmp / "model", "--layers", "2", "--vocab", "99",
                    "--context", "256"], check=True)
    test_contents(tmp)
    test_refusals(tmp)

sys.exit(1 if failures() else 0)
