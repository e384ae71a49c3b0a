#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Prints the table in test_sha256.c of the_tree_hash_is_that_of_an_independent_implementation: tree
hashes by botocore (python3-botocore) of messages whose byte i is (131 * i + i // 4093) % 256."""
import io

from botocore.utils import calculate_tree_hash

MIB = 1 << 20
LENGTHS = (0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB + 7, 3 * MIB, 7 * MIB + MIB // 2, 15 * MIB + 1, 16 * MIB)

message = bytes((131 * i + i // 4093) & 255 for i in range(max(LENGTHS)))
for n in LENGTHS:
    print(f'        {{ {n}, "{calculate_tree_hash(io.BytesIO(message[:n]))}" }},')
