/* SPDX-License-Identifier: MIT */
/* projdiff metric: how far an estimate is from a reference. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

typedef struct A {
    cli_args common;
    double range;
    bool align;
} A;

static const cli_option options[] = {
    {"range", 0, CLI_NUMBER, offsetof(A, range), "R",
     "width of the range of values; default: 1 for pictures (black is 0, white is 1), 2 for arrays (-1..1)",
     CLI_POSITIVE, CLI_NO_LIMIT, NULL},
    {"align", 0, CLI_FLAG, offsetof(A, align), NULL,
     "first replace the estimate by what the modulus of a Fourier transform cannot tell from it, turned by half or "
     "negative or both, channel by channel, where that is nearer to the reference",
     0, 0, NULL},
};

/* Of a plane, its half turn and their negatives around `middle`, the one nearest to the reference. */
static void align_plane(float *e, const float *r, size_t n, float middle)
{
    double error[4] = {0};
    int best = 0;

    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 4; k++) {
            double v = e[k & 1 ? n - 1 - i : i], d = (k & 2 ? 2.0 * (double)middle - v : v) - (double)r[i];

            error[k] += d * d;
        }
    for (int k = 1; k < 4; k++)
        if (error[k] < error[best])
            best = k;
    for (size_t i = 0; best & 1 && i < n / 2; i++) {
        float t = e[i];

        e[i] = e[n - 1 - i];
        e[n - 1 - i] = t;
    }
    for (size_t i = 0; best & 2 && i < n; i++)
        e[i] = 2 * middle - e[i];
}

static void align(cli_media *e, const cli_media *r)
{
    float middle = e->array || r->array ? 0 : 0.5f;

    for (size_t k = 0; k < e->n * e->c; k++)
        align_plane(e->data + k * e->h * e->w, r->data + k * e->h * e->w, e->h * e->w, middle);
}

/* Pictures are compared on 0..1, so that --range means the same to all of them. */
static void to_unit_scale(cli_media *m)
{
    for (size_t i = 0, n = m->n * m->c * m->h * m->w; i < n; i++)
        m->data[i] = (float)(m->data[i] * 0.5 + 0.5);
}

static bool is_sound(const char *path)
{
    static const char *const kinds[] = {"wav", "flac", "ogg", "oga", "opus", "mp3", "aif", "aiff", "au", "w64"};
    char ext[16];

    cli_extension(path, ext);
    for (size_t i = 0; i < CLI_COUNTOF(kinds); i++)
        if (!strcmp(ext, kinds[i]))
            return true;
    return false;
}

/* A recording as an array [1, channels, 1, samples]. */
static pjd_status read_sound(const char *path, cli_media *out, pjd_error *err)
{
    pjd_sound *s = NULL;
    pjd_sound_info info;
    float *frames = NULL;
    size_t done = 0, got = 1;
    pjd_status st = pjd_sound_open(path, &s, err);

    if (st != PJD_OK)
        return st;
    pjd_sound_get_info(s, &info);
    *out = (cli_media){.n = 1, .c = info.channels, .h = 1, .w = info.frames, .array = true};
    frames = calloc(info.frames * info.channels + 1, sizeof *frames);
    out->data = calloc(info.frames * info.channels + 1, sizeof *out->data);
    if (!frames || !out->data)
        st = pjd_error_set(err, PJD_ERR_NOMEM, "\"%s\": no memory for %zu samples", path, info.frames);
    while (st == PJD_OK && got > 0 && done < info.frames) {
        st = pjd_sound_read(s, frames + done * info.channels, info.frames - done, &got, err);
        done += st == PJD_OK ? got : 0;
    }
    for (size_t i = 0; st == PJD_OK && i < info.frames; i++)
        for (size_t c = 0; c < info.channels; c++)
            out->data[c * info.frames + i] = frames[i * info.channels + c];
    free(frames);
    pjd_sound_close(s);
    return st;
}

static int read_both(const A *a, cli_media *estimate, cli_media *reference)
{
    const char *const *paths = &a->common.at[1];
    cli_media *both[2] = {estimate, reference};
    pjd_error err;

    if (!strcmp(paths[0], "-") && !strcmp(paths[1], "-"))
        return cli_error(CLI_USAGE, "only one of the two can be standard input");
    for (int i = 0; i < 2; i++)
        if ((is_sound(paths[i]) ? read_sound : cli_media_read)(paths[i], both[i], &err) != PJD_OK)
            return cli_fail(&err, paths[i], false);
    if (estimate->n != reference->n || estimate->c != reference->c || estimate->h != reference->h ||
        estimate->w != reference->w)
        return cli_error(CLI_USAGE, "sizes differ: %s is %zux%zu with %zu channel(s), %s is %zux%zu with %zu", paths[0],
                         estimate->w, estimate->h, estimate->n * estimate->c, paths[1], reference->w, reference->h,
                         reference->n * reference->c);
    if (!estimate->array && !reference->array) {
        to_unit_scale(estimate);
        to_unit_scale(reference);
    }
    return CLI_DONE;
}

/* The mean over the items of an array. */
static int measure(const char *name, double range, const cli_media *e, const cli_media *r, double *mean)
{
    pjd_shape shape = pjd_shape_chw(e->c, e->h, e->w);
    size_t item = e->c * e->h * e->w;
    pjd_error err;

    *mean = 0;
    for (size_t n = 0; n < e->n; n++) {
        double value;

        if (pjd_metric(name, &shape, e->data + n * item, r->data + n * item, range, &value, &err) != PJD_OK)
            return cli_fail(&err, NULL, false);
        if (e->n > 1 && cli_verbose())
            cli_say("item %zu: %s %.6f", n, name, value);
        *mean += value / (double)e->n;
    }
    return CLI_DONE;
}

static int run(const void *args)
{
    const A *a = args;
    cli_media e = {0}, r = {0};
    double range = a->range, value;
    int code = read_both(a, &e, &r);

    if (code == CLI_DONE) {
        if (!(range > 0))
            range = e.array || r.array ? 2 : 1;
        if (a->align)
            align(&e, &r);
        code = measure(a->common.at[0], range, &e, &r, &value);
    }
    if (code == CLI_DONE)
        printf("%.6f\n", value);
    cli_media_free(&e);
    cli_media_free(&r);
    return code;
}

const cli_command cli_cmd_metric = {
    .name = "metric",
    .summary = "compare an estimate with a reference: psnr, ssim, mae, rmse, si-sdr",
    .synopsis = "psnr|ssim|mae|rmse|si-sdr ESTIMATE REFERENCE [--range R] [--align]",
    .description =
        "Prints one number on standard output; for arrays of several items, the mean over the items.\n\n"
        "psnr: 10 log10(range^2 / mse) in decibels, mse over all channels and pixels; inf for equal inputs. "
        "ssim: Wang et al. "
        "2004, 11x11 Gaussian window of deviation 1.5, K1 = 0.01, K2 = 0.03, windows inside the picture "
        "only, population "
        "moments, mean over channels and positions. mae, rmse: mean absolute and root mean squared error, "
        "divided by the "
        "range. The range is the one stated, never the data's own. "
        "si-sdr: scale-invariant signal-to-distortion ratio of recordings (WAV, FLAC, OGG, MP3) or arrays in "
        "decibels, Le Roux et al. 2019, mean over channels. "
        "Alpha is left out.",
    .examples = "projdiff metric psnr restored.png original.png\nprojdiff metric ssim a.npy b.npy --range 2\n"
                "projdiff metric si-sdr stems/bass.wav bass.wav",
    .options = options,
    .option_count = CLI_COUNTOF(options),
    .size = sizeof(A),
    .min_args = 3,
    .max_args = 3,
    .run = run,
};
