/* SPDX-License-Identifier: MIT */
/* An input is the value of Authorization, and then a file of tokens. */
#include "proxy/access.h"
#include "tests/fuzz/fuzz.h"

static enum proxy_role role_of(const struct proxy_tokens *t, struct el_str value)
{
    struct el_field field = { EL_STR("Authorization"), value };
    struct proxy_access_ask ask = { .tokens = t, .fields = { &field, 1 } };
    enum proxy_role role = PROXY_ROLE_NONE;
    int status = 0;

    for (ask.need = PROXY_ROLE_READER; ask.need <= PROXY_ROLE_OPERATOR; ask.need++) {
        if (proxy_access_judge(&ask, &status) == NULL) {
            CLAIM(role + 1 == ask.need);
            role = ask.need;
        } else {
            CLAIM(status == (role == PROXY_ROLE_NONE ? 401 : 403));
        }
    }
    return role;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str rest = { (const char *)data, n }, value = fuzz_line(&rest);
    struct proxy_tokens *t = NULL;

    if (proxy_tokens_parse("f", rest, &t, NULL) != EL_OK)
        return 0;
    /* A word of the value may be a token of the file; none of it is none. */
    if (role_of(t, value) != PROXY_ROLE_NONE)
        CLAIM(el_str_istarts(value, EL_STR("bearer ")));
    CLAIM(role_of(t, EL_STR("")) == PROXY_ROLE_NONE);
    proxy_tokens_free(t);
    return 0;
}
