#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# No more instructions than bench/gate.json allows; the script itself says when it cannot compare (77).
exec bash "$TRAWL_SOURCE/scripts/bench_gate.sh"
