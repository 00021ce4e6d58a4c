#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Includes go by scripts/deps.txt: written "module/file.h", naming a module that the including one may use.
# A module may name only modules of earlier lines, which rules cycles out.
source "$(dirname "${BASH_SOURCE[0]}")/lint_common.sh"
check()
{
    tree_files 'src/*.[ch]' 'apps/*.[ch]' 'cli/*.[ch]' | xargs awk '
        # The module of src/<m>/..., apps/<m>/..., cli/...
        function module_of(path, part) {
            split(path, part, "/")
            return part[1] == "src" ? part[2] : part[1] == "apps" ? "app_" part[2] : part[1]
        }
        FILENAME ~ /deps\.txt$/ {
            sub(/#.*/, "")
            if (NF == 0) { next }
            name = $1
            sub(/:$/, "", name)
            known[name] = 1
            allowed[name, name] = 1
            for (i = 2; i <= NF; i++) {
                if (!($i in known) || $i == name) {
                    print FILENAME ":" FNR ": " name " names " $i ", which is not above it"
                }
                allowed[name, $i] = 1
            }
            next
        }
        FNR == 1 {
            me = module_of(FILENAME)
            if (!(me in known)) { print FILENAME ":1: scripts/deps.txt has no line for module " me }
        }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            split($0, quoted, "\"")
            file = quoted[2]
            if (file !~ /\//) {
                print FILENAME ":" FNR ": write the include as \"module/file.h\": " file
            } else if (file !~ /^trawl\//) {
                used = module_of(file ~ /^(apps|cli)\// ? file : "src/" file)
                if (!((me, used) in allowed)) { print FILENAME ":" FNR ": " me " may not include " file }
            }
        }
        /^[ \t]*#[ \t]*include[ \t]*<(mpi|nccl|cuda)/ {
            if (FILENAME !~ /^src\/comm\//) { print FILENAME ":" FNR ": transports are known in src/comm only" }
        }' scripts/deps.txt
}
report check
exit $findings
