/* SPDX-License-Identifier: MIT */
/* The picture of what was done: the mix, and the stems as they were written. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "separate.h"

enum { COLUMNS = 640, ROWS = 150, BLOCK = 4096 };

static int look(pjd_sound *s, size_t frames, pjd_sound_plot *p)
{
    pjd_sound_info info;
    pjd_view *v = NULL;
    float *block, *low = malloc((2 + ROWS) * COLUMNS * sizeof *low);
    pjd_error err;
    size_t got = 1;
    int code = CLI_DONE;

    pjd_sound_get_info(s, &info);
    p->low = low; /* freed by the caller */
    block = malloc(BLOCK * info.channels * sizeof *block);
    if (!block || !low)
        code = cli_error(CLI_MEMORY, "out of memory");
    else if (pjd_view_create(COLUMNS, ROWS, info.rate, frames, &v, &err) != PJD_OK ||
             pjd_sound_rewind(s, &err) != PJD_OK)
        code = cli_fail(&err, NULL, false);
    while (code == CLI_DONE && got > 0) {
        if (pjd_sound_read(s, block, BLOCK, &got, &err) != PJD_OK)
            code = cli_fail(&err, NULL, false);
        for (size_t i = 0; i < got && code == CLI_DONE; i++) {
            double sum = 0;

            for (size_t c = 0; c < info.channels; c++)
                sum += block[i * info.channels + c];
            block[i] = (float)(sum / (double)info.channels);
        }
        if (code == CLI_DONE)
            pjd_view_push(v, block, got);
    }
    if (code == CLI_DONE) {
        pjd_view_get(v, low, low + COLUMNS, low + 2 * COLUMNS);
        p->high = low + COLUMNS;
        p->db = low + 2 * COLUMNS;
        p->columns = COLUMNS;
        p->rows = ROWS;
        p->seconds = (double)frames / info.rate;
        p->lowest = PJD_VIEW_LOWEST;
        p->highest = info.rate / 2.0;
    }
    pjd_view_free(v);
    free(block);
    return code;
}

int separate_plot(const separate_args *a, const music *m, const mix_input *in)
{
    pjd_sound_plot plots[MUSIC_STEMS + 1] = {{0}};
    char path[CLI_PATH_MAX];
    pjd_sound *s = NULL;
    pjd_error err;
    int code;

    plots[0].title = "mix";
    code = look(in->sound, in->info.frames, &plots[0]);
    for (size_t i = 0; i < m->stems && code == CLI_DONE; i++) {
        plots[i + 1].title = m->names[i];
        if (!music_path(a->output, m->names[i], 0, 1, a->format ? "flac" : "wav", path, sizeof path))
            code = cli_error(CLI_USAGE, "-o: the name is too long");
        else if (access(path, F_OK) != 0) /* FLAC that had to become float */
            music_path(a->output, m->names[i], 0, 1, "wav", path, sizeof path);
        if (code == CLI_DONE && pjd_sound_open(path, &s, &err) != PJD_OK)
            code = cli_fail(&err, path, false);
        if (code == CLI_DONE)
            code = look(s, in->info.frames, &plots[i + 1]);
        pjd_sound_close(s);
        s = NULL;
    }
    if (code == CLI_DONE &&
        pjd_sound_plot_write(a->plot, m->stems + 1, plots, a->overwrite || a->skip_existing, &err) != PJD_OK)
        code = cli_fail(&err, a->plot, true);
    if (code == CLI_DONE)
        cli_say("written: %s", a->plot);
    for (size_t i = 0; i <= m->stems; i++)
        free((void *)(uintptr_t)plots[i].low);
    return code;
}
