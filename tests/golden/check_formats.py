#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The files of formats, seen by the packages they are meant for.

    check_formats.py probe        are the packages there?
    check_formats.py make DIR     write files with the real `safetensors`, and what is in them as raw bytes
    check_formats.py check DIR    read the files that test_formats_python wrote, and compare

Exit status 77: numpy or safetensors is not installed. Warnings are errors."""
import json
import pathlib
import pickle
import struct
import sys
import warnings
import zipfile

warnings.simplefilter("error")
try:
    import numpy as np
    import safetensors
    import safetensors.numpy
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

DTYPES = {"F64": "<f8", "I64": "<i8", "U64": "<u8", "F32": "<f4", "I32": "<i4", "U32": "<u4", "F16": "<f2",
          "I16": "<i2", "U16": "<u2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1"}


def pattern(n_bytes, seed):
    """The bytes that both sides fill arrays with."""
    return bytes((i * 31 + seed * 17) % 251 & 1 if seed >= 100 else (i * 31 + seed * 17) % 113
                 for i in range(n_bytes))


def array(name, shape, seed):
    dtype = np.dtype(DTYPES[name])
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(pattern(count * dtype.itemsize, seed), dtype=dtype).reshape(shape)


def make(folder):
    tensors = {}
    for i, name in enumerate(DTYPES):
        seed = 100 + i if name == "BOOL" else i
        tensors[f"t.{name}"] = array(name, (3, i + 1), seed)
    tensors["scalar"] = np.array(2.5, dtype=np.float32)
    tensors["empty"] = np.zeros((0, 7), dtype=np.float16)
    safetensors.numpy.save_file(tensors, folder / "hf.safetensors", metadata={"format": "pt", "ключ": "値"})
    with open(folder / "hf.list", "w") as f:
        for name, t in tensors.items():
            (folder / f"hf.{name}.bin").write_bytes(t.tobytes())
            code = next(k for k, v in DTYPES.items() if np.dtype(v) == t.dtype)
            f.write(f"{name} {code} {t.ndim} {' '.join(map(str, t.shape))}\n")


def check_safetensors(folder):
    path = folder / "ours.safetensors"
    tensors = safetensors.numpy.load_file(path)
    assert len(tensors) == len(DTYPES) + 2, sorted(tensors)
    for i, name in enumerate(DTYPES):
        got = tensors[f"t.{name}"]
        want = array(name, (2, i + 1), 100 + i if name == "BOOL" else i)
        assert got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes(), name
    assert tensors["scalar"].shape == () and tensors["scalar"] == 2.5
    assert tensors["empty"].shape == (0, 7)
    with safetensors.safe_open(path, framework="np") as f:
        assert f.metadata() == {"format": "pt", 'quote " and \\': "line\nend ü"}, f.metadata()
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert (8 + length) % 64 == 0
    keys = list(json.loads(raw[8:8 + length]))
    assert keys[:3] == ["__metadata__", "t.F64", "t.I64"], keys
    with safetensors.safe_open(folder / "nothing.safetensors", framework="np") as f:
        assert list(f.keys()) == [] and f.metadata() is None


def check_pickle(folder):
    with open(folder / "ours.pkl", "rb") as f:
        items = pickle.load(f)
        assert f.read() == b""
    assert type(items) is list and len(items) == 3
    arrays = []
    for i, item in enumerate(items):
        rows = [5, 0, 700][i]
        want = array("F32", (rows, 9), i)
        assert list(item) == ["task_id", "sample_idx", "activation", "shape"]
        assert item["task_id"] == f"task ü {i}" and item["sample_idx"] == i * 70000
        assert type(item["shape"]) is tuple and item["shape"] == (rows, 9) and type(item["shape"][0]) is int
        got = item["activation"]
        assert type(got) is np.ndarray and got.dtype == np.float32 and got.shape == (rows, 9)
        assert got.tobytes() == want.tobytes() and got.flags.c_contiguous and got.flags.writeable
        got *= 1  # in place
        arrays.append(got)
    assert np.concatenate(arrays, axis=0).shape == (705, 9)
    assert pickle.loads(pickle.dumps(arrays[0])).tobytes() == arrays[0].tobytes()

    with open(folder / "values.pkl", "rb") as f:
        values = pickle.load(f)
    assert values[:4] == [None, True, False, ()], values[:4]
    ints = [0, 1, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -1, -2**31, -2**31 - 1, 2**63 - 1, -2**63]
    assert values[4] == ints and all(type(v) is int for v in values[4])
    assert values[5] == [0.1, -1e300, 5e-324] and values[6] == {"": {}, "x" * 255: [], "y" * 256: "z" * 70000}
    for i, name in enumerate(DTYPES):
        want = array(name, (2, i + 1), 100 + i if name == "BOOL" else i)
        assert values[7][i].dtype == want.dtype and values[7][i].tobytes() == want.tobytes(), name
    assert values[8].shape == () and values[8] == 2.5
    assert len(values) == 9


def check_npy(folder):
    for i, name in enumerate(DTYPES):
        for rank, shape in enumerate([(), (4,), (2, 3), (2, 3, 4), (1, 0, 123456789)]):
            path = folder / f"{name}.{rank}.npy"
            want = array(name, shape, 100 if name == "BOOL" else i)
            got = np.load(path)
            assert got.dtype == want.dtype and got.shape == want.shape and got.tobytes() == want.tobytes(), path
            np.save(folder / "numpy.npy", want)
            assert (folder / "numpy.npy").read_bytes() == path.read_bytes(), path
            assert np.load(path, mmap_mode=None if 0 in shape or shape == () else "r").shape == shape


def check_npz(folder):
    with zipfile.ZipFile(folder / "ours.npz") as z:
        assert z.testzip() is None and len(z.namelist()) == 40, z.namelist()
    with np.load(folder / "ours.npz") as z:
        for n in range(40):
            want = np.frombuffer(pattern(n, n), np.uint8)
            assert z["ü" if n == 39 else f"u{n}"].tobytes() == want.tobytes(), n


class Flatbuffer:
    """Tables read by the rules of the FlatBuffers format, so that no Arrow library is needed."""

    def __init__(self, raw, at=None):
        self.raw = raw
        self.at = struct.unpack_from("<I", raw)[0] if at is None else at
        vtable = self.at - struct.unpack_from("<i", raw, self.at)[0]
        size, self.bytes = struct.unpack_from("<HH", raw, vtable)
        self.offsets = struct.unpack_from(f"<{(size - 4) // 2}H", raw, vtable + 4)

    def place(self, i):
        return self.at + self.offsets[i] if i < len(self.offsets) and self.offsets[i] else None

    def number(self, i, code):
        at = self.place(i)
        assert at is None or at % struct.calcsize(code) == 0, "not aligned"
        return 0 if at is None else struct.unpack_from("<" + code, self.raw, at)[0]

    def follow(self, at):
        return at + struct.unpack_from("<I", self.raw, at)[0]

    def table(self, i):
        return Flatbuffer(self.raw, self.follow(self.place(i)))

    def vector(self, i):
        at = self.follow(self.place(i))
        return struct.unpack_from("<I", self.raw, at)[0], at + 4

    def tables(self, i):
        n, at = self.vector(i)
        return [Flatbuffer(self.raw, self.follow(at + 4 * k)) for k in range(n)]

    def text(self, i):
        n, at = self.vector(i)
        assert self.raw[at + n] == 0
        return self.raw[at:at + n].decode()

    def structs(self, i):
        n, at = self.vector(i)
        assert at % 8 == 0
        return [struct.unpack_from("<qq", self.raw, at + 16 * k) for k in range(n)]


def arrow_messages(raw):
    at = 0
    while True:
        mark, size = struct.unpack_from("<II", raw, at)
        assert mark == 0xFFFFFFFF and at % 8 == 0 and size % 8 == 0
        if size == 0:
            assert at + 8 == len(raw)
            return
        message = Flatbuffer(raw[at + 8:at + 8 + size])
        body = at + 8 + size
        at = body + message.number(3, "q")
        assert message.number(0, "h") == 4  # V5
        yield message.number(1, "B"), message.table(2), raw[body:at]


def check_arrow_schema(schema, name, dtype, context, width, tokens):
    fields = schema.tables(1)
    f = fields[0]
    assert len(fields) == 1 + tokens and f.text(0) == name and f.number(2, "B") == 12
    pairs = {p.text(0): p.text(1) for p in f.tables(6)}
    assert pairs == {"ARROW:extension:name": "datasets.features.features.Array2DExtensionType",
                     "ARROW:extension:metadata": f'[[{context}, {width}], "{np.dtype(dtype)}"]'}, pairs
    inner, = f.tables(5)
    value, = inner.tables(5)
    assert inner.number(2, "B") == 12 and value.number(2, "B") == 3 and value.tables(5) == []
    assert value.table(3).number(0, "h") == (1 if dtype == np.float32 else 0)
    if tokens:
        ids, = fields[1].tables(5)
        assert fields[1].text(0) == "token_ids" and fields[1].number(2, "B") == 16
        assert fields[1].table(3).number(0, "i") == context
        assert ids.number(2, "B") == 2 and ids.table(3).number(0, "i") == 32 and ids.table(3).number(1, "B") == 1


def check_arrow_file(path, name, dtype, context, width, tokens):
    values, ids = [], []
    for k, (kind, header, body) in enumerate(arrow_messages(path.read_bytes())):
        if k == 0:
            assert kind == 1 and body == b""
            check_arrow_schema(header, name, dtype, context, width, tokens)
            continue
        n, rows = k, k * context
        assert kind == 3 and header.number(0, "q") == n
        assert [x for x, nulls in header.structs(1)] == [n, rows, rows * width] + [n, rows] * tokens
        assert all(nulls == 0 for x, nulls in header.structs(1))
        buffers = [body[at:at + size] for at, size in header.structs(2)]
        assert all(at % 64 == 0 for at, size in header.structs(2)) and len(buffers) == (9 if tokens else 6)
        assert np.frombuffer(buffers[1], "<i4").tolist() == [i * context for i in range(n + 1)]
        assert np.frombuffer(buffers[3], "<i4").tolist() == [i * width for i in range(rows + 1)]
        assert buffers[0] == buffers[2] == buffers[4] == b""
        values.append(np.frombuffer(buffers[5], dtype))
        ids += np.frombuffer(buffers[8], "<i4").tolist() if tokens else []
    values = np.concatenate(values)
    assert values.tolist() == list(range(6 * context * width)), path
    assert ids == ([1000 - i for i in range(6 * context)] if tokens else [])


def check_pyarrow(path, name, context, width):
    """What Arrow's own library makes of it, where it is installed."""
    try:
        import pyarrow
    except ImportError as missing:
        print(f"skipped: {missing}")
        return
    with pyarrow.memory_map(str(path)) as f:
        table = pyarrow.ipc.open_stream(f).read_all()
    table.validate(full=True)
    column = table.column(name).combine_chunks()
    column = getattr(column, "storage", column)  # an extension type where datasets was imported
    assert np.array(column.to_pylist()).reshape(-1).tolist() == list(range(6 * context * width))
    assert table.num_rows == 6


def check_arrow(folder):
    for file, dtype, context, tokens in (("f32", np.float32, 5, True), ("f16", np.float16, 1, False)):
        check_arrow_file(folder / f"{file}.arrow", "blocks.1.hook", dtype, context, 7, tokens)
        check_pyarrow(folder / f"{file}.arrow", "blocks.1.hook", context, 7)


if __name__ == "__main__":
    if sys.argv[1] == "probe":
        sys.exit(0)
    where = pathlib.Path(sys.argv[2])
    if sys.argv[1] == "make":
        make(where)
    else:
        check_safetensors(where)
        check_pickle(where)
        check_npy(where)
        check_npz(where)
        check_arrow(where)
    print(f"{sys.argv[1]}: numpy {np.__version__}, safetensors {safetensors.__version__}: well")
