#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl chat without a terminal: an answer is that of trawl generate to the same messages, whatever was said, taken back,
loaded or set before it. The model is random: what it says is any bytes, so a conversation is rarely encoded as it was
generated, and the session has to rewind."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from checks import check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
EOS = 544  # <|end|> of tests/text/data/split
TURNS = ["crabs and eels", "The net goes down.", "Ünïcode \N{CRAB} too"]
FIELDS = {"max_tokens": 14, "temperature": 1.3, "top_p": 0.95, "seed": 5, "repetition_penalty": 1.1}


def make_model(folder, tokenizer):
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", folder, "--layers", "2", "--vocab", "560",
                    "--eos", str(EOS), "--tokenizer", tokenizer], check=True)


def flags_of(fields):
    return [str(w) for name, value in fields.items() for w in (f"--{name}", value)]


def chat(model, lines, *flags, code=0):
    """stdout and stderr of a chat with these lines."""
    text = lines if isinstance(lines, bytes) else "".join(line + "\n" for line in lines).encode()
    p = subprocess.run([TRAWL, "chat", "--model_path", model, "--threads", "1", *map(str, flags)], input=text,
                       capture_output=True, timeout=100)
    check(p.returncode == code, f"{lines}: exit {p.returncode}, expected {code}: {p.stderr.decode()}")
    return p.stdout, p.stderr.decode()


def rows_of(model, lines, *flags, code=0):
    out, err = chat(model, lines, "--json", *flags, code=code)
    return [json.loads(line) for line in out.decode().splitlines()], err


def generate(model, rows, *flags):
    p = subprocess.run([TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", "-", "--threads", "1",
                        *map(str, flags)], input="".join(json.dumps(r) + "\n" for r in rows), capture_output=True,
                       text=True, timeout=100)
    check(p.returncode == 0, f"generate: {p.stderr}")
    return [json.loads(line) for line in p.stdout.splitlines()]


def messages_of(*texts, system=None):
    first = [{"role": "system", "content": system}] if system is not None else []
    return first + [{"role": "assistant" if i % 2 else "user", "content": t} for i, t in enumerate(texts)]


def conversation(turns, answers):
    """Rows for generate that ask what a chat asked, one after another."""
    said, rows = [], []
    for turn, answer in zip(turns, answers):
        said.append(turn)
        rows.append({"messages": messages_of(*said)})
        said.append(answer["text"])
    return rows


def test_same_as_generate(model):
    whole, _ = rows_of(model, TURNS, *flags_of(FIELDS), "--logprobs", 3)
    check(len(whole) == 3 and all(len(r["top_logprobs"]) == len(r["tokens"]) > 0 for r in whole), f"rows {whole}")
    rows = conversation(TURNS, whole)
    check(generate(model, [r | FIELDS | {"logprobs": 3} for r in rows]) == whole, "generate answers other than the chat")
    for flags in (("--mesh_shape", 1, 2), ("--prefill_chunk", 3), ("--prefix_cache", 0), ("--threads", 2)):
        check(rows_of(model, TURNS, *flags_of(FIELDS), "--logprobs", 3, *flags)[0] == whole, f"{flags} change the answers")
    greedy, _ = rows_of(model, TURNS, "--max_tokens", 9, "--dtype", "float32")
    check(generate(model, [r | {"max_tokens": 9} for r in conversation(TURNS, greedy)], "--dtype", "float32") == greedy,
          "greedy answers differ")
    plain, _ = chat(model, TURNS, *flags_of(FIELDS))
    check(plain.decode() == "".join(r["text"] + "\n" for r in whole), f"text {plain}")
    return whole


def test_stops(model, whole):
    text = whole[0]["text"]
    stop = text[len(text) // 2:][:2]
    token = whole[1]["tokens"][4]
    extra = {"stop": [stop, "no such text"], "stop_token_ids": [token], "logit_bias": {"7": 3.5}, "suppress_tokens": [9, 10]}
    flags = ["--stop", *extra["stop"], "--stop_token_ids", token, "--logit_bias", "7=3.5", "--suppress_tokens", 9, 10]
    got, _ = rows_of(model, TURNS, *flags_of(FIELDS), *flags)
    check(generate(model, [r | FIELDS | extra for r in conversation(TURNS, got)]) == got, f"stops: {got}")
    biasless, _ = rows_of(model, TURNS[:1], *flags_of(FIELDS), *flags[:3])
    check(biasless[0]["text"] == text[:text.index(stop)] and biasless[0]["finish_reason"] == "stop", f"stop: {biasless}")


def test_commands(model, folder, whole):
    flags = flags_of(FIELDS) + ["--logprobs", "3"]
    again, _ = rows_of(model, [TURNS[0], "not meant", "/undo", TURNS[1], "/reset", *TURNS], *flags)
    check([again[0], again[2]] == whole[:2] and again[3:] == whole, "a turn that was taken back is remembered")
    retried, _ = rows_of(model, [TURNS[0], "/retry", "/retry", "/set seed 5", "/retry"], *flags)
    ask = {"messages": messages_of(TURNS[0])} | FIELDS | {"logprobs": 3}
    check(retried == generate(model, [ask, ask | {"seed": 6}, ask | {"seed": 7}, ask | {"seed": 6}]), "/retry")
    spoken, _ = rows_of(model, ["/system In short.", TURNS[0]], *flags)
    want = generate(model, [ask | {"messages": messages_of(TURNS[0], system="In short.")}])
    check(spoken == want and rows_of(model, [TURNS[0]], *flags, "--system", "In short.")[0] == want, "/system")
    check(rows_of(model, [TURNS[0], "/system In short.", "/retry", "/set seed 4", "/system none", "/retry"], *flags)[0][2] ==
          whole[0], "/system none")
    changed, err = rows_of(model, ["/set temperature 0", "/set max_tokens=6", "/set logprobs 0", "/set", TURNS[0],
                                   "/set temperature default", "/set max_tokens default", "/set logprobs default",
                                   "/reset", TURNS[0]], *flags)
    check(changed == [generate(model, [{"messages": messages_of(TURNS[0]), "max_tokens": 6, "repetition_penalty": 1.1}])[0],
                      whole[0]], f"/set: {changed}")
    check("temperature            0\n" in err and "top_p                  0.95\n" in err and "max_tokens             6\n" in err, err)
    _, err = chat(model, ["/help", "/stats", TURNS[0], "/stats", "/tokens", "/quit", "never"], *flags[:-2])
    check("/retry" in err and "ended by length; seed 5" in err and "varentropy" in err and err.count("context   ") == 2, err)
    _, err = chat(model, [*TURNS, "/stats", "/undo", "/retry", "/stats"], *flags[:-2])
    kept = [tuple(map(int, m)) for m in re.findall(r"prompt +(\d+) tokens, of which (\d+) were there", err)]
    check([n for n, _ in kept] == [whole[2]["prompt_tokens"], whole[1]["prompt_tokens"]], f"/stats: {kept}")
    check(whole[1]["prompt_tokens"] <= kept[0][1] < kept[0][0] and kept[1][1] == kept[1][0], f"what was there is computed again: {kept}")
    files = [folder / "saved chat.json", folder / "list.json"]
    chat(model, [*TURNS[:2], f"/save {files[0]}"], *flags)
    saved = json.loads(files[0].read_text())
    check(saved == {"messages": messages_of(TURNS[0], whole[0]["text"], TURNS[1], whole[1]["text"])}, f"/save: {saved}")
    files[1].write_text(json.dumps(saved["messages"]))
    for way in (["/load " + str(files[0])], ["/load " + str(files[1])], None):
        got, _ = rows_of(model, [*(way or []), TURNS[2], "/undo", "/set seed 4", "/retry"], *flags,
                         *(["--load", files[0]] if way is None else []))
        check(got == [whole[2]], f"{way}: {got}") if len(got) < 2 else check(got[0] == whole[2], f"{way}: {got}")
    p = subprocess.run([TRAWL, "generate", "-q", "--model_path", model, "--prompts_file", files[0], "--max_tokens", "3"],
                       capture_output=True)
    check(p.returncode == 0, f"generate does not take a saved chat: {p.stderr}")


def test_lines(model):
    flags = flags_of(FIELDS)
    want = generate(model, [{"messages": messages_of("one\ntwo")} | FIELDS])
    for lines in (["one\\", "two"], ['"""', "one", "two", '"""'], ['"""one', 'two"""'], ['"""one', "two"]):
        check(rows_of(model, lines, *flags)[0] == want, f"lines {lines}")
    slash = generate(model, [{"messages": messages_of(t)} | FIELDS for t in ("/help", "a\\b")])
    check(rows_of(model, ["//help", "", "   ", "/reset", "a\\b"], *flags)[0] == slash, "a slash")
    check(rows_of(model, ['"""/help"""'], *flags)[0] == slash[:1], "a command between quotes")


def test_mistakes(model, folder):
    (folder / "bad.json").write_text('{"messages": [{"content": "x"}]}')
    (folder / "late.json").write_text(json.dumps(messages_of("x") + messages_of(system="y")))
    cases = [("/sate", "There is no command /sate, did you mean /save"), ("/set", None), ("/set temprature 1", "did you mean temperature?"),
             ("/set temperature hot", "--temperature"), ("/set temperature 1000", "--temperature"), ("/set help true", "there is no \"help\""),
             ("/set min_tokens 99", "min_tokens is 99, more than max_tokens"), ("/set top_p", "needs a name and a value"),
             ("/undo", "no turn to take back"), ("/retry", "no turn to answer again"), ("/save", "needs the name"), ("/undo 2", "takes nothing"),
             ("/save /nowhere/x.json", "/nowhere"), ("/load /nowhere/x.json", "/nowhere/x.json"), (f"/load {folder}/bad.json", "message 0"),
             (f"/load {folder}/late.json", "expected it to be the first"), ("/tokens", None), ("/entropy on", "no terminal"),
             ("/entropy maybe", "on or off"), ("/logprobs many", "--logprobs")]
    _, err = chat(model, [line for line, _ in cases], *flags_of(FIELDS), code=3)
    for line, words in cases:
        check(words is None or words in err, f"{line}: no \"{words}\" in {err}")
    check(f"{sum(w is not None for _, w in cases)} of the lines failed" in err, f"count: {err}")
    out, err = rows_of(model, b"ab\xff\n" + TURNS[0].encode() + b"\n/he\0lp\n", *flags_of(FIELDS), code=3)
    check(len(out) == 1 and "not UTF-8" in err and "NUL" in err, f"bytes: {out} {err}")
    for flags, words in ((["--show_entropy"], "no terminal with colours"), (["--load", folder / "none.json"], "none.json"),
                         (["--best_of", 2], "unknown option --best_of"), (["--max_tokens", 2, "--min_tokens", 3], "min_tokens is 3")):
        code = 1 if "--load" in flags else 2
        check(words in chat(model, [], *flags, code=code)[1], f"{flags}")


def test_full_context(model):
    flags = ["--temperature", 1, "--seed", 2, "--max_model_len", 60, "--logit_bias", f"{EOS}=-100"]
    turn = "crabs and eels and crabs"
    rows, err = rows_of(model, [turn, "more", "/reset", turn], *flags, code=3)
    check([r["finish_reason"] for r in rows] == ["length", "error", "length"] and rows[0] == rows[2], f"full: {rows}")
    check(rows[0]["prompt_tokens"] + len(rows[0]["tokens"]) == 60 and "the context holds 60" in rows[1]["error"], f"full: {rows}")
    check("/undo takes turns back" in chat(model, [turn], *flags)[1] and "/undo" not in err, err)
    job = generate(model, [{"messages": messages_of(turn), "max_tokens": 500, "temperature": 1, "seed": 2,
                            "logit_bias": {str(EOS): -100}}], "--max_model_len", 60)
    check(job == rows[:1], "a full context ends an answer elsewhere")


def test_no_template(folder):
    tokenizer = folder / "plain_tokenizer"
    shutil.copytree(SOURCE / "tests/text/data/split", tokenizer)
    config = json.loads((tokenizer / "tokenizer_config.json").read_text())
    del config["chat_template"]
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config))
    make_model(folder / "plain", tokenizer)
    rows, err = rows_of(folder / "plain", ["crabs", "eels"], *flags_of(FIELDS), "--system", "Sea.")
    first = "Sea.\n\nUser: crabs\nAssistant:"
    second = f"{first} {rows[0]['text'].strip()}\nUser: eels\nAssistant:"
    want = generate(folder / "plain", [{"prompt": p, "stop": "\nUser:"} | FIELDS for p in (first, second)])
    check(rows == want and "no chat template" in err and '"User: ..."' in err, f"no template: {rows} {want} {err}")


def test_interrupt(model):
    p = subprocess.Popen([TRAWL, "chat", "--model_path", model, "--threads", "1", "--temperature", "1", "--logit_bias", f"{EOS}=-100"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b"go on\nand on\n")
    p.stdin.flush()
    p.stdout.read(10)  # it has begun
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    check(p.returncode == 130, f"interrupted: exit {p.returncode}: {err}")
    p = subprocess.Popen([TRAWL, "chat", "--model_path", model, "--threads", "1", "--max_tokens", "2"], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    p.stdin.write(b"go on\n")
    p.stdin.flush()
    p.stdout.read(1)
    time.sleep(0.3)
    p.send_signal(signal.SIGTERM)  # while it waits for a line
    check(p.wait(timeout=60) == 130, "SIGTERM")
    p.communicate()


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    model = tmp / "model"
    make_model(model, SOURCE / "tests/text/data/split")
    whole = test_same_as_generate(model)
    test_stops(model, whole)
    test_commands(model, tmp, whole)
    test_lines(model)
    test_mistakes(model, tmp)
    test_full_context(model)
    test_no_template(tmp)
    test_interrupt(model)

sys.exit(1 if failures() else 0)
