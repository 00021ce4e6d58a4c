#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl perplexity against the sliding windows of Hugging Face's page on perplexity, computed here from the
log-probabilities that trawl trace gives for each window. That page weighs a window by one token less than it scores;
here, as in the command, every token weighs the same."""
import json
import math
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

from checks import MPI_ENV, check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])


def perplexity(model, *flags, code=0):
    p = subprocess.run([TRAWL, "perplexity", "--quiet", "--model_path", model, "--threads", "1", *map(str, flags)],
                       capture_output=True, text=True, timeout=100)
    check(p.returncode == code, f"{flags}: exit {p.returncode}, expected {code}: {p.stderr}")
    return p.stdout if code == 0 else p.stderr


def encode(model, text):
    p = subprocess.run([TRAWL, "tokenize", "--model_path", model], input=json.dumps({"text": text}) + "\n",
                       capture_output=True, text=True, check=True)
    return json.loads(p.stdout)["ids"]


def trace(model, folder, sequences):
    """Log-probabilities of the next token at each place but the last, of every sequence."""
    (folder / "ids.json").write_text(json.dumps(sequences))
    subprocess.run([TRAWL, "trace", "--quiet", "--model_path", model, "--tokens", folder / "ids.json", "--sites", "logits",
                    "--out", folder / "trace.safetensors"], check=True)
    data = (folder / "trace.safetensors").read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + n]), data[8 + n:]
    spans = [header[f"seq.{i}.logprobs"]["data_offsets"] for i in range(len(sequences))]
    return [struct.unpack(f"<{(end - begin) // 4}f", body[begin:end]) for begin, end in spans]


def sliding_windows(length, context, stride):
    """Hugging Face's loop: (begin, end, number of target tokens)."""
    out, previous_end = [], 0
    for begin in range(0, length, stride):
        end = min(begin + context, length)
        out.append((begin, end, end - previous_end))
        previous_end = end
        if end == length:
            break
    return out


def expected(model, folder, ids, context, stride):
    windows = sliding_windows(len(ids), context, stride)
    logprobs = trace(model, folder, [ids[b:e] for b, e, _ in windows])
    nll, n, parts = 0.0, 0, []
    for (begin, end, target), row in zip(windows, logprobs):
        labels = [-100] * (end - begin - target) + ids[end - target:end]  # what the loss ignores, and what it scores
        scored = [-row[i - 1] for i in range(1, end - begin) if labels[i] != -100]
        if scored:
            parts.append((begin, end, len(scored), sum(scored) / len(scored)))
            nll += sum(scored)
            n += len(scored)
    return nll, n, parts


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-9)


def test_windows(model, folder, text, bos):
    ids = [bos, *encode(model, text.read_text())]
    for context, stride, most in ((16, 16, None), (16, 5, None), (7, 1, 30), (4096, 100, None), (2, 2, 21), (33, 33, 67)):
        flags = ["--input", text, "--context_size", context, "--stride", stride, "--json"]
        got = json.loads(perplexity(model, *flags, *(("--max_tokens", most) if most else ())))
        nll, n, parts = expected(model, folder, ids[:most], context, stride)
        name = f"context {context}, stride {stride}, {most or len(ids)} tokens"
        check(got["scored_tokens"] == n and close(got["mean_nll"], nll / n) and close(got["perplexity"], math.exp(nll / n)),
              f"{name}: {got['scored_tokens']} tokens, {got['mean_nll']}, expected {n}, {nll / n}")
        windows = got["inputs"][0]["windows"]
        check(got["inputs"][0]["tokens"] == len(ids[:most]), f"{name}: tokens")
        check([(w["begin"], w["end"], w["scored_tokens"]) for w in windows] == [p[:3] for p in parts], f"{name}: windows")
        check(all(close(w["mean_nll"], p[3]) for w, p in zip(windows, parts)), f"{name}: a window's mean")


def test_the_same_bits(model, texts):
    flags = ["--input", *texts, "--context_size", 24, "--stride", 10, "--json"]
    want = perplexity(model, *flags)
    for more in (("--mesh_shape", 2, 1), ("--mesh_shape", 1, 2), ("--batch_size", 1), ("--prefill_chunk", 3)):
        check(perplexity(model, *flags, *more) == want, f"{more} changes the result")


def test_several_processes(model, texts):
    build = pathlib.Path(os.environ["TRAWL_BUILD"])
    if shutil.which("mpirun") is None or not (build / "libtrawl-mpi.so").exists():
        print("no mpirun, or built without MPI: one process only")
        return
    flags = [TRAWL, "perplexity", "--quiet", "--model_path", model, "--threads", "1", "--input", *texts, "--context_size", "24",
             "--stride", "10", "--json"]
    env = {**os.environ, **MPI_ENV}
    want = subprocess.run(flags, capture_output=True, check=True).stdout
    for mesh in (["2", "1"], ["1", "2"]):
        p = subprocess.run(["mpirun", "-n", "2", *flags, "--mesh_shape", *mesh], capture_output=True, env=env, timeout=100)
        check(p.returncode == 0 and p.stdout == want, f"two processes, mesh {mesh}: exit {p.returncode}, {p.stderr[-500:]}")


def test_several_texts(model, texts):
    flags = ["--context_size", 24, "--stride", 10]
    alone = [json.loads(perplexity(model, "--input", t, *flags, "--json")) for t in texts]
    both = json.loads(perplexity(model, "--input", *texts, *flags, "--json"))
    check(both["inputs"] == [a["inputs"][0] for a in alone], "a text's result depends on its neighbour")
    n = sum(a["scored_tokens"] for a in alone)
    mean = sum(a["mean_nll"] * a["scored_tokens"] for a in alone) / n
    check(both["scored_tokens"] == n and close(both["mean_nll"], mean), "the mean of two texts")
    lines = perplexity(model, "--input", *texts, *flags).splitlines()
    windows = sum(len(a["inputs"][0]["windows"]) for a in alone)
    check(lines == [f"{t}: perplexity {a['perplexity']:.4f}, mean NLL {a['mean_nll']:.6f} nats, {a['scored_tokens']} tokens"
                    for t, a in zip(texts, alone)] +
          [f"perplexity {math.exp(mean):.4f}, mean NLL {mean:.6f} nats, {n} tokens, {windows} windows of 24 every 10"],
          f"lines: {lines}")


def test_refusals(model, folder, text):
    def refused(words, code, *flags):
        said = perplexity(model, *flags, code=code)
        check(words in said, f"{flags}: {said!r} does not say {words!r}")

    refused("--stride is 9, --context_size 8", 2, "--input", text, "--context_size", 8, "--stride", 9)
    refused("the model's context 4096", 2, "--input", text, "--context_size", 5000)
    refused("--max_model_len 20", 2, "--input", text, "--context_size", 30, "--max_model_len", 20)
    (folder / "empty.txt").write_text("")
    refused("empty.txt: 1 tokens, a prediction needs 2", 1, "--input", text, folder / "empty.txt")
    (folder / "bytes.txt").write_bytes(b"a\xffb")
    refused("bytes.txt", 1, "--input", folder / "bytes.txt")
    refused("absent.txt", 1, "--input", folder / "absent.txt")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    seed = 1
    print("seed", seed)
    rng = random.Random(seed)
    words = "the net goes down where nobody looks and comes up heavy 3 crabs 12 eels <|end|> é 网 \n".split(" ")
    texts = [tmp / "a.txt", tmp / "b.txt"]
    for path, n in zip(texts, (90, 37)):
        path.write_text(" ".join(rng.choice(words) for _ in range(n)))
    model = tmp / "model"
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--vocab", "560",
                    "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
    test_windows(model, tmp, texts[0], encode(model, "<|begin|>")[0])
    test_the_same_bits(model, texts)
    test_several_processes(model, texts)
    test_several_texts(model, texts)
    test_refusals(model, tmp, texts[0])

sys.exit(1 if failures() else 0)
