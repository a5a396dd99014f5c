// Is this webhook from Relay? Node 18 or later, nothing else.
//
// KEY=whsec_… node verify.mjs ID TIMESTAMP SIGNATURES < body
import { createHmac, createPublicKey, timingSafeEqual, verify as verifyPair } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const TOLERANCE = 300; // seconds

// Whether one of the signatures in `headers` (names in lower case) is of `key` and no older than five minutes. `key`: the secret
// (whsec_…) or the public key (whpk_…). `body`: the Buffer as it came, before any JSON parser (in Express: express.raw).
export function verify(key, headers, body) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers;
  if (!id || !signatures || !/^[0-9]{1,12}$/.test(timestamp)) return false;
  if (Math.abs(Date.now() / 1000 - Number(timestamp)) > TOLERANCE) return false;
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const check = key.startsWith('whpk_') ? isSignedByPair : isSignedBySecret;
  return signatures.split(' ').some((signature) => check(key, signature, content));
}

function isSignedBySecret(secret, signature, content) {
  const digest = createHmac('sha256', Buffer.from(secret.slice('whsec_'.length), 'base64')).update(content).digest('base64');
  const [expected, given] = [Buffer.from(`v1,${digest}`), Buffer.from(signature)];
  return expected.length === given.length && timingSafeEqual(expected, given);
}

function isSignedByPair(publicKey, signature, content) {
  const [version, encoded] = signature.split(',');
  const x = Buffer.from(publicKey.slice('whpk_'.length), 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return version === 'v1a' && verifyPair(null, content, key, Buffer.from(encoded ?? '', 'base64'));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [id, timestamp, signature] = process.argv.slice(2);
  const headers = { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature };
  if (!verify(process.env.KEY, headers, readFileSync(0))) {
    console.error('refused');
    process.exitCode = 1;
  }
}
