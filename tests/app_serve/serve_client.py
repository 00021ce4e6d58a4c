# SPDX-License-Identifier: MIT
"""A server of a small random model, and a client that needs nothing but the standard library."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

from checks import check

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
EOS = 544  # <|end|> of tests/text/data/split
WAIT = 100  # seconds, for what takes a moment


def make_model(folder, *arguments):
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", folder, "--layers", "2", "--vocab", "560", "--eos",
                    str(EOS), "--tokenizer", SOURCE / "tests/text/data/split", *arguments], check=True)
    return folder


def generate(model, rows, *flags):
    p = subprocess.run([TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", "-", "--threads", "1",
                        *map(str, flags)], input="".join(json.dumps(row) + "\n" for row in rows).encode(),
                       capture_output=True, timeout=WAIT)
    check(p.returncode == 0, f"generate: exit {p.returncode}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.decode().splitlines()]


class Server:
    def __init__(self, model, *flags, env=None, before=()):
        self.process = subprocess.Popen([*before, TRAWL, "serve", "--model_path", model, "--port", "0", "--threads", "1", *map(str, flags)],
                                        stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
        self.talk = ""
        while "http://" not in self.talk:
            line = self.process.stderr.readline().decode()
            if not line:
                raise RuntimeError(f"the server did not start: {self.talk}")
            self.talk += line
        self.name, self.port = re.search(r"trawl serve: (.*) at http://127\.0\.0\.1:(\d+)", self.talk).groups()
        self.port = int(self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, code=0, how=signal.SIGTERM):
        """Stopped as by systemd, or by itself (None); everything said since."""
        if how and self.process.poll() is None:
            self.process.send_signal(how)
        _, rest = self.process.communicate(timeout=WAIT)
        check(self.process.returncode == code, f"exit {self.process.returncode}, expected {code}: {rest.decode()}")
        return rest.decode()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def ask(self, path, body=None, method=None, headers=None, connection=None):
        """Status, headers and body, parsed where it is JSON."""
        c = connection or self.connect()
        data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        c.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
        r = c.getresponse()
        text = r.read()
        if connection is None:
            c.close()
        is_json = (r.getheader("Content-Type") or "").startswith("application/json")
        return r.status, r.headers, json.loads(text) if is_json and text else text.decode()

    def complete(self, body, path="/v1/completions"):
        status, _, reply = self.ask(path, body)
        check(status == 200, f"{body}: status {status}: {reply}")
        return reply if status == 200 else {"choices": []}

    def stream(self, body, path="/v1/completions"):
        """The events, each parsed, but for the last, which has to be [DONE]."""
        c = self.connect()
        c.request("POST", path, json.dumps({**body, "stream": True}))
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        check(r.status == 200 and r.getheader("Content-Type").startswith("text/event-stream"), f"{body}: {r.status} {text}")
        events = text.split("\n\n")
        check(events[-1] == "" and events[-2] == "data: [DONE]", f"the stream ends with {events[-2:]}")
        check(all(e.startswith("data: ") and "\n" not in e for e in events[:-1]), "events are lines of data")
        return [json.loads(e[6:]) for e in events[:-2]]

    def metric(self, name):
        _, _, text = self.ask("/metrics")
        found = re.search(rf"^trawl_{re.escape(name)} (\S+)$", text, re.M)
        return float(found.group(1)) if found else None

    def wait_metric(self, name, value):
        end = time.monotonic() + WAIT
        while self.metric(name) != value and time.monotonic() < end:
            time.sleep(0.02)
        check(self.metric(name) == value, f"{name} is {self.metric(name)}, expected {value}")

    def raw(self, data, half=False):
        """Bytes as they are; what comes back until the server has closed, or has answered a request to close."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT) as s:
            got = b""
            try:
                s.sendall(data)
                if half:
                    s.shutdown(socket.SHUT_WR)
                while piece := s.recv(65536):
                    got += piece
            except TimeoutError:
                raise
            except OSError:
                pass  # it did not want to hear all of it
            return got


def resident(process):
    with open(f"/proc/{process.pid}/status") as f:
        return int(re.search(r"VmRSS:\s*(\d+) kB", f.read()).group(1))


def is_sanitized():
    cache = (pathlib.Path(os.environ["TRAWL_BUILD"]) / "CMakeCache.txt").read_text()
    return re.search(r"^TRAWL_SANITIZE:\w+=\w", cache, re.M) is not None
