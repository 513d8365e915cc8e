/* SPDX-License-Identifier: MIT */
/* Priors of music: one joint model, or one for each stem. */
#include "separate.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

size_t music_find(const music *m, const char *name, size_t length)
{
    for (size_t i = 0; i < m->stems; i++)
        if (strlen(m->names[i]) == length && !memcmp(m->names[i], name, length))
            return i;
    return m->stems;
}

/* A stem's name becomes a file's name. */
static int add_name(music *m, const char *name, size_t length)
{
    if (m->stems >= MUSIC_STEMS)
        return cli_error(CLI_MODEL, "more than %d stems", MUSIC_STEMS);
    if (length == 0 || length >= MUSIC_NAME || name[0] == '.' || memchr(name, '/', length))
        return cli_error(CLI_USAGE, "\"%.*s\" is no name for a stem", (int)(length < 60 ? length : 60), name);
    if (music_find(m, name, length) < m->stems)
        return cli_error(CLI_USAGE, "two stems are called \"%.*s\"", (int)length, name);
    memcpy(m->names[m->stems], name, length);
    m->names[m->stems][length] = '\0';
    m->stems++;
    return CLI_DONE;
}

/* The stems that model i brings; key: its name on the command line or in the folder, or NULL. */
static int add_stems(music *m, const pjd_model_info *info, const char *key, size_t key_length)
{
    int code = CLI_DONE;

    for (size_t i = 0; i < info->in_channels && code == CLI_DONE; i++) {
        char made[MUSIC_NAME];
        const char *name = i < info->stem_count && info->stems && info->stems[i] ? info->stems[i] : NULL;

        if (key && info->in_channels == 1) {
            code = add_name(m, key, key_length);
            continue;
        }
        if (!name) {
            snprintf(made, sizeof made, "stem%zu", m->stems + 1);
            name = made;
        }
        code = add_name(m, name, strlen(name));
    }
    return code;
}

static int add_model(music *m, const char *path, const char *config, const char *key, size_t key_length)
{
    const pjd_model_info *info;
    int code;

    if (m->count >= MUSIC_MODELS)
        return cli_error(CLI_USAGE, "-m: more than %d models", MUSIC_MODELS);
    code = cli_model_open(path, config, &m->models[m->count]);
    if (code != CLI_DONE)
        return code;
    info = pjd_model_get_info(m->models[m->count++]);
    if (!info->sequence)
        return cli_error(CLI_MODEL, "%s: is a prior of pictures, not of sound (%s)", path, info->family);
    if (info->multiple > m->multiple)
        m->multiple = info->multiple;
    if (info->window > 0 && (m->window == 0 || info->window < m->window))
        m->window = info->window;
    if (m->sigma_min == 0 && m->sigma_max == 0) {
        m->sigma_min = info->separate_sigma_min;
        m->sigma_max = info->separate_sigma_max;
    }
    m->steps = m->steps ? m->steps : info->separate_steps;
    m->repeats = m->repeats ? m->repeats : info->separate_repeats;
    return add_stems(m, info, key, key_length);
}

/* "bass=b.ckpt,drums=d.ckpt" */
static int open_list(const char *spec, const char *config, music *m)
{
    int code = CLI_DONE;

    while (*spec && code == CLI_DONE) {
        size_t n = strcspn(spec, ","), key = strcspn(spec, "=,");
        char path[CLI_PATH_MAX];

        if (key >= n || n - key - 1 >= sizeof path || n - key - 1 == 0)
            return cli_error(CLI_USAGE, "-m: expected STEM=FILE,STEM=FILE,..., found \"%.80s\"", spec);
        snprintf(path, sizeof path, "%.*s", (int)(n - key - 1), spec + key + 1);
        code = add_model(m, path, config, spec, key);
        spec += n + (spec[n] == ',');
    }
    return code;
}

static int keep_folders(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

/* A folder that holds a folder for each stem, in the order of their names. */
static int open_folder(const char *folder, const char *config, music *m)
{
    struct dirent **list = NULL;
    int n = scandir(folder, &list, keep_folders, alphasort), code = CLI_DONE;

    for (int i = 0; i < n; i++) {
        char path[CLI_PATH_MAX];

        if (code == CLI_DONE && (size_t)snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name) < sizeof path &&
            is_folder(path))
            code = add_model(m, path, config, list[i]->d_name, strlen(list[i]->d_name));
        free(list[i]);
    }
    free(list);
    if (code == CLI_DONE && m->count == 0)
        code = cli_error(CLI_MODEL, "%s: expected a model, or a folder with a folder for each stem", folder);
    return code;
}

/* A model of its own, not a folder of stem folders. */
static bool is_model(const char *path)
{
    static const char *const files[] = {"config.json", "model_index.json", "unet/config.json"};
    char file[CLI_PATH_MAX];

    if (!is_folder(path))
        return true;
    for (size_t i = 0; i < CLI_COUNTOF(files); i++)
        if ((size_t)snprintf(file, sizeof file, "%s/%s", path, files[i]) < sizeof file && access(file, R_OK) == 0)
            return true;
    return false;
}

static int rename_stems(const char *names, music *m)
{
    size_t stems = m->stems;
    int code = CLI_DONE;

    m->stems = 0;
    while (*names && code == CLI_DONE) {
        size_t n = strcspn(names, ",");

        code = add_name(m, names, n);
        names += n + (names[n] == ',');
    }
    if (code == CLI_DONE && m->stems != stems)
        return cli_error(CLI_USAGE, "--stems: expected %zu names, found %zu", stems, m->stems);
    return code;
}

static int find_rate(double wanted, music *m)
{
    double rate = 0;

    for (size_t i = 0; i < m->count; i++) {
        double own = pjd_model_get_info(m->models[i])->sample_rate;

        if (own > 0 && rate > 0 && own != rate)
            return cli_error(CLI_MODEL, "-m: one model is for %g Hz, another for %g Hz", rate, own);
        rate = own > 0 ? own : rate;
    }
    if (wanted > 0)
        rate = wanted;
    if (!(rate > 0)) {
        rate = 22050;
        cli_say("the model does not tell its rate: 22050 Hz assumed (--rate)");
    }
    if (!(rate >= PJD_SOUND_MIN_RATE && rate <= PJD_SOUND_MAX_RATE && rate == floor(rate)))
        return cli_error(CLI_MODEL, "-m: a rate of %g Hz is not usable", rate);
    m->rate = (unsigned)rate;
    return CLI_DONE;
}

int music_check_levels(double sigma_min, double sigma_max, double highest)
{
    double low = sigma_min > 0 ? sigma_min : 1e-4, high = sigma_max > 0 ? sigma_max : highest;

    if (!(low < high))
        return cli_error(CLI_USAGE, "--sigma-min: expected less than the highest level, %g, found %g", high, low);
    return CLI_DONE;
}

int music_open(const char *spec, const char *config, const char *stems, double rate, bool joint, music *out)
{
    static const char *const shipped[] = {"music/isdm", "music/msdm"};
    char found[CLI_PATH_MAX];
    const char *equal = spec ? strchr(spec, '=') : NULL;
    int code;

    memset(out, 0, sizeof *out);
    out->multiple = 1;
    if (!spec) {
        if (!cli_find_shipped(shipped[joint], found, sizeof found) &&
            !cli_find_shipped(shipped[!joint], found, sizeof found))
            return cli_error(CLI_MODEL, "the prior of music that ships was not found: give -m MODEL, or set "
                                        "PROJDIFF_MODELS to the folder that holds \"music\"");
        spec = found;
        if (cli_verbose())
            cli_say("model: %s", spec);
    }
    if (equal && access(spec, F_OK) != 0)
        code = open_list(spec, config, out);
    else
        code = is_model(spec) ? add_model(out, spec, config, NULL, 0) : open_folder(spec, config, out);
    if (code == CLI_DONE && stems)
        code = rename_stems(stems, out);
    if (code == CLI_DONE)
        code = find_rate(rate, out);
    return code;
}

int music_windows(const music *m, double window, double overlap, size_t length, pjd_windows *out)
{
    /* 262144 samples at 22050 Hz: what the published models were trained on, which do not tell */
    double published = 262144 / 22050.0;
    size_t longest = window > 0 ? (size_t)(window * m->rate) : m->window ? m->window : (size_t)(published * m->rate);
    size_t over = overlap >= 0 ? (size_t)(overlap * m->rate) : (size_t)(1.5 * m->rate);
    pjd_error err;

    if (overlap < 0 && over > longest / 2)
        over = longest / 2;
    if (longest < 2 || over >= longest)
        return cli_error(CLI_USAGE, "--overlap: expected less than the window of %g s, found %g s",
                         (double)longest / m->rate, overlap);
    /* a network that learned from seconds of sound has nothing to say about less than one */
    if (pjd_windows_plan(length, longest, m->rate < longest ? m->rate : longest, over, m->multiple, out, &err) !=
        PJD_OK)
        return cli_fail(&err, NULL, false);
    return CLI_DONE;
}

void music_close(music *m)
{
    for (size_t i = 0; i < m->count; i++)
        pjd_model_unref(m->models[i]);
    m->count = 0;
}

bool music_path(const char *dir, const char *name, size_t take, size_t takes, const char *ext, char *out, size_t size)
{
    if (takes > 1)
        return (size_t)snprintf(out, size, "%s/%s-%zu.%s", dir, name, take + 1, ext) < size;
    return (size_t)snprintf(out, size, "%s/%s.%s", dir, name, ext) < size;
}

int music_folder(const char *dir)
{
    if (is_folder(dir))
        return CLI_DONE;
    if (mkdir(dir, 0777) != 0)
        return cli_error(errno == EEXIST ? CLI_USAGE : CLI_FAILED, "%s: expected a folder: %s", dir, strerror(errno));
    return CLI_DONE;
}

/* splitmix64 (Steele et al. 2014); window 0 of take 0 keeps the seed itself */
uint64_t music_seed(uint64_t seed, size_t window, size_t take)
{
    uint64_t z = (uint64_t)window * 0x9E3779B97F4A7C15U + (uint64_t)take * 0xD1B54A32D192ED03U;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return seed ^ z ^ (z >> 31);
}
