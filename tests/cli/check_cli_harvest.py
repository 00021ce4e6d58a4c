#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl harvest: contexts and documents.jsonl are computed again here, from the ids that trawl tokenize gives; rows are
those of trawl trace."""
import contextlib
import io
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

from cli_harvest import (SITES, SOURCE, TRAWL, check, column, compare, encode, expected, failures, harvest, plain, prepare, tensors)


def test_contexts(tmp, model, paths, documents, bos, end):
    common = ["--input", *paths, "--sites", ",".join(SITES), "--threads", 1]
    n = 0
    for more, dtype, settings in (
            (["--context_size", 16], "bfloat16", dict(size=16, bos=bos)),
            (["--context_size", 7, "--activations_dtype", "float32", "--no_bos"], "float32", dict(size=7, bos=[])),
            (["--context_size", 9, "--overflow", "truncate"], "bfloat16", dict(size=9, bos=bos, overflow="truncate")),
            (["--context_size", 20, "--overflow", "skip", "--activations_dtype", "float16"], "float16",
             dict(size=20, bos=bos, overflow="skip")),
            (["--context_size", 13, "--pack"], "bfloat16", dict(size=13, bos=bos, pack=end)),
            (["--context_size", 13, "--pack", "--max_tokens", 149, "--drop_first_tokens", 1], "bfloat16",
             dict(size=13, bos=bos, pack=end, max_tokens=149, drop=1)),
            (["--context_size", 16, "--max_tokens", 100], "bfloat16", dict(size=16, bos=bos, max_tokens=100)),
            (["--context_size", 16, "--max_documents", 7], "bfloat16", dict(size=16, bos=bos, max_documents=7)),
            (["--context_size", 10, "--drop_first_tokens", 3], "bfloat16", dict(size=10, bos=bos, drop=3))):
        out = tmp / f"contexts{n}"
        n += 1
        p = harvest(model, out, *common, *more, code=3, says="2 documents were skipped")
        contexts = expected(documents, **settings)
        most = settings.get("max_tokens")
        check(most is None or sum(len(ids) for ids, _ in contexts) == most, f"{more}: not exactly {most} tokens expected")
        check(p.stderr.count("skipped: ") == 2 and "rows.jsonl: line 2: \"text\" is an integer" in p.stderr and
              "rows.jsonl: line 3: row: not JSON" in p.stderr, f"skipped rows: {p.stderr}")
        last = [piece for _, pieces in contexts for piece in pieces][-1]
        cut = last["first_token"] + last["n_tokens"] < len(plain(documents[last["document"]][3], settings["bos"]))
        check(most is None or cut == ("--max_tokens ends the run inside a document, after" in p.stderr), f"{more}: {p.stderr}")
        compare(out, model, tmp, contexts, dtype, settings.get("drop", 0))


def special_ids(model):
    added = json.loads((model / "tokenizer.json").read_text())["added_tokens"]
    config = json.loads((model / "tokenizer_config.json").read_text())
    return ({t["id"] for t in added if t["special"]} |
            {int(i) for i, t in config["added_tokens_decoder"].items() if t["special"]})


def test_rows(tmp, model, paths, documents, bos, end):
    """Which rows are stored, and what is said of them."""
    flags = ["--input", *paths, "--sites", ",".join(SITES), "--context_size", 13, "--threads", 1]
    special = special_ids(model)
    check(special >= {bos[0], end}, f"special tokens {special}")
    out = tmp / "special"
    p = harvest(model, out, *flags, "--pack", "--drop_special", code=3)
    contexts = expected(documents, 13, bos, pack=end)
    compare(out, model, tmp, contexts, "bfloat16", left_out=special)
    n = sum(t not in special for ids, _ in contexts for t in ids)
    check(f"{n} rows of each" in p.stderr, f"rows without special tokens: {p.stderr}")

    out = tmp / "logprobs"
    harvest(model, out, *flags, "--logprobs", "--drop_first_tokens", 2, code=3)
    contexts = expected(documents, 13, bos, drop=2)
    compare(out, model, tmp, contexts, "bfloat16", drop=2)
    (tmp / "ids.json").write_text(json.dumps([ids for ids, _ in contexts]))
    subprocess.run([TRAWL, "trace", "--quiet", "--model_path", model, "--tokens", tmp / "ids.json", "--sites", "logits", "--out",
                    tmp / "trace.safetensors"], check=True)
    want, got = tensors(tmp / "trace.safetensors"), {}
    for path in sorted((out / SITES[0]).glob("*.safetensors")):
        chunk = tensors(path)
        for r, lp, h in zip(column(chunk, "request"), column(chunk, "logprob"), column(chunk, "entropy")):
            got.setdefault(r, []).append((lp, h))
    for i, (ids, _) in enumerate(contexts):
        logprobs = column(want, f"seq.{i}.logprobs")
        check([lp for lp, _ in got[i][:-1]] == logprobs[2:] and math.isnan(got[i][-1][0]), f"log-probabilities of request {i}")
        logits = column(want, f"seq.{i}.logits")
        vocab = len(logits) // len(ids)
        for j, (_, h) in enumerate(got[i]):
            row = logits[(j + 2) * vocab:(j + 3) * vocab]
            weights = [math.exp(x - max(row)) for x in row]
            total = sum(weights)
            entropy = -sum(w / total * math.log(w / total) for w in weights if w > 0)
            check(abs(h - entropy) < 1e-5, f"entropy of request {i}, position {j + 2}: {h}, expected {entropy}")


def test_input(tmp, model, paths, documents, bos):
    flags = ["--sites", ",".join(SITES), "--context_size", 16, "--threads", 1]
    text = paths[0].read_text(encoding="utf-8")
    harvest(model, tmp / "stdin", "--input", "-", *flags, stdin=text, code=3, says="cannot be resumed")
    contexts = expected([("-", *d[1:]) for d in documents[:-1]], 16, bos)
    compare(tmp / "stdin", model, tmp, contexts, "bfloat16")
    harvest(model, tmp / "cut", "--input", "-", *flags, "--max_tokens", 20, stdin=json.dumps({"text": "crabs " * 30}),
            says="--max_tokens ends the run inside a document, after 18 of its")
    lines = tmp / "lines.txt"
    lines.write_bytes(b"the net\r\n\n  \ncomes up\nheavy")
    harvest(model, tmp / "lines", "--input", lines, "--split_lines", *flags)
    ids = encode(model, ["the net", "comes up", "heavy"])
    compare(tmp / "lines", model, tmp,
            expected([(str(lines), n, None, x) for n, x in zip((1, 4, 5), ids)], 16, bos), "bfloat16")
    other = tmp / "other.jsonl"
    other.write_text('{"body": "crabs", "text": 7, "messages": 1}\n{"text": "no"}\n')
    harvest(model, tmp / "field", "--input", other, "--text_field", "body", *flags, code=3, says="line 2: has no \"body\"")
    compare(tmp / "field", model, tmp, expected([(str(other), 1, None, encode(model, ["crabs"])[0])], 16, bos), "bfloat16")
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}<|end|>{% endfor %}")
    chats = tmp / "chats.jsonl"
    chats.write_text('{"messages": [{"role": "user", "content": "heavy?"}, {"role": "assistant", "content": "12 eels"}]}\n'
                     '{"messages": []}\n{"messages": {}}\n')
    p = harvest(model, tmp / "chats", "--input", chats, *flags, code=3, says="line 3: \"messages\" is an object")
    check("line 2: " in p.stderr, f"no messages: {p.stderr}")
    ids = encode(model, ["user: heavy?<|end|>assistant: 12 eels<|end|>"])[0]
    compare(tmp / "chats", model, tmp, expected([(str(chats), 1, None, ids)], 16, bos), "bfloat16")
    (model / "chat_template.jinja").unlink()
    broken = tmp / "broken.txt"
    broken.write_bytes(b"net\n\xff\xfe\ncrabs\n")
    harvest(model, tmp / "utf8", "--input", broken, "--split_lines", *flags, code=3, says="broken.txt: line 2")
    compare(tmp / "utf8", model, tmp, expected([(str(broken), 1, None, encode(model, ["net"])[0]),
                                                (str(broken), 3, None, encode(model, ["crabs"])[0])], 16, bos), "bfloat16")


def test_plan(tmp, model, paths):
    flags = ["--input", *paths, "--layers_to_extract", 0, 2, "--context_size", 16]
    p = harvest(model, tmp / "dry", *flags, "--dry_run", code=3, says="2 sites, 290 B a token")
    check(re.search(r"at most \d+ tokens/s, the matrix products alone, so at least 0 seconds", p.stderr), f"time: {p.stderr}")
    check(not (tmp / "dry").exists() and p.stdout == "", "a dry run leaves something behind")
    harvest(model, tmp / "pkl", *flags, "--activations_format", "pkl", code=3)
    check({f.name for f in (tmp / "pkl").glob("*.pkl")} == {"layer_0_batch_000001.pkl", "layer_2_batch_000001.pkl"}, "pickles")
    p = harvest(model, tmp / "usual", "--input", paths[1], "--context_size", 16)
    names = [line.split()[0] for line in p.stdout.splitlines()]
    check(names == ["site", *(f"blocks.{i}.hook_resid_post" for i in (0, 1, 2))], f"summary: {p.stdout}")


def test_refusals(tmp, model, paths):
    for words, code, *flags in (
            ("counted from 0", 2, "--shard_id", 2, "--num_shards", 2), ("exclude each other", 2, "--add_bos", "--no_bos"),
            ("does not go with --overflow skip", 2, "--pack", "--overflow", "skip"),
            ("no row would be left", 2, "--context_size", 4, "--drop_first_tokens", 4),
            ("has no room for a text: it begins with 1 special token", 2, "--context_size", 1),
            ("the model's context 4096", 2, "--context_size", 5000), ("--max_model_len 20", 2, "--max_model_len", 20),
            ("0 to 2", 2, "--layers_to_extract", 3), ("hook_nothing", 2, "--sites", "hook_nothing"),
            ("pickles hold float32", 2, "--activations_format", "pkl", "--activations_dtype", "float16"),
            ("--split_lines is about text files", 2, "--input_format", "jsonl", "--split_lines")):
        harvest(model, tmp / "no", "--input", *paths, *flags, code=code, says=words)
    harvest(model, tmp / "no", "--input", "-", "--resume", code=2, says="cannot be read again", stdin="")
    harvest(model, tmp / "no", "--input", "-", "-", code=2, says="standard input 2 times", stdin="")
    harvest(model, tmp / "no", "--input", tmp / "absent.txt", code=1, says="absent.txt")
    (tmp / "empty.txt").write_text("")
    harvest(model, tmp / "no", "--input", tmp / "empty.txt", code=1, says="there is no text in the input")
    harvest(model, tmp / "no", "--input", tmp / "x.jsonl.zst", code=1, says="zstdcat FILE | trawl harvest --input -")
    harvest(model, tmp / "no", "--input", tmp / "x.parquet", code=1, says="to_json")
    check(not (tmp / "no").exists(), "a refused run leaves a folder behind")


def test_page(tmp, model, documents, paths, bos):
    """The program of docs/harvest.md that leads from a row to its text, where safetensors is installed."""
    try:
        import safetensors  # noqa: F401
    except ImportError:
        print("the program of docs/harvest.md is not run: there is no safetensors for Python")
        return
    page = (SOURCE / "docs/harvest.md").read_text()
    program = re.findall(r"```python\n(.*?)```", page, flags=re.S)[1]
    program = program.replace("\"acts\"", repr(str(tmp / "page"))).replace("blocks.10.", "blocks.1.")
    harvest(model, tmp / "page", "--input", *paths, "--context_size", 9, "--layers_to_extract", 1, code=3)
    names = {}
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(program, names)
    want = []
    for ids, pieces in expected(documents, 9, bos):
        for position in range(len(ids)):
            found = [p for p in pieces if p["position"] <= position < p["position"] + p["n_tokens"]]
            want += [(p["file"], p.get("line"), p["first_token"] + position - p["position"]) for p in found] or [None]
    got = [names["place"](*row) for row in names["rows"]]
    check(len(got) > 100 and got == want[:len(got)] and said.getvalue() == f"{want[5]}\n", f"docs/harvest.md: {said.getvalue()}")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    model, paths, documents, bos, end, rng = prepare(tmp)
    test_contexts(tmp, model, paths, documents, bos, end)
    test_rows(tmp, model, paths, documents, bos, end)
    test_input(tmp, model, paths, documents, bos)
    test_page(tmp, model, documents, paths, bos)
    test_plan(tmp, model, paths)
    test_refusals(tmp, model, paths)

sys.exit(1 if failures else 0)
