#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/search.md shows rows and what they give: they are answered as the page says, by the demo's model in $TRAWL_MODELS. "..." on
the page stands for anything."""
import os
import pathlib
import re
import subprocess
import sys

MODEL = pathlib.Path(os.environ.get("TRAWL_MODELS", "/nowhere"), "smollm2-135m")
if not MODEL.is_dir():
    print("skipped: there is no smollm2-135m in TRAWL_MODELS")
    sys.exit(77)

page = (pathlib.Path(os.environ["TRAWL_SOURCE"]) / "docs/search.md").read_text()
pairs = re.findall(r"```json\n(\{\"prompt\".*?)```\n```json\n(.*?)```", page, flags=re.S)
rows = "".join(" ".join(row.split("\n")).strip() + "\n" for row, _ in pairs)
p = subprocess.run([os.environ["TRAWL"], "generate", "-q", "--model_path", MODEL, "--prompts_file", "-", "--dtype", "float32",
                    "--max_model_len", "256"], input=rows, capture_output=True, text=True)
answers = p.stdout.splitlines()
failed = len(pairs) < 3 or len(answers) != len(pairs)
if failed:
    print(f"FAILED: {len(pairs)} examples, {len(answers)} answers: {p.stderr}")
for (row, said), got in zip(pairs, answers):
    want = re.escape(re.sub(r"\s", "", said)).replace(r"\.\.\.", ".*")
    if not re.fullmatch(want, re.sub(r"\s", "", got)):
        print(f"FAILED: {row}gives\n{got}\ndocs/search.md says\n{said}")
        failed = True
sys.exit(failed)
