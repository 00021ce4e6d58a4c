#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Four hosts in one machine: network namespaces with addresses and host names of their own, joined by a bridge, messages
# by TCP. The files are those of one process; a host with other weights is named.
set -u
skip() { echo "skipped: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip "not root"
command -v mpirun >/dev/null || skip "no mpirun"
command -v ip >/dev/null || skip "no ip"
command -v unshare >/dev/null || skip "no unshare"
[ -e "$TRAWL_BUILD/libtrawl-mpi.so" ] || skip "built without MPI"
id=tw$$
ip netns add ${id}h0 2>/dev/null || skip "no network namespaces here"

dir=$(mktemp -d)
clean()
{
    for h in 0 1 2 3; do ip netns del ${id}h$h 2>/dev/null; done
    ip netns del ${id}sw 2>/dev/null
    rm -rf "$dir"
}
trap clean EXIT
fail() { echo "FAIL: $1"; exit 1; }

# A switch in a namespace of its own; host h is 10.77.0.(h + 1).
ip netns add ${id}sw && ip -n ${id}sw link add br0 type bridge && ip -n ${id}sw link set br0 up || skip "no bridge here"
for h in 0 1 2 3; do
    [ $h = 0 ] || ip netns add ${id}h$h
    ip -n ${id}sw link add p$h type veth peer name eth0 netns ${id}h$h || skip "no veth here"
    ip -n ${id}sw link set p$h master br0 up
    ip -n ${id}h$h link set lo up
    ip -n ${id}h$h addr add 10.77.0.$((h + 1))/24 dev eth0
    ip -n ${id}h$h link set eth0 up
done
cat >"$dir/agent" <<AGENT
#!/bin/sh
# What mpirun calls instead of ssh: agent [-x] HOST COMMAND...
while [ "\${1#-}" != "\$1" ]; do shift; done
h=\$((\${1##*.} - 1)); shift
exec ip netns exec ${id}h\$h unshare --uts sh -c "hostname host\$h; \$*"
AGENT
chmod +x "$dir/agent"
printf '10.77.0.%d slots=1\n' 1 2 3 4 >"$dir/hosts"

export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # Open MPI keeps memory when it ends
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 TRAWL_MPI_PLUGIN=$TRAWL_BUILD/libtrawl-mpi.so
on_hosts()
{
    ip netns exec ${id}h0 unshare --uts sh -c 'hostname host0; exec "$@"' sh \
        mpirun -n 4 --hostfile "$dir/hosts" --bind-to none -x TRAWL_MPI_PLUGIN --mca plm rsh --mca plm_rsh_agent "$dir/agent" \
        --mca orte_keep_fqdn_hostnames 1 --mca btl self,tcp --mca pml ob1 --mca btl_tcp_if_include 10.77.0.0/24 \
        --mca oob_tcp_if_include 10.77.0.0/24 "$@"
}
on_hosts sh -c 'hostname' | sort | tr '\n' ' ' | grep -q 'host0 host1 host2 host3' || fail "four hosts with names of their own"

python3 "$TRAWL_SOURCE/tests/golden/make_model.py" "$dir/model" --vocab 640 --layers 3 \
    --tokenizer "$TRAWL_SOURCE/tests/text/data/digits" || exit 1
python3 - "$dir/tokens.json" <<'PY'
import json, random, sys
r = random.Random(4)
json.dump([[r.randrange(640) for _ in range(n)] for n in (1, 5, 64, 100, 33, 7)], open(sys.argv[1], "w"))
PY
trace="trace --model_path $dir/model --tokens $dir/tokens.json --threads 1 --quiet
    --sites blocks.*.hook_resid_post,blocks.*.attn.hook_q,blocks.*.mlp.hook_post,logits"
"$TRAWL" $trace --out "$dir/one" || fail "one process"
for mesh in "1 4" "2 2" "4 1"; do
    on_hosts "$TRAWL" $trace --mesh_shape $mesh --out "$dir/four" || fail "mesh $mesh on four hosts"
    cmp "$dir/one" "$dir/four" || fail "mesh $mesh on four hosts: other bytes"
    rm "$dir/four"
done

# The weights of one host differ.
cp -r "$dir/model" "$dir/other"
python3 "$TRAWL_SOURCE/tests/golden/make_model.py" "$dir/other" --vocab 640 --layers 3 --seed 9
said=$(on_hosts sh -c 'm='"$dir"'/model; [ $(hostname) = host2 ] && m='"$dir"'/other; exec "$@" --model_path $m' sh \
    "$TRAWL" $trace --mesh_shape 4 1 --out "$dir/x" 2>&1) && fail "other weights on host2 were not noticed"
grep -q 'rank 2 has weights with fingerprint' <<<"$said" || fail "other weights on host2: $said"
echo "four hosts: same bytes on 1x4, 2x2 and 4x1"
