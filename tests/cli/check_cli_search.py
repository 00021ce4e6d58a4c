#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl generate with num_beams, completions and dfs: scores agree with the logits of trawl trace, every search finds
what its definition says, the mesh and mpirun change no byte, and what cannot be is refused in a sentence."""
import json
import math
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

from checks import MPI_ENV, check, failures

TRAWL, BUILD = os.environ["TRAWL"], pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
ENV = {**os.environ, **MPI_ENV}
EOS, VOCAB = 544, 560  # <|end|> of tests/text/data/split
BOS = 543  # <|begin|> of tests/text/data/split, which goes before a text


def run(command, code=0):
    p = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=200, env=ENV)
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {p.stderr}")
    return p


def generate(model, rows, *flags, code=0, ranks=1):
    """The answer as text and as rows, and stderr."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=model.parent))
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "out.jsonl"
    mpi = ["mpirun", "-n", ranks] if ranks > 1 else []
    p = run([*mpi, TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", folder / "in.jsonl",
             "--output_filepath", out, "--threads", 1, "--dtype", "float32", *flags], code)
    text = out.read_text() if out.exists() else ""
    return text, [json.loads(line) for line in text.splitlines()], p.stderr


def next_logprobs(model, sequences):
    """log p of every token after each of these sequences, in double."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=model.parent))
    (folder / "in.json").write_text(json.dumps(sequences))
    run([TRAWL, "trace", "--model_path", model, "--dtype", "float32", "--threads", 1, "--tokens", folder / "in.json",
         "--sites", "logits", "--out", folder / "out.safetensors"])
    raw = (folder / "out.safetensors").read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + size])
    rows = []
    for i, tokens in enumerate(sequences):
        begin, _ = head[f"seq.{i}.logits"]["data_offsets"]
        at = 8 + size + begin + 4 * VOCAB * (len(tokens) - 1)
        row = struct.unpack(f"<{VOCAB}f", raw[at:at + 4 * VOCAB])
        total = max(row) + math.log(sum(math.exp(x - max(row)) for x in row))
        rows.append([x - total for x in row])
    return rows


def tokenize(model, texts):
    (model.parent / "texts.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    p = run([TRAWL, "tokenize", "--model_path", model, "--file", model.parent / "texts.jsonl"])
    return [json.loads(line)["ids"] for line in p.stdout.splitlines()]


def near(a, b):
    return math.isclose(a, b, rel_tol=1e-5, abs_tol=2e-4)


def test_scores(model):
    prompt, texts = "The net goes down", [" and the", "eels", " slowly, slowly", "ed"]
    ids, *both = [[BOS] + row for row in tokenize(model, [prompt] + [prompt + t for t in texts])]
    alone = tokenize(model, texts)
    completions = texts + [[5], [9, 8, 7, 6]]
    _, rows, _ = generate(model, [{"prompt": prompt, "completions": completions, "logprobs": 1},
                                  {"tokens": ids, "completions": texts}])
    want = [b[len(ids):] if b[:len(ids)] == ids and len(b) > len(ids) else a for a, b in zip(alone, both)]
    scores = rows[0]["scores"]
    check([s["tokens"] for s in scores] == want + completions[4:], f"tokens of completions: {[s['tokens'] for s in scores]}")
    check([s["tokens"] for s in rows[1]["scores"]] == alone, "completions of a row of tokens are encoded alone")
    for s in scores:
        paths = [ids + s["tokens"][:k] for k in range(len(s["tokens"]))]
        right = [row[t] for row, t in zip(next_logprobs(model, paths), s["tokens"])]
        check(all(map(near, s["logprobs"], right)), f"log-probabilities {s['logprobs']}, from logits {right}")
        check(near(s["logprob"], sum(right)) and len(s["entropy"]) == len(right), f"sum {s['logprob']}, {sum(right)}")
    check("text" not in rows[0] and rows[0]["prompt_tokens"] == len(ids), f"members of a scored row: {sorted(rows[0])}")


def test_beams(model):
    tokens, n = [3, 100, 7, 250], 6
    ask = {"tokens": tokens, "max_tokens": n, "ignore_eos": True}
    _, rows, _ = generate(model, [{**ask, "num_beams": 6, "n": 4}, {**ask, "num_beams": 1, "n": 1}, ask,
                                  {**ask, "num_beams": 6, "n": 4, "length_penalty": 2, "logprobs": 1}])
    beams = rows[0]["beams"]
    check(len(beams) == 4 and [b["score"] for b in beams] == sorted((b["score"] for b in beams), reverse=True), f"{beams}")
    check(rows[1] == rows[2], "one beam is the greedy answer")
    check(rows[0]["tokens"] == beams[0]["tokens"] and rows[0]["text"] == beams[0]["text"], "the row is the best beam")
    for b in beams:
        paths = [tokens + b["tokens"][:k] for k in range(n)]
        total = sum(row[t] for row, t in zip(next_logprobs(model, paths), b["tokens"]))
        check(near(b["logprob"], total) and near(b["score"], total / n), f"score {b['score']}, {total / n}")
    check(beams[0]["logprob"] >= rows[2]["cumulative_logprob"] - 1e-4, "six beams do not find less than one")
    check([b["tokens"] for b in rows[3]["beams"]] == [b["tokens"] for b in beams], "equal lengths: the penalty scales")
    check(near(rows[3]["beams"][0]["score"], beams[0]["score"] / n), "length_penalty 2")
    check(len(rows[3]["beams"][0]["entropy"]) == n, "entropies of a beam")


def test_hugging_face(_):
    """Sequences and scores that transformers computed: $TRAWL_GOLDENS/tiny/<model>/golden.json."""
    goldens = pathlib.Path(os.environ.get("TRAWL_GOLDENS", "/nowhere"))
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted(goldens.glob("tiny/*/golden.json")):
            golden, rows = json.loads(path.read_text()), []
            for b in golden["beams"]:
                s = b["settings"]
                rows.append({"tokens": golden["sequences"][b["sequence"]]["input_ids"], "max_tokens": s["max_new_tokens"],
                             "num_beams": s["num_beams"], "n": s["num_return_sequences"], "ignore_eos": True,
                             "length_penalty": s["length_penalty"], "early_stopping": s["early_stopping"],
                             "stop_token_ids": [] if s["eos_token_id"] is None else [s["eos_token_id"]]})
            model = pathlib.Path(folder) / path.parent.name
            model.symlink_to(path.parent)
            for b, row in zip(golden["beams"], generate(model, rows)[1]):
                scores = [x["score"] for x in b["sequences"]]
                for i, (x, y) in enumerate(zip(row["beams"], b["sequences"])):
                    tie = any(abs(y["score"] - z) < 1e-4 for k, z in enumerate(scores) if k != i)
                    check(tie or (x["tokens"] == y["ids"] and abs(x["score"] - y["score"]) < 1e-4),
                          f"{path.parent.name} {b['settings']}: {x} for {y}")


def test_options(model):
    row = {"tokens": [3, 100, 7, 250], "max_tokens": 5}
    by_row = generate(model, [{**row, "num_beams": 3, "n": 2, "length_penalty": 0, "early_stopping": "never"}])[0]
    by_flag = generate(model, [row], "--num_beams", 3, "--n", 2, "--length_penalty", 0, "--early_stopping", "never")[0]
    check(by_row == by_flag, "options are the rows' defaults")
    p = run([TRAWL, "generate", "--quiet", "--model_path", model, "--prompt", "crabs", "--raw_prompt", "--num_beams", 3,
             "--n", 2, "--max_tokens", 4, "--dtype", "float32", "--threads", 1])
    rows = generate(model, [{"prompt": "crabs", "num_beams": 3, "n": 2, "max_tokens": 4}])[1]
    check(p.stdout == "\n\n".join(b["text"] for b in rows[0]["beams"]) + "\n", f"--prompt prints {p.stdout!r}")


def enumerate_answers(model, prefix, bound, stops, n):
    """All answers of at least that log-probability, by levels."""
    answers, open_ = [], [((), 0.0)]
    for depth in range(n):
        rows = next_logprobs(model, [prefix + list(path) for path, _ in open_]) if open_ else []
        following = []
        for (path, total), row in zip(open_, rows):
            for token, logprob in enumerate(row):
                if total + logprob >= bound:
                    ends = token in stops or depth + 1 == n
                    (answers if ends else following).append((path + (token,), total + logprob))
        open_ = following
    return answers


def test_dfs(model):
    tokens, least = [12, 40, 300], 0.0004
    stops = list(range(0, VOCAB, 9))
    row = {"tokens": tokens, "max_tokens": 3, "stop_token_ids": stops, "ignore_eos": True,
           "dfs": {"min_prob": least, "max_nodes": 100000, "max_outputs": 100000}}
    _, rows, _ = generate(model, [row, {**row, "dfs": {"min_prob": least, "max_nodes": 7}}])
    want = dict(enumerate_answers(model, tokens, math.log(least), set(stops), 3))
    edge = {p for p, x in want.items() if abs(x - math.log(least)) < 1e-4}
    got = {tuple(a["tokens"]): a for a in rows[0]["nbest"]}
    check(len(want) > 5 and set(got) - edge == set(want) - edge, f"{len(got)} answers, by enumeration {len(want)}")
    check(all(near(got[p]["logprob"], want[p]) for p in set(got) & set(want)), "log-probabilities of answers")
    check(all(a["finish_reason"] == ("stop" if a["tokens"][-1] in stops else "length") for a in got.values()), "reasons")
    sums = [a["logprob"] for a in rows[0]["nbest"]]
    check(sums == sorted(sums, reverse=True) and not rows[0]["truncated"], "the most probable answer comes first")
    check(rows[1]["truncated"] and rows[1]["nodes"] == 7, f"a budget of 7: {rows[1]['nodes']}, {rows[1]['truncated']}")


def mixed_rows():
    return [{"id": 0, "tokens": list(range(90)), "max_tokens": 9, "num_beams": 4, "n": 4, "logprobs": 1},
            {"id": 1, "prompt": "crabs and eels", "completions": ["a", " b", "crabs and more of these"], "logprobs": 1},
            {"id": 2, "prompt": "crabs and eels", "max_tokens": 4, "dfs": {"min_prob": 0.001}, "logprobs": 1},
            {"id": 3, "tokens": [1, 2, 3], "max_tokens": 12},
            {"id": 4, "tokens": list(range(90)), "max_tokens": 12, "num_beams": 3, "repetition_penalty": 1.3},
            {"id": 5, "tokens": list(range(70)), "completions": [[k, k + 1, k + 2] for k in range(20)]}] * 2


def test_meshes(model):
    rows = mixed_rows()
    want = generate(model, rows, "--batch_size", 4)[0]
    for flags in (["--mesh_shape", 2, 2, "--batch_size", 9], ["--prefill_chunk", 5], ["--prefix_cache", 0]):
        check(generate(model, rows, *flags)[0] == want, f"other bytes with {flags}")
    if shutil.which("mpirun") is None or not (BUILD / "libtrawl-mpi.so").exists():
        return
    for ranks, mesh in ((2, "2 1"), (2, "1 2"), (4, "2 2")):
        got = generate(model, rows, "--mesh_shape", *mesh.split(), "--prefill_chunk", 33, ranks=ranks)[0]
        check(got == want, f"other bytes on {ranks} processes, mesh {mesh}")


def test_refusals(model):
    t = {"tokens": [1, 2, 3], "max_tokens": 4}
    for row, words in (
            ({"num_beams": 0}, '"num_beams" is 0, expected 1'),
            ({"num_beams": 9}, "num_beams is 9, a batch holds 8 sequences (batch_size)"),
            ({"num_beams": 2, "n": 3}, "num_return_sequences is 3, expected 1 to num_beams, 2"),
            ({"num_beams": 2, "temperature": 1}, "num_beams with temperature 1: expected 0"),
            ({"num_beams": 2, "early_stopping": "always"}, 'expected true, false or "never"'),
            ({"num_beams": 2, "stop": "x"}, '"stop" texts end single answers as they come; with "num_beams"'),
            ({"best_of": 2, "temperature": 1, "stop": "x"}, '"stop" texts end single answers as they come; with "best_of"'),
            ({"num_beams": 2, "completions": ["a"]}, "exclude each other, here are 2"),
            ({"completions": []}, '"completions" is empty'),
            ({"completions": [""]}, '"completions"[0] is empty'),
            ({"completions": ["a", []]}, '"completions"[1] is empty'),
            ({"completions": [3]}, '"completions"[0] is a'),
            ({"completions": [[1, -2]]}, '"completions"[0][1] is'),
            ({"completions": [[VOCAB]]}, f"token 0 of completion 0 is {VOCAB}, the vocabulary has {VOCAB} ids"),
            ({"completions": ["a"], "n": 2}, '"n" is 2, expected 1'),
            ({"completions": ["a"], "repetition_penalty": 1.1}, "takes the model's probabilities as they are"),
            ({"dfs": {"min_prob": 0}}, '"min_prob" is 0, expected more than 0'),
            ({"dfs": {}}, '"min_prob" is 0, expected more than 0'),
            ({"dfs": {"min_prob": 0.1, "nodes": 3}}, 'there is no "nodes"'),
            ({"dfs": {"min_prob": 0.1, "max_nodes": 0}}, '"max_nodes" is 0, expected 1'),
            ({"dfs": [0.1]}, '"dfs" is an array')):
        _, rows, _ = generate(model, [{**t, **row}, t], code=3)
        check(rows[0]["finish_reason"] == "error" and words in rows[0]["error"], f"{row}: {rows[0].get('error')}")
        check(len(rows[1]["tokens"]) == 4, f"{row} disturbs its neighbour")


with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "model"
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", path, "--layers", "2", "--vocab", str(VOCAB),
                    "--eos", str(EOS), "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
    for test in (test_scores, test_beams, test_hugging_face, test_options, test_dfs, test_meshes, test_refusals):
        test(path)
sys.exit(1 if failures() else 0)
