#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl tokenize on a tokenizer small enough to be checked by eye: every byte a token, three merges, one special and
one ordinary added token, a chat template. The tokenizer itself is tested in tests/text; here it is rows in, rows out."""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from checks import check, failures

trawl = os.environ["TRAWL"]


def byte_letters():
    """The printable letter that byte-level BPE writes for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {}, 0
    for byte in range(256):
        letters[byte] = chr(byte if byte in plain else 256 + extra)
        extra += byte not in plain
    return letters


def make_model(folder):
    letters = byte_letters()
    vocab = {letters[byte]: byte for byte in range(256)}
    vocab |= {"he": 256, "ll": 257, "hell": 258}
    added = [{"id": 259, "content": "<|end|>", "special": True}, {"id": 260, "content": "<tool>", "special": False}]
    for token in added:
        token |= {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
             "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
             "merges": ["h e", "l l", "he ll"]}
    (folder / "tokenizer.json").write_text(json.dumps(
        {"version": "1.0", "added_tokens": added, "normalizer": None, "pre_tokenizer": level,
         "post_processor": level, "decoder": level, "model": model}))
    (folder / "tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|end|>",
         "chat_template": "{% for m in messages %}{{ m.role }}:{{ m.content }}<|end|>{% endfor %}"
                          "{% if mood %}{{ mood }}{% endif %}{% if add_generation_prompt %}>{% endif %}"}))


def run(folder, rows, *flags, code=0):
    lines = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    p = subprocess.run([trawl, "tokenize", "--model_path", folder, *flags], input=lines.encode(), capture_output=True)
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.decode().splitlines()], p.stderr.decode()


with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    make_model(folder)

    # text to ids and back; texts that break lines stay on their line
    ids = [258, ord("o"), 259, 260]
    rows = [{"text": "hello<|end|><tool>"}, {"text": ""}, {"text": "\n\u2028\u0085\0é"}]
    got, _ = run(name, rows)
    check(got[:2] == [{"ids": ids}, {"ids": []}], f"encode: {got}")
    check(got[2] == {"ids": list("\n\u2028\u0085\0é".encode())}, f"encode: {got[2]}")
    back, _ = run(name, got)
    check(back == rows, f"decode: {back}")

    # flags
    tags = {"special": [*b"<|end|>"], "tool": [*b"<tool>"]}
    check(run(name, rows[:1], "--no_special")[0] == [{"ids": [258, 111, *tags["special"], 260]}], "--no_special")
    check(run(name, rows[:1], "--no_added")[0] == [{"ids": [258, 111, *tags["special"], *tags["tool"]]}], "--no_added")

    # chats: further members are variables of the template
    chat = {"messages": [{"role": "u", "content": "hell"}]}
    got, _ = run(name, [chat, chat | {"add_generation_prompt": True, "mood": "!"}])
    check(got == [{"text": "u:hell<|end|>", "ids": [117, 58, 258, 259]},
                  {"text": "u:hell<|end|>!>", "ids": [117, 58, 258, 259, 33, 62]}], f"chat: {got}")

    # bad rows keep their place, are named with their line, and the exit code says so
    got, err = run(name, [{"text": "he"}, "\n", "nonsense\n", {"ids": [1.5]}, {"ids": [-1]}, "[1]\n", {"ids": [104]}], code=3)
    check([("error" in row) for row in got] == [False, True, True, True, True, False], f"bad rows: {got}")
    check(got[5] == {"text": "h"}, f"after bad rows: {got[5]}")
    check(all(f"standard input line {n}: " in err for n in (3, 4, 5, 6)), f"bad rows on stderr: {err}")
    check(err.endswith("trawl tokenize: 4 of 6 rows failed\n"), f"summary: {err}")

    # ids without a token are nothing, and no failure: a head may have more rows than the tokenizer
    check(run(name, [{"ids": [104, 70000, 259]}])[0] == [{"text": "h<|end|>"}], "ids above the vocabulary")

    # a file, the last line without an end; a single text
    (folder / "in.jsonl").write_text('{"text": "he"}\r\n{"ids": [258]}')
    p = subprocess.run([trawl, "tokenize", f"--model-path={name}", "--file", folder / "in.jsonl"], capture_output=True)
    check(p.stdout == b'{"ids": [256]}\n{"text": "hell"}\n', f"file: {p.stdout}")
    p = subprocess.run([trawl, "tokenize", "--model_path", name, "--text", "hell\n<|end|>"], capture_output=True)
    check(p.stdout.decode().split() == ["258", '"hell"', "10", '"\\n"', "259", '"<|end|>"', "special"], f"--text: {p.stdout}")
    p = subprocess.run([trawl, "tokenize", "--model_path", name, "--text", "x", "--file", "y"], capture_output=True)
    check(p.returncode == 2 and b"exclude each other" in p.stderr, "--text with --file")

    # an interruption between rows: 130, and what came before is whole. The pipe holds less than what is written, so
    # the command is at work when the signal comes.
    with open(folder / "out.jsonl", "wb") as out:
        p = subprocess.Popen([trawl, "tokenize", "--model_path", name], stdin=subprocess.PIPE, stdout=out,
                             stderr=subprocess.PIPE)
        try:
            p.stdin.write(b'{"text": "hello"}\n' * 20000)
            p.stdin.flush()
            p.send_signal(signal.SIGINT)
            p.stdin.write(b'{"text": "hello"}\n' * 20000)
            p.stdin.close()
        except BrokenPipeError:
            pass
        p.stdin = None
        _, err = p.communicate(timeout=60)
    out = (folder / "out.jsonl").read_bytes()
    check(p.returncode == 130, f"interrupted: exit {p.returncode}, {err.decode()}")
    check(set(out.splitlines()) <= {b'{"ids": [258, 111]}'} and (not out or out.endswith(b"\n")), "torn rows")

sys.exit(1 if failures() else 0)
