/* SPDX-License-Identifier: MIT */
/*
 * An input is the value of a Proxy-Authorization field, and then the text of a file of tokens. (The
 * text of a file of passwords is not tried out: crypt(3) would take most of the time.)
 */
#include "proxy/credentials.h"
#include "tests/fuzz/fuzz.h"

static void check_field(enum el_proxy_auth scheme, struct el_str value,
                        const struct proxy_credentials *c)
{
    struct el_str credentials;

    if (!proxy_credentials_of(scheme, value, &credentials))
        return;
    CLAIM(credentials.n > 0 && credentials.n <= PROXY_CREDENTIALS_BYTES);
    CLAIM(el_str_find(credentials, ' ') == credentials.n);
    CLAIM(!proxy_credentials_match(c, credentials));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct proxy_credentials *nobody;
    struct el_str rest = { (const char *)data, n }, value = el_str_trim(fuzz_line(&rest));
    struct proxy_credentials *c = NULL;

    /* A hash that no password has, of a method that takes no time. */
    if (nobody == NULL)
        CLAIM(proxy_credentials_parse(
                  EL_PROXY_AUTH_BASIC, "f",
                  EL_STR("a:$2y$04$Zq7TnA.p1oV/8sKcW3dLheAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), &nobody,
                  NULL) == EL_OK);
    check_field(EL_PROXY_AUTH_BASIC, value, nobody);
    if (proxy_credentials_parse(EL_PROXY_AUTH_BEARER, "f", rest, &c, NULL) != EL_OK)
        return 0;
    CLAIM(proxy_credentials_count(c) > 0);
    /* Whose SHA-256 would be in the file. */
    check_field(EL_PROXY_AUTH_BEARER, value, c);
    proxy_credentials_free(c);
    return 0;
}
