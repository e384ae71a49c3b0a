# SPDX-License-Identifier: MIT
"""One peer of a BitTorrent swarm, with libtorrent set for a network of its own (Debian: python3-libtorrent).

torrent.py make FILE TORRENT PIECE_KIB
torrent.py seed|get TORRENT DIRECTORY ADDRESS PEER...: every peer knows all others from the start; there is no
tracker to wait for. "ready" when it listens; begins at the first line of its standard input; ends when
it has all ("get"), after it prints "done" and its input is closed, so that it goes on giving until then.
"""

import sys
import time

import libtorrent as lt

PORT = 6881
# From what a sweep on such a network showed: no uTP, many and early requests, eight uploads at a time.
SETTINGS = {
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_incoming_utp": False, "enable_outgoing_utp": False,
    "in_enc_policy": 2, "out_enc_policy": 2, "allowed_enc_level": 1,
    "allow_multiple_connections_per_ip": True, "connection_speed": 200, "torrent_connect_boost": 60,
    "peer_connect_timeout": 3, "min_reconnect_time": 1, "connections_limit": 200,
    "unchoke_slots_limit": 8, "seed_choking_algorithm": 0, "choking_algorithm": 0, "unchoke_interval": 2,
    "optimistic_unchoke_interval": 4, "strict_end_game_mode": False, "request_queue_time": 1,
    "max_out_request_queue": 200, "max_allowed_in_request_queue": 1000, "whole_pieces_threshold": 2,
    "send_buffer_watermark": 2 << 20, "send_buffer_low_watermark": 256 << 10,
    "send_buffer_watermark_factor": 150, "rate_limit_ip_overhead": False, "tick_interval": 100,
    "have_piece_batch": 0, "alert_mask": 0,
}


def make(path, torrent, piece_kib):
    storage = lt.file_storage()
    lt.add_files(storage, path)
    created = lt.create_torrent(storage, int(piece_kib) << 10, lt.create_torrent.v1_only)
    lt.set_piece_hashes(created, path.rpartition("/")[0])
    with open(torrent, "wb") as f:
        f.write(lt.bencode(created.generate()))


def known(session):
    """libtorrent refuses settings that it does not know."""
    there = session.get_settings()
    return {k: v for k, v in SETTINGS.items() if k in there}


def join(role, torrent, directory, address, peers):
    session = lt.session({"listen_interfaces": f"{address}:{PORT}"})
    session.apply_settings(known(session))
    params = lt.add_torrent_params()
    params.ti, params.save_path = lt.torrent_info(torrent), directory
    params.flags &= ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused)
    if role == "seed":
        params.flags |= lt.torrent_flags.seed_mode
    else:
        params.flags |= lt.torrent_flags.no_verify_files  # the file is there, and there is nothing in it
    print("ready", flush=True)
    sys.stdin.readline()
    handle = session.add_torrent(params)
    for peer in peers:
        handle.connect_peer((peer, PORT))
    while role == "get" and not handle.status().is_seeding:
        time.sleep(0.02)
    print("done", flush=True)
    sys.stdin.read()


if sys.argv[1] == "make":
    make(*sys.argv[2:])
else:
    join(sys.argv[1], *sys.argv[2:5], sys.argv[5:])
