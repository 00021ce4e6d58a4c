#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# AVX registers occur only in objects whose names say so: everything else must run on any x86-64.
exec bash "$TRAWL_SOURCE/scripts/lint_isa.sh" "$TRAWL_BUILD"
