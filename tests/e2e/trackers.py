# SPDX-License-Identifier: MIT
"""trackers: which nodes answer for the chunks of an object, as p2p/track.h and discovery/rendezvous.h say."""
import hashlib

MASK = (1 << 64) - 1
ID_KEY = (0x656C696F70327031, 0x6D656D6265727321)
OWNERS = 3


def siphash(data, k0=0, k1=0):
    """SipHash-2-4."""
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    rotl = lambda x, b: (x << b | x >> (64 - b)) & MASK

    def rounds(n):
        for _ in range(n):
            v[0] = (v[0] + v[1]) & MASK
            v[1] = rotl(v[1], 13) ^ v[0]
            v[0] = rotl(v[0], 32)
            v[2] = (v[2] + v[3]) & MASK
            v[3] = rotl(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & MASK
            v[3] = rotl(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & MASK
            v[1] = rotl(v[1], 17) ^ v[2]
            v[2] = rotl(v[2], 32)

    whole = len(data) - len(data) % 8
    words = [int.from_bytes(data[i:i + 8], "little") for i in range(0, whole, 8)]
    for m in [*words, (len(data) & 0xFF) << 56 | int.from_bytes(data[whole:], "little")]:
        v[3] ^= m
        rounds(2)
        v[0] ^= m
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mix(x):
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & MASK
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & MASK
    return x ^ x >> 33


def version(url, etag, size):
    """Of an object, in hexadecimal, as cache_object_id_of() says."""
    parts = [url.encode(), b"", etag.encode(), size.to_bytes(8, "big")]
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).hexdigest()[:32]


def owners(node_ids, of_version, group=0):
    """The ids of those that are asked about the group, the first one first."""
    key = hashlib.sha256(bytes.fromhex(of_version) + group.to_bytes(4, "big")).digest()[:16]
    salt = siphash(key)
    return sorted(node_ids, key=lambda i: mix(siphash(i.encode(), *ID_KEY) ^ salt), reverse=True)[:OWNERS]
