/* SPDX-License-Identifier: MIT */
/* Files as bytes: mapped read-only where that works, else read. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "weights/format.h"

static pjd_status io_error(const char *path, const char *what, int code, pjd_error *err)
{
    char text[128];

    return pjd_error_set(err, PJD_ERR_IO, PJD_WHO ": %s: %s", path, what, strerror_r(code, text, sizeof text));
}

static pjd_status read_all(int fd, const char *path, pjd_source *out, pjd_error *err)
{
    unsigned char *p = pjd_alloc(out->size, 1);
    size_t got = 0;

    if (!p)
        return pjd_error_nomem(err, path, out->size);
    while (got < out->size) {
        ssize_t n = read(fd, p + got, out->size - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int code = n < 0 ? errno : EIO;

            pjd_free(p);
            return io_error(path, "cannot be read", code, err);
        }
        got += (size_t)n;
    }
    out->data = out->owned = p;
    return PJD_OK;
}

pjd_status pjd_source_open(const char *path, pjd_source *out, pjd_error *err)
{
    pjd_status status = PJD_OK;
    struct stat st;
    void *p;
    int fd;

    *out = (pjd_source){0};
    /* O_NONBLOCK: a FIFO without a writer must not hang us; it has no meaning for a regular file. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return io_error(path, "cannot be opened", errno, err);
    if (fstat(fd, &st) != 0) {
        status = io_error(path, "cannot be examined", errno, err);
        goto end;
    }
    if (!S_ISREG(st.st_mode)) {
        status = pjd_error_set(err, PJD_ERR_IO, PJD_WHO ": expected a regular file", path);
        goto end;
    }
    if (st.st_size < 0 || (uintmax_t)st.st_size > SIZE_MAX / 2) {
        status = pjd_error_set(err, PJD_ERR_IO, PJD_WHO ": a file of this size does not fit into memory", path);
        goto end;
    }
    out->size = (size_t)st.st_size;
    if (out->size == 0)
        goto end;
    p = mmap(NULL, out->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p != MAP_FAILED)
        out->data = p;
    else
        status = read_all(fd, path, out, err);
end:
    close(fd);
    return status;
}

void pjd_source_close(pjd_source *s)
{
    if (s->owned)
        pjd_free(s->owned);
    else if (s->data)
        munmap((void *)(uintptr_t)s->data, s->size);
    *s = (pjd_source){0};
}

void pjd_source_unused(const pjd_source *s, size_t offset, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), first = (offset + page - 1) / page * page;
    size_t last = (offset + bytes) / page * page;

    /* the mapping is private and never written: pages that are dropped are read from the file again */
    if (!s->owned && first < last)
        (void)madvise((void *)(uintptr_t)(s->data + first), last - first, MADV_DONTNEED);
}
