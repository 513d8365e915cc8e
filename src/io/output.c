/* SPDX-License-Identifier: MIT */
/* Files that appear whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/internal.h"

/*
 * The temporary paths live in a static table, so that a signal handler can unlink them without touching the heap. A slot
 * goes FREE -> BUSY (its path is being written) -> LIVE -> FREE. pjd_output_abort_all takes LIVE slots over to DYING,
 * unlinks and leaves them DEAD; a slot is only reused after its owner has let it go, so that the handler never reads a
 * path that changes under it.
 */
enum { SLOT_FREE = 0, SLOT_BUSY, SLOT_LIVE, SLOT_DYING, SLOT_DEAD };

enum { SLOT_COUNT = 64 };

static struct slot {
    atomic_int state;
    char path[PATH_MAX];
} slots[SLOT_COUNT];

struct pjd_output {
    struct slot *slot;
    int fd;
    bool overwrite;
    mode_t mode; /* of the file that is replaced; 0: none */
    char *final;
};

static struct slot *slot_claim(void)
{
    for (size_t i = 0; i < SLOT_COUNT; i++) {
        int expected = SLOT_FREE;

        if (atomic_compare_exchange_strong(&slots[i].state, &expected, SLOT_BUSY))
            return &slots[i];
    }
    return NULL;
}

static void slot_release(struct slot *s)
{
    static const int from[] = {SLOT_BUSY, SLOT_LIVE, SLOT_DEAD};

    for (size_t i = 0; i < PJD_COUNTOF(from); i++) {
        int expected = from[i];

        if (atomic_compare_exchange_strong(&s->state, &expected, SLOT_FREE))
            return;
    }
    /* DYING: the handler is at work in another thread, and the slot stays its own. */
}

void pjd_output_abort_all(void)
{
    int saved = errno;

    for (size_t i = 0; i < SLOT_COUNT; i++) {
        int expected = SLOT_LIVE;

        if (atomic_compare_exchange_strong(&slots[i].state, &expected, SLOT_DYING)) {
            unlink(slots[i].path);
            atomic_store(&slots[i].state, SLOT_DEAD);
        }
    }
    errno = saved;
}

static void random_letters(char *s, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    unsigned char r[16] = {0};
    struct timespec now;

    if (n > sizeof r || getrandom(r, n, GRND_NONBLOCK) != (ssize_t)n) {
        clock_gettime(CLOCK_MONOTONIC, &now); /* O_EXCL makes uniqueness; this only has to vary */
        for (size_t i = 0; i < sizeof r; i++)
            r[i] = (unsigned char)((uint64_t)now.tv_nsec >> (i % 4 * 8)) ^ (unsigned char)getpid();
    }
    for (size_t i = 0; i < n && i < sizeof r; i++)
        s[i] = letters[r[i] % (sizeof letters - 1)];
}

/* "dir/.name.XXXXXX.ext" for "dir/name.ext" into s->path; a long name is shortened, never inside a UTF-8 character. */
static bool temporary_name(const char *path, struct slot *s)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *ext = pjd_extension(path);
    size_t stem = *ext ? (size_t)(ext - 1 - base) : strlen(base);
    char random[7] = "";
    int n;

    if (stem + strlen(ext) + 9 > NAME_MAX) {
        if (strlen(ext) + 9 > NAME_MAX)
            return false;
        stem = NAME_MAX - 9 - strlen(ext);
        while (stem > 0 && ((unsigned char)base[stem] & 0xC0) == 0x80)
            stem--;
    }
    random_letters(random, 6);
    n = snprintf(s->path, sizeof s->path, "%.*s.%.*s.%s%s%s", (int)(base - path), path, (int)stem, base, random,
                 *ext ? "." : "", ext);
    return n > 0 && (size_t)n < sizeof s->path;
}

static pjd_status create_temporary(pjd_output *o, pjd_error *err)
{
    o->slot = slot_claim();
    if (!o->slot)
        return pjd_error_set(err, PJD_ERR_NOMEM, "%.200s: more than %d unfinished outputs", o->final, SLOT_COUNT);
    for (int attempt = 0; attempt < 100; attempt++) {
        if (!temporary_name(o->final, o->slot)) {
            errno = ENAMETOOLONG;
            break;
        }
        /* LIVE before the file exists: an interrupt in between must not leave it. */
        atomic_store(&o->slot->state, SLOT_LIVE);
        o->fd = open(o->slot->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (o->fd >= 0)
            return PJD_OK;
        if (errno != EEXIST)
            break;
        int expected = SLOT_LIVE;

        if (!atomic_compare_exchange_strong(&o->slot->state, &expected, SLOT_BUSY))
            break;
    }
    return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be created: %s", o->final, strerror(errno));
}

/* Checks the target and fills o->final (the file a symbolic link points to, so that the link survives) and o->mode. */
static pjd_status look_at_target(const char *path, pjd_output *o, pjd_error *err)
{
    const char *slash = strrchr(path, '/');
    struct stat info;
    char *real;

    if (!*path || (slash && !slash[1]))
        return pjd_error_set(err, PJD_ERR_IO, "%.200s: expected the name of a file", *path ? path : "output");
    if (lstat(path, &info) == 0) {
        if (!o->overwrite)
            return pjd_error_set(err, PJD_ERR_EXISTS, "%.200s: already exists", path);
        if (S_ISLNK(info.st_mode) && stat(path, &info) == 0) {
            real = realpath(path, NULL);
            if (!real)
                return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: %s", path, strerror(errno));
            o->final = pjd_strdup(real);
            free(real);
            if (!o->final)
                return pjd_io_nomem(err, path, strlen(path));
        }
        if (S_ISDIR(info.st_mode))
            return pjd_error_set(err, PJD_ERR_IO, "%.200s: is a folder", path);
        if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode)) /* a link to nothing is simply replaced */
            return pjd_error_set(err, PJD_ERR_IO,
                                 "%.200s: is a device or a pipe, not a file (\"-\" is standard output)", path);
        o->mode = S_ISREG(info.st_mode) ? info.st_mode & 0777 : 0;
    }
    if (!o->final)
        o->final = pjd_strdup(path);
    return o->final ? PJD_OK : pjd_io_nomem(err, path, strlen(path));
}

pjd_status pjd_output_begin(const char *path, bool overwrite, pjd_output **out, const char **temporary, pjd_error *err)
{
    pjd_output *o;
    pjd_status st;

    *out = NULL;
    if (temporary)
        *temporary = NULL;
    o = pjd_alloc_zero(1, sizeof *o);
    if (!o)
        return pjd_io_nomem(err, path, sizeof *o);
    o->fd = -1;
    o->overwrite = overwrite;
    st = look_at_target(path, o, err);
    if (st == PJD_OK)
        st = create_temporary(o, err);
    if (st != PJD_OK) {
        pjd_output_abort(o);
        return st;
    }
    *out = o;
    if (temporary)
        *temporary = o->slot->path;
    return PJD_OK;
}

int pjd_output_fd(const pjd_output *o)
{
    return o->fd;
}

int pjd_rename_new(const char *from, const char *to, int method)
{
    int fd;

    if (method == 0 || method == 1) {
        if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
            return 0;
        if (method == 1 || (errno != EINVAL && errno != ENOSYS))
            return -1;
    }
    if (method == 0 || method == 2) {
        if (link(from, to) == 0) {
            unlink(from);
            return 0;
        }
        if (method == 2 || errno == EEXIST || errno == ENOENT)
            return -1;
    }
    /* A file system without links (FAT): the name is taken exclusively, then our own empty file is replaced. */
    fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return -1;
    close(fd);
    if (rename(from, to) == 0)
        return 0;
    fd = errno;
    unlink(to);
    errno = fd;
    return -1;
}

/* 0 when the bytes are on the disk, as far as the file system can tell. */
static int settle(pjd_output *o)
{
    int rc = 0;

    if (fsync(o->fd) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT))
        rc = -1;
    if (o->mode && fchmod(o->fd, o->mode) != 0 && errno == EIO)
        rc = -1;
    if (close(o->fd) != 0 && errno != EINTR)
        rc = -1;
    o->fd = -1;
    return rc;
}

pjd_status pjd_output_commit(pjd_output *o, pjd_error *err)
{
    pjd_status st = PJD_OK;

    if (settle(o) != 0) {
        st = pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: %s", o->final, strerror(errno));
    } else if ((o->overwrite ? rename(o->slot->path, o->final) : pjd_rename_new(o->slot->path, o->final, 0)) != 0) {
        if (errno == EEXIST)
            st = pjd_error_set(err, PJD_ERR_EXISTS, "%.200s: already exists", o->final);
        else
            st = pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: %s", o->final, strerror(errno));
    }
    if (st != PJD_OK) {
        pjd_output_abort(o);
        return st;
    }
    slot_release(o->slot);
    pjd_free(o->final);
    pjd_free(o);
    return PJD_OK;
}

void pjd_output_abort(pjd_output *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    if (o->slot) {
        if (atomic_load(&o->slot->state) == SLOT_LIVE)
            unlink(o->slot->path);
        slot_release(o->slot);
    }
    pjd_free(o->final);
    pjd_free(o);
}
