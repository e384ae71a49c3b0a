/* SPDX-License-Identifier: MIT */
/* An input is one date. */
#include "proxy/date.h"
#include "tests/fuzz/fuzz.h"

#define YEAR_1_MS ((int64_t)-62135596800 * 1000)

static void check_date(struct el_str text, int64_t now_ms)
{
    char written[PROXY_DATE_BYTES + 1];
    int64_t ms, again;

    if (!proxy_date_parse(text, now_ms, &ms))
        return;
    /* From year 0 to the end of 9999, in whole seconds. */
    CLAIM(ms >= -62167219200000 && ms <= 253402300800000 && ms % 1000 == 0);
    proxy_date_write(ms, written);
    CLAIM(proxy_date_parse(el_str_of(written), now_ms, &again));
    CLAIM(again == ms || ms < YEAR_1_MS || ms == 253402300800000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct el_str text = { (const char *)data, n };

    check_date(text, (int64_t)1767225600 * 1000);
    check_date(text, -YEAR_1_MS);
    check_date(text, 0);
    return 0;
}
