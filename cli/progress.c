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

/* Length of the UTF-8 character at p (RFC 3629), 0 when there is none. */
static size_t character(const unsigned char *p)
{
    size_t n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;

    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* overlong forms, surrogates, beyond U+10FFFF */
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

/* A file's name may hold any bytes, and JSON is UTF-8: what is not becomes the replacement character. */
void cli_json_string(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t n = character(p);

        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(f, "\\u%04x", *p);
        else if (n == 0)
            fputs("\\ufffd", f);
        else
            fwrite(p, 1, n, f);
        p += n ? n : 1;
    }
    fputc('"', f);
}
