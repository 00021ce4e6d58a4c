#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/constrain/data/regex_cases.json: random regular expressions and texts, and what Python's re says of them.

    python3 tests/golden/constrain_regex.py [SEED] > tests/constrain/data/regex_cases.json
"""
import json
import random
import re
import sys

LETTERS = list("abc01-_ .") + ["\n", "é", "ß", "漢", "😀", "]"]
CLASSES = {"\\d": "01", "\\w": "abc01_", "\\s": " \n", "\\D": "abé", "\\W": "-é ", "\\S": "ab0é"}


def escaped(c):
    return "\\n" if c == "\n" else "\\" + c if c in "-.]" else c


def char_set(rng):
    """The text of a set, and some of its members (with others, where it is negated)."""
    members, text = [], ""
    for _ in range(rng.randint(1, 3)):
        kind = rng.random()
        if kind < 0.25:
            lo, hi = rng.choice([("a", "c"), ("0", "1"), ("a", "ÿ"), ("一", "龥"), ("ß", "漢"), ("é", "😀")])
            text += f"{lo}-{hi}"
            members += [lo, hi]
        elif kind < 0.4:
            name = rng.choice(sorted(CLASSES))
            text += name
            members += CLASSES[name]
        else:
            c = rng.choice(LETTERS)
            text += escaped(c)
            members.append(c)
    negated = rng.random() < 0.3
    return "[" + "^" * negated + text + "]", members + LETTERS if negated else members


def atom(rng, depth):
    """An expression and a function that draws a text it may match."""
    kind = rng.random()
    if depth > 0 and kind < 0.3:
        text, draw = alternatives(rng, depth - 1)
        return ("(?:" if rng.random() < 0.5 else "(") + text + ")", draw
    if kind < 0.45:
        text, members = char_set(rng)
        return text, lambda: rng.choice(members)
    if kind < 0.52:
        return ".", lambda: rng.choice(LETTERS)
    if kind < 0.6:
        name = rng.choice(sorted(CLASSES))
        return name, lambda: rng.choice(CLASSES[name])
    c = rng.choice(LETTERS)
    return escaped(c), lambda: c


def repeated(rng, depth):
    text, draw = atom(rng, depth)
    quantifier, low, high = rng.choice(
        [("", 1, 1)] * 6 + [("*", 0, 3), ("+", 1, 3), ("?", 0, 1), ("{2}", 2, 2), ("{1,}", 1, 3), ("{0,2}", 0, 2),
                            ("{2,4}", 2, 4), ("*?", 0, 3), ("{0}", 0, 0)])
    return text + quantifier, lambda: "".join(draw() for _ in range(rng.randint(low, high)))


def concatenation(rng, depth):
    parts = [repeated(rng, depth) for _ in range(rng.randint(0 if rng.random() < 0.1 else 1, 4))]
    return "".join(p[0] for p in parts), lambda: "".join(p[1]() for p in parts)


def alternatives(rng, depth):
    parts = [concatenation(rng, depth) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    return "|".join(p[0] for p in parts), lambda: rng.choice(parts)[1]()


def mutated(rng, text):
    letters = list(text)
    for _ in range(rng.randint(1, 2)):
        i = rng.randint(0, len(letters))
        kind = rng.random()
        if kind < 0.4:
            letters.insert(i, rng.choice(LETTERS))
        elif letters and kind < 0.7:
            del letters[min(i, len(letters) - 1)]
        elif letters:
            letters[min(i, len(letters) - 1)] = rng.choice(LETTERS)
    return "".join(letters)


def main():
    rng = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    lines = []
    while len(lines) < 350:
        pattern, draw = alternatives(rng, 2)
        if len(pattern) > 60:
            continue
        compiled = re.compile(pattern, re.ASCII)
        texts = {""}
        for _ in range(4):
            text = draw()
            texts |= {text, mutated(rng, text)}
        texts = sorted(t for t in texts if len(t) < 30)
        cases = [[t, compiled.fullmatch(t) is not None, compiled.search(t) is not None] for t in texts]
        lines.append(json.dumps([pattern, cases], ensure_ascii=False))
    print("[\n" + ",\n".join(lines) + "\n]")


main()
