/* SPDX-License-Identifier: MIT */
/* Writing WAV and FLAC through libsndfile, a block at a time, whole or not at all. */
#include <math.h>
#include <sndfile.h>
#include <string.h>
#include <strings.h>

#include "io/internal.h"

enum { BLOCK = 4096 };

struct pjd_sound_writer {
    SNDFILE *file;
    pjd_output *output;
    char *path;
    pjd_sound_info info;
    size_t clipped;
    int block[BLOCK];
};

static const struct format {
    int subtype;
    unsigned bits;
} formats[] = {
    [PJD_SOUND_PCM16] = {SF_FORMAT_PCM_16, 16},
    [PJD_SOUND_PCM24] = {SF_FORMAT_PCM_24, 24},
    [PJD_SOUND_PCM32] = {SF_FORMAT_PCM_32, 32},
    [PJD_SOUND_FLOAT] = {SF_FORMAT_FLOAT, 32},
};

static pjd_status check(const char *path, const pjd_sound_info *info, int *format, pjd_error *err)
{
    const char *ext = pjd_extension(path);
    bool flac = !strcasecmp(ext, "flac");
    size_t bytes;

    if (!flac && strcasecmp(ext, "wav") != 0)
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: sound is written as .wav or .flac", path);
    if ((unsigned)info->format >= PJD_COUNTOF(formats))
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: unknown sample format %d", path, (int)info->format);
    if (flac && info->format > PJD_SOUND_PCM24)
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: FLAC holds 16 or 24 bit, not %s", path,
                             info->format == PJD_SOUND_FLOAT ? "floating point" : "32 bit");
    if (info->rate < PJD_SOUND_MIN_RATE || info->rate > PJD_SOUND_MAX_RATE || info->channels < 1 ||
        info->channels > (flac ? 8 : PJD_SOUND_MAX_CHANNELS))
        return pjd_error_set(err, PJD_ERR_ARG, "%.200s: %u Hz with %zu channels cannot be written", path, info->rate,
                             info->channels);
    if (!pjd_mul(info->frames, info->channels * formats[info->format].bits / 8, &bytes))
        bytes = SIZE_MAX;
    /* RF64 is WAV with 64-bit sizes, for what does not fit in 4 GiB. */
    *format = (flac                  ? SF_FORMAT_FLAC
               : bytes > 0xFFFF0000U ? SF_FORMAT_RF64
                                     : SF_FORMAT_WAV) |
              formats[info->format].subtype;
    return PJD_OK;
}

pjd_status pjd_sound_create(const char *path, const pjd_sound_info *info, bool overwrite, pjd_sound_writer **out,
                            pjd_error *err)
{
    SF_INFO sf = {.samplerate = (int)info->rate, .channels = (int)info->channels};
    pjd_sound_writer *w;
    pjd_status st;

    *out = NULL;
    st = check(path, info, &sf.format, err);
    if (st != PJD_OK)
        return st;
    w = pjd_alloc_zero(1, sizeof *w);
    if (!w)
        return pjd_io_nomem(err, path, sizeof *w);
    w->info = *info;
    w->path = pjd_strdup(path);
    if (!w->path)
        st = pjd_io_nomem(err, path, strlen(path));
    else
        st = pjd_output_begin(path, overwrite, &w->output, NULL, err);
    if (st == PJD_OK) {
        w->file = sf_open_fd(pjd_output_fd(w->output), SFM_WRITE, &sf, 0);
        if (!w->file)
            st = pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: %.150s", path, sf_strerror(NULL));
    }
    if (st != PJD_OK) {
        pjd_sound_abort(w);
        return st;
    }
    /* The PEAK chunk holds the time of writing: the same input would not give the same bytes. */
    sf_command(w->file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE);
    *out = w;
    return PJD_OK;
}

static pjd_status failed(pjd_sound_writer *w, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: %.150s", w->path, sf_strerror(w->file));
}

/* libsndfile writes v * 32767 but reads v / 32768: our own rounding keeps a sample what it was. */
static void quantise(pjd_sound_writer *w, const float *from, size_t n)
{
    unsigned bits = formats[w->info.format].bits;
    double scale = ldexp(1, (int)bits - 1), top = scale - 1;

    for (size_t i = 0; i < n; i++) {
        double v = nearbyint((double)from[i] * scale);

        if (!(v <= top && v >= -scale)) {
            w->clipped++;
            v = v > 0 ? top : v < 0 ? -scale : 0;
        }
        w->block[i] = (int)(unsigned)((uint64_t)(int64_t)v << (32 - bits));
    }
}

pjd_status pjd_sound_write(pjd_sound_writer *w, const float *frames, size_t count, pjd_error *err)
{
    size_t all;

    if (!pjd_mul(count, w->info.channels, &all))
        return pjd_error_set(err, PJD_ERR_SHAPE, "%.200s: too many samples at once", w->path);
    if (w->info.format == PJD_SOUND_FLOAT)
        return sf_write_float(w->file, frames, (sf_count_t)all) == (sf_count_t)all ? PJD_OK : failed(w, err);
    for (size_t done = 0, n; done < all; done += n) {
        n = all - done < BLOCK / w->info.channels * w->info.channels ? all - done
                                                                     : BLOCK / w->info.channels * w->info.channels;
        quantise(w, frames + done, n);
        if (sf_write_int(w->file, w->block, (sf_count_t)n) != (sf_count_t)n)
            return failed(w, err);
    }
    return PJD_OK;
}

size_t pjd_sound_clipped(const pjd_sound_writer *w)
{
    return w->clipped;
}

pjd_status pjd_sound_commit(pjd_sound_writer *w, pjd_error *err)
{
    pjd_status st = PJD_OK;
    pjd_output *o = w->output;

    w->output = NULL;
    if (sf_close(w->file) != 0)
        st = pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be written: its end does not fit", w->path);
    w->file = NULL;
    if (st == PJD_OK)
        st = pjd_output_commit(o, err);
    else
        pjd_output_abort(o);
    pjd_sound_abort(w);
    return st;
}

void pjd_sound_abort(pjd_sound_writer *w)
{
    if (!w)
        return;
    if (w->file)
        sf_close(w->file);
    pjd_output_abort(w->output);
    pjd_free(w->path);
    pjd_free(w);
}
