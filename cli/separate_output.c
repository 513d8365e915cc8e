/* SPDX-License-Identifier: MIT */
/* From finished windows to files: joined, in the mix's own rate and channels, in its sample format. */
#include "separate.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

/* ---- the stems at the mix's rate ---- */

typedef struct guides {
    sep_join join;
    pjd_rate *rate;
    float *block;
    size_t have, used;
    bool ended;
} guides;

/* n frames [n, stems]; silence beyond the end */
static int next_guides(guides *g, float *out, size_t n)
{
    size_t stems = g->join.s->stems, done = 0, used, made;
    pjd_error err;
    int code;

    while (done < n) {
        if (g->used == g->have && !g->ended) {
            code = join_frames(&g->join, g->block, BLOCK, &g->have);
            if (code != CLI_DONE)
                return code;
            g->used = 0;
            g->ended = g->have == 0;
        }
        if (pjd_rate_run(g->rate, g->ended ? NULL : g->block + g->used * stems, g->have - g->used, &used,
                         out + done * stems, n - done, &made, &err) != PJD_OK)
            return cli_fail(&err, NULL, false);
        g->used += used;
        done += made;
        if (g->ended && made == 0)
            break;
    }
    memset(out + done * stems, 0, (n - done) * stems * sizeof *out);
    return CLI_DONE;
}

/* ---- files ---- */

typedef struct files {
    pjd_sound_writer *writer[MUSIC_STEMS];
    size_t stems, clipped;
} files;

static int put(files *f, size_t i, const float *frames, size_t n)
{
    pjd_error err;

    if (pjd_sound_write(f->writer[i], frames, n, &err) != PJD_OK)
        return cli_fail(&err, NULL, true);
    return CLI_DONE;
}

/* Mono at the model's rate: the stems as solved. */
static int write_direct(sep_join *j, files *f)
{
    size_t stems = f->stems, got = 1;
    float *frames = malloc(BLOCK * stems * sizeof *frames), *line = malloc(BLOCK * sizeof *line);
    int code = frames && line ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");

    while (code == CLI_DONE && got > 0) {
        code = join_frames(j, frames, BLOCK, &got);
        for (size_t i = 0; i < stems && code == CLI_DONE; i++) {
            for (size_t k = 0; k < got; k++)
                line[k] = frames[k * stems + i];
            code = put(f, i, line, got);
        }
    }
    free(frames);
    free(line);
    return code;
}

/* The part of a block that lies in [0, frames), where the block starts at `at` - delay. */
static int put_parts(files *f, const float *parts, size_t hop, size_t channels, size_t at, size_t delay, size_t frames)
{
    size_t from = at < delay ? delay - at : 0, to = hop;
    int code = CLI_DONE;

    if (from >= hop)
        return CLI_DONE;
    if (at + hop - delay > frames)
        to = frames + delay - at;
    for (size_t i = 0; i < f->stems && code == CLI_DONE; i++)
        code = put(f, i, parts + (i * hop + from) * channels, to - from);
    return code;
}

static int write_masked(guides *g, mix_input *in, files *f, double band)
{
    size_t stems = f->stems, channels = in->info.channels, hop, delay;
    pjd_unmix *u = NULL;
    float *mix, *guide, *parts;
    pjd_error err;
    int code;

    if (pjd_unmix_create(stems, channels, in->info.rate, band, &u, &err) != PJD_OK)
        return cli_fail(&err, NULL, false);
    hop = pjd_unmix_hop(u);
    delay = pjd_unmix_delay(u);
    mix = malloc(hop * channels * sizeof *mix);
    guide = malloc(hop * stems * sizeof *guide);
    parts = malloc(hop * stems * channels * sizeof *parts);
    code = mix && guide && parts ? mix_rewind(in) : cli_error(CLI_MEMORY, "out of memory");
    for (size_t at = 0; at < in->info.frames + delay && code == CLI_DONE; at += hop) {
        code = mix_frames(in, mix, hop);
        if (code == CLI_DONE)
            code = next_guides(g, guide, hop);
        if (code != CLI_DONE)
            break;
        pjd_unmix_run(u, mix, guide, parts);
        code = put_parts(f, parts, hop, channels, at, delay, in->info.frames);
        if (cli_interrupted())
            code = CLI_INTERRUPTED;
    }
    free(mix);
    free(guide);
    free(parts);
    pjd_unmix_free(u);
    return code;
}

static int fill(const music *m, mix_input *in, const sep_state *s, files *f)
{
    guides g = {0};
    pjd_error err;
    int code = join_open(s, 0, &g.join);

    g.block = malloc(BLOCK * s->stems * sizeof(float));
    if (code == CLI_DONE && !g.block)
        code = cli_error(CLI_MEMORY, "out of memory");
    if (code == CLI_DONE && in->direct)
        code = write_direct(&g.join, f);
    else if (code == CLI_DONE && pjd_rate_create(m->rate, in->info.rate, s->stems, &g.rate, &err) != PJD_OK)
        code = cli_fail(&err, NULL, false);
    else if (code == CLI_DONE) /* the resampler's filter ends at 91 % of the model's band */
        code = write_masked(&g, in, f, in->info.rate > m->rate ? 0.455 * m->rate : 0);
    pjd_rate_free(g.rate);
    join_close(&g.join);
    free(g.block);
    return code;
}

/* One pass; *again is set when a stem exceeds what an integer format holds. */
static int pass(const separate_args *a, const music *m, mix_input *in, const sep_state *s, pjd_sound_format format,
                bool *again)
{
    const char *ext = a->format && format != PJD_SOUND_FLOAT ? "flac" : "wav";
    pjd_sound_info info = in->info;
    files f = {.stems = m->stems};
    char path[CLI_PATH_MAX];
    pjd_error err;
    int code = CLI_DONE;

    info.format = format;
    *again = false;
    for (size_t i = 0; i < m->stems && code == CLI_DONE; i++)
        if (!music_path(a->output, m->names[i], 0, 1, ext, path, sizeof path))
            code = cli_error(CLI_USAGE, "-o: the name is too long");
        else if (pjd_sound_create(path, &info, a->overwrite || a->skip_existing, &f.writer[i], &err) != PJD_OK)
            code = cli_fail(&err, path, true);
    if (code == CLI_DONE)
        code = fill(m, in, s, &f);
    for (size_t i = 0; i < m->stems && code == CLI_DONE; i++)
        if (pjd_sound_clipped(f.writer[i]) > 0)
            *again = true;
    for (size_t i = 0; i < m->stems && code == CLI_DONE && !*again; i++) {
        if (pjd_sound_commit(f.writer[i], &err) != PJD_OK)
            code = cli_fail(&err, NULL, true);
        f.writer[i] = NULL;
    }
    for (size_t i = 0; i < m->stems; i++)
        pjd_sound_abort(f.writer[i]);
    return code;
}

int separate_write(const separate_args *a, const music *m, mix_input *in, const sep_state *s)
{
    pjd_sound_format format = in->info.format;
    bool again;
    int code;

    if (a->format && format == PJD_SOUND_PCM32)
        format = PJD_SOUND_PCM24;
    code = pass(a, m, in, s, format, &again);
    if (code == CLI_DONE && again) {
        cli_say("a stem exceeds full scale: all are written as 32-bit float, not clipped");
        code = pass(a, m, in, s, PJD_SOUND_FLOAT, &again);
    }
    if (code == CLI_DONE)
        cli_say("written: %zu stems in %s", m->stems, a->output);
    return code;
}
