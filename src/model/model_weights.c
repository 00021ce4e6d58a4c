/* SPDX-License-Identifier: MIT */
/* Loading: a packed file is mapped; a checkpoint's tensors are found, checked and packed in parallel into one
 * allocation. */
#include "model/model_weights.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "model/model_list.h"
#include "model/model_pack.h"
#include "model/model_packed.h"

struct packing {
    struct tw_model *model;
    struct tw_binding binding;
    _Atomic uint32_t next; /* piece */
};

enum { FORGET_PIECES = 256 }; /* some 100 MiB */

static void pack_main(void *arg, int thread, int n_threads)
{
    struct packing *p = arg;
    size_t n          = tw_binding_pieces(&p->binding);
    (void)thread;
    (void)n_threads;
    for (;;) {
        size_t piece = atomic_fetch_add(&p->next, 1);
        if (piece >= n) {
            return;
        }
        size_t index = tw_binding_weight_of(&p->binding, piece);
        void *to     = NULL;
        if (index < p->binding.list->n) {
            const struct tw_weight *w = &p->binding.list->weights[index];
            size_t begin, end;
            tw_binding_panels_of(&p->binding, piece, &begin, &end);
            to = (uint8_t *)p->model->panels +
                 (w->first + begin * tw_panel_elements(w->columns)) * tw_dtype_bytes(p->binding.weight);
        }
        tw_binding_pack(&p->binding, piece, to);
        if (piece % FORGET_PIECES == FORGET_PIECES - 1) {
            tw_safetensors_forget(p->model->files); /* or checkpoint and panels would both be resident */
        }
    }
}

static void point_into(struct tw_model *m, const struct tw_weight_list *list)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct tw_weight *w = &list->weights[i];
        if (tw_weight_is_matrix(w)) {
            w->linear->panels = (uint8_t *)m->panels + w->first * tw_dtype_bytes(m->weight);
        } else {
            *w->vector = m->vectors + w->first;
        }
    }
}

static trawl_status pack_all(struct packing *p, const struct tw_weight_list *list, int n_threads,
                             const struct tw_log *log, struct trawl_error *err)
{
    struct tw_model *m = p->model;
    TW_TRY(tw_binding_make(&p->binding, list, &m->config, m->files, m->compute, err));
    m->weight      = p->binding.weight;
    m->embed       = p->binding.embed->data;
    m->embed_dtype = p->binding.embed->dtype;
    if (!tw_size_mul(list->matrix_elements, tw_dtype_bytes(m->weight), &m->panels_bytes)) {
        return tw_fail(err, TRAWL_ERR_LIMIT, "%s: the weights do not fit in the address space", m->folder);
    }
    TW_TRY(tw_big_alloc(m->panels_bytes, &m->panels, err));
    TW_TRY(tw_alloc(list->floats, sizeof *m->vectors, &m->vectors, err));
    tw_binding_copy_vectors(&p->binding, m->vectors);
    point_into(m, list);
    struct tw_team *team = NULL;
    TW_TRY(tw_team_new(&team, n_threads, tw_wait_policy_for(n_threads), NULL, err));
    tw_team_run(team, pack_main, p);
    tw_team_free(team);
    tw_binding_warn(&p->binding, log);
    m->fingerprint = tw_binding_fingerprint(&p->binding, m->vectors);
    return TRAWL_OK;
}

/* ---- the model ---- */

static trawl_status load(struct tw_model *m, struct tw_weight_list *list, const char *folder, int n_threads,
                         const struct tw_log *log, struct trawl_error *err)
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
        return tw_packed_open(m, list, log, err);
    }
    TW_TRY(tw_safetensors_open(&m->files, folder, err));
    struct packing packing = {.model = m};
    trawl_status status    = pack_all(&packing, list, n_threads, log, err);
    tw_binding_release(&packing.binding);
    tw_safetensors_forget(m->files); /* only embedding rows are read from now on */
    return status;
}

trawl_status tw_model_load(struct tw_model **out, const char *folder, enum tw_dtype compute, int n_threads,
                           const struct tw_log *log, struct trawl_error *err)
{
    struct tw_model *m         = NULL;
    struct tw_weight_list list = {.status = TRAWL_OK};
    *out                       = NULL;
    TW_TRY(tw_alloc(1, sizeof *m, &m, err));
    m->compute          = compute;
    m->weight           = TW_DTYPE_BF16;
    trawl_status status = load(m, &list, folder, n_threads, log, err);
    tw_weight_list_release(&list);
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
    tw_free(m->vectors);
    tw_free(m->layers);
    tw_free(m->inverse_frequency);
    tw_free(m->folder);
    tw_free(m);
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
