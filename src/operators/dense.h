/* SPDX-License-Identifier: MIT */
/* Small dense linear algebra whose bytes do not depend on the number of threads. */
#ifndef PJD_OP_DENSE_H
#define PJD_OP_DENSE_H

#include "core/core.h"

/*
 * Our own loop, and not BLAS: OpenBLAS's sgemm gives other bytes with one thread than with two, and brings threads of
 * its own beside the caller's.
 *
 * c [m, n] = a [m, k] b [k, n], ld* floats a row; work: pjd_gemm_work(k) floats. c overlaps neither a nor b.
 */
size_t pjd_gemm_work(size_t k);
void pjd_gemm(size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
              size_t ldc, float *work);

/* Eigenvalues, largest first, and eigenvectors (rows of vectors [n, n]) of the symmetric matrix a [n, n]. */
pjd_status pjd_symmetric_eigen(const char *who, size_t n, const double *a, double *values, double *vectors,
                               pjd_error *err);
/*
 * Rows rank .. n - 1 of v [n, n] become unit vectors at right angles to each other and to rows 0 .. rank - 1, which are
 * that already. spare: (rank + 1) * n doubles.
 */
void pjd_orthonormal_complete(size_t n, size_t rank, double *v, double *spare);

#endif
