#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl harvest leaves the same bytes on any mesh, batch, thread count and number of shards, killed or not, and shuffled
rows are the same rows."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from cli_harvest import SITES, TRAWL, check, column, command, failures, files, harvest, prepare, same, tensors

from checks import MPI_ENV


def rows_in_order(folder, site):
    """Per chunk: [(request, position, token, bytes of the row)] as stored."""
    out = []
    for path in sorted((folder / site).glob("*.safetensors")):
        chunk = tensors(path)
        _, (rows, _), data = chunk["activation"]
        size = len(data) // rows
        out.append([(r, p, t, data[i * size:(i + 1) * size]) for i, (r, p, t) in
                    enumerate(zip(column(chunk, "request"), column(chunk, "position"), column(chunk, "token")))])
    return out


def test_shuffle(tmp, model, paths, rng):
    flags = ["--input", *paths, "--sites", ",".join(SITES), "--context_size", 12, "--threads", 1]
    plain_out, out = tmp / "in-order", tmp / "mixed"
    mixed = [*flags, "--shuffle_rows", "--shuffle_buffer", 80, "--random_seed", 5]
    harvest(model, plain_out, *flags, "--batch_size", 6, "--save_every_n_batches", 1, code=3)  # groups of 80 / 12 contexts
    harvest(model, out, *mixed, code=3, says="mixed 6 contexts at a time")
    for site in SITES:
        a, b = rows_in_order(plain_out, site), rows_in_order(out, site)
        check(len(a) == len(b) and all(sorted(x) == sorted(y) for x, y in zip(a, b)), f"{site}: other rows than in order")
        check(sum(x == y for x, y in zip(a, b)) <= 1, f"{site}: the rows are in order")
        moved = [abs(i - sorted(x).index(row)) for x in b for i, row in enumerate(x) if len(x) > 40]
        check(sum(moved) / len(moved) > 10, f"{site}: rows have moved by {sum(moved) / len(moved):.1f} places")
    check([[r[:3] for r in x] for x in rows_in_order(out, SITES[0])] == [[r[:3] for r in x] for x in rows_in_order(out, SITES[1])],
          "sites are shuffled apart")
    numbers = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines() if '"chunk"' in line]
    check(all(m["requests"] == len({r[0] for r in chunk}) and m["first"] == min(chunk)[0] and m["end"] == max(chunk)[0] + 1
              for m, chunk in zip(numbers[::2], rows_in_order(out, SITES[0]))), "requests of the manifest")
    harvest(model, tmp / "mesh", *mixed, "--mesh_shape", 2, 2, "--batch_size", 3, code=3)
    same(files(out), files(tmp / "mesh"), "shuffled on a mesh")
    harvest(model, tmp / "seed", *flags, "--shuffle_rows", "--shuffle_buffer", 80, "--random_seed", 6, code=3)
    check(rows_in_order(out, SITES[0]) != rows_in_order(tmp / "seed", SITES[0]), "the seed changes nothing")
    harvest(model, out, *mixed[:-1], 6, "--resume", code=1, says="shuffle_rows")
    kill_and_resume(tmp, model, [*mixed, "--batch_size", 1], rng, 4, "shuffled", 3)
    for i in range(2):
        harvest(model, tmp / f"half{i}", *mixed, "--shard_id", i, "--num_shards", 2, code=3)
    p = subprocess.run([TRAWL, "acts", "merge", "--inputs", tmp / "half0", tmp / "half1", "--output_dir", tmp / "y"],
                       capture_output=True, text=True)
    check(p.returncode == 1 and "side by side" in p.stderr, f"shuffled shards: {p.returncode} {p.stderr}")
    harvest(model, tmp / "no", *mixed, "--save_every_n_batches", 1, code=2, says="what is mixed is committed together")
    harvest(model, tmp / "no", *mixed, "--activations_format", "pkl", code=2, says="--shuffle_rows: pickles")
    harvest(model, tmp / "no", *flags, "--logprobs", "--activations_format", "pkl", code=2, says="--logprobs: pickles")


def test_the_same_bytes(tmp, model, paths):
    flags = ["--input", *paths, "--sites", ",".join(SITES), "--context_size", 12, "--logprobs"]
    base = tmp / "base"
    harvest(model, base, *flags, "--threads", 1, "--batch_size", 4, "--save_every_n_batches", 2, code=3)
    want = files(base)
    for i, more in enumerate((["--mesh_shape", 2, 2, "--batch_size", 2, "--save_every_n_batches", 4],
                              ["--mesh_shape", 1, 4, "--batch_size", 8, "--save_every_n_batches", 1, "--prefill_chunk", 5],
                              ["--threads", 2, "--batch_size", 1, "--save_every_n_batches", 8])):
        out = tmp / f"same{i}"
        harvest(model, out, *flags, *more, code=3)
        same(want, files(out), f"{more}")
    build = pathlib.Path(os.environ["TRAWL_BUILD"])
    if shutil.which("mpirun") is None or not (build / "libtrawl-mpi.so").exists():
        print("no mpirun, or built without MPI: one process only")
    else:
        os.environ.update(MPI_ENV)
        leaks = os.environ.get("ASAN_OPTIONS", "")
        os.environ["ASAN_OPTIONS"] = leaks + ":detect_leaks=0"
        for mesh in ((2, 1), (1, 2)):
            out = tmp / f"mpi{mesh[0]}"
            harvest(model, out, *flags, "--threads", 1, "--batch_size", 4, "--save_every_n_batches", 2, "--mesh_shape", *mesh,
                    code=3, before=["mpirun", "-n", "2"])
            same(want, files(out), f"two processes, mesh {mesh}")
        os.environ["ASAN_OPTIONS"] = leaks
    parts = [tmp / f"part{i}" for i in range(3)]
    for i, part in enumerate(parts):
        harvest(model, part, *flags, "--threads", 1, "--batch_size", 4, "--save_every_n_batches", 2, "--shard_id", i,
                "--num_shards", 3, code=3)
    whole = tmp / "whole"
    p = subprocess.run([TRAWL, "acts", "merge", "--inputs", *parts[::-1], "--output_dir", whole], capture_output=True, text=True)
    check(p.returncode == 0, f"acts merge: {p.stderr}")
    same({k: v for k, v in want.items() if k != "journal.jsonl"}, files(whole), "three shards, merged")
    (parts[1] / "documents.jsonl").unlink()
    p = subprocess.run([TRAWL, "acts", "merge", "--inputs", *parts, "--output_dir", tmp / "x"], capture_output=True, text=True)
    check(p.returncode == 1 and "has no documents.jsonl" in p.stderr, f"a shard without documents.jsonl: {p.stderr}")


def kill_and_resume(tmp, model, flags, rng, kills, name, code):
    """Killed at any instant and started again, until it ends: the folder of an undisturbed run."""
    clean, out = tmp / f"{name}-clean", tmp / f"{name}-killed"
    harvest(model, clean, *flags, "--resume", code=code)
    want, n = files(clean), 0
    while True:
        p = subprocess.Popen(command(model, out, *flags, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if n < kills:
            try:
                p.wait(timeout=rng.uniform(0.01, 0.25))
            except subprocess.TimeoutExpired:
                p.send_signal(signal.SIGKILL)
                p.communicate()
                n += 1
                continue
        said = p.communicate()[1]
        check(p.returncode == code, f"{name}: resumed after {n} kills: exit {p.returncode}: {said[-500:]}")
        break
    same(want, files(out), f"{name}: killed {n} times")
    return out


def test_resume(tmp, model, paths, rng):
    flags = ["--input", *paths, "--sites", ",".join(SITES), "--context_size", 6, "--threads", 1, "--batch_size", 1,
             "--save_every_n_batches", 1]
    out = kill_and_resume(tmp, model, flags, rng, 7, "files", 3)
    before = files(out)
    with (out / "documents.jsonl").open("ab") as f:
        f.write(b'{"request": 7')  # a torn line
    harvest(model, out, *flags, "--resume", code=3)
    same(before, files(out), "a finished run, resumed")
    harvest(model, out, *flags, code=1, says="is there already")
    harvest(model, out, *flags, "--max_tokens", 50, "--resume", code=1, says="max_tokens")
    harvest(model, out, "--input", paths[1], *flags[3:], "--resume", code=1, says="contexts")
    (tmp / "notes").mkdir()
    (tmp / "notes" / "documents.jsonl").write_text("mine")
    harvest(model, tmp / "notes", *flags, code=1, says="documents.jsonl is there already")
    check((tmp / "notes" / "documents.jsonl").read_text() == "mine", "a file that is not ours was changed")


def test_interrupt(tmp, model):
    """Ctrl-C behind the first commit: what was committed stays, and the run goes on."""
    many, out = tmp / "many.txt", tmp / "interrupted"
    many.write_text("\n".join(f"the net goes down {i}" for i in range(20000)))
    flags = ["--input", many, "--split_lines", "--sites", SITES[0], "--threads", 1, "--save_every_n_batches", 4, "--resume"]
    p = subprocess.Popen(command(model, out, *flags), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    journal = out / "journal.jsonl"
    while p.poll() is None and (not journal.is_file() or journal.read_bytes().count(b"\n") < 3):
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    said = p.communicate()[1]
    check(p.returncode == 130 and "the same command with --resume goes on" in said, f"interrupted: {p.returncode}, {said[-300:]}")
    flags[-1:] = ["--resume", "--max_tokens", 60]
    harvest(model, out, *flags, code=1, says="max_tokens")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    model, paths, documents, bos, end, rng = prepare(tmp)
    test_the_same_bytes(tmp, model, paths)
    test_shuffle(tmp, model, paths, rng)
    test_resume(tmp, model, paths, rng)
    test_interrupt(tmp, model)

sys.exit(1 if failures else 0)
