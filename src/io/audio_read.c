/* SPDX-License-Identifier: MIT */
/* Reading sound through libsndfile, a block at a time. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/internal.h"

struct pjd_sound {
    SNDFILE *file;
    char *path;
    int fd;
    size_t position;
    pjd_sound_info info;
};

static const struct container {
    int major;
    const char *name;
    bool lossy;
} containers[] = {
    {SF_FORMAT_WAV, "wav", false},   {SF_FORMAT_WAVEX, "wav", false}, {SF_FORMAT_RF64, "wav", false},
    {SF_FORMAT_W64, "w64", false},   {SF_FORMAT_AIFF, "aiff", false}, {SF_FORMAT_AU, "au", false},
    {SF_FORMAT_FLAC, "flac", false}, {SF_FORMAT_OGG, "ogg", true},    {SF_FORMAT_MPEG, "mp3", true},
};

/* What a copy of the samples needs, so that nothing is lost that was there: 24 bit for what a decoder computed. */
static pjd_sound_format format_of(int format, bool lossy)
{
    switch (format & SF_FORMAT_SUBMASK) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
    case SF_FORMAT_PCM_16:
    case SF_FORMAT_ULAW:
    case SF_FORMAT_ALAW:
        return PJD_SOUND_PCM16;
    case SF_FORMAT_PCM_24:
        return PJD_SOUND_PCM24;
    case SF_FORMAT_PCM_32:
        return PJD_SOUND_PCM32;
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE:
        return PJD_SOUND_FLOAT;
    default:
        return lossy ? PJD_SOUND_PCM24 : PJD_SOUND_PCM16;
    }
}

/* Standard input goes to a file without a name: most formats, and a second pass, need to seek. */
static pjd_status spool(int *out, pjd_error *err)
{
    static const char who[] = "standard input";
    const char *folder = "/tmp";
    char name[] = "/tmp/projdiff.XXXXXX", block[16384];
    int fd = open(folder, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    ssize_t n;

    if (fd < 0) {
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0)
            unlink(name);
    }
    if (fd < 0)
        return pjd_error_set(err, PJD_ERR_IO, "%s: no room for it in %s: %s", who, folder, strerror(errno));
    for (;;) {
        n = read(STDIN_FILENO, block, sizeof block);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (pjd_file_write(fd, folder, block, (size_t)n, err) != PJD_OK) {
            close(fd);
            return err ? err->code : PJD_ERR_IO;
        }
    }
    if (n < 0 || lseek(fd, 0, SEEK_SET) != 0) {
        close(fd);
        return pjd_error_set(err, PJD_ERR_IO, "%s: cannot be read: %s", who, strerror(errno));
    }
    *out = fd;
    return PJD_OK;
}

static pjd_status open_file(pjd_sound *s, pjd_error *err)
{
    struct stat info;

    s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a fifo without a writer must not hang */
    if (s->fd < 0)
        return pjd_error_set(err, PJD_ERR_IO, "%.200s: %s", s->path, strerror(errno));
    if (fstat(s->fd, &info) != 0 || !S_ISREG(info.st_mode))
        return pjd_error_set(err, PJD_ERR_IO, "%.200s: expected a file (\"-\" is standard input)", s->path);
    if (info.st_size == 0)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: is empty", s->path);
    return PJD_OK;
}

/*
 * A WAV file whose data ends early: libsndfile reads what is there and tells only its log ("data : 400 (should be 200)").
 * Programs that write into a pipe leave sizes near the largest number; those are complete.
 */
static bool cut_short(SNDFILE *file, unsigned long *claimed, unsigned long *found)
{
    static const char size[] = "data : ", real[] = " (should be ";
    char log[16384] = "", *end;

    sf_command(file, SFC_GET_LOG_INFO, log, (int)sizeof log - 1);
    for (const char *p = strstr(log, size); p; p = strstr(p + 1, size)) {
        *claimed = strtoul(p + sizeof size - 1, &end, 10);
        if (strncmp(end, real, sizeof real - 1) != 0)
            continue;
        *found = strtoul(end + sizeof real - 1, NULL, 10);
        if (*claimed > *found && *claimed < 0x7FFF0000UL)
            return true;
    }
    return false;
}

static pjd_status look(pjd_sound *s, const SF_INFO *info, pjd_error *err)
{
    const struct container *c = NULL;
    unsigned long claimed = 0, found = 0;

    for (size_t i = 0; i < PJD_COUNTOF(containers); i++)
        if (containers[i].major == (info->format & SF_FORMAT_TYPEMASK))
            c = &containers[i];
    if (!c)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED,
                             "%.200s: expected WAV, FLAC, OGG, MP3, AIFF, AU or W64, found another kind of sound",
                             s->path);
    if (info->samplerate < PJD_SOUND_MIN_RATE || info->samplerate > PJD_SOUND_MAX_RATE)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%.200s: expected a rate of %d to %d Hz, found %d", s->path,
                             PJD_SOUND_MIN_RATE, PJD_SOUND_MAX_RATE, info->samplerate);
    if (info->channels < 1 || info->channels > PJD_SOUND_MAX_CHANNELS)
        return pjd_error_set(err, PJD_ERR_UNSUPPORTED, "%.200s: expected 1 to %d channels, found %d", s->path,
                             PJD_SOUND_MAX_CHANNELS, info->channels);
    if (info->frames < 0 || (uint64_t)info->frames > SIZE_MAX / 2)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: its length makes no sense", s->path);
    if (info->frames == 0)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: holds no samples", s->path);
    if (cut_short(s->file, &claimed, &found))
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: is truncated: expected %lu bytes of samples, found %lu",
                             s->path, claimed, found);
    s->info = (pjd_sound_info){.frames = (size_t)info->frames,
                               .channels = (size_t)info->channels,
                               .rate = (unsigned)info->samplerate,
                               .format = format_of(info->format, c->lossy),
                               .container = c->name};
    return PJD_OK;
}

/*
 * The length libsndfile gives for an MP3 file without a header that tells is a guess from its rate, above or below what is
 * there. Decode it once to know.
 */
static pjd_status count_samples(pjd_sound *s, pjd_error *err)
{
    enum { BLOCK = 1 << 14 };
    float *block = pjd_alloc(BLOCK * s->info.channels, sizeof *block);
    sf_count_t n;

    if (!block)
        return pjd_io_nomem(err, s->path, BLOCK * s->info.channels * sizeof *block);
    s->info.frames = 0;
    while ((n = sf_readf_float(s->file, block, BLOCK)) > 0)
        s->info.frames += (size_t)n;
    pjd_free(block);
    if (n < 0 || sf_error(s->file) != SF_ERR_NO_ERROR || s->info.frames == 0)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: broken after %zu samples: %.100s", s->path, s->info.frames,
                             sf_strerror(s->file));
    return pjd_sound_rewind(s, err);
}

pjd_status pjd_sound_open(const char *path, pjd_sound **out, pjd_error *err)
{
    pjd_sound *s = pjd_alloc_zero(1, sizeof *s);
    SF_INFO info = {0};
    pjd_status st;

    *out = NULL;
    if (!s)
        return pjd_io_nomem(err, path, sizeof *s);
    s->fd = -1;
    s->path = pjd_strdup(pjd_is_std(path) ? "standard input" : path);
    if (!s->path)
        st = pjd_io_nomem(err, path, strlen(path));
    else
        st = pjd_is_std(path) ? spool(&s->fd, err) : open_file(s, err);
    if (st == PJD_OK) {
        s->file = sf_open_fd(s->fd, SFM_READ, &info, 0);
        if (!s->file)
            st = pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: is not a sound file: %.150s", s->path, sf_strerror(NULL));
        else
            st = look(s, &info, err);
        if (st == PJD_OK && (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_MPEG)
            st = count_samples(s, err);
    }
    if (st != PJD_OK) {
        pjd_sound_close(s);
        return st;
    }
    *out = s;
    return PJD_OK;
}

void pjd_sound_get_info(const pjd_sound *s, pjd_sound_info *info)
{
    *info = s->info;
}

pjd_status pjd_sound_read(pjd_sound *s, float *frames, size_t count, size_t *got, pjd_error *err)
{
    sf_count_t n = 0;

    *got = 0;
    if (count > (size_t)1 << 24)
        count = (size_t)1 << 24;
    n = sf_readf_float(s->file, frames, (sf_count_t)count);
    if (n < 0 || sf_error(s->file) != SF_ERR_NO_ERROR)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: broken after %zu samples: %.100s", s->path, s->position,
                             sf_strerror(s->file));
    for (size_t i = 0; i < (size_t)n * s->info.channels; i++)
        if (!isfinite(frames[i]))
            return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: sample %zu is not a finite number", s->path,
                                 s->position + i / s->info.channels);
    if (n == 0 && count > 0 && s->position < s->info.frames)
        return pjd_error_set(err, PJD_ERR_FORMAT, "%.200s: is truncated: expected %zu samples, found %zu", s->path,
                             s->info.frames, s->position);
    s->position += (size_t)n;
    *got = (size_t)n;
    return PJD_OK;
}

pjd_status pjd_sound_rewind(pjd_sound *s, pjd_error *err)
{
    if (sf_seek(s->file, 0, SEEK_SET) != 0)
        return pjd_error_set(err, PJD_ERR_IO, "%.200s: cannot be read again from its start", s->path);
    s->position = 0;
    return PJD_OK;
}

void pjd_sound_close(pjd_sound *s)
{
    if (!s)
        return;
    if (s->file)
        sf_close(s->file);
    if (s->fd >= 0)
        close(s->fd);
    pjd_free(s->path);
    pjd_free(s);
}
