/* SPDX-License-Identifier: MIT */
/*
 * demo_sound OUT.wav START SECONDS GAIN INPUT...: a part of the sum of some recordings of one rate and number of channels, times
 * GAIN, as 16-bit WAV (one input: a part of it). For tools/demo_music.
 */
#include <stdio.h>
#include <stdlib.h>

#include "projdiff/io.h"

enum { BLOCK = 4096 };

typedef struct input {
    pjd_sound *sound;
    pjd_sound_info info;
} input;

/* Read and drop the frames before the part. */
static pjd_status skip(input *in, size_t frames, float *block, pjd_error *err)
{
    pjd_status st = PJD_OK;
    size_t got = 1;

    for (; st == PJD_OK && frames > 0 && got > 0; frames -= got)
        st = pjd_sound_read(in->sound, block, frames < BLOCK ? frames : BLOCK, &got, err);
    return st;
}

static pjd_status add(input *in, size_t frames, float gain, float *block, float *sum, pjd_error *err)
{
    size_t done = 0, got = 1, channels = in->info.channels;
    pjd_status st = PJD_OK;

    while (st == PJD_OK && got > 0 && done < frames) {
        size_t left = frames - done;

        st = pjd_sound_read(in->sound, block, left < BLOCK ? left : BLOCK, &got, err);
        for (size_t i = 0; st == PJD_OK && i < got * channels; i++)
            sum[done * channels + i] += gain * block[i];
        done += got;
    }
    return st;
}

int main(int argc, char **argv)
{
    float *sum = NULL, *block = NULL;
    pjd_sound_writer *w = NULL;
    pjd_sound_info out = {0};
    pjd_error err = {PJD_OK, ""};
    pjd_status st = PJD_OK;
    size_t frames = 0;

    if (argc < 6) {
        fprintf(stderr, "usage: demo_sound OUT.wav START SECONDS GAIN INPUT...\n");
        return 2;
    }
    for (int i = 5; i < argc && st == PJD_OK; i++) {
        input in = {0};

        st = pjd_sound_open(argv[i], &in.sound, &err);
        if (st != PJD_OK)
            break;
        pjd_sound_get_info(in.sound, &in.info);
        if (i == 5) {
            out = in.info;
            out.format = PJD_SOUND_PCM16;
            out.frames = frames = (size_t)(strtod(argv[3], NULL) * in.info.rate);
            sum = calloc(frames * out.channels + 1, sizeof *sum);
            block = calloc(BLOCK * out.channels, sizeof *block);
        }
        if (!sum || !block || in.info.rate != out.rate || in.info.channels != out.channels) {
            fprintf(stderr, "demo_sound: \"%s\" has another rate or number of channels, or memory is short\n", argv[i]);
            pjd_sound_close(in.sound);
            break;
        }
        st = skip(&in, (size_t)(strtod(argv[2], NULL) * out.rate), block, &err);
        if (st == PJD_OK)
            st = add(&in, frames, strtof(argv[4], NULL), block, sum, &err);
        pjd_sound_close(in.sound);
        if (i + 1 == argc && st == PJD_OK)
            st = pjd_sound_create(argv[1], &out, true, &w, &err);
    }
    if (st == PJD_OK && w)
        st = pjd_sound_write(w, sum, frames, &err);
    if (st == PJD_OK && w)
        st = pjd_sound_commit(w, &err);
    else
        pjd_sound_abort(w);
    if (st != PJD_OK)
        fprintf(stderr, "demo_sound: %s\n", err.text);
    free(sum);
    free(block);
    return st == PJD_OK && w ? 0 : 1;
}
