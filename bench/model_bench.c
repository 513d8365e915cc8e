/* SPDX-License-Identifier: MIT */
/*
 * Times a checkpoint's network through the public interface. Each line read from stdin runs one call and answers with its
 * seconds, so that a script can take turns with another program.
 *
 *     model_bench MODEL CONFIG BATCH HEIGHT WIDTH THREADS T [INPUT.f32 OUTPUT.f32 | exact]
 *
 * CONFIG: model options in the original library's names, "" for none. INPUT and OUTPUT are raw little-endian float32.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "projdiff/projdiff.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Peak resident KiB of this program. getrusage would count what the caller had resident before exec. */
static long peak(void)
{
    char line[128];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6))
            kib = strtol(line + 6, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static int transfer(const char *path, const char *mode, float *x, size_t n)
{
    FILE *f = fopen(path, mode);
    size_t done = 0;

    if (!f)
        return 1;
    done = mode[0] == 'r' ? fread(x, sizeof *x, n, f) : fwrite(x, sizeof *x, n, f);
    return fclose(f) != 0 || done != n;
}

static int serve(pjd_runner *r, const float *x, float *out, double t, pjd_error *err)
{
    char line[16];
    pjd_runner_stats s;

    while (fgets(line, sizeof line, stdin)) {
        double start = now();

        if (pjd_runner_raw(r, x, t, out, err) != PJD_OK)
            return 1;
        start = now() - start;
        pjd_runner_get_stats(r, &s);
        printf("%.6f %ld %zu %zu\n", start, peak(), s.arena_bytes, s.weight_bytes);
        fflush(stdout);
    }
    return 0;
}

static bool read_precision(const char *word, pjd_precision *out)
{
    static const char *const names[] = {"default", "exact", "fast"};

    for (int i = 0; i < 3; i++)
        if (strcmp(word, names[i]) == 0) {
            *out = (pjd_precision)i;
            return true;
        }
    return false;
}

int main(int argc, char **argv)
{
    pjd_error err = {PJD_OK, ""};
    pjd_model *m = NULL;
    pjd_runner *r = NULL;
    float *x = NULL, *out = NULL;
    pjd_precision precision = PJD_PRECISION_DEFAULT;
    int rc = 1;

    if (argc > 8 && read_precision(argv[argc - 1], &precision))
        argc--;
    if (argc != 8 && argc != 10) {
        fprintf(stderr, "usage: model_bench MODEL CONFIG BATCH HEIGHT WIDTH THREADS T [INPUT.f32 OUTPUT.f32] "
                        "[default|exact|fast]\n");
        return 2;
    }
    const size_t batch = strtoul(argv[3], NULL, 10), h = strtoul(argv[4], NULL, 10), w = strtoul(argv[5], NULL, 10);
    const pjd_model_options mo = {.config = argv[2]};
    const pjd_runner_options ro = {
        .threads = atoi(argv[6]), .tile = 1 << 20, .exact_size = true, .precision = precision};

    if (pjd_model_open(argv[1], &mo, &m, &err) == PJD_OK) {
        const pjd_model_info *info = pjd_model_get_info(m);
        const pjd_shape item = pjd_shape_chw(info->in_channels, h, w);
        size_t n = batch * h * w, in = n * info->in_channels, outs = n * info->out_channels;

        x = calloc(in ? in : 1, sizeof *x);
        out = calloc(outs ? outs : 1, sizeof *out);
        if (x && out && (argc < 10 || transfer(argv[8], "rb", x, in) == 0) &&
            pjd_runner_create(m, batch, &item, &ro, &r, &err) == PJD_OK)
            rc = serve(r, x, out, atof(argv[7]), &err) || (argc == 10 && transfer(argv[9], "wb", out, outs));
    }
    if (rc)
        fprintf(stderr, "model_bench: %s\n", err.text);
    pjd_runner_free(r);
    pjd_model_unref(m);
    free(x);
    free(out);
    return rc;
}
