/* SPDX-License-Identifier: MIT */
/* Log lines leave the library through a callback that the caller owns; without one they vanish. */
#ifndef TW_BASE_LOG_H
#define TW_BASE_LOG_H

enum tw_log_level { TW_LOG_WARNING = 0, TW_LOG_INFO = 1, TW_LOG_DEBUG = 2 };

typedef void tw_log_fn(void *user, int level, const char *message);

struct tw_log {
    tw_log_fn *fn; /* NULL: silence */
    void *user;
    int max_level;
};

void tw_log(const struct tw_log *log, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* TW_BASE_LOG_H */
