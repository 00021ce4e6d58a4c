/* SPDX-License-Identifier: MIT */
/* What this build, this machine and a model are. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <hwloc.h>
#include <inttypes.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <utf8proc.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/thread.h"
#include "cli/cmd.h"
#include "cli/info_facts.h"
#include "cli/model_folder.h"
#include "cli/terminal.h"
#include "kernels/kernels.h"
#include "trawl/trawl.h"
#include "json/json.h"

/* ---- build ---- */

static void put_build(struct cli_facts *facts)
{
    char pcre2[64] = "";
    (void)pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    pcre2[strcspn(pcre2, " ")] = '\0';
    unsigned hwloc             = hwloc_get_api_version();
    unsigned xxhash            = XXH_versionNumber();
    cli_facts_section(facts, "build");
    cli_facts_text(facts, "version", "%s", cli_version());
#ifdef __clang__
    cli_facts_text(facts, "compiler", "%s", __VERSION__);
#else
    cli_facts_text(facts, "compiler", "gcc %s", __VERSION__);
#endif
    cli_facts_text(facts, "jansson", "%s", jansson_version_str());
    cli_facts_text(facts, "pcre2", "%s", pcre2);
    cli_facts_text(facts, "utf8proc", "%s", utf8proc_version());
    cli_facts_text(facts, "hwloc_api", "%u.%u", hwloc >> 16, hwloc >> 8 & 0xffu);
    char mpi[512];
    struct trawl_error no_mpi;
    bool has_mpi = trawl_world_transport(mpi, sizeof mpi, &no_mpi) == TRAWL_OK;
    cli_facts_text(facts, "mpi", "%s", has_mpi ? mpi : no_mpi.message);
    cli_facts_text(facts, "xxhash", "%u.%u.%u", xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
}

/* ---- machine ---- */

static trawl_status put_kernels(struct cli_facts *facts, struct trawl_error *err)
{
    static const char *const levels[] = {"scalar", "avx2", "avx512", "avx512bf16"};
    struct tw_kernels kernels;
    char names[64] = "";
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        size_t used = strlen(names);
        if (tw_kernels_init(&kernels, levels[i], NULL) == TRAWL_OK) {
            (void)snprintf(names + used, sizeof names - used, "%s%s", used ? " " : "", levels[i]);
        }
    }
    TW_TRY(tw_kernels_init(&kernels, getenv("TRAWL_ISA"), err));
    cli_facts_text(facts, "isa_levels", "%s", names);
    cli_facts_text(facts, "isa", "%s", kernels.isa);
    cli_facts_text(facts, "bfloat16_matmul", "%s", kernels.bf16_dot ? "dot product" : "fused multiply-add");
    return TRAWL_OK;
}

/* "MemTotal:  16384 kB" -> bytes; 0 when there is no such line. */
static uint64_t read_meminfo(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

static void put_memory(struct cli_facts *facts)
{
    char *text = NULL;
    size_t size;
    if (tw_file_read("/proc/meminfo", 1 << 20, &text, &size, NULL) == TRAWL_OK) {
        cli_facts_bytes(facts, "memory", read_meminfo(text, "MemTotal:"));
        cli_facts_bytes(facts, "memory_available", read_meminfo(text, "MemAvailable:"));
        tw_free(text);
    }
    text = NULL;
    if (tw_file_read("/sys/fs/cgroup/memory.max", 4096, &text, &size, NULL) == TRAWL_OK) {
        if (strncmp(text, "max", 3) != 0) {
            cli_facts_bytes(facts, "memory_limit", strtoull(text, NULL, 10));
        }
        tw_free(text);
    }
}

static void put_caches(struct cli_facts *facts, hwloc_topology_t topology)
{
    static const struct {
        const char *name;
        hwloc_obj_type_t type;
    } caches[] = {{"l1d", HWLOC_OBJ_L1CACHE}, {"l2", HWLOC_OBJ_L2CACHE}, {"l3", HWLOC_OBJ_L3CACHE}};
    for (size_t i = 0; i < sizeof caches / sizeof caches[0]; i++) {
        hwloc_obj_t cache = hwloc_get_obj_by_type(topology, caches[i].type, 0);
        if (cache) {
            cli_facts_bytes(facts, caches[i].name, cache->attr->cache.size);
        }
    }
}

static void put_topology(struct cli_facts *facts)
{
    hwloc_topology_t topology;
    if (hwloc_topology_init(&topology) != 0) {
        return;
    }
    if (hwloc_topology_load(topology) == 0) {
        hwloc_obj_t package = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PACKAGE, 0);
        const char *model   = package ? hwloc_obj_get_info_by_name(package, "CPUModel") : NULL;
        if (model) {
            cli_facts_text(facts, "cpu", "%s", model);
        }
        cli_facts_count(facts, "packages", hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PACKAGE));
        cli_facts_count(facts, "numa_nodes", hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_NUMANODE));
        cli_facts_count(facts, "cores", hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE));
        cli_facts_count(facts, "hardware_threads", hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU));
        put_caches(facts, topology);
    }
    hwloc_topology_destroy(topology);
}

static trawl_status put_machine(struct cli_facts *facts, struct trawl_error *err)
{
    struct utsname name;
    cli_facts_section(facts, "machine");
    if (uname(&name) == 0) {
        cli_facts_text(facts, "system", "%s %s %s", name.sysname, name.release, name.machine);
    }
    put_topology(facts);
    cli_facts_count(facts, "cores_usable", tw_cores_available());
    put_memory(facts);
    return put_kernels(facts, err);
}

/* ---- model ---- */

static trawl_status put_config(struct cli_facts *facts, const json_t *config, const char *path,
                               struct trawl_error *err)
{
    static const char *const numbers[] = {
        "hidden_size",         "intermediate_size", "num_hidden_layers",      "num_attention_heads",
        "num_key_value_heads", "vocab_size",        "max_position_embeddings"};
    const char *type = NULL;
    bool tied        = false;
    TW_TRY(tw_json_get_string(config, "model_type", path, &type, err));
    TW_TRY(tw_json_get_bool(config, "tie_word_embeddings", path, &tied, err));
    cli_facts_text(facts, "model_type", "%s", type ? type : "not named");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        int64_t value = -1;
        TW_TRY(tw_json_get_int(config, numbers[i], path, &value, err));
        if (value >= 0) {
            cli_facts_count(facts, numbers[i], value);
        }
    }
    cli_facts_text(facts, "tie_word_embeddings", "%s", tied ? "true" : "false");
    return TRAWL_OK;
}

static trawl_status put_model(struct cli_facts *facts, const char *model_path, struct trawl_error *err)
{
    char *folder = NULL, *path = NULL;
    json_t *config = NULL;
    TW_TRY(cli_model_folder(model_path, &folder, err));
    trawl_status status = tw_path_join(folder, "config.json", &path, err);
    if (status == TRAWL_OK) {
        status = tw_json_parse_file(path, 0, &config, err);
    }
    if (status == TRAWL_OK) {
        cli_facts_section(facts, "model");
        cli_facts_text(facts, "folder", "%s", folder);
        status = put_config(facts, config, path, err);
    }
    json_decref(config);
    tw_free(path);
    tw_free(folder);
    return status;
}

int cmd_info(const struct cli_args *args, struct trawl_error *err)
{
    struct cli_facts facts;
    struct tw_str text;
    tw_str_init(&text, 0);
    trawl_status status =
        cli_facts_init(&facts, cli_get_flag(args, "json"), cli_use_color(stdout), &text, err);
    if (status == TRAWL_OK) {
        put_build(&facts);
        status = put_machine(&facts, err);
    }
    if (status == TRAWL_OK && cli_given(args, "model_path")) {
        status = put_model(&facts, cli_get_string(args, "model_path"), err);
    }
    if (status == TRAWL_OK) {
        status = cli_facts_finish(&facts, err);
    }
    if (status == TRAWL_OK) {
        status = cli_write(tw_str_text(&text), text.size, err);
    }
    cli_facts_release(&facts);
    tw_str_release(&text);
    return cli_exit_code(status);
}
