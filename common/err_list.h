/* SPDX-License-Identifier: MIT */
/*
 * Every error of the product, once: EL_ERR(symbol, code, HTTP status, text).
 * 1xxx configuration and use, 2xxx network and HTTP, 3xxx cache, 4xxx peers, 5xxx origin, 6xxx
 * control plane. The code is stable: scripts and dashboards match on it. The status is what our own
 * answer carries.
 */
EL_ERR(EL_EINVAL, 1001, 400, "invalid argument")
EL_ERR(EL_ECONF, 1002, 500, "invalid configuration")
EL_ERR(EL_ENOMEM, 1003, 503, "out of memory")
EL_ERR(EL_ESYS, 1004, 500, "operating system error")
EL_ERR(EL_ECANCELED, 1005, 503, "cancelled")
EL_ERR(EL_ESHUTDOWN, 1006, 503, "shutting down")
EL_ERR(EL_EOVERLOAD, 1007, 503, "overloaded")
EL_ERR(EL_ECONNECT, 2001, 502, "cannot connect")
EL_ERR(EL_ERESOLVE, 2002, 502, "cannot resolve the host name")
EL_ERR(EL_ETIMEOUT, 2003, 504, "timed out")
EL_ERR(EL_ETLS, 2004, 502, "TLS failure")
EL_ERR(EL_EPROTO, 2005, 502, "malformed message")
EL_ERR(EL_ETRUNCATED, 2006, 502, "message cut short")
EL_ERR(EL_ERESET, 2007, 502, "connection lost")
EL_ERR(EL_EBADREQ, 2008, 400, "malformed request")
EL_ERR(EL_ETOOLARGE, 2009, 431, "request head too large")
EL_ERR(EL_EFORBIDDEN, 2010, 403, "refused by policy")
EL_ERR(EL_ELOOP, 2011, 508, "request loops through this proxy")
EL_ERR(EL_EPROXYAUTH, 2012, 407, "proxy authentication required")
EL_ERR(EL_EUNSUPPORTED, 2013, 501, "not implemented")
EL_ERR(EL_EBODYTOOLARGE, 2014, 413, "request body too large")
EL_ERR(EL_EMISDIRECTED, 2015, 421, "misdirected request")
EL_ERR(EL_ENOTCACHED, 3001, 504, "not in the cache")
EL_ERR(EL_EHASH, 3002, 502, "hash mismatch")
EL_ERR(EL_ECHANGED, 3003, 502, "the object changed while it was read")
EL_ERR(EL_EDISK, 3004, 500, "the cache's disk failed")
EL_ERR(EL_EFULL, 3005, 507, "no room is left for it")
EL_ERR(EL_EORIGIN, 5001, 502, "the origin answered with an error")
EL_ERR(EL_EBUSY, 5002, 503, "too many requests to the origin")
EL_ERR(EL_EBREAKER, 5003, 503, "the origin is failing; not asked again yet")
EL_ERR(EL_ENOORIGIN, 5004, 502, "no origin is configured for this request")
