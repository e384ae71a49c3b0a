// SPDX-License-Identifier: MIT
/*
 * NODE_PATH=DIR/node_modules node make_oss.cjs > oss.h : what Alibaba's client for Node (npm install ali-oss) signs
 * at a fixed clock. The oracle is an implementation that is not ours; the requests are our own choice.
 */
'use strict';
const NOW = Date.UTC(2025, 0, 31, 22, 59, 58);
const SystemDate = Date;
class FixedDate extends SystemDate {
    constructor(...of) {
        super(...(of.length > 0 ? of : [NOW]));
    }
    static now() {
        return NOW;
    }
}
global.Date = FixedDate;

const OSS = require('ali-oss');
const { createRequest } = require('ali-oss/lib/common/utils/createRequest');
const { version } = require('ali-oss/package.json');

const KEY_ID = 'LTAI5tExampleKey0002';
const SECRET = 'Ex4mple+Secret/0002';
const TOKEN = 'CAIS/token+of a session==';
const BUCKET = 'models';
const OURS = /^(authorization|user-agent|host|x-oss-date|x-oss-content-sha256|x-oss-security-token)$/i;

const requests = [
    ['plain', 'GET', { object: 'llama/weights.bin' }],
    ['range', 'GET', { object: 'k', headers: { Range: 'bytes=1-2' } }],
    ['head', 'HEAD', { object: 'k' }],
    ['delete', 'DELETE', { object: 'k' }],
    ['escapes', 'GET', { object: 'a b/\u00e4\u6587+&=#~.txt' }],
    ['bare parameter', 'GET', { object: 'k', subres: 'acl' }],
    ['version', 'GET', { object: 'k', subres: { versionId: 'CAEQ/x+y' } }],
    ['response', 'GET', { object: 'k', subres: { 'response-content-disposition': 'attachment; filename="a b"' } }],
    ['process', 'GET', { object: 'i.png', subres: { 'x-oss-process': 'image/resize,w_10' } }],
    ['list', 'GET', { query: { 'list-type': '2', prefix: 'a/', 'max-keys': '3' } }],
    ['put', 'PUT', {
        object: 'k', content: Buffer.from('x'), mime: 'text/plain',
        headers: { 'x-oss-meta-b': 'two  words', 'X-OSS-Meta-A': ' 1 ', 'Content-MD5': 'nd1Zt1WkAvrk2NgRLLY0fA==' },
    }],
    ['part', 'PUT', { object: 'k', subres: { partNumber: '2', uploadId: '0A1B' }, content: Buffer.from('x') }],
    ['session', 'GET', { object: 'k', stsToken: TOKEN }],
    ['additional', 'GET', { object: 'k', headers: { Range: 'bytes=0-9', 'If-Match': '"e"' }, additionalHeaders: ['range', 'if-match'] }],
];
const urls = [
    ['plain', 'GET', 'llama/weights.bin', 60, {}],
    ['escapes', 'GET', 'a b/\u00e4\u6587+&=#~.txt', 86400, {}],
    ['put', 'PUT', 'k', 1, { type: 'text/plain' }],
    ['session', 'GET', 'k', 900, { token: TOKEN }],
    ['process', 'GET', 'i.png', 900, { process: 'image/resize,w_10' }],
];

function client(v4, token) {
    return new OSS({
        region: 'oss-cn-shanghai', bucket: BUCKET, secure: false, accessKeyId: KEY_ID, accessKeySecret: SECRET,
        stsToken: token, authorizationV4: v4,
    });
}

const c = text => JSON.stringify(String(text));

function emit(row) {
    console.log('    {');
    for (const [name, value] of Object.entries(row)) {
        if (name === 'fields')
            value.forEach(([k, v], i) => console.log(`        .fields[${i}] = { ${c(k)}, ${c(v)} },`));
        else
            console.log(`        .${name} = ${typeof value === 'string' ? c(value) : value},`);
    }
    console.log('    },');
}

const target = url => url.slice(url.indexOf('/', 'http://'.length));

function header([name, method, params], v4) {
    const request = createRequest.call(client(v4, params.stsToken), { bucket: BUCKET, method, ...params });
    const headers = Object.entries(request.params.headers);
    emit({
        name, is_v4: v4, method, target: target(request.url), token: params.stsToken || '',
        also: v4 ? (params.additionalHeaders || []).join(';') : '',
        fields: headers.filter(([k, v]) => !OURS.test(k) && v !== undefined),
        authorization: headers.find(([k]) => k.toLowerCase() === 'authorization')[1],
    });
}

async function url([name, method, object, expires, opt], v4) {
    const by = client(v4, opt.token);
    const headers = opt.type ? { 'Content-Type': opt.type } : {};
    const queries = opt.process ? { 'x-oss-process': opt.process } : {};
    const signed = v4
        ? await by.signatureUrlV4(method, expires, { headers, queries }, object)
        : by.signatureUrl(object, { method, expires, process: opt.process, ...headers });
    const plain = target(signed).split('?')[0];
    emit({
        name, is_v4: v4, method, target: opt.process ? `${plain}?x-oss-process=${encodeURIComponent(opt.process)}` : plain,
        token: opt.token || '', also: '', fields: Object.entries(headers), expires_s: expires, signed_target: target(signed),
    });
}

async function main() {
    console.log(`/* SPDX-License-Identifier: MIT */
/* Made by make_oss.cjs with ali-oss ${version} at ${new SystemDate(NOW).toISOString()}: not to be edited. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* clang-format off */
#define OSS_KEY_ID ${c(KEY_ID)}
#define OSS_SECRET ${c(SECRET)}
#define OSS_BUCKET ${c(BUCKET)}
#define OSS_REGION "cn-shanghai"
#define OSS_NOW    ${NOW / 1000}

struct oss_vector {
    const char *name;
    bool is_v4;
    const char *method, *target, *token, *also;
    struct {
        const char *name, *value;
    } fields[6];
    const char *authorization; /* of a signed header */
    int64_t expires_s;         /* of a presigned URL */
    const char *signed_target;
};

static const struct oss_vector oss_headers[] = {`);
    for (const v4 of [false, true])
        requests.forEach(r => header(r, v4));
    console.log('};\n\nstatic const struct oss_vector oss_queries[] = {');
    for (const v4 of [false, true]) {
        for (const u of urls)
            await url(u, v4);
    }
    console.log('};\n/* clang-format on */');
}

main();
