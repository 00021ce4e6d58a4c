/* SPDX-License-Identifier: MIT */
/* libtrawl-mpi.so: MPI behind the table of comm_wire.h. The only file that sees mpi.h, and linked with
 * nothing of trawl, so that one build of trawl runs with and without MPI. Written to MPI 3.1. */
#include <limits.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>

#include "comm/mpi/comm_mpi.h"

_Static_assert(sizeof(MPI_Request) <= sizeof(struct tw_wire_request), "a request fits its place");
_Static_assert(sizeof(MPI_Comm) <= sizeof(struct tw_wire_group), "a communicator fits its place");

static MPI_Comm *comm_of(const struct tw_wire_group *group)
{
    return (MPI_Comm *)(void *)group->bytes;
}

static MPI_Request *request_of(struct tw_wire_request *request)
{
    return (MPI_Request *)(void *)request->bytes;
}

static int rank_or_any(int rank)
{
    return rank == TW_WIRE_ANY ? MPI_ANY_SOURCE : rank;
}

/* Errors come back as codes: a dying peer is ours to report. Calls are serialised by the wire, from any
 * thread. */
static int mpi_init(struct tw_wire_group *world, int *rank, int *size)
{
    int given = 0, there = 0;
    int code = MPI_Initialized(&there);
    if (code == MPI_SUCCESS && there == 0) {
        code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &given);
    } else if (code == MPI_SUCCESS) {
        code = MPI_Query_thread(&given);
    }
    if (code == MPI_SUCCESS && given < MPI_THREAD_SERIALIZED) {
        code = MPI_ERR_UNSUPPORTED_OPERATION;
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_dup(MPI_COMM_WORLD, comm_of(world));
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_set_errhandler(*comm_of(world), MPI_ERRORS_RETURN);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_rank(*comm_of(world), rank);
    }
    return code == MPI_SUCCESS ? MPI_Comm_size(*comm_of(world), size) : code;
}

static int mpi_group(const struct tw_wire_group *world, int first, int stride, int n,
                     struct tw_wire_group *out)
{
    MPI_Group all = MPI_GROUP_NULL, some = MPI_GROUP_NULL;
    int range[1][3] = {{first, first + (n - 1) * stride, stride}};
    int code        = MPI_Comm_group(*comm_of(world), &all);
    if (code == MPI_SUCCESS) {
        code = MPI_Group_range_incl(all, 1, range, &some);
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_create_group(*comm_of(world), some, first, comm_of(out));
    }
    if (code == MPI_SUCCESS) {
        code = MPI_Comm_set_errhandler(*comm_of(out), MPI_ERRORS_RETURN);
    }
    if (some != MPI_GROUP_NULL) {
        (void)MPI_Group_free(&some);
    }
    if (all != MPI_GROUP_NULL) {
        (void)MPI_Group_free(&all);
    }
    return code;
}

static void mpi_group_free(struct tw_wire_group *group)
{
    (void)MPI_Comm_free(comm_of(group));
}

static int mpi_send(const struct tw_wire_group *group, const void *data, size_t bytes, int to, int tag,
                    struct tw_wire_request *out)
{
    return MPI_Isend(data, (int)bytes, MPI_BYTE, to, tag, *comm_of(group), request_of(out));
}

static int mpi_receive(const struct tw_wire_group *group, void *data, size_t bytes, int from, int tag,
                       struct tw_wire_request *out)
{
    return MPI_Irecv(data, (int)bytes, MPI_BYTE, rank_or_any(from), tag == TW_WIRE_ANY ? MPI_ANY_TAG : tag,
                     *comm_of(group), request_of(out));
}

static int mpi_test(struct tw_wire_request *request, bool *done, struct tw_wire_event *event)
{
    MPI_Status status;
    int finished = 0, count = 0;
    int code = MPI_Test(request_of(request), &finished, &status);
    *done    = code == MPI_SUCCESS && finished != 0;
    if (*done) {
        code   = MPI_Get_count(&status, MPI_BYTE, &count);
        *event = (struct tw_wire_event){.bytes  = count == MPI_UNDEFINED ? 0 : (size_t)count,
                                        .source = status.MPI_SOURCE,
                                        .tag    = status.MPI_TAG};
    }
    return code;
}

static void mpi_cancel(struct tw_wire_request *receive)
{
    if (*request_of(receive) != MPI_REQUEST_NULL) {
        (void)MPI_Cancel(request_of(receive));
        (void)MPI_Request_free(request_of(receive));
    }
}

static int mpi_finalize(struct tw_wire_group *world)
{
    (void)MPI_Comm_free(comm_of(world));
    return MPI_Finalize();
}

static void mpi_abort(const struct tw_wire_group *world)
{
    (void)MPI_Abort(*comm_of(world), 1);
}

static void mpi_text(int code, char *out, size_t n)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int length                      = 0;
    if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) {
        (void)snprintf(text, sizeof text, "MPI error %d", code);
    }
    (void)snprintf(out, n, "%s", text);
}

static void mpi_version(char *out, size_t n)
{
    char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
    int length                                = 0;
    (void)MPI_Get_library_version(text, &length);
    text[strcspn(text, ",\n")] = '\0';
    length                     = 0; /* of what is kept: one blank for any white space */
    for (const char *from = text; *from != '\0'; from++) {
        bool blank = *from == ' ' || *from == '\t';
        if (!blank || (length > 0 && text[length - 1] != ' ')) {
            text[length++] = blank ? ' ' : *from;
        }
    }
    text[length] = '\0';
    (void)snprintf(out, n, "%s", text);
}

static const struct tw_wire_ops ops = {
    .abi        = TW_WIRE_ABI,
    .init       = mpi_init,
    .group      = mpi_group,
    .group_free = mpi_group_free,
    .send       = mpi_send,
    .receive    = mpi_receive,
    .test       = mpi_test,
    .cancel     = mpi_cancel,
    .finalize   = mpi_finalize,
    .abort      = mpi_abort,
    .text       = mpi_text,
    .version    = mpi_version,
};

__attribute__((visibility("default"))) const struct tw_wire_ops *tw_comm_mpi_plugin(void)
{
    return &ops;
}
