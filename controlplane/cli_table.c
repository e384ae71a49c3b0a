/* SPDX-License-Identifier: MIT */
#include "controlplane/cli_table.h"

#include "common/cli.h"

#define CELL_CHARS  72u
#define MAX_COLUMNS 12u

const json_t *cp_cli_at(const json_t *root, const char *path)
{
    struct el_str rest = el_str_of(path), part;

    while (root != NULL && el_str_split(&rest, '.', &part)) {
        char key[64];

        EL_ASSERT(part.n < sizeof(key));
        (void)snprintf(key, sizeof(key), "%.*s", EL_STR_ARG(part));
        root = json_object_get(root, key);
    }
    return root;
}

double cp_cli_number(const json_t *root, const char *path)
{
    return json_number_value(cp_cli_at(root, path));
}

const char *cp_cli_text(const json_t *root, const char *path)
{
    const char *s = json_string_value(cp_cli_at(root, path));

    return s != NULL && s[0] != '\0' ? s : "-";
}

void cp_cli_format_bytes(double bytes, char out[16])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
    size_t unit = 0;

    while (bytes >= 1024 && unit + 1 < EL_COUNT(units)) {
        bytes /= 1024;
        unit++;
    }
    (void)snprintf(out, 16, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
}

struct cell {
    char text[CELL_CHARS + 1];
};

static struct cell cell_of(const json_t *item, const struct cp_column *c)
{
    const json_t *v = cp_cli_at(item, c->path);
    double number = json_number_value(v);
    struct cell cell = { "-" };
    char bytes[16];

    if (v == NULL || json_is_null(v))
        return cell;
    switch (c->kind) {
    case CP_CELL_TEXT:
        (void)snprintf(cell.text, sizeof(cell.text), "%.*s", (int)CELL_CHARS,
                       cp_cli_text(item, c->path));
        break;
    case CP_CELL_NUMBER:
        (void)snprintf(cell.text, sizeof(cell.text), "%.0f", number);
        break;
    case CP_CELL_MIB:
    case CP_CELL_BYTES:
        cp_cli_format_bytes(c->kind == CP_CELL_MIB ? number * 1048576 : number, bytes);
        (void)snprintf(cell.text, sizeof(cell.text), "%s", bytes);
        break;
    case CP_CELL_PERCENT:
        (void)snprintf(cell.text, sizeof(cell.text), "%.0f %%", number * 100);
        break;
    }
    return cell;
}

/* Numbers to the right; nothing behind the last column. */
static void print_cell(const char *text, size_t width, enum cp_cell kind, bool is_last, FILE *out)
{
    size_t n = strlen(text), pad = width > n ? width - n : 0;

    if (kind != CP_CELL_TEXT)
        (void)fprintf(out, "%*s", (int)pad, "");
    el_cli_print_text(text, out);
    if (is_last)
        (void)fputc('\n', out);
    else
        (void)fprintf(out, "%*s", (int)(kind == CP_CELL_TEXT ? pad + 2 : 2), "");
}

void cp_cli_table(const json_t *list, const struct cp_column *columns, size_t n, FILE *out)
{
    size_t widths[MAX_COLUMNS] = { 0 };

    EL_ASSERT(n <= MAX_COLUMNS);
    for (size_t i = 0; i < n; i++) {
        widths[i] = strlen(columns[i].title);
        for (size_t row = 0; row < json_array_size(list); row++) {
            struct cell c = cell_of(json_array_get(list, row), &columns[i]);

            widths[i] = strlen(c.text) > widths[i] ? strlen(c.text) : widths[i];
        }
    }
    for (size_t i = 0; i < n; i++)
        print_cell(columns[i].title, widths[i], columns[i].kind, i + 1 == n, out);
    for (size_t row = 0; row < json_array_size(list); row++) {
        for (size_t i = 0; i < n; i++) {
            struct cell c = cell_of(json_array_get(list, row), &columns[i]);

            print_cell(c.text, widths[i], columns[i].kind, i + 1 == n, out);
        }
    }
}
