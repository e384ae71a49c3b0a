/* SPDX-License-Identifier: MIT */
/*
 * replay: stands in for libFuzzer where it is not: gives each file of the directories (or each
 * file) on the command line to the target once. A target without any input is a failure.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "common/buf.h"
#include "tests/fuzz/fuzz.h"

static bool run_file(const char *path)
{
    struct el_buf input = { 0 };
    char bytes[4096];
    FILE *f = fopen(path, "rb");
    uint8_t *exact;
    size_t n;
    bool is_read;

    if (f == NULL) {
        perror(path);
        return false;
    }
    while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
        el_buf_add(&input, bytes, n);
    is_read = ferror(f) == 0;
    (void)fclose(f);
    /* Nothing behind the last byte: a sanitizer sees a read beyond it. */
    exact = el_alloc(input.n > 0 ? input.n : 1);
    if (input.n > 0)
        memcpy(exact, input.p, input.n);
    (void)LLVMFuzzerTestOneInput(exact, input.n);
    free(exact);
    el_buf_deinit(&input);
    return is_read;
}

/* How many files there were; -1 when one could not be read. */
static long run_directory(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    long n = 0;

    if (dir == NULL) {
        perror(path);
        return -1;
    }
    while (n >= 0 && (entry = readdir(dir)) != NULL) {
        struct el_buf file = { 0 };

        if (entry->d_name[0] == '.')
            continue;
        el_buf_addf(&file, "%s/%s", path, entry->d_name);
        n = run_file(file.p) ? n + 1 : -1;
        el_buf_deinit(&file);
    }
    (void)closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    long total = 0;

    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool is_directory = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        long n = is_directory ? run_directory(argv[i]) : run_file(argv[i]) ? 1 : -1;

        if (n < 0)
            return 1;
        total += n;
    }
    printf("%ld inputs\n", total);
    return total > 0 ? 0 : 1;
}
