/* SPDX-License-Identifier: MIT */
/* Folders whose checksums are right and whose contents are not: what tw_store_verify finds beyond damaged files. */
#include "support/test.h"

#include <math.h>

#include "base/alloc.h"
#include "base/file.h"
#include "store/store_chunk.h"
#include "store/store_job.h"
#include "store/store_manifest.h"
#include "store/store_scan.h"
#include "store/store_survey.h"
#include "json/json.h"

#define CHUNK(site) "activations/" site "/shard-00000-chunk-00000002.safetensors"

typedef void alter_fn(struct tw_manifest_record *r);

/* A manifest written again, record by record. */
struct forge {
    const char *dir;
    struct tw_journal *out;
    struct tw_journal_scan scan;
    alter_fn *alter;
    uint64_t group; /* groups committed so far */
};

static void commit_until(struct forge *f, uint64_t group)
{
    struct trawl_error err = {0};
    for (; f->group < group; f->group++) {
        const struct tw_journal_group *g = &f->scan.groups[f->group];
        assert_ok(tw_journal_commit(f->out, g->first, g->end, &err));
    }
}

static trawl_status forge_record(void *user, uint64_t group, const struct tw_manifest_record *record,
                                 struct trawl_error *err)
{
    struct forge *f             = user;
    struct tw_manifest_record r = *record;
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/%s", f->dir, r.file);
    commit_until(f, group - 1);
    if (r.site != NULL || group == f->scan.n_groups) { /* older statistics are gone */
        TW_TRY(tw_chunk_checksum(path, &r.bytes, &r.xxh3, err));
    }
    if (f->alter != NULL && r.site != NULL) {
        f->alter(&r);
    }
    return tw_manifest_add(f->out, &r, err);
}

static trawl_status forge_line(void *user, uint64_t group, const char *text, size_t n,
                               struct trawl_error *err)
{
    return tw_manifest_parse(text, n, "manifest", group, forge_record, user, err);
}

static trawl_status pass_line(void *user, uint64_t group, const char *text, size_t n, struct trawl_error *err)
{
    (void)user, (void)group, (void)text, (void)n, (void)err;
    return TRAWL_OK;
}

/* Make the manifest fit the files as they are now, each record changed by `alter`. */
static void forge(struct scratch *s, alter_fn *alter)
{
    struct trawl_error err = {0};
    struct tw_setting settings[16];
    struct tw_journal_scan again = {0};
    char dir[900], old[1024], new[1024];
    size_t n = 0;
    const char *key;
    json_t *value;
    (void)snprintf(dir, sizeof dir, "%s/activations", s->dir);
    (void)snprintf(old, sizeof old, "%s/manifest.jsonl", dir);
    (void)snprintf(new, sizeof new, "%s/forged", dir);
    struct forge f = {.dir = dir, .alter = alter};
    assert_ok(tw_journal_read(&f.scan, old, "activations", pass_line, NULL, &err));
    json_object_foreach(f.scan.run, key, value)
    {
        settings[n++] = (struct tw_setting){key, json_string_value(value)};
    }
    const struct tw_journal_config config = {
        .path = new, .kind = "activations", .settings = settings, .n_settings = n};
    assert_ok(tw_journal_open(&config, &f.out, &err));
    assert_ok(tw_journal_read(&again, old, "activations", forge_line, &f, &err));
    commit_until(&f, f.scan.n_groups);
    tw_journal_close(f.out);
    tw_journal_scan_release(&again);
    tw_journal_scan_release(&f.scan);
    assert_int_equal(rename(new, old), 0);
}

static void flip(const char *path, long at, int bits)
{
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    assert_true(fputc(c ^ bits, f) != EOF);
    assert_int_equal(fclose(f), 0);
}

static void write_store(struct scratch *s, enum tw_store_format format)
{
    struct trawl_error err = {0};
    struct job job         = job_default(s->dir);
    job.format             = format;
    job.dtype              = format == TW_STORE_PKL ? TW_DTYPE_F32 : TW_DTYPE_BF16;
    assert_ok(job_run(&job, UINT64_MAX, &err));
}

/* At least one problem, and one that says so; "": none at all. */
static void expect(struct scratch *s, const char *says)
{
    struct trawl_error err = {0};
    struct tw_store_check check;
    struct tw_str report;
    char dir[1024];
    (void)snprintf(dir, sizeof dir, "%s/activations", s->dir);
    tw_str_init(&report, 0);
    assert_ok(tw_store_verify(dir, &check, &report, &err));
    if (says[0] == '\0') {
        assert_string_equal(tw_str_text(&report), "");
        assert_true(check.content);
    } else if (strstr(tw_str_text(&report), says) == NULL) {
        fail_msg("expected \"%s\", got: %s", says, tw_str_text(&report));
    }
    assert_int_equal(check.problems > 0, says[0] != '\0');
    tw_str_release(&report);
}

static void forging_alone_is_not_seen(void **state)
{
    write_store(*state, TW_STORE_SAFETENSORS);
    forge(*state, NULL);
    expect(*state, "");
}

static void rows_that_the_statistics_do_not_know(void **state)
{
    struct scratch *s = *state;
    write_store(s, TW_STORE_SAFETENSORS);
    flip(scratch_path(s, CHUNK("blocks.1.hook_resid_post")), TW_CHUNK_HEADER_BYTES + 10, 4);
    forge(s, NULL);
    expect(s, "statistics.safetensors: not the statistics of the rows that are stored");
    expect(s, "metadata.json: the figures of its sites are not those of the rows");
}

static void columns_that_differ_between_sites(void **state)
{
    struct scratch *s = *state;
    write_store(s, TW_STORE_SAFETENSORS);
    flip(scratch_path(s, CHUNK("blocks.1.attn.hook_z")), -1, 1); /* the last byte is of is_generated */
    forge(s, NULL);
    expect(s, "column \"is_generated\" is not that of blocks.1.hook_resid_post");
}

static void a_header_of_another_run(void **state)
{
    struct scratch *s = *state;
    char *text        = NULL;
    size_t size       = 0;
    struct trawl_error err;
    write_store(s, TW_STORE_SAFETENSORS);
    assert_ok(tw_file_read(scratch_path(s, CHUNK("blocks.1.hook_resid_post")), 1 << 20, &text, &size, &err));
    char *hash = memmem(text, size, "\"run_hash\": \"", 13);
    assert_non_null(hash);
    flip(scratch_path(s, CHUNK("blocks.1.hook_resid_post")), hash + 13 - text, 1);
    tw_free(text);
    forge(s, NULL);
    expect(s, "its header has run_hash \"");
}

static void next_chunk(struct tw_manifest_record *r)
{
    r->chunk += r->chunk > 1;
}

static void more_rows(struct tw_manifest_record *r)
{
    r->rows += r->chunk == 2;
}

static void other_requests(struct tw_manifest_record *r)
{
    r->end += r->chunk == 1 && r->first == 0;
    r->requests = r->end - r->first;
}

static void beyond_the_group(struct tw_manifest_record *r)
{
    r->end += r->chunk == 2 ? 20 : 0;
}

static void manifests_that_contradict_the_files(void **state)
{
    static const struct {
        alter_fn *alter;
        const char *says;
    } cases[] = {
        {next_chunk, "shard-00000-chunk-00000002.safetensors is chunk 3 of its site, expected 2"},
        {more_rows, "tensor \"activation\" has not the shape and dtype"},
        {other_requests, "requests with"},
        {beyond_the_group, "its group those from 0 to 2"},
    };
    struct scratch *s = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trawl_error err;
        struct scratch one;
        (void)snprintf(one.dir, sizeof one.dir, "%.40s/%zu", s->dir, i);
        assert_ok(tw_make_dirs(one.dir, &err));
        write_store(&one, TW_STORE_SAFETENSORS);
        forge(&one, cases[i].alter);
        expect(&one, cases[i].says);
    }
}

static void fewer_entries(struct tw_manifest_record *r)
{
    if (r->chunk == 1) {
        r->end--;
        r->requests--;
    }
}

static void pickles_with_more_entries_than_told(void **state)
{
    write_store(*state, TW_STORE_PKL);
    expect(*state, "");
    forge(*state, fewer_entries);
    expect(*state, "has more entries than manifest.jsonl says");
}

static void metadata_of_another_run(void **state)
{
    static const char *const cases[][3] = {
        {"\"n_samples\": ", "\"n_samples\": 1", "its list of files"},
        {"\"groups\": ", "\"groups\": 1", "its number of groups or its end"},
        {"\"dtype\": \"bfloat16", "\"dtype\": \"xfloat16", "its format, dtype"}};
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    char *text             = NULL;
    size_t size            = 0;
    write_store(s, TW_STORE_SAFETENSORS);
    assert_ok(tw_file_read(scratch_path(s, "activations/metadata.json"), 1 << 20, &text, &size, &err));
    for (size_t i = 0; i < 3; i++) {
        const char *at = strstr(text, cases[i][0]);
        struct tw_str changed;
        tw_str_init(&changed, 0);
        assert_ok(tw_str_append(&changed, text, (size_t)(at - text), &err));
        assert_ok(tw_str_puts(&changed, cases[i][1], &err));
        assert_ok(tw_str_puts(&changed, at + strlen(cases[i][0]), &err));
        write_file(scratch_path(s, "activations/metadata.json"), changed.data, changed.size);
        expect(s, cases[i][2]);
        tw_str_release(&changed);
    }
    write_file(scratch_path(s, "activations/metadata.json"), text, size);
    expect(s, "");
    tw_free(text);
}

/* ---- the survey, against sums over what was put in ---- */

static void figures_by_brute_force(void **state)
{
    struct scratch *s      = *state;
    struct trawl_error err = {0};
    struct tw_survey survey;
    struct job job = job_default(s->dir);
    job.dtype      = TW_DTYPE_F32;
    assert_ok(job_run(&job, UINT64_MAX, &err));
    assert_ok(tw_survey_make(&survey, scratch_path(s, "activations"), 0, &err));
    assert_int_equal(survey.n_sites, JOB_SITES);
    for (size_t site = 0; site < JOB_SITES; site++) {
        size_t width     = job_sites[site].width;
        uint64_t rows[8] = {0};
        double sums[8] = {0}, squares = 0, mean[JOB_MAX_WIDTH] = {0}, total = 0;
        for (uint64_t id = 0; id < job.n_requests; id++) {
            float values[JOB_MAX_ROWS * JOB_MAX_WIDTH];
            job_fill(id, site, values, job_rows(id) * width);
            for (size_t r = 0; r < job_rows(id); r++) {
                size_t bin    = 0;
                double square = 0;
                while ((size_t)1 << bin <= r) {
                    bin++;
                }
                for (size_t j = 0; j < width; j++) {
                    double v = (double)values[r * width + j];
                    square += v * v;
                    mean[j] += v;
                }
                rows[bin]++;
                sums[bin] += sqrt(square);
                squares += square;
                total++;
            }
        }
        double fraction = 0;
        for (size_t j = 0; j < width; j++) {
            fraction += mean[j] / total * (mean[j] / total);
        }
        const struct tw_survey_site *got = &survey.sites[site];
        for (size_t b = 0; b < 8; b++) {
            assert_int_equal(got->bins[b].rows, rows[b]);
            assert_true(fabs(got->bins[b].norm_sum - sums[b]) <= 1e-12 * sums[b]);
        }
        assert_true(fabs(got->rms_norm - sqrt(squares / total)) < 1e-12 * got->rms_norm);
        assert_true(fabs(got->mean_fraction - fraction / (squares / total)) < 1e-12);
        for (size_t k = 1; k < got->n_outliers; k++) {
            assert_true(got->outliers[k - 1].ratio >= got->outliers[k].ratio);
        }
        assert_int_equal(got->n_outliers, width < TW_SURVEY_OUTLIERS ? width : TW_SURVEY_OUTLIERS);
    }
    tw_survey_release(&survey);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        scratch_test(forging_alone_is_not_seen),
        scratch_test(rows_that_the_statistics_do_not_know),
        scratch_test(columns_that_differ_between_sites),
        scratch_test(a_header_of_another_run),
        scratch_test(manifests_that_contradict_the_files),
        scratch_test(pickles_with_more_entries_than_told),
        scratch_test(metadata_of_another_run),
        scratch_test(figures_by_brute_force),
    };
    return cmocka_run_group_tests_name("store verify", tests, NULL, NULL);
}
