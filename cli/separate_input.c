/* SPDX-License-Identifier: MIT */
/* The mix: read as it is, and as the mono stream at the model's rate that the solver sees. */
#include "separate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

/* Larger samples are no sound, and their squares would not be finite. */
static const double LOUDEST = 1e6;

static int read_through(const char *path, mix_input *in)
{
    pjd_error err;
    size_t got, frames = 0;
    double loudest = 0;

    in->fingerprint = 0xCBF29CE484222325U;
    do {
        if (pjd_sound_read(in->sound, in->block, BLOCK, &got, &err) != PJD_OK)
            return cli_fail(&err, path, false);
        for (size_t i = 0; i < got * in->info.channels; i++) {
            double v = fabs((double)in->block[i]);
            uint32_t bits;

            memcpy(&bits, &in->block[i], sizeof bits);
            in->fingerprint = (in->fingerprint ^ bits) * 0x100000001B3U; /* FNV-1a on words */
            loudest = v > loudest ? v : loudest;
        }
        frames += got;
    } while (got > 0);
    if (!(loudest <= LOUDEST))
        return cli_error(CLI_INPUT, "%s: samples of up to %g are no sound (full scale is 1)", path, loudest);
    in->info.frames = frames;
    return CLI_DONE;
}

int mix_open(const char *path, unsigned rate, mix_input *out)
{
    pjd_error err;
    int code;

    memset(out, 0, sizeof *out);
    out->rate = rate;
    if (pjd_sound_open(path, &out->sound, &err) != PJD_OK)
        return cli_fail(&err, path, false);
    pjd_sound_get_info(out->sound, &out->info);
    out->block = malloc(BLOCK * out->info.channels * sizeof *out->block);
    out->mono = malloc(BLOCK * sizeof *out->mono);
    if (!out->block || !out->mono)
        return cli_error(CLI_MEMORY, "out of memory");
    code = read_through(path, out);
    if (code != CLI_DONE)
        return code;
    out->direct = out->info.channels == 1 && out->info.rate == rate;
    out->length = out->direct ? out->info.frames
                              : (size_t)ceil((double)out->info.frames / (double)out->info.rate * (double)rate);
    return mix_rewind(out);
}

int mix_rewind(mix_input *in)
{
    pjd_error err;

    in->have = in->used = in->position = 0;
    in->ended = false;
    pjd_rate_free(in->resampler);
    if (pjd_sound_rewind(in->sound, &err) != PJD_OK ||
        pjd_rate_create(in->info.rate, in->rate, 1, &in->resampler, &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    return CLI_DONE;
}

static int read_mono(mix_input *in)
{
    size_t channels = in->info.channels;
    pjd_error err;

    in->used = 0;
    if (pjd_sound_read(in->sound, in->block, BLOCK, &in->have, &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    in->ended = in->have == 0;
    for (size_t i = 0; i < in->have; i++) {
        double sum = 0;

        for (size_t c = 0; c < channels; c++)
            sum += in->block[i * channels + c];
        in->mono[i] = (float)(sum / (double)channels);
    }
    return CLI_DONE;
}

int mix_mono(mix_input *in, float *out, size_t n)
{
    size_t done = 0, used, made;
    pjd_error err;
    int code;

    while (done < n && in->position < in->length) {
        size_t want = n - done < in->length - in->position ? n - done : in->length - in->position;

        if (in->used == in->have && !in->ended) {
            code = read_mono(in);
            if (code != CLI_DONE)
                return code;
        }
        if (pjd_rate_run(in->resampler, in->ended ? NULL : in->mono + in->used, in->have - in->used, &used, out + done,
                         want, &made, &err) != PJD_OK)
            return cli_fail(&err, NULL, false);
        in->used += used;
        done += made;
        in->position += made;
        if (in->ended && made == 0)
            break; /* rounding of lengths: a sample of silence */
    }
    memset(out + done, 0, (n - done) * sizeof *out);
    return CLI_DONE;
}

int mix_frames(mix_input *in, float *out, size_t n)
{
    size_t done = 0, got = 1;
    pjd_error err;

    while (done < n && got > 0) {
        if (pjd_sound_read(in->sound, out + done * in->info.channels, n - done, &got, &err) != PJD_OK)
            return cli_fail(&err, NULL, false);
        done += got;
    }
    memset(out + done * in->info.channels, 0, (n - done) * in->info.channels * sizeof *out);
    return CLI_DONE;
}

void mix_close(mix_input *in)
{
    pjd_sound_close(in->sound);
    pjd_rate_free(in->resampler);
    free(in->block);
    free(in->mono);
    memset(in, 0, sizeof *in);
}
