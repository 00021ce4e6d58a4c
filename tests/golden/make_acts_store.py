#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeds for fuzz_acts_store: make_acts_store.py tests/fuzz/corpus/acts_store. One set of bytes serves as every file of a
folder: a safetensors file with the tensors of a chunk and of the statistics, or a pickle as make_pickles.py has it."""
import json
import pathlib
import struct
import sys

WIDTH, SITES = 3, [("blocks.0.hook_resid_post", 0), ("blocks.0.attn.hook_z", -1)]
REQUESTS = [0, 0, 1, 3, 3, 3]  # of the rows


def tensors(dtype, rows):
    code, size = {"float32": ("F32", "f"), "bfloat16": ("BF16", "H"), "float16": ("F16", "e")}[dtype]
    values = [i / 4 if size != "H" else 0x3F80 + i for i in range(len(rows) * WIDTH)]
    n, width = len(rows), [WIDTH]
    out = [("request", "I64", [n], struct.pack(f"<{n}q", *rows))]
    for name, _ in SITES:
        out += [(f"{name}.{what}", "I64", [1], struct.pack("<q", v)) for what, v in (("rows", n), ("nonfinite_rows", 0))]
        out += [(f"{name}.{what}", "F64", [1], struct.pack("<d", 2.5)) for what in ("norm_sum", "norm_square_sum")]
        out += [(f"{name}.{what}", "F64", width, struct.pack(f"<{WIDTH}d", *range(WIDTH))) for what in ("sum", "square_sum")]
    out += [(name, "I32", [n], struct.pack(f"<{n}i", *range(n))) for name in ("token", "position")]
    out += [("activation", code, [n, WIDTH], struct.pack(f"<{n * WIDTH}{size}", *values)),
            ("is_generated", "U8", [n], bytes(i % 2 for i in range(n)))]
    return out


def safetensors(dtype, rows):
    header, data = {}, b""
    for name, code, shape, raw in tensors(dtype, rows):
        header[name] = {"dtype": code, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def folder(fmt, dtype, content, n_rows, requests, numbers, width=WIDTH):
    sites = " ".join(f"{name}:{layer}:{width}" for name, layer in SITES)
    lines = []
    for name, layer in SITES:
        label = name if layer < 0 else f"layer_{layer}"
        file = f"{label}_batch_000001.pkl" if fmt == "pkl" else f"{name}/shard-00000-chunk-00000001.safetensors"
        record = {"file": file, "site": name, "chunk": 1, "first": 0, "end": 4, "requests": requests, "rows": n_rows,
                  "bytes": 0, "xxh3": "0" * 16}
        lines.append(json.dumps(record | ({"numbers": numbers} if numbers else {})))
    lines.append(json.dumps({"file": "statistics.safetensors", "bytes": 0, "xxh3": "0" * 16}))
    return f"{fmt}|{dtype}|0|{sites}\n".encode() + "\n".join(lines).encode() + b"\n\n" + content


out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
for dtype in ("float32", "bfloat16", "float16"):
    (out / dtype).write_bytes(folder("safetensors", dtype, safetensors(dtype, REQUESTS), 6, 3, "0-1,3"))
(out / "shuffled").write_bytes(folder("safetensors", "float32", safetensors("float32", [3, 0, 1, 3, 0, 3]), 6, 3, "0-1,3"))
pickle = (pathlib.Path(__file__).parent.parent / "fuzz/corpus/acts_pickle/one").read_bytes()
(out / "pickle").write_bytes(folder("pkl", "float32", pickle, 1, 1, "2", 1))
