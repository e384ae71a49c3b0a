/* SPDX-License-Identifier: MIT */
/*
 * key: Ed25519 (RFC 8032) over OpenSSL's EVP: who a node is, and what it has signed. Secret bytes
 * are held by OpenSSL alone and cleansed when they go.
 */
#pragma once

#include "common/sha256.h"

#define EL_KEY_BYTES       32 /* secret or public */
#define EL_SIGNATURE_BYTES 64

struct el_key; /* a pair. Thread: immutable */

struct el_key *el_key_new(const uint8_t secret[EL_KEY_BYTES]);
void el_key_free(struct el_key *k); /* NULL is fine */
void el_key_public(const struct el_key *k, uint8_t ret[EL_KEY_BYTES]);
void el_key_sign(const struct el_key *k, struct el_str message, uint8_t ret[EL_SIGNATURE_BYTES]);

/* False for whatever reason: the signature, or the key itself, is none. */
bool el_key_verify(const uint8_t public_key[EL_KEY_BYTES], struct el_str message,
                   const uint8_t signature[EL_SIGNATURE_BYTES]);
/* Who that is: the SHA-256 of the public key. */
void el_key_fingerprint(const uint8_t public_key[EL_KEY_BYTES], struct el_digest *ret);
