# SPDX-License-Identifier: MIT
"""What the tests of trawl harvest share: a corpus, the contexts that are to become of it, and reading folders."""
import json
import os
import pathlib
import random
import struct
import subprocess
import sys

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
TYPES = {"BF16": "H", "F16": "e", "F32": "f", "I64": "q", "I32": "i", "U8": "B"}
SITES = ["blocks.0.hook_resid_post", "blocks.1.attn.hook_z"]
failures = []


def check(ok, what):
    if not ok:
        print("FAILED:", what)
        failures.append(what)


def command(model, out, *flags):
    return [TRAWL, "harvest", "--quiet", "--model_path", model, "--activations_dir", out, *map(str, flags)]


def harvest(model, out, *flags, code=0, says="", stdin=None, before=()):
    p = subprocess.run([*before, *command(model, out, *flags)], capture_output=True, text=True, input=stdin, timeout=100)
    check(p.returncode == code and says in p.stderr,
          f"{flags}: exit {p.returncode}, expected {code} and {says!r}: {p.stderr[-800:]}")
    return p


def tensors(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, t in json.loads(data[8:8 + n]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            out[name] = t["dtype"], t["shape"], data[8 + n + begin:8 + n + end]
    return out


def column(chunk, name):
    dtype, _, data = chunk[name]
    return list(struct.unpack(f"<{len(data) // struct.calcsize(TYPES[dtype])}{TYPES[dtype]}", data))


def stored(folder, site):
    """{request: [(position, token, bytes of the row)]} of a site."""
    out = {}
    for path in sorted((folder / site).glob("*.safetensors")):
        chunk = tensors(path)
        _, (rows, width), data = chunk["activation"]
        size = len(data) // rows
        for i, (r, p, t) in enumerate(zip(column(chunk, "request"), column(chunk, "position"), column(chunk, "token"))):
            out.setdefault(r, []).append((p, t, data[i * size:(i + 1) * size]))
    return out


def files(folder, but=()):
    """Bytes of every file; what metadata.json says of the batch is left out."""
    out = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in but}
    meta = json.loads(out["metadata.json"])
    meta.pop("batch_size")
    return {**out, "metadata.json": json.dumps(meta).encode()}


def same(a, b, what):
    check(a.keys() == b.keys(), f"{what}: files {sorted(a.keys() ^ b.keys())}")
    for name in a.keys() & b.keys():
        check(a[name] == b[name], f"{what}: {name} differs")


def index(folder):
    return [json.loads(line) for line in (folder / "documents.jsonl").read_text().splitlines()]


# ---- the corpus, and what is to become of it ----

def encode(model, texts):
    p = subprocess.run([TRAWL, "tokenize", "--model_path", model], input="".join(json.dumps({"text": t}) + "\n" for t in texts),
                       capture_output=True, text=True, check=True)
    return [json.loads(line)["ids"] for line in p.stdout.splitlines()]


def make_corpus(folder, model, rng):
    """Two files, and what they hold: (file, line, id, ids) in order; ids of the second file's rows may be given."""
    words = "the net goes down where nobody looks and comes up heavy 3 crabs 12 eels é 网".split()
    text = lambda n: " ".join(rng.choice(words) for _ in range(n))
    rows, documents, texts = [], [], []
    for i in range(25):
        kind = i % 6
        row = {"text": text(rng.choice((0, 1, 5, 11, 30)))}
        if kind == 1:
            row["id"] = f"é{i}"
        elif kind == 2:
            row["id"] = i
        elif kind == 3:
            row = {"tokens": [rng.randrange(560) for _ in range(rng.randrange(20))], "id": None}
        rows.append(row)
    lines = [json.dumps(r) for r in rows]
    lines.insert(0, "")
    lines.insert(1, "{\"text\": 1}")
    lines.insert(2, "{")
    path, single = folder / "rows.jsonl", folder / "one.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    single.write_text("\ufeff" + text(60), encoding="utf-8")
    texts = [r["text"] for r in rows if "text" in r] + [single.read_text(encoding="utf-8-sig")]
    encoded = iter(encode(model, texts))
    for number, line in enumerate(lines, 1):
        if line in ("", "{", "{\"text\": 1}"):
            continue
        row = json.loads(line)
        documents.append((str(path), number, row.get("id"), row["tokens"] if "tokens" in row else next(encoded)))
    documents.append((str(single), None, None, next(encoded)))
    return [path, single], documents


def plain(ids, bos):
    """Without the BOS that its contexts have anyway."""
    return ids[len(bos):] if bos and ids[:len(bos)] == bos else ids


def expected(documents, size, bos, overflow="split", pack=None, max_tokens=None, drop=0, max_documents=None):
    """[(ids, pieces)], pieces as lines of documents.jsonl without "request"."""
    room, flat, alone = size - len(bos), [], []
    for number, (file, line, name, ids) in enumerate(documents[:max_documents]):
        ids = plain(ids, bos)
        if not ids or (overflow == "skip" and len(ids) > room):
            continue
        ids = ids[:room] if overflow == "truncate" else ids
        if pack is not None and flat and flat[-1][0] != pack:
            flat.append((pack, None, None))
        flat += [(t, number, i) for i, t in enumerate(ids)]
        alone.append([(t, number, i) for i, t in enumerate(ids)])
    out, left = [], max_tokens if max_tokens else 1 << 60
    for stream in ([flat] if pack is not None else alone):
        at = 0
        while at < len(stream) and left > drop:
            part = stream[at:at + max(0, min(size, left) - len(bos))]
            at += len(part)
            ids = bos[:left] + [t for t, _, _ in part]
            if len(ids) <= drop:
                continue
            left -= len(ids)
            pieces = []
            for i, (_, number, place) in enumerate(part):
                if number is None:
                    continue
                if pieces and pieces[-1]["document"] == number:
                    pieces[-1]["n_tokens"] += 1
                    continue
                file, line, name, _ = documents[number]
                pieces.append({"position": len(bos) + i, "n_tokens": 1, "file": file, "document": number, "first_token": place,
                               **({} if line is None else {"line": line}), **({} if name is None else {"id": name})})
            out.append((ids, pieces))
    return out


def trace(folder, model, sequences, sites):
    """Bytes of float32 rows: [sequence][site]."""
    (folder / "ids.json").write_text(json.dumps(sequences))
    subprocess.run([TRAWL, "trace", "--quiet", "--model_path", model, "--tokens", folder / "ids.json", "--sites", *sites, "--out",
                    folder / "trace.safetensors"], check=True)
    t = tensors(folder / "trace.safetensors")
    return [{s: t[f"seq.{i}.{s}"][2] for s in sites} for i in range(len(sequences))]


def bfloat16(data):
    out = []
    for (word,) in struct.iter_unpack("<I", data):
        out.append((word + 0x7fff + (word >> 16 & 1)) >> 16)
    return struct.pack(f"<{len(out)}H", *out)


def compare(folder, model, tmp, contexts, dtype, drop=0, left_out=()):
    rows = trace(tmp, model, [ids for ids, _ in contexts], SITES)
    for site in SITES:
        got = stored(folder, site)
        for i, (ids, _) in enumerate(contexts):
            data = rows[i][site]
            width = len(data) // len(ids)
            data = {"float32": lambda x: x, "bfloat16": bfloat16,
                    "float16": lambda x: struct.pack(f"<{len(x) // 4}e", *struct.unpack(f"<{len(x) // 4}f", x))}[dtype](data)
            width = len(data) // len(ids)
            want = [(p, t, data[p * width:(p + 1) * width]) for p, t in enumerate(ids) if p >= drop and t not in left_out]
            check(got.pop(i, []) == want, f"{folder.name}: {site}: rows of request {i}")
        check(not got, f"{folder.name}: {site}: requests {sorted(got)} are too many")
    lines = [{"request": i, **piece} for i, (_, pieces) in enumerate(contexts) for piece in pieces]
    check(index(folder) == lines, f"{folder.name}: documents.jsonl")


def prepare(tmp):
    """A model with a tokenizer, and a corpus: model, paths, documents, BOS, end token, random numbers."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng, model = random.Random(seed), tmp / "model"
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "3", "--vocab", "560",
                    "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
    paths, documents = make_corpus(tmp, model, rng)
    return model, paths, documents, encode(model, ["<|begin|>"])[0], encode(model, ["<|end|>"])[0][0], rng
