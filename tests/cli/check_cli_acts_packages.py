#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `acts export` writes, loaded by the packages it is written for: numpy, safetensors, pickle, datasets."""
import json
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import warnings
import zipfile

try:
    import numpy as np
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)
try:
    import datasets
except ImportError as missing:
    datasets = None
    print(f"data sets are not looked at: {missing}")
warnings.simplefilter("error", UserWarning)

trawl, source = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_SOURCE"])
SITES = ["blocks.0.hook_resid_post", "blocks.2.hook_resid_post"]


def run(*words):
    subprocess.run([trawl, *map(str, words)], check=True, capture_output=True)


def make_run(d):
    subprocess.run([sys.executable, source / "tests/golden/make_model.py", d / "model", "--vocab", "640", "--layers", "3",
                    "--tokenizer", source / "tests/text/data/digits"], check=True)
    (d / "model/chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}")
    (d / "tasks.json").write_text(json.dumps(
        {f"t{i}": {"train": [{"input": [[i, 1]], "output": [[1, i]]}], "test": [{"input": [[3] * (i + 1)]}]}
         for i in range(3)}))
    run("arc", "run", "--model_path", d / "model", "--dataset_path", d / "tasks.json", "--output_filepath", d / "out.json",
        "--activations_dir", d / "acts", "--activations_format", "safetensors", "--layers_to_extract", 0, 2,
        "--max_output_tokens", 8, "--predictions_per_task", 2, "--save_every_n_batches", 1, "--batch_size", 2,
        "--threads", 1, "--quiet")
    return d / "acts"


def chunk_rows(acts, site):
    """The rows of a store, its bfloat16 chunks read as docs/store.md says."""
    parts, tokens = [], []
    for path in sorted((acts / site).glob("shard-*.safetensors")):
        raw = np.fromfile(path, dtype=np.uint8)
        size = int(raw[:8].view("<u8")[0])
        t = json.loads(raw[8:8 + size].tobytes())
        data = {k: raw[8 + size:][slice(*v["data_offsets"])] for k, v in t.items() if k != "__metadata__"}
        bits = data["activation"].copy().view("<u2")
        parts.append((bits.astype("<u4") << 16).view("<f4").reshape(t["activation"]["shape"]))
        tokens.append(data["token"].copy().view("<i4"))
    return np.concatenate(parts), np.concatenate(tokens)


def same(a, b, what):
    assert a.shape == b.shape and a.tobytes() == b.tobytes(), what


def check_arrays(acts, d):
    run("acts", "export", acts, "--format", "npy", "--output_dir", d / "npy")
    run("acts", "export", acts, "--format", "npz", "--output_dir", d / "npz", "--split_by", "chunk")
    run("acts", "export", acts, "--format", "safetensors", "--output_dir", d / "st", "--split_by", "document",
        "--dtype", "float16")
    for site in SITES:
        rows, tokens = chunk_rows(acts, site)
        same(np.load(d / f"npy/{site}.npy", mmap_mode="r"), rows, "npy")
        same(np.load(d / "npy/token.npy"), tokens, "token.npy")
        parts = []
        for path in sorted((d / "npz").glob("*.npz")):
            assert zipfile.ZipFile(path).testzip() is None
            with np.load(path) as z:
                parts.append(z[site])
        same(np.concatenate(parts), rows, "npz")
        documents = [safetensors.numpy.load_file(p) for p in sorted((d / "st").glob("*.safetensors"))]
        assert len(documents) == 6
        same(np.concatenate([t[site] for t in documents]), rows.astype(np.float16), "safetensors")
        for i, t in enumerate(documents):
            assert (t["request"] == i).all() and (t["position"] == np.arange(len(t["position"]))).all()


def check_pickles(acts, d):
    run("acts", "export", acts, "--format", "pkl", "--output_dir", d / "pkl")
    meta = json.loads((d / "pkl/metadata.json").read_text())
    for layer, site in ((0, SITES[0]), (2, SITES[1])):
        arrays = []
        for batch in meta["batches"]:
            if batch["layer"] == f"layer_{layer}":
                with open(d / "pkl" / batch["file"], "rb") as f:
                    arrays += [item["activation"] for item in pickle.load(f)]
        same(np.concatenate(arrays, axis=0), chunk_rows(acts, site)[0], "pickles")


def check_datasets(acts, d):
    datasets.disable_progress_bars()
    for name, more, context in (("one", [], 1), ("four", ["--context_size", 4], 4),
                                ("half", ["--context_size", 4, "--dtype", "float16"], 4)):
        run("acts", "export", acts, "--format", "hf_datasets", "--output_dir", d / name, *more)
        for site in SITES:
            rows, tokens = chunk_rows(acts, site)
            request = np.load(d / "npy/request.npy")
            wanted = [slice(a, a + context) for r in range(6) for n in [int((request == r).sum())]
                      for first in [int((request < r).sum())] for a in range(first, first + n - context + 1, context)]
            s = datasets.load_from_disk(str(d / name / site))
            assert s.features[site].shape == (context, 64) and s.column_names == [site, "token_ids"]
            assert s.features[site].dtype == ("float16" if name == "half" else "float32")
            s = s.with_format("numpy")[:]
            got, ids = np.asarray(s[site]), np.asarray(s["token_ids"])
            want = np.stack([rows[w] for w in wanted])
            want = want.astype(np.float16) if name == "half" else want
            same(got, want.astype(got.dtype), f"{name}: {site}")  # its NumPy formatter widens halves
            assert (ids == np.stack([tokens[w] for w in wanted])).all()


with tempfile.TemporaryDirectory() as folder:
    where = pathlib.Path(folder)
    store = make_run(where)
    check_arrays(store, where)
    check_pickles(store, where)
    if datasets is not None:
        check_datasets(store, where)
print(f"numpy {np.__version__}, safetensors {safetensors.__version__}, "
      f"datasets {datasets.__version__ if datasets else 'not there'}: well")
