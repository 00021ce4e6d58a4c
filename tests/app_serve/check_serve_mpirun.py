#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl serve on a mesh, in one process and in several: the answers of one device.

Several processes are skipped without mpirun or without the plug-in."""
import concurrent.futures
import os
import pathlib
import shutil
import signal
import sys
import tempfile

from checks import MPI_ENV, failures
import serve_client
from serve_client import Server, check, make_model

BUILD = pathlib.Path(os.environ["TRAWL_BUILD"])
ENV = MPI_ENV
LONG = {"prompt": [5, 6, 7], "max_tokens": 4000, "ignore_eos": True, "seed": 1}


def bodies():
    for i in range(24):
        yield {"prompt": [(i * 7 + k * k) % 500 for k in range(1 + i * 5 % 90)], "max_tokens": 1 + i * 3 % 20, "seed": i,
               "logprobs": i % 4, "echo": i % 5 == 0, "stop": ["e"] if i % 3 == 0 else None, "n": 1 + i % 2,
               "guided_regex": "[a-f ]{3,9}" if i % 7 == 6 else None}


def answers(s):
    def ask(i_body):
        i, body = i_body
        events = s.stream(body) if i % 2 else [s.complete(body)]
        return [e["choices"] for e in events]

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        return [put_together(choices) for choices in pool.map(ask, enumerate(bodies()))]


def put_together(events):
    """Pieces of a stream may be cut anywhere."""
    whole = {}
    for choice in (c for event in events for c in event):
        w = whole.setdefault(choice["index"], ["", [], [], None])
        logprobs = choice["logprobs"] or {"token_logprobs": [], "top_logprobs": None}
        w[0] += choice["text"]
        w[1] += logprobs["token_logprobs"]
        w[2] += logprobs["top_logprobs"] or []
        w[3] = choice["finish_reason"]
    return whole


def rank_0(server):
    """The process that listens, when mpirun is the one that was started."""
    for p in pathlib.Path("/proc").iterdir():
        try:
            if p.name.isdigit() and b"OMPI_COMM_WORLD_RANK=0" in (p / "environ").read_bytes().split(b"\0") and \
                    int((p / "stat").read_text().rsplit(")", 1)[1].split()[1]) == server.process.pid:
                return int(p.name)
        except OSError:
            pass
    return server.process.pid


def check_cut(s):
    """A client that goes away is heard of where its answer is made."""
    c = s.connect()
    c.request("POST", "/v1/completions", serve_client.json.dumps({**LONG, "stream": True, "n": 2}))
    c.getresponse().read(10)
    c.sock.close() if c.sock else None
    c.close()
    s.wait_metric('answers_total{finish_reason="cancelled"}', 2)
    check(s.complete({**LONG, "max_tokens": 5})["usage"]["completion_tokens"] == 5, "it goes on")


def main():
    ways = [(1, "2 2")]
    if shutil.which("mpirun") and (BUILD / "libtrawl-mpi.so").exists():
        ways += [(2, "2 1"), (2, "1 2")]
    with tempfile.TemporaryDirectory() as tmp:
        model = make_model(pathlib.Path(tmp) / "model")
        with Server(model, "--batch_size", 3) as s:
            want = answers(s)
        for ranks, mesh in ways:
            with Server(model, "--batch_size", 3, "--mesh_shape", *mesh.split(), env=ENV,
                        before=["mpirun", "-n", str(ranks)] if ranks > 1 else []) as s:
                for body, a, b in zip(bodies(), want, answers(s)):
                    check(a == b, f"{ranks} processes, mesh {mesh}: {body}: {b}, one device: {a}")
                check_cut(s)
                os.kill(rank_0(s), signal.SIGTERM)
                s.stop(how=None)
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
