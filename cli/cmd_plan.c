/* SPDX-License-Identifier: MIT */
#include "cli/cmd.h"
int cmd_plan(const struct cli_args *args, struct trawl_error *err)
{
    (void)args; (void)err;
    return 0;
}
