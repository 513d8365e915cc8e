/* SPDX-License-Identifier: MIT */
/*
 * Names as a network knows them. Training wrappers put prefixes before the names, list the same tensors twice under two
 * of them (a module held by two others), or keep averaged weights beside the raw ones. Wrappers nest, so this goes round
 * by round until nothing changes.
 */
#include <string.h>

#include "weights/format.h"

/* One component each, or what cannot be taken apart; nested wrappers take several rounds. */
static const char *const prefixes[] = {
    "module.", "_orig_mod.",    "model.",           "unet.",          "ema_model.", "model_ema.",
    "ema.",    "online_model.", "diffusion_model.", "diffusion.net.",
};
#define PREFIXES PJD_COUNTOF(prefixes)

/* Modules that Lightning saves beside the network because training needed them. */
static const char *const training_only[] = {
    "loss.", "loss_fn.", "criterion.", "perceptual_loss.", "lpips.", "inception.", "metrics.",
};

/* Averages kept as buffers of a module whose names may not have dots (LitEma): model_ema.diffusion_modelout0weight. */
static const char SHADOW[] = "model_ema.", SHADOWED[] = "model.";
#define ASIDE SIZE_MAX /* as a twin: left out */

#define MAX_ROUNDS 8

/* Of two groups with the same names the first has the averaged weights. */
static const char *const ema_pairs[][2] = {
    {"ema_model.", "online_model."},
    {"ema_model.", "model."},
    {"model_ema.", "model."},
    {"ema.", "model."},
};

typedef struct stripping {
    pjd_weights *w;
    const char *who;
    const pjd_log *log;
    size_t *cut;          /* bytes stripped of each name so far */
    size_t *twin;         /* index of the kept twin, or its own, or ASIDE */
    unsigned char *group; /* prefix that the rest of the name begins with */
    size_t members[PREFIXES + 1];
    char text[256]; /* everything stripped, for the log */
} stripping;

static const char *rest(const stripping *s, size_t i)
{
    return s->w->tensors[i].name + s->cut[i];
}

static bool kept(const stripping *s, size_t i)
{
    return s->twin[i] == i;
}

static size_t prefix_index(const char *p)
{
    size_t k = 0;

    while (k < PREFIXES && strcmp(prefixes[k], p) != 0)
        k++;
    return k;
}

static void find_groups(stripping *s)
{
    memset(s->members, 0, sizeof s->members);
    for (size_t i = 0; i < s->w->count; i++) {
        size_t k = 0;

        if (!kept(s, i))
            continue;
        for (; k < PREFIXES; k++) {
            size_t n = strlen(prefixes[k]);

            if (strncmp(rest(s, i), prefixes[k], n) == 0 && rest(s, i)[n])
                break;
        }
        s->group[i] = (unsigned char)k;
        s->members[k]++;
    }
}

static bool same_view(const pjd_tensor *a, const pjd_tensor *b)
{
    if (a->dtype != b->dtype || !pjd_shape_equal(&a->shape, &b->shape))
        return false;
    return memcmp(a->stride, b->stride, a->shape.rank * sizeof a->stride[0]) == 0;
}

static bool same_shape(const pjd_tensor *a, const pjd_tensor *b)
{
    return pjd_shape_equal(&a->shape, &b->shape);
}

static bool contiguous(const pjd_tensor *t)
{
    pjd_tensor c = *t;

    pjd_tensor_contiguous(&c);
    return same_view(t, &c);
}

/* One tensor listed twice, or (where a format cannot share) stored twice. */
static bool same_tensor(const pjd_tensor *a, const pjd_tensor *b)
{
    size_t n;

    if (!same_view(a, b) || !pjd_shape_count(&a->shape, &n))
        return false;
    return a->data == b->data || (contiguous(a) && memcmp(a->data, b->data, n * pjd_dtype_size(a->dtype)) == 0);
}

/*
 * Drop group b when each of its tensors has a twin in group a by `same`. Returns false when out of memory; *dropped
 * tells whether it went.
 */
static bool drop_group(stripping *s, size_t a, size_t b, bool (*same)(const pjd_tensor *, const pjd_tensor *),
                       bool *dropped)
{
    pjd_weights *w = s->w;
    pjd_strmap names = {0};
    size_t na = strlen(prefixes[a]), nb = strlen(prefixes[b]);
    bool ok = true;

    *dropped = false;
    for (size_t i = 0; i < w->count && ok; i++) {
        size_t value = i;

        if (kept(s, i) && s->group[i] == a)
            ok = pjd_strmap_add(&names, rest(s, i) + na, strlen(rest(s, i) + na), &value) != PJD_STRMAP_NOMEM;
    }
    *dropped = ok;
    for (int pass = 0; pass < 2 && *dropped; pass++) {
        for (size_t i = 0; i < w->count && *dropped; i++) {
            size_t twin = 0;

            if (!kept(s, i) || s->group[i] != b)
                continue;
            *dropped = pjd_strmap_find(&names, rest(s, i) + nb, strlen(rest(s, i) + nb), &twin);
            if (*dropped && pass == 0)
                *dropped = same(&w->tensors[twin], &w->tensors[i]);
            else if (*dropped)
                s->twin[i] = twin;
        }
    }
    pjd_strmap_free(&names);
    return ok;
}

static bool take_ema(stripping *s, bool *changed)
{
    for (size_t k = 0; k < PJD_COUNTOF(ema_pairs); k++) {
        size_t a = prefix_index(ema_pairs[k][0]), b = prefix_index(ema_pairs[k][1]);
        bool dropped;

        if (s->members[a] == 0 || s->members[b] == 0)
            continue;
        if (!drop_group(s, a, b, same_shape, &dropped))
            return false;
        if (dropped) {
            pjd_logf(s->log, PJD_LOG_INFO, "%s: EMA weights taken (%s*), %zu tensors of %s* left aside", s->who,
                     prefixes[a], s->members[b], prefixes[b]);
            find_groups(s);
            *changed = true;
        }
    }
    return true;
}

static bool drop_twins(stripping *s, bool *changed)
{
    for (size_t a = 0; a < PREFIXES; a++) {
        for (size_t b = 0; b < PREFIXES; b++) {
            bool dropped;

            /* Groups of one size only: a subset under another name is not the same network. */
            if (a == b || s->members[a] == 0 || s->members[a] != s->members[b])
                continue;
            if (!drop_group(s, a, b, same_tensor, &dropped))
                return false;
            if (dropped) {
                pjd_logf(s->log, PJD_LOG_DEBUG, "%s: %s* and %s* are the same %zu tensors, taken once", s->who,
                         prefixes[a], prefixes[b], s->members[a]);
                find_groups(s);
                *changed = true;
            }
        }
    }
    return true;
}

/*
 * A prefix goes when every other name is without a dot (a buffer of the wrapper: betas, step), and when no two names
 * become one.
 */
static bool strip_one(stripping *s, bool *changed)
{
    size_t best = 0, n;
    pjd_strmap names = {0};
    bool unique = true, ok = true;

    for (size_t k = 1; k < PREFIXES; k++)
        if (s->members[k] > s->members[best])
            best = k;
    if (s->members[best] == 0)
        return true;
    n = strlen(prefixes[best]);
    for (size_t i = 0; i < s->w->count && unique && ok; i++) {
        const char *name = rest(s, i);
        size_t value = i;

        if (!kept(s, i))
            continue;
        if (s->group[i] == best) {
            name += n;
        } else if (strchr(name, '.')) {
            unique = false;
            break;
        }
        switch (pjd_strmap_add(&names, name, strlen(name), &value)) {
        case PJD_STRMAP_FOUND:
            unique = false;
            break;
        case PJD_STRMAP_NOMEM:
            ok = false;
            break;
        default:
            break;
        }
    }
    pjd_strmap_free(&names);
    if (!unique || !ok)
        return ok;
    for (size_t i = 0; i < s->w->count; i++)
        if (kept(s, i) && s->group[i] == best)
            s->cut[i] += n;
    if (strlen(s->text) + n < sizeof s->text)
        strcat(s->text, prefixes[best]);
    *changed = true;
    return true;
}

/* Unless nothing else is there. */
static void set_training_aside(stripping *s)
{
    size_t first[PJD_COUNTOF(training_only)], count[PJD_COUNTOF(training_only)] = {0}, all = 0;

    for (size_t i = 0; i < s->w->count; i++)
        for (size_t k = 0; k < PJD_COUNTOF(training_only); k++)
            if (strncmp(rest(s, i), training_only[k], strlen(training_only[k])) == 0) {
                first[k] = count[k]++ ? first[k] : i;
                all++;
            }
    for (size_t k = 0; k < PJD_COUNTOF(training_only) && all < s->w->count; k++) {
        if (count[k] == 0)
            continue;
        pjd_logf(s->log, PJD_LOG_INFO, "%s: %zu tensors of %s* left aside: they only served training", s->who, count[k],
                 training_only[k]);
        for (size_t i = first[k]; i < s->w->count; i++)
            if (strncmp(rest(s, i), training_only[k], strlen(training_only[k])) == 0)
                s->twin[i] = ASIDE;
    }
}

/* The name without its first n bytes and without dots, in the arena; NULL without memory. */
static char *dotless(stripping *s, size_t i, size_t n, size_t *length)
{
    const char *name = rest(s, i) + n;
    char *out = pjd_arena_strndup(&s->w->arena, name, strlen(name));

    *length = 0;
    for (; out && *name; name++)
        if (*name != '.')
            out[(*length)++] = *name;
    return out;
}

static bool is_shadow(const stripping *s, size_t i)
{
    const char *name = rest(s, i);

    return kept(s, i) && strncmp(name, SHADOW, sizeof SHADOW - 1) == 0 && !strchr(name + sizeof SHADOW - 1, '.');
}

/* Counters of the averaging, not weights. */
static bool is_counter(const stripping *s, size_t i)
{
    const char *name = rest(s, i) + sizeof SHADOW - 1;

    return !strcmp(name, "decay") || !strcmp(name, "num_updates");
}

/* The weights of model.* by their names without dots. */
static bool list_shadowed(stripping *s, pjd_strmap *names)
{
    for (size_t i = 0; i < s->w->count; i++) {
        size_t value = i, length;
        char *name;

        if (!kept(s, i) || strncmp(rest(s, i), SHADOWED, sizeof SHADOWED - 1) != 0)
            continue;
        name = dotless(s, i, sizeof SHADOWED - 1, &length);
        if (!name || pjd_strmap_add(names, name, length, &value) == PJD_STRMAP_NOMEM)
            return false;
    }
    return true;
}

/* When each shadow has its weight: the weights' names with the shadows' numbers. False without memory. */
static bool take_shadows(stripping *s)
{
    pjd_strmap names = {0};
    size_t shadows = 0, matched = 0, j;
    bool ok;

    for (size_t i = 0; i < s->w->count; i++)
        shadows += is_shadow(s, i) && !is_counter(s, i);
    if (shadows == 0)
        return true;
    ok = list_shadowed(s, &names);
    for (size_t i = 0; i < s->w->count && ok; i++)
        matched += is_shadow(s, i) && !is_counter(s, i) &&
                   pjd_strmap_find(&names, rest(s, i) + sizeof SHADOW - 1, strlen(rest(s, i) + sizeof SHADOW - 1),
                                   &j) &&
                   same_shape(&s->w->tensors[i], &s->w->tensors[j]);
    for (size_t i = 0; i < s->w->count && ok && matched == shadows; i++) {
        const char *name;

        if (!is_shadow(s, i))
            continue;
        s->twin[i] = ASIDE;
        if (!pjd_strmap_find(&names, rest(s, i) + sizeof SHADOW - 1, strlen(rest(s, i) + sizeof SHADOW - 1), &j))
            continue;
        name = s->w->tensors[j].name;
        s->w->tensors[j] = s->w->tensors[i];
        s->w->tensors[j].name = name;
    }
    if (ok && matched == shadows)
        pjd_logf(s->log, PJD_LOG_INFO, "%s: EMA weights taken (%s*), %zu tensors of %s* replaced", s->who, SHADOW,
                 matched, SHADOWED);
    pjd_strmap_free(&names);
    return ok;
}

/* Names, maps, and the table without the dropped ones. */
static bool rebuild(stripping *s)
{
    pjd_weights *w = s->w;
    size_t *place = pjd_alloc(w->count, sizeof *place), n = 0;
    bool ok = place != NULL;

    w->names = pjd_alloc(w->count, sizeof *w->names);
    ok = ok && w->names;
    pjd_strmap_free(&w->stored);
    for (size_t i = 0; ok && i < w->count; i++)
        if (kept(s, i))
            place[i] = n++;
    for (size_t i = 0; ok && i < w->count; i++) {
        size_t value, j = s->twin[i];

        while (j != ASIDE && j != s->twin[j])
            j = s->twin[j];
        if (j == ASIDE)
            continue;
        value = place[j];
        ok = pjd_strmap_add(&w->stored, w->tensors[i].name, strlen(w->tensors[i].name), &value) == PJD_STRMAP_NEW;
        if (ok && kept(s, i))
            ok = pjd_strmap_add(&w->stripped, rest(s, i), strlen(rest(s, i)), &value) == PJD_STRMAP_NEW;
    }
    for (size_t i = 0; ok && i < w->count; i++) {
        if (kept(s, i)) {
            w->names[place[i]] = rest(s, i);
            w->tensors[place[i]] = w->tensors[i];
        }
    }
    if (ok)
        w->count = n;
    pjd_free(place);
    return ok;
}

pjd_status pjd_weights_strip(pjd_weights *w, const char *who, const pjd_log *log, pjd_error *err)
{
    stripping s = {.w = w, .who = who, .log = log};
    bool ok, changed = true;

    s.cut = pjd_alloc_zero(w->count, sizeof *s.cut);
    s.twin = pjd_alloc(w->count, sizeof *s.twin);
    s.group = pjd_alloc_zero(w->count, 1);
    ok = s.cut && s.twin && s.group;
    for (size_t i = 0; ok && i < w->count; i++)
        s.twin[i] = i;
    if (ok)
        set_training_aside(&s);
    ok = ok && take_shadows(&s);
    for (int round = 0; ok && changed && round < MAX_ROUNDS; round++) {
        changed = false;
        find_groups(&s);
        ok = take_ema(&s, &changed) && drop_twins(&s, &changed) && strip_one(&s, &changed);
    }
    ok = ok && rebuild(&s);
    if (ok && s.text[0])
        pjd_logf(log, PJD_LOG_INFO, "%s: prefix %s stripped from the tensors' names", who, s.text);
    pjd_free(s.cut);
    pjd_free(s.twin);
    pjd_free(s.group);
    return ok ? PJD_OK : pjd_error_nomem(err, who, w->count * sizeof *s.cut);
}
