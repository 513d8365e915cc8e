/* SPDX-License-Identifier: MIT */
/*
 * Finished windows, one after the other in a file beside the outputs: the buffer between solving and writing, whose size does not
 * matter, and what a run that was interrupted goes on from. A key of everything that decides the result comes first.
 */
#include "separate.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER = 4096 };

static size_t record(const sep_state *s)
{
    return s->windows.length * s->stems * sizeof(float);
}

static bool transfer(int fd, void *data, size_t size, off_t at, bool write)
{
    char *p = data;

    while (size > 0) {
        ssize_t n = write ? pwrite(fd, p, size, at) : pread(fd, p, size, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return false;
        }
        p += n;
        size -= (size_t)n;
        at += n;
    }
    return true;
}

int state_open(const char *dir, const char *name, const char *key, sep_state *s)
{
    char wanted[HEADER] = "", found[HEADER] = "";
    struct stat info;

    s->done = 0;
    s->done_before = false;
    if ((size_t)snprintf(s->path, sizeof s->path, "%s/%s", dir, name) >= sizeof s->path)
        return cli_error(CLI_USAGE, "-o: the name is too long");
    snprintf(wanted, sizeof wanted, "%s", key);
    s->fd = open(s->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (s->fd < 0)
        return cli_error(CLI_FAILED, "%s: cannot be written: %s", s->path, strerror(errno));
    if (flock(s->fd, LOCK_EX | LOCK_NB) != 0) {
        close(s->fd);
        s->fd = -1;
        return cli_error(CLI_FAILED, "%s: another run is at work there", s->path);
    }
    if (fstat(s->fd, &info) == 0 && info.st_size > HEADER && transfer(s->fd, found, HEADER, 0, false) &&
        !memcmp(found, wanted, HEADER)) {
        s->done = ((size_t)info.st_size - HEADER) / record(s);
        if (s->done > s->windows.count * s->takes)
            s->done = s->windows.count * s->takes;
    }
    s->done_before = s->done > 0;
    if (s->done == 0 && (ftruncate(s->fd, 0) != 0 || !transfer(s->fd, wanted, HEADER, 0, true)))
        return cli_error(CLI_FAILED, "%s: cannot be written: %s", s->path, strerror(errno));
    return CLI_DONE;
}

int state_append(sep_state *s, const float *stems)
{
    /* pwrite takes what it does not change */
    if (!transfer(s->fd, (void *)(uintptr_t)stems, record(s), (off_t)(HEADER + s->done * record(s)), true))
        return cli_error(CLI_FAILED, "%s: cannot be written: %s", s->path, strerror(errno));
    s->done++;
    return CLI_DONE;
}

int state_read(const sep_state *s, size_t window, float *stems)
{
    if (!transfer(s->fd, stems, record(s), (off_t)(HEADER + window * record(s)), false))
        return cli_error(CLI_FAILED, "%s: cannot be read: %s", s->path, strerror(errno));
    return CLI_DONE;
}

void state_close(sep_state *s, bool remove)
{
    if (s->fd < 0)
        return;
    if (remove || s->done == 0)
        unlink(s->path);
    else
        cli_say("%s keeps %zu of %zu windows: the same command goes on from there", s->path, s->done,
                s->windows.count * s->takes);
    close(s->fd);
    s->fd = -1;
}
