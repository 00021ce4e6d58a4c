#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The real openai package talks to trawl serve. TRAWL_PYTHON names an interpreter that has it."""
import pathlib
import sys
import tempfile

try:
    import openai
except ImportError:
    print("skipped: this Python has no openai package")
    sys.exit(77)

from checks import failures
from serve_client import Server, check, make_model

HI = [{"role": "user", "content": "crabs and eels"}]


def check_chat(client, name):
    whole = client.chat.completions.create(model=name, messages=HI, max_tokens=20, seed=3, logprobs=True, top_logprobs=2)
    check(whole.object == "chat.completion" and whole.model == name and whole.usage.completion_tokens > 0, f"{whole}")
    check(len(whole.choices[0].logprobs.content[0].top_logprobs) == 2, "alternatives")
    text, usage, reason = "", None, None
    for event in client.chat.completions.create(model=name, messages=HI, max_tokens=20, seed=3, stream=True,
                                                stream_options={"include_usage": True}):
        usage = event.usage or usage
        for c in event.choices:
            text += c.delta.content or ""
            reason = c.finish_reason or reason
    check(text == whole.choices[0].message.content and usage == whole.usage and reason == whole.choices[0].finish_reason,
          f"streamed {text!r} {usage}, whole {whole}")
    with client.chat.completions.create(model=name, messages=HI, max_tokens=4000, stream=True) as stream:
        next(iter(stream))
    got = client.chat.completions.create(model=name, messages=HI, max_tokens=40, response_format={
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "boolean"}},
                                                                       "required": ["a"], "additionalProperties": False}}})
    check('"a"' in got.choices[0].message.content, f"{got}")
    got = client.chat.completions.create(model=name, messages=HI, max_tokens=5, extra_body={"top_k": 1, "guided_choice": ["net"]})
    check(got.choices[0].message.content == "net", f"{got}")


def check_completions(client, name):
    whole = client.completions.create(model=name, prompt=["fish", "net"], max_tokens=5, n=2, temperature=0, logprobs=2)
    check([c.index for c in whole.choices] == [0, 1, 2, 3] and whole.choices[0].text == whole.choices[1].text, f"{whole}")
    check(len(whole.choices[0].logprobs.tokens) == len(whole.choices[0].logprobs.text_offset), "log-probabilities")
    events = client.completions.create(model=name, prompt="fish", max_tokens=5, temperature=0, stream=True)
    check("".join(e.choices[0].text for e in events) == whole.choices[0].text, "a streamed completion")
    check([m.id for m in client.models.list()] == [name] and client.models.retrieve(name).id == name, "models")


def check_errors(client, server, name):
    for kind, ask in [(openai.BadRequestError, lambda: client.chat.completions.create(model=name, messages=[])),
                      (openai.NotFoundError, lambda: client.chat.completions.create(model="x", messages=HI)),
                      (openai.AuthenticationError, lambda: openai.OpenAI(base_url=str(client.base_url), api_key="x").models.list())]:
        try:
            ask()
            check(False, f"expected {kind}")
        except kind as e:
            check(isinstance(e.body, dict) and e.body["message"], f"{e}")
    server.wait_metric("requests_running", 0)


def main():
    with tempfile.TemporaryDirectory() as tmp:
        model = make_model(pathlib.Path(tmp) / "model")
        with Server(model, "--api_key", "k") as s:
            client = openai.OpenAI(base_url=f"http://127.0.0.1:{s.port}/v1", api_key="k")
            check_chat(client, s.name)
            check_completions(client, s.name)
            check_errors(client, s, s.name)
    return 1 if failures() else 0


if __name__ == "__main__":
    sys.exit(main())
