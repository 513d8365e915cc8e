/* SPDX-License-Identifier: MIT */
/* Finished windows as one stream at the model's rate. */
#include <stdlib.h>
#include <string.h>

#include "separate.h"

int join_open(const sep_state *s, size_t take, sep_join *out)
{
    size_t record = s->windows.length * s->stems * sizeof(float);

    *out = (sep_join){.s = s, .take = take, .now = malloc(record), .before = malloc(record)};
    return out->now && out->before ? CLI_DONE : cli_error(CLI_MEMORY, "out of memory");
}

static int next_window(sep_join *j)
{
    const pjd_windows *w = &j->s->windows;
    float *swap = j->before;
    int code;

    j->before = j->now;
    j->now = swap;
    code = state_read(j->s, j->take * w->count + j->window, j->now);
    for (size_t i = 0; i < j->s->stems && j->window > 0 && code == CLI_DONE; i++)
        pjd_crossfade(j->before + i * w->length + w->hop, j->now + i * w->length, w->overlap, w->overlap / 2);
    j->window++;
    j->at = 0;
    return code;
}

int join_frames(sep_join *j, float *out, size_t n, size_t *got)
{
    const pjd_windows *w = &j->s->windows;
    int code = CLI_DONE;

    *got = 0;
    while (*got < n && j->position < j->s->length && code == CLI_DONE) {
        size_t end = j->window == w->count ? w->length : w->hop, take;

        if (j->window == 0 || j->at == end) {
            code = next_window(j);
            continue;
        }
        take = end - j->at < n - *got ? end - j->at : n - *got;
        take = take < j->s->length - j->position ? take : j->s->length - j->position;
        for (size_t f = 0; f < take; f++)
            for (size_t i = 0; i < j->s->stems; i++)
                out[(*got + f) * j->s->stems + i] = j->now[i * w->length + j->at + f];
        *got += take;
        j->at += take;
        j->position += take;
    }
    return code;
}

void join_close(sep_join *j)
{
    free(j->now);
    free(j->before);
    j->now = j->before = NULL;
}
