# SPDX-License-Identifier: MIT
"""Expected renderings for tests/text/test_text_template.c, made with the jinja2 package (3.1).

    python3 tests/golden/make_templates.py > tests/text/data/templates.jsonl

The first line holds the context, the others dialect (plain | chat), source, and rendered, or error where
jinja2 fails. Chat is set up as
transformers does for apply_chat_template.
"""
import datetime
import json
import pathlib

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

CONTEXT = {
    "name": "World", "empty": "", "zero": 0, "one": 1, "pi": 3.14159, "yes": True, "no": False, "nothing": None,
    "words": ["apple", "Banana", "cherry", "apple"], "numbers": [3, 1, 2], "nested": [[1, 2], [3]], "unicode": "caf\u00e9 \u4f60\u597d \U0001f600",
    "text": "  two  words\n", "lines": "first\nsecond\n\nlast\n", "quote": "it's \"so\" <b>&amp;</b>\\",
    "person": {"name": "Ann", "age": 30, "items": "shadowed", "tags": ["x", "y"], "deep": {"er": {"est": 1}}},
    "people": [{"name": "Ann", "age": 30, "ok": True}, {"name": "bob", "age": 25, "ok": False}, {"name": "Cid", "age": 30}],
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi\n"},
                 {"role": "assistant", "content": "Hello", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": [1.5, None, "\u00e9"]}}}]}],
}


def fixed_time():
    return datetime.datetime(2024, 7, 26, 13, 5, 9)


def chat_environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: fixed_time().strftime(f)
    return env


def cases():
    """template_cases.txt: templates, each behind a line "=== plain", "=== chat" or "=== both"."""
    text = pathlib.Path(__file__).with_name("template_cases.txt").read_text()
    for case in ("\n" + text).split("\n=== ")[1:]:
        kind, source = case.split("\n", 1)
        for dialect in ("plain", "chat"):
            if kind in (dialect, "both"):
                yield dialect, source


def main():
    environments = {"plain": jinja2.Environment(), "chat": chat_environment()}
    print(json.dumps({"context": CONTEXT}))
    last = None
    for dialect, source in cases():
        result = {}
        try:
            result["rendered"] = environments[dialect].from_string(source).render(**CONTEXT)
        except Exception as e:  # whatever jinja2 refuses
            result["error"] = type(e).__name__
        if last != {"source": source, **result}:  # the same in the other dialect says nothing new
            print(json.dumps({"dialect": dialect, "source": source, **result}))
        last = {"source": source, **result}


main()
