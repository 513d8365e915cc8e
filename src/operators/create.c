/* SPDX-License-Identifier: MIT */
/* From a task text to an operator. */
#include <string.h>

#include "internal.h"

typedef struct part {
    const pjd_op_class *cls;
    void *params;
    bool present[64];
} part;

static pjd_status find_class(const char *name, const pjd_op_class **out, pjd_error *err)
{
    char known[256] = "";

    for (const pjd_op_class *const *c = pjd_op_classes; *c; c++) {
        if (!strcmp((*c)->entry.name, name)) {
            *out = *c;
            return PJD_OK;
        }
        if (strlen(known) + strlen((*c)->entry.name) + 2 < sizeof known) {
            strcat(known, *known ? " " : "");
            strcat(known, (*c)->entry.name);
        }
    }
    return pjd_error_set(err, PJD_ERR_ARG, "task: nothing is called \"%.60s\"; there are: %s", name, known);
}

/* Fill every part's parameters; arrays go to the first part that wants them. */
static pjd_status fill_parts(const pjd_task_part *texts, size_t count, const pjd_array *arrays, size_t array_count,
                             bool *used, part *parts, pjd_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const pjd_op_class *cls;
        pjd_status st = find_class(texts[i].name, &cls, err);

        if (st != PJD_OK)
            return st;
        parts[i].params = pjd_alloc_zero(1, cls->params_size);
        if (!parts[i].params)
            return pjd_error_nomem(err, "task", cls->params_size);
        st = pjd_params_fill(cls->entry.name, cls->entry.params, cls->entry.param_count, &texts[i].kv, arrays,
                             array_count, used, parts[i].params, cls->params_size, parts[i].present, err);
        if (st != PJD_OK)
            return st;
        parts[i].cls = cls; /* only now is there something to clear */
    }
    for (size_t k = 0; k < array_count; k++)
        if (!used[k])
            return pjd_error_set(err, PJD_ERR_ARG, "task: no part takes an array called \"%.60s\", or not another one",
                                 arrays[k].name);
    return PJD_OK;
}

static pjd_status check_arrays(const char *task, const pjd_array *arrays, size_t count, pjd_error *err)
{
    if (!task || (count && !arrays))
        return pjd_error_set(err, PJD_ERR_ARG, "operator: expected a task, found none");
    for (size_t k = 0; k < count; k++)
        if (!arrays[k].name || !arrays[k].data)
            return pjd_error_set(err, PJD_ERR_ARG, "operator: expected arrays with names and data, found none");
    return PJD_OK;
}

static pjd_status check_composable(const part *parts, size_t count, pjd_error *err)
{
    for (size_t i = 0; count > 1 && i < count; i++)
        if (parts[i].cls->nonlinear)
            return pjd_error_set(err, PJD_ERR_ARG, "task: %s is not linear and cannot be composed with +",
                                 parts[i].cls->entry.name);
    return PJD_OK;
}

static pjd_status create_part(const part *p, bool alone, const pjd_shape *x, const pjd_shape *y, pjd_operator **out,
                              pjd_error *err)
{
    pjd_status st = p->cls->create(p->params, p->present, !alone, x, y, out, err);

    if (st == PJD_OK)
        (*out)->origin = p->cls;
    return st;
}

/* With x known: left to right; else from y: right to left. */
static pjd_status create_parts(const part *parts, size_t count, const pjd_shape *x, const pjd_shape *y,
                               pjd_operator **ops, pjd_error *err)
{
    for (size_t k = 0; k < count; k++) {
        size_t i = x ? k : count - 1 - k;
        const pjd_shape *in = x, *at = y;
        pjd_status st;

        if (x) {
            in = i ? &ops[i - 1]->y : x;
            at = i + 1 == count ? y : NULL;
        } else {
            at = i + 1 == count ? y : &ops[i + 1]->x;
        }
        st = create_part(&parts[i], count == 1, in, at, &ops[i], err);
        if (st != PJD_OK)
            return st;
    }
    return PJD_OK;
}

static void release(part *parts, pjd_operator **ops, size_t count)
{
    for (size_t i = 0; parts && i < count; i++) {
        if (parts[i].cls)
            pjd_params_clear(parts[i].cls->entry.params, parts[i].cls->entry.param_count, parts[i].params);
        pjd_free(parts[i].params);
    }
    for (size_t i = 0; ops && i < count; i++)
        pjd_operator_unref(ops[i]);
    pjd_free(parts);
    pjd_free(ops);
}

/* The parts of a task with their parameters, all that no size can change checked. For release(), whatever the status. */
static pjd_status read_parts(const char *task, const pjd_array *arrays, size_t array_count, part **parts, size_t *count,
                             pjd_error *err)
{
    pjd_task_part *texts = NULL;
    bool *used = NULL;
    pjd_status st = check_arrays(task, arrays, array_count, err);

    *parts = NULL;
    *count = 0;
    if (st == PJD_OK)
        st = pjd_task_parse(task, &texts, count, err);
    if (st != PJD_OK)
        return st;
    *parts = pjd_alloc_zero(*count, sizeof **parts);
    used = pjd_alloc_zero(array_count, sizeof *used);
    if (!*parts || !used)
        st = pjd_error_nomem(err, "task", *count * sizeof **parts);
    if (st == PJD_OK)
        st = fill_parts(texts, *count, arrays, array_count, used, *parts, err);
    if (st == PJD_OK)
        st = check_composable(*parts, *count, err);
    pjd_free(used);
    pjd_task_free(texts, *count);
    return st;
}

pjd_status pjd_operator_create(const char *task, const pjd_array *arrays, size_t array_count, const pjd_shape *x_shape,
                               const pjd_shape *y_shape, pjd_operator **out, pjd_error *err)
{
    part *parts = NULL;
    pjd_operator **ops = NULL;
    size_t count = 0;
    pjd_status st;

    *out = NULL;
    if (!x_shape && !y_shape)
        return pjd_error_set(err, PJD_ERR_ARG, "operator: expected the shape of x or of y, found none");
    st = read_parts(task, arrays, array_count, &parts, &count, err);
    if (st == PJD_OK) {
        ops = pjd_alloc_zero(count, sizeof *ops);
        st = ops ? create_parts(parts, count, x_shape, y_shape, ops, err)
                 : pjd_error_nomem(err, "task", count * sizeof *ops);
    }
    if (st == PJD_OK && count == 1)
        *out = pjd_operator_ref(ops[0]);
    else if (st == PJD_OK)
        st = pjd_op_compose(ops, count, out, err);
    release(parts, ops, count);
    return st;
}

pjd_status pjd_operator_check(const char *task, const pjd_array *arrays, size_t array_count, pjd_error *err)
{
    part *parts = NULL;
    size_t count = 0;
    pjd_status st = read_parts(task, arrays, array_count, &parts, &count, err);

    release(parts, NULL, count);
    return st;
}
