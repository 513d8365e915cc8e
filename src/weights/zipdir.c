/* SPDX-License-Identifier: MIT */
#include "weights/zipdir.h"

#include <stdlib.h>
#include <string.h>

/* Sizes and signatures of APPNOTE.TXT 6.3.3, section 4.3. */
#define END_SIZE 22u
#define END64_LOCATOR_SIZE 20u
#define END64_SIZE 56u
#define CENTRAL_SIZE 46u
#define LOCAL_SIZE 30u
#define SIG_LOCAL 0x04034b50u
#define SIG_CENTRAL 0x02014b50u
#define SIG_END 0x06054b50u
#define SIG_END64 0x06064b50u
#define SIG_END64_LOCATOR 0x07064b50u
#define FLAG_DESCRIPTOR 0x0008u
#define FLAGS_ENCRYPTED 0x2041u /* encrypted, strongly encrypted, masked headers */
#define EXTRA_ZIP64 0x0001u
#define MAX_ENTRIES 1000000u

typedef struct directory {
    size_t offset, size, count;
    size_t end; /* where the records behind it begin */
} directory;

static pjd_status bad(const pjd_reader *r, const char *what, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": broken zip archive: %s", r->who, what);
}

static pjd_status bad_entry(const pjd_reader *r, const pjd_zip_entry *e, const char *what, pjd_error *err)
{
    return pjd_error_set(err, PJD_ERR_MODEL, PJD_WHO ": broken zip archive: entry " PJD_KEY ": %s", r->who,
                         PJD_KEY_ARG(e->name, e->name_len), what);
}

/* ---- end records ---- */

static pjd_status read_end64(const pjd_reader *r, size_t locator, directory *d, pjd_error *err)
{
    const unsigned char *l = r->data + locator, *p;
    uint64_t at = pjd_le64(l + 8), size, count, offset;

    if (pjd_le32(l + 4) != 0 || pjd_le32(l + 16) > 1)
        return bad(r, "several volumes", err);
    if (locator < END64_SIZE || at > locator - END64_SIZE)
        return bad(r, "a zip64 end record outside the file", err);
    p = r->data + at;
    if (pjd_le32(p) != SIG_END64 || pjd_le64(p + 4) != locator - at - 12)
        return bad(r, "no zip64 end record where its locator says", err);
    if (pjd_le32(p + 16) != 0 || pjd_le32(p + 20) != 0 || pjd_le64(p + 24) != pjd_le64(p + 32))
        return bad(r, "several volumes", err);
    count = pjd_le64(p + 32);
    size = pjd_le64(p + 40);
    offset = pjd_le64(p + 48);
    /* The plain end record says the same, or that the number does not fit there. */
    if ((d->count != count && d->count != 0xffff) || (d->size != size && d->size != 0xffffffff) ||
        (d->offset != offset && d->offset != 0xffffffff))
        return bad(r, "the two end records differ", err);
    if (count > MAX_ENTRIES || size > at || offset > at)
        return bad(r, "a directory outside the file", err);
    *d = (directory){(size_t)offset, (size_t)size, (size_t)count, (size_t)at};
    return PJD_OK;
}

static pjd_status read_end(const pjd_reader *r, directory *d, pjd_error *err)
{
    size_t at = r->size < END_SIZE ? 0 : r->size - END_SIZE;
    const unsigned char *p = r->data + at;
    pjd_status status = PJD_OK;

    /* None of the writers leaves a comment, so the record is where it has to be or the file is cut. */
    if (r->size < END_SIZE || pjd_le32(p) != SIG_END)
        return pjd_error_set(err, PJD_ERR_MODEL,
                             PJD_WHO ": truncated: a zip archive without its end record (an incomplete download?)",
                             r->who);
    if (pjd_le16(p + 20) != 0)
        return bad(r, "a comment behind the end record", err);
    if (pjd_le16(p + 4) != 0 || pjd_le16(p + 6) != 0 || pjd_le16(p + 8) != pjd_le16(p + 10))
        return bad(r, "several volumes", err);
    *d = (directory){pjd_le32(p + 16), pjd_le32(p + 12), pjd_le16(p + 10), at};
    if (at >= END64_LOCATOR_SIZE && pjd_le32(p - END64_LOCATOR_SIZE) == SIG_END64_LOCATOR)
        status = read_end64(r, at - END64_LOCATOR_SIZE, d, err);
    if (status != PJD_OK)
        return status;
    if (d->offset > d->end || d->size != d->end - d->offset)
        return bad(r, "the directory does not end at the end record", err);
    if (d->count == 0)
        return bad(r, "no entries", err);
    if (d->count > d->size / CENTRAL_SIZE)
        return bad(r, "more entries than the directory has room for", err);
    return PJD_OK;
}

/* ---- entries ---- */

/* The zip64 extra field holds, in this order, those numbers that are all ones in the header. */
static bool read_zip64(const unsigned char *extra, size_t len, uint64_t **fields, size_t count)
{
    while (len >= 4) {
        size_t id = pjd_le16(extra), n = pjd_le16(extra + 2);

        if (n > len - 4)
            return false;
        if (id == EXTRA_ZIP64) {
            if (n < count * 8)
                return false;
            for (size_t i = 0; i < count; i++)
                *fields[i] = pjd_le64(extra + 4 + 8 * i);
            return true;
        }
        extra += 4 + n;
        len -= 4 + n;
    }
    return count == 0;
}

static bool safe_name(const char *name, size_t len)
{
    if (len == 0 || len > PJD_WEIGHTS_MAX_NAME || name[0] == '/' || memchr(name, '\0', len) || memchr(name, '\\', len))
        return false;
    if (len >= 2 && name[1] == ':')
        return false;
    for (size_t i = 0; i < len;) {
        size_t n = 0;

        while (i + n < len && name[i + n] != '/')
            n++;
        if (n == 2 && name[i] == '.' && name[i + 1] == '.')
            return false;
        i += n + 1;
    }
    return true;
}

/* The central header at *at, which moves behind it. */
static pjd_status read_central(const pjd_reader *r, const directory *d, size_t *at, pjd_zip_entry *e, pjd_error *err)
{
    const unsigned char *p = r->data + *at;
    size_t left = d->end - *at, n, fields = 0;
    uint64_t packed, size, local, *wide[3];
    unsigned flags;

    if (left < CENTRAL_SIZE || pjd_le32(p) != SIG_CENTRAL)
        return bad(r, "no directory entry where one belongs", err);
    n = CENTRAL_SIZE + (size_t)pjd_le16(p + 28) + pjd_le16(p + 30) + pjd_le16(p + 32);
    if (left < n)
        return bad(r, "a directory entry runs over the end", err);
    *e = (pjd_zip_entry){.name = (const char *)p + CENTRAL_SIZE, .name_len = pjd_le16(p + 28)};
    e->method = pjd_le16(p + 10);
    e->crc = pjd_le32(p + 16);
    flags = pjd_le16(p + 8);
    packed = pjd_le32(p + 20);
    size = pjd_le32(p + 24);
    local = pjd_le32(p + 42);
    if (!safe_name(e->name, e->name_len))
        return bad_entry(r, e, "an unsafe name", err);
    if (flags & FLAGS_ENCRYPTED)
        return bad_entry(r, e, "encrypted", err);
    if (pjd_le16(p + 34) != 0)
        return bad_entry(r, e, "on another volume", err);
    if (size == 0xffffffff)
        wide[fields++] = &size;
    if (packed == 0xffffffff)
        wide[fields++] = &packed;
    if (local == 0xffffffff)
        wide[fields++] = &local;
    if (!read_zip64(p + CENTRAL_SIZE + e->name_len, pjd_le16(p + 30), wide, fields))
        return bad_entry(r, e, "a damaged extra field", err);
    if (local > d->offset || packed > d->offset || size > SIZE_MAX / 2)
        return bad_entry(r, e, "bytes outside the file", err);
    if (e->method == PJD_ZIP_STORED && packed != size)
        return bad_entry(r, e, "stored with two different sizes", err);
    e->local = (size_t)local;
    e->packed = (size_t)packed;
    e->size = (size_t)size;
    *at += n;
    return PJD_OK;
}

/* The local header says the same as the central one, and the payload lies before the directory. */
static pjd_status read_local(const pjd_reader *r, const directory *d, pjd_zip_entry *e, pjd_error *err)
{
    const unsigned char *p = r->data + e->local;
    size_t left = d->offset - e->local, name_len, extra_len, fields = 0;
    uint64_t packed, size, *wide[2];
    unsigned flags;

    if (left < LOCAL_SIZE || pjd_le32(p) != SIG_LOCAL)
        return bad_entry(r, e, "no local header where the directory says", err);
    flags = pjd_le16(p + 6);
    name_len = pjd_le16(p + 26);
    extra_len = pjd_le16(p + 28);
    if (left - LOCAL_SIZE < name_len + extra_len || left - LOCAL_SIZE - name_len - extra_len < e->packed)
        return bad_entry(r, e, "bytes outside the file", err);
    if (name_len != e->name_len || memcmp(p + LOCAL_SIZE, e->name, name_len) != 0)
        return bad_entry(r, e, "another name in its local header", err);
    if (pjd_le16(p + 8) != e->method || (flags & FLAGS_ENCRYPTED))
        return bad_entry(r, e, "another method in its local header", err);
    e->offset = e->local + LOCAL_SIZE + name_len + extra_len;
    packed = pjd_le32(p + 18);
    size = pjd_le32(p + 22);
    if ((flags & FLAG_DESCRIPTOR) && (packed == 0 || packed == 0xffffffff) && (size == 0 || size == 0xffffffff))
        return PJD_OK; /* the sizes follow the data */
    if (size == 0xffffffff)
        wide[fields++] = &size;
    if (packed == 0xffffffff)
        wide[fields++] = &packed;
    if (!read_zip64(p + LOCAL_SIZE + name_len, extra_len, wide, fields))
        return bad_entry(r, e, "a damaged extra field", err);
    if (packed != e->packed || size != e->size)
        return bad_entry(r, e, "other sizes in its local header", err);
    return PJD_OK;
}

static int by_local(const void *a, const void *b)
{
    const pjd_zip_entry *x = *(const pjd_zip_entry *const *)a, *y = *(const pjd_zip_entry *const *)b;

    return (x->local > y->local) - (x->local < y->local);
}

/* Overlapping entries are what a non-recursive zip bomb is made of. */
static pjd_status check_overlap(const pjd_reader *r, const pjd_zip *z, pjd_error *err)
{
    const pjd_zip_entry **order = pjd_alloc(z->count, sizeof *order);
    pjd_status status = PJD_OK;

    if (!order)
        return pjd_error_nomem(err, r->who, z->count * sizeof *order);
    for (size_t i = 0; i < z->count; i++)
        order[i] = &z->entries[i];
    qsort(order, z->count, sizeof *order, by_local);
    for (size_t i = 0; i + 1 < z->count && status == PJD_OK; i++)
        if (order[i]->offset + order[i]->packed > order[i + 1]->local)
            status = bad_entry(r, order[i], "overlaps another entry", err);
    pjd_free(order);
    return status;
}

static pjd_status read_entries(const pjd_reader *r, const directory *d, pjd_zip *z, pjd_error *err)
{
    size_t at = d->offset;

    for (size_t i = 0; i < d->count; i++) {
        pjd_zip_entry *e = &z->entries[i];
        size_t index = i;
        pjd_status status = read_central(r, d, &at, e, err);

        if (status == PJD_OK)
            status = read_local(r, d, e, err);
        if (status != PJD_OK)
            return status;
        switch (pjd_strmap_add(&z->names, e->name, e->name_len, &index)) {
        case PJD_STRMAP_FOUND:
            return bad_entry(r, e, "listed twice", err);
        case PJD_STRMAP_NOMEM:
            return pjd_error_nomem(err, r->who, e->name_len);
        default:
            z->count++;
        }
    }
    return at == d->end ? check_overlap(r, z, err) : bad(r, "something between directory and end record", err);
}

pjd_status pjd_zip_open(const pjd_reader *r, pjd_zip *out, pjd_error *err)
{
    directory d = {0};
    pjd_status status = read_end(r, &d, err);

    *out = (pjd_zip){0};
    if (status != PJD_OK)
        return status;
    out->entries = pjd_alloc(d.count, sizeof *out->entries);
    if (!out->entries)
        return pjd_error_nomem(err, r->who, d.count * sizeof *out->entries);
    status = read_entries(r, &d, out, err);
    if (status != PJD_OK)
        pjd_zip_close(out);
    return status;
}

void pjd_zip_close(pjd_zip *z)
{
    pjd_free(z->entries);
    pjd_strmap_free(&z->names);
    *z = (pjd_zip){0};
}

const pjd_zip_entry *pjd_zip_find(const pjd_zip *z, const char *name, size_t len)
{
    size_t i;

    return pjd_strmap_find(&z->names, name, len, &i) ? &z->entries[i] : NULL;
}

const char *pjd_zip_first_name(const unsigned char *data, size_t size, size_t *len)
{
    if (size < LOCAL_SIZE || pjd_le32(data) != SIG_LOCAL || size - LOCAL_SIZE < pjd_le16(data + 26))
        return NULL;
    *len = pjd_le16(data + 26);
    return (const char *)data + LOCAL_SIZE;
}
