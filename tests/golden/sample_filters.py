# SPDX-License-Identifier: MIT
"""What processors and filters leave of rows of logits, worked out by an independent implementation in float64.

Prints tests/sample/data/filters.txt: blocks of lines `case`, `set NAME VALUE`, `bias ID VALUE`, `suppress ID`,
`prompt N` and `history IDS`, `end IDS`, `allowed IDS`, `logits VALUES`, and what is expected: `left ID PROBABILITY ...`
in ascending order of ids. A row in which some token lies so near to the edge of a filter that rounding to float32
could decide about it is drawn again.

    python3 tests/golden/sample_filters.py > tests/sample/data/filters.txt"""
import numpy as np

N_VOCAB = 48
EDGE = 1e-4
random = np.random.default_rng(20261121)


class Edge(Exception):
    """A token is too near to an edge."""


def clear(values, edge):
    """Whether all values are away from the edge."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if np.any(np.abs(values - edge) < EDGE):
        raise Edge


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def only(x, keep):
    return np.where(keep, x, -np.inf)


def process(x, c):
    """Logits after everything that comes before the temperature."""
    history, prompt = c["history"], c["prompt"]
    answer = history[prompt:]
    for token, value in c.get("bias", {}).items():
        x[token] += value
    for token in set(history):
        r = c.get("repetition_penalty", 1.0)
        x[token] = x[token] / r if x[token] > 0 else x[token] * r
    for token in set(answer):
        x[token] -= c.get("frequency_penalty", 0.0) * answer.count(token) + c.get("presence_penalty", 0.0)
    n = c.get("no_repeat_ngram_size", 0)
    grams = [history[i : i + n] for i in range(len(history) - n + 1)] if n > 0 else []
    for gram in grams:
        if gram[:-1] == history[len(history) - n + 1 :]:
            x[gram[-1]] = -np.inf
    if len(answer) < c.get("min_tokens", 0):
        x[c["end"]] = -np.inf
    x[c.get("suppress", [])] = -np.inf
    if "allowed" in c:
        x = only(x, np.isin(np.arange(len(x)), c["allowed"]))
    return x


def top_n_sigma(x, n):
    finite = x[np.isfinite(x)]
    edge = finite.max() - n * finite.std()
    clear(x, edge)
    return only(x, x >= edge)


def top_k(x, k):
    return only(x, x >= np.sort(x)[::-1][min(k, len(x)) - 1])


def top_p(x, p):
    order = np.lexsort((np.arange(len(x)), -x))
    sums = np.cumsum(softmax(x)[order])
    clear(sums[:-1], p)
    keep = np.zeros(len(x), dtype=bool)
    keep[order[: np.count_nonzero(sums < p) + 1]] = True
    return only(x, keep & np.isfinite(x))


def min_p(x, p):
    share = softmax(x) / softmax(x).max()
    clear(share[share < 1] / p, 1)
    return only(x, share >= p)


def typical_p(x, p):
    probability = softmax(x)
    with np.errstate(divide="ignore"):
        surprisal = -np.log(probability)
    there = probability > 0
    shift = np.abs(surprisal - (probability[there] * surprisal[there]).sum())
    sums = np.cumsum(probability[np.argsort(shift, kind="stable")])
    clear(sums[:-1], p)
    last = np.sort(shift)[min(np.count_nonzero(sums < p), len(x) - 1)]
    gaps = np.abs(shift[np.isfinite(shift)] - last)
    if np.any((gaps < EDGE) & (gaps > 0)) and len(set(x[np.abs(shift - last) < EDGE])) > 1:
        raise Edge
    return only(x, (shift <= last + EDGE / 2) & there)


def xtc(x, threshold):
    probability = softmax(x)
    clear(probability, threshold)
    above = np.flatnonzero(probability >= threshold)
    if len(above) < 2:
        return x
    # of equals the highest id counts as the least probable
    least = max(above, key=lambda i: (-probability[i], i))
    return only(x, (probability < threshold) | (np.arange(len(x)) == least))


FILTERS = [
    ("top_n_sigma", top_n_sigma),
    ("top_k", top_k),
    ("top_p", top_p),
    ("min_p", min_p),
    ("typical_p", typical_p),
    ("xtc_threshold", xtc),
]


def left_of(c):
    x = process(c["logits"].astype(np.float64), c)
    if c.get("temperature", 0.0) == 0.0:
        return {int(x.argmax()): 1.0}
    x = x / c["temperature"]
    for name, apply in FILTERS:
        if name in c:
            x = apply(x, c[name])
    probability = softmax(x)
    return {int(i): float(probability[i]) for i in np.flatnonzero(probability > 0)}


def draw_row(kind):
    row = random.normal(0, 2.5, N_VOCAB)
    if kind == 1:
        row = np.round(row) / 2
    if kind == 2:
        row[random.integers(0, N_VOCAB, 3)] += 9
    return np.round(row, 3).astype(np.float32)


def make(kind, **settings):
    while True:
        c = {"logits": draw_row(kind), "history": random.integers(0, N_VOCAB // 2, 20).tolist(), "prompt": 12}
        c.update(settings)
        try:
            return c, left_of(c)
        except Edge:
            continue


def numbers(values):
    return " ".join(str(v) for v in values)


def show(c, left):
    lines = ["case"]
    lines += [f"set {k} {c[k]:.17g}" for k in sorted(c) if isinstance(c[k], (int, float)) and k != "prompt"]
    lines += ["set xtc_probability 1"] if "xtc_threshold" in c else []
    lines += [f"bias {k} {v:.9g}" for k, v in c.get("bias", {}).items()]
    lines += [f"suppress {k}" for k in c.get("suppress", [])]
    lines += [f"prompt {c['prompt']}", f"history {numbers(c['history'])}"]
    lines += [f"{k} {numbers(c[k])}" for k in ("end", "allowed") if k in c]
    lines += [f"logits {numbers(c['logits'])}", "left " + " ".join(f"{k} {v:.9g}" for k, v in left.items())]
    print("\n".join(lines))


def settings_of_cases():
    yield {}
    for t in (0.3, 1.0, 1.7):
        yield {"temperature": t}
    for k in (1, 3, 20, 48, 1000):
        yield {"temperature": 0.9, "top_k": k}
    for p in (0.01, 0.5, 0.9, 0.999):
        yield {"temperature": 1.0, "top_p": p}
        yield {"temperature": 1.4, "typical_p": p}
        yield {"temperature": 1.0, "typical_p": p}
    for p in (0.001, 0.1, 1.0):
        yield {"temperature": 0.7, "min_p": p}
    for n in (0.5, 1.0, 3.0):
        yield {"temperature": 1.5, "top_n_sigma": n}
    for threshold in (0.02, 0.1, 0.5):
        yield {"temperature": 1.2, "xtc_threshold": threshold}
    together = {"temperature": 1.3, "top_k": 30, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.9}
    yield together
    yield {**together, "top_n_sigma": 2.0, "xtc_threshold": 0.05}
    yield {"temperature": 1.0, "top_p": 0.8, "min_p": 0.2}
    yield {"temperature": 1.0, "min_p": 0.05, "typical_p": 0.6}
    for t in (0.0, 1.0):
        yield {"temperature": t, "repetition_penalty": 1.8}
        yield {"temperature": t, "repetition_penalty": 0.6}
        yield {"temperature": t, "presence_penalty": 1.5}
        yield {"temperature": t, "presence_penalty": -2.0, "frequency_penalty": 0.75}
        yield {"temperature": t, "no_repeat_ngram_size": 1}
        yield {"temperature": t, "no_repeat_ngram_size": 3, "history": [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 7, 1, 2], "prompt": 4}
        yield {"temperature": t, "no_repeat_ngram_size": 14, "history": [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 7, 1, 2], "prompt": 4}
        yield {"temperature": t, "min_tokens": 9, "end": list(range(0, 40))}
        yield {"temperature": t, "min_tokens": 8, "end": list(range(0, 40))}
        yield {"temperature": t, "bias": {3: 6.5, 47: -4.25, 9: 12.5}, "suppress": [0, 1, 2]}
        yield {"temperature": t, "bias": {20: 4.0}, "repetition_penalty": 1.5, "frequency_penalty": 0.5}
        yield {"temperature": t, "allowed": [0, 31, 32, 33, 47]}
        yield {"temperature": t, "allowed": [17], "repetition_penalty": 1.3}
    yield {
        **together,
        "repetition_penalty": 1.2,
        "presence_penalty": 0.3,
        "frequency_penalty": 0.2,
        "no_repeat_ngram_size": 2,
        "min_tokens": 10,
        "end": [7, 30],
        "bias": {5: 3.0},
        "suppress": [40],
        "allowed": list(range(2, 44)),
    }


if __name__ == "__main__":
    for number, case in enumerate(settings_of_cases()):
        for repeat in range(2):
            show(*make((number + repeat) % 3, **case))
