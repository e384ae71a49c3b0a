/* SPDX-License-Identifier: MIT */
/*
 * embed: a file as part of the program, its bytes between the symbols NAME and NAME_end. Paths are
 * whole; the build says that the object depends on the file (OBJECT_DEPENDS).
 */
#pragma once

/* clang-format off */
#define EL_EMBED(name, path)                  \
    __asm__(".pushsection .rodata\n"          \
            ".global " name "\n"              \
            ".global " name "_end\n"          \
            name ":\n.incbin \"" path "\"\n"  \
            name "_end:\n.byte 0\n"           \
            ".popsection\n")
/* clang-format on */
