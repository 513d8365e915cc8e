/* SPDX-License-Identifier: MIT */
/* Reading an estimate and its reference, and scoring them. */
#include "score.h"

#include <stdlib.h>
#include <string.h>

#include "projdiff/io.h"

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
    *out = (cli_media){.path = path, .n = 1, .c = info.channels, .h = 1, .w = info.frames, .array = true};
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

int cli_pair_read(const char *estimate, const char *reference, double range, bool align_first, cli_pair *out)
{
    const char *paths[2] = {estimate, reference};
    cli_media *e = &out->estimate, *r = &out->reference, *both[2] = {e, r};
    pjd_error err;

    *out = (cli_pair){.range = range};
    if (!strcmp(estimate, "-") && !strcmp(reference, "-"))
        return cli_error(CLI_USAGE, "only one of the two can be standard input");
    for (int i = 0; i < 2; i++)
        if ((is_sound(paths[i]) ? read_sound : cli_media_read)(paths[i], both[i], &err) != PJD_OK)
            return cli_fail(&err, paths[i], false);
    if (e->n != r->n || e->c != r->c || e->h != r->h || e->w != r->w)
        return cli_error(CLI_USAGE, "sizes differ: %s is %zux%zu with %zu channel(s), %s is %zux%zu with %zu", estimate,
                         e->w, e->h, e->n * e->c, reference, r->w, r->h, r->n * r->c);
    if (!e->array && !r->array) {
        to_unit_scale(e);
        to_unit_scale(r);
    }
    if (!(range > 0))
        out->range = e->array || r->array ? 2 : 1;
    if (align_first)
        align(e, r);
    return CLI_DONE;
}

int cli_pair_score(const cli_pair *p, const char *metric, double *value)
{
    const cli_media *e = &p->estimate;
    pjd_shape shape = pjd_shape_chw(e->c, e->h, e->w);
    size_t item = e->c * e->h * e->w;
    pjd_error err;

    *value = 0;
    for (size_t n = 0; n < e->n; n++) {
        double one;

        if (pjd_metric(metric, &shape, e->data + n * item, p->reference.data + n * item, p->range, &one, &err) !=
            PJD_OK)
            return cli_fail(&err, e->path, false);
        if (e->n > 1 && cli_verbose())
            cli_say("item %zu: %s %.6f", n, metric, one);
        *value += one / (double)e->n;
    }
    return CLI_DONE;
}

void cli_pair_free(cli_pair *p)
{
    cli_media_free(&p->estimate);
    cli_media_free(&p->reference);
}
