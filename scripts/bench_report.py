#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run `trawl bench` over a list of settings and write one HTML page: a roofline chart, tables, the raw JSON.

    ./x bench report --model FOLDER --out report.html [--dtype bfloat16,float32] [--threads 1,2] [--prompt 64,512,2048]
                     [--batch 1,8,16,32] [--context 128,1024,4096] [--gen 64] [--runs 3]
    ./x bench report --results results.json --out report.html        draw again what was measured before

The page needs nothing but itself: no scripts, no fonts, no network. Its data are in the element with the id "raw".
"""

import argparse
import html
import json
import math
import os
import pathlib
import subprocess
import sys

COLORS = {"prefill": "#1f77b4", "decode": "#d62728", "context": "#9467bd", "harvest": "#2ca02c"}
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: .8rem 0; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .8rem; border-bottom: 1px solid #8884; text-align: right }
th:first-child, td:first-child, td:last-child, th:last-child { text-align: left }
.bar { display: inline-block; height: .7rem; background: #1f77b4; vertical-align: middle; margin-right: .4rem }
.track { display: inline-block; width: 8rem; background: #8883; margin-right: .5rem; line-height: 0 }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: currentColor }
pre { overflow: auto; max-height: 24rem; border: 1px solid #8884; padding: .6rem; font-size: 12px }
"""


# ---- measuring ----


def measure(a):
    results = []
    for dtype in a.dtype:
        for threads in a.threads:
            command = [
                a.trawl,
                "bench",
                "--model_path",
                a.model,
                "--dtype",
                dtype,
                "--threads",
                threads,
                "--prompt",
                a.prompt,
                "--batch",
                a.batch,
                "--gen",
                a.gen,
                "--runs",
                a.runs,
                "--quiet",
                "--json",
            ]
            command += ["--context", a.context] if a.context else []
            command = [str(word) for word in command]
            print("bench report:", " ".join(command), file=sys.stderr)
            p = subprocess.run(command, stdout=subprocess.PIPE, text=True)
            if p.returncode:
                sys.exit(f"bench report: trawl bench failed ({p.returncode})")
            results.append({"command": command, "result": json.loads(p.stdout)})
    return results


def points(r):
    """(kind, name, figures) of every measurement of a result."""
    for prompt, c in r["prefill_by_prompt"].items():
        yield "prefill", f"prefill {prompt}", c
    for batch, c in r["decode"].items():
        yield "decode", f"decode B={batch}", c
    for context, c in r["decode_by_context"].items():
        yield "context", f"decode at {context}", c
    yield "harvest", "harvest", r["harvest"]


# ---- the chart: GFLOP/s over flops per byte, both logarithmic ----


class Chart:
    width, height, left, right, top, bottom = 900, 470, 70, 20, 16, 46

    def __init__(self, r):
        roof = r["roofline"]
        self.bandwidth = roof["read_gbs"]
        self.roofs = [("fma", roof["fma_gflops"])] + (
            [("dot", roof["dot_gflops"])] if roof["dot_gflops"] else []
        )
        self.points = [(kind, name, c["gflops"] / c["read_gbs"], c["gflops"]) for kind, name, c in points(r)]
        peak = max(g for _, g in self.roofs)
        xs, ys = [p[2] for p in self.points] + [0.5, 4 * peak / self.bandwidth], [
            p[3] for p in self.points
        ] + [2 * peak]
        self.x0, self.x1 = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
        self.y0, self.y1 = math.log10(min(ys) / 3), math.log10(max(ys))  # names may stand below the lowest point

    def x(self, v):
        return self.left + (math.log10(v) - self.x0) / (self.x1 - self.x0) * (
            self.width - self.left - self.right
        )

    def y(self, v):
        return (
            self.height
            - self.bottom
            - (math.log10(v) - self.y0) / (self.y1 - self.y0) * (self.height - self.top - self.bottom)
        )

    def axes(self):
        for e in range(self.x0, self.x1 + 1):
            x = self.x(10.0**e)
            yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{self.height - self.bottom}" stroke="#8883"/>'
            yield f'<text x="{x:.1f}" y="{self.height - self.bottom + 18}" text-anchor="middle">{10.0**e:g}</text>'
        for e in range(math.ceil(self.y0), math.floor(self.y1) + 1):
            y = self.y(10.0**e)
            yield f'<line x1="{self.left}" x2="{self.width - self.right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#8883"/>'
            yield f'<text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**e:g}</text>'
        yield f'<text x="{self.width / 2}" y="{self.height - 8}" text-anchor="middle">flops per byte read</text>'
        yield f'<text transform="translate(16 {self.height / 2}) rotate(-90)" text-anchor="middle">GFLOP/s</text>'

    def limits(self):
        for name, peak in self.roofs:
            knee = peak / self.bandwidth
            start = max(10.0**self.x0, 10.0**self.y0 / self.bandwidth)
            yield (
                f'<path fill="none" stroke="currentColor" stroke-width="1.5" d="M{self.x(start):.1f} '
                f'{self.y(start * self.bandwidth):.1f} L{self.x(knee):.1f} {self.y(peak):.1f} H{self.width - self.right}"/>'
            )
            yield (
                f'<text x="{self.width - self.right - 4}" y="{self.y(peak) - 6:.1f}" text-anchor="end">'
                f"{name} {peak:.0f} GFLOP/s</text>"
            )
        at = 10 ** (self.x0 + 0.12 * (self.x1 - self.x0))
        if self.y(at * self.bandwidth) < self.height - self.bottom:
            yield (
                f'<text x="{self.x(at) - 8:.1f}" y="{self.y(at * self.bandwidth) - 8:.1f}" text-anchor="end">'
                f"{self.bandwidth:.1f} GB/s</text>"
            )

    def marks(self):
        """A name stands beside its point, or as much lower as it takes to cover no point and no other name."""
        taken = [(self.x(i) - 6, self.x(i) + 6, self.y(g) - 6, self.y(g) + 6) for _, _, i, g in self.points]
        for kind, name, intensity, gflops in sorted(self.points, key=lambda p: (p[2], p[3])):
            x, y = self.x(intensity), self.y(gflops)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{COLORS[kind]}"><title>{name}: {gflops:.0f} GFLOP/s</title></circle>'
            left = x > self.width - 150
            at, start = y + 4, x - 9 - 7 * len(name) if left else x + 9
            while any(start < x1 and x0 < start + 7 * len(name) and at - 11 < y1 and y0 < at + 3 for x0, x1, y0, y1 in taken):
                at += 1
            taken.append((start, start + 7 * len(name), at - 11, at + 3))
            yield f'<text x="{x + (-9 if left else 9):.1f}" y="{at:.1f}" text-anchor="{"end" if left else "start"}">{name}</text>'

    def svg(self):
        body = "\n".join([*self.axes(), *self.limits(), *self.marks()])
        return (
            f'<svg viewBox="0 0 {self.width} {self.height}" role="img" aria-label="roofline">\n{body}\n</svg>'
        )


# ---- the page ----


def table(r):
    rows = []
    for kind, name, c in points(r):
        share = min(1, c["roofline_fraction"])
        rows.append(
            f"<tr><td>{name}</td><td>{c['tok_s']:.1f}</td><td>{min(c['samples']):.1f} … {max(c['samples']):.1f}</td>"
            f"<td>{c['gflops']:.0f}</td><td>{c['read_gbs']:.1f}</td><td><span class=track><span class=bar "
            f"style='width:{100 * share:.0f}%;background:{COLORS[kind]}'></span></span>"
            f"{100 * c['roofline_fraction']:.0f} % of {c['bound']}</td></tr>"
        )
    plain = r["harvest"]["without_capture_tok_s"]
    rows.append(
        f"<tr><td>harvest, nothing kept</td><td>{plain:.1f}</td><td></td><td></td><td></td><td></td></tr>"
    )
    return (
        "<table><tr><th>median of runs</th><th>tokens/s</th><th>least … most</th><th>GFLOP/s</th><th>GB/s</th>"
        "<th>of the limit</th></tr>" + "\n".join(rows) + "</table>"
    )


def section(entry):
    r = entry["result"]
    machine, model, memory, load = r["machine"], r["model"], r["memory"], r["load"]
    cached = load["page_cache_fraction"]
    facts = (
        f"{machine['cpu']}, {machine['threads']} of {machine['cores_usable']} cores, {machine['isa']}, load average "
        f"{machine['load_average']:.1f}. Opened in {load['seconds']:.2f} s"
        + (f" with {100 * cached:.0f} % of the files in memory" if cached is not None else "")
        + f"; {memory['resident_bytes'] / 2**20:.0f} MiB resident, {memory['weight_bytes'] / 2**20:.0f} MiB of packed weights."
    )
    title = (
        f"{model['architecture']}, {model['parameters'] / 1e6:.0f} M parameters, {model['dtype']}, "
        f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''}"
    )
    return (
        f"<h2>{html.escape(title)}</h2><p>{html.escape(facts)}</p>{Chart(r).svg()}{table(r)}"
        f"<p><code>{html.escape(' '.join(entry['command']))}</code></p>"
    )


def page(results):
    raw = json.dumps(results, indent=1)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>trawl bench</title><style>{STYLE}</style><h1>trawl bench</h1><p>Each point is a measurement, at the flops "
        "and bytes that its result needs at least. The lines are what this machine did in the same run: reading memory "
        "with all threads, multiply-adds on registers. How figures are taken is said in docs/benchmarks.md.</p>"
        + "".join(map(section, results))
        + f"<h2>Raw data</h2><details><summary>JSON</summary><pre id=raw>{html.escape(raw)}</pre></details></html>\n"
    )


def words(text):
    return text.split(",")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=pathlib.Path, help="model folder")
    p.add_argument("--results", type=pathlib.Path, help="the JSON of an earlier report, instead of measuring")
    p.add_argument("--out", type=pathlib.Path, required=True, help="the page; its JSON goes beside it")
    p.add_argument("--trawl", default=os.environ.get("TRAWL", "trawl"), help="the command (default: $TRAWL)")
    p.add_argument("--dtype", type=words, default=["bfloat16"])
    p.add_argument("--threads", type=words, default=[str(os.cpu_count())])
    for name, default in (
        ("prompt", "64,512,2048"),
        ("batch", "1,8,16,32"),
        ("context", "128,1024,4096"),
        ("gen", "64"),
        ("runs", "3"),
    ):
        p.add_argument("--" + name, default=default)
    a = p.parse_args()
    if (a.model is None) == (a.results is None):
        p.error("give --model or --results")
    if a.results:
        results = json.loads(a.results.read_text())
    else:
        results = measure(a)
        a.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
    a.out.write_text(page(results))


main()
