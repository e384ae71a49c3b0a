/* SPDX-License-Identifier: MIT */
/*
 * caller: the first question of a request, before it is routed: may whoever sends it use this
 * proxy? Private to the proxy library; auth.c knows the answer.
 */
#pragma once

#include "proxy/req.h"

/*
 * Answers the request with 407, or calls proxy_req_route(), now or when the worker knows. The
 * request may be gone when it returns.
 */
void proxy_caller_check(struct proxy_req *r);
