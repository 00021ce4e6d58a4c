#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl chat at a terminal: a pseudo-terminal types and looks. What comes back is read up to what is waited for, so a slow
machine only waits longer."""
import json
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import fcntl
import time

from checks import check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
EOS = 544  # <|end|> of tests/text/data/split


class Terminal:
    """A chat at a terminal of 80 columns."""

    def __init__(self, model, *flags, term="xterm", **environment):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(slave)
        env = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")} | {"TERM": term} | environment

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        self.process = subprocess.Popen([TRAWL, "chat", "--model_path", model, "--threads", "1", *map(str, flags)], stdin=slave,
                                        stdout=slave, stderr=slave, env=env, preexec_fn=own_terminal)
        self.slave = slave
        self.seen = ""

    def type(self, keys):
        os.write(self.master, keys.encode())

    def wait(self, words, seconds=40):
        """All that was seen up to `words`, which are looked for behind what was seen before."""
        end = time.monotonic() + seconds
        while words not in self.seen:
            ready = select.select([self.master], [], [], max(0, end - time.monotonic()))[0]
            try:
                data = os.read(self.master, 4096) if ready else b""
            except OSError:
                data = b""
            if not data:
                check(False, f"waited for {words!r}, saw {self.seen[-2000:]!r}")
                return self.seen
            self.seen += data.decode(errors="replace")
        at = self.seen.index(words) + len(words)
        got, self.seen = self.seen[:at], self.seen[at:]
        return got

    def leave(self, code):
        got = self.process.wait(timeout=60)
        check(got == code, f"exit {got}, expected {code}: {self.seen!r}")
        check(termios.tcgetattr(self.slave)[3] == self.before[3], "the terminal's mode is not what it was")
        while select.select([self.master], [], [], 0)[0]:
            self.seen += os.read(self.master, 4096).decode(errors="replace")
        os.close(self.master)
        os.close(self.slave)
        return self.seen


PROMPT = "\x1b[J> "  # an empty line is drawn
ENTERED = "\x1b[?2004l"  # the line was read


def make_model(folder):
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", folder, "--layers", "2", "--vocab", "560",
                    "--eos", str(EOS), "--context", "100000", "--tokenizer", SOURCE / "tests/text/data/split"],
                   check=True)


def test_editing(model, folder):
    """What is typed, with all kinds of keys, is what is said; and the chat is the one that a pipe has."""
    t = Terminal(model, "--max_tokens", 8, "--seed", 3, "--temperature", 1)
    check("/help lists the commands" in t.wait(PROMPT), "no greeting")
    t.type("crbs\x1b[D\x1b[D\x1b[Da\x05 and Ünïcode\r")  # arrows, Ctrl-E
    t.wait("max_tokens is 8")
    t.wait(PROMPT)
    t.type("\x1b[200~pasted\rin two lines\x1b[201~\r")
    t.wait("max_tokens is 8")
    t.wait(PROMPT)
    t.type("not meant\x03")  # Ctrl-C drops the line
    t.wait(PROMPT)
    t.type("/sa\t")
    t.wait("/save ")
    t.type(f"{folder}/chat.json\r")
    t.wait("Saved 4 messages")
    t.type("\x1b[A\x1b[A\r")  # the line before: the pasted one
    t.wait("max_tokens is 8")
    t.wait(PROMPT)
    t.type("\x04")
    t.leave(0)
    messages = json.loads((folder / "chat.json").read_text())["messages"]
    check([m["content"] for m in messages[::2]] == ["carbs and Ünïcode", "pasted\nin two lines"], f"said {messages}")
    lines = 'carbs and Ünïcode\n"""pasted\nin two lines"""\n'
    p = subprocess.run([TRAWL, "chat", "--model_path", model, "--threads", "1", "--max_tokens", "8", "--seed", "3", "--temperature",
                        "1", "--json"], input=lines.encode(), capture_output=True)
    piped = [json.loads(line)["text"] for line in p.stdout.splitlines()]
    check([m["content"] for m in messages[1::2]] == piped, f"answers {messages}, through a pipe {piped}")


def test_stopping(model):
    """Ctrl-C stops the answer and not the chat, twice it ends all; at the prompt it leaves."""
    endless = ["--temperature", 1, "--logit_bias", f"{EOS}=-100"]
    t = Terminal(model, *endless)
    t.wait(PROMPT)
    t.type("go on\r")
    t.wait(ENTERED)
    time.sleep(0.3)
    t.type("\x03")
    t.wait("(stopped")
    t.wait(PROMPT)
    t.type("/stats\r")
    t.wait("ended by cancelled")
    t.wait(PROMPT)
    t.type("\x03")
    t.leave(0)
    t = Terminal(model, *endless)
    t.wait(PROMPT)
    t.type("go on\r")
    t.wait(ENTERED)
    t.process.send_signal(signal.SIGTERM)
    t.leave(130)
    t = Terminal(model)
    t.wait(PROMPT)
    t.type("half a li")
    t.wait("half a li")
    t.process.send_signal(signal.SIGTERM)  # in raw mode
    t.leave(130)


def test_colors(model):
    flags = ["--show_entropy", "--max_tokens", 8, "--seed", 1, "--temperature", 1, "--logit_bias", f"{EOS}=-100"]
    t = Terminal(model, *flags)
    t.wait(PROMPT)
    t.type("crabs\r")
    check("\x1b[31m" in t.wait("max_tokens is 8"), "tokens of high entropy are not red")
    t.wait(PROMPT)
    t.type("/entropy off\r")
    t.wait("show_entropy is false")
    t.wait(PROMPT)
    t.type("/retry\r")
    check("\x1b[31m" not in t.wait("max_tokens is 8"), "/entropy off")
    t.wait(PROMPT)
    t.type("/entropy on\r")
    t.wait("varentropy above 3")
    t.wait(PROMPT)
    t.type("/quit\r")
    t.leave(0)
    t = Terminal(model, *flags, NO_COLOR="1")
    t.leave(2)
    check("no terminal with colours" in t.seen, f"NO_COLOR: {t.seen}")


def test_control_characters(model):
    """A model that writes an escape sequence does not reach the terminal with it. Two tokens, forced: ESC and a letter."""
    ids = {}
    for text in ("\x1b", "["):
        p = subprocess.run([TRAWL, "tokenize", "--model_path", model], input=json.dumps({"text": text}), capture_output=True, text=True)
        ids[text] = json.loads(p.stdout)["ids"]
    check(all(len(i) == 1 for i in ids.values()), f"ids {ids}")
    t = Terminal(model, "--max_tokens", 6, "--logit_bias", *[f"{i[0]}=100" for i in ids.values()], "--temperature", 1, "--seed", 2)
    t.wait(PROMPT)
    t.type("crabs\r")
    t.wait(ENTERED)
    got = t.wait("(the answer ends")
    check("\x1b" not in got and "\N{REPLACEMENT CHARACTER}" in got, f"escape sequences: {got!r}")
    t.wait(PROMPT)
    t.type("\x04")
    t.leave(0)


def test_dumb(model):
    """Without cursor keys: the terminal's own line editing."""
    t = Terminal(model, "--max_tokens", 4, "--quiet", term="dumb")
    t.wait("> ")
    t.type("crabs\r")
    t.wait("max_tokens is 4")
    t.wait("> ")
    t.type("/quit\r")
    check("\x1b" not in t.leave(0), "escape sequences for a dumb terminal")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    model = tmp / "model"
    make_model(model)
    test_editing(model, tmp)
    test_stopping(model)
    test_colors(model)
    test_control_characters(model)
    test_dumb(model)

sys.exit(1 if failures() else 0)
