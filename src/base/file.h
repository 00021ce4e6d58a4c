/* SPDX-License-Identifier: MIT */
/* Files as trawl needs them: mapped for reading, replaced atomically, appended durably, locked.
 * Every failure names the path and the system's reason. */
#ifndef TW_BASE_FILE_H
#define TW_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* A regular file mapped read-only. An empty file has data "" and size 0. Nobody may shorten the file
 * while it is mapped (the system would answer a read past the new end with SIGBUS). */
struct tw_mapped_file {
    const uint8_t *data;
    size_t size;
};

trawl_status tw_mapped_file_open(struct tw_mapped_file *file, const char *path, struct trawl_error *err);
void tw_mapped_file_close(struct tw_mapped_file *file);
/* Give back the memory of pages that were read; read again, they come from the page cache or the disk. */
void tw_mapped_file_forget(const struct tw_mapped_file *file);

/* The whole of a regular file in memory, NUL terminated after `*size` bytes; freed with tw_free.
 * Larger than `limit` bytes: TRAWL_ERR_LIMIT. */
trawl_status tw_file_read(const char *path, size_t limit, char **out, size_t *size, struct trawl_error *err);

bool tw_path_exists(const char *path);
bool tw_path_is_dir(const char *path);
/* "a/b": `dir`, a slash unless dir is empty or ends in one, `name`; freed with tw_free. */
trawl_status tw_path_join(const char *dir, const char *name, char **out, struct trawl_error *err);
/* The folder of a path ("." when it names none); freed with tw_free. */
trawl_status tw_path_dir(const char *path, char **out, struct trawl_error *err);
/* Create a folder and its parents; there already is success, a non-folder in the way is not. */
trawl_status tw_make_dirs(const char *path, struct trawl_error *err);
/* The same for the folder of a file that a user asked for. Not for files inside a folder that is ours: when
 * that vanishes, to go on in a new one would be wrong. */
trawl_status tw_make_parent_dirs(const char *path, struct trawl_error *err);
/* Make a rename or a new name in `dir` durable. */
trawl_status tw_sync_dir(const char *dir, struct trawl_error *err);
trawl_status tw_remove_file(const char *path, struct trawl_error *err); /* absent is success */

/* Write all bytes to a descriptor, through short writes and EINTR. */
trawl_status tw_write_all(int fd, const char *path, const void *data, size_t n, struct trawl_error *err);

/* A file that appears whole or not at all: bytes go to "<path>.tmp" beside it (through a buffer, so
 * that small writes are cheap); commit flushes, renames and makes the name durable. A commit that fails
 * abandons; after a failed write the caller does. Abandon removes the temporary; it may be called at any
 * time, twice too. One writer per path: the caller holds a lock or owns the folder. */
struct tw_atomic_file {
    int fd; /* -1 when closed */
    char *path;
    char *tmp;
    char *buffer;
    size_t buffered;  /* bytes of `buffer` not handed to the system yet */
    uint64_t written; /* bytes taken by tw_atomic_file_write */
};

trawl_status tw_atomic_file_open(struct tw_atomic_file *file, const char *path, struct trawl_error *err);
trawl_status tw_atomic_file_write(struct tw_atomic_file *file, const void *data, size_t n,
                                  struct trawl_error *err);
trawl_status tw_atomic_file_commit(struct tw_atomic_file *file, struct trawl_error *err);
void tw_atomic_file_abandon(struct tw_atomic_file *file);
/* Open, write, commit in one call. */
trawl_status tw_file_replace(const char *path, const void *data, size_t n, struct trawl_error *err);

enum { TW_APPEND_FILE_WAIT_MS = 3000 };

/* An append-only file whose every append is durable when the call returns: a journal. Opening takes an
 * exclusive lock (flock); a second opener waits TW_APPEND_FILE_WAIT_MS for the first to end and then gets
 * TRAWL_ERR_EXISTS, "... is in use by another process". A failed append leaves the file as it was. */
struct tw_append_file {
    int fd; /* -1 when closed */
    char *path;
    uint64_t size; /* bytes */
};

trawl_status tw_append_file_open(struct tw_append_file *file, const char *path, struct trawl_error *err);
trawl_status tw_append_file_append(struct tw_append_file *file, const void *data, size_t n,
                                   struct trawl_error *err);
/* Drop everything from `size` on, durably. */
trawl_status tw_append_file_truncate(struct tw_append_file *file, uint64_t size, struct trawl_error *err);
void tw_append_file_close(struct tw_append_file *file);

#endif /* TW_BASE_FILE_H */
