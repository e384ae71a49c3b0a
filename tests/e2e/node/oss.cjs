// SPDX-License-Identifier: MIT
/*
 * oss: an object store that speaks OSS, as far as test_clients.py needs it. Who may do what is decided by the
 * signing code of the vendor's own client: the request, as it arrived, is signed again with the secret, and the
 * two signatures have to be the same (versions 1 and 4, in a field or in the URL).
 *
 *   node oss.cjs KEY SECRET LOG     prints its port; LOG gets a line for each answer: METHOD PATH STATUS BYTES
 */
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const sign = require('ali-oss/lib/common/signUtils');

const [KEY, SECRET, LOG] = process.argv.slice(2);
const SIGNED = ['acl', 'append', 'continuation-token', 'delete', 'location', 'partNumber', 'position', 'stat', 'tagging',
  'uploadId', 'uploads', 'versionId', 'x-oss-process', 'response-content-type', 'response-content-disposition'];
const objects = new Map();
const uploads = new Map();

class Refusal extends Error {
  constructor(status, code) {
    super(code);
    this.status = status;
  }
}

function md5(data) {
  return crypto.createHash('md5').update(data).digest('hex').toUpperCase();
}

/* ---- signatures ---- */

function v1(r, when) {
  const part = Object.fromEntries(Object.entries(r.query).filter(([name]) => SIGNED.includes(name)));
  return sign.computeSignature(SECRET, sign.buildCanonicalString(r.method, `/${r.bucket}/${r.key}`,
    { headers: r.headers, parameters: Object.keys(part).length ? part : undefined }, when));
}

function v4(r, credential, date, additional, query) {
  const [, day, region, product] = credential.split('/');
  const queries = Object.fromEntries(Object.entries(query).map(([name, value]) => [name, value === '' ? null : value]));
  const canonical = sign.getCanonicalRequest(r.method, { headers: r.headers, queries }, r.bucket, r.key, additional);
  return sign.getSignatureV4(SECRET, day, region, sign.getStringToSign(region, date, canonical, product), product);
}

function fromField(r) {
  const [scheme, rest] = r.headers.authorization.split(/ (.*)/s);
  if (scheme === 'OSS') {
    const [id, given] = rest.split(':');
    return { id, given, made: v1(r, r.headers['x-oss-date'] ? undefined : r.headers.date) };
  }
  const f = Object.fromEntries(rest.split(',').map((s) => s.trim().split(/=(.*)/s)));
  return { id: f.Credential.split('/')[0], given: f.Signature,
    made: v4(r, f.Credential, r.headers['x-oss-date'], (f.AdditionalHeaders || '').split(';').filter(Boolean), r.query) };
}

function fromQuery(r) {
  const q = r.query;
  if (q.OSSAccessKeyId) {
    if (Number(q.Expires) < Date.now() / 1000) throw new Refusal(403, 'AccessDenied');
    return { id: q.OSSAccessKeyId, given: q.Signature, made: v1(r, q.Expires) };
  }
  const { 'x-oss-signature': given, ...rest } = q;
  const credential = q['x-oss-credential'];
  const additional = (q['x-oss-additional-headers'] || '').split(';').filter(Boolean);
  return { id: credential.split('/')[0], given, made: v4(r, credential, q['x-oss-date'], additional, rest) };
}

function authorise(r) {
  const isSigned = r.headers.authorization || r.query.OSSAccessKeyId || r.query['x-oss-signature'];
  if (!isSigned) throw new Refusal(403, 'AccessDenied');
  const { id, given, made } = r.headers.authorization ? fromField(r) : fromQuery(r);
  if (id !== KEY) throw new Refusal(403, 'InvalidAccessKeyId');
  if (given !== made) throw new Refusal(403, 'SignatureDoesNotMatch');
}

/* ---- operations ---- */

function xml(root, inner) {
  return { type: 'application/xml', data: Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>\n<${root}>${inner}</${root}>`) };
}

function store(name, data, etag) {
  objects.set(name, { data, etag: `"${etag}"`, changed: new Date().toUTCString() });
  return { fields: { ETag: `"${etag}"` } };
}

function begin(r) {
  const id = crypto.randomBytes(16).toString('hex');
  uploads.set(id, new Map());
  return xml('InitiateMultipartUploadResult', `<Bucket>${r.bucket}</Bucket><Key>${r.key}</Key><UploadId>${id}</UploadId>`);
}

function takePart(r) {
  uploads.get(r.query.uploadId).set(Number(r.query.partNumber), r.body);
  return { fields: { ETag: `"${md5(r.body)}"` } };
}

function complete(r) {
  const parts = [...uploads.get(r.query.uploadId)].sort(([a], [b]) => a - b).map(([, data]) => data);
  const data = Buffer.concat(parts);
  store(r.name, data, `${md5(data)}-${parts.length}`);
  return xml('CompleteMultipartUploadResult', `<Bucket>${r.bucket}</Bucket><Key>${r.key}</Key>`);
}

function list(r) {
  const rows = [...objects].filter(([name]) => name.startsWith(`${r.bucket}/${r.query.prefix || ''}`));
  return xml('ListBucketResult', `<Name>${r.bucket}</Name><IsTruncated>false</IsTruncated>${rows.map(([name, o]) =>
    `<Contents><Key>${name.slice(r.bucket.length + 1)}</Key><ETag>${o.etag}</ETag><Size>${o.data.length}</Size></Contents>`).join('')}`);
}

/* OSS answers a range that is not wholly inside the object with the whole of it. */
function rangeOf(r, length) {
  const m = /^bytes=(\d*)-(\d*)$/.exec(r.headers.range || '');
  if (!m || (!m[1] && !m[2])) return null;
  const first = m[1] ? Number(m[1]) : length - Number(m[2]);
  const last = m[1] && m[2] ? Number(m[2]) : length - 1;
  return first >= 0 && first <= last && last < length ? [first, last] : null;
}

function read(r) {
  const o = objects.get(r.name);
  if (!o) throw new Refusal(404, 'NoSuchKey');
  const fields = { ETag: o.etag, 'Last-Modified': o.changed, 'Accept-Ranges': 'bytes', 'x-oss-object-type': 'Normal' };
  if (r.headers['if-match'] && r.headers['if-match'] !== o.etag) throw new Refusal(412, 'PreconditionFailed');
  if (r.headers['if-none-match'] === o.etag) return { status: 304, fields };
  const range = rangeOf(r, o.data.length);
  if (!range) return { fields, data: o.data };
  fields['Content-Range'] = `bytes ${range[0]}-${range[1]}/${o.data.length}`;
  return { status: 206, fields, data: o.data.subarray(range[0], range[1] + 1) };
}

function act(r) {
  authorise(r);
  if (r.method === 'POST' && 'uploads' in r.query) return begin(r);
  if (r.method === 'POST') return complete(r);
  if (r.method === 'PUT' && r.query.uploadId) return takePart(r);
  if (r.method === 'PUT') return store(r.name, r.body, md5(r.body));
  if (r.method === 'DELETE') return objects.delete(r.name), { status: 204 };
  return r.key ? read(r) : list(r);
}

/* ---- messages ---- */

function parse(req, body) {
  const u = new URL(req.url, 'http://host');
  const [bucket, ...key] = decodeURIComponent(u.pathname.slice(1)).split('/');
  return { method: req.method, headers: req.headers, query: Object.fromEntries(u.searchParams), bucket, key: key.join('/'),
    name: `${bucket}/${key.join('/')}`, body };
}

function answer(req, body) {
  try {
    return act(parse(req, body));
  } catch (e) {
    if (!(e instanceof Refusal)) console.error(e);
    return { status: e.status || 500, ...xml('Error', `<Code>${e.message}</Code>`) };
  }
}

const server = http.createServer(async (req, res) => {
  const body = [];
  for await (const piece of req) body.push(piece);
  const { status = 200, fields = {}, type, data = Buffer.alloc(0) } = answer(req, Buffer.concat(body));
  const head = { Server: 'AliyunOSS', 'x-oss-request-id': crypto.randomUUID(), ...fields };
  if (status !== 204 && status !== 304) Object.assign(head, { 'Content-Length': data.length, 'Content-Type': type || 'application/octet-stream' });
  const sent = req.method === 'HEAD' || status === 304 ? 0 : data.length;
  fs.appendFileSync(LOG, `${req.method} ${req.url.split('?')[0]} ${status} ${sent}\n`);
  res.writeHead(status, head);
  res.end(sent ? data : undefined);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
