/* SPDX-License-Identifier: MIT */
/* err: names, texts and HTTP statuses of err_list.h, and the one way to fill a struct el_error. */
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>

struct entry {
    enum el_err code;
    int status;
    const char *name, *text;
};

static const struct entry entries[] = {
    { EL_OK, 200, "EL_OK", "no error" },
#define EL_ERR(symbol, code, status, text) { symbol, status, #symbol, text },
#include "common/err_list.h"
#undef EL_ERR
};

static const struct entry *find(enum el_err code)
{
    for (size_t i = 0; i < EL_COUNT(entries); i++) {
        if (entries[i].code == code)
            return &entries[i];
    }
    el_assert_failed("the error code is in err_list.h", __FILE__, __LINE__);
}

enum el_err el_fail(struct el_error *err, enum el_err code, int sys, const char *fmt, ...)
{
    va_list args;
    int n;

    if (err == NULL)
        return code;
    err->code = code;
    err->sys = sys;
    va_start(args, fmt);
    n = vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    if (n < 0)
        err->text[0] = '\0';
    else if (sys != 0 && (size_t)n < sizeof(err->text))
        (void)snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", strerror(sys));
    return code;
}

const char *el_err_name(enum el_err code)
{
    return find(code)->name;
}

const char *el_err_text(enum el_err code)
{
    return find(code)->text;
}

int el_err_status(enum el_err code)
{
    return find(code)->status;
}
