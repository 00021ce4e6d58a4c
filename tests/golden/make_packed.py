#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Seeds for fuzz_packed: make_packed.py tests/fuzz/corpus/packed. Files with compressed matrices, laid out as
src/model/model_packed.h says, but for checksums, which the target puts right."""
import pathlib
import struct
import sys

BF16, COMPRESSED = 2, 2


def up(n, unit):
    return (n + unit - 1) // unit * unit


def matrix(k, plain):
    """Panels of k inputs, plain[p] the plain groups of panel p: zeros, in the right places."""
    groups = [g for panel in plain for g in panel]
    first = [sum(len(panel) for panel in plain[:p]) for p in range(len(plain) + 1)]
    data = b""
    for part in (bytes(len(plain) * k // 8 * 192), bytes(256 * len(groups)), bytes(range(16)) * len(plain),
                 struct.pack(f"<{len(first)}I", *first), struct.pack(f"<{len(groups)}I", *groups)):
        data += bytes(-len(data) % 64) + part
    return data


def entry(name, offset, data, k=0, plain=(), flags=0, dtype=BF16):
    return struct.pack("<96s5Q2I2Q32x", name.encode(), offset, len(data), 0, 16 * len(plain), k, dtype, flags, len(plain),
                       sum(map(len, plain)))


def file(matrices, version=2):
    head = up(128 + 192 * (len(matrices) + 1), 4096)
    body, table = b"", b""
    for i, (k, plain) in enumerate(matrices):
        data = matrix(k, plain)
        body += bytes(-len(body) % 4096)
        table += entry(f"m{i}", head + len(body), data, k, plain, COMPRESSED)
        body += data
    table += entry("rows", head + up(len(body), 64), bytes(64))
    body += bytes(-len(body) % 64) + bytes(64)
    n = head + len(body)
    header = struct.pack("<8sII5QIII60x", b"TRAWLPAK", 0x01020304, version, 0, head, n, 0, 0, len(matrices) + 1, BF16, 1)
    return (header + table).ljust(head, b"\0") + body


def main():
    folder = pathlib.Path(sys.argv[1])
    (folder / "compressed").write_bytes(file([(16, [[0], [], [0, 1]])]))
    (folder / "compressed_two").write_bytes(file([(8, [[], [0]]), (24, [[0, 2], [1]])]))
    (folder / "compressed_none").write_bytes(file([(8, [[]])]))
    (folder / "compressed_order").write_bytes(file([(24, [[2, 1]])]))
    (folder / "compressed_range").write_bytes(file([(24, [[3]])]))
    (folder / "compressed_version").write_bytes(file([(24, [[1]])], version=1))


if __name__ == "__main__":
    main()
