#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Under mpirun, whatever the mesh: the files of one process. And what goes wrong ends all ranks and says why.

Skipped without mpirun or without the plug-in. Arguments: names of cases, instead of the quick ones."""
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checks import MPI_ENV, check, failures

trawl, build, source = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"]), pathlib.Path(os.environ["TRAWL_SOURCE"])
if shutil.which("mpirun") is None or not (build / "libtrawl-mpi.so").exists():
    print("skipped: no mpirun, or built without MPI")
    sys.exit(77)
# Open MPI keeps memory when it ends: not ours to report.
ENV = {**os.environ, **MPI_ENV}
SITES = ["hook_embed"] + [f"blocks.*.{s}" for s in (
    "hook_resid_mid", "hook_resid_post", "hook_attn_out", "attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_z",
    "mlp.hook_pre", "mlp.hook_post")] + ["ln_final.hook_normalized", "logits"]
# processes, mesh, devices of each: the model axis, the data axis, both; threads inside processes
MESHES = [(2, "1 2", 1), (2, "2 1", 1), (3, "3 1", 1), (4, "2 2", 1), (2, "1 4", 2), (2, "4 1", 2), (2, "2 2", 2)]


def mpirun(n, *command):
    return ["mpirun", "-n", str(n), *map(str, command)]


def run(command, timeout=300):
    p = subprocess.run(list(map(str, command)), env=ENV, capture_output=True, timeout=timeout)
    return p.returncode, p.stderr.decode(errors="replace")


def must(command):
    code, talk = run(command)
    check(code == 0, f"exit {code} of {' '.join(map(str, command))}: {talk[-1500:]}")


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*"))
            if p.is_file() and not p.name.endswith(".stats.json") and p.suffix != ".lock"}


def same(a, b, what):
    x, y = files(a), files(b)
    check(x.keys() == y.keys(), f"{what}: files {sorted(x.keys() ^ y.keys())}")
    for name in x.keys() & y.keys():
        check(x[name] == y[name], f"{what}: {name} differs")


class Ground:
    """Models, prompts and tasks in a folder of their own."""

    def __init__(self, folder):
        self.folder = folder
        self.model, self.other = folder / "model", folder / "other"
        make = [sys.executable, source / "tests/golden/make_model.py"]
        shape = ["--vocab", "640", "--heads", "6", "--kv_heads", "2", "--head_dim", "16", "--intermediate", "160",
                 "--tokenizer", source / "tests/text/data/digits"]
        for model, seed in ((self.model, 1), (self.other, 2)):
            subprocess.run([*make, model, *shape, "--seed", str(seed)], check=True)
            (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}")
        rng = random.Random(5)
        sequences = [[rng.randrange(640) for _ in range(n)] for n in (1, 2, 17, 64, 65, 90)]
        (folder / "tokens.json").write_text(json.dumps(sequences))
        rows = []
        for i, s in enumerate(sequences * 2):
            rows.append({"id": f"g{i}", "tokens": s, "max_tokens": 3 + 5 * (i % 4), "temperature": 0})
            rows.append({"id": f"s{i}", "tokens": s, "max_tokens": 12, "temperature": 1.5, "top_k": 40, "seed": i, "n": 2})
        rows.append({"id": "stop", "tokens": sequences[2], "max_tokens": 40, "temperature": 3, "seed": 1, "stop": ["a", "e"]})
        rows.append({"id": "wrong", "tokens": [999999], "max_tokens": 4})
        (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        grid = lambda: [[rng.randrange(10) for _ in range(2)] for _ in range(2)]
        pair = lambda: {"input": grid(), "output": grid()}
        (folder / "tasks.json").write_text(json.dumps(
            {f"task{i}": {"train": [pair()], "test": [pair() for _ in range(1 + i % 2)]} for i in range(5)}))

    def commands(self, out, mesh, *more, model=None, threads=1):
        out.mkdir(exist_ok=True)
        common = ["--model_path", model or self.model, "--mesh_shape", *mesh.split(), "--threads", threads, "--quiet", *more]
        yield [trawl, "trace", *common, "--tokens", self.folder / "tokens.json", "--sites", ",".join(SITES),
               "--prefill_chunk", 33, "--out", out / "trace.safetensors"], 0
        yield [trawl, "trace", *common, "--tokens", self.folder / "tokens.json", "--sites", "blocks.1.hook_resid_post",
               "--prefill_chunk", 33, "--out", out / "shallow.safetensors"], 0  # layers above are left out
        yield [trawl, "generate", *common, "--prompts_file", self.folder / "rows.jsonl", "--logprobs",
               "--output_filepath", out / "rows.jsonl", "--batch_size", 3], 3  # one row is wrong
        yield self.arc(out, *common), 0

    def arc(self, out, *common, predictions=3, commits=1):
        return [trawl, "arc", "run", *common, "--dataset_path", self.folder / "tasks.json",
                "--output_filepath", out / "arc.json", "--activations_dir", out / "acts",
                "--predictions_per_task", predictions, "--max_output_tokens", 20, "--layers_to_extract", 1, 3,
                "--batch_size", 2, "--save_every_n_batches", commits, "--temperature", 1]


def reference(g):
    out = g.folder / "one"
    if not out.exists():
        for command, code in g.commands(out, "1 1"):
            got, talk = run(command)
            check(got == code, f"exit {got}, expected {code}, of {' '.join(map(str, command))}: {talk[-800:]}")
    return out


def case_quick(g):
    case_meshes(g, [(4, "2 2", 1), (2, "1 4", 2)])


def case_meshes(g, meshes=MESHES):
    one = reference(g)
    for n, mesh, devices in meshes:
        what, out = f"{n} processes of {devices}, mesh {mesh}", g.folder / f"mesh{n}-{devices}-{mesh.replace(' ', 'x')}"
        for command, code in g.commands(out, mesh, "--devices_per_rank", devices):
            got, talk = run(mpirun(n, *command))
            check(got == code, f"{what}: exit {got}, expected {code}, of {command[1]}: {talk[-800:]}")
        same(one, out, what)
        shutil.rmtree(out)


def expect(command, *words):
    began = time.monotonic()
    code, talk = run(command, timeout=60)
    check(code not in (0, 124), f"exit {code} where a failure was expected: {' '.join(map(str, command))}")
    for word in words:
        check(word in talk, f"\"{word}\" is not in what {' '.join(map(str, command[:3]))} ... says: {talk[-1500:]}")
    check(time.monotonic() - began < 45, "a failure that takes its time")


def case_refused(g):
    base = [trawl, "trace", "--tokens", g.folder / "tokens.json", "--sites", "logits", "--out", g.folder / "x", "--quiet"]
    right = [*base, "--model_path", g.model, "--mesh_shape"]
    expect(mpirun(2, *right, 2, 2), "mesh_shape 2 2 has 4 devices", "2 processes of 1 device have 2")
    expect(mpirun(2, *right, 3, 2, "--devices_per_rank", 3), "devices_per_rank 3 does not go with a model axis of 2")
    both = lambda other: [*mpirun(1, *right, 2, 1), ":", "-n", "1", *map(str, other)]
    expect(both([*base, "--model_path", g.other, "--mesh_shape", 2, 1]), "rank 1 has weights with fingerprint")
    expect(both([*right, 2, 1, "--dtype", "float32"]), "rank 1 has dtype: F32; rank 0 has dtype: BF16")
    expect(both([*right, 1, 2]), "rank 1 has mesh_shape: 1 2; rank 0 has mesh_shape: 2 1")
    must(both([*right, 2, 1, "--batch_size", 3, "--prefill_chunk", 7]))  # these are rank 0's
    (g.folder / "x").unlink()
    expect(both([*base, "--model_path", g.folder / "none", "--mesh_shape", 2, 1]), "rank 1 failed", "none")
    cut = g.folder / "cut"
    shutil.copytree(g.model, cut)
    (cut / "model.safetensors").write_bytes((g.model / "model.safetensors").read_bytes()[:5000])
    expect(both([*base, "--model_path", cut, "--mesh_shape", 2, 1]), "rank 1: ", "cut/model.safetensors")
    ENV["TRAWL_MPI_PLUGIN"] = "/nowhere/libtrawl-mpi.so"
    expect(mpirun(2, *right, 2, 1), "MPI is not available", "/nowhere/libtrawl-mpi.so")
    del ENV["TRAWL_MPI_PLUGIN"]
    ENV["TRAWL_MPI"] = "off"  # two runs that know nothing of each other
    must(mpirun(1, *right, 1, 1, "--out", g.folder / "alone"))
    del ENV["TRAWL_MPI"]
    check(not (g.folder / "x").exists(), "a refused trace left a file")


def case_launchers(g):
    """Who is started as one of several knows it from the environment, whatever started it."""
    base = [trawl, "trace", "--tokens", g.folder / "tokens.json", "--sites", "logits", "--quiet", "--model_path", g.model,
            "--threads", 1]
    one = g.folder / "launched.one"
    must([*base, "--mesh_shape", 1, 2, "--out", one])
    # srun --mpi=pmix sets PMIX_RANK and SLURM_STEP_NUM_TASKS, and nothing of Open MPI's.
    hide = [word for v in ("SIZE", "RANK", "LOCAL_SIZE", "LOCAL_RANK", "NODE_RANK") for word in ("-u", "OMPI_COMM_WORLD_" + v)]
    for more in ([], ["SLURM_STEP_NUM_TASKS=2"]):
        two = g.folder / "launched.two"
        must(mpirun(2, "env", *hide, *more, *base, "--mesh_shape", 1, 2, "--out", two))
        check(one.read_bytes() == two.read_bytes(), f"as under srun, {more}: other bytes")
        two.unlink()
    # One task is alone, and needs no plug-in; several need it.
    alone = [{"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}, {"PMI_SIZE": "1"}, {"OMPI_COMM_WORLD_SIZE": "1"},
             {"SLURM_STEP_NUM_TASKS": "2"}, {"TRAWL_MPI": "off", "OMPI_COMM_WORLD_SIZE": "2"}]
    together = [{"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "2"}, {"PMIX_RANK": "0"}, {"PMI_SIZE": "2"}]
    for how in alone + together:
        ENV.update(how, TRAWL_MPI_PLUGIN="/nowhere/libtrawl-mpi.so")
        command = [*base, "--mesh_shape", 1, 2, "--out", g.folder / "launched.three"]
        must(command) if how in alone else expect(command, "MPI is not available")
        for name in (*how, "TRAWL_MPI_PLUGIN"):
            del ENV[name]
    # Processes that MPI does not know of: the starting program is of another MPI.
    ENV["PMI_SIZE"] = "2"
    expect([*base, "--mesh_shape", 1, 2, "--out", g.folder / "x"], "2 processes were started, ", "finds 1")
    del ENV["PMI_SIZE"]


def case_bench(g):
    words = [trawl, "bench", "--model_path", g.model, "--threads", 1, "--prompt", 16, "--gen", 4, "--batch", 2, "--quiet", "--json"]
    p = subprocess.run(list(map(str, mpirun(2, *words, "--mesh_shape", 1, 2))), env=ENV, capture_output=True, text=True)
    check(p.returncode == 0, f"bench of two processes: exit {p.returncode}: {p.stderr[-800:]}")
    r = json.loads(p.stdout or "{}")
    check(r.get("machine", {}).get("processes") == 2 and r["decode"]["2"]["tok_s"] > 0, f"bench of two processes: {p.stdout}")
    expect(mpirun(2, *words, "--mesh_shape", 2, 1), "the 2 replicas of the data axis are in 2 processes")


def ranks_of(pid):
    """Process ids of the ranks that an mpirun started."""
    found = {}
    for task in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((task / "stat").read_text().rsplit(")", 1)[1].split()[1])
            env = (task / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        rank = [v.split(b"=")[1] for v in env if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
        if parent == pid and rank:
            found[int(rank[0])] = int(task.name)
    return found


def case_killed(g):
    """One rank of four is killed in the middle; the same command with --resume makes the files of a quiet run."""
    common = ["--model_path", g.model, "--threads", 1, "--quiet"]
    quiet = g.folder / "quiet"
    quiet.mkdir()
    must(g.arc(quiet, *common, predictions=12))
    for victim in (0, 1, 2):
        out = g.folder / f"killed{victim}"
        out.mkdir()
        command = mpirun(4, *g.arc(out, *common, "--mesh_shape", 2, 2, predictions=12))
        p = subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        journal, deadline = out / "arc_journal.jsonl", time.monotonic() + 60
        while time.monotonic() < deadline and p.poll() is None and not (
                journal.exists() and journal.read_bytes().count(b'"commit": 1') >= 3):
            time.sleep(0.01)
        pid = ranks_of(p.pid).get(victim)
        check(pid is not None and p.poll() is None, f"rank {victim}: the run ended before it could be killed")
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        began = time.monotonic()
        try:
            talk = p.communicate(timeout=60)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            p.kill()
            talk = p.communicate()[1].decode(errors="replace")
        check(time.monotonic() - began < 30, f"rank {victim} killed: the others took {time.monotonic() - began:.0f} s")
        check(p.returncode != 0 and "signal 9" in talk and f"rank {victim} " in talk, f"rank {victim} killed: {talk[-800:]}")
        must(mpirun(4, *g.arc(out, *common, "--mesh_shape", 2, 2, "--resume", predictions=12)))
        same(quiet, out, f"rank {victim} killed, then resumed")


def case_stopped(g):
    """A rank that no longer answers: the others name it when the deadline has passed, and the run ends."""
    common = ["--model_path", g.model, "--threads", 1, "--quiet"]
    ENV["TRAWL_MPI_DEADLINE"] = "2"
    for mesh, words in (("1 2", ["waited 2000 ms for rank 1 in "]), ("2 1", ["waited 2000 ms for rank 1"])):
        out = g.folder / f"stopped{mesh[0]}"
        out.mkdir()
        p = subprocess.Popen(mpirun(2, *g.arc(out, *common, "--mesh_shape", *mesh.split(), predictions=60)), env=ENV,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        journal, deadline = out / "arc_journal.jsonl", time.monotonic() + 60
        while time.monotonic() < deadline and p.poll() is None and not (
                journal.exists() and b'"commit": 1' in journal.read_bytes()):
            time.sleep(0.01)
        pid = ranks_of(p.pid).get(1)
        check(pid is not None and p.poll() is None, "the run ended before a rank could be stopped")
        if pid is not None:
            os.kill(pid, signal.SIGSTOP)
        try:
            talk = p.communicate(timeout=60)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            p.kill()
            talk = "nothing for a minute: " + p.communicate()[1].decode(errors="replace")
        for word in words:
            check(p.returncode != 0 and word in talk, f"mesh {mesh}, rank 1 stopped: {talk[-800:]}")
    ENV["TRAWL_MPI_DEADLINE"] = "soon"
    expect(mpirun(2, *g.arc(g.folder / "soon", *common, "--mesh_shape", 1, 2)), 'TRAWL_MPI_DEADLINE is "soon"')
    del ENV["TRAWL_MPI_DEADLINE"]


CASES = {name[5:]: fn for name, fn in list(globals().items()) if name.startswith("case_")}
with tempfile.TemporaryDirectory() as d:
    ground = Ground(pathlib.Path(d))
    for name in sys.argv[1:] or ["quick", "refused", "launchers"]:
        began = time.monotonic()
        CASES[name](ground)
        print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
sys.exit(failures() > 0)
