/* SPDX-License-Identifier: MIT */
/*
 * The diffusers layout: config.json beside diffusion_pytorch_model.{safetensors,bin}, scheduler_config.json there or in
 * scheduler/ next to it; a pipeline keeps the network in unet/. Large models are cut into shards with an index.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "weights/format.h"
#include "weights/json.h"

#define CONFIG_LIMIT (1u << 20)
#define INDEX_LIMIT (64u << 20)
#define MAX_SHARDS 10000u

static const char *const weight_files[] = {
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
    "diffusion_pytorch_model.fp16.bin",
    "model.safetensors",
};

/* dir/name; dir may be empty (the working directory). */
static char *join(pjd_weights *w, const char *dir, size_t dir_len, const char *name)
{
    size_t n = strlen(name);
    char *p = pjd_arena_alloc(&w->arena, dir_len + n + 2, 1);

    if (!p)
        return NULL;
    memcpy(p, dir, dir_len);
    if (dir_len > 0 && dir[dir_len - 1] != '/')
        p[dir_len++] = '/';
    memcpy(p + dir_len, name, n + 1);
    return p;
}

static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

static bool is_file(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* A whole JSON file, terminated, in the arena; the parsed tree into *root when wanted. */
static pjd_status read_json(pjd_weights *w, const char *path, size_t limit, const char **text, cJSON **root,
                            pjd_error *err)
{
    const pjd_json_rules rules = {.depth = 16, .values = 4000000};
    pjd_source s;
    pjd_status status = pjd_source_open(path, &s, err);
    cJSON *tree = NULL;
    char *copy;

    if (status != PJD_OK)
        return status;
    if (s.size > limit) {
        status = pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": expected at most %zu bytes, found %zu", path, limit,
                               s.size);
        goto end;
    }
    status = pjd_json_parse(path, "configuration", s.data, s.size, &rules, &tree, err);
    if (status != PJD_OK)
        goto end;
    copy = pjd_arena_strndup(&w->arena, (const char *)s.data, s.size);
    if (!copy) {
        status = pjd_error_nomem(err, path, s.size);
        goto end;
    }
    *text = copy;
    if (root) {
        *root = tree;
        tree = NULL;
    }
end:
    cJSON_Delete(tree);
    pjd_source_close(&s);
    return status;
}

/* ---- shards ---- */

/* Names of shards are plain names in the folder of the index: nothing that leads elsewhere. */
static bool plain_name(const char *s)
{
    return *s && strlen(s) <= 255 && !strpbrk(s, "/\\:") && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

typedef struct shard {
    const char *name;
    size_t first, end; /* its tensors */
} shard;

typedef struct shard_list {
    pjd_strmap names;
    shard *items;
    size_t count, capacity;
} shard_list;

static pjd_status shard_of(shard_list *l, const char *path, const char *name, size_t *index, pjd_error *err)
{
    pjd_strmap_result found;

    *index = l->count;
    found = pjd_strmap_add(&l->names, name, strlen(name), index);
    if (found == PJD_STRMAP_FOUND)
        return PJD_OK;
    if (found == PJD_STRMAP_NEW && l->count >= MAX_SHARDS)
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": more than %u shards", path, MAX_SHARDS);
    if (found == PJD_STRMAP_NEW && l->count == l->capacity) {
        size_t capacity = l->capacity ? l->capacity * 2 : 16;
        shard *items = pjd_realloc(l->items, l->count * sizeof *items, capacity, sizeof *items);

        if (items) {
            l->items = items;
            l->capacity = capacity;
        }
    }
    if (found == PJD_STRMAP_NOMEM || l->count == l->capacity)
        return pjd_error_nomem(err, path, sizeof *l->items);
    l->items[l->count++] = (shard){.name = name};
    return PJD_OK;
}

/* Every mapped tensor is in the shard that the index names. */
static pjd_status check_map(pjd_weights *w, const char *path, const cJSON *map, shard_list *l, const pjd_log *log,
                            pjd_error *err)
{
    pjd_strmap names = {0};
    pjd_status status = PJD_OK;
    size_t mapped = 0;
    const cJSON *e;

    cJSON_ArrayForEach(e, map)
    {
        size_t i = mapped++, k = 0;
        pjd_strmap_result r = pjd_strmap_add(&names, e->string, strlen(e->string), &i);

        if (r == PJD_STRMAP_NOMEM) {
            status = pjd_error_nomem(err, path, sizeof i);
            break;
        }
        if (r == PJD_STRMAP_FOUND) {
            status = pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": tensor %.100s is listed twice", path, e->string);
            break;
        }
        if (!pjd_strmap_find(&l->names, e->valuestring, strlen(e->valuestring), &k) ||
            !pjd_strmap_find(&w->stored, e->string, strlen(e->string), &i) || i < l->items[k].first ||
            i >= l->items[k].end) {
            status = pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": tensor %.100s is not in %.100s", path, e->string,
                                   e->valuestring);
            break;
        }
    }
    if (status == PJD_OK && w->count > mapped)
        pjd_logf(log, PJD_LOG_WARN, "%s: the shards hold %zu tensors that the index does not list", path,
                 w->count - mapped);
    pjd_strmap_free(&names);
    return status;
}

pjd_status pjd_index_read(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err)
{
    shard_list list = {0};
    const char *text;
    cJSON *root = NULL;
    const cJSON *map, *e;
    pjd_status status = read_json(w, path, INDEX_LIMIT, &text, &root, err);

    if (status != PJD_OK)
        return status;
    map = cJSON_GetObjectItemCaseSensitive(root, "weight_map");
    if (!cJSON_IsObject(map) || !map->child) {
        status = pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": expected a weight_map of tensors to shards", path);
        goto end;
    }
    cJSON_ArrayForEach(e, map)
    {
        size_t k;

        if (!cJSON_IsString(e) || !plain_name(e->valuestring)) {
            status = pjd_error_set(err, PJD_ERR_MODEL,
                                   PJD_WHO ": expected the plain name of a file in the same folder, found %.100s", path,
                                   cJSON_IsString(e) ? e->valuestring : "no text");
            goto end;
        }
        status = shard_of(&list, path, e->valuestring, &k, err);
        if (status != PJD_OK)
            goto end;
    }
    for (size_t k = 0; k < list.count; k++) {
        char *file = join(w, path, folder_length(path), list.items[k].name);

        if (!file) {
            status = pjd_error_nomem(err, path, strlen(path));
            goto end;
        }
        list.items[k].first = w->count;
        status = pjd_weights_read_path(w, file, log, err);
        if (status != PJD_OK)
            goto end;
        list.items[k].end = w->count;
    }
    status = check_map(w, path, map, &list, log, err);
end:
    pjd_strmap_free(&list.names);
    pjd_free(list.items);
    cJSON_Delete(root);
    return status;
}

/* ---- folders ---- */

/* scheduler_config.json in the folder, in scheduler/ below it, or in scheduler/ beside it. */
static pjd_status read_scheduler(pjd_weights *w, const char *dir, size_t dir_len, pjd_error *err)
{
    static const char *const places[] = {"scheduler_config.json", "scheduler/scheduler_config.json",
                                         "../scheduler/scheduler_config.json"};

    for (size_t i = 0; i < PJD_COUNTOF(places); i++) {
        char *path = join(w, dir, dir_len, places[i]);

        if (!path)
            return pjd_error_nomem(err, dir, dir_len);
        if (is_file(path))
            return read_json(w, path, CONFIG_LIMIT, &w->scheduler, NULL, err);
    }
    return PJD_OK;
}

/* The folder with config.json: this one, or the network of a pipeline or training run below it. */
static pjd_status find_network(pjd_weights *w, const char *path, const char **dir, const pjd_log *log, pjd_error *err)
{
    static const char *const below[] = {"", "unet_ema", "unet"};
    char *index = join(w, path, strlen(path), "model_index.json");

    if (!index)
        return pjd_error_nomem(err, path, strlen(path));
    for (size_t i = 0; i < PJD_COUNTOF(below); i++) {
        char *d = join(w, path, strlen(path), below[i]);
        char *config = d ? join(w, d, strlen(d), "config.json") : NULL;

        if (!config)
            return pjd_error_nomem(err, path, strlen(path));
        if (!is_file(config))
            continue;
        *dir = d;
        if (i > 0)
            pjd_logf(log, PJD_LOG_INFO, "%s: the network in %s/ taken%s", path, below[i],
                     strstr(below[i], "ema") ? " (EMA weights)" : "");
        return PJD_OK;
    }
    if (is_file(index))
        return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": a pipeline (model_index.json) without unet/config.json",
                             path);
    return pjd_error_set(err, PJD_ERR_MODEL,
                         PJD_WHO ": a folder without config.json; expected the diffusers layout, or give the file",
                         path);
}

pjd_status pjd_folder_read(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err)
{
    const char *dir = path;
    char *config;
    pjd_status status = find_network(w, path, &dir, log, err);

    if (status != PJD_OK)
        return status;
    config = join(w, dir, strlen(dir), "config.json");
    if (!config)
        return pjd_error_nomem(err, path, strlen(path));
    status = read_json(w, config, CONFIG_LIMIT, &w->config, NULL, err);
    if (status == PJD_OK)
        status = read_scheduler(w, dir, strlen(dir), err);
    if (status != PJD_OK)
        return status;
    for (size_t i = 0; i < PJD_COUNTOF(weight_files); i++) {
        char *file = join(w, dir, strlen(dir), weight_files[i]);
        size_t n = strlen(weight_files[i]);

        if (!file)
            return pjd_error_nomem(err, path, strlen(path));
        if (!is_file(file))
            continue;
        if (strcmp(weight_files[i] + n - 5, ".json") == 0)
            return pjd_index_read(w, file, log, err);
        return pjd_weights_read_path(w, file, log, err);
    }
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": config.json without %s or .bin", dir, weight_files[0]);
}

pjd_status pjd_folder_beside(pjd_weights *w, const char *path, const pjd_log *log, pjd_error *err)
{
    size_t dir_len = folder_length(path);
    char *config = join(w, path, dir_len, "config.json");
    const char *text;
    const cJSON *cls;
    cJSON *root = NULL;
    pjd_error ignored;
    pjd_status status;

    if (!config)
        return pjd_error_nomem(err, path, dir_len);
    if (!is_file(config))
        return PJD_OK;
    /* A stranger's config.json is no reason to refuse the file that was asked for. */
    status = read_json(w, config, CONFIG_LIMIT, &text, &root, &ignored);
    if (status == PJD_ERR_NOMEM)
        return pjd_error_nomem(err, path, dir_len);
    cls = status == PJD_OK ? cJSON_GetObjectItemCaseSensitive(root, "_class_name") : NULL;
    if (!cJSON_IsString(cls) || strncmp(cls->valuestring, "UNet", 4) != 0) {
        pjd_logf(log, PJD_LOG_DEBUG, "%s: config.json beside it is not a network's, ignored", path);
        status = PJD_OK;
    } else {
        w->config = text;
        status = read_scheduler(w, path, dir_len, err);
    }
    cJSON_Delete(root);
    return status;
}
