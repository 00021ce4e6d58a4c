/* SPDX-License-Identifier: MIT */
#include "comm/comm.h"

trawl_status tw_comm_publish(struct tw_comm *comm, const float *partial, bool contributes, size_t n,
                             struct trawl_error *err)
{
    TW_BUG_ON(contributes && partial == NULL && n > 0);
    return comm->ops->publish(comm, partial, contributes, n, err);
}

trawl_status tw_comm_wait(struct tw_comm *comm, struct trawl_error *err)
{
    return comm->ops->wait(comm, err);
}

void tw_comm_reduce(const struct tw_comm *comm, float *out, size_t begin, size_t end)
{
    comm->ops->reduce(comm, out, begin, end, false);
}

void tw_comm_reduce_add(const struct tw_comm *comm, float *x, size_t begin, size_t end)
{
    comm->ops->reduce(comm, x, begin, end, true);
}

trawl_status tw_comm_done(struct tw_comm *comm, struct trawl_error *err)
{
    return comm->ops->done(comm, err);
}

trawl_status tw_comm_allreduce_tree(struct tw_comm *comm, const float *partial, bool contributes, float *out,
                                    size_t n, struct trawl_error *err)
{
    TW_TRY(tw_comm_publish(comm, partial, contributes, n, err));
    TW_TRY(tw_comm_wait(comm, err));
    tw_comm_reduce(comm, out, 0, n);
    return tw_comm_done(comm, err);
}

trawl_status tw_comm_bcast(struct tw_comm *comm, int root, void *data, size_t bytes, struct trawl_error *err)
{
    TW_BUG_ON(root < 0 || root >= comm->size || (data == NULL && bytes > 0));
    return comm->ops->bcast(comm, root, data, bytes, err);
}

trawl_status tw_comm_gather(struct tw_comm *comm, int root, const void *block, size_t bytes,
                            const size_t *sizes, void *out, struct trawl_error *err)
{
    TW_BUG_ON(root < TW_COMM_ALL || root >= comm->size || (block == NULL && bytes > 0));
    TW_BUG_ON(sizes != NULL && sizes[comm->rank] != bytes);
    return comm->ops->gather(comm, root, block, bytes, sizes, out, err);
}

trawl_status tw_comm_barrier(struct tw_comm *comm, struct trawl_error *err)
{
    return comm->ops->barrier(comm, err);
}

trawl_status tw_comm_agree(struct tw_comm *comm, trawl_status status, struct trawl_error *err)
{
    return comm->ops->agree(comm, status, err);
}

void tw_comm_abort(struct tw_comm *comm, const struct trawl_error *cause)
{
    comm->ops->abort(comm, cause);
}

void tw_comm_free(struct tw_comm *comm)
{
    if (comm != NULL) {
        comm->ops->free(comm);
    }
}
