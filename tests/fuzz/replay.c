/* SPDX-License-Identifier: MIT */
/* Runs a fuzz target on files, and on all files of folders: for compilers without libFuzzer, and to look at a finding. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

static size_t done;

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned char *data = NULL;
    long size = -1;

    if (f && fseek(f, 0, SEEK_END) == 0)
        size = ftell(f);
    if (size >= 0)
        data = malloc((size_t)size + !size); /* exactly: a sanitizer sees one byte too far */
    if (!data || fseek(f, 0, SEEK_SET) != 0 || fread(data, 1, (size_t)size, f) != (size_t)size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        size = -1;
    } else {
        LLVMFuzzerTestOneInput(data, (size_t)size);
        done++;
    }
    free(data);
    if (f)
        fclose(f);
    return size < 0;
}

static int run(const char *path)
{
    struct stat st;
    struct dirent *e;
    DIR *d;
    int failed = 0;

    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        return run_file(path);
    d = opendir(path);
    while (d && (e = readdir(d)) != NULL) {
        char inner[4096];

        if (e->d_name[0] == '.')
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        failed |= run(inner);
    }
    if (d)
        closedir(d);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= run(argv[i]);
    printf("%zu files\n", done);
    return failed;
}
