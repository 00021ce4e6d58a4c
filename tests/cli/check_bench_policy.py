#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl bench policy: accuracies, their difference and its standard error worked out again from the answers of trawl
generate; quantiles of a text from the entropies that scoring reports."""
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])


def trawl(*arguments, code=0, data=b""):
    p = subprocess.run([TRAWL, *map(str, arguments), "--quiet"], input=data, capture_output=True, timeout=100)
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {p.stderr.decode()}")
    return p.stdout.decode(), p.stderr.decode()


def mean(x):
    m = sum(x) / len(x)
    return m, math.sqrt(sum((v - m) ** 2 for v in x) / (len(x) - 1) / len(x))


def last_number(text):
    found = re.findall(r"(?:(?:^|(?<=[ $]))-)?[0-9](?:,?[0-9])*(?:\.[0-9]+)?|(?:^|(?<=[ $]))-?\.[0-9]+", text)
    if not found:
        return None
    sign, number = ("-", found[-1][1:]) if found[-1].startswith("-") else ("", found[-1])
    whole, _, fraction = number.replace(",", "").partition(".")
    fraction = fraction.rstrip("0")
    number = (whole.lstrip("0") or "0") + ("." + fraction if fraction else "")
    return sign + number if number != "0" else number


def test_questions(folder, model):
    policy, questions = folder / "policy.json", folder / "questions.jsonl"
    settings = ["--temperature", 1.5, "--seed", 5, "--max_tokens", 70]
    texts = [f"{i} and {i + 1}?" for i in range(24)]
    thresholds = {"h_lo": 0.5, "h_mid": 1, "h_hi": 2, "v_lo": 0.1, "v_hi": 0.2, "hehv_min_p": 0.5}
    policy.write_text(json.dumps(thresholds))
    rows = [{"messages": [{"role": "user", "content": t + "\nNumber:"}]} for t in texts]
    source = "".join(json.dumps(r) + "\n" for r in rows).encode()
    answers = [[json.loads(line)["text"] for line in trawl("generate", "--model_path", model, "--prompts_file", "-",
                                                           *settings, *more, data=source)[0].splitlines()]
               for more in ([], ["--entropy_policy", policy])]
    # the right answer of every other question is what one of the runs says
    numbers = [last_number(answers[i % 2][i]) if i % 3 else "-1" for i in range(len(texts))]
    questions.write_text("".join(json.dumps({"question": t, "answer": f"so\n#### {n or 17}"}) + "\n"
                                 for t, n in zip(texts, numbers)))
    command = ["bench", "policy", "--model_path", model, "--questions", questions, "--entropy_policy", policy,
               "--suffix", "Number:", *settings]
    got = json.loads(trawl(*command, "--json")[0])
    right = [[last_number(a) == (n or "17") for a, n in zip(run, numbers)] for run in answers]
    check(sum(right[0]) > 0 and sum(right[1]) > 0 and right[0] != right[1], f"{right}")
    for name, x in (("without", right[0]), ("with", right[1]),
                    ("difference", [b - a for a, b in zip(right[0], right[1])])):
        m, e = mean(x)
        check(abs(got[name]["mean"] - m) < 1e-9 and abs(got[name]["standard_error"] - e) < 1e-9,
              f"{name}: {got[name]}, expected {m} and {e}")
    check(got["questions"] == len(texts) and sum(got["states"].values()) > 0, f"{got}")
    lines = trawl(*command, "--mesh_shape", 2, 1)[0]
    check(f"difference          {100 * got['difference']['mean']:+5.1f} %" in lines, lines)
    # a policy that has nothing to say changes nothing
    policy.write_text(json.dumps({"v_hi": 1e6, "v_lo": 0, "h_lo": 0, "h_hi": 1e6}))
    same = json.loads(trawl(*command, "--json")[0])
    check(same["difference"] == {"mean": 0, "standard_error": 0} and same["without"] == same["with"], f"{same}")
    states = same["states"]
    check(states["MID"] == sum(states.values()), f"{states}")


def test_calibrate(folder, model):
    text = folder / "text.txt"
    text.write_text("The net goes down, crabs and eels come up. " * 12)
    ids = json.loads(trawl("tokenize", "--model_path", model, "--file", "-",
                           data=json.dumps({"text": text.read_text()}).encode())[0])["ids"]
    h, v = [], []
    for begin in range(0, len(ids) - 1, 40):
        window = ids[begin:begin + 40]
        row = {"tokens": window[:1], "completions": [window[1:]], "logprobs": 1}
        scores = json.loads(trawl("generate", "--model_path", model, "--prompts_file", "-",
                                  data=json.dumps(row).encode())[0])["scores"][0]
        h += [x / math.log(2) for x in scores["entropy"]]
        v += [x / math.log(2) ** 2 for x in scores["varentropy"]]
    got = json.loads(trawl("bench", "policy", "--model_path", model, "--calibrate", text, "--context_size", 40,
                           "--json")[0])
    check(got["tokens"] == len(h), f"{got['tokens']} tokens, expected {len(h)}")
    for x, name in ((sorted(h), "h"), (sorted(v), "v")):
        for q in got["quantiles"]:
            at = q["share"] * (len(x) - 1)
            low = min(int(at), len(x) - 2)
            want = x[low] + (at - low) * (x[low + 1] - x[low])
            check(abs(q[name] - want) < 1e-5 * (1 + want), f"{name} at {q['share']}: {q[name]}, expected {want}")


def test_refusals(folder, model):
    bad, policy = folder / "bad.jsonl", folder / "ok.json"
    policy.write_text("{}")
    for text, words in (("{}\n", "bad.jsonl line 1: the row has no \"question\""),
                        ('{"question": "a", "answer": "none"}\n', "\"answer\" has no number"),
                        ('{"question": "a", "answer": "#### 1"}\n', "1 questions, a standard error needs 2"),
                        ("[]\n", "line 1: the row is an array")):
        bad.write_text(text)
        _, err = trawl("bench", "policy", "--model_path", model, "--questions", bad, "--entropy_policy", policy, code=1)
        check(words in err, err)
    _, err = trawl("bench", "policy", "--model_path", model, "--questions", bad, code=2)
    check("--questions and --entropy_policy belong together" in err, err)


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "model"
        subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--vocab", "560",
                        "--eos", "544", "--tokenizer", SOURCE / "tests/text/data/digits"], check=True)
        test_questions(folder, model)
        test_calibrate(folder, model)
        test_refusals(folder, model)
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
