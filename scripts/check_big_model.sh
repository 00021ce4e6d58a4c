#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Eight devices in one process hold one copy of the weights, and give the bits of one device:
#
#   scripts/check_big_model.sh TRAWL FOLDER [SHAPE]      SHAPE: qwen2.5-7b (default), as make_random_model.py has them
#
# Makes a random model of that shape below FOLDER (15 GB, twice while it is packed), packs it, traces a few tokens on
# 1x8 and on 1x1, prints the peak of memory beside the size of the weights, compares the files, and removes all that it
# made. Exit code 1 when the bits differ, or memory exceeds the weights by more than 5 % and 1 GiB. By hand, because it
# wants a disk and ten minutes.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '3,11s/^# \?//p' "$0"; exit 2; }
trawl=$1 shape=${3:-qwen2.5-7b}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$2"
work=$(mktemp -d -p "$2")
trap 'rm -rf "$work"' EXIT

free=$(df --output=avail -B1 "$work" | tail -1)
case $shape in *14b) need=62 ;; *7b) need=34 ;; *) need=4 ;; esac
if [ "$free" -lt $((need * 1000000000)) ]; then
    echo "check_big_model: $2 has $((free / 1000000000)) GB free, $shape needs $need" >&2
    exit 1
fi

step()
{
    echo "$(date +%T) $*" >&2
}

# status_of PID NAME: a value of /proc/PID/status in KiB, 0 when the process has gone
status_of()
{
    awk -v name="$2:" '$1 == name { value = $2 } END { print value + 0 }' "/proc/$1/status" 2>/dev/null || echo 0
}

# trace MESH OUT: prints peak resident KiB, the most of it that was anonymous, and seconds
trace()
{
    local began=$EPOCHREALTIME peak=0 anonymous=0 now
    "$trawl" trace --model_path "$work/packed" --tokens "$work/tokens.json" --out "$2" --quiet --threads 1 \
        --sites logits,blocks.0.hook_resid_post,ln_final.hook_normalized --max_model_len 256 --mesh_shape 1 "$1" &
    local pid=$!
    while kill -0 $pid 2>/dev/null; do
        now=$(status_of $pid VmHWM)
        peak=$((now > peak ? now : peak))
        now=$(status_of $pid RssAnon)
        anonymous=$((now > anonymous ? now : anonymous))
        sleep 0.05
    done
    wait $pid
    echo "$peak $anonymous $(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')"
}

step "a random model in the shape of $shape"
python3 "$here/make_random_model.py" "$work/model" --shape "$shape"
step "packing"
"$trawl" shard --model_path "$work/model" --output_dir "$work/packed"
rm -rf "$work/model"
weights=$(($(stat -c %s "$work/packed/weights.trawl") / 1024))
echo '[[785, 9470, 374, 1304, 11, 323], [220, 17, 10]]' >"$work/tokens.json"

failed=0
for mesh in 8 1; do
    step "trace on 1x$mesh"
    read -r peak anonymous seconds < <(trace $mesh "$work/$mesh.safetensors")
    awk -v m=$mesh -v p="$peak" -v a="$anonymous" -v w="$weights" -v s="$seconds" 'BEGIN {
        printf "mesh 1x%d: %.2f GiB resident at the peak (%.2f of it anonymous), weights %.2f GiB, ratio %.3f, %s s\n",
            m, p / 1048576, a / 1048576, w / 1048576, p / w, s }'
    if [ "$peak" -gt $((weights + weights / 20 + 1048576)) ]; then
        echo "FAIL: 1x$mesh needs more than one copy of the weights"
        failed=1
    fi
done
if cmp "$work/8.safetensors" "$work/1.safetensors"; then
    echo "the same $(stat -c %s "$work/8.safetensors") bytes on 1x8 and 1x1"
else
    echo "FAIL: 1x8 and 1x1 differ"
    failed=1
fi
exit $failed
