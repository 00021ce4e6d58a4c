/* SPDX-License-Identifier: MIT */
/* The most likely continuation of N tokens, by depth-first search: tree_search MODEL TEXT N. Greedy decoding takes
 * the most likely token each time; the most likely whole may begin with another. */
#include <math.h>

#include "example.h"

enum { WIDTH = 4 }; /* children of a node that are looked at */

struct search {
    struct model model;
    trawl_session *session, *best;
    double best_logprob;
    size_t depth, nodes;
};

/* The id that comes after `last` when ids are sorted by their logits, largest first; -1: the first of all. */
static int32_t find_next(const float *logits, size_t vocab_size, int32_t last)
{
    int32_t best = -1;
    for (int32_t i = 0; (size_t)i < vocab_size; i++) {
        bool left = last < 0 || logits[i] < logits[last] || (logits[i] == logits[last] && i > last);
        best      = left && (best < 0 || logits[i] > logits[best]) ? i : best;
    }
    return best;
}

static void visit(struct search *s, size_t depth, double logprob)
{
    struct trawl_error err;
    const float *logits;
    int32_t children[WIDTH];
    size_t held;
    if (depth == s->depth) { /* better than the best so far: keep a fork of it */
        trawl_session_close(&s->best);
        CHECK(trawl_session_fork(s->session, &s->best, &err));
        s->best_logprob = logprob;
        return;
    }
    CHECK(trawl_session_logits(s->session, &logits, &err));
    for (int i = 0; i < WIDTH; i++) {
        children[i] = find_next(logits, s->model.info.vocab_size, i == 0 ? -1 : children[i - 1]);
    }
    (void)trawl_session_tokens(s->session, &held);
    for (int i = 0; i < WIDTH; i++) {
        float step;
        CHECK(trawl_session_append(s->session, &children[i], 1, NULL, &step, &err));
        s->nodes++;
        if (logprob + (double)step > s->best_logprob) { /* what follows can only make it less */
            visit(s, depth + 1, logprob + (double)step);
        }
        CHECK(trawl_session_rewind(s->session, held, &err));
    }
}

int main(int argc, char **argv)
{
    struct trawl_error err;
    struct search s = {.best_logprob = -INFINITY};
    size_t n, n_all;
    if (argc != 4) {
        usage("tree_search MODEL TEXT N");
    }
    s.model      = open_model(argv[1]);
    int32_t *ids = encode(&s.model, argv[2], TRAWL_ENCODE_ADD_SPECIAL_TOKENS, &n);
    s.depth      = strtoul(argv[3], NULL, 10);
    CHECK(trawl_session_open(s.model.engine, &s.session, &err));
    CHECK(trawl_session_append(s.session, ids, n, NULL, NULL, &err));
    visit(&s, 0, 0);
    const int32_t *all = trawl_session_tokens(s.best, &n_all);
    printf("%s|", argv[2]);
    print_text(&s.model, all + n, n_all - n);
    printf("\n    log-probability %.4f, %zu nodes\n", s.best_logprob, s.nodes);
    trawl_free(ids);
    trawl_session_close(&s.best);
    trawl_session_close(&s.session);
    close_model(&s.model);
    return 0;
}
