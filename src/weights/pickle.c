/* SPDX-License-Identifier: MIT */
#include "weights/pickle.h"

#include <string.h>

#include "weights/pickle_globals.h"

#define MAX_BYTES (64u << 20)
#define MAX_OBJECT_BYTES UINT32_MAX /* with the tensors in it */
#define MAX_VALUES 10000000u
#define MAX_STACK 1000000u

typedef struct machine {
    pjd_pickle *p;
    const unsigned char *data;
    size_t size, at;
    bool cut; /* there is more than size */
    pjd_pk_ref *stack;
    size_t depth, stack_capacity;
    size_t *marks;
    size_t mark_count, mark_capacity;
    pjd_pk_ref *memo; /* 0: free; the None of index 0 is never put */
    size_t memo_capacity, memo_count;
    pjd_error *err;
    pjd_status status;
} machine;

/* ---- complaints: each returns false ---- */

static bool broken(machine *m, const char *what)
{
    m->status = pjd_error_set(m->err, PJD_ERR_MODEL, PJD_WHO ": broken pickle at byte %zu: %s", m->p->r->who, m->at,
                              what);
    return false;
}

static bool no_memory(machine *m)
{
    m->status = pjd_error_nomem(m->err, m->p->r->who, m->p->count * sizeof *m->p->values);
    return false;
}

/* Double an array when it is full. */
static bool reserve(machine *m, void **array, size_t *capacity, size_t count, size_t item)
{
    size_t wanted = *capacity ? *capacity * 2 : 64;
    void *q;

    if (count < *capacity)
        return true;
    q = pjd_realloc(*array, count * item, wanted, item);
    if (!q)
        return no_memory(m);
    *array = q;
    *capacity = wanted;
    return true;
}

/* ---- bytes ---- */

static bool take(machine *m, size_t n, const unsigned char **out)
{
    if (n > m->size - m->at)
        return broken(m, m->cut ? m->p->objects ? "longer than 4 GiB" : "longer than 64 MiB" : "truncated");
    *out = m->data + m->at;
    m->at += n;
    return true;
}

/* A little-endian number of 1, 2, 4 or 8 bytes. */
static bool take_number(machine *m, size_t width, uint64_t *out)
{
    const unsigned char *b;

    if (!take(m, width, &b))
        return false;
    *out = width == 1 ? b[0] : width == 2 ? pjd_le16(b) : width == 4 ? pjd_le32(b) : pjd_le64(b);
    return true;
}

static bool take_line(machine *m, const char **out, size_t *len)
{
    const unsigned char *b = m->data + m->at, *end = memchr(b, '\n', m->size - m->at);

    if (!end || (size_t)(end - b) > PJD_WEIGHTS_MAX_NAME)
        return broken(m, "an unterminated name");
    *out = (const char *)b;
    *len = (size_t)(end - b);
    m->at += *len + 1;
    return true;
}

/* ---- values and stack ---- */

static pjd_pk_value *value(const machine *m, pjd_pk_ref ref)
{
    return &m->p->values[ref];
}

static bool push_ref(machine *m, pjd_pk_ref ref)
{
    if (m->depth >= MAX_STACK)
        return broken(m, "too many values on the stack");
    if (!reserve(m, (void **)&m->stack, &m->stack_capacity, m->depth, sizeof *m->stack))
        return false;
    m->stack[m->depth++] = ref;
    return true;
}

static bool push(machine *m, pjd_pk_value v)
{
    pjd_pickle *p = m->p;

    if (p->count >= MAX_VALUES)
        return broken(m, "too many values");
    if (!reserve(m, (void **)&p->values, &p->capacity, p->count, sizeof *p->values))
        return false;
    p->values[p->count] = v;
    return push_ref(m, (pjd_pk_ref)p->count++);
}

static bool push_text(machine *m, pjd_pk_kind kind, const char *text, size_t len)
{
    return push(m, (pjd_pk_value){.kind = (uint8_t)kind, .length = (uint32_t)len, .u.text = text});
}

/* Values above the last mark. */
static size_t available(const machine *m)
{
    return m->depth - (m->mark_count ? m->marks[m->mark_count - 1] : 0);
}

static bool pop(machine *m, pjd_pk_ref *out)
{
    if (available(m) == 0)
        return broken(m, "stack underflow");
    *out = m->stack[--m->depth];
    return true;
}

static bool top(machine *m, pjd_pk_ref *out)
{
    if (available(m) == 0)
        return broken(m, "stack underflow");
    *out = m->stack[m->depth - 1];
    return true;
}

static bool push_mark(machine *m)
{
    if (m->mark_count >= MAX_STACK)
        return broken(m, "too many marks");
    if (!reserve(m, (void **)&m->marks, &m->mark_capacity, m->mark_count, sizeof *m->marks))
        return false;
    m->marks[m->mark_count++] = m->depth;
    return true;
}

/* Take the mark off; the *n values above it stay readable at *items until the next push. */
static bool pop_mark(machine *m, pjd_pk_ref **items, size_t *n)
{
    if (m->mark_count == 0)
        return broken(m, "no mark");
    *n = m->depth - m->marks[--m->mark_count];
    m->depth -= *n;
    *items = m->stack ? m->stack + m->depth : NULL; /* a mark on an empty stack */
    return true;
}

/* ---- containers ---- */

static bool append(machine *m, pjd_pk_ref target, const pjd_pk_ref *items, size_t n)
{
    pjd_pk_value *v = value(m, target);
    size_t length = (size_t)v->length + n, capacity = v->capacity;

    if (length > MAX_VALUES)
        return broken(m, "too many items");
    if (length > capacity) {
        pjd_pk_ref *grown;

        capacity = capacity * 2 > length ? capacity * 2 : length;
        grown = pjd_arena_alloc(&m->p->arena, capacity, sizeof *grown);
        if (!grown)
            return no_memory(m);
        if (v->length)
            memcpy(grown, v->u.items, v->length * sizeof *grown);
        v->u.items = grown;
        v->capacity = (uint32_t)capacity;
    }
    if (n)
        memcpy(v->u.items + v->length, items, n * sizeof *items);
    v->length = (uint32_t)length;
    return true;
}

static bool push_container(machine *m, pjd_pk_kind kind, const pjd_pk_ref *items, size_t n)
{
    /* The items lie on the stack where the container goes: copy them before pushing. */
    pjd_pk_ref *copy = n ? pjd_arena_alloc(&m->p->arena, n, sizeof *copy) : NULL;

    if (n && !copy)
        return no_memory(m);
    if (n)
        memcpy(copy, items, n * sizeof *copy);
    return push(m,
                (pjd_pk_value){.kind = (uint8_t)kind, .length = (uint32_t)n, .capacity = (uint32_t)n, .u.items = copy});
}

static bool marked(machine *m, pjd_pk_kind kind)
{
    pjd_pk_ref *items;
    size_t n;

    if (!pop_mark(m, &items, &n))
        return false;
    if (kind == PJD_PK_DICT && n % 2)
        return broken(m, "a key without a value");
    return push_container(m, kind, items, n);
}

static bool small_tuple(machine *m, size_t n)
{
    if (available(m) < n)
        return broken(m, "stack underflow");
    m->depth -= n;
    return push_container(m, PJD_PK_TUPLE, m->stack + m->depth, n);
}

/* Add items to the container below them. Whatever goes into an opaque object is dropped. */
static bool fill(machine *m, pjd_pk_kind kind, const pjd_pk_ref *items, size_t n)
{
    pjd_pk_ref target;

    if (!top(m, &target))
        return false;
    if (kind == PJD_PK_DICT && n % 2)
        return broken(m, "a key without a value");
    if (value(m, target)->kind == PJD_PK_OPAQUE)
        return true;
    if (value(m, target)->kind != kind)
        return broken(m, "items for a value of another kind");
    return append(m, target, items, n);
}

static bool fill_marked(machine *m, pjd_pk_kind kind)
{
    pjd_pk_ref *items;
    size_t n;

    return pop_mark(m, &items, &n) && fill(m, kind, items, n);
}

static bool fill_some(machine *m, pjd_pk_kind kind, size_t n)
{
    if (available(m) < n)
        return broken(m, "stack underflow");
    m->depth -= n;
    return fill(m, kind, m->stack + m->depth, n);
}

/* ---- memo ---- */

static bool memo_put(machine *m, uint64_t index)
{
    pjd_pk_ref ref;

    if (!top(m, &ref))
        return false;
    /* Picklers count up from 0, and each entry took an opcode. */
    if (index >= m->at)
        return broken(m, "a memo index out of order");
    if (index >= m->memo_capacity) {
        size_t capacity = m->memo_capacity ? m->memo_capacity : 256;
        pjd_pk_ref *memo;

        while (capacity <= index)
            capacity *= 2;
        memo = pjd_realloc(m->memo, m->memo_capacity * sizeof *memo, capacity, sizeof *memo);
        if (!memo)
            return no_memory(m);
        memset(memo + m->memo_capacity, 0, (capacity - m->memo_capacity) * sizeof *memo);
        m->memo = memo;
        m->memo_capacity = capacity;
    }
    if (m->memo[index] == 0)
        m->memo_count++;
    m->memo[index] = ref;
    return true;
}

static bool memo_get(machine *m, uint64_t index)
{
    if (index >= m->memo_capacity || m->memo[index] == 0)
        return broken(m, "a memo entry that was never put");
    return push_ref(m, m->memo[index]);
}

/* ---- constants ---- */

static bool push_integer(machine *m, int64_t v)
{
    return push(m, (pjd_pk_value){.kind = PJD_PK_INT, .u.integer = v});
}

/* LONG1, LONG4: two's complement, little-endian. */
static bool push_long(machine *m, size_t width)
{
    const unsigned char *b;
    uint64_t n, v = 0;

    if (!take_number(m, width, &n) || !take(m, (size_t)n, &b))
        return false;
    if (n > 8)
        return push_text(m, PJD_PK_BIG, (const char *)b, (size_t)n);
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)b[i] << (8 * i);
    if (n > 0 && n < 8 && (b[n - 1] & 0x80))
        v |= ~(uint64_t)0 << (8 * n);
    return push_integer(m, (int64_t)v);
}

static bool push_double(machine *m)
{
    const unsigned char *b;
    uint64_t bits = 0;
    pjd_pk_value v = {.kind = PJD_PK_FLOAT};

    if (!take(m, 8, &b))
        return false;
    for (size_t i = 0; i < 8; i++)
        bits = bits << 8 | b[i];
    memcpy(&v.u.number, &bits, 8);
    return push(m, v);
}

static bool push_string(machine *m, pjd_pk_kind kind, size_t width)
{
    const unsigned char *b;
    uint64_t n;

    return take_number(m, width, &n) && take(m, (size_t)n, &b) && push_text(m, kind, (const char *)b, (size_t)n);
}

/* ---- objects ---- */

static bool push_global(machine *m, const char *module, size_t module_len, const char *name, size_t name_len)
{
    size_t n = module_len + 1 + name_len;
    char *text;

    /* The text is compared as a C string. */
    if (memchr(module, '\0', module_len) || memchr(name, '\0', name_len))
        return broken(m, "a global with a NUL in its name");
    text = pjd_arena_alloc(&m->p->arena, n + 1, 1);
    if (!text)
        return no_memory(m);
    memcpy(text, module, module_len);
    text[module_len] = '.';
    memcpy(text + module_len + 1, name, name_len);
    text[n] = '\0';
    return push(m, (pjd_pk_value){.kind = PJD_PK_GLOBAL,
                                  .global = (uint8_t)pjd_pickle_global(text),
                                  .length = (uint32_t)n,
                                  .u.text = text});
}

static bool global_lines(machine *m)
{
    const char *module, *name;
    size_t module_len, name_len;

    return take_line(m, &module, &module_len) && take_line(m, &name, &name_len) &&
           push_global(m, module, module_len, name, name_len);
}

static bool global_stack(machine *m)
{
    pjd_pk_ref name, module;

    if (!pop(m, &name) || !pop(m, &module))
        return false;
    if (value(m, name)->kind != PJD_PK_STR || value(m, module)->kind != PJD_PK_STR ||
        value(m, name)->length > PJD_WEIGHTS_MAX_NAME || value(m, module)->length > PJD_WEIGHTS_MAX_NAME)
        return broken(m, "a global whose name is no text");
    return push_global(m, value(m, module)->u.text, value(m, module)->length, value(m, name)->u.text,
                       value(m, name)->length);
}

/* REDUCE, NEWOBJ, NEWOBJ_EX (whose keyword arguments are dropped). */
static bool call(machine *m, bool keywords)
{
    pjd_pk_ref callable, args, ignored;
    pjd_pk_value result;

    if ((keywords && !pop(m, &ignored)) || !pop(m, &args) || !pop(m, &callable))
        return false;
    if (value(m, args)->kind != PJD_PK_TUPLE)
        return broken(m, "arguments that are no tuple");
    m->status = pjd_pickle_call(m->p, callable, args, m->at, &result, m->err);
    return m->status == PJD_OK && push(m, result);
}

static bool build(machine *m)
{
    pjd_pk_ref state, target;

    if (!pop(m, &state) || !top(m, &target))
        return false;
    if (value(m, target)->kind == PJD_PK_OPAQUE)
        value(m, target)->state = state;
    /* Attributes of a dict (_metadata of a state dict) or of a tensor say nothing that we need. */
    else if (value(m, target)->kind != PJD_PK_DICT && value(m, target)->kind != PJD_PK_TENSOR)
        return broken(m, "a state for a value that has none");
    return true;
}

static bool persistent(machine *m)
{
    pjd_pk_ref id;
    pjd_pk_value result;

    if (!pop(m, &id))
        return false;
    m->status = pjd_pickle_persistent(m->p, id, m->at, &result, m->err);
    return m->status == PJD_OK && push(m, result);
}

static bool drop(machine *m)
{
    pjd_pk_ref ignored;

    if (available(m) == 0 && m->mark_count > 0) {
        m->mark_count--;
        return true;
    }
    return pop(m, &ignored);
}

static bool drop_marked(machine *m)
{
    pjd_pk_ref *items;
    size_t n;

    return pop_mark(m, &items, &n);
}

static bool duplicate(machine *m)
{
    pjd_pk_ref ref;

    return top(m, &ref) && push_ref(m, ref);
}

static bool unknown(machine *m, unsigned op)
{
    m->status = pjd_error_set(m->err, PJD_ERR_MODEL, PJD_WHO ": broken pickle at byte %zu: opcode 0x%02x is not known",
                              m->p->r->who, m->at - 1, op);
    return false;
}

static bool step(machine *m, unsigned op)
{
    uint64_t v;

    switch (op) {
    case 0x80: /* PROTO */
        return take_number(m, 1, &v) && (v <= 5 || broken(m, "an unknown protocol"));
    case 0x95: /* FRAME: only a promise about buffering */
        return take_number(m, 8, &v) && (v <= m->size - m->at || broken(m, "a frame beyond the end"));
    case '(':
        return push_mark(m);
    case '0':
        return drop(m);
    case '1':
        return drop_marked(m);
    case '2':
        return duplicate(m);
    case 'q': /* BINPUT, LONG_BINPUT, MEMOIZE */
        return take_number(m, 1, &v) && memo_put(m, v);
    case 'r':
        return take_number(m, 4, &v) && memo_put(m, v);
    case 0x94:
        return memo_put(m, m->memo_count);
    case 'h': /* BINGET, LONG_BINGET */
        return take_number(m, 1, &v) && memo_get(m, v);
    case 'j':
        return take_number(m, 4, &v) && memo_get(m, v);
    case 'N':
        return push(m, (pjd_pk_value){.kind = PJD_PK_NONE});
    case 0x88:
        return push(m, (pjd_pk_value){.kind = PJD_PK_BOOL, .u.integer = 1});
    case 0x89:
        return push(m, (pjd_pk_value){.kind = PJD_PK_BOOL});
    case 'J': /* BININT, BININT1, BININT2 */
        return take_number(m, 4, &v) && push_integer(m, (int32_t)(uint32_t)v);
    case 'K':
        return take_number(m, 1, &v) && push_integer(m, (int64_t)v);
    case 'M':
        return take_number(m, 2, &v) && push_integer(m, (int64_t)v);
    case 0x8a: /* LONG1, LONG4 */
        return push_long(m, 1);
    case 0x8b:
        return push_long(m, 4);
    case 'G':
        return push_double(m);
    case 'X': /* BINUNICODE, SHORT_BINUNICODE, BINUNICODE8; and Python 2's SHORT_BINSTRING, BINSTRING */
    case 'T':
        return push_string(m, PJD_PK_STR, 4);
    case 0x8c:
    case 'U':
        return push_string(m, PJD_PK_STR, 1);
    case 0x8d:
        return push_string(m, PJD_PK_STR, 8);
    case 'C': /* SHORT_BINBYTES, BINBYTES, BINBYTES8 */
        return push_string(m, PJD_PK_BYTES, 1);
    case 'B':
        return push_string(m, PJD_PK_BYTES, 4);
    case 0x8e:
        return push_string(m, PJD_PK_BYTES, 8);
    case ')':
        return push(m, (pjd_pk_value){.kind = PJD_PK_TUPLE});
    case ']':
        return push(m, (pjd_pk_value){.kind = PJD_PK_LIST});
    case '}':
        return push(m, (pjd_pk_value){.kind = PJD_PK_DICT});
    case 0x8f:
        return push(m, (pjd_pk_value){.kind = PJD_PK_SET});
    case 't':
        return marked(m, PJD_PK_TUPLE);
    case 'l':
        return marked(m, PJD_PK_LIST);
    case 'd':
        return marked(m, PJD_PK_DICT);
    case 0x91:
        return marked(m, PJD_PK_SET);
    case 0x85: /* TUPLE1 to TUPLE3 */
    case 0x86:
    case 0x87:
        return small_tuple(m, op - 0x84);
    case 'a':
        return fill_some(m, PJD_PK_LIST, 1);
    case 'e':
        return fill_marked(m, PJD_PK_LIST);
    case 's':
        return fill_some(m, PJD_PK_DICT, 2);
    case 'u':
        return fill_marked(m, PJD_PK_DICT);
    case 0x90:
        return fill_marked(m, PJD_PK_SET);
    case 'c':
        return global_lines(m);
    case 0x93:
        return global_stack(m);
    case 'R': /* REDUCE, NEWOBJ, NEWOBJ_EX */
    case 0x81:
        return call(m, false);
    case 0x92:
        return call(m, true);
    case 'b':
        return build(m);
    case 'Q':
        return persistent(m);
    default:
        return unknown(m, op);
    }
}

static bool run(machine *m)
{
    for (;;) {
        const unsigned char *op;

        if (!take(m, 1, &op))
            return false;
        if (*op == '.')
            break;
        if (!step(m, *op))
            return false;
    }
    if (m->mark_count != 0 || m->depth != 1)
        return broken(m, "an end with other than one value left");
    return true;
}

pjd_status pjd_pickle_run(pjd_pickle *p, const unsigned char *data, size_t size, size_t *used, pjd_pk_ref *root,
                          pjd_error *err)
{
    size_t limit = p->objects ? MAX_OBJECT_BYTES : MAX_BYTES;
    machine m = {.p = p, .data = data, .size = size < limit ? size : limit, .cut = size >= limit, .err = err};

    /* Value 0 stands for nothing. */
    if (p->count == 0) {
        if (!reserve(&m, (void **)&p->values, &p->capacity, 0, sizeof *p->values))
            return m.status;
        p->values[p->count++] = (pjd_pk_value){.kind = PJD_PK_NONE};
    }
    if (run(&m)) {
        *used = m.at;
        *root = m.stack[0];
    }
    pjd_free(m.stack);
    pjd_free(m.marks);
    pjd_free(m.memo);
    return m.status;
}

void pjd_pickle_free(pjd_pickle *p)
{
    pjd_arena_free(&p->arena);
    pjd_strmap_free(&p->storage_keys);
    pjd_free(p->values);
    pjd_free(p->storages);
    pjd_free(p->tensors);
    *p = (pjd_pickle){0};
}
