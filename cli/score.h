/* SPDX-License-Identifier: MIT */
/* An estimate beside its reference, read so that both are on one scale: what metric and evaluate share. */
#ifndef PJD_CLI_SCORE_H
#define PJD_CLI_SCORE_H

#include "cli.h"

/* Options that both commands have. `S` is the argument struct, which needs the field. */
#define CLI_OPT_RANGE(S)                                                                                               \
    {                                                                                                                  \
        "range", 0, CLI_NUMBER, offsetof(S, range), "R",                                                               \
            "width of the range of values; default: 1 for pictures (black is 0, white is 1), 2 for arrays (-1..1)",    \
            CLI_POSITIVE, CLI_NO_LIMIT, NULL                                                                           \
    }
#define CLI_OPT_ALIGN(S)                                                                                               \
    {                                                                                                                  \
        "align", 0, CLI_FLAG, offsetof(S, align), NULL,                                                                \
            "first replace the estimate by what the modulus of a Fourier transform cannot tell from it, turned by "    \
            "half or negative or both, channel by channel, where that is nearer to the reference",                     \
            0, 0, NULL                                                                                                 \
    }

typedef struct cli_pair {
    cli_media estimate, reference;
    double range;
} cli_pair;

/* Pictures, arrays or recordings of one size. range 0: 1 for pictures, 2 for arrays. align: the estimate as it lies nearest among
   what the modulus of a Fourier transform cannot tell apart. An exit code; cli_pair_free in any case. */
int cli_pair_read(const char *estimate, const char *reference, double range, bool align, cli_pair *out);
/* The mean over the items of arrays. An exit code. */
int cli_pair_score(const cli_pair *p, const char *metric, double *value);
void cli_pair_free(cli_pair *p);

#endif
