/* SPDX-License-Identifier: MIT */
/* Properties every operator must have, whatever it is. Each check fails the running cmocka test. */
#ifndef TESTS_OPERATORS_BATTERY_H
#define TESTS_OPERATORS_BATTERY_H

#include "core/core.h"
#include "core/operator.h"
#include "support/support.h"

/* How to make an operator of a class, and what may be asked of it. */
typedef struct op_case {
    const char *task;
    /* Added to the task where the default stops before convergence: the properties are those of the limit. */
    const char *converge;
    const char *array; /* "mask", "kernel" or NULL */
    size_t kernel_h, kernel_w;
    bool exact_gain;               /* all non-zero singular values are equal to noise_gain(1)^-1/2 on whole cells */
    double meets;                  /* |A P(x) - y| / |y| for y in the range; 0: 2e-5; < 0: not promised */
    size_t x_channels, y_channels; /* other numbers are refused; 0: any */
    bool from_x_only;              /* y's shape does not tell x's */
    size_t min_size;               /* smaller pictures may be refused */
    size_t gain_side;              /* where the gain is tried; 0: 30, divided by 2, 3 and 5: every cell is whole */
} op_case;

extern const op_case op_cases[];
extern const size_t op_case_count;

/* From x_shape. NULL when refused, which is checked to be clean and allowed by min_size. */
pjd_operator *case_create(const op_case *c, bool converge, const pjd_shape *x, uint64_t seed);
pjd_operator *case_create_y(const op_case *c, bool converge, const pjd_shape *y, uint64_t seed);

void check_adjoint(const pjd_operator *op);
void check_projection(const pjd_operator *op, double meets);
void check_prox(const pjd_operator *op);
void check_spectral(const pjd_operator *op);
/* Linear operators, by trials; exact: all singular values that are not zero are equal. */
void check_noise_gain(const pjd_operator *op, bool exact);
void check_guess(const pjd_operator *op);
void check_result(const pjd_operator *op);
void check_no_allocation(const pjd_operator *op);
/* The bytes of every call with 1 thread against 2 and 3. */
void check_threads(const pjd_operator *op);

/* floats from malloc, so that the library's own count is not touched; free() them. */
float *floats(size_t n);
double norm(const float *a, size_t n);

#endif
