#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""acts inspect, verify and export on the folders of real runs, against what Python's standard library reads in them."""
import ast
import json
import math
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

from checks import check, failures

trawl, source = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_SOURCE"])
SITES = ["blocks.0.hook_resid_post", "blocks.2.hook_resid_post"]
CODES = {"I64": "q", "I32": "i", "U8": "B", "F32": "f", "F16": "e", "BF16": "H"}


def run(*words, code=0, says=""):
    p = subprocess.run([trawl, *map(str, words)], capture_output=True, text=True)
    check(p.returncode == code and says in p.stdout + p.stderr,
          f"{' '.join(map(str, words))}: exit {p.returncode}, expected {code} and \"{says}\": {(p.stdout + p.stderr)[-600:]}")
    return p.stdout


# ---- the files, without any package ----

def widen(bits):
    return struct.unpack(f"<{len(bits)}f", struct.pack(f"<{len(bits)}I", *(b << 16 for b in bits)))


def read_safetensors(path):
    raw = path.read_bytes()
    size, = struct.unpack_from("<Q", raw)
    out = {}
    for name, t in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            code = CODES[t["dtype"]]
            data = struct.unpack(f"<{(b - a) // struct.calcsize('<' + code)}{code}", raw[8 + size + a:8 + size + b])
            out[name] = (widen(data) if code == "H" else data, t["shape"], t["dtype"])
    return out


def read_npy(raw):
    size, = struct.unpack_from("<H", raw, 8)
    head = ast.literal_eval(raw[10:10 + size].decode())
    code = {"<f4": "f", "<f2": "e", "<i8": "q", "<i4": "i", "|u1": "B"}[head["descr"]]
    data = raw[10 + size:]
    return struct.unpack(f"<{len(data) // struct.calcsize('<' + code)}{code}", data), list(head["shape"])


def store_rows(acts, site):
    """All chunks of a site, one after another: values, and the columns."""
    out = {}
    for path in sorted((acts / site).glob("shard-*.safetensors")):
        for name, (data, _, _) in read_safetensors(path).items():
            out.setdefault(name, []).extend(data)
    return out


# ---- runs ----

def make_tasks(path):
    rng = random.Random(3)
    side = lambda n: [[rng.randrange(10) for _ in range(n)] for _ in range(n)]
    path.write_text(json.dumps({f"t{i}": {"train": [{"input": side(2), "output": side(2)}],
                                          "test": [{"input": side(2 + i)}]} for i in range(4)}))


def arc(folder, model, tasks, fmt, *more):
    folder.mkdir()
    run("arc", "run", "--model_path", model, "--dataset_path", tasks, "--output_filepath", folder / "out.json",
        "--activations_dir", folder / "acts", "--activations_format", fmt, "--predictions_per_task", 2, "--batch_size", 2,
        "--save_every_n_batches", 2, "--max_output_tokens", 8, "--layers_to_extract", 0, 2, "--temperature", 1,
        "--threads", 1, "--quiet", *more)
    return folder / "acts"


# ---- inspect ----

def close(a, b):
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)


def check_inspect(acts, d):
    shown = json.loads(run("acts", "inspect", acts, "--json", "--sample_rows", 0))
    check(shown["complete"] and shown["format"] == "safetensors" and shown["dtype"] == "bfloat16", shown)
    for site in shown["sites"]:
        rows = store_rows(acts, site["name"])
        width, n = site["width"], len(rows["token"])
        check(site["rows"] == shown["rows"] == n, "rows")
        check(shown["generated_rows"] == sum(rows["is_generated"]) == n - shown["prompt_rows"], "generated rows")
        norms = [math.sqrt(math.fsum(v * v for v in rows["activation"][r * width:(r + 1) * width])) for r in range(n)]
        check(close(site["mean_norm"], math.fsum(norms) / n), "mean norm")
        check(close(site["rms_norm"], math.sqrt(math.fsum(x * x for x in norms) / n)), "rms norm")
        means = [math.fsum(rows["activation"][j::width]) / n for j in range(width)]
        squares = [math.fsum(v * v for v in rows["activation"][j::width]) / n for j in range(width)]
        check(close(site["mean_fraction"], sum(m * m for m in means) / sum(squares)), "mean fraction")
        largest = max(range(width), key=lambda j: squares[j])
        check(site["outlier_dimensions"][0]["dimension"] == largest, "outlier")
        check(close(site["outlier_dimensions"][0]["mean"], means[largest]), "outlier mean")
        for b in site["norm_by_position"]:
            here = [x for x, p in zip(norms, rows["position"]) if b["first"] <= p <= b["last"]]
            check(b["rows"] == len(here) and close(b["mean"], math.fsum(here) / len(here)) and close(b["max"], max(here)), b)
        check(sum(b["rows"] for b in site["norm_by_position"]) == n, "positions")
    few = json.loads(run("acts", "inspect", acts, "--json", "--sample_rows", 50))
    check(few["rows_looked_at"] < shown["rows"], "a sample is smaller")
    run("acts", "inspect", acts, "--html", d / "page.html", says="Mean norm by position")
    page = (d / "page.html").read_text()
    check(page.count("<svg") == 2 and "http" not in page and "<script" not in page, "the page needs nothing else")
    check(page.count("<polyline") == 2, "a line a site")
    run("acts", "inspect", d / "nothing", code=1, says="manifest.jsonl")


# ---- verify ----

def copy(acts, to):
    if to.exists():
        shutil.rmtree(to)
    shutil.copytree(acts, to)
    return to


def flip(path, at):
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def check_verify(acts, pkl, answers, model, d):
    for folder in (acts, pkl, answers):
        run("acts", "verify", folder, says=" 0 problems")
    run("acts", "verify", acts, "--model_path", model, "--samples", 3, "--threads", 1, says="3 of 8 requests")
    run("acts", "verify", acts, "--model_path", model, "--samples", 99, "--mesh_shape", 2, 2, "--threads", 1,
        "--batch_size", 3, says="8 of 8 requests")
    run("acts", "verify", pkl, "--model_path", model, code=1, says="do not hold the tokens")
    run("acts", "verify", answers, "--model_path", model, code=1, says="so none can be computed again")

    bad = copy(acts, d / "bad")
    chunks = sorted((bad / SITES[0]).glob("*.safetensors"))
    flip(chunks[0], 5000)
    chunks[1].unlink()
    (bad / SITES[1] / "shard-00000-chunk-00000099.safetensors").write_bytes(b"x")
    said = run("acts", "verify", bad, code=1, says="3 problems")
    check(said.splitlines() == [f"{SITES[0]}/{chunks[0].name}: damaged: the checksum is not the one of the commit",
                                f"{SITES[0]}/{chunks[1].name}: missing",
                                f"{SITES[1]}/shard-00000-chunk-00000099.safetensors: not in the manifest"], said)
    extra = copy(acts, d / "bad")
    (extra / "x.pkl").write_bytes(b"x")
    run("acts", "verify", extra, "--model_path", model, "--threads", 1, code=1, says="8 of 8 requests")

    other = d / "other"
    shutil.copytree(model, other)
    flip(other / "model.safetensors", -1001)  # low bits of a weight
    run("acts", "verify", acts, "--model_path", other, code=1, says="was made with the weights")
    bad = copy(acts, d / "bad")
    ours = json.loads((bad / "metadata.json").read_text())["model_hash"]
    text = subprocess.run([trawl, "acts", "verify", acts, "--model_path", other], capture_output=True, text=True).stderr
    theirs = text.split(" has ")[-1].strip()
    (bad / "metadata.json").write_text((bad / "metadata.json").read_text().replace(ours, theirs))
    said = run("acts", "verify", bad, "--model_path", other, "--threads", 1, code=1, says="8 problems")
    check(all("is not what the model gives" in line for line in said.splitlines()), said)


# ---- export ----

def export(acts, to, *more, **how):
    run("acts", "export", acts, "--output_dir", to, *more, **how)
    check(not pathlib.Path(str(to) + ".tmp").exists(), f"{to}.tmp is left")
    return to


def check_export(acts, pkl, d):
    whole = {site: store_rows(acts, site) for site in SITES}
    columns = ("token", "position", "is_generated", "request")
    npy = export(acts, d / "npy", "--format", "npy")
    check(json.loads((npy / "export.json").read_text())["dtype"] == "float32", "export.json")
    for site in SITES:
        data, shape = read_npy((npy / f"{site}.npy").read_bytes())
        check(list(data) == whole[site]["activation"] and shape == [len(whole[site]["token"]), 64], f"{site}.npy")
    for name in columns:
        check(list(read_npy((npy / f"{name}.npy").read_bytes())[0]) == whole[SITES[0]][name], f"{name}.npy")

    npz = export(acts, d / "npz", "--format", "npz", "--sites", "layer_2", "--dtype", "float16")
    check(sorted(p.name for p in npz.iterdir()) == [f"{SITES[1]}.npz", "export.json"], "one site")
    with zipfile.ZipFile(npz / f"{SITES[1]}.npz") as z:
        check(z.testzip() is None, "npz")
        halves = [struct.unpack("<e", struct.pack("<e", v))[0] for v in whole[SITES[1]]["activation"]]
        check(list(read_npy(z.read("activation.npy"))[0]) == halves, "npz values")

    answers = export(acts, d / "only", "--format", "safetensors", "--only", "generated")
    kept = [r for r, g in enumerate(whole[SITES[0]]["is_generated"]) if g]
    t = read_safetensors(answers / f"{SITES[0]}.safetensors")
    check(t["activation"][2] == "BF16" and list(t["token"][0]) == [whole[SITES[0]]["token"][r] for r in kept], "generated")
    check(list(t["activation"][0]) == [v for r in kept for v in whole[SITES[0]]["activation"][64 * r:64 * r + 64]], "rows")

    for split in ("document", "chunk"):
        for fmt in ("npy", "npz", "safetensors"):
            out = export(acts, d / f"{fmt}-{split}", "--format", fmt, "--split_by", split)
            files = sorted(p for p in out.rglob("*") if p.is_file() and p.name != "export.json")
            check(len(files) == (8 if split == "document" else 2) * (6 if fmt == "npy" else 1), f"{out}: {len(files)} files")
        joined = [v for p in sorted((d / f"safetensors-{split}").glob("*.safetensors"))
                  for v in read_safetensors(p)[SITES[1]][0]]
        check(joined == whole[SITES[1]]["activation"], f"{split}s joined")

    again = export(pkl, d / "pkl", "--format", "pkl")
    for p in sorted(pkl.rglob("*")):
        check((again / p.relative_to(pkl)).read_bytes() == p.read_bytes(), f"{p.name} of pickles from pickles")
    run("acts", "verify", export(acts, d / "pickles", "--format", "pkl"), says=" 0 problems")
    rows = [v for p in sorted(export(pkl, d / "tensors", "--format", "safetensors", "--split_by", "document").glob("r*"))
            for v in read_safetensors(p)[SITES[0]][0]]
    raw = b"".join(p.read_bytes() for p in sorted(pkl.glob("layer_0_*.pkl")))
    check(struct.pack(f"<{64 * 8}f", *rows[:64 * 8]) in raw, "pickled rows in safetensors")

    sets = export(acts, d / "sets", "--format", "hf_datasets", "--context_size", 10)
    info = json.loads((sets / SITES[0] / "dataset_info.json").read_text())
    check(info["features"][SITES[0]] == {"shape": [10, 64], "dtype": "float32", "_type": "Array2D"}, info)
    for f in json.loads((sets / SITES[0] / "state.json").read_text())["_data_files"]:
        check((sets / SITES[0] / f["filename"]).stat().st_size > 0, f)

    run("acts", "export", acts, "--format", "npy", "--output_dir", npy, code=1, says="is there already")
    run("acts", "export", acts, "--format", "npy", "--output_dir", acts, code=2, says="is the folder to be exported")
    run("acts", "export", acts, "--format", "npy", "--output_dir", d / "x", "--sites", "layer_1", code=2, says="layer_1")
    run("acts", "export", pkl, "--format", "npy", "--output_dir", d / "x", "--only", "prompt", code=1, says="pickles")
    check(not (d / "x").exists(), "a refused export leaves nothing")


# ---- rows that were shuffled when they were stored ----

def check_shuffled(model, d):
    (d / "lines.txt").write_text("\n".join(" ".join(str(i * k) for k in range(4 + i)) for i in range(12)))
    for name, more in (("in_order", []), ("shuffled", ["--shuffle_rows"])):
        run("harvest", "--model_path", model, "--input", d / "lines.txt", "--split_lines", "--context_size", 32,
            "--activations_dir", d / name, "--layers_to_extract", 2, "--threads", 1, "--quiet", *more)
    folder = d / "shuffled"
    run("acts", "verify", folder, "--model_path", model, "--samples", 5, "--threads", 1, says=" 0 problems")
    shown = [json.loads(run("acts", "inspect", x, "--json"))["sites"][0] for x in (folder, d / "in_order")]
    for a, b in zip(*(site["norm_by_position"] for site in shown)):
        check(a["rows"] == b["rows"] and close(a["mean"], b["mean"]), "norms by position do not depend on the order")
    out = export(folder, d / "shuffled_npy", "--format", "npy")
    column = {name: read_npy((out / f"{name}.npy").read_bytes())[0] for name in ("request", "position", "token")}
    data, shape = read_npy((out / f"{SITES[1]}.npy").read_bytes())
    rows = {(r, p): data[64 * i:64 * i + 64] for i, (r, p) in enumerate(zip(column["request"], column["position"]))}
    whole = store_rows(d / "in_order", SITES[1])
    check(list(column["request"]) != sorted(column["request"]), "they are shuffled")
    check(len(rows) == shape[0] == len(whole["token"]), "every row once")
    for i, key in enumerate(zip(whole["request"], whole["position"])):
        check(list(rows[key]) == whole["activation"][64 * i:64 * i + 64], f"row {key}")
    sets = export(folder, d / "shuffled_sets", "--format", "hf_datasets", "--context_size", 2)
    pairs = sum(a == c and b + 1 == e for a, b, c, e in zip(column["request"], column["position"], column["request"][1:],
                                                            column["position"][1:]))
    files = [p for p in sets.rglob("*.arrow")]
    check(len(files) == 1 and files[0].stat().st_size < 2000 + 600 * pairs, "only tokens that follow each other")
    for fmt in (["--format", "safetensors", "--split_by", "document"], ["--format", "pkl"]):
        run("acts", "export", folder, "--output_dir", d / "x", *fmt, code=1, says="not in the order of requests")


with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    model, tasks = d / "model", d / "tasks.json"
    subprocess.run([sys.executable, source / "tests/golden/make_model.py", model, "--vocab", "640", "--layers", "3",
                    "--tokenizer", source / "tests/text/data/digits"], check=True)
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}")
    make_tasks(tasks)
    acts = arc(d / "st", model, tasks, "safetensors")
    pkl = arc(d / "p", model, tasks, "pkl")
    answers = arc(d / "a", model, tasks, "safetensors", "--positions_to_extract", "answer")
    check_inspect(acts, d)
    check_verify(acts, pkl, answers, model, d)
    check_export(acts, pkl, d)
    check_shuffled(model, d)
sys.exit(failures() > 0)
