# SPDX-License-Identifier: MIT
"""
Callers who try to have the cache give others something else than the origin would: under another's key, as
public what is private, or with fields by which an origin answers and of which the key says nothing.
"""
import pytest

from rgw import NAME, OWNER, STRANGER, signed

VICTIM = b"the victim's own bytes, which only the victim may read"
EVIL = b"what the attacker would like others to get"


def gateway(start, endpoint, **options):
    return start(storage__endpoint=endpoint, storage__breaker_failures=0, **options)


@pytest.fixture
def buckets(rgw):
    owner, stranger = rgw.client(), rgw.client(STRANGER)
    owner.create_bucket(Bucket="victim-bucket")
    owner.put_object(Bucket="victim-bucket", Key="k", Body=VICTIM)
    stranger.create_bucket(Bucket="evil-bucket")
    stranger.put_object(Bucket="evil-bucket", Key="victim-bucket/k", Body=EVIL)


@pytest.mark.parametrize("keys", [False, True])
def test_a_host_that_names_another_bucket_opens_nobodys_object(rgw, buckets, start, tmp_path, keys):
    options = {}
    if keys:
        path = tmp_path / "keys"
        path.write_text(f"[stranger]\naccess_key = {STRANGER[0]}\nsecret_key = {STRANGER[1]}\n")
        path.chmod(0o600)
        options["auth__keys_file"] = str(path)
    node = gateway(start, rgw.url, storage__type="s3", cache__freshness_s=1000, auth__grant_ttl_s=1000, **options)
    path = "/victim-bucket/k"
    evil = signed("GET", f"http://evil-bucket.{NAME}{path}", STRANGER)
    mine = signed("GET", node.url + path, OWNER)
    assert node.get(path, evil).body == EVIL
    assert node.get(path, mine).body == VICTIM
    for _ in range(2):
        r = node.get(path, evil)
        assert VICTIM not in r.body and r.body == EVIL
        # The attacker's key, accepted under the other name a moment ago, is not accepted under this one.
        r = node.get(path, signed("GET", node.url + path, STRANGER))
        assert r.status == 403 and VICTIM not in r.body
        assert node.get(path, mine).body == VICTIM


def test_a_host_that_names_another_site_does_not_answer_for_this_one(origin, start):
    origin.suffix = "sites.test"
    origin.add("/k", body=VICTIM)
    origin.add("/other/k", body=EVIL)
    node = gateway(start, origin.url)
    for _ in range(2):
        assert node.get("/k", [("Host", "other.sites.test")]).body == EVIL
        assert node.get("/k", [("Host", f"127.0.0.1:{node.port}")]).body == VICTIM
    assert len(origin.requests()) == 2


MISLEADING = [("X-Original-URL", "/evil"), ("X-Rewrite-URL", "/evil"), ("X-HTTP-Method-Override", "POST"),
              ("X-Host", "evil.test"), ("X-Forwarded-Host", "evil.test"), ("X-Forwarded-Proto", "https")]


@pytest.mark.parametrize("field", MISLEADING, ids=lambda f: f[0])
def test_an_answer_to_misleading_fields_is_for_their_sender_only(origin, node, field):
    page = origin.add("/page", body=EVIL, cache_control="public, max-age=1000")
    url = origin.url + "/page"
    assert node.get(url, [field]).body == EVIL
    page.body = VICTIM
    assert node.get(url).body == VICTIM
    assert node.get(url).x_cache == "HIT"
    # Nor do they get what is cached: the origin may have something else for them.
    page.body = EVIL
    assert node.get(url, [field]).body == EVIL
    assert node.get(url).body == VICTIM


def test_a_field_that_connection_takes_away_chooses_no_variant(origin, node):
    page = origin.add("/page", body=EVIL, fields=[("Vary", "Accept-Language")])
    url = origin.url + "/page"
    german = ("Accept-Language", "de")
    assert node.get(url, [german, ("Connection", "Accept-Language")]).body == EVIL
    assert origin.seen[-1].get("Accept-Language") is None
    page.body = VICTIM
    assert node.get(url, [german]).body == VICTIM


def test_parameters_that_are_not_in_the_key_make_no_answer_for_all(origin, node):
    page = origin.add("/page", body=EVIL, cache_control="public, max-age=1000")
    url = origin.url + "/page"
    assert node.get(url + "?AWSAccessKeyId=x&Expires=5&Signature=y").body == EVIL
    page.body = VICTIM
    assert node.get(url).body == VICTIM


def test_not_modified_since_says_nothing_about_another_callers_page(origin, node):
    page = origin.add("/mine", body=VICTIM, etag="")
    url = origin.url + "/mine"
    assert node.get(url, [("Cookie", "user=victim")]).body == VICTIM
    page.body = EVIL  # the other caller's own page, of the same date
    assert node.get(url, [("Cookie", "user=other")]).body == EVIL


def test_who_may_ask_for_the_head_may_not_therefore_read(origin, node):
    page = origin.add("/mine", body=VICTIM, authorized=("Basic victim",))
    url = origin.url + "/mine"
    assert node.get(url, [("Authorization", "Basic victim")]).body == VICTIM
    page.authorized = None
    assert node.get(url, method="HEAD").status == 200
    page.authorized = ("Basic victim",)
    r = node.get(url)
    assert r.status == 403 and VICTIM not in r.body


def test_a_cookie_beside_a_304_reaches_only_whom_it_is_for(origin, node):
    page = origin.add("/page", body=VICTIM, cache_control="max-age=0")
    url = origin.url + "/page"
    assert node.get(url).status == 200
    page.fields = [("Set-Cookie", "session=first")]
    assert node.get(url).all("Set-Cookie") == ["session=first"]
    page.fields = []
    r = node.get(url)
    assert (r.status, r.body, r.all("Set-Cookie")) == (200, VICTIM, [])


def test_a_customers_key_in_an_anonymous_request_is_not_lent_to_others(origin, node):
    page = origin.add("/sealed", body=VICTIM, fields=[("x-amz-request-id", "1")])
    url = origin.url + "/sealed"
    assert node.get(url, [("x-amz-server-side-encryption-customer-key", "a2V5")]).body == VICTIM
    page.authorized = ()
    r = node.get(url)
    assert r.status == 403 and VICTIM not in r.body


def test_what_a_store_gave_to_the_pages_of_a_site_is_asked_about_for_others(origin, node):
    page = origin.add("/hotlink", body=VICTIM, fields=[("x-amz-request-id", "1")])
    url = origin.url + "/hotlink"
    assert node.get(url, [("Referer", "http://site.test/")]).body == VICTIM
    page.authorized = ()
    assert node.get(url).status == 403


@pytest.mark.parametrize("query", ["sv=1&se=2&sig=3", "X-Goog-Signature=1", "temp_url_sig=1&temp_url_expires=2"])
def test_a_url_that_another_store_signed_is_asked_about_each_time(origin, node, query):
    page = origin.add("/signed", body=VICTIM)
    url = f"{origin.url}/signed?{query}"
    assert node.get(url).body == VICTIM
    page.authorized = ()  # it has ended
    assert node.get(url).status == 403


def test_packed_bytes_without_vary_are_for_those_who_asked_so(origin, node):
    page = origin.add("/page", body=b"\x1f\x8bpacked", fields=[("Content-Encoding", "gzip")])
    url = origin.url + "/page"
    assert node.get(url, [("Accept-Encoding", "gzip")]).get("Content-Encoding") == "gzip"
    page.fields, page.body = [], VICTIM
    assert node.get(url).body == VICTIM
    assert node.get(url, [("Accept-Encoding", "gzip")]).x_cache == "HIT"


@pytest.mark.parametrize("signature", ["AWS4-HMAC-SHA256 Credential=K/20260901/r/s3/aws4_request,SignedHeaders=host,Signature=0",
                                       "OSS K:sig"])
@pytest.mark.parametrize("fields", [[], [("x-goog-hash", "crc32c=AAAAAA==")]])
def test_what_an_uploader_says_of_caching_does_not_make_a_signed_answer_public(origin, node, signature, fields):
    page = origin.add("/stored", body=VICTIM, cache_control="public, max-age=1000", fields=fields)
    url = origin.url + "/stored"
    assert node.get(url, [("Authorization", signature)]).body == VICTIM
    page.authorized = ()
    r = node.get(url)
    assert r.status == 403 and VICTIM not in r.body


def test_the_bearer_of_another_stores_token_makes_nothing_public(origin, node):
    page = origin.add("/stored", body=VICTIM, cache_control="public, max-age=1000", fields=[("x-ms-version", "1")])
    url = origin.url + "/stored"
    assert node.get(url, [("Authorization", "Bearer t")]).body == VICTIM
    page.authorized = ()
    assert node.get(url).status == 403
