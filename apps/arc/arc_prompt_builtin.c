/* SPDX-License-Identifier: MIT */
#include "apps/arc/arc_prompt_builtin.h"

#include <stddef.h>
#include <string.h>

/* clang-format off */

#define SYSTEM_LONG \
    "You solve puzzles that are drawn on grids. A grid is a rectangle of cells, 1 to 30 on a side. Every cell " \
    "has one of ten colors, written as a digit from 0 to 9; 0 is most often the empty background.\n" \
    "\n" \
    "Behind each puzzle stands a single rule that turns an input grid into its output grid. Rules are built " \
    "from simple ideas: things that keep together, touch, move, fall or stop each other; counting, sorting and " \
    "comparing sizes; lines, boxes, mirror images, turns and repeated patterns; being inside, outside, above or " \
    "beside. Color can carry meaning, and so can the size of the output.\n" \
    "\n" \
    "Compare the given pairs until one rule fits all of them, then carry it out cell by cell. A single wrong " \
    "cell makes the answer wrong.\n"

#define SYSTEM_SHORT "You are good at finding the rule behind colored grids."

#define PAIRS \
    "{% for sample in train_samples %}\n" \
    "Pair {{ loop.index }}, before:\n" \
    "{{ sample.input }}\n" \
    "Pair {{ loop.index }}, after:\n" \
    "{{ sample.output }}\n" \
    "{% endfor %}\n"

#define CODE_TASK \
    "Write a Python function `solve(grid)` that takes the first grid of a pair, a list of rows of integers from " \
    "0 to 9, and returns the second one in the same form."

#define CODE_RULES \
    " It must be right for every pair above and for new grids of the same kind, so compute the result from " \
    "the grid that is passed in: no table of known answers, no file, no network, no randomness. Only the standard " \
    "library and numpy may be imported."

#define CODE_PLAN \
    " Begin the function with a docstring that states the rule in one or two sentences."

static const struct tw_arc_prompt_text TEXTS[] = {
    {
        "output-from-examples-v0",
        SYSTEM_LONG,
        "One rule explains all of these pairs of grids.\n"
        PAIRS
        "Carry out the same rule on this grid:\n"
        "{{ test_input }}\n",
        "After:\n{{ output }}",
    },
    {
        "output-from-examples-v1",
        SYSTEM_SHORT,
        "Each pair below shows a grid before and after the same change. Digits are colors; 0 is the background. "
        "Find the change that fits every pair.\n"
        PAIRS
        "Apply it to this grid and give the result in the same notation:\n"
        "{{ test_input }}\n",
        "After:\n{{ output }}",
    },
    {
        "input-from-inputs-v0",
        SYSTEM_SHORT,
        "These grids are inputs of one puzzle. They were all drawn by the same recipe.\n"
        "{% for sample in train_samples %}\n"
        "Input {{ loop.index }}:\n"
        "{{ sample.input }}\n"
        "{% endfor %}\n"
        "Draw one more input by that recipe, different from those above.\n",
        "Another input:\n{{ output }}",
    },
    {
        "output-from-outputs-v0",
        SYSTEM_SHORT,
        "These grids are outputs of one puzzle. They were all made by the same rule.\n"
        "{% for sample in train_samples %}\n"
        "Output {{ loop.index }}:\n"
        "{{ sample.output }}\n"
        "{% endfor %}\n"
        "Draw one more output that the rule could give, different from those above.\n",
        "Another output:\n{{ output }}",
    },
    {
        "code-from-examples-v0",
        SYSTEM_SHORT,
        "Find the change that turns the first grid of every pair into the second.\n"
        PAIRS
        CODE_TASK "\n",
        "{{ output }}",
    },
    {
        "code-from-examples-v1",
        SYSTEM_SHORT,
        "Find the change that turns the first grid of every pair into the second.\n"
        PAIRS
        CODE_TASK CODE_RULES "\n",
        "{{ output }}",
    },
    {
        "code-from-examples-v2",
        SYSTEM_SHORT,
        "Find the change that turns the first grid of every pair into the second.\n"
        PAIRS
        CODE_TASK CODE_RULES CODE_PLAN "\n",
        "This function makes the change:\n\n{{ output }}",
    },
    {
        "code-from-examples-v3",
        SYSTEM_SHORT,
        "Find the change that turns the first grid of every pair into the second.\n"
        PAIRS
        CODE_TASK CODE_RULES CODE_PLAN " It will be called with this grid:\n"
        "{{ test_input }}\n",
        "This function makes the change:\n\n{{ output }}",
    },
};

/* clang-format on */

const struct tw_arc_prompt_text *tw_arc_prompt_builtin(const char *name)
{
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        if (strcmp(TEXTS[i].name, name) == 0) {
            return &TEXTS[i];
        }
    }
    return NULL;
}
