#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl generate: rows in, rows out. The model is random, so the answers mean nothing; what they have to agree with is
each other and the logits of trawl trace."""
import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
EOS = 544  # <|end|> of tests/text/data/split
BOS = 543  # <|begin|>: its post-processor puts it before a text


def make_model(folder, *arguments):
    subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", folder, "--layers", "2", "--vocab", "560",
                    "--eos", str(EOS), *arguments], check=True)


def generate(model, rows, *flags, code=0):
    """Parsed rows and stderr. A row that is a str is a line as it is."""
    lines = "".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows)
    p = subprocess.run([TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", "-", "--threads", "1",
                        *map(str, flags)], input=lines.encode(), capture_output=True, timeout=100)
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.decode().splitlines()], p.stderr.decode()


def tokenize(model, rows):
    p = subprocess.run([TRAWL, "tokenize", "--model_path", model], input="".join(json.dumps(r) + "\n" for r in rows),
                       capture_output=True, text=True, check=True)
    return [json.loads(line) for line in p.stdout.splitlines()]


def test_kinds_of_rows(model):
    messages = [{"role": "user", "content": "crabs and eels"}]
    rows = [{"id": "text", "prompt": "The net goes down", "max_tokens": 7},
            {"id": 2, "messages": messages, "max_tokens": 1},
            {"id": None, "tokens": [5, 6, 7], "max_tokens": 30},
            {"tokens": [5, 6, 7], "max_tokens": 0}]
    out, _ = generate(model, rows)
    check([r.get("id", "absent") for r in out] == ["text", 2, None, "absent"], f"ids {[r.get('id') for r in out]}")
    check([len(r["tokens"]) for r in out] == [7, 1, 30, 0], "numbers of tokens")
    check([r["finish_reason"] for r in out] == ["length"] * 4, "finish reasons")
    ids = tokenize(model, [{"text": rows[0]["prompt"]}, {"messages": messages, "add_generation_prompt": True}])
    ids[0]["ids"].insert(0, BOS)  # as tokenizer(text) has it; a chat template writes its own
    check([r["prompt_tokens"] for r in out] == [len(ids[0]["ids"]), len(ids[1]["ids"]), 3, 3],
          f"prompt tokens {[r['prompt_tokens'] for r in out]}")
    check(not any(k in r for r in out for k in ("logprobs", "entropy", "samples", "error")), "keys nobody asked for")
    # null is as good as absent
    nulls = dict.fromkeys(["messages", "tokens", "max_tokens", "seed", "n", "stop", "stop_token_ids", "logprobs", "ignore_eos",
                           "attention_mask", "guided_regex", "guided_json", "num_beams", "completions", "dfs", "temperature",
                           "logit_bias", "suppress_tokens", "entropy_policy"])
    check(generate(model, [nulls | rows[0]])[0] == [out[0]], "members that are null change the answer")
    bare, _ = generate(model, [rows[0] | {"add_special_tokens": False}, {"tokens": ids[0]["ids"][1:], "max_tokens": 7}])
    check(bare[0]["tokens"] == bare[1]["tokens"] and bare[0]["prompt_tokens"] + 1 == out[0]["prompt_tokens"], "a prompt without its BOS")
    # a prompt and its tokens are the same request; text is that of the tokens
    same, _ = generate(model, [{"tokens": ids[0]["ids"], "max_tokens": 7}, {"tokens": ids[1]["ids"], "max_tokens": 1}])
    for a, b in zip(out, same):
        check({k: a[k] for k in b} == b, f"{a} is not {b}")
    check(tokenize(model, [{"ids": out[0]["tokens"]}])[0]["text"] == out[0]["text"], "text is not that of the tokens")
    return rows, out


def test_neighbours_do_not_matter(model, rows, out):
    for i, row in enumerate(rows):
        check(generate(model, [row])[0] == [out[i]], f"row {i} alone differs")
    for flags in (("--mesh_shape", 2, 2), ("--batch_size", 1), ("--prefill_chunk", 1), ("--threads", 2)):
        check(generate(model, rows, *flags)[0] == out, f"{flags} changes the answers")
    check(generate(model, rows[::-1])[0] == out[::-1], "the order of rows changes the answers")


def test_sampling(model):
    row = {"tokens": [9, 8, 7], "max_tokens": 12, "temperature": 1.5, "top_p": 0.95}
    seeded = row | {"seed": 3}
    out, _ = generate(model, [row, row, seeded, seeded | {"n": 3}, seeded | {"seed": 4}, row | {"top_k": 1}])
    check(out[0]["tokens"] != out[1]["tokens"], "two requests without a seed draw the same")
    samples = out[3]["samples"]
    check([s["tokens"] for s in samples[:2]] == [out[2]["tokens"], out[4]["tokens"]],
          "sample j is not that of seed + j")
    check(len(samples) == 3 and set(samples[0]) == set(out[2]) - {"id"}, f"samples: {samples}")
    other, _ = generate(model, [row, seeded], "--seed", 5)
    check(other[0] != out[0] and other[1] == out[2], "--seed is not the seed of rows without one")
    greedy, _ = generate(model, [{"tokens": [9, 8, 7], "max_tokens": 12}])
    check(out[5]["tokens"] == greedy[0]["tokens"], "top_k 1 is not greedy")
    flags = ("--temperature", 1.5, "--top_p", 0.95, "--max_tokens", 12, "--n", 2, "--logprobs")
    many, _ = generate(model, [{"tokens": [9, 8, 7], "seed": 3}], *flags)
    check([s["tokens"] for s in many[0]["samples"]] == [s["tokens"] for s in samples[:2]], "flags are not the rows' defaults")
    check(all(len(s["logprobs"]) == 12 for s in many[0]["samples"]), "--logprobs")


def read_logits(path):
    data = path.read_bytes()
    n = struct.unpack("<Q", data[:8])[0]
    t = json.loads(data[8:8 + n])["seq.0.logits"]
    begin, end = t["data_offsets"]
    width = t["shape"][1]
    floats = struct.unpack(f"<{(end - begin) // 4}f", data[8 + n + begin:8 + n + end])
    return [floats[i:i + width] for i in range(0, len(floats), width)]


def test_logprobs_are_those_of_the_logits(model, folder):
    out, _ = generate(model, [{"tokens": [1, 2, 3], "max_tokens": 9, "temperature": 1.2, "seed": 1, "logprobs": 1,
                               "repetition_penalty": 1.3}])
    r = out[0]
    (folder / "in.json").write_text(json.dumps([[1, 2, 3, *r["tokens"]]]))
    subprocess.run([TRAWL, "trace", "--quiet", "--model_path", model, "--tokens", folder / "in.json", "--sites", "logits",
                    "--out", folder / "out.safetensors"], check=True)
    logits = read_logits(folder / "out.safetensors")[2:]
    for i, token in enumerate(r["tokens"]):
        top = max(logits[i])
        z = sum(math.exp(x - top) for x in logits[i])
        p = [math.exp(x - top) / z for x in logits[i]]
        entropy = -sum(q * math.log(q) for q in p if q > 0)
        varentropy = sum(q * (math.log(q) + entropy) ** 2 for q in p if q > 0)
        check(abs(math.log(p[token]) - r["logprobs"][i]) < 1e-5, f"logprob {i}")
        check(abs(entropy - r["entropy"][i]) < 1e-5 and abs(varentropy - r["varentropy"][i]) < 1e-4, f"entropy {i}")
    check(abs(sum(r["logprobs"]) - r["cumulative_logprob"]) < 1e-5, "cumulative_logprob")


def test_ends(model):
    row = {"tokens": [4, 4, 4], "max_tokens": 40, "temperature": 2, "seed": 11}
    whole = generate(model, [row])[0][0]
    tokens, text = whole["tokens"], whole["text"]
    at = next(i for i in range(5, 40) if tokens[i] not in tokens[:i])
    ended = generate(model, [row | {"stop_token_ids": [tokens[at]]}])[0][0]
    check(ended["tokens"] == tokens[:at + 1] and ended["finish_reason"] == "stop", f"stop_token_ids: {ended}")
    # a stop text is cut off, with what follows it; the tokens are those it took
    middle = text[len(text) // 2:]
    stop = next(middle[i:i + 2] for i in range(len(middle)) if text.index(middle[i:i + 2]) == len(text) // 2 + i
                and "\ufffd" not in middle[i:i + 2])
    for value in (stop, ["never there", stop]):
        cut = generate(model, [row | {"stop": value}])[0][0]
        check(cut["text"] == text[:text.index(stop)] and cut["finish_reason"] == "stop", f"stop {value!r}: {cut}")
        check(cut["tokens"] == tokens[:len(cut["tokens"])] and len(cut["tokens"]) < 40, "tokens up to the stop text")
    check(generate(model, [row], "--stop", stop)[0][0] == cut, "--stop")
    # the model's own end token: forced by a repetition penalty that favours what was seen
    row = {"tokens": [EOS, 4, EOS], "max_tokens": 5, "repetition_penalty": 0.01}
    end, forced = generate(model, [row, row | {"ignore_eos": True}])[0]
    if EOS in forced["tokens"]:
        at = forced["tokens"].index(EOS)
        check(end["finish_reason"] == "stop" and end["tokens"] == forced["tokens"][:at + 1], f"end token: {end}")
        check("<|end|>" not in end["text"], "a special token in the text")
    else:
        check(False, f"the end token did not come: {forced}")


def test_bad_rows(model):
    rows = [{"tokens": [1, 2], "max_tokens": 3}, "nonsense", "[1]", {"prompt": "a", "tokens": [1]}, {"id": "e", "max_tokens": 3},
            {"prompt": 7}, {"tokens": [1, -1]}, {"tokens": [1], "temprature": 1}, {"tokens": [1], "stop": [""]},
            {"tokens": [1], "n": 0}, {"tokens": [600], "max_tokens": 3}, {"tokens": []}, {"tokens": [1], "top_p": 0},
            {"messages": "hello"}, {"tokens": [1, 2], "max_tokens": 3}]
    words = {1: "not JSON", 2: "the row is an array, expected an object", 3: "expected one", 4: "expected one",
             5: '"prompt" is an integer, expected a string', 6: '"tokens"[1] is an integer, expected a token id',
             7: '"temprature"', 8: '"stop"[0] is empty, expected a text', 9: '"n" is 0, expected 1 to 4096',
             10: "token 0 of the prompt is 600, the vocabulary has 560 ids", 11: "the prompt is empty",
             12: "top_p is 0, expected more than 0", 13: ""}
    out, err = generate(model, rows, code=3)
    check(len(out) == len(rows), f"{len(out)} rows came out of {len(rows)}")
    for i, row in enumerate(out):
        if i in words:
            check(row["finish_reason"] == "error" and words[i] in row["error"], f"bad row {i}: {row}")
        else:
            check(row == out[0] and row["finish_reason"] == "length", f"good row {i}: {row}")
        if 1 <= i <= 9:
            check(f"standard input line {i + 1}: " in err, f"line {i + 1} is not named: {err}")
    check(out[4]["id"] == "e", "the id of a bad row")
    check("13 of 15 requests failed" in err, f"summary: {err}")


def test_rows_that_cannot_be_answered_as_asked(model):
    good, deep = {"tokens": [1, 2], "max_tokens": 3}, "[" * 100 + "]" * 100
    rows = [good, '{"tokens": [1], "id": ' + deep + "}", '{"tokens": [1], "id": 123456789012345678901}',
            good | {"n": 3, "min_p": 5, "temperature": 1}, good | {"stop": "a\0b"}, good | {"id": 0.5}]
    out, err = generate(model, rows, code=3)
    check(len(out) == 6 and out[5] == {"id": 0.5} | out[0], f"the good rows: {out}")
    check("\"id\" is an array, expected a string or a number" in out[1]["error"], f"a deep id: {out[1]}")
    check("64 bits" in out[2]["error"] and "id" not in out[2], f"an id that is not exact: {out[2]}")
    check("contains U+0000" in out[4]["error"], f"a stop text with NUL: {out[4]}")
    check("standard input line 4: min_p is 5" in err and "6 of 8 requests failed" in err, f"samples of a row: {err}")


def answer(model, *flags, code=0):
    """What --prompt prints, and stderr."""
    p = subprocess.run([TRAWL, "generate", "-q", "--model_path", model, "--prompt", "The net", *flags], capture_output=True)
    check(p.returncode == code, f"{flags}: exit {p.returncode}, expected {code}: {p.stderr.decode()}")
    return p.stdout.decode(), p.stderr.decode()


def test_prompt(model):
    """As it comes, an answer is the same to the last byte, also where its end was held back as a possible stop text."""
    for n in range(3, 12):
        flags = ["--max_tokens", str(n), "--temperature", "2", "--seed", "5"]
        whole, _ = answer(model, *flags, "--no_realtime")
        check(answer(model, *flags)[0] == whole, f"{n} tokens as they come")
        tail = whole[:-1].split("\ufffd")[-1].split("\0")[-1][-2:]
        if tail:
            check(answer(model, *flags, "--stop", tail + "never there")[0] == whole, f"{n} tokens: the end is held back")
    for flags, words in ((["--stop", ""], "--stop: text 1 is empty"), (["--logprobs"], "--logprobs goes with --prompts_file"),
                         (["--output_filepath", "x"], "--output_filepath goes with --prompts_file")):
        check(words in answer(model, *flags, code=2)[1], f"{flags}")


def test_files(model, folder):
    row = json.dumps({"tokens": [1, 2], "max_tokens": 3})
    (folder / "in.jsonl").write_text(row + "\n\n  \n" + row)  # blank lines are none, the last one needs no end
    command = [TRAWL, "generate", "-q", "--model_path", model, "--prompts_file", folder / "in.jsonl"]
    p = subprocess.run([*command, "--output_filepath", folder / "out.jsonl"], capture_output=True, text=True)
    check(p.returncode == 0 and p.stdout == "", f"to a file: {p}")
    check(len((folder / "out.jsonl").read_text().splitlines()) == 2, "rows of the file")
    p = subprocess.run([*command, "--output_filepath", folder / "new/folder/out.jsonl"], capture_output=True, text=True)
    check(p.returncode == 0 and (folder / "new/folder/out.jsonl").exists(), f"a folder that is not there: {p}")
    p = subprocess.run([*command, "--output_filepath", folder / "in.jsonl/out.jsonl"], capture_output=True, text=True)
    check(p.returncode == 1 and "in.jsonl: cannot make a folder" in p.stderr, f"a folder that cannot be: {p}")
    p = subprocess.run([*command, "--prompt", "x"], capture_output=True, text=True)
    check(p.returncode in (1, 2) and "exclude each other" in p.stderr, f"both inputs: {p}")
    p = subprocess.run([TRAWL, "generate", "-q", "--model_path", model, "--prompt", "The net", "--max_tokens", "5"],
                       capture_output=True)
    q = subprocess.run([TRAWL, "generate", "-q", "--model_path", model, "--prompt", "The net", "--max_tokens", "5",
                        "--no_realtime"], capture_output=True)
    check(p.returncode == 0 and p.stdout == q.stdout and p.stdout.endswith(b"\n"), f"--prompt: {p} {q}")


def test_no_tokenizer(folder):
    make_model(folder / "bare")
    out, _ = generate(folder / "bare", [{"tokens": [1, 2], "max_tokens": 3}])
    check(out[0]["text"] is None and len(out[0]["tokens"]) == 3, f"without a tokenizer: {out}")
    out, _ = generate(folder / "bare", [{"prompt": "x"}, {"tokens": [1], "stop": "x"}], code=3)
    check(all("tokenizer" in r["error"] for r in out), f"without a tokenizer: {out}")


def test_interrupt(model, folder):
    rows = "".join(json.dumps({"tokens": [1, 2, i % 500], "max_tokens": 3000}) + "\n" for i in range(50))
    (folder / "long.jsonl").write_text(rows)
    p = subprocess.Popen([TRAWL, "generate", "--model_path", model, "--prompts_file", folder / "long.jsonl",
                          "--output_filepath", folder / "long.out", "--threads", "1",
                          "--prompt_lookup_num_tokens", "0"], stderr=subprocess.PIPE)
    line = p.stderr.readline()  # of progress: the work has begun
    p.send_signal(signal.SIGINT)
    rest = p.communicate(timeout=60)[1]
    check(p.returncode == 130, f"interrupted: exit {p.returncode}, {line + rest}")
    check(not (folder / "long.out").exists(), "half a file was left")


with tempfile.TemporaryDirectory() as tmp:
    tmp = pathlib.Path(tmp)
    model = tmp / "model"
    make_model(model, "--tokenizer", SOURCE / "tests/text/data/split")
    test_neighbours_do_not_matter(model, *test_kinds_of_rows(model))
    test_sampling(model)
    test_logprobs_are_those_of_the_logits(model, tmp)
    test_ends(model)
    test_bad_rows(model)
    test_rows_that_cannot_be_answered_as_asked(model)
    test_prompt(model)
    test_files(model, tmp)
    test_no_tokenizer(tmp)
    test_interrupt(model, tmp)

sys.exit(1 if failures() else 0)
