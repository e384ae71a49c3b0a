/* SPDX-License-Identifier: MIT */
#include "common/cli.h"

#include "tests/lib/test.h"

static const struct el_cli_program program = {
    .name = "prog",
    .server = "the server",
    .doubt = "is it one?",
    .address = "127.0.0.1:1",
    .address_option = "--where=",
    .token_variable = "TEST_CLI_TOKEN",
    .text_key = "text",
    .connect_s = 1,
    .answer_s = 1,
    .max_answer_bytes = EL_MIB,
};

static void only_the_options_of_the_program_are_taken(void **state)
{
    struct el_cli_conf conf = { .program = &program, .verb = "look" };

    (void)state;
    assert_true(el_cli_option(&conf, "--where=example:1"));
    assert_string_equal(conf.address, "example:1");
    assert_true(el_cli_option(&conf, "--token-file=/t"));
    assert_string_equal(conf.token_file, "/t");
    assert_false(el_cli_option(&conf, "--where="));
    assert_false(el_cli_option(&conf, "--server=x"));
    assert_string_equal(conf.address, "example:1");
}

static void bytes_that_drive_a_terminal_are_not_printed(void **state)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);

    (void)state;
    assert_non_null(out);
    el_cli_print_text("a\033[2Jb\nc\x7f\xc3\xa4", out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, "a?[2Jb?c?\xc3\xa4");
    free(text);
}

static void a_token_with_a_space_is_a_wrong_command_line(void **state)
{
    struct el_cli_conf conf = { .program = &program, .verb = "look" };
    struct el_cli *cli = NULL;

    (void)state;
    assert_int_equal(setenv("TEST_CLI_TOKEN", "two words", 1), 0);
    assert_int_equal(el_cli_new(&conf, &cli), EL_CLI_USAGE);
    assert_null(cli);
    assert_int_equal(unsetenv("TEST_CLI_TOKEN"), 0);
}

static void nobody_there_is_told_from_a_refusal(void **state)
{
    struct el_cli_conf conf = { .program = &program, .verb = "look", .is_aside = true };
    struct el_cli_call call = { .method = "GET", .path = "/" };
    struct el_cli *cli = NULL;
    json_t *root = NULL;

    (void)state;
    assert_int_equal(el_cli_new(&conf, &cli), EL_CLI_OK);
    assert_false(el_cli_add_field(cli, "A: b\r\nC: d"));
    assert_true(el_cli_add_field(cli, "A: b"));
    assert_int_equal(el_cli_ask(cli, &call, &root), EL_CLI_ABSENT);
    assert_null(root);
    el_cli_free(cli);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_options_of_the_program_are_taken),
        cmocka_unit_test(bytes_that_drive_a_terminal_are_not_printed),
        cmocka_unit_test(a_token_with_a_space_is_a_wrong_command_line),
        cmocka_unit_test(nobody_there_is_told_from_a_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
