/* SPDX-License-Identifier: MIT */
/*
 * resign: whether the node signs requests of the gateway with a key of its own, by the
 * configuration ([storage] access_key or credentials_file), and with which.
 */
#pragma once

#include "common/conf.h"
#include "storage/signer.h"

/* *ret_signer is NULL when it does not. EL_ECONF names the key that is wrong, or is missing. */
enum el_err proxy_resign_new(const struct el_conf *conf, struct el_clock *clock,
                             struct store_signer **ret_signer, struct el_error *err);
/* To be said at start: whoever reaches the gateway acts with that key. */
void proxy_resign_warn(const struct el_conf *conf);
