/* SPDX-License-Identifier: MIT */
#include "projdiff/version.h"

const char *pjd_version(void)
{
    return PJD_VERSION;
}
