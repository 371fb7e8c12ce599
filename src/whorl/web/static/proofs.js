/**
 * What logs and entries are made of, read and checked in a browser: notes, keys, policies, tree heads, leaves, signed
 * statements, the status map. The same rules as src/whorl/log and src/whorl/entries.
 *
 * Ed25519 and SHA-256 are the browser's own (WebCrypto). No browser knows ML-DSA-44: such signatures are named as not
 * checked, and never counted. What does not hold throws a CheckError.
 */

import { CheckError, join, leafHash, sha256, verifyInclusion } from "./merkle.js";

export const ED25519 = 1;
export const COSIGNATURE = 4;
export const MLDSA44 = 6;

const KINDS = [
  "organisation", "key", "policy", "model", "dataset", "fingerprint", "finding",
  "commitment", "opening", "notice", "response", "dispute", "status", "statusmap",
];
const MAX_SIGNATURES = 64;
const LEAF_BYTES = 140;
const LETTERS = "abcdefghijklmnopqrstuvwxyz234567";
const FIELD = 2n ** 255n - 19n;
const ORDER_8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
const SMALL_ORDER = new Set([0n, 1n, FIELD - 1n, ORDER_8, FIELD - ORDER_8]);
const encoder = new TextEncoder();

export const utf8 = (text) => encoder.encode(text);
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function fromHex(text) {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new CheckError("expected hex digits, found something else");
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** Base64 in its one canonical spelling. */
export function fromBase64(text) {
  let bytes = null;
  try {
    bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    // said below
  }
  if (bytes === null || toBase64(bytes) !== text) throw new CheckError("expected canonical base64, found something else");
  return bytes;
}

export function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** JSON without a key that stands twice. */
export function parseJson(text) {
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new CheckError("expected JSON, found something else");
  }
  const open = [];
  let last = null;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token === ":") {
      const key = JSON.parse(last);
      if (open.at(-1).has(key)) throw new CheckError(`expected every key once, found ${key.slice(0, 40)} twice`);
      open.at(-1).add(key);
    }
    last = token;
  }
  return parsed;
}

/** Whether this browser can check Ed25519 signatures at all. */
export async function knowsEd25519() {
  try {
    await importKey(fromHex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"));
    return true;
  } catch {
    return false;
  }
}

const importKey = (key) => crypto.subtle.importKey("raw", key, "Ed25519", false, ["verify"]);

export async function isSignedBy(key, signature, message) {
  if (key.length !== 32 || signature.length !== 64 || isWeak(key)) return false;
  return crypto.subtle.verify("Ed25519", await importKey(key), signature, message);
}

/** Points for which anybody can make signatures (RFC 8032, section 5.1). */
function isWeak(key) {
  const littleEndian = BigInt(`0x${hex([...key].reverse())}`) & (2n ** 255n - 1n);
  return littleEndian >= FIELD || SMALL_ORDER.has(littleEndian);
}

/** A signed note (C2SP signed-note); nothing in it is checked yet. */
export function parseNote(text) {
  const end = text.lastIndexOf("\n\n");
  const lines = text.slice(end + 2).split("\n");
  if (end < 0 || lines.pop() !== "" || lines.length < 1 || lines.length > MAX_SIGNATURES) {
    throw new CheckError("expected a signed note, found something else");
  }
  const signatures = lines.map((line) => {
    const match = /^— ([^\s+]+) ([A-Za-z0-9+/=]+)$/.exec(line);
    if (match === null) throw new CheckError("expected signature lines in a note, found something else");
    const data = fromBase64(match[2]);
    if (data.length < 5) throw new CheckError("expected a key ID and a signature, found fewer bytes");
    return { name: match[1], keyId: hex(data.slice(0, 4)), blob: data.slice(4) };
  });
  return { text: text.slice(0, end + 1), signatures };
}

/** A verifier key as text: its name, its ID and the typed public key. */
export async function parseVkey(text) {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text);
  if (match === null) throw new CheckError("expected a verifier key NAME+ID+KEY, found something else");
  const typed = fromBase64(match[3]);
  const id = (await sha256(utf8(`${match[1]}\n`), typed)).slice(0, 4);
  if (hex(id) !== match[2]) throw new CheckError(`verifier key of ${match[1]}: its ID is that of another key`);
  return { name: match[1], keyId: match[2], type: typed[0], key: typed.slice(1) };
}

/** Which logs and witnesses are trusted beforehand, and how many of them are needed (C2SP tlog-policy). */
export async function parsePolicy(text) {
  const policy = { logs: [], witnesses: [], groups: [], quorum: null };
  for (const line of text.split("\n")) {
    const words = line.trim().split(/[ \t]+/);
    if (words[0] === "" || words[0].startsWith("#")) continue;
    if (words[0] === "log" && words.length >= 2) policy.logs.push(await parseVkey(words[1]));
    else if (words[0] === "witness" && words.length >= 3) {
      policy.witnesses.push({ ...(await parseVkey(words[2])), called: words[1] });
    } else if (words[0] === "group" && words.length >= 4) {
      const members = words.slice(3);
      const needed = { any: 1, all: members.length }[words[2]] ?? Number(words[2]);
      if (!(needed >= 1 && needed <= members.length)) throw new CheckError(`policy: no group needs ${words[2]}`);
      policy.groups.push({ called: words[1], needed, members });
    } else if (words[0] === "quorum" && words.length === 2 && policy.quorum === null) policy.quorum = words[1];
    else throw new CheckError(`policy: expected a line of a C2SP tlog-policy, found ${line.slice(0, 60)}`);
  }
  if (policy.quorum === null || policy.logs.length === 0) throw new CheckError("policy: expected a log and a quorum line");
  return policy;
}

/** When the quorum of a policy had cosigned, in seconds; null if it has not. Nobody is needed for "none". */
export function quorumAt(policy, times) {
  const reached = new Map(times);
  for (const group of policy.groups) {
    const present = group.members.filter((member) => reached.has(member)).map((member) => reached.get(member));
    if (present.length >= group.needed) reached.set(group.called, present.sort((a, b) => a - b)[group.needed - 1]);
  }
  return reached.get(policy.quorum) ?? null;
}

/** Check the signatures of a tree head: what it says, who cosigned when, and which signatures no browser can check. */
export async function openTreeHead(noteText, policy) {
  const note = parseNote(noteText);
  const [origin, sizeText, rootText, ...rest] = note.text.split("\n");
  if (rest.at(-1) !== "" || !/^(0|[1-9][0-9]{0,15})$/.test(sizeText)) throw new CheckError("expected a tree head");
  const root = fromBase64(rootText);
  const logs = policy.logs.filter((log) => log.name === origin);
  const times = new Map();
  const unchecked = [];
  let signed = 0;
  for (const signature of note.signatures) {
    const known = [...logs, ...policy.witnesses].find(
      (key) => key.name === signature.name && key.keyId === signature.keyId,
    );
    if (known === undefined) continue;
    if (known.type === MLDSA44) unchecked.push(known.called ?? known.name);
    else if (known.type === ED25519) {
      await requireSignature(known, signature.blob, utf8(note.text));
      signed += 1;
    } else {
      const at = seconds(signature.blob);
      const message = utf8(`cosignature/v1\ntime ${at}\n${note.text}`);
      await requireSignature(known, signature.blob.slice(8), message);
      if (at > 0) times.set(known.called, Math.min(at, times.get(known.called) ?? at));
    }
  }
  if (signed === 0) throw new CheckError(`no known key of the log ${origin} signed this tree head`);
  return { origin, size: Number(sizeText), root, times, unchecked, note: noteText };
}

async function requireSignature(key, signature, message) {
  if (!(await isSignedBy(key.key, signature, message))) {
    throw new CheckError(`a signature of ${key.called ?? key.name} does not hold: the text or the signature was altered`);
  }
}

function seconds(blob) {
  const at = blob.length === 72 ? new DataView(blob.buffer, blob.byteOffset).getBigUint64(0) : 2n ** 63n;
  if (at > BigInt(Number.MAX_SAFE_INTEGER)) throw new CheckError("a cosignature states no time");
  return Number(at);
}

/** A proof of inclusion (C2SP tlog-proof); nothing in it is checked yet. */
export function parseProof(text) {
  const blank = text.indexOf("\n\n");
  const lines = text.slice(0, blank).split("\n");
  if (blank < 0 || lines.shift() !== "c2sp.org/tlog-proof@v1") throw new CheckError("expected a tlog-proof");
  if (lines[0]?.startsWith("extra ")) lines.shift();
  const match = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? "");
  if (match === null) throw new CheckError("expected the index of a proof, found something else");
  return { index: Number(match[1]), path: lines.map(fromBase64), note: text.slice(blank + 2) };
}

/** The 140 bytes that the log holds of an entry. */
export function parseLeaf(data) {
  if (data.length !== LEAF_BYTES || data[0] !== 1 || data[1] > 1 || data[3] !== 0) {
    throw new CheckError("expected a leaf of this version, found something else");
  }
  const part = (start) => hex(data.slice(start, start + 32));
  const sequence = new DataView(data.buffer, data.byteOffset).getBigUint64(36);
  return {
    sealed: data[1] === 1, kind: KINDS[data[2] - 1] ?? null, issuer: part(4), sequence: Number(sequence),
    previous: part(44), target: part(76), commit: part(108),
  };
}

/** An entry's public name: its leaf hash in base32. */
export function entryId(hash) {
  let bits = "";
  for (const byte of hash) bits += byte.toString(2).padStart(8, "0");
  return bits.padEnd(Math.ceil(bits.length / 5) * 5, "0").match(/.{5}/g).map((five) => LETTERS[parseInt(five, 2)]).join("");
}

export async function commitment(envelope, salt) {
  return hex(await sha256(utf8("whorl/leaf/v1\0"), salt, await sha256(envelope)));
}

export async function sealedTarget(target, salt) {
  return /^0*$/.test(target) ? target : hex(await sha256(utf8("whorl/target/v1\0"), salt, fromHex(target)));
}

/** A signed envelope (DSSE) and the statement in it; whose signatures hold is for `signedBy` to say. */
export function openEnvelope(data) {
  const envelope = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));
  if (envelope.payloadType !== "application/vnd.in-toto+json" || !Array.isArray(envelope.signatures)) {
    throw new CheckError("expected a signed statement, found something else");
  }
  const payload = fromBase64(envelope.payload);
  const statement = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload));
  const kind = KINDS.find((one) => statement.predicateType === `urn:whorl:${one}:1`);
  if (kind === undefined || typeof statement.predicate?.issuer !== "string") {
    throw new CheckError("expected a statement of a known kind, found something else");
  }
  return { payload, statement, kind, signatures: envelope.signatures };
}

/** Ids of those of the keys that signed; of ML-DSA-44 keys, those that name themselves. */
export async function signedBy(opened, keys) {
  const length = utf8(String(opened.payload.length));
  const type = "application/vnd.in-toto+json";
  const message = join(utf8(`DSSEv1 ${type.length} ${type} `), length, utf8(" "), opened.payload);
  const signed = new Set();
  const unchecked = new Set();
  for (const { keyid, sig } of opened.signatures) {
    const key = keys.find((one) => one.id === keyid);
    if (key === undefined) continue;
    if (key.algorithm === "mldsa44") unchecked.add(keyid);
    else if (await isSignedBy(key.key, fromBase64(sig), message)) signed.add(keyid);
    else throw new CheckError(`a signature of key ${keyid.slice(0, 16)}… is not its own: the entry was altered`);
  }
  return { signed, unchecked };
}

/** The keys of an issuer as an entry states them: Ed25519, and ML-DSA-44 where there is one. */
export async function issuerKeys(stated) {
  const keys = [];
  for (const algorithm of ["ed25519", "mldsa44"]) {
    const text = stated[algorithm];
    if (text === null || text === undefined) continue;
    if (!text.startsWith(`${algorithm}:`)) throw new CheckError("a key is of another algorithm than its field says");
    const key = fromBase64(text.slice(algorithm.length + 1));
    keys.push({ algorithm, key, id: hex(await sha256(utf8(`whorl/key/v1\0${algorithm}\0`), key)) });
  }
  return keys;
}

/** What the status map says of an entry: the id of what speaks against it, or null (docs/specs/status-map.md). */
export async function statusOf(proof, entryHash, root, size) {
  for (const leaf of proof.leaves) {
    const hash = await leafHash(join(utf8("whorl/status/v1\0"), fromHex(leaf.key), fromHex(leaf.value)));
    await verifyInclusion(hash, leaf.index, size, leaf.path.map(fromHex), root);
  }
  const sought = hex(entryHash);
  const [before, after] = proof.leaves;
  if (proof.leaves.length === 1) {
    if (before.key !== sought) throw new CheckError("the status map's proof is about another entry");
    return entryId(fromHex(before.value));
  }
  if (proof.leaves.length !== 2 || after.index !== before.index + 1 || !(before.key < sought && sought < after.key)) {
    throw new CheckError("the status map's proof leaves room for this entry");
  }
  return null;
}

