#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""trawl generate: the ways to choose a token. With "logprobs" as large as the vocabulary a greedy row tells its whole
distribution; what processors make of it is worked out here again."""
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from checks import check, failures

TRAWL = os.environ["TRAWL"]
SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
VOCAB, EOS = 560, 544


def generate(model, rows, *flags, code=0, launcher=()):
    p = subprocess.run([*launcher, TRAWL, "generate", "--quiet", "--model_path", model, "--prompts_file", "-", "--threads",
                        "1", *map(str, flags)], input="".join(json.dumps(r) + "\n" for r in rows).encode(),
                       capture_output=True, timeout=100)
    check(p.returncode == code, f"exit {p.returncode}, expected {code}: {p.stderr.decode()}")
    return [json.loads(line) for line in p.stdout.decode().splitlines()]


def distributions(result):
    """Of every place: log-probability of each token."""
    out = []
    for top in result["top_logprobs"]:
        check(len(top) == VOCAB and len({t["token"] for t in top}) == VOCAB, "not every token once")
        order = [-t["logprob"] for t in top]
        check(order == sorted(order), "top_logprobs are not in order")
        check(abs(sum(math.exp(t["logprob"]) for t in top) - 1) < 1e-5, "probabilities do not sum up to 1")
        out.append({t["token"]: t["logprob"] for t in top})
    return out


def test_top_logprobs(model):
    row = {"tokens": [9, 8, 7], "max_tokens": 5}
    plain, one, few, every = generate(model, [row, row | {"logprobs": True}, row | {"logprobs": 3},
                                              row | {"logprobs": VOCAB}])
    check(not any(k in plain for k in ("logprobs", "top_logprobs")) and "top_logprobs" not in one, "nobody asked")
    check(plain["tokens"] == every["tokens"] and one["logprobs"] == every["logprobs"], "logprobs change the answer")
    check(few["top_logprobs"] == [top[:3] for top in every["top_logprobs"]], "three are not the first three of all")
    for token, logprob, d in zip(every["tokens"], every["logprobs"], distributions(every)):
        check(d[token] == logprob == max(d.values()), "the token is not the most probable one")
    by_option = generate(model, [row], "--logprobs", 3)
    check(by_option == [few], "--logprobs 3 is not \"logprobs\": 3")
    drawn = generate(model, [row | {"logprobs": VOCAB, "temperature": 2, "seed": 1, "repetition_penalty": 1.5}])[0]
    for token, logprob, d in zip(drawn["tokens"], drawn["logprobs"], distributions(drawn)):
        check(d[token] == logprob, "logprobs are not those of the model")


def best(d, prompt, answer, settings):
    """The greedy choice after the processors, from log-probabilities; None where two are too near."""
    x = dict(d)
    for token, value in settings.get("logit_bias", {}).items():
        x[int(token)] += value
    for token in set(answer):
        x[token] -= settings.get("presence_penalty", 0) + settings.get("frequency_penalty", 0) * answer.count(token)
    n, history = settings.get("no_repeat_ngram_size", 0), prompt + answer
    for i in range(len(history) - n + 1 if n else 0):
        if history[i:i + n - 1] == history[len(history) - n + 1:]:
            x[history[i + n - 1]] = -math.inf
    if len(answer) < settings.get("min_tokens", 0):
        x[EOS] = -math.inf
    for token in settings.get("suppress_tokens", []):
        x[token] = -math.inf
    order = sorted(x, key=lambda t: -x[t])
    return None if x[order[0]] - x[order[1]] < 1e-5 else order[0]


def test_processors(model):
    settings = [{"presence_penalty": 2}, {"frequency_penalty": 2, "presence_penalty": -1}, {"frequency_penalty": -2},
                {"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": 2, "frequency_penalty": -2},
                {"logit_bias": {"11": 3.5, "3": 2.5, "9": -100}}, {"logit_bias": {str(EOS): 50}, "min_tokens": 6},
                {"suppress_tokens": list(range(0, VOCAB, 2))},
                {"logit_bias": {"5": 4, "6": 3.9}, "presence_penalty": 0.5, "no_repeat_ngram_size": 3,
                 "suppress_tokens": [7]}]
    base = {"tokens": [9, 8, 7, 9, 8], "max_tokens": 12, "logprobs": VOCAB}
    rows = [base | s for s in settings]
    out = generate(model, rows)
    for row, s, result in zip(rows, settings, out):
        tokens = result["tokens"]
        for i, d in enumerate(distributions(result)):
            want = best(d, row["tokens"], tokens[:i], s)
            check(want in (None, tokens[i]), f"{s}: token {i} is {tokens[i]}, expected {want}")
    ended = out[6]["tokens"]
    check(ended.index(EOS) == 6 and len(ended) == 7, f"min_tokens: {ended}")
    check(len(set(out[3]["tokens"] + [9, 8, 7])) == 15, "a token came twice")
    for flags in (("--mesh_shape", 2, 2), ("--batch_size", 1), ("--prefill_chunk", 1)):
        check(generate(model, rows, *flags) == out, f"{flags} changes the answers")
    check(generate(model, rows[::-1]) == out[::-1], "the order of rows changes the answers")
    by_option = generate(model, [{"tokens": base["tokens"], "max_tokens": 12}], "--logprobs", VOCAB, "--logit_bias",
                         "5=4", "6=3.9", "--presence_penalty", 0.5, "--no_repeat_ngram_size", 3, "--suppress_tokens", 7)
    check(by_option == out[8:], "options are not what members of a row are")
    return rows, out


def test_draws(model):
    base = {"tokens": [4, 5], "max_tokens": 10, "temperature": 1.5, "seed": 3}
    rows = [base | s for s in ({"top_k": 1}, {"typical_p": 0.2}, {"top_n_sigma": 0.01},
                               {"xtc_probability": 1, "xtc_threshold": 0.001}, {"seed": 5}, {"seed": 5, "top_p": 0.9})]
    out = generate(model, rows)
    greedy = generate(model, [base | {"temperature": 0}])[0]["tokens"]
    check(out[0]["tokens"] == greedy == out[2]["tokens"], "one token is left, and it is not the best one")
    check(out[3]["tokens"] != greedy, "XTC leaves the most likely tokens")
    check(generate(model, rows, "--mesh_shape", 1, 2, "--batch_size", 2) == out, "mesh and batch change draws")
    return rows, out


def test_best_of(model):
    row = {"tokens": [4, 5], "max_tokens": 10, "temperature": 1.5, "seed": 3, "logprobs": 2}
    drawn = generate(model, [row | {"n": 6}])[0]["samples"]
    best = sorted(drawn, key=lambda a: -a["cumulative_logprob"])
    check(best[0] != drawn[0], "the first answer is the best, so that nothing is chosen")
    rows = [row | {"best_of": 6}, row | {"best_of": 6, "n": 3}, row | {"best_of": 6, "n": 6}, row | {"best_of": 1, "n": 6}]
    out = generate(model, rows)
    check(out == [best[0], {"samples": best[:3]}, {"samples": best}, {"samples": drawn}], f"best_of: {out} of {drawn}")
    for flags in (("--mesh_shape", 2, 2), ("--batch_size", 1), ("--prefix_cache", 0)):
        check(generate(model, rows, *flags) == out, f"{flags} changes the best")
    check(generate(model, [{"tokens": [4, 5], "max_tokens": 10, "seed": 3}], "--best_of", 6, "--n", 3, "--temperature", 1.5,
                   "--logprobs", 2) == out[1:2], "options are not what members of a row are")
    for more, words in (({"temperature": 0}, "best_of is 6 with temperature 0"), ({"n": 7}, "n (num_return_sequences) is 7"),
                        ({"num_beams": 2}, "beam search draws nothing"),
                        ({"dfs": {"min_prob": 0.1}}, "n-best search draws nothing"), ({"best_of": -1}, "\"best_of\" is -1"),
                        ({"completions": [[1]]}, "scoring draws nothing")):
        result = generate(model, [row | {"best_of": 6} | more], code=3)[0]
        check(words in result.get("error", ""), f"{more}: {result}")
    return rows, out


def test_policy(model, folder):
    file = folder / "policy.json"
    thresholds = {"h_lo": 1, "h_mid": 2, "h_hi": 3, "v_lo": 1, "v_hi": 2, "best_of": 3}
    row = {"tokens": [4, 5], "max_tokens": 20, "temperature": 1}

    def run(policy, *flags, code=0):
        file.write_text(json.dumps(policy))
        return generate(model, [row | {"entropy_policy": str(file)}], *flags, code=code)[0]

    for policy in (thresholds, thresholds | {"v_hi": 1.5}, thresholds | {"h_lo": 1.9, "v_lo": 1.99}):
        result = run(policy)
        counts = result["entropy_policy"]
        check(sum(counts[k] for k in ("LELV", "HELV", "HEHV", "LEHV", "MID")) == len(result["tokens"]), f"{counts}")
        check(run(policy, "--mesh_shape", 1, 2) == result, "the mesh changes what a policy does")
    file.write_text(json.dumps(thresholds))
    by_option = generate(model, [row, row | {"entropy_policy": None}], "--entropy_policy", file)
    check(by_option[0] == run(thresholds) and "entropy_policy" not in by_option[1], "--entropy_policy")
    greedy = generate(model, [row | {"temperature": 0}, row | {"temperature": 0, "entropy_policy": str(file)}])
    check(greedy[0]["tokens"] == greedy[1]["tokens"], "temperature 0 is not greedy with a policy")
    for policy, words in ((thresholds | {"h_mid": 4}, "h_mid is 4 and h_hi is 3"), ({"h_low": 1}, "\"h_low\" is no field"),
                          ([], "an array, expected an object"), ({"best_of": 0.5}, "best_of"),
                          ({"insert_text": "..."}, "insert_text"), ({"best_of": -1}, "\"best_of\" is -1")):
        result = run(policy, code=3)
        check(words in result.get("error", ""), f"{policy}: {result}")
    file.write_text(json.dumps(thresholds))
    rows = [row | {"entropy_policy": str(file), "seed": seed} for seed in range(4)]
    return rows, generate(model, rows)


def test_refusals(model):
    row = {"tokens": [4, 5], "max_tokens": 3}
    cases = [({"typical_p": 0}, "typical_p is 0, expected more than 0 and at most 1"),
             ({"presence_penalty": -2.5}, "presence_penalty is -2.5, expected -2 to 2"),
             ({"min_tokens": 4}, "min_tokens is 4, more than max_tokens, which is 3"),
             ({"logit_bias": {"560": 1}}, "logit_bias names token 560, the vocabulary has 560 ids"),
             ({"logit_bias": {"5": 101}}, "logit_bias of token 5 is 101, expected -100 to 100"),
             ({"logit_bias": {"five": 1}}, "\"five\" is no token id"),
             ({"logit_bias": {"5": 1, "05": 1}}, "logit_bias names token 5 twice"),
             ({"logit_bias": {"5": 1}, "suppress_tokens": [5]}, "token 5 is in logit_bias and in suppress_tokens"),
             ({"suppress_tokens": list(range(VOCAB))}, "no token of 560 is left to choose at position 2"),
             ({"xtc_threshold": 0.6}, "xtc_threshold is 0.6, expected 0 to 0.5"),
             ({"no_repeat_ngram_size": -1}, "\"no_repeat_ngram_size\" is -1"),
             ({"logprobs": VOCAB + 1}, "top_logprobs is 561, the vocabulary has 560 ids"),
             ({"logprobs": "5"}, "\"logprobs\" is a string"),
             ({"num_beams": 2, "logprobs": 5}, "top_logprobs")]
    out = generate(model, [row | c for c, _ in cases] + [row], code=3)
    for (c, words), result in zip(cases, out):
        check(words in result.get("error", ""), f"{c}: {result}")
    check(out[-1]["finish_reason"] == "length", "a row beside refused ones")


def test_other_processes(model, rows, out):
    if shutil.which("mpirun") is None or not (pathlib.Path(os.environ["TRAWL_BUILD"]) / "libtrawl-mpi.so").exists():
        print("no mpirun, or built without MPI: rows do not travel")
        return
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"  # Open MPI's own
    launcher = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2"]
    check(generate(model, rows, "--mesh_shape", 2, 1, launcher=launcher) == out, "another process answers differently")


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "model"
        subprocess.run([sys.executable, SOURCE / "tests/golden/make_model.py", model, "--layers", "2", "--vocab",
                        str(VOCAB), "--eos", str(EOS)], check=True)
        test_top_logprobs(model)
        rows, out = test_processors(model)
        drawn = test_draws(model)
        best = test_best_of(model)
        policies = test_policy(model, folder)
        test_refusals(model)
        test_other_processes(model, rows + drawn[0] + best[0] + policies[0], out + drawn[1] + best[1] + policies[1])
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
