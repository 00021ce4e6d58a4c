#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# All meshes, the benchmark, and ranks that die or stop in the middle of a run.
exec "${TRAWL_PYTHON:-python3}" "$TRAWL_SOURCE/tests/cli/check_cli_mpirun.py" meshes killed stopped bench
