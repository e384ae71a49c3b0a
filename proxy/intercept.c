/* SPDX-License-Identifier: MIT */
/* intercept: see intercept.h. Contexts are kept in a list, the one that was used last in front. */
#include "proxy/intercept.h"

#include <pthread.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "common/file.h"
#include "common/list.h"
#include "proxy/guard.h"
#include "proxy/tls.h"

/* Hosts in use at a time; a context takes about 17 KiB. */
#define MAX_KEPT       256
#define MAX_FILE_BYTES EL_MIB

struct kept {
    struct el_list link;
    SSL_CTX *tls;
    int64_t renew_s;
    char name[PROXY_LEAF_NAME_BYTES];
};

struct proxy_intercept {
    /* Immutable. */
    char *text; /* of proxy.intercept_hosts */
    struct proxy_hosts *hosts;
    struct proxy_leaf_ca *ca;
    char ca_name[256];
    mode_t key_mode;
    /* Under mtx. */
    pthread_mutex_t mtx;
    struct el_list kept; /* of struct kept */
    uint64_t n_kept, n_made;
};

/* ---- a new one ---- */

static enum el_err read_ca(struct proxy_intercept *i, const struct el_conf *conf, int64_t now_s,
                           struct el_error *err)
{
    struct el_buf cert = { 0 }, key = { 0 };
    enum el_err rc = el_file_read("proxy.intercept_ca_cert", conf->proxy_intercept_ca_cert,
                                  MAX_FILE_BYTES, &cert, NULL, err);

    if (rc == EL_OK)
        rc = el_file_read("proxy.intercept_ca_key", conf->proxy_intercept_ca_key, MAX_FILE_BYTES,
                          &key, &i->key_mode, err);
    if (rc == EL_OK) {
        const struct proxy_leaf_pem pem = { el_buf_str(&cert), el_buf_str(&key) };

        rc = proxy_leaf_ca_new(&pem, now_s, &i->ca, err);
    }
    if (key.p != NULL)
        OPENSSL_cleanse(key.p, key.n);
    el_buf_deinit(&key);
    el_buf_deinit(&cert);
    return rc;
}

static enum el_err judge_conf(const struct el_conf *conf, struct el_error *err)
{
    if (conf->proxy_intercept_ca_cert[0] == '\0' || conf->proxy_intercept_ca_key[0] == '\0')
        return el_fail(err, EL_ECONF, 0,
                       "proxy.intercept_hosts wants proxy.intercept_ca_cert and "
                       "proxy.intercept_ca_key");
    if (conf->storage_insecure_tls)
        return el_fail(err, EL_ECONF, 0,
                       "proxy.intercept_hosts and storage.insecure_tls exclude each other: nobody "
                       "would verify who the origin is");
    return EL_OK;
}

enum el_err proxy_intercept_new(const struct el_conf *conf, int64_t now_s,
                                struct proxy_intercept **ret_intercept, struct el_error *err)
{
    const char *text = conf->proxy_intercept_hosts;
    struct proxy_intercept *i;
    enum el_err rc;

    *ret_intercept = NULL;
    if (text[0] == '\0')
        return EL_OK;
    i = el_new(struct proxy_intercept);
    EL_ASSERT(pthread_mutex_init(&i->mtx, NULL) == 0);
    el_list_init(&i->kept);
    i->text = el_strndup(text, strlen(text));
    rc = judge_conf(conf, err);
    if (rc == EL_OK)
        rc = proxy_hosts_new("proxy.intercept_hosts", text, &i->hosts, err);
    if (rc == EL_OK)
        rc = read_ca(i, conf, now_s, err);
    if (rc != EL_OK) {
        proxy_intercept_free(i);
        return rc;
    }
    proxy_leaf_ca_name(i->ca, i->ca_name, sizeof(i->ca_name));
    *ret_intercept = i;
    return EL_OK;
}

static void free_kept(struct kept *k)
{
    SSL_CTX_free(k->tls); /* connections that use it hold references */
    free(k);
}

void proxy_intercept_free(struct proxy_intercept *i)
{
    struct el_list *l;

    if (i == NULL)
        return;
    while ((l = el_list_pop(&i->kept)) != NULL)
        free_kept(EL_ENTRY(l, struct kept, link));
    EL_ASSERT(pthread_mutex_destroy(&i->mtx) == 0);
    proxy_leaf_ca_free(i->ca);
    proxy_hosts_free(i->hosts);
    free(i->text);
    free(i);
}

bool proxy_intercept_has(const struct proxy_intercept *i, struct el_str host,
                         char name[PROXY_LEAF_NAME_BYTES])
{
    return proxy_hosts_has(i->hosts, host) && proxy_leaf_name(host, name);
}

void proxy_intercept_info_get(struct proxy_intercept *i, struct proxy_intercept_info *ret)
{
    *ret = (struct proxy_intercept_info){
        .hosts = i->text,
        .ca = i->ca_name,
        .ca_end_s = proxy_leaf_ca_end_s(i->ca),
        .is_key_readable = (i->key_mode & 077) != 0,
    };
    EL_ASSERT(pthread_mutex_lock(&i->mtx) == 0);
    ret->made = i->n_made;
    ret->kept = i->n_kept;
    EL_ASSERT(pthread_mutex_unlock(&i->mtx) == 0);
}

/* ---- what is kept ---- */

static struct kept *find_locked(struct proxy_intercept *i, const char *name)
{
    struct el_list *it, *tmp;

    EL_LIST_EACH (it, tmp, &i->kept) {
        struct kept *k = EL_ENTRY(it, struct kept, link);

        if (strcmp(k->name, name) == 0)
            return k;
    }
    return NULL;
}

SSL_CTX *proxy_intercept_find(struct proxy_intercept *i, const char *name, int64_t now_s)
{
    SSL_CTX *tls = NULL;
    struct kept *k;

    EL_ASSERT(pthread_mutex_lock(&i->mtx) == 0);
    k = find_locked(i, name);
    if (k != NULL && now_s < k->renew_s) {
        tls = k->tls;
        EL_ASSERT(SSL_CTX_up_ref(tls) == 1);
        el_list_remove(&k->link);
        el_list_prepend(&i->kept, &k->link);
    }
    EL_ASSERT(pthread_mutex_unlock(&i->mtx) == 0);
    return tls;
}

/* What has to go for the new one: the older of that name, or the one not used for longest. */
static struct kept *take_out_locked(struct proxy_intercept *i, const char *name)
{
    struct kept *old = find_locked(i, name);

    if (old == NULL && i->n_kept >= MAX_KEPT)
        old = EL_ENTRY(i->kept.prev, struct kept, link);
    if (old != NULL) {
        el_list_remove(&old->link);
        i->n_kept--;
    }
    return old;
}

static void keep(struct proxy_intercept *i, const char *name, SSL_CTX *tls, int64_t renew_s)
{
    struct kept *k = el_new(struct kept), *old;

    EL_ASSERT(SSL_CTX_up_ref(tls) == 1);
    k->tls = tls;
    k->renew_s = renew_s;
    memcpy(k->name, name, strlen(name) + 1);
    EL_ASSERT(pthread_mutex_lock(&i->mtx) == 0);
    old = take_out_locked(i, name);
    el_list_prepend(&i->kept, &k->link);
    i->n_kept++;
    i->n_made++;
    EL_ASSERT(pthread_mutex_unlock(&i->mtx) == 0);
    if (old != NULL)
        free_kept(old);
}

/* ---- making ---- */

/* A client that wants another host than it asked the proxy for is up to something, or misled. */
static int check_server_name(SSL *ssl, int *alert, void *arg)
{
    const char *asked = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    X509 *leaf = SSL_get_certificate(ssl);

    (void)arg;
    if (asked == NULL ||
        X509_check_host(leaf, asked, 0,
                        X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_WILDCARDS,
                        NULL) == 1 ||
        X509_check_ip_asc(leaf, asked, 0) == 1)
        return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool use_leaf(SSL_CTX *tls, const struct proxy_leaf_ca *ca, X509 *leaf)
{
    const STACK_OF(X509) *chain = proxy_leaf_chain(ca);

    if (SSL_CTX_use_certificate(tls, leaf) != 1 ||
        SSL_CTX_use_PrivateKey(tls, proxy_leaf_key(ca)) != 1)
        return false;
    for (int n = 0; n < sk_X509_num(chain); n++) {
        if (SSL_CTX_add1_chain_cert(tls, sk_X509_value(chain, n)) != 1)
            return false;
    }
    SSL_CTX_set_tlsext_servername_callback(tls, check_server_name);
    return true;
}

static SSL_CTX *new_context(const struct proxy_intercept *i, const char *name, int64_t now_s)
{
    uint8_t serial[PROXY_LEAF_SERIAL_BYTES];
    X509 *leaf;
    SSL_CTX *tls;

    EL_ASSERT(RAND_bytes(serial, sizeof(serial)) == 1);
    leaf = proxy_leaf_new(i->ca, name, now_s, serial);
    tls = leaf != NULL ? proxy_tls_context(false) : NULL;
    if (tls != NULL && !use_leaf(tls, i->ca, leaf)) {
        SSL_CTX_free(tls);
        tls = NULL;
    }
    X509_free(leaf);
    ERR_clear_error();
    return tls;
}

SSL_CTX *proxy_intercept_make(struct proxy_intercept *i, const char *name, int64_t now_s)
{
    SSL_CTX *tls = proxy_intercept_find(i, name, now_s);
    int64_t ca_left_s = proxy_leaf_ca_end_s(i->ca) - now_s;

    if (tls != NULL)
        return tls;
    tls = new_context(i, name, now_s);
    if (tls != NULL)
        keep(i, name, tls,
             now_s + (ca_left_s < PROXY_LEAF_LIFE_S ? ca_left_s : PROXY_LEAF_LIFE_S) / 2);
    return tls;
}
