#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a mesh costs: the same work on one device with two threads and on meshes of this machine, as ratios.

    ./x bench mesh [--model_path DIR] [--rounds 2] [--prompt 512] [--gen 32] [--cores 2] [--json] [--check]

Configurations take turns, in alternating order, so that drift of the machine and the load of others hit all of them. A
round's ratio is that of two measurements beside each other in time; the table has the median of these and the least and
the largest. Everything runs from packed weights (`trawl shard`), but the starts that are compared.

    prefill, decode B   trawl bench: B sequences decoding together in a replica, on 1x1 with all cores as threads, on
                        1x2 with half of them in each device, on 1x8 with one each, and on 1x2 as two processes
    generate            trawl generate: many sequences at once, on 1x1, 2x1, and 2x1 as two processes; the difference
                        of two runs of different lengths, so that start and prompts fall out
    all-reduce          4 KB between two pinned threads (test_comm_latency), the best of all rounds
    memory              of two processes on 1x2, each page divided by those who map it, beside what `trawl plan` says
    start               opening packed weights beside packing the checkpoint, both in the page cache

--check: exit code 1 when a target is missed. A busy machine misses some; load_average says how busy it was.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BATCHES = (1, 8, 32)
# Open MPI: as root too, more ranks than cores, no core for each rank; shared memory within this host.
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
           "OMPI_MCA_hwloc_base_binding_policy": "none"}


def say(text):
    print("bench mesh: " + text, file=sys.stderr, flush=True)


def run(words, **more):
    p = subprocess.run([str(w) for w in words], capture_output=True, text=True, env={**os.environ, **MPI_ENV}, **more)
    if p.returncode:
        sys.exit(f"bench mesh: {' '.join(map(str, words))}: exit {p.returncode}: {p.stderr.strip()[-600:]}")
    return p.stdout


class Mesh:
    """A way to run: mesh shape, threads of a device, processes."""

    def __init__(self, data, model, threads, processes=1):
        self.data, self.model, self.threads, self.processes = data, model, threads, processes
        self.name = f"{data}x{model}" + (f", {processes} processes" if processes > 1 else "")

    def words(self, a, command):
        start = ["mpirun", "-n", self.processes] if self.processes > 1 else []
        return [*start, a.trawl, command, "--mesh_shape", self.data, self.model, "--threads", self.threads,
                "--devices_per_rank", self.data * self.model // self.processes, "--quiet"]


# ---- measurements: each returns {figure: value} ----


def bench(a, mesh):
    words = mesh.words(a, "bench") + ["--model_path", a.packed, "--prompt", a.prompt, "--gen", a.gen, "--decode_prompt", 32,
                                      "--batch", ",".join(map(str, BATCHES)), "--json"]
    r = json.loads(run(words))
    return {"prefill": r["prefill"]["tok_s"], **{f"decode {b}": r["decode"][str(b)]["tok_s"] for b in BATCHES}}


def generate_seconds(a, mesh, tokens):
    rows, out = a.work / "rows.jsonl", a.work / "out.jsonl"
    draw = random.Random(1)
    with open(rows, "w") as f:
        for _ in range(a.sequences):
            ids = [draw.randrange(1000) for _ in range(16)]
            f.write(json.dumps({"tokens": ids, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}) + "\n")
    words = mesh.words(a, "generate") + ["--model_path", a.packed, "--prompts_file", rows, "--output_filepath", out,
                                         "--batch_size", 32, "--max_model_len", 256]
    start = time.monotonic()
    run(words)
    return time.monotonic() - start


def generate(a, mesh):
    short = generate_seconds(a, mesh, 1)
    return {"generate": a.sequences * a.gen / max(generate_seconds(a, mesh, 1 + a.gen) - short, 1e-9)}


def allreduce_us(a):
    """Of one meeting of two ranks, 4 KB, as the forward pass does it."""
    program = pathlib.Path(a.trawl).resolve().parent / "tests" / "test_comm_latency"
    if not program.exists():
        return None
    p = subprocess.run([program], capture_output=True, text=True, env={**os.environ, "TRAWL_COMM_ROUNDS": "20000"})
    for line in p.stdout.splitlines() + p.stderr.splitlines():
        if line.strip().startswith("2 ranks,   1024 floats:"):
            return int(line.split("floats:")[1].split()[0]) / 1e3
    return None


def start_seconds(a, folder):
    """Of `trawl trace` of one token to its logits, the whole command: it reads every weight once."""
    tokens = a.work / "one.json"
    tokens.write_text("[[1]]")
    start = time.monotonic()
    run([a.trawl, "trace", "--model_path", folder, "--tokens", tokens, "--sites", "logits", "--out", a.work / "one.st",
         "--threads", a.cores, "--quiet"])
    return time.monotonic() - start


def ranks_of(pid):
    """Process ids of the ranks that an mpirun started."""
    found = []
    for task in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((task / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            found.append(task)
    return found


def rank_memory(a, mesh):
    """Largest memory of a rank while it decodes, and what the plan says that a device needs."""
    out = a.work / "memory.jsonl"
    words = mesh.words(a, "generate") + ["--model_path", a.packed, "--prompts_file", a.work / "rows.jsonl",
                                         "--output_filepath", out, "--batch_size", 32, "--max_model_len", 256]
    p = subprocess.Popen([str(w) for w in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                         env={**os.environ, **MPI_ENV})
    most = 0
    while p.poll() is None:
        for task in ranks_of(p.pid):
            try:
                text = (task / "smaps_rollup").read_text()
            except OSError:
                continue
            pss = [int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:")]
            most = max(most, pss[0] if pss else 0)
        time.sleep(0.1)
    plan = json.loads(run([a.trawl, "plan", "--model_path", a.packed, "--mesh_shape", mesh.data, mesh.model, "--threads",
                           mesh.threads, "--batch_size", 32, "--max_model_len", 256, "--json"]))
    return most, plan["device"]["total_bytes"]


# ---- rounds and figures ----


def ways(a):
    half = max(a.cores // 2, 1)
    one, two, eight = Mesh(1, 1, a.cores), Mesh(1, 2, half), Mesh(1, 8, 1)
    rows = Mesh(2, 1, half)
    processes = [Mesh(1, 2, half, 2), Mesh(2, 1, half, 2)] if a.mpi else []
    return one, two, eight, rows, processes


def comparisons(a):
    """(figure, of, beside, target)"""
    one, two, eight, rows, processes = ways(a)
    figures = ["prefill", *(f"decode {b}" for b in BATCHES)]
    for figure in figures:
        yield figure, two.name, one.name, 0.95
    yield "generate", rows.name, one.name, 0.85
    for p in processes:
        for figure in ["generate"] if p.data > 1 else figures:
            yield figure, p.name, one.name, 0.85
    for figure in figures:
        yield figure, eight.name, two.name, 0.6


def measure(a):
    one, two, eight, rows, processes = ways(a)
    turns = [(bench, one), (bench, two), (bench, eight), (generate, one), (generate, rows)]
    turns += [(generate if p.data > 1 else bench, p) for p in processes]
    samples, latencies, starts = {}, [], []
    for i in range(a.rounds):
        for how, mesh in turns[:: 1 if i % 2 == 0 else -1]:
            say(f"round {i + 1} of {a.rounds}, {how.__name__} on {mesh.name}")
            for figure, value in how(a, mesh).items():
                samples.setdefault((figure, mesh.name), []).append(value)
        latencies.append(allreduce_us(a))
        starts.append((start_seconds(a, a.packed), start_seconds(a, a.model_path)))
    return samples, latencies, starts


def summarize(a, samples, latencies, starts):
    table = []
    for figure, of, beside, target in comparisons(a):
        ours, theirs = samples[figure, of], samples[figure, beside]
        ratios = sorted(x / y for x, y in zip(ours, theirs))
        table.append({"figure": figure, "of": of, "beside": beside, "unit": "tokens/s", "value": statistics.median(ours),
                      "ratio": statistics.median(ratios), "least": ratios[0], "most": ratios[-1], "target": target,
                      "met": statistics.median(ratios) >= target})
    known = [x for x in latencies if x is not None]
    if known:
        table.append({"figure": "all-reduce of 4 KB", "of": "two pinned threads", "unit": "us", "value": min(known),
                      "target": 2.0, "met": min(known) < 2.0})
    ratios = sorted(packed / checkpoint for packed, checkpoint in starts)
    middle = statistics.median(ratios)
    table.append({"figure": "start", "of": "packed", "beside": "checkpoint", "unit": "s",
                  "value": statistics.median(s[0] for s in starts), "ratio": middle, "least": ratios[0], "most": ratios[-1],
                  "target": 0.3, "met": middle <= 0.3})
    if a.mpi:
        most, plan = rank_memory(a, ways(a)[4][0])
        table.append({"figure": "memory of a rank", "of": ways(a)[4][0].name, "beside": "plan", "unit": "MiB",
                      "value": most / 2**20, "ratio": most / plan, "target": 1.1, "met": most <= 1.1 * plan})
    return table


def print_table(table):
    print(f"{'':20} {'of':19} {'beside':12} {'value':>10}          {'ratio':>6}  {'spread':>12}  target")
    for row in table:
        less = row["figure"] in ("start", "memory of a rank", "all-reduce of 4 KB")
        ratio = f"{row['ratio']:6.2f}" if "ratio" in row else " " * 6
        spread = f"{row['least']:.2f} to {row['most']:.2f}" if "least" in row else ""
        print(f"{row['figure']:20} {row['of']:19} {row.get('beside', ''):12} {row['value']:10.2f} {row['unit']:8} {ratio}  "
              f"{spread:>12}  {'<' if less else '>'} {row['target']:.2f}{'' if row['met'] else '  missed'}")


def find_demo_model():
    p = subprocess.run(["bash", ROOT / "scripts/get_demo_model.sh", "--find"], capture_output=True, text=True)
    return p.stdout.strip() or None


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model_path", "--model-path", default=find_demo_model(), help="folder in Hugging Face layout (the demo's model)")
    p.add_argument("--trawl", default=os.environ.get("TRAWL", "trawl"), help="the command (default: $TRAWL)")
    for name, default, text in (("rounds", 2, "turns of all configurations"), ("prompt", 512, "tokens of the prefill"),
                                ("gen", 32, "tokens decoded for each sequence"),
                                ("sequences", 128, "of generate"),
                                ("cores", min(2, len(os.sched_getaffinity(0))), "threads in all")):
        p.add_argument("--" + name, type=int, default=default, help=f"{text} ({default})")
    p.add_argument("--json", action="store_true", help="print JSON instead of a table")
    p.add_argument("--check", action="store_true", help="exit code 1 when a target is missed")
    a = p.parse_args()
    if a.model_path is None:
        sys.exit("bench mesh: --model_path is missing, and the demo's model is not on this machine (./x demo fetches it)")
    a.mpi = shutil.which("mpirun") is not None and (pathlib.Path(a.trawl).resolve().parent / "libtrawl-mpi.so").exists()
    return a


def main():
    a = options()
    if not a.mpi:
        say("no mpirun, or built without MPI: figures of processes are left out")
    with tempfile.TemporaryDirectory() as work:
        a.work, a.packed = pathlib.Path(work), pathlib.Path(work) / "packed"
        run([a.trawl, "shard", "--model_path", a.model_path, "--output_dir", a.packed])
        samples, latencies, starts = measure(a)
        table = summarize(a, samples, latencies, starts)
    if a.json:
        print(json.dumps({"model": str(a.model_path), "cores": a.cores, "load_average": os.getloadavg()[0], "figures": table,
                          "samples": {f"{f} on {m}": s for (f, m), s in samples.items()}}, indent=2))
    else:
        print_table(table)
        print(f"load average {os.getloadavg()[0]:.1f}")
    return 1 if a.check and not all(row["met"] for row in table) else 0


if __name__ == "__main__":
    sys.exit(main())
