#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The programs of examples/ on a small random model: what they print is what `trawl generate` answers, and what the
logits and activations of `trawl trace` say by brute force."""
import json
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
EXAMPLES = pathlib.Path(os.environ["TRAWL_BUILD"], "examples")
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
BEGIN = 543  # <|begin|> of tests/text/data/split, which goes before a text


def run(name, *arguments):
    """Lines that an example prints."""
    p = subprocess.run([EXAMPLES / name, *map(str, arguments)], capture_output=True, text=True, timeout=100,
                       errors="surrogateescape")
    check(p.returncode == 0, f"{name} {arguments}: exit {p.returncode}: {p.stderr}")
    return p.stdout


def command(*arguments, rows=()):
    p = subprocess.run([TRAWL, *map(str, arguments)], input="".join(json.dumps(r) + "\n" for r in rows),
                       capture_output=True, text=True, check=True)
    return [json.loads(line) for line in p.stdout.splitlines()]


class Model:
    def __init__(self, folder):
        self.path = folder / "model"
        self.folder = folder
        subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", self.path, "--layers", "2", "--vocab", "560",
                        "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/split"], check=True)

    def encode(self, text, begin=()):
        return [*begin, *command("tokenize", "--model_path", self.path, rows=[{"text": text}])[0]["ids"]]

    def decode(self, ids):
        text = command("tokenize", "--model_path", self.path, rows=[{"ids": ids}])[0]["text"]
        return text.replace("<|end|>", "").replace("<|begin|>", "")

    def trace(self, sequences, site="logits"):
        """[rows of floats] of every sequence."""
        (self.folder / "ids.json").write_text(json.dumps(sequences))
        command("trace", "--quiet", "--model_path", self.path, "--tokens", self.folder / "ids.json", "--sites", site,
                "--out", self.folder / "out.safetensors")
        data = (self.folder / "out.safetensors").read_bytes()
        n = struct.unpack("<Q", data[:8])[0]
        header, body = json.loads(data[8:8 + n]), data[8 + n:]
        out = []
        for i in range(len(sequences)):
            t = header[f"seq.{i}.{site}"]
            begin, end = t["data_offsets"]
            width = t["shape"][1]
            floats = struct.unpack(f"<{(end - begin) // 4}f", body[begin:end])
            out.append([floats[j:j + width] for j in range(0, len(floats), width)])
        return out


def logprob(logits, token):
    top = max(logits)
    return logits[token] - top - math.log(sum(math.exp(x - top) for x in logits))


def total(rows, ids, first):
    """Log-probability of ids[first:] after ids[:first]."""
    return sum(logprob(rows[i - 1], ids[i]) for i in range(first, len(ids)))


def ranked(logits):
    return sorted(range(len(logits)), key=lambda i: (-logits[i], i))


def test_generate(m):
    texts = ["The net goes down", "crabs and eels"]
    rows = command("generate", "--quiet", "--model_path", m.path, "--prompts_file", "-",
                   rows=[{"tokens": m.encode(t, [BEGIN]), "max_tokens": 16} for t in texts])
    want = "".join(f"{t}|{r['text']}\n    {len(r['tokens'])} tokens, log-probability {r['cumulative_logprob']:.4f}\n"
                   for t, r in zip(texts, rows))
    got = run("generate", m.path, *texts)
    check(got == want, f"generate: {got!r}, expected {want!r}")


def test_score_choices(m):
    text, choices = "The net", [" goes", " comes up heavy", "!"]
    ids = m.encode(text, [BEGIN])
    sequences = [ids + m.encode(c) for c in choices]
    scores = [total(rows, s, len(ids)) for rows, s in zip(m.trace(sequences), sequences)]
    lines = run("score_choices", m.path, text, *choices).splitlines()
    for line, score, s, choice in zip(lines, scores, sequences, choices):
        value, n, rest = line.split(None, 2)
        check(abs(float(value) - score) < 2e-4 and int(n) == len(s) - len(ids) and rest == f"tokens  {choice}",
              f"score_choices: {line!r}, expected {score}")
    check(lines[3] == text + choices[scores.index(max(scores))], f"score_choices: {lines[3]!r}, scores {scores}")


def test_capture_activations(m):
    text = "The net comes up"
    ids = m.encode(text)
    rows = m.trace([ids], "blocks.1.hook_resid_post")[0]
    lines = run("capture_activations", m.path, text, "blocks.1.hook_resid_post").splitlines()
    check(len(lines) == len(ids), f"capture_activations: {len(lines)} lines, {len(ids)} tokens")
    for line, row in zip(lines, rows):
        norm = math.sqrt(sum(x * x for x in row))
        check(abs(float(line.split()[0]) - norm) < 6e-4, f"capture_activations: {line!r}, expected {norm}")


def test_custom_sampler(m):
    text, letters, n = "The net", "aeiou", 6
    pieces = {}

    def allowed(token):
        if token not in pieces:
            pieces[token] = command("tokenize", "--model_path", m.path, rows=[{"ids": [token]}])[0]["text"]
        return pieces[token] != "" and not any(c in pieces[token] for c in letters)

    first = m.encode(text, [BEGIN])
    ids = list(first)
    for _ in range(n):
        logits = m.trace([ids])[0][-1]
        ids.append(next(t for t in ranked(logits) if allowed(t)))
    got = run("custom_sampler", m.path, text, letters, n)
    want = f"{text}|{m.decode(ids[len(first):])}\n"
    check(got == want, f"custom_sampler: {got!r}, expected {want!r}")


def test_tree_search(m):
    text, depth, width = "The net", 3, 4
    first = m.encode(text, [BEGIN])
    level = [first]
    for _ in range(depth):
        tops = [ranked(rows[-1])[:width] for rows in m.trace(level)]
        level = [ids + [t] for ids, top in zip(level, tops) for t in top]
    scores = [total(rows, ids, len(first)) for rows, ids in zip(m.trace(level), level)]
    best = max(scores)
    out = run("tree_search", m.path, text, depth)
    head, tail = out.rsplit("\n    log-probability ", 1)
    check(head == f"{text}|{m.decode(level[scores.index(best)][len(first):])}", f"tree_search: {head!r}")
    score, nodes = tail.split(", ")
    check(abs(float(score) - best) < 2e-4, f"tree_search: {score}, expected {best}")
    check(width * depth <= int(nodes.split()[0]) <= sum(width ** d for d in range(1, depth + 1)), f"tree_search: {nodes}")


def test_ends(m, folder):
    for name in ("generate", "score_choices", "capture_activations", "custom_sampler", "tree_search"):
        p = subprocess.run([EXAMPLES / name], capture_output=True, text=True)
        check(p.returncode == 2 and p.stderr.startswith(f"usage: {name} MODEL TEXT"), f"{name}: {p.stderr!r}")
    p = subprocess.run([EXAMPLES / "generate", folder / "nowhere", "x"], capture_output=True, text=True)
    check(p.returncode == 1 and "nowhere" in p.stderr, f"a model that is not there: {p.stderr!r}")
    p = subprocess.run([EXAMPLES / "capture_activations", m.path, "x", "blocks.7.hook_resid_post"], capture_output=True,
                       text=True)
    check(p.returncode == 1 and "layer 7 of a model with 2 layers" in p.stderr, f"a site that is not there: {p.stderr!r}")


with tempfile.TemporaryDirectory() as tmp:
    model = Model(pathlib.Path(tmp))
    check(model.decode([BEGIN]) == "" and model.encode("<|begin|>") == [BEGIN], "the id of <|begin|>")
    test_generate(model)
    test_score_choices(model)
    test_capture_activations(model)
    test_custom_sampler(model)
    test_tree_search(model)
    test_ends(model, pathlib.Path(tmp))

sys.exit(1 if failures() else 0)
