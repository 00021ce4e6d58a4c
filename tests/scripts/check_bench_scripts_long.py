#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""scripts/bench_peers.py beside programs that print known figures; scripts/bench_report.py on a model of a few
kilobytes."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

from checks import check, failures

source, trawl = pathlib.Path(os.environ["TRAWL_SOURCE"]), os.environ["TRAWL"]


def run(script, *arguments, code=0):
    p = subprocess.run([sys.executable, source / "scripts" / script, *arguments], capture_output=True, text=True)
    check(p.returncode == code, f"{script} {arguments}: exit {p.returncode}, expected {code}: {p.stderr}")
    return p.stdout, p.stderr


def program(path, text):
    """A program that prints the text, its n-th call the n-th of the lines between "--" lines."""
    path.write_text(f"#!{sys.executable}\n"
                    "import pathlib, sys\n"
                    f"count = pathlib.Path({str(path)!r} + '.calls')\n"
                    "n = int(count.read_text()) if count.exists() else 0\n"
                    "count.write_text(str(n + 1))\n"
                    f"parts = {text!r}.split('--\\n')\n"
                    "print(parts[n % len(parts)], end='')\n")
    path.chmod(0o755)


def peers(folder):
    def ours(prefill, b1, b8):
        return json.dumps({"prefill": {"tok_s": prefill}, "decode": {"1": {"tok_s": b1}, "8": {"tok_s": b8}}}) + "\n"

    # Three rounds: medians 200, 20, 80; the last round is an odd one.
    program(folder / "trawl", ours(200, 20, 80) + "--\n" + ours(220, 21, 90) + "--\n" + ours(10, 1, 8))
    program(folder / "llama-bench", '[{"n_prompt": 512, "avg_ts": 100.0}]\n')
    program(folder / "llama-batched-bench", 'a line that is no JSON\n{"pl": 1, "speed_tg": 10.0}\n{"pl": 8, "speed_tg": 20.0}\n')
    options = ["--model", folder, "--trawl", folder / "trawl", "--batch", "1,8", "--rounds", "3"]
    text, _ = run("bench_peers.py", *options, "--gguf", "w.gguf", "--llama_dir", folder, "--json", folder / "all.json")
    rows = json.loads((folder / "all.json").read_text())["ratios"]
    found = {row["what"]: (row["ratio"], row["least"], row["most"]) for row in rows}
    expected = {"prefill": (2, 0.1, 2.2), "decode 1": (2, 0.1, 2.1), "decode 8": (4, 0.4, 4.5)}
    for what, numbers in expected.items():
        check(all(abs(x - y) < 1e-9 for x, y in zip(found[what], numbers)), f"{what}: {found[what]}, not {numbers}")
    check("llama.cpp" in text and "0.40 to 4.50" in text, text)
    _, error = run("bench_peers.py", *options, code=1)
    check("no peer given" in error, error)
    _, error = run("bench_peers.py", *options, "--gguf", "w.gguf", "--llama_dir", folder / "nothing", code=1)
    check("llama-bench is not in" in error, error)


def report(folder):
    model, page = folder / "model", folder / "page.html"
    subprocess.run([sys.executable, source / "tests/golden/make_model.py", model], check=True)
    run("bench_report.py", "--trawl", trawl, "--model", model, "--out", page, "--threads", "1", "--prompt", "16,32",
        "--batch", "1,2", "--context", "64", "--gen", "4", "--dtype", "bfloat16,float32")
    text = page.read_text()
    results = json.loads((folder / "page.json").read_text())
    check([r["result"]["model"]["dtype"] for r in results] == ["bfloat16", "float32"], "two sections")
    check("<script" not in text and "http" not in text, "the page needs nothing else")
    charts = [part.split("</svg>")[0] + "</svg>" for part in text.split("<svg")[1:]]
    for chart in charts:
        marks = [c for c in xml.fromstring("<svg" + chart).iter("circle")]
        check(len(marks) == 6, f"{len(marks)} points, expected 6: two prefills, two batches, a context, a harvest")
        inside = all(0 < float(c.get("cx")) < 900 and 0 < float(c.get("cy")) < 470 for c in marks)
        check(inside, "every point is on the chart")
    check(len(charts) == 2, f"{len(charts)} charts, expected 2")
    run("bench_report.py", "--results", folder / "page.json", "--out", folder / "again.html")
    check((folder / "again.html").read_text() == text, "the same results give the same page")


with tempfile.TemporaryDirectory() as name:
    peers(pathlib.Path(name))
    report(pathlib.Path(name))
sys.exit(bool(failures()))
