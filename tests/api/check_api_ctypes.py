#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libtrawl.so from another language: the structures are laid out from the text of the headers, as a binding would do it,
and have the sizes that the library's _init functions write. Then two engines in one process, one job each at the same time:
their results are those of the command."""
import ctypes
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
BUILD = pathlib.Path(os.environ["TRAWL_BUILD"])
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
SCALARS = {"char": ctypes.c_char, "bool": ctypes.c_bool, "int": ctypes.c_int, "unsigned": ctypes.c_uint,
           "float": ctypes.c_float, "double": ctypes.c_double, "size_t": ctypes.c_size_t, "int32_t": ctypes.c_int32,
           "uint32_t": ctypes.c_uint32, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64,
           "trawl_status": ctypes.c_int}


# ---- headers ----

def read_headers():
    text = "".join(p.read_text() for p in sorted((SOURCE / "include/trawl").glob("*.h")))
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    numbers = {name: int(value) for name, value in re.findall(r"#define (TRAWL_\w+)\s+(\d+)\n", text)}
    return re.sub(r"^\s*#.*?(?<!\\)$", "", text, flags=re.M), numbers


def type_of(words, structs):
    words = [w for w in words if w not in ("const", "struct")]
    if words[0] == "enum":
        return ctypes.c_int
    name = " ".join(words)
    return SCALARS[name] if name in SCALARS else structs[name]


def fields_of(body, structs, numbers):
    """(name, ctype) of the declarations in a structure's body."""
    out = []
    for declaration in filter(None, (d.strip() for d in body.split(";"))):
        function = re.match(r"[\w\s*]+\(\*\s*(\w+)\)\s*\(", declaration)
        if function:
            out.append((function.group(1), ctypes.c_void_p))
            continue
        first, *others = [d.strip() for d in declaration.split(",")]
        *words, last = re.sub(r"\s*\*\s*", " * ", first).split()
        base = [w for w in words if w != "*"]
        for declarator in [" ".join([*(w for w in words if w == "*"), last]), *others]:
            name = re.search(r"\w+", declarator).group()
            if "*" in declarator:
                out.append((name, ctypes.c_char_p if base == ["const", "char"] and declarator.count("*") == 1
                            else ctypes.c_void_p))
                continue
            array = re.search(r"\[(\w+)\]", declarator)
            ctype = type_of(base, structs)
            out.append((name, ctype * (numbers.get(array.group(1)) or int(array.group(1))) if array else ctype))
    return out


class Structs(dict):
    """Name to ctypes.Structure, made when it is first asked for: one may be a member of another."""

    def __init__(self):
        text, self.numbers = read_headers()
        self.bodies = dict(re.findall(r"struct (trawl_\w+)\s*\{(.*?)\}\s*;", text, flags=re.S))

    def __missing__(self, name):
        self[name] = type(name, (ctypes.Structure,), {"_fields_": fields_of(self.bodies[name], self, self.numbers)})
        return self[name]


# ---- the library ----

class Library:
    def __init__(self, structs):
        self.so = ctypes.CDLL(str(BUILD / "libtrawl.so"))
        self.so.trawl_version.restype = ctypes.c_char_p
        self.so.trawl_tokenizer_token.restype = ctypes.c_void_p
        self.so.trawl_session_tokens.restype = ctypes.POINTER(ctypes.c_int32)
        self.structs = structs

    def init(self, name):
        """A structure as its _init function leaves it."""
        value = self.structs[name]()
        init = name + "_init"
        getattr(self.so, init)(ctypes.byref(value))
        return value

    def call(self, name, *arguments):
        err = self.structs["trawl_error"]()
        if getattr(self.so, name)(*arguments, ctypes.byref(err)) != 0:
            raise RuntimeError(f"{name}: {err.message.decode()}")


def test_sizes(lib):
    n = 0
    for name in lib.structs.bodies:
        struct = lib.structs[name]
        fields = dict(struct._fields_)
        if fields.get("size") is ctypes.c_uint32:
            room = (ctypes.c_uint8 * 4096)()
            getattr(lib.so, name + "_init")(ctypes.byref(room))
            size = ctypes.c_uint32.from_buffer(room).value
            check(size == ctypes.sizeof(struct), f"{name}: {size} bytes, the headers make it {ctypes.sizeof(struct)}")
            n += 1
    check(n >= 3, f"{n} structures with a size")
    version = re.search(r'define TRAWL_VERSION +"(.*)"', (SOURCE / "include/trawl/version.h").read_text()).group(1)
    check(lib.so.trawl_version().decode() == version, "trawl_version")


def open_engine(lib, model, mesh):
    config = lib.init("trawl_engine_config")
    config.model_path = str(model).encode()
    config.mesh_data, config.mesh_model = mesh
    config.threads = 1
    engine = ctypes.c_void_p()
    lib.call("trawl_engine_open", ctypes.byref(config), ctypes.byref(engine))
    return engine


def submit(lib, job, row):
    request = lib.init("trawl_request")
    ids = (ctypes.c_int32 * len(row["tokens"]))(*row["tokens"])
    request.prompt = ctypes.cast(ids, ctypes.c_void_p)
    request.n_prompt = len(ids)
    request.max_tokens = row["max_tokens"]
    request.temperature = row.get("temperature", 0)
    request.top_p = row.get("top_p", 1)
    request.seed = row.get("seed", 0)
    request.has_seed = "seed" in row
    lib.call("trawl_job_submit", job, ctypes.byref(request))


def floats(address, n):
    return list((ctypes.c_float * n).from_address(address)) if n else []


def take(lib, job):
    """All results, as rows of the command."""
    out = []
    result, more = lib.structs["trawl_result"](), ctypes.c_bool()
    while True:
        lib.call("trawl_job_next", job, ctypes.byref(result), ctypes.byref(more))
        if not more.value:
            return out
        n = result.n_tokens
        out.append({"tokens": list((ctypes.c_int32 * n).from_address(result.tokens)) if n else [],
                    "finish_reason": ["stop", "length", "error"][result.finish_reason],
                    "prompt_tokens": result.n_prompt, "cumulative_logprob": result.cumulative_logprob,
                    "logprobs": floats(result.logprobs, n), "entropy": floats(result.entropies, n)})


def test_two_engines(lib, model):
    rows = [{"tokens": [5, 6, 7], "max_tokens": 12}, {"tokens": [9] * 40, "max_tokens": 5, "temperature": 1.3, "seed": 4},
            {"tokens": [1, 2], "max_tokens": 20, "temperature": 0.8, "top_p": 0.9, "seed": 11}]
    p = subprocess.run([TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", "-", "--logprobs"],
                       input="".join(json.dumps(r) + "\n" for r in rows), capture_output=True, text=True, check=True)
    want = [json.loads(line) for line in p.stdout.splitlines()]
    engines = [open_engine(lib, model, mesh) for mesh in ((1, 1), (2, 2))]
    config = lib.init("trawl_job_config")
    jobs = [ctypes.c_void_p() for _ in engines]
    for engine, job in zip(engines, jobs):
        lib.call("trawl_job_open", engine, ctypes.byref(config), ctypes.byref(job))
    for row in rows:
        for job in jobs:
            submit(lib, job, row)
    for job in jobs:
        lib.so.trawl_job_end_input(job)
    for i, job in enumerate(jobs):
        got = take(lib, job)
        for key in got[0]:
            mine = [r[key] for r in got]
            theirs = [r[key] for r in want]
            if key in ("logprobs", "entropy"):  # the command writes the shortest decimals that read back to the float
                theirs = [list((ctypes.c_float * len(r))(*r)) for r in theirs]
            check(mine == theirs, f"engine {i}, {key}: {mine}, expected {theirs}")
        lib.so.trawl_job_close(ctypes.byref(job))
        check(job.value is None, "trawl_job_close sets the handle to NULL")
    for engine in engines:
        lib.so.trawl_engine_close(ctypes.byref(engine))


def test_callback(lib, model):
    """on_token runs on the engine's threads; the second request is ended by it."""
    seen = {}

    @ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int32, ctypes.c_float)
    def on_token(user, request, token, logprob):
        seen.setdefault(request, []).append(token)
        return request != 1 or len(seen[1]) < 4

    engine, job, config = open_engine(lib, model, (2, 1)), ctypes.c_void_p(), lib.init("trawl_job_config")
    config.on_token = ctypes.cast(on_token, ctypes.c_void_p)
    lib.call("trawl_job_open", engine, ctypes.byref(config), ctypes.byref(job))
    for tokens in ([5, 6, 7], [8, 9], [1]):
        submit(lib, job, {"tokens": tokens, "max_tokens": 9})
    lib.so.trawl_job_end_input(job)
    got = take(lib, job)
    check([r["tokens"] for r in got] == [seen[i] for i in range(3)] and len(seen[1]) == 4, f"on_token: {seen}, results {got}")
    check([r["finish_reason"] for r in got] == ["length", "stop", "length"], "finish reasons with on_token")
    lib.so.trawl_job_close(ctypes.byref(job))
    lib.so.trawl_engine_close(ctypes.byref(engine))


def test_tokenizer_and_session(lib, model):
    tokenizer, ids, n = ctypes.c_void_p(), ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t()
    text = "The net goes down".encode()
    lib.call("trawl_tokenizer_open", str(model).encode(), ctypes.byref(tokenizer))
    lib.call("trawl_tokenizer_encode", tokenizer, text, ctypes.c_size_t(len(text)), 0, ctypes.byref(ids), ctypes.byref(n))
    p = subprocess.run([TRAWL, "tokenize", "--model_path", model], input='{"text": "The net goes down"}\n',
                       capture_output=True, text=True, check=True)
    tokens = ids[:n.value]
    check(tokens == json.loads(p.stdout)["ids"], f"ids {tokens}")
    engine, session = open_engine(lib, model, (1, 1)), ctypes.c_void_p()
    sampled = lib.structs["trawl_sampled"]()
    lib.call("trawl_session_open", engine, ctypes.byref(session))
    lib.call("trawl_session_append", session, ids, n, None, None)
    for _ in range(8):
        lib.call("trawl_session_sample", session, None, ctypes.byref(sampled))
        lib.call("trawl_session_append", session, ctypes.byref(ctypes.c_int32(sampled.token)), ctypes.c_size_t(1), None, None)
    held = lib.so.trawl_session_tokens(session, ctypes.byref(n))[:n.value]
    p = subprocess.run([TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", "-"], capture_output=True,
                       input=json.dumps({"tokens": tokens, "max_tokens": 8, "ignore_eos": True}) + "\n", text=True, check=True)
    check(held == tokens + json.loads(p.stdout)["tokens"], f"a session's tokens {held}, the command's {p.stdout}")
    try:
        lib.call("trawl_session_rewind", session, ctypes.c_size_t(99))
        check(False, "a rewind forward was accepted")
    except RuntimeError as e:
        check("99 are to be kept" in str(e), f"message {e}")
    lib.so.trawl_session_close(ctypes.byref(session))
    lib.so.trawl_engine_close(ctypes.byref(engine))
    lib.so.trawl_free(ids)
    lib.so.trawl_tokenizer_close(ctypes.byref(tokenizer))


if "TRAWL_SANITIZE:STRING=\n" not in (BUILD / "CMakeCache.txt").read_text():
    print("skipped: a sanitizer's library wants its runtime in the program")
    sys.exit(77)
with tempfile.TemporaryDirectory() as tmp:
    model = pathlib.Path(tmp, "model")
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--vocab", "560",
                    "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/split"], check=True)
    lib = Library(Structs())
    test_sizes(lib)
    test_two_engines(lib, model)
    test_callback(lib, model)
    test_tokenizer_and_session(lib, model)

sys.exit(1 if failures() else 0)
