/* SPDX-License-Identifier: MIT */
/*
 * inside: CONNECT to a host that is intercepted. The tunnel ends here: the client is told 200, then
 * served TLS with a certificate for that host, and what it asks inside is handled as requests for
 * https://host:port. Private to the proxy library.
 */
#pragma once

#include "proxy/req.h"

/* Whether the request, a CONNECT that was admitted, is for such a host, and can be given that. */
bool proxy_inside_wants(const struct proxy_req *r);
/* Finds the context, or has it made, and ends the request with it. r may be gone on return. */
void proxy_inside_start(struct proxy_req *r);
/* The request ends before its context was made. NULL is fine. */
void proxy_inside_forget(struct proxy_inside *inside);
