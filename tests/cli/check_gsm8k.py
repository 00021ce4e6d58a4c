#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl gsm8k from end to end on a random model: rows against trawl generate and a reader of answers written here, the
same bytes on other meshes and after kill -9, --compare, rows that are wrong, where questions are looked for, mpirun."""
import contextlib
import http.server
import json
import math
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from fractions import Fraction

from checks import MPI_ENV, check, failures

TRAWL = os.environ["TRAWL"]
BUILD = pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
SEED = 11
KEYS = ["id", "question", "target", "predicted", "correct", "response", "n_tokens", "finish_reason"]
MPIRUN = ("mpirun", "-n", "2")


def mpi_here():
    return shutil.which("mpirun") is not None and (BUILD / "libtrawl-mpi.so").exists()


def run(*command, code=0, data=None, env=None, first=()):
    p = subprocess.run([*first, TRAWL, *map(str, command)], input=data, capture_output=True, timeout=100,
                       env={**os.environ, **(env or {})})
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {command}: {p.stderr.decode()[-600:]}")
    return p.stdout.decode(), p.stderr.decode()


def command(folder, out, *flags, data="questions.jsonl"):
    return ["gsm8k", "--model_path", folder / "model", "--dataset_path", folder / data, "--max_tokens", 40,
            "--threads", 1, "--batch_size", 4, "--quiet", *(["--output_filepath", out / "rows.jsonl"] if out else []), *flags]


def contents(out):
    """{name: bytes}, but for the figures about the run itself."""
    return {f.name: f.read_bytes() for f in sorted(out.iterdir()) if not f.name.endswith(".stats.json")}


def rows_of(out):
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().split("\n") if line]


# ---- answers, read in another way ----

def inside(text, at):
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[at + 1:i]
    return None


def value(answer):
    """A Fraction, or None. For answers in plain numbers, as those of this test are."""
    boxes = [inside(answer, m.end() - 1) for m in re.finditer(r"\\boxed\{", answer)]
    boxes = [b for b in boxes if b is not None]
    marked = answer.rpartition("####")
    if boxes:
        found = re.findall(r"-?[0-9.,]*[0-9]", boxes[-1])[:1]
    elif marked[1]:
        found = re.findall(r"-?[0-9.,]*[0-9]", marked[2].strip().partition("\n")[0])[:1]
    else:
        found = [("-" if m[1] else "") + m[2] for m in re.finditer(
            r"((?:^|(?<=[ $]))-)?([0-9](?:,?[0-9])*(?:\.[0-9]+)?|(?:(?:^|(?<=[ $]))|(?<=[ $]-))\.[0-9]+)", answer)][-1:]
    return Fraction(found[0].replace(",", "")) if found else None


def wilson(right, n):
    z = 1.959963984540054
    p, s = right / n, z * z / n
    middle, half = (p + s / 2) / (1 + s), z * math.sqrt(p * (1 - p) / n + s / (4 * n)) / (1 + s)
    return max(0, middle - half), min(1, middle + half)


# ---- cases ----

def make_ground(folder):
    """A model, and questions of which about half are answered: the answers are what the model says."""
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", folder / "model", "--layers", "2", "--vocab", "560",
                    "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/digits"], check=True)
    rng = random.Random(SEED)
    texts = [f"{rng.randrange(100)} and {rng.randrange(100)}, how many?" for _ in range(60)]
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    (folder / "model/chat_template.jinja").write_text(template)
    instruction = "Please reason step by step, and put your final answer within \\boxed{}."
    answers = generate(folder, [{"messages": [{"role": "system", "content": instruction}, {"role": "user", "content": t}]}
                                for t in texts])
    rows = []
    for i, (text, answer) in enumerate(zip(texts, answers)):
        v = value(answer["text"])
        said = "17" if v is None or i % 3 == 0 else f"{float(v):,.2f}" if v.denominator <= 100 and abs(v) < 10**9 else "17"
        rows.append({"question": text, "answer": f"because\n#### {said}"})
    (folder / "questions.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return rows, answers


def generate(folder, rows, *flags):
    """An answer ends at the tokenizer's end token too, not only at that of the model's settings."""
    eos = json.loads((folder / "model/tokenizer_config.json").read_text())["eos_token"]
    added = json.loads((folder / "model/tokenizer.json").read_text())["added_tokens"]
    ends = [t["id"] for t in added if t["content"] == eos]
    out, _ = run("generate", "--model_path", folder / "model", "--prompts_file", "-", "--max_tokens", 40, *flags,
                 "--stop_token_ids", *ends,
                 data="".join(json.dumps(r) + "\n" for r in rows).encode())
    return [json.loads(line) for line in out.splitlines()]


def check_rows(rows, got, answers, what):
    check(len(got) == len(rows), f"{what}: {len(got)} rows, expected {len(rows)}")
    for i, (row, g, a) in enumerate(zip(rows, got, answers)):
        check(list(g) == KEYS and g["id"] == i and g["question"] == row["question"], f"{what}: row {i}: {g}")
        check((g["response"], g["n_tokens"], g["finish_reason"]) == (a["text"], len(a["tokens"]), a["finish_reason"]),
              f"{what}: row {i}: {g}, generate has {a}")
        target, predicted = value(row["answer"]), value(g["response"])
        check(Fraction(g["target"]) == target, f"{what}: target {g['target']} of {row['answer']!r}")
        check((g["predicted"] is None and predicted is None) or Fraction(g["predicted"] or 0) == predicted,
              f"{what}: predicted {g['predicted']} of {g['response']!r}, expected {predicted}")
        check(g["correct"] == (predicted == target), f"{what}: row {i} is {g['correct']}")


def test_figures(folder, rows, answers):
    out = folder / "whole"
    said, _ = run(*command(folder, out, "--show", 2))
    got = rows_of(out)
    check_rows(rows, got, answers, "zero-shot")
    n, right = len(got), sum(g["correct"] for g in got)
    check(0 < right < n, f"{right} of {n} are right: nothing is told apart")
    low, high = wilson(right, n)
    none = sum(g["predicted"] is None for g in got)
    cut = sum(g["finish_reason"] == "length" for g in got)
    lines = [f"Question: {g['question']}\nPredicted: {g['predicted'] or '(no readable answer)'}\nTarget: {g['target']}\n\n"
             for g in got[:2]]
    expected = "".join(lines) + (f"Accuracy: {100 * right / n:.2f} % ({right} of {n}), 95 % interval {100 * low:.2f} to "
                                 f"{100 * high:.2f} %\nWithout a readable answer: {none}; cut at the longest length: {cut}\n")
    check(said == expected, f"stdout:\n{said}\nexpected:\n{expected}")
    figures = json.loads(run(*command(folder, None, "--json", "--num_samples", 7))[0])
    seven = sum(g["correct"] for g in got[:7])
    check(figures["questions"] == 7 and figures["correct"] == seven and abs(figures["accuracy"] - seven / 7) < 1e-12 and
          all(abs(a - b) < 1e-12 for a, b in zip(figures["interval"], wilson(seven, 7))), f"--json: {figures}")
    stats = json.loads((out / "rows.stats.json").read_text())
    check(stats["questions"] == n and stats["correct"] == right and stats["unreadable"] == none and stats["from_journal"] == 0,
          f"stats: {stats}")
    return contents(out)


def test_fewshot(folder, rows):
    shots = [("One?", "1 + 1 = <<1+1=2>>2\n#### 2"), ("Two?", "#### 2"), ("Three?", "#### 3")]
    (folder / "train.jsonl").write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in shots))
    head = "Question: One?\nAnswer: 1 + 1 = 2\n#### 2\n\nQuestion: Two?\nAnswer: #### 2\n\n"
    answers = generate(folder, [{"prompt": f"{head}Question: {r['question']}\nAnswer:", "stop": "Question:"} for r in rows])
    run(*command(folder, folder / "shots", "--num_fewshot", 2, "--fewshot_path", folder / "train.jsonl"))
    check_rows(rows, rows_of(folder / "shots"), answers, "two examples")
    turns = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1 + 1 = 2\n#### 2"}]
    answers = generate(folder, [{"messages": [*turns, {"role": "user", "content": r["question"]}]} for r in rows])
    run(*command(folder, folder / "turns", "--num_fewshot", 1, "--fewshot_path", folder / "train.jsonl", "--apply_chat_template"))
    check_rows(rows, rows_of(folder / "turns"), answers, "an example as turns")
    answers = generate(folder, [{"prompt": f"Count.\n\nQuestion: {r['question']}\nAnswer:", "stop": "Question:",
                                 "temperature": 2, "top_k": 9} for r in rows], "--seed", 3)
    run(*command(folder, folder / "text", "--no_apply_chat_template", "--system_prompt", "Count.", "--temperature", 2,
                 "--top_k", 9, "--seed", 3))
    check_rows(rows, rows_of(folder / "text"), answers, "text, drawn")


def tokens_of(model, text):
    return json.loads(run("tokenize", "--model_path", model, "--file", "-", data=json.dumps({"text": text}).encode())[0])["ids"]


def make_parrot(model, text):
    """A model that says this after "Answer:": each token leads to the next, whatever stood before."""
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "1", "--vocab", "560", "--untied",
                    "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/digits"], check=True)
    chain = [tokens_of(model, "Answer:")[-1], *tokens_of(model, text)]
    check(len(set(chain[:-1])) == len(chain) - 1, f"{text!r} has a token twice: {chain}")
    data = bytearray((model / "model.safetensors").read_bytes())
    begin = 8 + int.from_bytes(data[:8], "little")
    place = {name: [begin + x for x in t["data_offsets"]] for name, t in json.loads(data[8:begin]).items()}
    for name, (a, b) in place.items():
        if "o_proj" in name or "down_proj" in name or "lm_head" in name:
            data[a:b] = bytes(b - a)
    row, embed, head = 64 * 2, place["model.embed_tokens.weight"][0], place["lm_head.weight"][0]
    for token, following in zip(chain, chain[1:]):
        data[head + following * row:head + (following + 1) * row] = data[embed + token * row:embed + (token + 1) * row]
    (model / "model.safetensors").write_bytes(data)
    return len(chain) - 1


def test_stop_text(folder):
    """An answer ends where the model begins a question of its own, wherever it runs, and resumed."""
    n = make_parrot(folder / "parrot", " 42\nQuestion:")
    (folder / "asked.jsonl").write_text("".join(json.dumps({"question": f"{i}?", "answer": "#### 42.0"}) + "\n" for i in range(20)))
    flags = ["--model_path", folder / "parrot", "--no_apply_chat_template"]
    for out, more, first in (("parrot1", (), ()), ("parrot4", ("--mesh_shape", 2, 2), ()), ("parrotmpi", ("--mesh_shape", 2, 1), MPIRUN)):
        if out == "parrotmpi" and not mpi_here():
            continue
        said, _ = run(*command(folder, folder / out, *flags, *more, data="asked.jsonl"), env=MPI_ENV, first=first)
        check("100.00 % (20 of 20)" in said, f"{out}: {said}")
        for r in rows_of(folder / out):
            check((r["response"], r["n_tokens"], r["finish_reason"]) == (" 42\n", n, "stop"), f"{out}: {r}")
        check(contents(folder / out) == contents(folder / "parrot1"), f"{out}: other files")
    before = contents(folder / "parrot1")
    run(*command(folder, folder / "parrot1", *flags, "--resume", data="asked.jsonl"))
    check(contents(folder / "parrot1") == before, "resumed: other files")


def test_meshes(folder, whole):
    out = folder / "mesh"
    said, _ = run(*command(folder, out, "--mesh_shape", 2, 2, "--prefill_chunk", 5, "--compare", "--show", 0))
    n = len(whole["rows.jsonl"].splitlines())
    tokens = sum(json.loads(line)["n_tokens"] for line in whole["rows.jsonl"].splitlines())
    check(f"One device and the mesh are equal: {n} answers, {tokens} tokens, and every bit" in said, said)
    mesh = contents(out)
    check(mesh.pop("rows_single_device_journal.jsonl") == whole["rows_journal.jsonl"], "the journal of one device differs")
    check(mesh == whole, "mesh 2x2 has other files")
    run(*command(folder, folder / "single", "--single_device"))
    check(contents(folder / "single") == whole, "--single_device has other files")


def groups(out):
    try:
        return (out / "rows_journal.jsonl").read_bytes().count(b'\n{"commit": ')
    except OSError:
        return -1


def test_killed_and_resumed(folder, whole):
    for at, sign in ((-1, signal.SIGKILL), (0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGINT)):
        out = folder / "cut"
        shutil.rmtree(out, ignore_errors=True)
        p = subprocess.Popen([TRAWL, *map(str, command(folder, out))], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        while p.poll() is None and groups(out) < at:
            pass
        p.send_signal(sign)
        err = p.communicate(timeout=60)[1].decode()
        check(sign != signal.SIGINT or p.returncode == 0 or (p.returncode == 130 and "--resume" in err),
              f"interrupted: exit {p.returncode}, {err}")
        committed = max(groups(out), 0)
        run(*command(folder, out, "--resume", "--batch_size", 3, *(["--mesh_shape", 2, 1] if at else [])))
        stats = json.loads((out / "rows.stats.json").read_text())
        check(stats["from_journal"] == min(8 * committed, stats["questions"]), f"{committed} groups were committed: {stats}")
        check(contents(out) == whole, f"{sign.name} at group {at}, resumed: other files")
    _, err = run(*command(folder, out), code=1)
    check("rows_journal.jsonl" in err and "resume" in err, f"without --resume: {err}")
    for flags, word in ((("--max_tokens", 41), "max_tokens"), (("--temperature", 1), "temperature"),
                        (("--temperature", 0, "--min_p", 0.5), "min_p"), (("--system_prompt", "x"), "prompts")):
        _, err = run(*command(folder, out, "--resume", *flags), code=1)
        check(word in err or "settings" in err, f"{flags}: {err}")
    check(contents(out) == whole, "refused runs changed the files")


def test_wrong_rows(folder, rows):
    lines = [json.dumps(r) for r in rows[:4]]
    lines[1] = '{"question": "no answer"}'
    lines.append(json.dumps({"question": "word " * 4000, "answer": "#### 3"}))
    (folder / "wrong.jsonl").write_text("\n".join(lines))
    said, err = run(*command(folder, folder / "wrong", "--max_model_len", 400, data="wrong.jsonl"), code=3)
    check("wrong.jsonl line 2: the row has no \"answer\"; skipped" in err and "question 4: " in err and
          "1 questions could not be run and 1 rows were skipped" in err, err)
    got = rows_of(folder / "wrong")
    check([g["id"] for g in got] == [0, 2, 3, 4], f"ids {[g['id'] for g in got]}")
    check(got[3]["finish_reason"] == "error" and "400" in got[3]["error"] and not got[3]["correct"] and
          got[3]["predicted"] is None, f"{got[3]}")
    check("Accuracy" in said and " of 4)" in said, said)


@contextlib.contextmanager
def server(body):
    """A URL that has this body."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{s.server_port}/test.jsonl"
        s.shutdown()


def test_places(folder, whole):
    """Without a path: trawl's cache, the hub's cache, and a sentence that says both."""
    env = {"TRAWL_CACHE": str(folder / "cache"), "HF_HUB_CACHE": str(folder / "hub"), "TRAWL_GSM8K_URL": "http://127.0.0.1:9/x"}
    bare = ["gsm8k", "--model_path", folder / "model", "--max_tokens", 40, "--threads", 1, "--quiet", "--show", 0]
    _, err = run(*bare, code=1, env=env)
    check(str(folder / "cache/gsm8k/test.jsonl") in err and "--dataset_path" in err, err)
    with server((folder / "questions.jsonl").read_bytes()) as env["TRAWL_GSM8K_URL"]:
        _, err = run(*bare, code=1, env=env)
        check("60 lines, the test split of GSM8K has 1319" in err and not (folder / "cache/gsm8k").exists(), err)
    row = b'{"question": "1 and 2?", "answer": "#### 3"}'
    with server(b"\n".join([row] * 1319)) as env["TRAWL_GSM8K_URL"]:
        said, err = run(*bare, "--num_samples", 2, env=env)
        check("fetching the test split" in err and " of 2)" in said, f"{said} {err}")
    shutil.rmtree(folder / "cache")
    (folder / "cache/gsm8k").mkdir(parents=True)
    shutil.copy(folder / "questions.jsonl", folder / "cache/gsm8k/test.jsonl")
    first, _ = run(*bare, env=env)
    snapshot = folder / "hub/datasets--openai--gsm8k/snapshots/abc/main"
    snapshot.mkdir(parents=True)
    (folder / "hub/datasets--openai--gsm8k/refs").mkdir()
    (folder / "hub/datasets--openai--gsm8k/refs/main").write_text("abc")
    second, _ = run(*bare, env=env)
    check(first == second and "(" in first, "a hub without test.jsonl")
    shutil.move(folder / "cache/gsm8k/test.jsonl", snapshot / "test.jsonl")
    second, _ = run(*bare, env=env)
    check(first == second, "the hub's cache")


def test_refusals(folder):
    for flags, words in ((("--single_device", "--compare"), "exclude each other"),
                         (("--compare",), "--compare needs a mesh"),
                         (("--compare", "--mesh_shape", "auto"), "--compare needs a mesh"),
                         (("--single_device", "--mesh_shape", 1, 2), "--single_device is the mesh 1 1"),
                         (("--fewshot_path", "x"), "without --num_fewshot"),
                         (("--resume",), "--resume needs the --output_filepath"),
                         (("--num_fewshot", 9), "--num_fewshot 9: trawl has 8 examples"),
                         (("--num_samples", 0), "num_samples")):
        _, err = run(*command(folder, None, *flags), code=2)
        check(words in err, f"{flags}: {err}")
    shutil.copytree(folder / "model", folder / "plain")
    (folder / "plain/chat_template.jinja").unlink()
    settings = json.loads((folder / "plain/tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "plain/tokenizer_config.json").write_text(json.dumps(settings))
    _, err = run(*command(folder, None, "--model_path", folder / "plain", "--apply_chat_template"), code=2)
    check("the model has none" in err, err)
    _, err = run(*command(folder, None, data="nowhere.jsonl"), code=1)
    check("nowhere.jsonl" in err, err)


def test_mpirun(folder, whole):
    if not mpi_here():
        print("no mpirun, or built without MPI: not tried there")
        return
    for mesh in ((2, 1), (1, 2)):
        out = folder / f"mpi{mesh[0]}"
        said, _ = run(*command(folder, out, "--mesh_shape", *mesh, "--compare", "--show", 0), env=MPI_ENV, first=MPIRUN)
        check("One device and the mesh are equal" in said, said)
        got = contents(out)
        got.pop("rows_single_device_journal.jsonl")
        check(got == whole, f"mpirun, mesh {mesh}: other files")
    shots = contents(folder / "shots")
    run(*command(folder, folder / "mpishots", "--mesh_shape", 2, 1, "--num_fewshot", 2, "--fewshot_path", folder / "train.jsonl"),
        env=MPI_ENV, first=MPIRUN)
    check(contents(folder / "mpishots") == shots, "mpirun, with examples: other files")
    said, _ = run(*command(folder, folder / "mpisingle", "--single_device"), env=MPI_ENV, first=MPIRUN)
    check(said.count("Accuracy") == 1 and contents(folder / "mpisingle") == whole, "mpirun, --single_device: other files")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    questions, said_by_generate = make_ground(tmp)
    files = test_figures(tmp, questions, said_by_generate)
    test_fewshot(tmp, questions)
    test_stop_text(tmp)
    test_meshes(tmp, files)
    test_killed_and_resumed(tmp, files)
    test_wrong_rows(tmp, questions)
    test_places(tmp, files)
    test_refusals(tmp)
    test_mpirun(tmp, files)

if failures():
    print(f"seed {SEED}")
sys.exit(1 if failures() else 0)
