#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""--timeout of trawl generate and arc run, "timeout" of a row: who is late ends with what there is, the others as ever; over
mpirun too; and a journal keeps it."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from checks import MPI_ENV, check, failures

TRAWL, BUILD = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
ENV = {**os.environ, **MPI_ENV}
NEVER = 1e-9  # seconds: over before anything can begin


def trawl(*words, code=0, ranks=1):
    run = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    p = subprocess.run([*run, TRAWL, *map(str, words), "--quiet", "--threads", "1"], capture_output=True, text=True,
                       timeout=200, env=ENV)
    check(p.returncode == code, f"{words}: exit {p.returncode}, expected {code}: {p.stderr}")
    return p


def generate(model, rows, *flags, **options):
    folder = pathlib.Path(tempfile.mkdtemp(dir=model.parent))
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    p = trawl("generate", "--model_path", model, "--prompts_file", folder / "in.jsonl", "--output_filepath",
              folder / "out.jsonl", *flags, **options)
    out = folder / "out.jsonl"
    return [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else [], p.stderr


def check_rows(model):
    rows = [{"id": i, "tokens": list(range(i, 90 + i)), "max_tokens": 9, "ignore_eos": True} for i in range(6)]
    plain, talk = generate(model, rows)
    check("timeout" not in talk, f"nobody was late: {talk}")
    late = [dict(row, timeout=NEVER) if row["id"] in (1, 4) else dict(row, timeout=1000) for row in rows]
    ways = [((), 1), (("--mesh_shape", 2, 1), 1), (("--timeout", 0.001), 1)]
    if shutil.which("mpirun") and (BUILD / "libtrawl-mpi.so").exists():
        ways.append((("--mesh_shape", 2, 1), 2))
    for flags, ranks in ways:
        got, talk = generate(model, late, *flags, ranks=ranks)
        for a, b in zip(plain, got):
            if b["id"] in (1, 4):
                check(b["finish_reason"] == "timeout" and b["tokens"] == [] and b["text"] == "", f"a late row: {b}")
            else:
                check(a == b, f"{flags}: a row that was not late: {b}")
        check("2 requests ended by timeout" in talk, f"{flags}: {talk}")
    got, talk = generate(model, [dict(rows[0], timeout=-1), dict(rows[1], timeout="soon"), dict(rows[2], timeout=0)], code=3)
    check("timeout is -1, expected seconds" in got[0]["error"] and '"timeout" is a string' in got[1]["error"], f"refused: {got}")
    check(got[2] == plain[2], "0 is no timeout")


def check_searches(model):
    rows = [{"tokens": [1, 2, 3], "num_beams": 3, "n": 2, "max_tokens": 5}, {"tokens": [1, 2], "completions": [[1], [2, 3]]},
            {"tokens": [4, 5], "dfs": {"min_prob": 0.01}, "max_tokens": 3}]
    got, _ = generate(model, [dict(row, timeout=NEVER) for row in rows])
    for row, key in zip(got, ("beams", "scores", "nbest")):
        check(row["finish_reason"] == "timeout" and row[key] == [], f"a late search: {row}")


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*"))
            if f.is_file() and not f.name.endswith(".stats.json")}


def check_arc(tmp):
    demo = json.loads((SOURCE / "examples/arc-demo/tasks.json").read_text())
    (tmp / "tasks.json").write_text(json.dumps(dict(list(demo.items())[:2])))
    out = tmp / "arc"
    words = ["arc", "run", "--model_path", tmp / "model", "--dataset_path", tmp / "tasks.json", "--output_filepath",
             out / "s.json", "--activations_dir", out / "acts", "--max_output_tokens", 20, "--predictions_per_task", 2,
             "--layers_to_extract", 0, "--timeout", 0.001]
    p = trawl(*words)
    records = json.loads((out / "s_task_results.json").read_text())
    reasons = [r["finish_reason"] for r in records]
    check("timeout" in reasons and f"{reasons.count('timeout')} request" in p.stderr, f"{reasons}: {p.stderr}")
    check(all(not r["response"] for r in records[-2:]), "the last ones were too late")
    before = contents(out)
    p = trawl(*words, "--resume")
    check("already" in p.stderr and "ended by timeout" not in p.stderr, f"resumed, nothing is computed: {p.stderr}")
    check(contents(out) == before, "a run whose prompts timed out, resumed")


def main():
    with tempfile.TemporaryDirectory() as tmp:
        tmp = pathlib.Path(tmp)
        make = [sys.executable, SOURCE / "tests/golden/make_model.py"]
        subprocess.run([*make, tmp / "digits", "--layers", "2", "--tokenizer", SOURCE / "tests/text/data/digits"], check=True)
        subprocess.run([*make, tmp / "model", "--layers", "2", "--vocab", "560", "--eos", "544", "--tokenizer",
                        SOURCE / "tests/text/data/split"], check=True)
        check_rows(tmp / "digits")
        check_searches(tmp / "digits")
        check_arc(tmp)
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
