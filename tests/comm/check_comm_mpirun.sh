#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Collectives under mpirun: 2, 3 and 4 ranks; and ranks that fail, die or stop answering.
set -u
test=$TRAWL_BUILD/tests/test_comm_mpi
command -v mpirun >/dev/null || { echo "skipped: no mpirun"; exit 77; }
[ -x "$test" ] && [ -e "$TRAWL_BUILD/libtrawl-mpi.so" ] || { echo "skipped: built without MPI"; exit 77; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_btl=self,vader OMPI_MCA_pml=ob1
export OMPI_MCA_hwloc_base_binding_policy=none
export TRAWL_MPI_PLUGIN=$TRAWL_BUILD/libtrawl-mpi.so
export ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 # Open MPI keeps memory when it ends
failed=0
for n in 2 3 4; do
    mpirun --oversubscribe -n $n "$test" || { echo "FAIL: $n ranks"; failed=1; }
done

# expect HOW TEXT: rank 1 of 3 goes missing; within the time all end, and someone says TEXT.
expect()
{
    local out
    out=$(timeout -k 5 60 mpirun --oversubscribe -n 3 "$test" "$1" 2>&1)
    local code=$?
    # mpirun of Open MPI 4.1.4 sometimes crashes itself while it ends a stopped rank.
    if [ $code -eq 139 ] && grep -q ' mpirun(+0x' <<<"$out" && ! grep -q 'exited on signal 11' <<<"$out"; then
        code=1
    fi
    if [ $code -eq 0 ] || [ $code -ge 124 ] && [ $code -ne 137 ] || ! grep -q "$2" <<<"$out"; then
        echo "FAIL: $1: exit code $code, expected a failure that says \"$2\":"
        sed 's/^/    /' <<<"$out"
        failed=1
    fi
}
expect fail 'rank 0: rank 1 failed: no room for a test'
expect stop 'waited 1500 ms for rank 1 in all-reduce'
expect die 'rank 1 .*signal 9'
exit $failed
