# SPDX-License-Identifier: MIT
"""What check_*.py share: ctest puts this folder on their PYTHONPATH.

    from checks import check, failures
    check(a == b, f"{a} instead of {b}")
    sys.exit(1 if failures() else 0)
"""
import os

_failures = 0

# For mpirun of any number of processes on one machine, as root too, without leak reports of Open MPI's own.
MPI_ENV = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_btl": "self,vader", "OMPI_MCA_pml": "ob1",
           "OMPI_MCA_hwloc_base_binding_policy": "none", "OMPI_MCA_rmaps_base_oversubscribe": "1",
           "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def check(ok, what):
    """Say what is wrong, and go on."""
    global _failures
    if not ok:
        print("FAILED:", what, flush=True)
        _failures += 1


def failures():
    return _failures
