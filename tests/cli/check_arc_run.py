#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl arc run from end to end on three demo tasks and a random model: its files, and that a run that was killed or
interrupted, and then resumed, leaves the same ones."""
import json
import os
import pathlib
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
PREDICTIONS = 2


def command(folder, out, *flags):
    return [TRAWL, "arc", "run", "--model_path", folder / "model", "--dataset_path", folder / "tasks.json",
            "--output_filepath", out / "s.json", "--activations_dir", out / "acts", "--batch_size", "2", "--threads", "1",
            "--predictions_per_task", str(PREDICTIONS), "--max_output_tokens", "40", "--layers_to_extract", "0", "1",
            "--save_every_n_batches", "1", *map(str, flags)]


def run(folder, out, *flags, code=0):
    p = subprocess.run(command(folder, out, "--quiet", *flags), capture_output=True, text=True, timeout=100)
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {p.stderr}")
    return p


def contents(out):
    """{path: bytes}, but for the figures about the run itself."""
    return {str(f.relative_to(out)): f.read_bytes() for f in sorted(out.rglob("*"))
            if f.is_file() and not f.name.endswith(".stats.json")}


def same(a, b, what):
    differing = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    check(not differing, f"{what}: {differing} differ")


def check_outputs(folder, out, p):
    tasks = json.loads((folder / "tasks.json").read_text())
    submission = json.loads((out / "s.json").read_text())
    check(list(submission) == list(tasks), f"tasks of the submission: {list(submission)}")
    for name, task in tasks.items():
        check(len(submission[name]) == len(task["test"]), f"test inputs of {name}")
        for attempts in submission[name]:
            check(list(attempts) == [f"attempt_{k + 1}" for k in range(PREDICTIONS)], f"attempts of {name}")
    records = json.loads((out / "s_task_results.json").read_text())
    n = PREDICTIONS * sum(len(t["test"]) for t in tasks.values())
    check(len(records) == n and {r["task_id"] for r in records} == set(tasks), f"{len(records)} records, expected {n}")
    check(all(r["n_tokens"] == 40 or r["finish_reason"] == "stop" for r in records), "lengths of the answers")
    check(p.stdout.startswith("Mesh axes: data=1, model=1\nVerifying parameter sharding:\n  embed_tokens: shape=(560, 64), "
                              "sharding=PartitionSpec(None, 'model')\n"), f"report: {p.stdout[:200]}")
    check("Sharding verification:\n  Input shape: (2, " in p.stdout, "the input's part of the report")
    stats = json.loads((out / "s.stats.json").read_text())
    check(stats["prompts"] == n and stats["failed"] == 0 and stats["from_journal"] == 0, f"stats: {stats}")
    return records, n


def check_pickles(out, records, n):
    try:
        import numpy  # noqa: F401: pickles of arrays need it
    except ImportError:
        print("numpy is not there: pickles are not opened")
        return
    for layer in (0, 1):
        rows = []
        files = sorted((out / "acts").glob(f"layer_{layer}_batch_*.pkl"))
        check([f.name for f in files] == [f"layer_{layer}_batch_{i + 1:06d}.pkl" for i in range(n // 2)], f"pickles {files}")
        for file in files:
            rows += pickle.loads(file.read_bytes())
        check([r["task_id"] for r in rows] == [r["task_id"] for r in records], "tasks of the pickles")
        for row, record in zip(rows, records):
            a = row["activation"]
            check(a.ndim == 2 and a.shape[1] == 64 and tuple(row["shape"]) == a.shape and str(a.dtype) == "float32",
                  f"activation {a.shape} {a.dtype}")
            check(a.shape[0] > record["n_tokens"], "prompt rows")


def rows_of(out):
    """Of layer 0, an array for each prompt."""
    return [row["activation"] for file in sorted((out / "acts").glob("layer_0_batch_*.pkl"))
            for row in pickle.loads(file.read_bytes())]


def test_positions(folder, records):
    """Rows that are left out change no other: what is stored is the end of what is stored otherwise."""
    try:
        import numpy  # noqa: F401
    except ImportError:
        return
    whole = rows_of(folder / "whole")
    for positions, more in (("last", 0), ("answer", -1)):
        out = folder / positions
        p = run(folder, out, "--positions_to_extract", positions)
        check("prompt tokens found" in p.stderr, f"{positions}: nothing was found: {p.stderr}")
        check(json.loads((out / "s_task_results.json").read_text()) == records, f"{positions}: other answers")
        got = rows_of(out)
        check(len(got) == len(whole), f"{positions}: {len(got)} prompts")
        for a, b, record in zip(whole, got, records):
            n = record["n_tokens"] + more
            check(b.shape[0] == n and (b == a[a.shape[0] - n:]).all(), f"{positions}: rows {b.shape} of {a.shape}")
        p = run(folder, out, "--resume", code=1)
        check("positions_to_extract" in p.stderr, f"resumed with other positions: {p.stderr}")


def test_refusals(folder, whole):
    out = folder / "whole"
    p = run(folder, out, code=1)
    check("s_journal.jsonl" in p.stderr and "resume" in p.stderr, f"without --resume: {p.stderr}")
    for flags, word in ((("--temperature", "0.5"), "temperature"), (("--random_seed", "1"), "other settings"),
                        (("--predictions_per_task", "3"), "predictions_per_task"), (("--max_output_tokens", "41"), "max_output_tokens"),
                        (("--grid_encoder", "MinimalGridEncoder()"), "grid_encoder"), (("--dtype", "float32"), "dtype"),
                        (("--tree_leaves", "16"), "tree_leaves"), (("--layers_to_extract", "1"), "site"),
                        (("--activations_format", "safetensors"), "format"), (("--batch_size", "4"), "commit_every"),
                        (("--no_extract_activations",), "extract_activations")):
        p = run(folder, out, "--resume", *flags, code=1)
        check(word in p.stderr, f"{flags}: {p.stderr}")
    same(whole, contents(out), "a refused run")
    p = run(folder, out, "--resume")
    stats = json.loads((out / "s.stats.json").read_text())
    check(stats["from_journal"] == stats["prompts"], f"a finished run, resumed: {stats}")
    same(whole, contents(out), "a finished run, resumed")

    other = folder / "other"
    p = run(folder, other, "--layers_to_extract", "0", "2", code=2)
    check("--layers_to_extract 2: the model has 2 layers, 0 to 1" in p.stderr, f"layer out of range: {p.stderr}")
    p = run(folder, other, "--shard_id", "2", "--num_shards", "2", code=2)
    check("--shard_id 2 of --num_shards 2" in p.stderr, f"shard out of range: {p.stderr}")
    p = run(folder, folder / "tasks.json", code=1)
    check("tasks.json" in p.stderr, f"a file where the folder should be: {p.stderr}")
    p = run(folder, other, "--activations_dir", folder / "tasks.json", code=1)
    check("tasks.json" in p.stderr, f"a file where the store should be: {p.stderr}")
    p = run(folder, folder / "other2", "--dataset_path", folder / "nowhere.json", code=1)
    check("nowhere.json" in p.stderr and not (folder / "other2").exists(), f"no data set: {p.stderr}")


def groups(out):
    try:
        return (out / "s_journal.jsonl").read_bytes().count(b'\n{"commit": ')
    except OSError:
        return -1


def test_killed_and_resumed(folder, whole, n):
    for at in (-1, 0, 1, n // 2 - 1):  # groups that are committed when the signal comes, at least
        for sign in (signal.SIGKILL, signal.SIGINT) if at >= 0 else (signal.SIGKILL,):
            out = folder / "cut"
            shutil.rmtree(out, ignore_errors=True)
            p = subprocess.Popen(command(folder, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            while p.poll() is None and groups(out) < at:
                pass
            p.send_signal(sign)
            err = p.communicate(timeout=60)[1].decode()
            if sign == signal.SIGINT and p.returncode != 0:
                check(p.returncode == 130, f"interrupted: exit {p.returncode}, {err}")
                check("--resume" in err, f"nobody says how to continue: {err}")
            committed = max(groups(out), 0)
            mesh = ("--mesh_shape", "2", "2") if at % 2 else ()
            run(folder, out, "--resume", *mesh)
            stats = json.loads((out / "s.stats.json").read_text())
            check(stats["from_journal"] == 2 * committed, f"{committed} groups were committed: {stats}")
            same(whole, contents(out), f"{sign.name} at group {at}, resumed")


def test_shards(folder, whole_records):
    records = {}
    for shard in (0, 1):
        out = folder / f"shard{shard}"
        run(folder, out, "--shard_id", shard, "--num_shards", 2, "--activations_format", "safetensors")
        for r in json.loads((out / "s_task_results.json").read_text()):
            records.setdefault(r["task_id"], []).append(r)
        check(list((out / "acts").glob("blocks.*.hook_resid_post/*.safetensors")), "no chunks")
    whole = {}
    for r in whole_records:
        whole.setdefault(r["task_id"], []).append(r)
    check(records == whole, "the shards together are not the whole")


def test_some_fail(folder):
    """Prompts too long for the context and a malformed task are named; the others are answered."""
    p = run(folder, folder / "short", "--max_model_len", "1100", code=3)
    records = json.loads((folder / "short/s_task_results.json").read_text())
    bad = [r for r in records if r["finish_reason"] == "error"]
    check(0 < len(bad) < len(records), f"{len(bad)} of {len(records)} failed")
    check("tokens, the context holds 1100" in p.stderr and f"task {bad[0]['task_id']}" in p.stderr, f"named: {p.stderr}")
    tasks = json.loads((folder / "tasks.json").read_text())
    tasks["broken"] = {"train": 5}
    (folder / "broken.json").write_text(json.dumps(tasks))
    p = run(folder, folder / "broken", "--dataset_path", folder / "broken.json", "--extract_activations=false", code=3)
    check("broken" in p.stderr and not (folder / "broken/acts").exists(), f"malformed task: {p.stderr}")


def test_constrained(folder):
    """Whatever the model, every answer is a grid that fits; on any mesh the same ones."""
    flags = ("--constrain_grids", "--temperature", "1.5")
    run(folder, folder / "grids", *flags)
    records = json.loads((folder / "grids/s_task_results.json").read_text())
    for r in records:
        grid = re.fullmatch(r" shape: (\d+)x(\d+)\n((?:\d+ \d+\n)+)```", r["response"])
        check(grid is not None and r["parse_error"] is None and r["finish_reason"] == "stop", f"a constrained answer: {r['response']!r}")
        rows = [line.split() for line in grid[3].splitlines()] if grid else []
        check([int(n) for n, _ in rows] == list(range(1, int(grid[1]) + 1)) and {len(c) for _, c in rows} == {int(grid[2])},
              f"not the grid that it says: {r['response']!r}")
    run(folder, folder / "grids22", *flags, "--mesh_shape", "2", "2", "--prefill_chunk", "7")
    same(contents(folder / "grids"), contents(folder / "grids22"), "constrained, mesh 2x2")
    p = run(folder, folder / "grids", "--temperature", "1.5", "--resume", code=1)
    check("constrain_grids" in p.stderr or "settings" in p.stderr, f"resumed without the constraint: {p.stderr}")


def test_ways_to_answer(folder):
    """The best of three draws has never less than the first of them; beams never less than one; both are settings."""
    records = {}
    for name, flags in (("one", ()), ("three", ("--best_of", 3))):
        run(folder, folder / name, "--temperature", 1.5, "--top_k", 50, *flags)
        records[name] = json.loads((folder / name / "s_task_results.json").read_text())
    pairs = [(a["cumulative_logprob"], b["cumulative_logprob"]) for a, b in zip(records["one"], records["three"])]
    check(all(a <= b for a, b in pairs) and any(a < b for a, b in pairs), f"--best_of: {pairs}")
    flags = ("--temperature", 1.5, "--top_k", 50, "--best_of", 3)
    run(folder, folder / "three22", *flags, "--mesh_shape", "2", "2", "--prefill_chunk", "50")
    same(contents(folder / "three"), contents(folder / "three22"), "the best of three, mesh 2x2")
    p = run(folder, folder / "three", "--resume", *flags[:-1], 2, code=1)
    check("best_of" in p.stderr, f"resumed with another best_of: {p.stderr}")
    p = run(folder, folder / "three", "--resume", *flags, "--top_p", 0.9, code=1)
    check("top_p" in p.stderr or "settings" in p.stderr, f"resumed with top_p: {p.stderr}")
    run(folder, folder / "beams", "--num_beams", 2, "--no_extract_activations")
    beams = json.loads((folder / "beams/s_task_results.json").read_text())
    check(all(r["finish_reason"] in ("stop", "length") for r in beams), "beams end in another way")
    for flags, words in ((("--best_of", 2), "all answers would be the same"), (("--num_beams", 2), "--no_extract_activations"),
                         (("--best_of", 2, "--num_beams", 2), "exclude each other")):
        p = run(folder, folder / "refused", *flags, code=2)
        check(words in p.stderr, f"{flags}: {p.stderr}")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", tmp / "model", "--layers", "2", "--vocab", "560",
                    "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
    demo = json.loads((SOURCE / "examples/arc-demo/tasks.json").read_text())
    (tmp / "tasks.json").write_text(json.dumps(dict(list(demo.items())[:3])))
    results, count = check_outputs(tmp, tmp / "whole", run(tmp, tmp / "whole"))
    check_pickles(tmp / "whole", results, count)
    files = contents(tmp / "whole")
    run(tmp, tmp / "mesh", "--mesh_shape", "2", "2", "--prefill_chunk", "100")
    same(files, contents(tmp / "mesh"), "mesh 2x2")
    test_positions(tmp, results)
    test_refusals(tmp, files)
    test_killed_and_resumed(tmp, files, count)
    test_shards(tmp, results)
    test_some_fail(tmp)
    test_constrained(tmp)
    test_ways_to_answer(tmp)

sys.exit(1 if failures() else 0)
