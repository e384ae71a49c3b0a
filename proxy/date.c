/* SPDX-License-Identifier: MIT */
/* date: one small reader per form over a shared cursor that fails for good at the first surprise.
 */
#include "proxy/date.h"

#include <stdio.h>

struct cursor {
    struct el_str rest;
    bool is_bad;
};

struct parts {
    unsigned year, month, day, hour, minute, second; /* month 1..12 */
};

static void expect(struct cursor *c, const char *text)
{
    struct el_str want = el_str_of(text);

    c->is_bad |= !el_str_istarts(c->rest, want);
    c->rest = el_str_from(c->rest, want.n);
}

static unsigned number(struct cursor *c, size_t digits)
{
    uint64_t v = 0;

    c->is_bad |= c->rest.n < digits || !el_str_u64(el_str_first(c->rest, digits), 9999, &v);
    c->rest = el_str_from(c->rest, digits);
    return (unsigned)v;
}

/* Index into the list of names of n, from 0. */
static unsigned word(struct cursor *c, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct el_str name = el_str_of(names[i]);

        if (el_str_istarts(c->rest, name)) {
            c->rest = el_str_from(c->rest, name.n);
            return (unsigned)i;
        }
    }
    c->is_bad = true;
    return 0;
}

static const char *const month_names[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static unsigned month(struct cursor *c)
{
    return word(c, month_names, EL_COUNT(month_names)) + 1;
}

static void time_of_day(struct cursor *c, struct parts *p)
{
    p->hour = number(c, 2);
    expect(c, ":");
    p->minute = number(c, 2);
    expect(c, ":");
    p->second = number(c, 2);
}

static const char *const short_days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
static const char *const long_days[] = { "Monday", "Tuesday",  "Wednesday", "Thursday",
                                         "Friday", "Saturday", "Sunday" };

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool imf_fixdate(struct el_str text, struct parts *p)
{
    struct cursor c = { .rest = text };

    (void)word(&c, short_days, EL_COUNT(short_days));
    expect(&c, ", ");
    p->day = number(&c, 2);
    expect(&c, " ");
    p->month = month(&c);
    expect(&c, " ");
    p->year = number(&c, 4);
    expect(&c, " ");
    time_of_day(&c, p);
    expect(&c, " GMT");
    return !c.is_bad && c.rest.n == 0;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool rfc850(struct el_str text, struct parts *p)
{
    struct cursor c = { .rest = text };

    (void)word(&c, long_days, EL_COUNT(long_days));
    expect(&c, ", ");
    p->day = number(&c, 2);
    expect(&c, "-");
    p->month = month(&c);
    expect(&c, "-");
    p->year = number(&c, 2);
    expect(&c, " ");
    time_of_day(&c, p);
    expect(&c, " GMT");
    return !c.is_bad && c.rest.n == 0;
}

/* Sun Nov  6 08:49:37 1994 */
static bool asctime_form(struct el_str text, struct parts *p)
{
    struct cursor c = { .rest = text };

    (void)word(&c, short_days, EL_COUNT(short_days));
    expect(&c, " ");
    p->month = month(&c);
    expect(&c, " ");
    if (el_str_starts(c.rest, EL_STR(" "))) {
        expect(&c, " ");
        p->day = number(&c, 1);
    } else {
        p->day = number(&c, 2);
    }
    expect(&c, " ");
    time_of_day(&c, p);
    expect(&c, " ");
    p->year = number(&c, 4);
    return !c.is_bad && c.rest.n == 0;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar, counted in 400 year eras that begin in
 * March. */
static int64_t days_from_civil(int64_t y, unsigned m, unsigned d)
{
    int64_t era, year_of_era, day_of_year, day_of_era;

    y -= m <= 2;
    era = (y >= 0 ? y : y - 399) / 400;
    year_of_era = y - era * 400;
    day_of_year = (153 * (int64_t)(m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static int64_t to_ms(const struct parts *p)
{
    int64_t days = days_from_civil(p->year, p->month, p->day);

    return (((days * 24 + p->hour) * 60 + p->minute) * 60 + p->second) * 1000;
}

static bool is_leap(unsigned year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static bool is_possible(const struct parts *p)
{
    static const unsigned days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned last = days[p->month - 1] + (p->month == 2 && is_leap(p->year));

    /* A leap second is the 61st (RFC 9110 section 5.6.7). */
    return p->day >= 1 && p->day <= last && p->hour < 24 && p->minute < 60 && p->second <= 60;
}

#define YEAR_MS   ((int64_t)31556952 * 1000)
#define LAST_YEAR 9999

/* The earliest year ending in these two digits that lies no more than 50 years back. */
static void find_century(struct parts *p, int64_t now_ms)
{
    p->year += 1900;
    while (to_ms(p) < now_ms - 50 * YEAR_MS && p->year + 100 <= LAST_YEAR)
        p->year += 100;
}

bool proxy_date_parse(struct el_str text, int64_t now_ms, int64_t *ret_ms)
{
    struct parts p = { 0 };

    if (rfc850(text, &p))
        find_century(&p, now_ms);
    else if (!imf_fixdate(text, &p) && !asctime_form(text, &p))
        return false;
    if (!is_possible(&p))
        return false;
    *ret_ms = to_ms(&p);
    return true;
}

/* The inverse of days_from_civil(), after the year 0. */
static void civil_from_days(int64_t days, struct parts *p)
{
    int64_t shifted = days + 719468, era = shifted / 146097, day_of_era = shifted % 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;

    p->day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
    p->month = (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    p->year = (unsigned)(year_of_era + era * 400 + (p->month <= 2));
}

#define DAY_MS   ((int64_t)86400 * 1000)
#define FIRST_MS ((int64_t)-62135596800 * 1000) /* 0001-01-01 */
#define LAST_MS  ((int64_t)253402300799 * 1000) /* 9999-12-31 23:59:59 */

void proxy_date_write(int64_t ms, char ret[PROXY_DATE_BYTES + 1])
{
    int64_t at = ms < FIRST_MS ? FIRST_MS : ms > LAST_MS ? LAST_MS : ms;
    /* Counted from a day before which nothing lies, so that nothing below is negative. */
    int64_t days = (at - FIRST_MS) / DAY_MS, second = (at - FIRST_MS) % DAY_MS / 1000;
    struct parts p = { 0 };

    civil_from_days(days + FIRST_MS / DAY_MS, &p);
    (void)snprintf(ret, PROXY_DATE_BYTES + 1, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                   short_days[days % 7], p.day % 100, month_names[(p.month - 1) % 12],
                   p.year % 10000, (unsigned)(second / 3600) % 100, (unsigned)(second / 60 % 60),
                   (unsigned)(second % 60));
}

bool proxy_date_compact_parse(struct el_str text, int64_t *ret_ms)
{
    struct cursor c = { .rest = text };
    struct parts p = { 0 };

    p.year = number(&c, 4);
    p.month = number(&c, 2);
    p.day = number(&c, 2);
    expect(&c, "T");
    p.hour = number(&c, 2);
    p.minute = number(&c, 2);
    p.second = number(&c, 2);
    expect(&c, "Z");
    if (c.is_bad || c.rest.n > 0 || p.month < 1 || p.month > 12 || !is_possible(&p))
        return false;
    *ret_ms = to_ms(&p);
    return true;
}
