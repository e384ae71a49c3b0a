# SPDX-License-Identifier: MIT
"""
Addresses that no client may reach through a node. ctest runs this in a network namespace of its own
whose loopback carries the metadata address, so that a guard with a hole would get an answer.
"""
import pytest

from checks import is_our_error
from origin import Origin

METADATA = "169.254.169.254"
LAN = "192.0.2.7"  # the machine's own


@pytest.fixture
def metadata():
    try:
        o = Origin(host=METADATA, port=80)
    except OSError as e:
        pytest.fail(f"not in the namespace that ctest makes ({e}): run it with ctest -R e2e/guard")
    o.add("/secret", size=100)
    yield o
    o.close()


@pytest.mark.parametrize("host", [METADATA, "169.254.169.254.", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376",
                                  "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]"])
def test_the_metadata_address_is_refused_in_every_spelling(node, metadata, host):
    is_our_error(node.get(f"http://{host}/secret"), 400, 403, 502)
    assert metadata.connections == 0


def test_a_name_of_the_metadata_address_is_refused(start, metadata):
    # The first name of the file that ctest puts in place of /etc/hosts.
    node = start()
    is_our_error(node.get("http://metadata.test/secret"), 403, 502)
    assert metadata.connections == 0


def test_connect_to_the_metadata_address_is_refused(start, metadata):
    node = start(proxy__connect_ports="80")
    with node.connect() as c:
        c.send(f"CONNECT {METADATA}:80 HTTP/1.1\r\nHost: {METADATA}:80\r\n\r\n".encode())
        is_our_error(c.read_response(), 403)
    assert metadata.connections == 0


def test_an_operator_can_allow_it_by_its_exact_address(start, metadata):
    node = start(proxy__allow_hosts=METADATA)
    assert node.get(f"http://{METADATA}/secret").status == 200


def test_every_spelling_of_the_own_ports_is_refused(node):
    for host in ("127.0.0.1", "127.1", "0.0.0.0", "localhost", "[::ffff:127.0.0.1]", "127.0.0.2"):
        r = node.get(f"http://{host}:{node.admin_port}/api/v1/status")
        is_our_error(r, 400, 403, 502)


def test_the_own_ports_are_refused_on_every_address_of_the_machine(start):
    node = start(general__bind_address="0.0.0.0", proxy__connect_ports="1-65535")
    for port in (node.port, node.admin_port):
        is_our_error(node.get(f"http://{LAN}:{port}/api/v1/status"), 403, 502)
        with node.connect() as c:
            c.send(f"CONNECT {LAN}:{port} HTTP/1.1\r\nHost: {LAN}:{port}\r\n\r\n".encode())
            is_our_error(c.read_response(), 403)


def test_another_service_on_the_same_port_of_another_address_is_an_origin(node):
    o = Origin(host=LAN, port=node.admin_port)
    o.add("/theirs", size=100)
    assert node.get(f"http://{LAN}:{node.admin_port}/theirs").status == 200
    o.close()
