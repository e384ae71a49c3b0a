/* SPDX-License-Identifier: MIT */
/* api_register: nodes come, change, and go: registration, their tokens, all they need at first. */
#include "controlplane/serve.h"

#include "common/sha256.h"

#define PROOF_MIN 32u
#define PROOF_MAX 256u
#define MANY      1000u /* nodes, beyond which one that begins is told of SAMPLE */
#define SAMPLE    256u

/* ---- tokens of nodes ---- */

/* Draws one, and puts it in; the plane is locked. */
static enum el_err give_token(struct cp_service *s, struct cp_state *state, const char *node_id,
                              char ret_text[CP_TOKEN_CHARS + 1], struct el_error *err)
{
    struct cp_token token = { .role = CP_ROLE_NODE, .created_wall_ms = el_clock_wall_ms(s->clock) };
    struct el_digest hash;

    cp_token_draw(ret_text);
    el_sha256_of(ret_text, CP_TOKEN_CHARS, &hash);
    memcpy(token.hash, hash.b, sizeof(token.hash));
    (void)snprintf(token.name, sizeof(token.name), "%s", node_id);
    return cp_token_add(state, &token, err);
}

/* ---- registration ---- */

static void ask_port(struct cp_ask *a, const char *key, enum cp_need need, uint16_t *ret)
{
    uint64_t v = *ret;

    cp_ask_u64(a, key, need, UINT16_MAX, &v);
    *ret = (uint16_t)v;
}

/* What may be changed later as well. */
static void ask_card(struct cp_ask *a, enum cp_need need, struct cp_card *c)
{
    cp_ask_text(a, "address", need, c->address, sizeof(c->address));
    ask_port(a, "p2p_port", need, &c->p2p_port);
    ask_port(a, "http_port", need, &c->http_port);
    cp_ask_u64(a, "memory_capacity_mb", CP_OPTIONAL, INT64_MAX, &c->memory_capacity_mb);
    cp_ask_u64(a, "disk_capacity_mb", CP_OPTIONAL, INT64_MAX, &c->disk_capacity_mb);
    cp_ask_text(a, "name", CP_OPTIONAL, c->name, sizeof(c->name));
    cp_ask_text(a, "zone", CP_OPTIONAL, c->zone, sizeof(c->zone));
    cp_ask_text(a, "region", CP_OPTIONAL, c->region, sizeof(c->region));
    cp_ask_text(a, "version", CP_OPTIONAL, c->version, sizeof(c->version));
    cp_ask_bool(a, "is_anchor", CP_OPTIONAL, &c->is_anchor);
    cp_ask_bool(a, "serves", CP_OPTIONAL, &c->serves);
}

static void ask_cluster(struct cp_ask *a, const char *own)
{
    struct el_str cluster = { NULL, 0 };

    cp_ask_str(a, "cluster_id", CP_OPTIONAL, &cluster);
    if (cluster.n > 0 && !el_str_eq(cluster, el_str_of(own)))
        cp_ask_fault(a, EL_ECLUSTER, "cluster_id", "is another cluster's");
}

/* What only this node can say again: of it the hash is kept. */
static void ask_proof(struct cp_ask *a, struct cp_card *card)
{
    struct el_str proof = { NULL, 0 };

    cp_ask_str(a, "proof", CP_OPTIONAL, &proof);
    if (proof.p == NULL)
        return;
    if (proof.n < PROOF_MIN || proof.n > PROOF_MAX)
        cp_ask_fault(a, EL_EINVAL, "proof", "has to have %u to %u characters", PROOF_MIN,
                     PROOF_MAX);
    card->has_proof = true;
    el_sha256_of(proof.p, proof.n, &card->proof);
}

/* Whoever has a token of this very node, or an operator's, has shown enough. */
static enum el_err check_proof(const struct cp_service *s, const struct cp_state *state,
                               const struct cp_card *card, struct el_error *err)
{
    bool is_any_node = s->who.is_open || (s->who.role == CP_ROLE_NODE && s->who.name[0] == '\0');

    return is_any_node ? cp_node_check_proof(state, card, err) : EL_OK;
}

static void say_registered(struct cp_service *s, struct cp_state *state, const char *node_id,
                           const char *token, struct el_http_reply *out)
{
    json_t *root = el_json_new();

    el_json_add_bool(root, "success", true);
    el_json_add_str(root, "node_id", el_str_of(node_id));
    el_json_add_str(root, "message", EL_STR("registered"));
    el_json_add_str(root, "token", el_str_of(token));
    el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
    el_json_add_u64(root, "heartbeat_interval_ms", s->conf->liveness_heartbeat_ms);
    el_json_add_u64(root, "epoch", cp_state_epoch(state));
    el_json_add_u64(root, "config_version", cp_config_version(state));
    el_json_add_u64(root, "policy_version", cp_policy_version(state));
    cp_reply_json(out, 201, root);
}

/* The plane is locked. */
static void register_node(struct cp_service *s, struct cp_state *state, const struct cp_card *card,
                          const struct cp_report *chunks, struct el_http_reply *out)
{
    char token[CP_TOKEN_CHARS + 1];
    struct el_error err = { 0 };
    const struct cp_node *node;
    bool wants_full;
    enum el_err rc = check_proof(s, state, card, &err);

    if (rc == EL_OK)
        rc = cp_node_register(state, card, &node, &err);
    if (rc == EL_OK && chunks->has != NULL)
        rc = cp_chunks_report(state, el_str_of(card->node_id), chunks, &wants_full, &err);
    if (rc == EL_OK)
        rc = give_token(s, state, card->node_id, token, &err);
    if (rc == EL_OK)
        say_registered(s, state, card->node_id, token, out);
    else
        cp_reply_error(out, &err);
}

void cp_post_nodes(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_card card = { .serves = true };
    struct cp_report chunks = { .kind = CP_REPORT_FULL };
    struct el_chunk_id *ids;
    struct cp_ask a;
    json_t *root;
    char *labels;

    if (!cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "node_id", CP_NEEDED, card.node_id, sizeof(card.node_id));
    ask_cluster(&a, s->conf->service_cluster_id);
    ask_card(&a, CP_NEEDED, &card);
    ask_proof(&a, &card);
    labels = cp_ask_flat(&a, "labels", CP_OPTIONAL, CP_FLAT_TEXT, CP_LABELS_MAX);
    card.labels = el_str_of(labels);
    chunks.has = ids =
        cp_ask_chunks(&a, "available_chunks", CP_OPTIONAL, CP_REPORT_MAX, &chunks.has_n);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
    } else if (!cp_access_is_for(&s->who, card.node_id)) {
        cp_reply_forbid_other(out);
    } else {
        register_node(s, cp_plane_lock(s->plane), &card, &chunks, out);
        cp_reply_durable(s, out);
    }
    free(ids);
    free(labels);
    json_decref(root);
}

void cp_post_auth_register(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    struct cp_card card = { 0 };
    char token[CP_TOKEN_CHARS + 1];
    struct el_error err = { 0 };
    struct cp_state *state;
    struct cp_ask a;
    json_t *root, *answer;

    if (!cp_body(in, out, &a, &root))
        return;
    cp_ask_text(&a, "node_id", CP_NEEDED, card.node_id, sizeof(card.node_id));
    ask_proof(&a, &card);
    if (a.code == EL_OK && !cp_name_is_valid(el_str_of(card.node_id)))
        cp_ask_fault(&a, EL_EINVAL, "node_id", "has other characters than letters, digits, ._:-");
    json_decref(root);
    if (a.code != EL_OK) {
        cp_reply_fault(out, &a);
        return;
    }
    if (!cp_access_is_for(&s->who, card.node_id)) {
        cp_reply_forbid_other(out);
        return;
    }
    state = cp_plane_lock(s->plane);
    if (check_proof(s, state, &card, &err) != EL_OK ||
        give_token(s, state, card.node_id, token, &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        answer = el_json_new();
        el_json_add_str(answer, "token", el_str_of(token));
        el_json_add_str(answer, "peer_id", el_str_of(card.node_id));
        cp_reply_json(out, 201, answer);
    }
    cp_reply_durable(s, out);
}

void cp_patch_node(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    const struct cp_node *node;
    struct cp_state *state;
    struct cp_card card;
    struct cp_ask a;
    json_t *root, *answer;
    char *labels;

    if (!cp_param(in, 0, out, node_id) || !cp_body(in, out, &a, &root))
        return;
    labels = cp_ask_flat(&a, "labels", CP_OPTIONAL, CP_FLAT_TEXT, CP_LABELS_MAX);
    state = cp_plane_lock(s->plane);
    node = cp_node_get(state, el_str_of(node_id));
    if (node == NULL) {
        cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "no node of that name is registered");
    } else {
        struct el_buf kept = { 0 };

        card = node->card;
        el_buf_add_str(&kept, card.labels);
        card.labels = labels != NULL ? el_str_of(labels) : el_buf_str(&kept);
        ask_card(&a, CP_OPTIONAL, &card);
        if (a.code != EL_OK) {
            cp_reply_fault(out, &a);
        } else if (cp_node_register(state, &card, &node, &err) != EL_OK) {
            cp_reply_error(out, &err);
        } else {
            answer = el_json_new();
            cp_json_node(answer, state, node);
            cp_reply_json(out, 200, answer);
        }
        el_buf_deinit(&kept);
    }
    cp_reply_durable(s, out);
    free(labels);
    json_decref(root);
}

void cp_delete_node(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    struct el_error err = { 0 };
    struct cp_state *state;

    if (!cp_param(in, 0, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    if (cp_node_remove(state, el_str_of(node_id), &err) != EL_OK) {
        cp_reply_error(out, &err);
    } else {
        /* Without one is fine: it may have registered while the service was open. */
        (void)cp_token_revoke(state, CP_ROLE_NODE, el_str_of(node_id), NULL);
        cp_reply_empty(out);
        cp_audit(s, state, out, "node.remove", node_id);
    }
    cp_reply_durable(s, out);
}

/* ---- all that a node needs at its start ---- */

static void add_all_members(json_t *list, const struct cp_state *state, const struct cp_node *but)
{
    const struct cp_node *n;
    uint32_t cursor = 0;

    while ((n = cp_node_next(state, &cursor)) != NULL) {
        if (n->life != CP_DEAD && n != but)
            cp_json_peer(el_json_append_child(list), n);
    }
}

/* Of many only some: after an outage all ask, and each needs a few to begin with. */
static void add_members(json_t *root, struct cp_state *state, const struct cp_node *but)
{
    json_t *list = el_json_child_list(root, "members");
    const struct cp_node *v[SAMPLE];
    size_t n;

    if (cp_node_count(state) <= MANY) {
        add_all_members(list, state, but);
        return;
    }
    el_json_add_u64(root, "members_total", cp_node_count(state));
    n = cp_node_sample(state, but, v, SAMPLE);
    for (size_t i = 0; i < n; i++)
        cp_json_peer(el_json_append_child(list), v[i]);
}

static void add_commands(json_t *root, struct cp_state *state, const char *node_id)
{
    const struct cp_command *v[CP_POLL_MAX];
    json_t *list = el_json_child_list(root, "commands");
    size_t n = 0;

    if (cp_command_poll(state, el_str_of(node_id), v, CP_POLL_MAX, &n, NULL) != EL_OK)
        return;
    for (size_t i = 0; i < n; i++)
        cp_json_command(el_json_append_child(list), v[i]);
}

static json_t *hydration(struct cp_service *s, struct cp_state *state, const struct cp_node *node)
{
    const char *id = node->card.node_id;
    json_t *root = el_json_new();
    bool is_known = node->report_epoch > 0;

    el_json_add_str(root, "cluster_id", el_str_of(s->conf->service_cluster_id));
    el_json_add_u64(root, "epoch", cp_state_epoch(state));
    el_json_add_u64(root, "heartbeat_interval_ms", s->conf->liveness_heartbeat_ms);
    el_json_add_u64(root, "chunk_epoch", node->report_epoch);
    cp_json_digest(root, "digest", node->digest);
    el_json_add_str(root, "report", is_known ? EL_STR("none") : EL_STR("full"));
    el_json_add_u64(root, "policy_version", cp_policy_version(state));
    add_members(root, state, node);
    cp_json_policies(root, state);
    cp_json_config(el_json_child(root, "config"), cp_config_get(state, CP_CONFIG_NEWEST));
    cp_json_groups_of(root, state, id);
    add_commands(root, state, id);
    return root;
}

void cp_get_hydration(void *arg, const struct el_http_call_in *in, struct el_http_reply *out)
{
    struct cp_service *s = cp_service_of(arg);
    char node_id[CP_ID_MAX + 1];
    const struct cp_node *node;
    struct cp_state *state;

    if (!cp_param(in, 0, out, node_id))
        return;
    state = cp_plane_lock(s->plane);
    node = cp_node_get(state, el_str_of(node_id));
    if (node != NULL)
        cp_reply_json(out, 200, hydration(s, state, node));
    else
        cp_reply_say(out, 404, EL_ENOTFOUND, "node_id", "no node of that name is registered");
    cp_reply_durable(s, out);
}
