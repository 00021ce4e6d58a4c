#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Load the folders that test_store_python wrote the way their users do, and compare with what was put in.

    check_store.py DIR

DIR holds pkl/, f32/, f16/, bf16/ (each a job with activations/ and results.jsonl) and expected.json.
Exit status 77: numpy or safetensors is not installed, or no folder was given."""
import json
import pathlib
import pickle
import sys
import warnings

warnings.simplefilter("error")
try:
    import numpy as np
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)


def load_site_bf16(path):
    """A chunk in bfloat16 without torch: NumPy has no such dtype, its bits are the upper half of a float32."""
    raw = np.memmap(path, dtype=np.uint8, mode="r")
    header_bytes = int(raw[:8].view("<u8")[0])
    header = json.loads(raw[8:8 + header_bytes].tobytes())
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        data = raw[8 + header_bytes:][slice(*t["data_offsets"])]
        if t["dtype"] == "BF16":
            values = (data.view("<u2").astype("<u4") << 16).view("<f4")
        else:
            values = data.view({"I64": "<i8", "I32": "<i4", "F32": "<f4", "I16": "<i2", "U8": "u1"}[t["dtype"]])
        out[name] = values.reshape(t["shape"])
    return out


def round_bf16(x):
    bits = x.view("<u4").astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return bits.astype("<u4").view("<f4")


def check_metadata(meta, job):
    for key in ("layers_extracted", "model_path", "batch_size", "batches"):
        assert key in meta, key
    assert meta["layers_extracted"] == [1] and meta["model_path"] == "models/tiny"
    assert meta["batch_size"] == 3 and meta["hidden_size"] == 16 and meta["tree_leaves"] == 8
    assert meta["complete"] is True and meta["end"] == len(job["rows"])
    assert [s["width"] for s in meta["sites"]] == [16, 3]
    for b in meta["batches"]:
        assert list(b) == ["batch_id", "layer", "file", "n_samples"], b


def check_pickles(folder, job):
    meta = json.loads((folder / "metadata.json").read_text())
    check_metadata(meta, job)
    labels = ["layer_1", job["sites"][1]]
    ids = [i for i, n in enumerate(job["rows"]) if n > 0]
    for site, label in enumerate(labels):
        all_activations, who = [], []
        for batch in meta["batches"]:
            if batch["layer"] != label:
                continue
            assert batch["file"] == f"{label}_batch_{batch['batch_id']:06d}.pkl", batch
            with open(folder / batch["file"], "rb") as f:
                samples = pickle.load(f)
            assert len(samples) == batch["n_samples"] > 0
            for item in samples:
                assert list(item) == ["task_id", "sample_idx", "activation", "shape"]
                x = item["activation"]
                assert x.dtype == np.float32 and x.shape == item["shape"] and x.ndim == 2
                all_activations.append(x)
                who.append((item["task_id"], item["sample_idx"]))
        got = np.concatenate(all_activations, axis=0)
        assert got.tobytes() == np.array(job["values"][site], np.float32).tobytes(), label
        assert who == [(f"task-{i // 4}", i % 4) for i in ids]
        assert [len(x) for x in all_activations] == [job["rows"][i] for i in ids]


def check_safetensors(folder, job, rounding, load):
    meta = json.loads((folder / "metadata.json").read_text())
    check_metadata(meta, job)
    statistics = safetensors.numpy.load_file(folder / "statistics.safetensors")
    request = [i for i, n in enumerate(job["rows"]) for _ in range(n)]
    position = [p for n in job["rows"] for p in range(n)]
    for site, name in enumerate(job["sites"]):
        files = sorted((folder / name).glob("shard-*.safetensors"))
        assert [str(f.relative_to(folder)) for f in files] == [
            b["file"] for b in meta["batches"] if b["file"].startswith(name + "/")]
        chunks = [load(f) for f in files]
        column = {k: np.concatenate([c[k] for c in chunks], axis=0) for k in chunks[0] if k != "padding"}
        want = rounding(np.array(job["values"][site], np.float32))
        assert column["activation"].astype(np.float32).reshape(-1).tobytes() == want.tobytes(), name
        assert column["request"].tolist() == request and column["position"].tolist() == position
        assert column["token"].tolist() == [1000 * i + p for i, p in zip(request, position)]
        assert column["is_generated"].tolist() == [int(p > 5) for p in position]
        assert column["cell_row"].tolist() == [p - 1 for p in position]
        assert column["cell_col"].tolist() == [p % 7 - 1 for p in position]
        assert column["logprob"].tolist() == [-0.25 * p for p in position]
        rows = want.reshape(len(request), -1).astype(np.float64)
        np.testing.assert_allclose(statistics[name + ".mean"], rows.mean(axis=0), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(statistics[name + ".variance"], rows.var(axis=0), rtol=1e-12)
        entry = meta["sites"][site]
        norms = np.linalg.norm(rows, axis=1)
        assert entry["rows"] == len(request) and entry["nonfinite_rows"] == 0
        np.testing.assert_allclose(entry["mean_norm"], norms.mean(), rtol=1e-13)
        np.testing.assert_allclose(entry["rms_norm"], np.sqrt((norms ** 2).mean()), rtol=1e-13)


def check_manifest(folder):
    """The manifest as a plain reader sees it: every file it names is there with that size."""
    lines = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    assert lines[0]["trawl_journal"] == 1 and lines[-1]["commit"] == sum("commit" in x for x in lines)
    for x in lines[1:]:
        if "site" in x:
            assert (folder / x["file"]).stat().st_size == x["bytes"]


def main():
    if len(sys.argv) != 2:
        print("skipped: test_store_python calls this with a folder")
        return 77
    root = pathlib.Path(sys.argv[1])
    job = json.loads((root / "expected.json").read_text())
    check_pickles(root / "pkl/activations", job)
    check_safetensors(root / "f32/activations", job, lambda x: x, safetensors.numpy.load_file)
    check_safetensors(root / "f16/activations", job, lambda x: x.astype(np.float16).astype(np.float32),
                      safetensors.numpy.load_file)
    check_safetensors(root / "bf16/activations", job, round_bf16, load_site_bf16)
    for name in ("pkl", "f32", "f16", "bf16"):
        check_manifest(root / name / "activations")
    print(f"numpy {np.__version__}, safetensors {safetensors.__version__}: well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
