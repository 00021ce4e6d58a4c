/* SPDX-License-Identifier: MIT */
/* Loading: a packed file is mapped; a checkpoint's tensors are found, checked and packed in parallel into one
 * allocation. */
#include "model/model_weights.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/size.h"
#include "model/model_compress.h"
#include "model/model_list.h"
#include "model/model_pack.h"
#include "model/model_packed.h"

struct packing {
    struct tw_model *model;
    struct tw_binding binding;
    struct tw_compressor compressor;
    struct tw_plain_groups *found; /* [n_threads]; NULL: panels stay plain */
    uint16_t **staging;            /* [n_threads] a piece that is to be compressed */
    _Atomic uint32_t next;         /* piece */
};

enum { FORGET_PIECES = 256 }; /* some 100 MiB */

/* Pack a piece of matrix `index`. */
static void pack_piece(struct packing *p, size_t index, size_t piece, int thread)
{
    const struct tw_weight *w = &p->binding.list->weights[index];
    size_t begin, end;
    tw_binding_panels_of(&p->binding, piece, &begin, &end);
    if (p->found == NULL) {
        const size_t at = w->first + begin * tw_panel_elements(w->columns);
        tw_binding_pack(&p->binding, piece,
                        (uint8_t *)p->model->panels + at * tw_dtype_bytes(p->binding.weight));
        return;
    }
    tw_binding_pack(&p->binding, piece, p->staging[thread]);
    tw_compressor_add(&p->compressor, index, begin, end, p->staging[thread],
                      (uint8_t *)p->model->panels + tw_compressor_place(&p->compressor, index, begin),
                      &p->found[thread]);
}

static void pack_main(void *arg, int thread, int n_threads)
{
    struct packing *p = arg;
    size_t n          = tw_binding_pieces(&p->binding);
    (void)n_threads;
    for (;;) {
        size_t piece = atomic_fetch_add(&p->next, 1);
        if (piece >= n) {
            return;
        }
        size_t index = tw_binding_weight_of(&p->binding, piece);
        if (index < p->binding.list->n) {
            pack_piece(p, index, piece, thread);
        } else {
            tw_binding_pack(&p->binding, piece, NULL);
        }
        if (piece % FORGET_PIECES == FORGET_PIECES - 1) {
            tw_safetensors_forget(p->model->files); /* or checkpoint and panels would both be resident */
        }
    }
}

static void point_into(struct packing *p, const struct tw_weight_list *list)
{
    struct tw_model *m = p->model;
    for (size_t i = 0; i < list->n; i++) {
        const struct tw_weight *w = &list->weights[i];
        if (!tw_weight_is_matrix(w)) {
            *w->vector = m->vectors + w->first;
        } else if (p->found != NULL) {
            w->linear->panels = (uint8_t *)m->panels + p->compressor.offset[i];
            w->linear->codes  = tw_compressor_codes(&p->compressor, i);
        } else {
            w->linear->panels = (uint8_t *)m->panels + w->first * tw_dtype_bytes(m->weight);
        }
    }
}

static trawl_status make_staging(struct packing *p, const struct tw_weight_list *list, int n_threads,
                                 struct trawl_error *err)
{
    size_t longest = 0;
    for (size_t i = 0; i < list->n; i++) {
        longest = tw_max_size(longest, list->weights[i].columns);
    }
    TW_TRY(tw_compressor_make(&p->compressor, list, err));
    TW_TRY(tw_alloc((size_t)n_threads, sizeof *p->staging, &p->staging, err));
    TW_TRY(tw_alloc((size_t)n_threads, sizeof *p->found, &p->found, err));
    for (int i = 0; i < n_threads; i++) {
        TW_TRY(tw_alloc(TW_PACK_PANELS * tw_panel_elements(longest), sizeof(uint16_t), &p->staging[i], err));
    }
    return TRAWL_OK;
}

static void free_staging(struct packing *p, int n_threads)
{
    for (int i = 0; i < n_threads; i++) {
        if (p->staging != NULL) {
            tw_free(p->staging[i]);
        }
        if (p->found != NULL) {
            tw_free(p->found[i].groups);
        }
    }
    tw_free(p->staging);
    tw_free(p->found);
    p->staging = NULL;
    p->found   = NULL;
    tw_compressor_release(&p->compressor);
}

/* All pieces, into a new allocation. */
static trawl_status pack_pieces(struct packing *p, const struct tw_weight_list *list, int n_threads,
                                struct trawl_error *err)
{
    struct tw_model *m = p->model;
    m->panels_bytes    = p->compressor.bytes;
    if (p->found == NULL &&
        !tw_size_mul(list->matrix_elements, tw_dtype_bytes(m->weight), &m->panels_bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: the weights do not fit in the address space", m->folder);
    }
    TW_TRY(tw_big_alloc(m->panels_bytes, &m->panels, err));
    struct tw_team *team = NULL;
    TW_TRY(tw_team_new(&team, n_threads, tw_wait_policy_for(n_threads), NULL, err));
    atomic_store(&p->next, 0);
    tw_team_run(team, pack_main, p);
    tw_team_free(team);
    return TRAWL_OK;
}

/* Compressed, unless the weights are such that nothing is gained; then everything is packed once more. */
static trawl_status pack_compressed(struct packing *p, const struct tw_weight_list *list, int n_threads,
                                    struct trawl_error *err)
{
    struct tw_model *m  = p->model;
    bool worth          = false;
    size_t n_plain      = 0;
    trawl_status status = make_staging(p, list, n_threads, err);
    if (status == TRAWL_OK) {
        status = pack_pieces(p, list, n_threads, err);
    }
    if (status == TRAWL_OK) {
        status = tw_compressor_count(p->found, (size_t)n_threads, &n_plain, err);
        worth  = status == TRAWL_OK && tw_compressor_pays(&p->compressor, n_plain);
    }
    if (status == TRAWL_OK && worth) {
        status = tw_compressor_finish(&p->compressor, p->found, (size_t)n_threads, err);
    }
    if (status == TRAWL_OK && worth) {
        status = tw_alloc(1, sizeof *m->compression, &m->compression, err);
    }
    if (status == TRAWL_OK && worth) {
        point_into(p, list);
        *m->compression    = p->compressor.made;
        m->codes_bytes     = tw_compression_bytes(m->compression);
        p->compressor.made = (struct tw_compression){0};
    }
    free_staging(p, n_threads);
    if (status != TRAWL_OK || worth) {
        return status;
    }
    tw_big_free(m->panels, m->panels_bytes);
    m->panels = NULL;
    return pack_pieces(p, list, n_threads, err);
}

static trawl_status pack_all(struct packing *p, const struct tw_weight_list *list, bool compress,
                             int n_threads, const struct tw_log *log, struct trawl_error *err)
{
    struct tw_model *m = p->model;
    TW_TRY(tw_binding_make(&p->binding, list, &m->config, m->files, m->compute, err));
    m->weight      = p->binding.weight;
    m->embed       = p->binding.embed->data;
    m->embed_dtype = p->binding.embed->dtype;
    TW_TRY(tw_alloc(list->floats, sizeof *m->vectors, &m->vectors, err));
    tw_binding_copy_vectors(&p->binding, m->vectors);
    if (compress && m->weight == TW_DTYPE_BF16) {
        TW_TRY(pack_compressed(p, list, n_threads, err));
    } else {
        TW_TRY(pack_pieces(p, list, n_threads, err));
    }
    if (m->compression == NULL) {
        point_into(p, list);
    }
    tw_binding_warn(&p->binding, m->files, log);
    m->fingerprint = tw_binding_fingerprint(&p->binding, m->vectors);
    return TRAWL_OK;
}

/* ---- the model ---- */

/* What changes a result beside the weights: attention's shape, the norms' epsilon, the angles of positions. */
static uint64_t identity_of(const struct tw_model *m)
{
    const struct tw_model_config *c = &m->config;
    const uint64_t facts[]          = {
                 m->fingerprint,
                 (uint64_t)c->family,
                 c->n_heads,
                 c->n_kv_heads,
                 c->head_dim,
                 tw_hash64(&c->rms_eps, sizeof c->rms_eps),
                 tw_hash64(&c->rope_magnitude, sizeof c->rope_magnitude),
                 tw_hash64(m->inverse_frequency, c->head_dim / 2 * sizeof *m->inverse_frequency)};
    return tw_hash64(facts, sizeof facts);
}

static trawl_status load(struct tw_model *m, struct tw_weight_list *list, const char *folder, bool compress,
                         int n_threads, const struct tw_log *log, struct trawl_error *err)
{
    TW_TRY(tw_strdup(folder, &m->folder, err));
    TW_TRY(tw_model_config_read(&m->config, folder, err));
    TW_TRY(tw_alloc(m->config.head_dim / 2, sizeof *m->inverse_frequency, &m->inverse_frequency, err));
    tw_model_config_rope(&m->config, m->inverse_frequency);
    TW_TRY(tw_alloc(m->config.n_layers, sizeof *m->layers, &m->layers, err));
    TW_TRY(tw_weight_list_make(list, m, err));
    bool packed = false;
    TW_TRY(tw_packed_present(folder, &packed, err));
    if (packed) {
        return tw_packed_open(m, list, compress, n_threads, log, err);
    }
    TW_TRY(tw_safetensors_open(&m->files, folder, err));
    struct packing packing = {.model = m};
    trawl_status status    = pack_all(&packing, list, compress, n_threads, log, err);
    tw_binding_release(&packing.binding);
    tw_safetensors_forget(m->files); /* only embedding rows are read from now on */
    return status;
}

trawl_status tw_model_load(struct tw_model **out, const char *folder, enum tw_dtype compute, bool compress,
                           int n_threads, const struct tw_log *log, struct trawl_error *err)
{
    struct tw_model *m         = NULL;
    struct tw_weight_list list = {.status = TRAWL_OK};
    *out                       = NULL;
    TW_TRY(tw_alloc(1, sizeof *m, &m, err));
    m->compute          = compute;
    m->weight           = TW_DTYPE_BF16;
    trawl_status status = load(m, &list, folder, compress, n_threads, log, err);
    tw_weight_list_release(&list);
    m->identity = status == TRAWL_OK ? identity_of(m) : 0;
    if (status != TRAWL_OK) {
        tw_model_free(m);
        return status;
    }
    *out = m;
    return TRAWL_OK;
}

void tw_model_free(struct tw_model *m)
{
    if (m == NULL) {
        return;
    }
    tw_safetensors_close(m->files);
    tw_mapped_file_close(&m->packed);
    tw_big_free(m->panels, m->panels_bytes);
    if (m->compression != NULL) {
        tw_compression_release(m->compression);
    }
    tw_free(m->compression);
    tw_free(m->vectors);
    tw_free(m->layers);
    tw_free(m->inverse_frequency);
    tw_free(m->folder);
    tw_free(m);
}

size_t tw_model_weights_bytes(const struct tw_model *m)
{
    return m->panels_bytes + m->codes_bytes;
}

void tw_model_embed(const struct tw_model *m, const struct tw_kernels *k, int32_t token, float *x)
{
    size_t n            = m->config.hidden;
    const uint8_t *from = m->embed + (size_t)token * n * tw_dtype_bytes(m->embed_dtype);
    if (m->embed_dtype == TW_DTYPE_BF16) {
        k->widen(x, (const uint16_t *)(const void *)from, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        if (m->embed_dtype == TW_DTYPE_F32) {
            memcpy(&x[i], from + 4 * i, 4);
        } else {
            memcpy(&half, from + 2 * i, 2);
            x[i] = tw_f16_to_f32(half);
        }
        if (m->compute == TW_DTYPE_BF16) {
            x[i] = tw_bf16_to_f32(tw_bf16_from_f32(x[i]));
        }
    }
}
