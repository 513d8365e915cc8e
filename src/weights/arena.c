/* SPDX-License-Identifier: MIT */
/* Memory that goes all at once, and a map from names to numbers. */
#include <string.h>

#include "weights/format.h"

/* ---- arena ---- */

typedef struct pjd_arena_block {
    struct pjd_arena_block *next;
    size_t used, size; /* of the bytes behind this header */
} pjd_arena_block;

#define BLOCK_HEADER 32u
#define BLOCK_FIRST 4096u
#define BLOCK_LARGEST (1u << 20)

void *pjd_arena_alloc(pjd_arena *a, size_t count, size_t size)
{
    pjd_arena_block *b = a->head;
    size_t bytes, want;
    unsigned char *p;

    if (!pjd_mul(count, size, &bytes) || bytes > SIZE_MAX / 4)
        return NULL;
    bytes = (bytes + 15) / 16 * 16;
    if (!b || b->size - b->used < bytes) {
        want = b ? b->size * 2 : BLOCK_FIRST;
        want = want < BLOCK_LARGEST ? want : BLOCK_LARGEST;
        want = want > bytes ? want : bytes;
        b = pjd_alloc(BLOCK_HEADER + want, 1);
        if (!b)
            return NULL;
        *b = (pjd_arena_block){.next = a->head, .size = want};
        a->head = b;
    }
    p = (unsigned char *)b + BLOCK_HEADER + b->used;
    b->used += bytes;
    return p;
}

char *pjd_arena_strndup(pjd_arena *a, const char *s, size_t n)
{
    char *p = pjd_arena_alloc(a, n + 1, 1);

    if (p) {
        memcpy(p, s, n);
        p[n] = '\0';
    }
    return p;
}

void pjd_arena_free(pjd_arena *a)
{
    pjd_arena_block *b = a->head;

    while (b) {
        pjd_arena_block *next = b->next;

        pjd_free(b);
        b = next;
    }
    a->head = NULL;
}

/* ---- map ---- */

typedef struct pjd_strslot {
    const char *key; /* NULL: free */
    size_t len, value;
    uint64_t hash;
} pjd_strslot;

/*
 * FNV-1a with a final mix: an open table with linear probing needs good low bits. The map's address is the seed, so that
 * a file cannot hold names made to collide; nothing that a caller sees depends on it.
 */
static uint64_t hash_bytes(const pjd_strmap *m, const char *key, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)(uintptr_t)m * 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)key[i]) * 0x100000001b3u;
    h ^= h >> 32;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static pjd_strslot *slot_for(pjd_strslot *slots, size_t capacity, const char *key, size_t len, uint64_t hash)
{
    size_t i = (size_t)hash & (capacity - 1);

    while (slots[i].key && (slots[i].hash != hash || slots[i].len != len || memcmp(slots[i].key, key, len) != 0))
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static bool grow(pjd_strmap *m)
{
    size_t capacity = m->capacity ? m->capacity * 2 : 64;
    pjd_strslot *slots = pjd_alloc_zero(capacity, sizeof *slots);

    if (!slots)
        return false;
    for (size_t i = 0; i < m->capacity; i++)
        if (m->slots[i].key)
            *slot_for(slots, capacity, m->slots[i].key, m->slots[i].len, m->slots[i].hash) = m->slots[i];
    pjd_free(m->slots);
    m->slots = slots;
    m->capacity = capacity;
    return true;
}

pjd_strmap_result pjd_strmap_add(pjd_strmap *m, const char *key, size_t len, size_t *value)
{
    uint64_t hash = hash_bytes(m, key, len);
    pjd_strslot *s;

    if (m->count >= m->capacity / 2 && !grow(m))
        return PJD_STRMAP_NOMEM;
    s = slot_for(m->slots, m->capacity, key, len, hash);
    if (s->key) {
        *value = s->value;
        return PJD_STRMAP_FOUND;
    }
    *s = (pjd_strslot){.key = key, .len = len, .value = *value, .hash = hash};
    m->count++;
    return PJD_STRMAP_NEW;
}

bool pjd_strmap_find(const pjd_strmap *m, const char *key, size_t len, size_t *value)
{
    const pjd_strslot *s;

    if (m->count == 0)
        return false;
    s = slot_for(m->slots, m->capacity, key, len, hash_bytes(m, key, len));
    if (!s->key)
        return false;
    *value = s->value;
    return true;
}

void pjd_strmap_free(pjd_strmap *m)
{
    pjd_free(m->slots);
    *m = (pjd_strmap){0};
}
