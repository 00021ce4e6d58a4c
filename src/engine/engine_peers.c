/* SPDX-License-Identifier: MIT */
#include "engine/engine_peers.h"

#include <string.h>

#include "base/alloc.h"
#include "base/size.h"
#include "comm/message/comm_message.h"
#include "engine/engine_int.h"

/* A step as bytes: head, segments, tokens, rows whose logits are wanted, pages of the segments one after
 * another, page copies, then of the segments with a mask their blocks, one after another, and their bits. */
struct step_head {
    uint64_t bytes; /* of all of it; 0: the run is over */
    uint64_t n_visible;
    uint32_t n_rows, n_segments, n_logit_rows, n_captures, n_pages, n_copies, n_blocks, shallow;
};
struct step_segment {
    uint64_t position;
    uint32_t n_rows, n_pages;
    uint32_t n_blocks; /* 0: no mask */
    uint8_t entropies, masses, unused[2];
};

/* The first broadcast of a step: most decoding steps fit, so they cost one. */
enum { FIRST_BYTES = 4096 };

trawl_status tw_peers_init(struct tw_replica *r, struct trawl_error *err)
{
    const struct tw_engine_config *c = &r->engine->config;
    const struct tw_place *place     = &r->engine->place;
    struct tw_peers *p               = &r->peers;
    struct tw_mesh_model m           = tw_model_config_mesh(&r->engine->model->config, c->tree_leaves);
    if (place->peers == 1) {
        return TRAWL_OK;
    }
    TW_TRY(tw_alloc((size_t)place->peers, sizeof *p->first, &p->first, err));
    TW_TRY(tw_alloc((size_t)place->peers, sizeof *p->last, &p->last, err));
    TW_TRY(tw_alloc((size_t)place->peers, sizeof *p->sizes, &p->sizes, err));
    TW_TRY(tw_grow(&p->step, &p->step_capacity, FIRST_BYTES, 1, err));
    memset(p->step, 0, FIRST_BYTES);
    for (int i = 0; i < place->peers; i++) {
        p->first[i] = tw_mesh_shard_of(&m, c->mesh.model, i * place->n_devices);
        p->last[i]  = tw_mesh_shard_of(&m, c->mesh.model, (i + 1) * place->n_devices - 1);
    }
    return tw_comm_message_new(c->world->wire, place->rank - place->peer, 1, place->peers, &p->comm, err);
}

void tw_peers_release(struct tw_peers *p)
{
    tw_comm_free(p->comm);
    tw_free(p->first);
    tw_free(p->last);
    tw_free(p->step);
    tw_free(p->pages);
    tw_free(p->block);
    tw_free(p->sizes);
    *p = (struct tw_peers){0};
}

/* ---- steps ---- */

static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    return to + n;
}

static const uint8_t *get(void *to, const uint8_t *from, size_t n)
{
    if (n > 0) {
        memcpy(to, from, n);
    }
    return from + n;
}

trawl_status tw_peers_send_step(struct tw_replica *r, struct trawl_error *err)
{
    struct tw_peers *p         = &r->peers;
    const struct tw_step *step = &r->step;
    struct step_head head      = {.n_rows       = (uint32_t)step->n_rows,
                                  .n_segments   = (uint32_t)step->n_segments,
                                  .n_logit_rows = (uint32_t)step->n_logit_rows,
                                  .n_captures   = (uint32_t)step->n_captures,
                                  .n_copies     = (uint32_t)step->n_copies,
                                  .n_blocks     = (uint32_t)r->masks.n_blocks,
                                  .n_visible    = r->masks.n_visible,
                                  .shallow      = step->shallow};
    for (size_t i = 0; i < step->n_segments; i++) {
        head.n_pages += (uint32_t)tw_segment_pages(&step->segments[i]);
    }
    head.bytes = sizeof head + step->n_segments * sizeof(struct step_segment) +
                 (step->n_rows + step->n_logit_rows + head.n_pages) * sizeof(uint32_t) +
                 step->n_copies * sizeof *step->copies + head.n_blocks * sizeof *r->masks.blocks +
                 head.n_visible * sizeof *r->masks.visible;
    trawl_status status = tw_grow(&p->step, &p->step_capacity, head.bytes, 1, err);
    if (status != TRAWL_OK) {
        tw_comm_abort(p->comm, err);
        return status;
    }
    uint8_t *to = put(p->step, &head, sizeof head);
    for (size_t i = 0; i < step->n_segments; i++) {
        const struct tw_segment *s = &step->segments[i];
        struct step_segment g      = {.position  = s->position,
                                      .n_rows    = (uint32_t)s->n_rows,
                                      .n_pages   = (uint32_t)tw_segment_pages(s),
                                      .n_blocks  = (uint32_t)s->n_blocks,
                                      .entropies = s->entropies,
                                      .masses    = s->masses};
        to                         = put(to, &g, sizeof g);
    }
    to = put(to, step->tokens, step->n_rows * sizeof *step->tokens);
    to = put(to, step->logit_rows, step->n_logit_rows * sizeof *step->logit_rows);
    for (size_t i = 0; i < step->n_segments; i++) {
        to = put(to, step->segments[i].pages, tw_segment_pages(&step->segments[i]) * sizeof(uint32_t));
    }
    if (step->n_copies > 0) {
        to = put(to, step->copies, step->n_copies * sizeof *step->copies);
    }
    if (head.n_blocks > 0) {
        to = put(to, r->masks.blocks, head.n_blocks * sizeof *r->masks.blocks);
        (void)put(to, r->masks.visible, head.n_visible * sizeof *r->masks.visible);
    }
    TW_TRY(tw_comm_bcast(p->comm, 0, p->step, FIRST_BYTES, err));
    return head.bytes <= FIRST_BYTES
               ? TRAWL_OK
               : tw_comm_bcast(p->comm, 0, p->step + FIRST_BYTES, head.bytes - FIRST_BYTES, err);
}

trawl_status tw_peers_send_end(struct tw_replica *r, struct trawl_error *err)
{
    struct step_head head = {.bytes = 0};
    memcpy(r->peers.step, &head, sizeof head);
    return tw_comm_bcast(r->peers.comm, 0, r->peers.step, FIRST_BYTES, err);
}

/* The bytes in p->step become r->step. */
static void unpack_step(struct tw_replica *r, const struct step_head *head)
{
    const uint8_t *from = r->peers.step + sizeof *head;
    uint32_t *pages     = r->peers.pages;
    size_t row          = 0;
    r->step             = (struct tw_step){
                    .n_rows       = head->n_rows,
                    .tokens       = r->tokens,
                    .row_segment  = r->row_segment,
                    .n_segments   = head->n_segments,
                    .segments     = r->segments,
                    .n_logit_rows = head->n_logit_rows,
                    .logit_rows   = r->logit_rows,
                    .logits       = r->logits,
                    .n_captures   = head->n_captures,
                    .captures     = r->captures,
                    .n_copies     = head->n_copies,
                    .copies       = r->copies.list,
                    .shallow      = head->shallow != 0,
    };
    for (uint32_t i = 0; i < head->n_segments; i++) {
        struct step_segment g;
        from           = get(&g, from, sizeof g);
        r->segments[i] = (struct tw_segment){.row       = row,
                                             .n_rows    = g.n_rows,
                                             .position  = g.position,
                                             .pages     = pages,
                                             .n_blocks  = g.n_blocks,
                                             .entropies = g.entropies != 0,
                                             .masses    = g.masses != 0};
        for (uint32_t j = 0; j < g.n_rows; j++) {
            r->row_segment[row++] = i;
        }
        pages += g.n_pages;
    }
    from = get(r->tokens, from, head->n_rows * sizeof *r->tokens);
    from = get(r->logit_rows, from, head->n_logit_rows * sizeof *r->logit_rows);
    from = get(r->peers.pages, from, head->n_pages * sizeof *r->peers.pages);
    from = get(r->copies.list, from, head->n_copies * sizeof *r->copies.list);
    from = get(r->masks.blocks, from, head->n_blocks * sizeof *r->masks.blocks);
    (void)get(r->masks.visible, from, head->n_visible * sizeof *r->masks.visible);
    tw_step_masks_point(&r->masks, r->segments, head->n_segments);
}

trawl_status tw_peers_receive_step(struct tw_replica *r, bool *end, struct trawl_error *err)
{
    struct tw_peers *p = &r->peers;
    struct step_head head;
    TW_TRY(tw_comm_message_bcast_idle(p->comm, 0, p->step, FIRST_BYTES, err));
    memcpy(&head, p->step, sizeof head);
    *end = head.bytes == 0;
    if (*end) {
        return TRAWL_OK;
    }
    TW_BUG_ON(head.n_rows > r->max_rows || head.n_logit_rows > r->max_logit_rows ||
              head.n_segments > head.n_rows);
    trawl_status status = tw_grow(&p->step, &p->step_capacity, head.bytes, 1, err);
    if (status == TRAWL_OK) {
        status = tw_grow(&p->pages, &p->pages_capacity, head.n_pages, sizeof *p->pages, err);
    }
    if (status == TRAWL_OK) {
        status = tw_grow(&r->copies.list, &r->copies.capacity, head.n_copies, sizeof *r->copies.list, err);
    }
    if (status == TRAWL_OK) {
        status =
            tw_grow(&r->masks.blocks, &r->masks.blocks_capacity, head.n_blocks, sizeof *r->masks.blocks, err);
    }
    if (status == TRAWL_OK) {
        status = tw_grow(&r->masks.visible, &r->masks.visible_capacity, head.n_visible,
                         sizeof *r->masks.visible, err);
    }
    if (status != TRAWL_OK) {
        tw_comm_abort(p->comm, err);
        return status;
    }
    if (head.bytes > FIRST_BYTES) {
        TW_TRY(tw_comm_bcast(p->comm, 0, p->step + FIRST_BYTES, head.bytes - FIRST_BYTES, err));
    }
    unpack_step(r, &head);
    return TRAWL_OK;
}

/* ---- columns ---- */

struct columns {
    size_t begin, n;
};

static struct columns between(struct tw_range first, struct tw_range last, size_t unit)
{
    return (struct columns){first.begin * unit, (last.end - first.begin) * unit};
}

/* The columns of a site that process i computes; none of what every device has. */
static struct columns columns_of(const struct tw_replica *r, enum tw_site_kind kind, int i)
{
    const struct tw_mesh_shard *a = &r->peers.first[i], *b = &r->peers.last[i];
    size_t dim = r->engine->model->config.head_dim;
    switch (kind) {
    case TW_SITE_Q:
    case TW_SITE_Z: return between(a->q_heads, b->q_heads, dim);
    case TW_SITE_K:
    case TW_SITE_V: return between(a->own_kv_heads, b->own_kv_heads, dim);
    case TW_SITE_MLP_PRE:
    case TW_SITE_MLP_PRE_LINEAR:
    case TW_SITE_MLP_POST: return between(a->intermediate, b->intermediate, 1);
    case TW_SITE_EMBED:
    case TW_SITE_RESID_PRE:
    case TW_SITE_RESID_MID:
    case TW_SITE_RESID_POST:
    case TW_SITE_ATTN_OUT:
    case TW_SITE_MLP_OUT:
    case TW_SITE_FINAL_NORM:
    case TW_SITE_KINDS: break;
    }
    return (struct columns){0, 0};
}

/* Floats of process i's block: the head's own are in their place already. */
static size_t block_floats(const struct tw_replica *r, int i)
{
    const struct tw_step *step = &r->step;
    if (i == 0) {
        return 0;
    }
    size_t n = step->n_logit_rows * between(r->peers.first[i].vocab, r->peers.last[i].vocab, 1).n;
    for (size_t k = 0; k < step->n_captures; k++) {
        n += step->n_rows * columns_of(r, step->captures[k].site.kind, i).n;
    }
    return n + tw_attention_block_floats(r, i);
}

/* Columns of a matrix from or to a block; returns the block's next float. */
static float *move_columns(float *rows, size_t n_rows, size_t width, struct columns c, float *block, bool out)
{
    for (size_t i = 0; i < n_rows && c.n > 0; i++) {
        float *at = rows + i * width + c.begin;
        memcpy(out ? block : at, out ? at : block, c.n * sizeof(float));
        block += c.n;
    }
    return block;
}

static float *move_block(struct tw_replica *r, int i, float *block, bool out)
{
    const struct tw_step *step = &r->step;
    block = move_columns(step->logits, step->n_logit_rows, r->engine->model->config.vocab,
                         between(r->peers.first[i].vocab, r->peers.last[i].vocab, 1), block, out);
    for (size_t k = 0; k < step->n_captures; k++) {
        const struct tw_capture *c = &step->captures[k];
        block = move_columns(c->rows, step->n_rows, c->width, columns_of(r, c->site.kind, i), block, out);
    }
    return tw_attention_move_block(r, i, block, out);
}

trawl_status tw_peers_collect(struct tw_replica *r, struct trawl_error *err)
{
    struct tw_peers *p = &r->peers;
    int self           = p->comm->rank;
    size_t all         = 0;
    for (int i = 0; i < p->comm->size; i++) {
        p->sizes[i] = block_floats(r, i) * sizeof(float);
        all += p->sizes[i];
    }
    if (all == 0) {
        return TRAWL_OK;
    }
    trawl_status status = tw_grow(&p->block, &p->block_capacity,
                                  (self == 0 ? all : p->sizes[self]) / sizeof(float), sizeof(float), err);
    if (status != TRAWL_OK) {
        tw_comm_abort(p->comm, err);
        return status;
    }
    if (self != 0) {
        (void)move_block(r, self, p->block, true);
        return tw_comm_gather(p->comm, 0, p->block, p->sizes[self], p->sizes, NULL, err);
    }
    TW_TRY(tw_comm_gather(p->comm, 0, NULL, 0, p->sizes, p->block, err));
    float *at = p->block;
    for (int i = 1; i < p->comm->size; i++) {
        at = move_block(r, i, at, false);
    }
    return TRAWL_OK;
}
