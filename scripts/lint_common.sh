# SPDX-License-Identifier: MIT
# Sourced by the lint scripts: they run from the root of the tree, see what git sees (new files too, ignored
# ones not), print findings as file:line: text, and fail when there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Files of the tree that match the pathspecs, one a line.
tree_files()
{
    git ls-files -co --exclude-standard -- "$@" | sort -u | while read -r file; do
        if [ -f "$file" ]; then
            printf '%s\n' "$file"
        fi
    done
}

# Run a command that prints findings; remember whether it printed any.
findings=0
report()
{
    local found
    found=$("$@" || true)
    if [ -n "$found" ]; then
        printf '%s\n' "$found"
        findings=1
    fi
}
