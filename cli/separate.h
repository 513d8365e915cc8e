/* SPDX-License-Identifier: MIT */
/* What the music commands share: separate, complete, and sample with a music prior. */
#ifndef PJD_CLI_SEPARATE_H
#define PJD_CLI_SEPARATE_H

#include "cli.h"

enum { MUSIC_MODELS = 32, MUSIC_STEMS = 64, MUSIC_NAME = 48 };

/* ---- music.c: priors of music ---- */

typedef struct music {
    pjd_model *models[MUSIC_MODELS];
    size_t count; /* of models: one joint model, or one for each stem */
    char names[MUSIC_STEMS][MUSIC_NAME];
    size_t stems;
    unsigned rate;
    size_t multiple; /* windows are a multiple of this many samples */
    size_t window;   /* samples the models were trained on at once, the fewest; 0: they do not tell */
    /* how to separate with the first model that tells; 0: the method's own */
    double sigma_min, sigma_max;
    size_t steps, repeats;
} music;

/* spec: a checkpoint or model folder, "bass=FILE,drums=FILE", a folder of stem folders, or NULL: the prior that ships; joint:
   then rather the one whose stems know of each other, for music that is invented, than one model for each stem.
   stems: names separated by commas that replace the models' own, or NULL. rate: in Hz, for models that do not tell; 0: not
   given. An exit code; music_close in any case. */
int music_open(const char *spec, const char *config, const char *stems, double rate, bool joint, music *out);
void music_close(music *m);
/* That the lowest noise level is below the highest; 0: the solver's own, `highest` for the latter. An exit code. */
int music_check_levels(double sigma_min, double sigma_max, double highest);
/* How `length` samples are cut. window, overlap: in seconds; negative: what the model was trained on (else 11.9 s), and
   1.5 s or half a window. An exit code. */
int music_windows(const music *m, double window, double overlap, size_t length, pjd_windows *out);
/* Index of a stem, or m->stems. */
size_t music_find(const music *m, const char *name, size_t length);
/* "DIR/name.ext"; with takes above 1 "DIR/name-take.ext". false when too long. */
bool music_path(const char *dir, const char *name, size_t take, size_t takes, const char *ext, char *out, size_t size);
/* DIR exists or is made; an exit code. */
int music_folder(const char *dir);
/* A different seed for every window and take. */
uint64_t music_seed(uint64_t seed, size_t window, size_t take);

/* ---- separate ---- */

typedef struct separate_args {
    cli_args common;
    const char *input, *output, *model, *model_config, *stems, *noise, *initial_noise, *plot;
    bool overwrite, skip_existing;
    long threads, steps, repeats;
    double step_size, window, overlap, rate, sigma_max, sigma_min, momentum, churn;
    int solver, format, precision, backend, progress, compat;
    uint64_t seed;
} separate_args;

/* The options of the command as the library wants them. */
void separate_options(const separate_args *a, const music *m, pjd_source_options *o);
pjd_runner_options separate_runner(const separate_args *a);

/* separate.c: a sound of any length into DIR. An exit code, with its message printed. */
int separate_sound(const separate_args *a, const music *m);
/* separate_array.c: a .npy array at the models' rate, [L], [1,L] or [1,1,L], into one array [stems,L] or [1,stems,L]. */
int separate_array(const separate_args *a, const music *m);

/* ---- separate_input.c: the mix ---- */

typedef struct mix_input {
    pjd_sound *sound;
    pjd_sound_info info; /* frames: as counted */
    uint64_t fingerprint;
    size_t length; /* of the mono mix at the model's rate */
    unsigned rate; /* the model's */
    bool direct;   /* mono at the model's rate */
    /* the mono stream */
    pjd_rate *resampler;
    float *block, *mono; /* one block as read, and its mean over the channels */
    size_t have, used, position;
    bool ended;
} mix_input;

/* Opens, reads once through (so that a broken file is refused before the work), and counts. An exit code. */
int mix_open(const char *path, unsigned rate, mix_input *out);
int mix_rewind(mix_input *in);
/* The next n samples of the mono mix at the model's rate; silence beyond the end. */
int mix_mono(mix_input *in, float *out, size_t n);
/* The next n frames as they are; silence beyond the end. */
int mix_frames(mix_input *in, float *out, size_t n);
void mix_close(mix_input *in);

/* ---- separate_state.c: finished windows in a file, for a run that goes on later ---- */

typedef struct sep_state {
    int fd;
    char path[CLI_PATH_MAX];
    pjd_windows windows;
    size_t stems, length; /* of the mono mix */
    size_t takes;         /* how many times all windows */
    size_t done;          /* finished windows, of all takes, one take after the other */
    bool done_before;     /* some came from an earlier run */
} sep_state;

/* The file is DIR/NAME. */
int state_open(const char *dir, const char *name, const char *key, sep_state *s);
int state_append(sep_state *s, const float *stems);
int state_read(const sep_state *s, size_t window, float *stems); /* window: counted through all takes */
/* remove: the file is not needed any more; otherwise it is kept when it holds finished windows. */
void state_close(sep_state *s, bool remove);

/* ---- separate_join.c: finished windows as one stream, cross-faded ---- */

typedef struct sep_join {
    const sep_state *s;
    float *now, *before;     /* two windows, [stems, length] */
    size_t take, window, at; /* at: the sample of the window that comes next */
    size_t position;
} sep_join;

/* An exit code; join_close in any case. */
int join_open(const sep_state *s, size_t take, sep_join *out);
/* At most n frames [n, stems] into out; *got is 0 at the end. */
int join_frames(sep_join *j, float *out, size_t n, size_t *got);
void join_close(sep_join *j);

/* ---- separate_output.c: from finished windows to files ---- */

int separate_write(const separate_args *a, const music *m, mix_input *in, const sep_state *s);

/* separate_plot.c: --plot */
int separate_plot(const separate_args *a, const music *m, const mix_input *in);

#endif
