/* SPDX-License-Identifier: MIT */
/* A folder for one test program's files, removed at its end. */
#ifndef TESTS_IO_FOLDER_H
#define TESTS_IO_FOLDER_H

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/support.h"

static char test_folder[256];

static inline int folder_setup(void **state)
{
    const char *base = getenv("TMPDIR");

    snprintf(test_folder, sizeof test_folder, "%s/projdiff-io-XXXXXX", base ? base : "/tmp");
    return mkdtemp(test_folder) ? 0 : -1;
}

/* Number of entries; removes them when asked to. */
static inline int folder_count(bool clean)
{
    DIR *d = opendir(test_folder);
    int n = 0;

    for (struct dirent *e; d && (e = readdir(d));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) {
            char path[1024];

            n++;
            snprintf(path, sizeof path, "%s/%s", test_folder, e->d_name);
            if (clean && unlink(path) != 0)
                rmdir(path);
        }
    if (d)
        closedir(d);
    return n;
}

static inline int folder_teardown(void **state)
{
    folder_count(true);
    return rmdir(test_folder);
}

/* "<folder>/name"; four results live at a time. */
static inline const char *in_folder(const char *name)
{
    static char paths[4][1024];
    static unsigned turn;
    char *p = paths[turn++ % 4];

    snprintf(p, sizeof paths[0], "%s/%s", test_folder, name);
    return p;
}

static inline void put_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

#endif
