#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""docs/api.md shows what the examples print: they are run as they stand there, for the demo's model in $TRAWL_MODELS."""
import os
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(os.environ["TRAWL_SOURCE"])
MODEL = pathlib.Path(os.environ.get("TRAWL_MODELS", "/nowhere"), "smollm2-135m")
if not MODEL.is_dir():
    print("skipped: there is no smollm2-135m in TRAWL_MODELS")
    sys.exit(77)

failed = n = 0
for block in re.findall(r"```console\n(.*?)```", (SOURCE / "docs/api.md").read_text(), flags=re.S):
    command, want = block.split("\n", 1)
    command = command.removeprefix("$ ").replace("build/release", os.environ["TRAWL_BUILD"], 1)
    got = subprocess.run(["sh", "-c", command], env=os.environ | {"MODEL": str(MODEL)}, capture_output=True, text=True).stdout
    n += 1
    if got != want:
        print(f"FAILED: {command}\nprints\n{got}docs/api.md says\n{want}")
        failed += 1
if n < 5:
    print(f"FAILED: {n} examples in docs/api.md")
    failed += 1
sys.exit(1 if failed else 0)
