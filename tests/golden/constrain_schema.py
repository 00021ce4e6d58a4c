#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/constrain/data/schema_cases.json: random JSON schemas, values, and whether they are valid.

    python3 tests/golden/constrain_schema.py [SEED] > tests/constrain/data/schema_cases.json

As a module: `valid(schema, value)`, a validator of the keywords that trawl supports, and `schema(rng, depth)`.
"""
import json
import random
import re
import sys

STRINGS = ["", "a", "ab", "yes", 'q"uote', "back\\slash", "tab\there", "né", "漢字", "😀", "line\nend", "x" * 9]
PATTERNS = ["^[a-z]+$", "^\\d{3}-\\d{2}$", "b", "^(yes|no)$", "^[^a]*$", "é$", '^"']
TYPES = {"string": str, "boolean": bool, "null": type(None), "object": dict, "array": list}


def is_type(value, name):
    if name in ("integer", "number"):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (name == "number" or value == int(value))
    return isinstance(value, TYPES[name])


def same(a, b):
    return type(a) is type(b) and a == b or not isinstance(a, bool) and not isinstance(b, bool) and a == b


def valid(schema, value, root=None):
    root = schema if root is None else root
    if schema is True or schema == {}:
        return True
    if "$ref" in schema:
        _, folder, name = schema["$ref"].split("/")
        return valid(root[folder][name], value, root)
    for key, enough in (("anyOf", lambda n: n > 0), ("oneOf", lambda n: n == 1)):
        if key in schema:
            return enough(sum(valid(s, value, root) for s in schema[key]))
    if "const" in schema and not same(schema["const"], value):
        return False
    if "enum" in schema and not any(same(v, value) for v in schema["enum"]):
        return False
    if "type" in schema:
        names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(is_type(value, name) for name in names):
            return False
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**9):
            return False
        return "pattern" not in schema or re.search(schema["pattern"], value) is not None
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 10**9):
            return False
        return all(valid(schema.get("items", True), v, root) for v in value)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        if any(name not in value for name in schema.get("required", [])):
            return False
        if any(name not in properties for name in value) and schema.get("additionalProperties", True) is False:
            return False
        return all(valid(properties[name], v, root) for name, v in value.items() if name in properties)
    return True


def schema(rng, depth):
    kind = rng.randint(0, 12 if depth > 0 else 6)
    if kind == 0:
        return {"type": rng.choice(["integer", "number", "boolean", "null", "string"])}
    if kind == 1:
        low = rng.randint(0, 3)
        return {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 3), "title": "a string"}
    if kind == 2:
        return {"type": "string", "pattern": rng.choice(PATTERNS)}
    if kind == 3:
        return {"enum": rng.sample([1, "a", None, True, 'q"', "né", 2.5, [1, "x"], {"k": 1}], 3)}
    if kind == 4:
        return {"const": rng.choice(["fixed", 7, False, None])}
    if kind == 5:
        return {"type": rng.sample(["integer", "string", "null", "boolean"], 2)}
    if kind == 6:
        return {"$ref": "#/$defs/shared"}
    if kind == 7:
        return {"anyOf": [schema(rng, depth - 1) for _ in range(2)]}
    if kind == 8:
        return {"oneOf": [{"type": "string"}, {"type": "array", "items": schema(rng, depth - 1)}, {"type": "null"}]}
    if kind <= 10:
        out = {"type": "array", "items": schema(rng, depth - 1)}
        if rng.random() < 0.5:
            out["minItems"] = rng.randint(0, 2)
        if rng.random() < 0.5:
            out["maxItems"] = rng.randint(2, 3)
        return out
    names = rng.sample(["name", "age", "né", 'a"b', "tags", "x"], rng.randint(0, 4))
    return {"type": "object", "properties": {n: schema(rng, depth - 1) for n in names},
            "required": [n for n in names if rng.random() < 0.6], "additionalProperties": False}


def value(rng, s, shared):
    """A value that is likely to satisfy the schema."""
    if "$ref" in s:
        return value(rng, shared, shared)
    for key in ("anyOf", "oneOf"):
        if key in s:
            return value(rng, rng.choice(s[key]), shared)
    if "const" in s or "enum" in s:
        return s["const"] if "const" in s else rng.choice(s["enum"])
    name = s["type"] if isinstance(s["type"], str) else rng.choice(s["type"])
    if name == "string":
        if "pattern" in s:
            return rng.choice(["abc", "123-45", "yes", "no", "xbx", "é", '"', "a"])
        return "".join(rng.choice('aé漢😀"\\\n') for _ in range(rng.randint(s.get("minLength", 0), s.get("maxLength", 6))))
    if name == "array":
        n = rng.randint(s.get("minItems", 0), max(s.get("minItems", 0), s.get("maxItems", 4)))
        return [value(rng, s["items"], shared) for _ in range(n)]
    if name == "object":
        return {n: value(rng, v, shared) for n, v in s["properties"].items() if n in s["required"] or rng.random() < 0.5}
    return {"integer": rng.randint(-1000, 1000), "number": rng.choice([0, -1.5, 2e10, 3.25, 17]),
            "boolean": rng.random() < 0.5, "null": None}[name]


def main():
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
    lines = []
    for _ in range(150):
        s, shared = schema(rng, 3), schema(rng, 0)
        shared = {"type": "integer"} if "$ref" in shared else shared
        s["$defs"] = {"shared": shared}
        texts = {}
        for _ in range(6):
            v = value(rng, s, shared)
            other = value(rng, schema(rng, 2), {"type": "null"})
            for candidate in (v, other, [v], {"name": v}, rng.choice(STRINGS)):
                text = json.dumps(candidate, ensure_ascii=False)
                texts[text] = valid(s, candidate)
        good = sorted(t for t in texts if texts[t])[:6]
        bad = sorted(t for t in texts if not texts[t])
        bad = rng.sample(bad, min(len(bad), 4))
        lines.append(json.dumps([s, [[t, texts[t]] for t in good + bad]], ensure_ascii=False))
    print("[\n" + ",\n".join(lines) + "\n]")


if __name__ == "__main__":
    main()
