#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The command as a user meets it: help, exit codes, messages, pipes, signals, completions. $TRAWL is the command.
set -u
trawl=${TRAWL:?the command to test}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

fail()
{
    printf 'FAILED: %s\n' "$1"
    failed=1
}
# expect CODE STDERR-PATTERN command... : stdout goes to the file out
expect()
{
    local code=$1 pattern=$2 got
    shift 2
    "$@" > out 2> err
    got=$?
    [ $got -eq "$code" ] || fail "exit $got, expected $code: $*"
    [[ "$(cat err)" == $pattern ]] || fail "stderr \"$(cat err)\", expected \"$pattern\": $*"
}

# ---- help and version ----
expect 0 '' "$trawl" --version
grep -qE '^trawl [0-9]+\.[0-9]+\.[0-9]+$' out || fail 'the version line'
expect 0 '' "$trawl" --help
sed -n '/^Commands/,/^$/s/^  \([a-z ]*[a-z]\)   *.*/\1/p' out > commands
[ "$(wc -l < commands)" -ge 9 ] || fail 'too few commands in the overview'
while read -r name; do
    read -ra words <<< "$name"
    expect 0 '' "$trawl" "${words[@]}" --help
    mv out help
    expect 0 '' "$trawl" help "${words[@]}"
    cmp -s out help || fail "trawl help $name is not trawl $name --help"
    expect 0 '' "$trawl" man "${words[@]}"
    grep -oE '^  (-[a-z], )?--[a-z_0-9]+' help | grep -oE '[a-z_0-9]+$' | while read -r option; do
        grep -qF -- "\\fB\\-\\-$option\\fR" out || echo "$option"
    done > lacking
    [ -s lacking ] && fail "the page of $name lacks $(tr '\n' ' ' < lacking)"
    expect 2 "trawl $name: unknown option --nosuchthing*" "$trawl" "${words[@]}" --nosuchthing
done < commands
expect 0 '' "$trawl" arc --help
expect 0 '' "$trawl" man arc

# ---- mistakes: exit 2, one line, nothing on stdout ----
expect 2 'trawl: which command*' "$trawl"
expect 2 'trawl arc: which one*' "$trawl" arc
expect 2 'trawl: unknown command "tokenise", did you mean trawl tokenize?' "$trawl" tokenise
expect 2 'trawl arc: unknown command "vot", did you mean trawl arc vote?' "$trawl" arc vot
expect 2 'trawl: the command comes first*' "$trawl" --model_path x tokenize
expect 2 'trawl arc vote: --input_filepath FILE is missing: *' "$trawl" arc vote
expect 2 'trawl help: unknown command "arc vot", did you mean "arc vote"?' "$trawl" help arc vot
expect 2 'trawl completions: no completions for "csh"*' "$trawl" completions csh
[ -s out ] && fail 'a refused command wrote to stdout'

# ---- failures: exit 1, the thing is named ----
expect 1 'trawl tokenize: --model_path "nowhere" is no folder' "$trawl" tokenize --model_path nowhere
expect 1 'trawl arc vote: *nowhere.json*No such file*' "$trawl" arc vote --input_filepath nowhere.json
: > a_file
expect 1 'trawl tokenize: --model_path "a_file" is a file, *' "$trawl" tokenize --model_path a_file
mkdir a_model
expect 1 'trawl generate: a_model: no config.json; *' "$trawl" generate --model_path a_model
printf '{"model_type": "gpt2"}' > a_model/config.json
expect 1 'trawl generate: a_model/config.json: *gpt2*' "$trawl" generate --model_path a_model
printf '%s' '{"t": {"train": [{"input": [[1]], "output": [[2]]}], "test": [{"input": [[3]]}]}}' > tasks.json
expect 1 '*trawl arc run: a_model/config.json: *gpt2*' "$trawl" arc run --model_path a_model --dataset_path tasks.json
expect 1 'trawl arc transform: some/rows: no such file; *hub*' "$trawl" arc transform --dataset some/rows
expect 1 'trawl info: *' env TRAWL_ISA=nosuch "$trawl" info
expect 1 'trawl man: *' "$trawl" man --output_dir /proc/none
if [ -e /dev/full ]; then
    "$trawl" --help > /dev/full 2> err && fail 'a full disk went unnoticed'
    grep -q '^trawl: standard output: No space left' err || fail "full disk: $(cat err)"
fi
(ulimit -f 1 && expect 1 'trawl man: *File too large' "$trawl" man --output_dir pages; exit $failed) || failed=1

# ---- info ----
expect 0 '' "$trawl" info --json
python3 -c '
import json, sys
info = json.load(open("out"))
assert info["machine"]["cores_usable"] >= 1 and info["machine"]["isa"] in info["machine"]["isa_levels"].split(), info
assert info["build"]["version"] == sys.argv[1]' "$("$trawl" --version | cut -d' ' -f2)" || fail 'info --json'
expect 0 '' env TRAWL_ISA=scalar "$trawl" info
grep -qE '^  isa  +scalar$' out || fail 'TRAWL_ISA=scalar is not what info shows'

# ---- votes and scores, end to end ----
printf '%s' '{"t": [{"attempt_1": [[1]], "attempt_2": [[2]], "attempt_3": [[2]]}]}' > p.json
printf '%s' '{"t": [[[2]]]}' > s.json
expect 0 'p_voting.json: 1 tasks*' "$trawl" arc vote --input_filepath p.json
expect 0 'new/folder/v.json: *' "$trawl" arc vote --input_filepath p.json --output_filepath new/folder/v.json
python3 -c '
import json
assert json.load(open("p_voting.json")) == {"t": [{"attempt_1": [[2]], "attempt_2": [[1]]}]}' || fail 'arc vote'
expect 0 '' "$trawl" arc score --submission p_voting.json --solutions s.json --json
python3 -c 'import json; assert json.load(open("out"))["kaggle"] == 1' || fail 'arc score'
printf '%s\n' '{"examples": [[[[1]], [[2]]], [[[3]], [[4]]]]}' '{"examples": []}' > rows.jsonl
expect 3 '*1 tasks of 2 rows, 1 rows left out*' "$trawl" arc transform --dataset rows.jsonl --output_dir arc
[ -s arc/arc_format_train.json ] || fail 'arc transform wrote no tasks'

# ---- a reader that has seen enough: quiet, and gone as SIGPIPE would have it ----
{ sleep 0.3; exec "$trawl" completions bash 2> err; } | true
code=${PIPESTATUS[0]}
[ "$code" -eq 141 ] || fail "closed pipe: exit $code"
[ -s err ] && fail "closed pipe: $(cat err)"

# ---- completions ----
"$trawl" completions bash > trawl.bash
bash -n trawl.bash || fail 'bash completions do not parse'
complete_words()
{
    bash -c 'source ./trawl.bash; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _trawl
             printf "%s\n" "${COMPREPLY[@]}"' bash "$@" | LC_ALL=C sort | tr '\n' ' '
}
same()
{
    [ "$1" == "$2" ] || fail "completion \"$1\", expected \"$2\""
}
same "$(complete_words trawl tok)" 'tokenize '
same "$(complete_words trawl arc vo)" 'vote '
same "$(complete_words trawl arc vote --in)" '--input_filepath '
same "$(complete_words trawl tokenize --model-p)" '--model_path '
same "$(complete_words trawl completions '')" \
    "$(printf '%s\n' --help --quiet bash fish zsh | LC_ALL=C sort | tr '\n' ' ')"
mkdir some-dir
same "$(complete_words trawl tokenize --model-path some-)" 'some-dir '
for shell in zsh fish; do
    "$trawl" completions $shell > "trawl.$shell" || fail "completions $shell"
    if command -v $shell > /dev/null; then
        $shell -n "trawl.$shell" || fail "$shell completions do not parse"
    fi
done

exit $failed
