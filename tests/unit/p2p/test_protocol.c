/* SPDX-License-Identifier: MIT */
/*
 * docs/protocol.md is true: each of its dumps, made without this code, is what this code writes for
 * the same message, and is read back as that; and its table of types is ours.
 */
#include "tests/lib/test.h"

#include "p2p/manifest.h"
#include "p2p/proof.h"
#include "p2p/wire_reader.h"

#define URL  EL_STR("http://s3.test/demo/hello.txt")
#define BODY EL_STR("hello world")

static struct el_buf document;

static int read_document(void **state)
{
    FILE *f = fopen(ELIO_DOCS "/protocol.md", "rb");
    char bytes[4096];
    size_t n;

    (void)state;
    if (f == NULL)
        return -1;
    while ((n = fread(bytes, 1, sizeof(bytes), f)) > 0)
        el_buf_add(&document, bytes, n);
    return fclose(f);
}

static int forget_document(void **state)
{
    (void)state;
    el_buf_deinit(&document);
    return 0;
}

/* ---- dumps ---- */

static unsigned digit(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* "48 65  two bytes": bytes up to two blanks or the end of the line. */
static void add_line(struct el_buf *out, struct el_str line)
{
    while (line.n >= 2 && line.p[0] != ' ') {
        el_buf_add_byte(out, (char)(digit(line.p[0]) << 4 | digit(line.p[1])));
        line = el_str_from(line, 3);
    }
}

static void add_dump(struct el_buf *out, const char *name)
{
    struct el_str rest = el_buf_str(&document), line;
    char fence[64];
    bool is_inside = false;

    (void)snprintf(fence, sizeof(fence), "```frame %s", name);
    while (el_str_split(&rest, '\n', &line)) {
        if (is_inside && el_str_eq(line, EL_STR("```")))
            return;
        if (is_inside)
            add_line(out, line);
        is_inside = is_inside || el_str_eq(line, el_str_of(fence));
    }
    fail_msg("no dump of %s", name);
}

static void assert_dump(const char *name, struct el_buf *written)
{
    struct el_buf dump = { 0 };

    add_dump(&dump, name);
    assert_int_equal(dump.n, written->n);
    assert_memory_equal(dump.p, written->p, dump.n);
    el_buf_deinit(&dump);
    el_buf_deinit(written);
}

/* The frame of a dump, as a link gives it out; the reader is the caller's. */
static const struct p2p_frame *read_dump(struct p2p_reader *r, uint32_t version, const char *name)
{
    struct el_buf dump = { 0 };
    enum p2p_read event;
    struct el_str s;

    add_dump(&dump, name);
    p2p_reader_init(r);
    if (version != 0)
        p2p_reader_set_version(r, version);
    s = el_buf_str(&dump);
    do {
        assert_int_equal(p2p_reader_feed(r, &s, &event, NULL), EL_OK);
    } while (event == P2P_READ_BLOCK);
    assert_int_equal(event, P2P_READ_FRAME);
    assert_int_equal(s.n, 0);
    el_buf_deinit(&dump);
    return &r->frame;
}

static struct el_chunk_id chunk_of(const struct cache_meta *meta)
{
    struct el_chunk_id chunk = { 0 };
    struct cache_object_id id;

    cache_object_id_of(URL, meta, BODY.n, &id);
    memcpy(chunk.object, id.v, sizeof(id.v));
    return chunk;
}

static struct cache_meta *new_meta(void)
{
    struct cache_meta *m = cache_meta_new();

    m->status = 200;
    m->has_strong_validator = true;
    m->is_public = true;
    m->from_object_store = true;
    m->response_ms = 1700000000123;
    m->lifetime_ms = 10000;
    el_fields_add(&m->fields, EL_STR("Content-Type"), EL_STR("text/plain"));
    el_fields_add(&m->fields, EL_STR("ETag"), EL_STR("\"5eb63bbbe01eeed093cb22bb8f5acdc3\""));
    cache_meta_finish(m);
    return m;
}

static struct el_chunk_id the_chunk(void)
{
    struct cache_meta *meta = new_meta();
    struct el_chunk_id chunk = chunk_of(meta);

    cache_meta_unref(meta);
    return chunk;
}

/* Of the bytes 00 to 1f; the caller's. */
static struct el_key *new_key(void)
{
    uint8_t secret[EL_KEY_BYTES];

    for (size_t i = 0; i < sizeof(secret); i++)
        secret[i] = (uint8_t)i;
    return el_key_new(secret);
}

/* ---- what the document shows ---- */

static void the_hello_of_the_document_is_ours(void **state)
{
    struct p2p_hello h = { .version_min = 1, .version_max = 1, .clock_ms = 1700000000000 };
    struct el_key *key = new_key();
    uint8_t public_key[EL_KEY_BYTES];
    struct el_buf out = { 0 };
    struct p2p_reader r;
    struct p2p_hello back;

    (void)state;
    el_key_public(key, public_key);
    el_key_fingerprint(public_key, &h.fingerprint);
    el_key_free(key);
    for (size_t i = 0; i < sizeof(h.nonce); i++)
        h.nonce[i] = (uint8_t)i;
    h.p2p_port = 9000;
    h.http_port = 8082;
    h.name = EL_STR("node-7");
    h.cluster = EL_STR("train");
    h.zone = EL_STR("rack-3");
    p2p_hello_add(&out, &h);
    assert_dump("hello", &out);
    assert_int_equal(p2p_hello_decode(read_dump(&r, 0, "hello"), &back, NULL), EL_OK);
    assert_true(el_str_eq(back.zone, EL_STR("rack-3")));
    p2p_reader_deinit(&r);
}

static void the_proof_of_the_document_is_ours(void **state)
{
    struct p2p_proof_ends ends = { 0 };
    struct el_key *key = new_key();
    struct el_digest fingerprint;
    struct el_buf out = { 0 };
    struct p2p_proof p;
    struct p2p_reader r;

    (void)state;
    ends.mine = read_dump(&r, 0, "hello")->hash;
    p2p_reader_deinit(&r);
    for (size_t i = 0; i < sizeof(ends.others.b); i++)
        ends.others.b[i] = (uint8_t)i;
    p2p_proof_make(key, &ends, &p);
    p2p_proof_add(&out, 1, &p);
    assert_dump("proof", &out);
    assert_int_equal(p2p_proof_decode(read_dump(&r, 1, "proof"), &p, NULL), EL_OK);
    el_key_fingerprint(p.key, &fingerprint);
    ends = (struct p2p_proof_ends){ .mine = ends.others, .others = ends.mine };
    assert_int_equal(p2p_proof_check(&p, &fingerprint, &ends, NULL), EL_OK);
    p2p_reader_deinit(&r);
    el_key_free(key);
}

static void the_request_of_the_document_is_ours(void **state)
{
    struct p2p_request q = { { 0, 1 }, P2P_WANT_MANIFEST | P2P_WANT_COMING }, back;
    struct el_chunk_id chunk = the_chunk();
    struct el_buf out = { 0 };
    struct p2p_reader r;

    (void)state;
    p2p_request_add(&out, 1, &chunk, 0, &q);
    assert_dump("request", &out);
    assert_int_equal(p2p_request_decode(read_dump(&r, 1, "request"), &back, NULL), EL_OK);
    assert_int_equal(back.flags, q.flags);
    assert_true(el_chunk_id_eq(&r.frame.chunk, &chunk));
    p2p_reader_deinit(&r);
}

static void the_manifests_of_the_document_are_ours(void **state)
{
    struct p2p_manifest m = { .has_object = true, .url = URL, .age_ms = 42 }, back;
    struct el_key *key = new_key();
    struct el_buf out = { 0 };
    struct p2p_reader r;

    (void)state;
    m.length = m.bytes = (uint32_t)BODY.n;
    m.meta = new_meta();
    m.chunk = chunk_of(m.meta);
    m.bitmap = 1;
    el_sha256_of(BODY.p, BODY.n, &m.blocks[0]);
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    p2p_manifest_sign(&m, key);
    p2p_manifest_add(&out, 1, &m);
    assert_dump("manifest", &out);
    assert_int_equal(p2p_manifest_decode(read_dump(&r, 1, "manifest"), &back, NULL), EL_OK);
    assert_true(el_str_eq(back.meta->etag, m.meta->etag));
    p2p_manifest_deinit(&back);
    p2p_reader_deinit(&r);

    m.has_object = false;
    m.bitmap = 0;
    assert_int_equal(p2p_manifest_seal(&m, NULL), EL_OK);
    p2p_manifest_sign(&m, key);
    p2p_manifest_add(&out, 1, &m);
    assert_dump("manifest-again", &out);
    assert_int_equal(p2p_manifest_decode(read_dump(&r, 1, "manifest-again"), &back, NULL), EL_OK);
    assert_int_equal(back.bitmap, 0);
    p2p_manifest_deinit(&back);
    p2p_reader_deinit(&r);
    cache_meta_unref(m.meta);
    el_key_free(key);
}

static void the_response_of_the_document_is_ours(void **state)
{
    struct p2p_frame f = { .version = 1, .type = P2P_RESPONSE, .has_chunk = true };
    struct el_buf out = { 0 };
    struct p2p_reader r;

    (void)state;
    f.chunk = the_chunk();
    f.data = BODY;
    f.flags = P2P_LAST;
    p2p_frame_add(&out, &f);
    assert_dump("response", &out);
    assert_int_equal(read_dump(&r, 1, "response")->flags, P2P_LAST);
    p2p_reader_deinit(&r);
}

static void the_short_frames_of_the_document_are_ours(void **state)
{
    struct p2p_refusal refusal = { { 0, 1 }, EL_ENOTCACHED, 0, EL_STR("evicted") };
    struct p2p_envelope envelope = { P2P_STATEMENT, EL_STR("(a message)") };
    struct p2p_frame cancel = { .version = 1, .type = P2P_CANCEL, .has_chunk = true };
    struct p2p_ping ping = { P2P_QUESTION, 0x0123456789abcdef };
    struct p2p_have have = { 1, 0, true, 1 };
    struct p2p_blocks all = { 0, 0 };
    struct el_buf out = { 0 };

    (void)state;
    cancel.chunk = the_chunk();
    p2p_error_add(&out, 1, &cancel.chunk, 0, &refusal);
    assert_dump("error", &out);
    p2p_have_add(&out, 1, &cancel.chunk, &have);
    assert_dump("have", &out);
    p2p_cancel_add(&out, 1, &cancel.chunk, &all);
    assert_dump("cancel", &out);
    p2p_ack_add(&out, &cancel);
    assert_dump("ack", &out);
    p2p_ping_add(&out, 1, 7, &ping);
    assert_dump("ping", &out);
    p2p_envelope_add(&out, 1, P2P_GOSSIP, 0, &envelope);
    assert_dump("gossip", &out);
}

static void every_dump_of_the_document_was_compared(void **state)
{
    struct el_str rest = el_buf_str(&document), line;
    unsigned n = 0;

    (void)state;
    while (el_str_split(&rest, '\n', &line))
        n += el_str_starts(line, EL_STR("```frame "));
    assert_int_equal(n, 12);
}

/* ---- its table of types ---- */

static unsigned count_rows(struct el_str start, struct el_str end)
{
    struct el_str rest = el_buf_str(&document), line;
    unsigned n = 0;

    while (el_str_split(&rest, '\n', &line))
        n += line.n > end.n && el_str_starts(line, start) &&
             el_str_eq(el_str_from(line, line.n - end.n), end);
    return n;
}

static void the_types_of_the_document_are_ours(void **state)
{
    static const struct {
        unsigned number, least, most;
        const char *name, *chunk;
        unsigned flags;
    } kinds[] = {
#define YES   "yes"
#define NO    "no"
#define MAYBE "maybe"
#define P2P_TYPE(symbol, number, name, least, most, chunk, numbered, flags) \
    { number, least, most, name, chunk, flags },
#include "p2p/frame_list.h"
#undef P2P_TYPE
    };

    (void)state;
    for (size_t i = 0; i < EL_COUNT(kinds); i++) {
        struct el_buf row = { 0 }, flags = { 0 };

        el_buf_addf(&row, "| %u | %s | %u to %u | %s | ", kinds[i].number, kinds[i].name,
                    kinds[i].least, kinds[i].most, kinds[i].chunk);
        el_buf_addf(&flags, " | 0x%02x |", kinds[i].flags);
        if (count_rows(el_buf_str(&row), el_buf_str(&flags)) != 1)
            fail_msg("the document has no row %s ... %s", row.p, flags.p);
        el_buf_deinit(&row);
        el_buf_deinit(&flags);
    }
}

static void the_bounds_of_the_document_are_ours(void **state)
{
    struct el_buf bound = { 0 };

    (void)state;
    el_buf_addf(&bound, "at most %u bytes:", P2P_MAX_OBJECT);
    assert_non_null(strstr(document.p, bound.p));
    el_buf_deinit(&bound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hello_of_the_document_is_ours),
        cmocka_unit_test(the_proof_of_the_document_is_ours),
        cmocka_unit_test(the_request_of_the_document_is_ours),
        cmocka_unit_test(the_manifests_of_the_document_are_ours),
        cmocka_unit_test(the_response_of_the_document_is_ours),
        cmocka_unit_test(the_short_frames_of_the_document_are_ours),
        cmocka_unit_test(every_dump_of_the_document_was_compared),
        cmocka_unit_test(the_types_of_the_document_are_ours),
        cmocka_unit_test(the_bounds_of_the_document_are_ours),
    };
    return cmocka_run_group_tests(tests, read_document, forget_document);
}
