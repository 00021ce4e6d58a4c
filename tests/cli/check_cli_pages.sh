#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Every manual page is written, and clean in the eyes of the formatters that are installed.
set -u
trawl=${TRAWL:?the command to test}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fail()
{
    printf 'FAILED: %s\n' "$1"
    failed=1
}

"$trawl" man --output_dir "$work/man" || fail 'trawl man --output_dir'
[ -s "$work/man/trawl.1" ] && [ -s "$work/man/trawl-arc.1" ] || fail 'pages of trawl and of arc'
tools=0
for page in "$work"/man/*.1; do
    name=$(basename "$page" .1)
    # the same page, asked for one by one
    words=${name#trawl}
    words=${words#-}
    # shellcheck disable=SC2086  # words of a command's name
    "$trawl" man ${words//-/ } | cmp -s - "$page" || fail "$name: trawl man prints another page"
    grep -q '^\.SH NAME$' "$page" || fail "$name: no NAME section"
    if command -v groff > /dev/null; then
        tools=1
        groff -man -Tutf8 -ww -z "$page" 2> "$work/err"
        [ -s "$work/err" ] && fail "$name: $(cat "$work/err")"
    fi
    if command -v mandoc > /dev/null; then
        tools=1
        mandoc -T lint -W error "$page" > "$work/err" || fail "$name: $(cat "$work/err")"
    fi
done
# A page as it is read: nothing of the markup is left, and options keep their dashes.
if command -v groff > /dev/null; then
    groff -man -Tascii -P-cbou "$work/man/trawl-tokenize.1" > "$work/text"
    grep -qE '^ +--model_path DIR$' "$work/text" || fail 'trawl-tokenize: --model_path is not shown as it is typed'
    grep -qF '\f' "$work/text" && fail 'trawl-tokenize: markup in the text'
    grep -qF 'split_special_tokens' "$work/text" || fail 'trawl-tokenize: a help line is missing'
fi
[ $tools -eq 1 ] || echo 'no groff and no mandoc: only the presence of the pages was checked'
exit $failed
