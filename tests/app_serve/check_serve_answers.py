#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What trawl serve answers: the same as trawl generate, whole or streamed, alone or beside a hundred others."""
import concurrent.futures
import pathlib
import sys
import tempfile

from checks import failures
from serve_client import Server, check, generate, make_model

TOKENS = [5, 6, 7, 300, 20, 21, 5, 6]


def rows_of_many():
    """Of all lengths, drawn and greedy, with and without constraints and stop texts."""
    rows = []
    for i in range(100):
        row = {"tokens": [(i * 7 + k * k) % 500 for k in range(1 + i % 37)], "max_tokens": 1 + i * 5 % 40, "seed": i,
               "temperature": [0, 1, 0.7][i % 3], "logprobs": 1 + i % 4}
        row.update([{}, {"top_p": 0.8}, {"top_k": 5}, {"min_p": 0.05}, {"frequency_penalty": 0.5}, {"repetition_penalty": 1.3},
                    {"logit_bias": {"7": 3, "9": -100}}, {"guided_regex": "[a-f ]{3,20}"}, {"stop": ["e", "zz"]},
                    {"presence_penalty": -1, "ignore_eos": True}][i % 10])
        rows.append(row)
    return rows


def body_of(row):
    return {**{k: v for k, v in row.items() if k != "tokens"}, "prompt": row["tokens"]}


def check_same(row, choice, want):
    got = choice["logprobs"]
    check(choice["text"] == want["text"], f"{row}: text {choice['text']!r}, generate has {want['text']!r}")
    check(choice["finish_reason"] == want["finish_reason"], f"{row}: {choice['finish_reason']}")
    check(got["token_logprobs"] == want["logprobs"], f"{row}: log-probabilities {got['token_logprobs']} {want['logprobs']}")
    for top, wanted in zip(got["top_logprobs"] or [], want.get("top_logprobs", [])):
        check(sorted(top.values(), reverse=True)[:len(wanted)] == [t["logprob"] for t in wanted]
              or len(top) < len(wanted), f"{row}: the most probable ones {top} {wanted}")


def check_load(model):
    """A hundred at once through a small batch, alone, and generate."""
    rows = rows_of_many()
    want = generate(model, rows)
    with Server(model, "--batch_size", 4) as s:
        def ask(i):
            return s.stream(body_of(rows[i])) if i % 3 == 1 else s.complete(body_of(rows[i]))

        with concurrent.futures.ThreadPoolExecutor(100) as pool:
            crowd = list(pool.map(ask, range(100)))
        for i, row in enumerate(rows):
            choice = joined(crowd[i])[0] if isinstance(crowd[i], list) else crowd[i]["choices"][0]
            check_same(row, choice, want[i])
        for i in range(0, 100, 9):
            check_same(rows[i], s.complete(body_of(rows[i]))["choices"][0], want[i])
        check(s.metric('http_replies_total{code="200"}') >= 112, "metrics count replies")
        check(s.metric("request_seconds_count") == 112, "metrics count requests")


def joined(events):
    """The choices of a stream put together."""
    choices = {}
    for event in events:
        for c in event["choices"]:
            whole = choices.setdefault(c["index"], {"text": "", "finish_reason": None, "logprobs": None})
            check(whole["finish_reason"] is None, "nothing comes after a finish_reason")
            delta = c.get("delta", {"content": c.get("text")})
            whole["text"] += delta.get("content", "")
            whole["finish_reason"] = c["finish_reason"]
            if c["logprobs"]:
                whole["logprobs"] = whole["logprobs"] or {k: [] for k in c["logprobs"]}
                for k, v in c["logprobs"].items():
                    if isinstance(v, list):
                        whole["logprobs"][k] += v
    return [choices[i] for i in sorted(choices)]


def check_streams(s):
    body = {"prompt": TOKENS, "max_tokens": 30, "temperature": 1, "seed": 3, "n": 3, "logprobs": 2, "stop": ["zq"]}
    whole = s.complete(body)
    events = s.stream({**body, "stream_options": {"include_usage": True}})
    check(events[-1]["choices"] == [] and events[-1]["usage"] == whole["usage"], f"usage {events[-1]} {whole['usage']}")
    check(all(e["usage"] is None for e in events[:-1]), "usage is null before")
    check(len({e["id"] for e in events}) == 1 and events[0]["object"] == "text_completion", "one id")
    for a, b in zip(whole["choices"], joined(events[:-1])):
        check({k: a[k] for k in b} == b, f"streamed {b}, whole {a}")
    check(len({c["text"] for c in whole["choices"]}) == 3, "answers of one request differ")
    one = s.complete({**body, "n": 1, "seed": 4})["choices"][0]
    check(one == {**whole["choices"][1], "index": 0}, "answer 1 is that of the seed after")


def check_chat(s, model):
    messages = [{"role": "user", "content": "crabs and eels"}]
    chat = "/v1/chat/completions"
    want = generate(model, [{"messages": messages, "max_tokens": 20, "temperature": 1, "seed": 5, "logprobs": 2}])[0]
    body = {"messages": messages, "max_completion_tokens": 20, "seed": 5, "logprobs": True, "top_logprobs": 2, "user": "me",
            "model": s.name}
    reply = s.complete(body, chat)
    choice = reply["choices"][0]
    check(choice["message"] == {"role": "assistant", "content": want["text"], "refusal": None}, f"{choice} {want}")
    check([t["logprob"] for t in choice["logprobs"]["content"]] == want["logprobs"], "log-probabilities of a chat")
    check([[x["logprob"] for x in t["top_logprobs"]] for t in choice["logprobs"]["content"]]
          == [[x["logprob"] for x in t] for t in want["top_logprobs"]], "alternatives of a chat")
    all_of_it = s.complete({**body, "skip_special_tokens": False}, chat)["choices"][0]
    said = b"".join(bytes(t["bytes"]) for t in choice["logprobs"]["content"]).decode(errors="replace")
    check(all_of_it["message"]["content"] == said, f"bytes {said!r} {all_of_it['message']['content']!r}")
    check(reply["usage"] == {"prompt_tokens": want["prompt_tokens"], "completion_tokens": len(want["tokens"]),
                             "total_tokens": want["prompt_tokens"] + len(want["tokens"])}, f"usage {reply['usage']}")
    check(reply["object"] == "chat.completion" and reply["model"] == s.name and reply["seed"] == 5, f"{reply}")
    events = s.stream(body, chat)
    check(events[0]["choices"][0]["delta"]["role"] == "assistant", "the first delta names the role")
    check(joined(events)[0] == {"text": want["text"], "finish_reason": want["finish_reason"], "logprobs": choice["logprobs"] |
                                {"refusal": []}}, f"a streamed chat {joined(events)}")
    parts = [{"role": "user", "content": [{"type": "text", "text": "crabs and eels"}]}]
    check(s.complete({**body, "messages": parts}, chat)["choices"] == reply["choices"], "content in parts")
    again = [s.complete({"messages": messages, "max_tokens": 8}, chat) for _ in range(2)]
    check(again[0]["seed"] != again[1]["seed"], "without a seed there is a new one")
    check(s.complete({"messages": messages, "max_tokens": 8, "seed": again[0]["seed"]}, chat)["choices"] == again[0]["choices"],
          "the seed that was told gives the same answer")


def check_kinds(s, model):
    text = "The net goes down"
    want = generate(model, [{"prompt": text, "max_tokens": 9}])[0]
    one = s.complete({"prompt": text, "max_tokens": 9, "temperature": 0})["choices"][0]
    check(one["text"] == want["text"] and one["logprobs"] is None, "a prompt that is a text")
    many = s.complete({"prompt": [text, TOKENS, "fish"], "max_tokens": 9, "temperature": 0, "n": 2})["choices"]
    check([c["index"] for c in many] == list(range(6)) and many[0] == one and many[1]["text"] == one["text"], "several prompts")
    check(many[2]["text"] == generate(model, [{"tokens": TOKENS, "max_tokens": 9}])[0]["text"], "the second prompt")
    check(len(s.complete({"prompt": TOKENS})["usage"]) == 3 and
          s.complete({"prompt": TOKENS, "ignore_eos": True})["usage"]["completion_tokens"] == 16, "16 tokens unless told")
    best = s.complete({"prompt": TOKENS, "max_tokens": 9, "seed": 1, "best_of": 4, "n": 2, "logprobs": 0})["choices"]
    drawn = s.complete({"prompt": TOKENS, "max_tokens": 9, "seed": 1, "n": 4, "logprobs": 0})["choices"]
    drawn.sort(key=lambda c: -sum(c["logprobs"]["token_logprobs"]))
    check([c["text"] for c in best] == [c["text"] for c in drawn[:2]], "the best two of four")
    choice = s.complete({"prompt": TOKENS, "guided_choice": ["net", "fish"]})["choices"][0]
    check(choice["text"] in ("net", "fish") and choice["finish_reason"] == "stop", f"{choice}")
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    for more in ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}},
                 {"structured_outputs": {"json": schema}}):
        got = s.complete({"prompt": TOKENS, "max_tokens": 60, **more})["choices"][0]["text"]
        check(got.strip().startswith("{") and '"a"' in got, f"{more}: {got}")
    got = s.complete({"prompt": TOKENS, "max_tokens": 200, "response_format": {"type": "json_object"}})["choices"][0]["text"]
    check(got.lstrip()[:1] == "{", f"json_object: {got}")


def check_echo(s):
    """What was drawn has the same log-probabilities when it is read."""
    first = s.complete({"prompt": TOKENS, "max_tokens": 12, "seed": 2, "logprobs": 3, "ignore_eos": True})["choices"][0]
    ids = s.ask("/tokenize", {"prompt": "fish and nets", "add_special_tokens": False})[2]["tokens"]
    body = {"prompt": [TOKENS + ids], "max_tokens": 0, "echo": True, "logprobs": 3}
    read = s.complete(body)["choices"][0]
    check(read["logprobs"]["token_logprobs"][0] is None and len(read["logprobs"]["tokens"]) == len(TOKENS) + len(ids), f"{read}")
    longer = s.complete({"prompt": TOKENS, "max_tokens": 3, "seed": 2, "logprobs": 3, "ignore_eos": True, "echo": True})["choices"][0]
    check(longer["text"].endswith(s.complete({"prompt": TOKENS, "max_tokens": 3, "seed": 2, "ignore_eos": True})["choices"][0]["text"]), "echo")
    check(longer["logprobs"]["token_logprobs"][:len(TOKENS)] == read["logprobs"]["token_logprobs"][:len(TOKENS)], "of a prompt")
    check(longer["logprobs"]["token_logprobs"][len(TOKENS):] == first["logprobs"]["token_logprobs"][:3], "of what follows it")
    check(longer["logprobs"]["text_offset"] == sorted(longer["logprobs"]["text_offset"]), "offsets ascend")
    streamed = joined(s.stream({"prompt": TOKENS, "max_tokens": 3, "seed": 2, "logprobs": 3, "ignore_eos": True, "echo": True}))[0]
    check(streamed == {k: longer[k] for k in streamed}, "a streamed echo")
    text = s.complete({"prompt": "The net goes", "max_tokens": 4, "temperature": 0, "echo": True})["choices"][0]["text"]
    check(text.startswith("The net goes"), f"echo of a text: {text!r}")
    a = s.complete({"prompt": "The net \u00e9\u4f60 goes", "max_tokens": 0, "echo": True, "logprobs": 1})["choices"][0]
    for token, at in zip(a["logprobs"]["tokens"][1:], a["logprobs"]["text_offset"][1:]):
        check(token.startswith("bytes:") or a["text"].startswith(token, at), f"{token!r} is not at {at} of {a['text']!r}")


def check_read_again(s, model):
    """Tokens that were drawn, given as a prompt: bit for bit the same log-probabilities."""
    row = {"tokens": TOKENS, "max_tokens": 20, "seed": 9, "temperature": 1, "logprobs": 1, "ignore_eos": True}
    drawn = generate(model, [row])[0]
    read = s.complete({"prompt": [TOKENS + drawn["tokens"]], "max_tokens": 0, "echo": True, "logprobs": 2})["choices"][0]
    check(read["logprobs"]["token_logprobs"][len(TOKENS):] == drawn["logprobs"], "read and drawn differ")


def check_text(s):
    reply = s.ask("/tokenize", {"prompt": "crabs \u00e9", "return_token_strs": True})[2]
    check(reply["count"] == len(reply["tokens"]) == len(reply["token_strs"]), f"{reply}")
    bare = s.ask("/tokenize", {"prompt": "crabs \u00e9", "add_special_tokens": False})[2]
    check(s.ask("/detokenize", {"tokens": bare["tokens"]})[2] == {"prompt": "crabs \u00e9"}, "there and back")
    messages = [{"role": "user", "content": "crabs"}]
    a, b = (s.ask("/tokenize", {"messages": messages, "add_generation_prompt": g})[2]["count"] for g in (True, False))
    check(a > b > 0, "messages")


def main():
    with tempfile.TemporaryDirectory() as tmp:
        model = make_model(pathlib.Path(tmp) / "model")
        check_load(model)
        with Server(model, "--batch_size", 3) as s:
            check(s.name == "model", f"the model is called {s.name}")
            check_streams(s)
            check_chat(s, model)
            check_kinds(s, model)
            check_echo(s)
            check_read_again(s, model)
            check_text(s)
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
