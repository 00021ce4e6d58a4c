#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# ./x without building anything: help, refusals, and what it does when packages are missing.
set -euo pipefail
x=$TRAWL_SOURCE/x
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" # any directory will do

fail()
{
    echo "$*"
    exit 1
}
refused() # STATUS WORDS ARGS...
{
    local status=0 expected=$1 words=$2 said
    shift 2
    said=$("$x" "$@" 2>&1) || status=$?
    [ "$status" -eq "$expected" ] || fail "./x $*: exit $status, expected $expected: $said"
    grep -qF -- "$words" <<<"$said" || fail "./x $*: did not say '$words' but: $said"
}

for command in demo build test lint format bench fuzz deps clean; do
    "$x" help | grep -q "^  $command " || fail "help does not name $command"
done
refused 2 "there is no command 'biuld'" biuld
refused 1 "there is no preset 'fast'" build fast
refused 1 "there is no target 'nothing'" fuzz nothing
refused 1 "there is no benchmark 'nothing'" bench nothing
refused 1 "unknown option --all" test --all
refused 1 "there is no scripts/lint_nothing.sh" lint nothing
refused 1 "'moon' is none of" deps moon

# A Debian where nothing is installed, and where nobody can install: the exact command is printed.
mkdir bin
printf '#!/bin/sh\nexit 1\n' >bin/dpkg-query
printf '#!/bin/sh\necho 1000\n' >bin/id
chmod +x bin/*
for tool in bash dirname sed sort comm cat; do
    ln -s "$(command -v $tool)" bin/
done
status=0
said=$(PATH=$work/bin "$x" deps 2>&1) || status=$?
[ "$status" -eq 1 ] || fail "./x deps without packages: exit $status: $said"
grep -q 'as root: apt-get install -y .*cmake.*libjansson-dev' <<<"$said" || fail "no command to copy in: $said"

# As root it installs: once at once, once more after fetching the package lists.
printf '#!/bin/sh\necho 0\n' >bin/id
for tool in env mktemp rm tail; do
    ln -s "$(command -v $tool)" bin/
done
cat >bin/apt-get <<'SH'
#!/bin/sh
echo "$1" >>"$APT_LOG"
case $1 in update) : >"$APT_LOG.lists" ;; install) [ -e "$APT_LOG.lists" ] ;; esac
SH
chmod +x bin/apt-get
APT_LOG=$work/apt PATH=$work/bin "$x" deps 2>said || fail "./x deps as root: $(cat said)"
[ "$(tr '\n' ' ' <apt)" = "install update install " ] || fail "apt-get was called: $(cat apt)"
[ "$(wc -l <said)" -eq 1 ] || fail "more than one line: $(cat said)"
