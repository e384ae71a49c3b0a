/* SPDX-License-Identifier: MIT */
/*
 * crc: the cyclic redundancy checks that object stores use, at memory speed where the processor
 * multiplies polynomials (PCLMULQDQ), by tables elsewhere. All of them are reflected, begin with
 * ones and end inverted.
 *
 * Pure. Thread: any.
 */
#pragma once

#include "common/base.h"

enum el_crc_kind {
    EL_CRC_32,      /* IEEE 802.3, zlib */
    EL_CRC_32C,     /* Castagnoli, iSCSI */
    EL_CRC_64_NVME, /* NVM Express; S3 */
    EL_CRC_64_XZ,   /* ECMA-182, reflected; OSS */
    EL_CRC_KINDS
};

/* Of what `crc` is of (nothing: 0) and n bytes more. */
uint64_t el_crc(enum el_crc_kind kind, uint64_t crc, const void *bytes, size_t n);
/* The same by tables alone: for tests, and what el_crc() does on other processors. */
uint64_t el_crc_by_table(enum el_crc_kind kind, uint64_t crc, const void *bytes, size_t n);
