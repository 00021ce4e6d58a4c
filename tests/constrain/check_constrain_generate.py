#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Constrained answers of a random model: Python's re and json and an independent validator accept every one, whatever the
mesh, and under mpirun too."""
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

TRAWL, BUILD = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
sys.path.insert(0, str(SOURCE / "tests/golden"))
import constrain_schema  # noqa: E402

from checks import MPI_ENV, check, failures

SEED = int(os.environ.get("TRAWL_TEST_SEED", "3"))


def generate(folder, name, rows, *flags, ranks=0, code=0):
    """The bytes written for the rows, and what was said."""
    source, target = folder / f"{name}.in.jsonl", folder / f"{name}.out.jsonl"
    source.write_text("".join(json.dumps(r) + "\n" for r in rows))
    command = [TRAWL, "generate", "--quiet", "--model_path", folder / "model", "--prompts_file", source, "--output_filepath",
               target, "--threads", "1", *flags]
    launcher = ["mpirun", "-n", str(ranks)] if ranks else []
    p = subprocess.run(list(map(str, launcher + command)), env={**os.environ, **MPI_ENV}, capture_output=True, text=True, timeout=100)
    check(p.returncode == code, f"{name}: exit {p.returncode}, expected {code}: {p.stderr[-800:]}")
    return target.read_bytes(), p.stderr


def make_rows(rng):
    """Rows, and for each a function that tells whether an answer is right."""
    rows, tests = [], []

    def add(test, **fields):
        rows.append({"prompt": "The net goes down", "temperature": rng.choice([0, 1, 1.5]), "seed": len(rows), **fields})
        tests.append(test)

    for _ in range(25):
        s = constrain_schema.schema(rng, 2)
        s["$defs"] = {"shared": {"type": "integer"}}
        text = s if rng.random() < 0.7 else json.dumps(s)
        add(lambda answer, s=s: constrain_schema.valid(s, json.loads(answer)), guided_json=text, max_tokens=rng.randint(250, 300))
    add(lambda answer: isinstance(json.loads(answer), dict), guided_json={"type": "object"}, max_tokens=200)
    cases = json.loads((SOURCE / "tests/constrain/data/regex_cases.json").read_text())
    for pattern, _ in rng.sample(cases, 25):
        add(lambda answer, p=pattern: re.fullmatch(p, answer, re.ASCII) is not None, guided_regex=pattern, max_tokens=rng.randint(60, 80))
    choices = ["yes", "no", "né, \"so\"", "yes and no"]
    for _ in range(4):
        add(lambda answer: answer in choices, guided_choice=choices, max_tokens=30)
    return rows, tests


def check_answers(out, rows, tests):
    for row, test, line in zip(rows, tests, out.decode().splitlines(), strict=True):
        answer = json.loads(line)
        try:
            right = test(answer["text"])
        except ValueError as error:
            right = False
            print(error)
        check(right and answer["finish_reason"] in ("stop", "length"), f"{row}: {answer['text']!r}, {answer['finish_reason']}")


def check_options(folder):
    schema = folder / "schema.json"
    schema.write_text('{"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}')
    rows = [{"prompt": "x", "max_tokens": 40}, {"prompt": "x", "max_tokens": 40, "guided_choice": ["7"]},
            {"prompt": "x", "max_tokens": 3, "guided_json": None}]
    out, _ = generate(folder, "options", rows, "--guided_json", schema)
    answers = [json.loads(line)["text"] for line in out.decode().splitlines()]
    check(len(json.loads(answers[0])) == 2, answers[0])
    check(answers[1] == "7", answers[1])
    out, _ = generate(folder, "choice", [{"prompt": "x"}], "--guided_choice", "one", "other")
    check(json.loads(out)["text"] in ("one", "other"), "--guided_choice")
    rows = [{"prompt": "x", "guided_json": None, "guided_choice": None}, {"prompt": "x", "guided_regex": "a{3}", "guided_json": None},
            {"prompt": "x", "guided_regex": None, "guided_choice": ["7"]}, {"prompt": "x", "max_tokens": 3, "guided_regex": None}]
    out, _ = generate(folder, "nulls", rows, "--guided_regex", "ab?c", "--max_tokens", "8")
    answers = [json.loads(line)["text"] for line in out.decode().splitlines()]
    check(answers[0] in ("ac", "abc") and answers[1:3] == ["aaa", "7"] and answers[3] not in ("ac", "abc"),
          f"null turns off the option of its name, no other: {answers}")
    p = subprocess.run([TRAWL, "generate", "--model_path", folder / "model", "--prompt", "x", "--guided_regex", "a", "--guided_json",
                        "{}"], capture_output=True, text=True, timeout=100)
    check(p.returncode != 0 and "only one can be given" in p.stderr, f"two constraints: {p.stderr}")
    rows = [{"prompt": "x", "guided_regex": "a("}, {"prompt": "x", "guided_json": {"type": "integer", "minimum": 3}},
            {"prompt": "x", "guided_regex": "a", "guided_choice": ["b"]}, {"prompt": "x", "guided_regex": 3},
            {"prompt": "x", "guided_regex": "ab", "max_tokens": 5}]
    out, _ = generate(folder, "wrong", rows, code=3)
    errors = [json.loads(line).get("error", "") for line in out.decode().splitlines()]
    for error, words in zip(errors, ['offset 1: "(" is not closed', 'keyword "minimum" is not supported', "more than one of",
                                     "expected a string", ""], strict=True):
        check(words in error and (error != "" or words == ""), f"{error!r} does not say {words!r}")


def main():
    rng = random.Random(SEED)
    print("seed", SEED)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", folder / "model", "--layers", "2", "--vocab", "560",
                        "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
        rows, tests = make_rows(rng)
        one, _ = generate(folder, "one", rows, "--batch_size", "1")
        check_answers(one, rows, tests)
        for flags in (["--mesh_shape", "2", "2", "--batch_size", "3"], ["--batch_size", "16", "--prefill_chunk", "5"]):
            other, _ = generate(folder, "other", rows, *flags)
            check(other == one, f"{flags}: the answers differ")
        if shutil.which("mpirun") is not None and (BUILD / "libtrawl-mpi.so").exists():
            for mesh in (("2", "1"), ("1", "2")):
                other, _ = generate(folder, "mpi", rows, "--mesh_shape", *mesh, "--batch_size", "3", ranks=2)
                check(other == one, f"mpirun, mesh {mesh}: the answers differ")
        else:
            print("not under mpirun: it is not there")
        check_options(folder)
    return failures() > 0


sys.exit(main())
