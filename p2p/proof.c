/* SPDX-License-Identifier: MIT */
/* proof: see proof.h. */
#include "p2p/proof.h"

#define LABEL EL_STR("eliop2p proof 1\n")

static void add_message(struct el_buf *out, const struct el_digest *signers,
                        const struct el_digest *others, const uint8_t *binding)
{
    el_buf_add_str(out, LABEL);
    el_buf_add(out, signers->b, sizeof(signers->b));
    el_buf_add(out, others->b, sizeof(others->b));
    el_buf_add(out, binding, EL_SHA256_BYTES);
}

void p2p_proof_make(const struct el_key *key, const struct p2p_proof_ends *ends,
                    struct p2p_proof *ret)
{
    struct el_buf message = { 0 };

    add_message(&message, &ends->mine, &ends->others, ends->binding);
    el_key_public(key, ret->key);
    el_key_sign(key, el_buf_str(&message), ret->signature);
    el_buf_deinit(&message);
}

enum el_err p2p_proof_check(const struct p2p_proof *p, const struct el_digest *fingerprint,
                            const struct p2p_proof_ends *ends, struct el_error *err)
{
    struct el_buf message = { 0 };
    struct el_digest of_key;
    bool is_right;

    el_key_fingerprint(p->key, &of_key);
    if (memcmp(of_key.b, fingerprint->b, sizeof(of_key.b)) != 0)
        return el_fail(err, EL_ESIGNATURE, 0, "Proof: the key is not that of the Hello");
    add_message(&message, &ends->others, &ends->mine, ends->binding);
    is_right = el_key_verify(p->key, el_buf_str(&message), p->signature);
    el_buf_deinit(&message);
    return is_right ? EL_OK : el_fail(err, EL_ESIGNATURE, 0, "Proof: its signature is wrong");
}
