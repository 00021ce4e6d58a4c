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
import sys
import warnings

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
    print(f"{sys.argv[1]}: numpy {np.__version__}, safetensors {safetensors.__version__}: well")
