#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl pull from a hub on this machine: the cache's layout, what goes wrong on the way, and that a model that came so is
found by --model_path. Where huggingface_hub is installed it has to find the same files."""
import concurrent.futures
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
sys.path.insert(0, str(SOURCE / "tests/hub"))
from fake_hub import COMMIT, TOKEN, Hub, hash_of  # noqa: E402

from checks import check, failures

noise = random.Random(4)
BIG = noise.randbytes(3_000_000)
FILES = {"config.json": b'{"model_type": "qwen2"}', "tokenizer.json": b"{}", "model.safetensors": BIG, "README.md": b"# x",
         "pytorch_model.bin": b"old", "onnx/model.safetensors": b"no", "consolidated.safetensors": b"again", "empty.txt": b"",
         "sub/a/deep file.txt": b"deep", "generation_config.json": b"{ }"}
MODEL = {"config.json", "tokenizer.json", "model.safetensors", "generation_config.json"}


class Place:
    """A hub and a cache of its own."""

    def __init__(self, folder, name, files=None):
        self.hub = Hub({"models/org/name": dict(files or FILES), "datasets/org/rows": {"main/test.jsonl": b"{}\n", "README.md": b"#"}})
        self.cache = folder / name
        self.env = {**os.environ, "HF_ENDPOINT": self.hub.url + "/", "HF_HUB_CACHE": str(self.cache), "HF_TOKEN": "",
                    "HF_HUB_OFFLINE": "", "no_proxy": "*"}
        self.repo = self.cache / "models--org--name"
        self.snapshot = self.repo / "snapshots" / COMMIT

    def start(self, *flags, repo="org/name", **env):
        return subprocess.Popen([TRAWL, "pull", repo, *map(str, flags)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**self.env, **env})

    def pull(self, *flags, repo="org/name", code=0, **env):
        p = self.start(*flags, repo=repo, **env)
        out, err = (x.decode() for x in p.communicate(timeout=100))
        check(p.returncode == code, f"exit {p.returncode}, expected {code}: {flags}: {err[-500:]}")
        return out, err

    def asked(self):
        """Names and ranges of files since the last time."""
        seen, self.hub.seen[:] = list(self.hub.seen), []
        return seen

    def blob(self, file="model.safetensors"):
        return self.repo / "blobs" / hash_of(file, FILES[file])

    def files(self, folder=None):
        folder = folder or self.snapshot
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*")
                if p.is_file() and ".cache" not in p.parts}

    def check_whole(self, what, names=MODEL):
        check(self.files() == {n: FILES[n] for n in names}, f"{what}: {sorted(self.files())}")
        check((self.repo / "refs/main").read_text() == COMMIT, f"{what}: refs/main")
        left = [p.name for p in (self.repo / "blobs").iterdir() if not p.name.isalnum()]
        check(not left, f"{what}: {left} are left")
        check(not self.hub.leaks, f"{what}: the token went to {self.hub.leaks}")


def test_layout(folder):
    p = Place(folder, "layout")
    out, err = p.pull()
    check(out == f"{p.snapshot}\n" and f"org/name at {COMMIT[:12]}: 4 files" in err, f"{out}{err}")
    p.check_whole("a model")
    for name in MODEL:
        link = os.readlink(p.snapshot / name)
        check(link == f"../../blobs/{hash_of(name, FILES[name])}", f"link of {name}: {link}")
    check({n for n, _ in p.asked()} == MODEL, "files that were asked for")
    _, err = p.pull()
    check(p.asked() == [] and "0 of them fetched now" in err, f"again: {err}")
    p.pull("--include", "*")
    p.check_whole("all files", set(FILES))
    check(os.readlink(p.snapshot / "sub/a/deep file.txt") == f"../../../../blobs/{hash_of('x', b'deep')}", "a deep link")
    check({n for n, _ in p.asked()} == set(FILES) - MODEL - {"empty.txt"}, "files that were there")
    p.pull("--revision", "refs/pr/1", "--include", "sub/", "*.txt", "--exclude", "empty*")
    check((p.repo / "refs/refs/pr/1").read_text() == COMMIT, "a revision with slashes")
    p.pull("--revision", COMMIT)
    check(not (p.repo / "refs" / COMMIT).exists(), "a commit needs no reference")
    try:
        import huggingface_hub as hf
    except ImportError:
        print("huggingface_hub is not there: its view of the cache is not compared")
    else:
        found = hf.try_to_load_from_cache("org/name", "model.safetensors", cache_dir=p.cache)
        check(found and pathlib.Path(found).read_bytes() == BIG, f"huggingface_hub finds {found}")
        info = hf.scan_cache_dir(p.cache)
        check(not info.warnings and [r.repo_id for r in info.repos] == ["org/name"], f"scan_cache_dir: {info.warnings}")
    p.hub.close()


def test_choice(folder):
    p = Place(folder, "choice")
    p.pull("--include", "*.json", "onnx/*", "--exclude", "tok*")
    check(set(p.files()) == {"config.json", "generation_config.json", "onnx/model.safetensors"}, f"{sorted(p.files())}")
    _, err = p.pull("--include", "*.gguf", code=1)
    check("org/name has 10 files, none of them is wanted" in err, err)
    out, _ = p.pull("--repo_type", "dataset", repo="org/rows")
    rows = p.cache / "datasets--org--rows/snapshots" / COMMIT
    check(out == f"{rows}\n" and p.files(rows) == {"main/test.jsonl": b"{}\n", "README.md": b"#"}, "a data set")
    p.hub.close()


def test_local_dir(folder):
    p, local = Place(folder, "unused"), folder / "local"
    out, _ = p.pull("--local_dir", local, "--include", "*")
    check(out == f"{local}\n" and p.files(local) == FILES and not p.cache.exists(), "a folder")
    check(not any(f.is_symlink() for f in local.rglob("*")), "links in a folder")
    p.asked()
    changed = bytearray(BIG)
    changed[1234567] ^= 1
    (local / "model.safetensors").write_bytes(changed)
    p.pull("--local_dir", local, "--include", "*")
    check(p.asked() == [("model.safetensors", None)] and p.files(local) == FILES, "a file that was changed")
    p.hub.close()


def test_cut(folder):
    p = Place(folder, "cut")
    p.hub.rules["model.safetensors"] = {"cut": [1_000_000, 700_001]}
    p.pull()
    p.check_whole("cut twice")
    ranges = [r for n, r in p.asked() if n == "model.safetensors"]
    check(ranges == [None, "bytes=1000000-", "bytes=1700001-"], f"ranges {ranges}")
    p.hub.close()
    p = Place(folder, "noranges")
    p.hub.rules["model.safetensors"] = {"cut": [1_000_000], "noranges": True}
    p.pull()
    p.check_whole("cut, without ranges")
    p.hub.close()


def wait_for(what):
    end = time.time() + 60
    while not what():
        if time.time() > end:
            check(False, "nothing came for a minute")
            return
        time.sleep(0.01)


def test_stopped(folder):
    """Killed, interrupted, or with a damaged rest: the next time it is whole."""
    p = Place(folder, "stopped")
    rest = p.blob().with_name(p.blob().name + ".incomplete")
    p.hub.rules["model.safetensors"] = {"stall": 2_000_000}
    process = p.start()
    wait_for(lambda: rest.exists() and rest.stat().st_size == 2_000_000)
    process.kill()
    process.communicate()
    check(not (p.repo / "refs").exists(), "a reference to half a model")
    p.hub.rules["model.safetensors"] = {"stall": 500_000}
    process = p.start()
    wait_for(lambda: len(p.hub.seen) >= 4 and p.hub.seen[-1][1])
    begun = time.time()
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1].decode()
    check(process.returncode == 130 and "goes on" in err and time.time() - begun < 20, f"interrupted: {process.returncode} {err}")
    p.hub.rules.clear()
    p.asked()
    size = rest.stat().st_size
    p.pull()
    p.check_whole("killed")
    asked = [r for n, r in p.asked() if n == "model.safetensors"]
    check(asked == [f"bytes={size}-"], f"{size} bytes were there: {asked}")
    for rest_data in (b"x" * 5000, BIG[:-1] + b"?", BIG, BIG + b"more"):
        p.blob().unlink()
        rest.write_bytes(rest_data)
        p.pull()
        p.check_whole("a damaged rest")
        asked = [r for _, r in p.asked()]
        check(asked == {5000: ["bytes=5000-", None], len(BIG): [] if rest_data == BIG else [None]}.get(len(rest_data), [None]),
              f"a rest of {len(rest_data)} bytes: {asked}")
    p.hub.close()


def test_wrong(folder):
    flipped = BIG[:100] + bytes([BIG[100] ^ 1]) + BIG[101:]
    for body, words in ((flipped, "its hash is"), (BIG[:-1], "bytes"), (BIG + b"!", "more than")):
        p = Place(folder, f"wrong{len(body)}{words[:2]}")
        p.hub.rules["model.safetensors"] = {"body": body}
        _, err = p.pull(code=1)
        check("model.safetensors" in err and words in err, f"{words}: {err}")
        check(not p.blob().exists() and not (p.repo / "refs").exists(), f"{words}: it was kept")
        p.hub.rules.clear()
        p.pull()
        p.check_whole("right at last")
        p.hub.close()
    p = Place(folder, "wrongsmall")
    p.hub.rules["config.json"] = {"body": b'{"model_type": "qwen3"}'}
    _, err = p.pull(code=1)
    check(hash_of("config.json", FILES["config.json"]) in err, f"a small file: {err}")
    p.hub.close()


def test_refused(folder):
    p = Place(folder, "refused")
    _, err = p.pull(repo="org/other", code=1)
    check("there is no model org/other" in err and "HF_TOKEN" in err, err)
    _, err = p.pull("--revision", "v9", code=1)
    check("org/name has no revision \"v9\"" in err, err)
    for repo, words in (("a/b/c", "no repository"), ("../x", "no repository"), ("", "REPO is missing")):
        _, err = p.pull(repo=repo, code=2)
        check(words in err, f"{repo}: {err}")
    _, err = p.pull("--revision", "../x", code=2)
    check("no revision" in err, err)
    _, err = p.pull(HF_HUB_OFFLINE="1", code=2)
    check("HF_HUB_OFFLINE" in err and p.asked() == [], err)
    p.hub.rules["listing"] = {"status": [(403, [("X-Error-Code", "GatedRepo")])]}
    _, err = p.pull(code=1)
    check(f"granted by the owner: ask for it at {p.hub.url}/org/name, and set HF_TOKEN" in err, err)
    p.hub.rules["config.json"] = {"status": [(401, [("X-Error-Code", "GatedRepo")])]}
    _, err = p.pull(code=1)
    check("config.json: access is granted by the owner" in err, err)
    p.hub.rules["listing"] = {"private": True}
    _, err = p.pull(code=1)
    check("HF_TOKEN" in err, err)
    _, err = p.pull(HF_TOKEN="wrong", code=1)
    check("the token of HF_TOKEN may not see it" in err and "wrong" not in err, err)
    p.pull(HF_TOKEN=TOKEN)
    p.check_whole("with a token")
    entry = {"rfilename": "a", "size": 1, "blobId": "0" * 40}
    for siblings, words in (([{**entry, "rfilename": "../a"}], "expected a path below the repository"),
                            ([{**entry, "rfilename": "/etc/x"}], "expected a path below the repository"),
                            ([{"rfilename": "a", "size": 1}], "\"blobId\" is missing"),
                            ([{**entry, "blobId": "../../../x"}], "\"blobId\" is something else"),
                            ([{"rfilename": "a", "blobId": "0" * 40}], "does not say its size"), (5, "siblings")):
        p.hub.rules["listing"] = {"body": json.dumps({"sha": COMMIT, "siblings": siblings}).encode()}
        _, err = p.pull("--include", "*", code=1)
        check(words in err, f"{siblings}: {err}")
    p.hub.rules["listing"] = {"body": b"<html>"}
    _, err = p.pull(code=1)
    check("127.0.0.1" in err, err)
    p.hub.close()


def test_busy(folder):
    p = Place(folder, "busy")
    p.hub.rules["listing"] = {"status": [(429, [("Retry-After", "1")]), (503, [])]}
    p.hub.rules["tokenizer.json"] = {"status": [(500, [])]}
    _, err = p.pull()
    p.check_whole("a busy hub")
    check("Too Many Requests" in err, f"nobody says why it takes so long: {err}")
    p.hub.close()


def test_two_at_once(folder):
    p = Place(folder, "two")
    processes = [p.start() for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=100)
        check(process.returncode == 0 and out.decode() == f"{p.snapshot}\n", f"one of four: {err.decode()}")
    p.check_whole("four at once")
    check(sorted(n for n, _ in p.asked()) == sorted(MODEL), "four at once: files came more than once")
    p.hub.close()


def test_model_path(folder):
    model = folder / "model"
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--vocab", "560",
                    "--tokenizer", SOURCE / "tests/text/data/digits"], check=True)
    p = Place(folder, "model_path", {f.name: f.read_bytes() for f in model.iterdir()})
    run = [TRAWL, "generate", "--prompt", "The sea", "--max_tokens", "5", "--threads", "1", "--model_path"]
    before = subprocess.run([*run, "org/name"], env=p.env, capture_output=True, timeout=60)
    check(before.returncode == 1 and b'"trawl pull org/name" fetches it' in before.stderr, f"{before.stderr}")
    p.pull()
    here = subprocess.run([*run, model], env=p.env, capture_output=True, timeout=60)
    there = subprocess.run([*run, "org/name"], env=p.env, capture_output=True, timeout=60)
    check(there.returncode == 0 and there.stdout == here.stdout, f"{there.stderr}")
    p.hub.close()


with tempfile.TemporaryDirectory() as tmp, concurrent.futures.ThreadPoolExecutor(4) as pool:
    # each has a hub and a cache of its own, and waits most of the time
    for case in [pool.submit(test, pathlib.Path(tmp)) for test in (
            test_cut, test_busy, test_stopped, test_wrong, test_refused, test_layout, test_choice, test_local_dir,
            test_two_at_once, test_model_path)]:
        case.result()

sys.exit(1 if failures() else 0)
