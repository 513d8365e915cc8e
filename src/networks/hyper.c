/* SPDX-License-Identifier: MIT */
#include "networks/hyper.h"

#include <cJSON.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const pjd_param *find_param(const pjd_entry *e, const char *key)
{
    for (size_t i = 0; i < e->param_count; i++)
        if (!strcmp(e->params[i].name, key))
            return &e->params[i];
    return NULL;
}

static bool find_key(const pjd_hyper *h, const char *key, size_t *at)
{
    for (size_t i = 0; i < h->kv.count; i++)
        if (!strcmp(h->kv.items[i].key, key)) {
            *at = i;
            return true;
        }
    return false;
}

static pjd_status append(pjd_hyper *h, const char *source, const char *key, const char *value, pjd_error *err)
{
    size_t n = h->kv.count;
    pjd_keyvalue *items = pjd_realloc(h->kv.items, n * sizeof *items, n + 1, sizeof *items);
    const char **sources;

    if (!items)
        return pjd_error_nomem(err, h->who, n * sizeof *items);
    h->kv.items = items;
    sources = pjd_realloc(h->source, n * sizeof *sources, n + 1, sizeof *sources);
    if (!sources)
        return pjd_error_nomem(err, h->who, n * sizeof *sources);
    h->source = sources;
    sources[n] = source;
    items[n] = (pjd_keyvalue){pjd_strdup(key), pjd_strdup(value)};
    if (!items[n].key || !items[n].value) {
        pjd_free(items[n].key);
        pjd_free(items[n].value);
        return pjd_error_nomem(err, h->who, strlen(value));
    }
    h->kv.count++;
    return PJD_OK;
}

pjd_status pjd_hyper_create(const char *who, const pjd_entry *entry, const pjd_keyvalues *options, pjd_hyper *out,
                            pjd_error *err)
{
    pjd_status st = PJD_OK;
    size_t at;

    *out = (pjd_hyper){.entry = entry, .who = who};
    for (size_t i = 0; options && i < options->count && st == PJD_OK; i++) {
        const char *key = options->items[i].key;

        if (!find_param(entry, key))
            st = pjd_error_set(err, PJD_ERR_ARG, "%s: no --model-config parameter of this network is called \"%.60s\"",
                               who, key);
        else if (find_key(out, key, &at))
            st = pjd_error_set(err, PJD_ERR_ARG, "%s: %s is given twice", who, key);
        else
            st = append(out, "option", key, options->items[i].value, err);
    }
    if (st != PJD_OK)
        pjd_hyper_free(out);
    return st;
}

void pjd_hyper_free(pjd_hyper *h)
{
    pjd_keyvalues_free(&h->kv);
    pjd_free(h->source);
    h->source = NULL;
}

pjd_status pjd_hyper_set(pjd_hyper *h, const char *source, const char *key, pjd_error *err, const char *fmt, ...)
{
    char value[512];
    size_t at;
    va_list ap;

    if (find_key(h, key, &at))
        return PJD_OK;
    va_start(ap, fmt);
    vsnprintf(value, sizeof value, fmt, ap);
    va_end(ap);
    return append(h, source, key, value, err);
}

const char *pjd_hyper_source(const pjd_hyper *h, const char *key)
{
    size_t at;

    return find_key(h, key, &at) ? h->source[at] : NULL;
}

const char *pjd_hyper_text(const pjd_hyper *h, const char *key)
{
    size_t at;

    return find_key(h, key, &at) ? h->kv.items[at].value : "";
}

pjd_status pjd_hyper_blame(const pjd_hyper *h, const char *key)
{
    const char *source = pjd_hyper_source(h, key);

    return source && !strcmp(source, "option") ? PJD_ERR_ARG : PJD_ERR_MODEL;
}

/* ---- JSON ---- */

/* The shortest of two texts that reads back as the same number: 1e-06, not 9.9999999999999995e-07. */
static void number_text(double v, char *buf, size_t size)
{
    double back;

    snprintf(buf, size, "%.15g", v);
    if (!pjd_parse_double(buf, &back) || back != v)
        snprintf(buf, size, "%.17g", v);
}

static bool scalar_text(const cJSON *v, bool number_type, char *buf, size_t size)
{
    if (cJSON_IsNull(v))
        snprintf(buf, size, "%s", number_type ? "0" : "none");
    else if (cJSON_IsBool(v))
        snprintf(buf, size, "%s", cJSON_IsTrue(v) ? "true" : "false");
    else if (cJSON_IsNumber(v) && v->valuedouble >= -1e15 && v->valuedouble <= 1e15 &&
             v->valuedouble == (double)(long long)v->valuedouble)
        snprintf(buf, size, "%lld", (long long)v->valuedouble);
    else if (cJSON_IsNumber(v))
        number_text(v->valuedouble, buf, size);
    else if (cJSON_IsString(v))
        snprintf(buf, size, "%s", v->valuestring);
    else
        return false;
    return true;
}

static pjd_status add_json(pjd_hyper *h, const char *source, const pjd_param *p, const cJSON *v, pjd_error *err)
{
    bool number = p->type == PJD_PARAM_INT || p->type == PJD_PARAM_FLOAT;
    size_t room = 512 + (cJSON_IsArray(v) ? (size_t)cJSON_GetArraySize(v) * 64 : 0), used = 0;
    char *text = pjd_alloc(room, 1);
    pjd_status st = PJD_OK;
    bool good = true;

    if (!text)
        return pjd_error_nomem(err, h->who, room);
    text[0] = '\0';
    if (cJSON_IsArray(v)) {
        const cJSON *e;

        cJSON_ArrayForEach(e, v)
        {
            char item[64];

            good = good && scalar_text(e, true, item, sizeof item);
            if (!good)
                break;
            used += (size_t)snprintf(text + used, room - used, "%s%s", used ? "," : "", item);
        }
    } else {
        good = scalar_text(v, number, text, room);
    }
    if (!good)
        st = pjd_error_set(err, PJD_ERR_MODEL, "%s: %s: a number, text or list expected for %s", h->who, source,
                           p->name);
    else
        st = append(h, source, p->name, text, err);
    pjd_free(text);
    return st;
}

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = words; p && n && (p = strstr(p, word)); p += n)
        if ((p == words || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    return false;
}

pjd_status pjd_hyper_json(pjd_hyper *h, const char *source, const char *text, const char *ignored, const pjd_log *log,
                          pjd_error *err)
{
    cJSON *root;
    const cJSON *v;
    pjd_status st = PJD_OK;
    size_t at;

    if (!text)
        return PJD_OK;
    root = cJSON_Parse(text);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return pjd_error_set(err, PJD_ERR_MODEL, "%s: %s: not a JSON object", h->who, source);
    }
    cJSON_ArrayForEach(v, root)
    {
        const pjd_param *p = find_param(h->entry, v->string);

        if (!p) {
            if (v->string[0] != '_' && !has_word(ignored, v->string))
                pjd_logf(log, PJD_LOG_DEBUG, "%s: %s: \"%.60s\" is not used", h->who, source, v->string);
        } else if (!find_key(h, v->string, &at)) {
            st = add_json(h, source, p, v, err);
            if (st != PJD_OK)
                break;
        }
    }
    cJSON_Delete(root);
    return st;
}

pjd_status pjd_hyper_json_text(const char *json, const char *key, char *buf, size_t size, pjd_error *err)
{
    cJSON *root;
    const cJSON *v;

    buf[0] = '\0';
    if (!json)
        return PJD_OK;
    root = cJSON_Parse(json);
    if (!root)
        return pjd_error_set(err, PJD_ERR_MODEL, "model: the configuration beside the weights is not valid JSON");
    v = cJSON_GetObjectItemCaseSensitive(root, key);
    if (cJSON_IsString(v))
        snprintf(buf, size, "%s", v->valuestring);
    cJSON_Delete(root);
    return PJD_OK;
}

/* ---- out again ---- */

pjd_status pjd_hyper_fill(const pjd_hyper *h, void *params, size_t size, pjd_error *err)
{
    pjd_error e;
    pjd_status st = pjd_params_fill(h->who, h->entry->params, h->entry->param_count, &h->kv, NULL, 0, NULL, params,
                                    size, NULL, &e);

    if (st != PJD_ERR_ARG) {
        if (st != PJD_OK && err)
            *err = e;
        return st;
    }
    /* A value the user typed is a wrong argument; one read from a file makes it an unusable model. */
    for (size_t i = 0; i < h->kv.count; i++) {
        char needle[96];

        snprintf(needle, sizeof needle, ": %.80s ", h->kv.items[i].key);
        if (strstr(e.text, needle))
            st = pjd_hyper_blame(h, h->kv.items[i].key);
    }
    return pjd_error_set(err, st, "%s", e.text);
}

pjd_status pjd_hyper_details(const pjd_hyper *h, const char *default_source, pjd_network *net, pjd_error *err)
{
    pjd_status st = PJD_OK;

    for (size_t i = 0; i < h->entry->param_count && st == PJD_OK; i++) {
        const pjd_param *p = &h->entry->params[i];
        size_t at;

        if (p->offset < sizeof(pjd_net_schedule)) /* told in one line of its own */
            continue;
        if (find_key(h, p->name, &at))
            st = pjd_network_detail(net, err, h->source[at], p->name, "%s", h->kv.items[at].value);
        else if (p->fallback && *p->fallback)
            st = pjd_network_detail(net, err, default_source, p->name, "%s", p->fallback);
    }
    return st;
}

bool pjd_hyper_sizes(const char *text, size_t *out, size_t room, size_t *count)
{
    static const char between[] = " ,;/:[]()";

    *count = 0;
    if (!text)
        return false;
    for (text += strspn(text, between); *text; text += strspn(text, between)) {
        char *end;
        unsigned long v;

        if (*text < '0' || *text > '9' || *count == room)
            return false;
        v = strtoul(text, &end, 10);
        if (v > PJD_NET_MAX_STEPS)
            return false;
        out[(*count)++] = v;
        text = end;
    }
    return *count > 0;
}

pjd_status pjd_hyper_open(const pjd_network_class *cls, const char *family, const pjd_weights *w,
                          const pjd_keyvalues *config, const pjd_log *log, size_t size, pjd_hyper_set_up set_up,
                          pjd_network **out, pjd_error *err)
{
    pjd_network *net = NULL;
    pjd_hyper h = {0};
    pjd_status st;

    *out = NULL;
    st = pjd_network_new(cls, family, w, &net, err);
    if (st == PJD_OK)
        st = pjd_hyper_create(family, &cls->entry, config, &h, err);
    if (st == PJD_OK && !(net->priv = pjd_alloc_zero(1, size)))
        st = pjd_error_nomem(err, family, size);
    if (st == PJD_OK)
        st = set_up(net, &h, log, err);
    pjd_hyper_free(&h);
    if (st != PJD_OK) {
        pjd_network_free(net);
        return st;
    }
    *out = net;
    return PJD_OK;
}
