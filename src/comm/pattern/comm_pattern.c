/* SPDX-License-Identifier: MIT */
#include "comm/pattern/comm_pattern.h"

int tw_comm_steps(int size)
{
    int steps = 0;
    while (steps < 30 && 1 << steps < size) {
        steps++;
    }
    return steps;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

struct tw_comm_block tw_comm_block_at(int size, int rank, int step)
{
    int begin = rank >> step << step;
    return (struct tw_comm_block){begin, min_int(begin + (1 << step), size)};
}

struct tw_comm_step tw_comm_step_at(int size, int rank, int step)
{
    int width      = 1 << step;
    int own_begin  = rank >> step << step;
    int offset     = rank - own_begin;
    int left_begin = own_begin & ~width;
    int right_size = min_int(width, size - (left_begin + width));
    if (right_size <= 0) {
        return (struct tw_comm_step){.receive_from = -1};
    }
    if (own_begin == left_begin) {
        /* The first right_size ranks of a left block exchange with their twin; the others only listen. */
        return (struct tw_comm_step){
            .receive_from = left_begin + width + offset % right_size,
            .from_right   = true,
            .send_first   = rank + width,
            .send_stride  = width,
            .n_sends      = offset < right_size ? 1 : 0,
        };
    }
    return (struct tw_comm_step){
        .receive_from = rank - width,
        .from_right   = false,
        .send_first   = rank - width,
        .send_stride  = right_size,
        .n_sends      = (width - offset + right_size - 1) / right_size,
    };
}
