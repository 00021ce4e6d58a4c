#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Packed weights, compressed and plain, beside the checkpoint: the same bits on every mesh, instruction set and dtype and
over processes; what the file takes, what is said when it must be expanded, and what two processes share."""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

from checks import MPI_ENV, check, failures

trawl, build, source = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"]), pathlib.Path(os.environ["TRAWL_SOURCE"])
ENV = {**os.environ, **MPI_ENV}
MESHES = ["1 1", "1 2", "1 4", "1 8", "2 1", "2 2", "4 1"]
EXPANDED = "its weights are compressed, and here they are computed with plain"
# Whole groups everywhere, of a size that cuts fall into; and none in o_proj and down_proj, heads that fill no panel.
SHAPES = [["--hidden", 64, "--intermediate", 200, "--heads", 8, "--kv_heads", 4, "--head_dim", 16],
          ["--hidden", 56, "--intermediate", 75, "--heads", 10, "--kv_heads", 2, "--head_dim", 6, "--untied", "--family", "llama"]]


def run(*words, env=ENV):
    p = subprocess.run(list(map(str, words)), env=env, capture_output=True, text=True, timeout=300)
    return p.returncode, p.stdout, p.stderr


def must(*words, env=ENV):
    code, out, talk = run(*words, env=env)
    check(code == 0, f"exit {code} of {' '.join(map(str, words))}: {talk[-1000:]}")
    return out, talk


class Ground:
    def __init__(self, folder, shape, seed):
        self.folder, self.model = folder, folder / "model"
        folder.mkdir()
        must(sys.executable, source / "tests/golden/make_model.py", self.model, "--vocab", 643, "--seed", seed, *shape)
        self.plain, self.compressed = folder / "plain", folder / "compressed"
        must(trawl, "shard", "--model_path", self.model, "--output_dir", self.plain, "--compress_weights", 0, "--quiet")
        self.said, _ = must(trawl, "shard", "--model_path", self.model, "--output_dir", self.compressed,
                            "--compress_weights", 1, "--quiet")
        rng = random.Random(seed)
        self.tokens = folder / "tokens.json"
        self.tokens.write_text(json.dumps([[rng.randrange(643) for _ in range(n)] for n in (1, 2, 40, 70)]))

    def trace(self, model, mesh, *more, start=(), env=ENV):
        """The bytes, and what was said."""
        out = self.folder / "trace.safetensors"
        out.unlink(missing_ok=True)
        _, talk = must(*start, trawl, "trace", "--model_path", model, "--tokens", self.tokens, "--out", out, "--sites",
                       "blocks.*.hook_resid_post,blocks.*.mlp.hook_post,logits", "--mesh_shape", *mesh.split(), "--threads", 1,
                       "--prefill_chunk", 33, "--quiet", *more, env=env)
        return out.read_bytes() if out.exists() else None, talk


def sizes(g):
    files = {m: (m / "weights.trawl").stat().st_size for m in (g.plain, g.compressed)}
    check(files[g.compressed] < 0.95 * files[g.plain], f"sizes {files}")
    check("compressed, serves bfloat16 and float32" in g.said, f"shard said {g.said}")
    must(trawl, "shard", "--model_path", g.compressed, "--verify")
    version = [(m / "weights.trawl").read_bytes()[12] for m in (g.plain, g.compressed)]
    check(version == [1, 2], f"layout versions {version}")


def plans(g):
    """With kernels for it a plan counts what the file holds, else what it expands to."""
    def weights(model, *more, isa=None):
        out, _ = must(trawl, "plan", "--model_path", model, "--mesh_shape", 1, 1, "--batch_size", 1, "--json", *more,
                      env=ENV if isa is None else {**ENV, "TRAWL_ISA": isa})
        return json.loads(out)["device"]["weights_bytes"]
    plain = weights(g.plain)
    held = weights(g.compressed)
    check(plain == weights(g.model), "a plain file is planned like a checkpoint")
    check(weights(g.compressed, isa="scalar") == plain, "where it is expanded it counts as plain")
    if takes_compressed(g):
        check(0.75 * plain < held < 0.9 * plain, f"weights planned: {held} of {plain}")
    rates = ["--read_gbs", 10, "--gflops", 1e9, "--mesh_shape", 1, 1, "--batch_size", 1, "--json"]
    speeds = [json.loads(must(trawl, "plan", "--model_path", m, *rates)[0])["speed"]["decode_tok_s"]
              for m in (g.plain, g.compressed)]
    check(abs(speeds[0] / speeds[1] - 1) < 0.01, f"rates are those of elements, so the speeds are the same: {speeds}")


def takes_compressed(g):
    return EXPANDED not in g.trace(g.compressed, "1 1")[1]


def same_bits(g):
    want, _ = g.trace(g.model, "1 1", "--compress_weights", 0)
    for mesh in MESHES:
        for model in (g.model, g.plain, g.compressed):
            check(g.trace(model, mesh)[0] == want, f"{model} on {mesh}")
    got, talk = g.trace(g.compressed, "1 2", "--compress_weights", 0)
    check(got == want and EXPANDED in talk, f"expanded because it was asked for: {talk}")
    got, talk = g.trace(g.plain, "1 2", "--compress_weights", 1)
    check(got == want and talk == "", f"a plain file is taken as it is: {talk}")
    for isa in ("scalar", "avx2", "avx512", "avx512bf16"):
        env = {**ENV, "TRAWL_ISA": isa}
        if run(trawl, "info", env=env)[0] == 0:
            for mesh in ("1 1", "1 4"):
                got, talk = g.trace(g.compressed, mesh, env=env)
                check(got == want, f"compressed with {isa} on {mesh}: {talk}")
        else:
            print(f"{isa}: not on this machine")
    check(EXPANDED in g.trace(g.compressed, "1 1", env={**ENV, "TRAWL_ISA": "scalar"})[1], "the scalar level expands")
    want, _ = g.trace(g.model, "1 1", "--dtype", "float32")
    for mesh in ("1 1", "1 2"):
        check(g.trace(g.compressed, mesh, "--dtype", "float32")[0] == want, f"float32 on {mesh}")


def processes(g):
    if shutil.which("mpirun") is None or not (build / "libtrawl-mpi.so").exists():
        print("no mpirun, or built without MPI: nothing over processes")
        return
    want, _ = g.trace(g.model, "1 1")
    env = {**ENV, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
    for n, mesh in ((2, "1 2"), (4, "1 4"), (2, "2 1"), (4, "2 2")):
        check(g.trace(g.compressed, mesh, start=("mpirun", "-n", n), env=env)[0] == want, f"{n} processes, mesh {mesh}")


# ---- what is shared ----

def mapping(pid):
    """Kilobytes of the packed file's mapping in a process, summed over its parts."""
    sums, inside = {}, False
    for line in open(f"/proc/{pid}/smaps"):
        words = line.split()
        if not words[0].endswith(":"):
            inside = line.rstrip().endswith("/weights.trawl")
        elif inside and words[-1] == "kB":
            sums[words[0][:-1]] = sums.get(words[0][:-1], 0) + int(words[1])
    return sums


def sharing(g):
    rows = g.folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"tokens": [i + 2], "max_tokens": 4000, "ignore_eos": True}) + "\n" for i in range(200)))
    started = [subprocess.Popen(list(map(str, [
        trawl, "generate", "--model_path", g.compressed, "--prompts_file", rows, "--output_filepath", g.folder / f"out{i}.jsonl",
        "--threads", 1, "--quiet"])), env=ENV, stderr=subprocess.DEVNULL) for i in range(2)]
    try:
        both, end = [], time.monotonic() + 60
        while time.monotonic() < end and all(p.poll() is None for p in started):
            both = [mapping(p.pid) for p in started]
            if all(m.get("Shared_Clean", 0) > 0 for m in both):
                break
            time.sleep(0.05)
        size = (g.compressed / "weights.trawl").stat().st_size / 1024
        for m in both:
            check(m.get("Size", 0) >= size and m.get("Shared_Clean", 0) > 0, f"the file is mapped and shared: {m}")
            check(m.get("Private_Dirty", 1) == 0 and m.get("Shared_Dirty", 1) == 0 and m.get("Anonymous", 1) == 0,
                  f"nothing of it is a copy: {m}")
    finally:
        for p in started:
            p.kill()
            p.wait()


with tempfile.TemporaryDirectory(prefix="trawl-packed-") as work:
    print("seeds 0, 1")
    for seed, shape in enumerate(SHAPES):
        ground = Ground(pathlib.Path(work) / str(seed), shape, seed)
        sizes(ground)
        plans(ground)
        same_bits(ground)
        processes(ground)
        if seed == 0 and takes_compressed(ground):
            sharing(ground)
sys.exit(failures() > 0)
