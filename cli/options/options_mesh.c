/* SPDX-License-Identifier: MIT */
/* The commands about meshes and memory: plan and shard. */
#include <math.h>

#include "cli/options/options.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- plan ---- */

static const struct cli_option plan_options[] = {
    {.name  = "model_path",
     .type  = CLI_PATH,
     .value = "DIR",
     .unset = "--preset",
     .help  = "model folder or repository id; only its config.json is read"},
    {.name  = "preset",
     .type  = CLI_STRING,
     .value = "NAME",
     .unset = "--model_path",
     .help  = "a published model's shape instead of a folder; all: a table of every preset",
     .text =
         "1B, 3B, 7B, 13B, 20B stand for Llama-3.2-1B, Llama-3.2-3B, Llama-2-7B, Llama-2-13B and "
         "InternLM2-20B. The others are named as their repositories: qwen2.5-0.5b, qwen2.5-7b, llama-3.1-8b "
         "and so on; an unknown name is answered with the list."},
    {.name      = "devices",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1024,
     .unset     = "those of --mesh_shape; 1 with auto",
     .help      = "devices that --mesh_shape auto may use"},
    {.name      = "device_memory_gb",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.001,
     .max       = 1048576,
     .unset     = "this machine's, shared by all devices",
     .help      = "memory of one device in GiB; exit code 1 with the reason when the plan does not fit",
     .text =
         "Without it all devices are taken to be in one process here: they share one copy of the weights, "
         "and the machine's memory must hold them all."},
    {.name     = "embedding",
     .type     = CLI_STRING,
     .choices  = "hidden|replicated|vocab",
     .fallback = "hidden",
     .help     = "how the embedding table is split over the model axis",
     .text = "By columns, not at all, or by rows. Decides specs, ranges and memory of devices with memory of "
             "their own; devices of one process map one table whatever this says."},
    {.name     = "kv_sharding",
     .type     = CLI_STRING,
     .choices  = "heads|sequence",
     .fallback = "heads",
     .help     = "how keys and values are split over the model axis",
     .text =
         "heads is what runs: a device holds the heads its queries read. sequence is the plan of holding all "
         "heads of every N-th span of 1,024 positions, for models with few key-value heads."},
    {.name      = "read_gbs",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.001,
     .max       = 1e9,
     .unset     = "no speed is predicted",
     .help      = "GB/s at which one device reads memory, while the others of its machine do too"},
    {.name      = "gflops",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.001,
     .max       = 1e9,
     .unset     = "no speed is predicted",
     .help      = "GFLOP/s of one device's matrix products, while the others work too"},
    {.name      = "link_gbs",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0.001,
     .max       = 1e9,
     .fallback  = "10",
     .help      = "GB/s between two devices, for the predicted speed"},
    {.name      = "link_us",
     .type      = CLI_FLOAT,
     .has_range = true,
     .min       = 0,
     .max       = 1e9,
     .fallback  = "2",
     .help      = "microseconds until a message arrives, for the predicted speed"},
    {.name = "measure",
     .type = CLI_FLAG,
     .help = "measure --read_gbs and --gflops here, with the threads of all devices at work"},
    {.name = "verify_sharding",
     .type = CLI_FLAG,
     .help = "print the PartitionSpec and the ranges of each parameter and check that they cover it"},
    {.name = "json", .type = CLI_FLAG, .help = "print JSON instead of a table"},
};
static const struct cli_group plan_group = {"Options", plan_options, COUNT(plan_options)};

const struct cli_command cli_plan = {
    .name    = "plan",
    .summary = "memory, traffic and speed of a model on a mesh, before anything is loaded",
    .text = "Says what each device needs for weights, keys and values, step buffers and logits, whether that "
            "fits, "
            "the largest batch and the longest sequence that would, the bytes that devices exchange for each "
            "token, "
            "and, from the rates of one device, the tokens per second to expect.\n\n"
            "What does not fit is refused with the numbers (exit code 1); a mesh is never made smaller in "
            "silence.",
    .groups = {&plan_group, &cli_mesh_group},
    .examples =
        {{"plan --model_path Qwen2.5-7B --mesh_shape 2 4 --batch_size 32 --max_model_len 8192 "
          "--device_memory_gb 16",
          "Does it fit?"},
         {"plan --preset 20B --devices 4 --device_memory_gb 32 --mesh_shape auto --max_model_len 4096 "
          "--batch_size 4",
          "Which mesh of 4 devices?"},
         {"plan --model_path Qwen2.5-0.5B --mesh_shape 1 2 --measure", "How fast will it be here?"}},
};

/* ---- shard ---- */

static const struct cli_option shard_options[] = {
    {.name     = "model_path",
     .type     = CLI_PATH,
     .required = true,
     .value    = "DIR",
     .help     = "model folder in Hugging Face layout, or the id of a repository in the hub cache"},
    {.name  = "output_dir",
     .type  = CLI_PATH,
     .value = "DIR",
     .unset = "needed, but with --verify",
     .help  = "where the packed weights go, with copies of config.json and the tokenizer's files"},
    {.name     = "dtype",
     .type     = CLI_STRING,
     .choices  = "bfloat16|float32",
     .fallback = "bfloat16",
     .help     = "the precision that the packed weights are for",
     .text =
         "A checkpoint in bfloat16 is packed without loss and serves both. Others are rounded for bfloat16, "
         "or kept as float32."},
    {.name    = "compress_weights",
     .type    = CLI_INT,
     .choices = "0|1",
     .unset   = "1 where this processor computes with such weights",
     .help    = "1: bfloat16 weights take three quarters of their bytes in the file",
     .text =
         "Without loss, so the results do not depend on it. They are mapped as they are, and fewer sequences "
         "at "
         "once are decoded faster, as with the option of the same name of other commands. A processor whose "
         "kernels do not compute with them expands them into memory of each process when it starts: choose 0 "
         "for that. Matrices that would not be smaller stay plain."},
    {.name      = "threads",
     .aliases   = "t",
     .type      = CLI_INT,
     .has_range = true,
     .min       = 1,
     .max       = 1024,
     .unset     = "all cores",
     .help      = "threads that pack or verify"},
    {.name = "verify",
     .type = CLI_FLAG,
     .help = "write nothing; recompute the checksum of every weight of a packed --model_path"},
};
static const struct cli_group shard_group = {"Options", shard_options, COUNT(shard_options)};

const struct cli_command cli_shard = {
    .name    = "shard",
    .summary = "write packed weights that later starts map instead of packing",
    .text = "One file, weights.trawl, in the layout that the kernels read. Panels do not depend on the mesh, "
            "so it "
            "serves every mesh shape, each rank touching its own ranges, and all processes of a host share "
            "its pages. "
            "The output folder is a model folder: give it as --model_path to any command. Results are the "
            "same bits as "
            "from the checkpoint.\n\n"
            "Memory in use while packing is bounded whatever the size of the model.",
    .groups   = {&shard_group},
    .examples = {{"shard --model_path Qwen2.5-7B --output_dir packed", "Pack."},
                 {"shard --model_path packed --verify", "Is the file still what was written?"}},
};
