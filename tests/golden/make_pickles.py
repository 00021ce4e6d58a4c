#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeds for fuzz_acts_pickle: make_pickles.py tests/fuzz/corpus/acts_pickle. The opcodes that the store writes, put
together by hand from the pickle documentation (Lib/pickle.py), so the reader is not checked against its own writer."""
import pathlib
import pickle
import struct
import sys


def integer(v):
    if 0 <= v < 256:
        return b"K" + bytes([v])
    if 0 <= v < 65536:
        return b"M" + struct.pack("<H", v)
    if -2**31 <= v < 2**31:
        return b"J" + struct.pack("<i", v)
    return b"\x8a\x08" + struct.pack("<q", v)


def text(s):
    b = s.encode()
    return b"\x8c" + bytes([len(b)]) + b if len(b) < 256 else b"X" + struct.pack("<I", len(b)) + b


def array(rows, width, first):
    values = struct.pack(f"<{rows * width}f", *(i / 4 for i in range(rows * width)))
    head = b"cnumpy\nndarray\n\x94" if first else b"h\x00"
    dtype = b"cnumpy\ndtype\n(" + text("<f4") + b"tR\x94" if first else b"h\x01"
    return (head + b"((" + integer(0) + b"tt\x81(" + integer(1) + b"(" + integer(rows) + integer(width) + b"t" + dtype +
            b"\x89B" + struct.pack("<I", len(values)) + values + b"tb")


def entry(task, sample, rows, width, first):
    return (b"}(" + text("task_id") + text(task) + text("sample_idx") + integer(sample) + text("activation") +
            array(rows, width, first) + text("shape") + b"(" + integer(rows) + integer(width) + b"tu")


def whole(*entries):
    return b"\x80\x04](" + b"".join(entry(*e, i == 0) for i, e in enumerate(entries)) + b"e."


out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
(out / "one").write_bytes(whole(("a", 0, 1, 1)))
(out / "three").write_bytes(whole(("task", 1, 2, 3), ("", 70000, 300, 1), ("x" * 300, -5, 1, 4)))
(out / "wide").write_bytes(whole(("t", 2**40, 3, 5)))
(out / "none").write_bytes(b"\x80\x04](e.")
(out / "other").write_bytes(pickle.dumps([{"task_id": "a", "activation": None}], protocol=4))
