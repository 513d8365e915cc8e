/* SPDX-License-Identifier: MIT */
/* A bar with the time left, or one JSON object a line, on standard error. */
#include "cli.h"

#include <time.h>
#include <unistd.h>

static struct {
    int mode;
    bool shown; /* a bar is on the terminal's line */
    const char *label;
    size_t number, total;
    double start, drawn;
} state = {.mode = CLI_PROGRESS_NONE};

double cli_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void cli_progress_init(int wanted)
{
    state.mode = wanted;
    if (wanted == CLI_PROGRESS_AUTO)
        state.mode = isatty(STDERR_FILENO) && !cli_quiet() ? CLI_PROGRESS_BAR : CLI_PROGRESS_NONE;
}

bool cli_progress_json(void)
{
    return state.mode == CLI_PROGRESS_JSON;
}

void cli_progress_clear(void)
{
    if (!state.shown)
        return;
    fputs("\r\033[K", stderr);
    state.shown = false;
}

void cli_progress_start(const char *label, size_t number, size_t total)
{
    state.label = label;
    state.number = number;
    state.total = total;
    state.start = cli_now();
    state.drawn = 0;
    if (state.mode == CLI_PROGRESS_JSON) {
        fputs("{\"event\":\"start\",\"input\":", stderr);
        cli_json_string(stderr, label);
        fprintf(stderr, ",\"number\":%zu,\"total\":%zu}\n", number, total);
    }
}

static void draw(size_t step, size_t steps, double left)
{
    enum { CELLS = 30 };
    char bar[CELLS + 1];
    size_t full = steps ? step * CELLS / steps : CELLS;
    long s = (long)(left + 0.5);

    for (size_t i = 0; i < CELLS; i++)
        bar[i] = i < full ? '=' : i == full ? '>' : ' ';
    bar[CELLS] = '\0';
    fputs("\r\033[K", stderr);
    if (state.total > 1)
        fprintf(stderr, "%zu/%zu ", state.number, state.total);
    fprintf(stderr, "[%s] %zu/%zu  ", bar, step, steps);
    if (s >= 3600)
        fprintf(stderr, "%ld:%02ld:%02ld left", s / 3600, s / 60 % 60, s % 60);
    else
        fprintf(stderr, "%ld:%02ld left", s / 60, s % 60);
    fflush(stderr);
    state.shown = true;
}

void cli_progress_step(size_t step, size_t steps)
{
    double t = cli_now(), elapsed = t - state.start;
    double left = step ? elapsed / (double)step * (double)(steps > step ? steps - step : 0) : 0;

    if (state.mode == CLI_PROGRESS_JSON) {
        fprintf(stderr, "{\"event\":\"step\",\"step\":%zu,\"steps\":%zu,\"seconds\":%.3f,\"left\":%.3f}\n", step, steps,
                elapsed, left);
    } else if (state.mode == CLI_PROGRESS_BAR && (t - state.drawn > 0.1 || step == steps)) {
        draw(step, steps, left);
        state.drawn = t;
    }
}

void cli_json_string(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(f, "\\u%04x", *p);
        else
            fputc(*p, f);
    }
    fputc('"', f);
}
