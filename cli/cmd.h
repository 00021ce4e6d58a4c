/* SPDX-License-Identifier: MIT */
/* The handlers, one a command: cmd_<name>.c, here or in the folder of its subject. */
#ifndef CLI_CMD_H
#define CLI_CMD_H

#include "cli/commands.h"

cli_run_fn cmd_arc_run, cmd_arc_transform, cmd_arc_vote, cmd_arc_score, cmd_arc_report, cmd_arc_merge;
cli_run_fn cmd_acts_merge, cmd_acts_upload, cmd_acts_inspect, cmd_acts_verify, cmd_acts_export;
cli_run_fn cmd_harvest;
cli_run_fn cmd_serve;
cli_run_fn cmd_gsm8k, cmd_pull;
cli_run_fn cmd_generate, cmd_trace, cmd_perplexity, cmd_bench, cmd_bench_policy;
cli_run_fn cmd_plan, cmd_shard;
cli_run_fn cmd_chat;
cli_run_fn cmd_tokenize, cmd_info;
cli_run_fn cmd_help, cmd_man, cmd_completions;

#endif /* CLI_CMD_H */
