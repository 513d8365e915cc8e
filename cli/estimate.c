/* SPDX-License-Identifier: MIT */
/* What a run will take, found out and said before it starts. */
#include "cli.h"

#include <stdlib.h>
#include <unistd.h>

/* What the program holds now, in bytes. */
static double resident(void)
{
    char line[256], *end = line;
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    /* its size, then what of it is in memory, in pages */
    if (f && fgets(line, sizeof line, f)) {
        strtoull(line, &end, 10);
        pages = strtoull(end, NULL, 10);
    }
    if (f)
        fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static bool wanted(void)
{
    return cli_progress_json() || !cli_quiet();
}

void cli_seconds_text(double seconds, char *out, size_t size)
{
    if (seconds >= 7200)
        snprintf(out, size, "%.1f h", seconds / 3600);
    else if (seconds >= 120)
        snprintf(out, size, "%.0f min", seconds / 60);
    else if (seconds >= 10)
        snprintf(out, size, "%.0f s", seconds);
    else if (seconds >= 1)
        snprintf(out, size, "%.1f s", seconds);
    else
        snprintf(out, size, "%.3g ms", 1e3 * seconds);
}

void cli_estimate_tell(const cli_estimate *e)
{
    char text[32];

    if (!e->known)
        return;
    cli_progress_clear();
    if (cli_progress_json()) {
        fprintf(stderr, "{\"event\":\"expected\",\"seconds\":%.3f,\"bytes\":%.0f,\"network_calls\":%.0f}\n", e->seconds,
                e->bytes, e->calls);
        return;
    }
    if (e->seconds < 1)
        snprintf(text, sizeof text, "less than a second");
    else
        cli_seconds_text(e->seconds, text, sizeof text);
    cli_say("expected: about %s and %.0f MiB (%.0f network calls)", text, e->bytes / 1048576, e->calls);
}

static cli_estimate make(double times, double seconds, double bytes, double calls)
{
    return (cli_estimate){
        .known = true, .seconds = times * seconds, .bytes = bytes + resident(), .calls = times * calls};
}

cli_estimate cli_estimate_solve(pjd_model *m, pjd_operator *op, const pjd_solve_options *o, size_t times)
{
    pjd_solve_report e;

    if (!wanted() || pjd_solve_estimate(m, op, o, &e, NULL) != PJD_OK)
        return (cli_estimate){0};
    return make((double)times, e.seconds, (double)e.peak_bytes, (double)e.network_calls);
}

cli_estimate cli_estimate_sample(pjd_model *m, const pjd_shape *item, const pjd_solve_options *o)
{
    pjd_solve_report e;

    if (!wanted() || pjd_sample_estimate(m, item, o, &e, NULL) != PJD_OK)
        return (cli_estimate){0};
    return make(1, e.seconds, (double)e.peak_bytes, (double)e.network_calls);
}

cli_estimate cli_estimate_sources(pjd_sources *s, const pjd_source_options *o, bool completing, size_t times)
{
    pjd_source_report e;

    if (!wanted() || pjd_sources_estimate(s, o, completing, &e, NULL) != PJD_OK)
        return (cli_estimate){0};
    return make((double)times, e.seconds, 0, (double)e.network_calls); /* what the models hold is there already */
}
