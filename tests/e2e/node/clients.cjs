// SPDX-License-Identifier: MIT
/*
 * clients: one operation of one object store client, for test_clients.py:
 *
 *   node clients.cjs minio|aws|oss put|get|get_range|list|presign|delete ARGUMENT...
 *
 * ENDPOINT, PROXY (may be empty), KEY, SECRET and BUCKET come from the environment. What is asked for is
 * printed, or written to the file that is named. A failure is told and ends with status 1.
 */
'use strict';

const fs = require('fs');
const { HttpProxyAgent } = require('http-proxy-agent');

const { ENDPOINT, PROXY, KEY, SECRET, BUCKET, OSS_V4 } = process.env;
const PART = 5 * 1024 * 1024;
const url = new URL(ENDPOINT);
const agent = PROXY ? new HttpProxyAgent(PROXY) : undefined;

/* Downloads in parts, as programs for large objects do. */
async function inParts(size, read) {
  const starts = [];
  for (let at = 0; at < size; at += PART) starts.push(at);
  return Buffer.concat(await Promise.all(starts.map((at) => read(at, Math.min(at + PART, size) - 1))));
}

async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}

function minio() {
  const { Client } = require('minio');
  const c = new Client({ endPoint: url.hostname, port: Number(url.port), useSSL: false, accessKey: KEY, secretKey: SECRET,
    region: 'us-east-1', partSize: PART, transportAgent: agent });
  const read = async (key, first, last) => collect(await c.getPartialObject(BUCKET, key, first, last - first + 1));
  return {
    put: (key, path) => c.fPutObject(BUCKET, key, path),
    get: async (key) => {
      const { size } = await c.statObject(BUCKET, key);
      return size > PART ? inParts(size, (first, last) => read(key, first, last)) : collect(await c.getObject(BUCKET, key));
    },
    get_range: (key, first, last) => read(key, first, last),
    list: async (prefix) => (await c.listObjectsV2(BUCKET, prefix, true).toArray()).map((o) => o.name),
    presign: (key) => c.presignedGetObject(BUCKET, key, 300),
    delete: (key) => c.removeObject(BUCKET, key),
  };
}

function aws() {
  const { S3Client, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, DeleteObjectCommand } =
    require('@aws-sdk/client-s3');
  const { Upload } = require('@aws-sdk/lib-storage');
  const { getSignedUrl } = require('@aws-sdk/s3-request-presigner');
  const { NodeHttpHandler } = require('@smithy/node-http-handler');
  /* http-proxy-agent makes the head of a request again whose body has begun, and mixes the two up. */
  class ThroughProxy extends NodeHttpHandler {
    handle(request, options) {
      const { hostname, port } = new URL(PROXY);
      const path = `http://${request.headers.host}${request.path}`;
      return super.handle(Object.assign(request.constructor.clone(request), { hostname, port, path }), options);
    }
  }
  const c = new S3Client({ endpoint: ENDPOINT, region: 'us-east-1', forcePathStyle: true, maxAttempts: 1,
    credentials: { accessKeyId: KEY, secretAccessKey: SECRET }, requestChecksumCalculation: 'WHEN_REQUIRED',
    requestHandler: PROXY ? new ThroughProxy() : new NodeHttpHandler() });
  const read = async (Key, Range) =>
    Buffer.from(await (await c.send(new GetObjectCommand({ Bucket: BUCKET, Key, Range }))).Body.transformToByteArray());
  return {
    put: (Key, path) =>
      new Upload({ client: c, partSize: PART, params: { Bucket: BUCKET, Key, Body: fs.readFileSync(path) } }).done(),
    get: async (Key) => {
      const { ContentLength } = await c.send(new HeadObjectCommand({ Bucket: BUCKET, Key }));
      return ContentLength > PART ? inParts(ContentLength, (first, last) => read(Key, `bytes=${first}-${last}`)) : read(Key);
    },
    get_range: (Key, first, last) => read(Key, `bytes=${first}-${last}`),
    list: async (Prefix) => ((await c.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix }))).Contents || []).map((o) => o.Key),
    presign: (Key) => getSignedUrl(c, new GetObjectCommand({ Bucket: BUCKET, Key }), { expiresIn: 300 }),
    delete: (Key) => c.send(new DeleteObjectCommand({ Bucket: BUCKET, Key })),
  };
}

function oss() {
  const OSS = require('ali-oss');
  const c = new OSS({ region: 'oss-test', endpoint: ENDPOINT, accessKeyId: KEY, accessKeySecret: SECRET, bucket: BUCKET,
    secure: false, sldEnable: true, authorizationV4: Boolean(OSS_V4), agent, timeout: 60000, retryMax: 0 });
  const read = async (key, first, last) => (await c.get(key, { headers: { Range: `bytes=${first}-${last}` } })).content;
  return {
    put: (key, path) => (fs.statSync(path).size > PART ? c.multipartUpload(key, path, { partSize: PART }) : c.put(key, path)),
    get: async (key) => {
      const size = Number((await c.head(key)).res.headers['content-length']);
      return size > PART ? inParts(size, (first, last) => read(key, first, last)) : (await c.get(key)).content;
    },
    get_range: (key, first, last) => read(key, first, last),
    list: async (prefix) => ((await c.listV2({ prefix, 'max-keys': 100 })).objects || []).map((o) => o.name),
    presign: (key) => (OSS_V4 ? c.signatureUrlV4('GET', 300, {}, key) : c.signatureUrl(key, { expires: 300 })),
    delete: (key) => c.delete(key),
  };
}

async function main() {
  const [kind, verb, key, ...rest] = process.argv.slice(2);
  const path = rest.at(-1);
  const client = { minio, aws, oss }[kind]();

  if (verb === 'put') await client.put(key, path);
  else if (verb === 'get') fs.writeFileSync(path, await client.get(key));
  else if (verb === 'get_range') fs.writeFileSync(path, await client.get_range(key, Number(rest[0]), Number(rest[1])));
  else if (verb === 'list') console.log((await client.list(key)).join('\n'));
  else if (verb === 'presign') console.log(await client.presign(key));
  else await client.delete(key);
  process.exit(0); /* kept connections would keep it alive */
}

main().catch((e) => {
  console.error(e);
  process.exit(1);
});
