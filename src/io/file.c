/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/internal.h"

pjd_status pjd_io_nomem(pjd_error *err, const char *who, size_t bytes)
{
    return pjd_error_set(err, PJD_ERR_NOMEM, "%.200s: out of memory for %zu bytes", who, bytes);
}

bool pjd_is_std(const char *path)
{
    return path[0] == '-' && path[1] == '\0';
}

const char *pjd_extension(const char *path)
{
    const char *base = strrchr(path, '/');
    const char *dot;

    base = base ? base + 1 : path;
    dot = strrchr(base, '.');
    return dot && dot != base ? dot + 1 : "";
}

/* Read until the end into a buffer that doubles; `expected` is a first guess that saves the doubling. */
static pjd_status read_to_end(int fd, const char *path, size_t expected, unsigned char **bytes, size_t *size,
                              pjd_error *err)
{
    size_t capacity, used = 0;
    unsigned char *p;

    if (!pjd_add(expected, 1, &capacity) || capacity < 65536)
        capacity = 65536;
    p = pjd_alloc(capacity, 1);
    if (!p)
        return pjd_io_nomem(err, path, capacity);
    for (;;) {
        ssize_t n = read(fd, p + used, capacity - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            int why = errno;

            pjd_free(p);
            return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be read: %s", path, strerror(why));
        }
        if (n == 0)
            break;
        used += (size_t)n;
        if (used == capacity) {
            unsigned char *q = pjd_realloc(p, used, 2, capacity);

            if (!q) {
                pjd_free(p);
                return pjd_io_nomem(err, path, capacity);
            }
            p = q;
            capacity *= 2;
        }
    }
    *bytes = p;
    *size = used;
    return PJD_OK;
}

pjd_status pjd_file_read(const char *path, unsigned char **bytes, size_t *size, pjd_error *err)
{
    struct stat info;
    pjd_status st;
    int fd;

    *bytes = NULL;
    *size = 0;
    if (pjd_is_std(path))
        return read_to_end(STDIN_FILENO, "standard input", 0, bytes, size, err);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be opened: %s", path, strerror(errno));
    if (fstat(fd, &info) != 0)
        st = pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be read: %s", path, strerror(errno));
    else
        st = read_to_end(fd, path, S_ISREG(info.st_mode) ? (size_t)info.st_size : 0, bytes, size, err);
    close(fd);
    return st;
}

pjd_status pjd_file_write(int fd, const char *path, const void *bytes, size_t size, pjd_error *err)
{
    const unsigned char *p = bytes;

    while (size > 0) {
        ssize_t n = write(fd, p, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: %s", path, strerror(errno));
        p += n;
        size -= (size_t)n;
    }
    return PJD_OK;
}

void pjd_io_free(void *data)
{
    pjd_free(data);
}
