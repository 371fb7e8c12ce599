/**
 * The steps that check an entry's receipt and a tree head, told one by one (docs/specs/receipt.md).
 *
 * A step has a result: held, failed, against (it holds, and says that something speaks against the entry) or open
 * (it could not be checked here). Nothing here touches the page or the network but for tiles, through `fetchTile`.
 */

import { CheckError, consistencyPath, hashReader, leafHash, verifyConsistency, verifyInclusion } from "./merkle.js";
import {
  commitment, entryId, fromBase64, fromHex, hex, issuerKeys, openEnvelope, openTreeHead, parseLeaf, parseProof, quorumAt,
  sealedTarget, signedBy, statusOf, toBase64,
} from "./proofs.js";

const NONE = "0".repeat(64);

/** Why a step is open: what it needs is not there, and that is nobody's fault. */
class OpenStep extends Error {}

/** Something speaks against the entry, and that was proven. */
class Against extends Error {}

/** Does steps in their order and tells each; what a failed one should have given is not there for later ones. */
class Steps {
  constructor(tell) {
    this.tell = tell;
    this.counts = { held: 0, failed: 0, open: 0, against: 0 };
  }

  async take(title, needs, work) {
    if (needs.some((value) => value === null || value === undefined)) {
      this.end(title, "open", "Not reached: a step before it did not hold, or was not checked.");
      return null;
    }
    try {
      const { value = true, detail } = await work();
      this.end(title, "held", detail);
      return value;
    } catch (error) {
      const result = error instanceof OpenStep ? "open" : error instanceof Against ? "against" : "failed";
      const known = error instanceof CheckError || error instanceof OpenStep || error instanceof Against;
      this.end(title, result, known ? error.message : "It is not of the form that it should have.");
      return null;
    }
  }

  end(title, result, detail) {
    this.counts[result] += 1;
    this.tell({ title, result, detail: `${detail.slice(0, 1).toUpperCase()}${detail.slice(1)}` });
  }
}

const day = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").replace(/:\d\d\.\d+Z$/, " UTC");

/**
 * Check a receipt.
 *
 * @param receipt the parsed document
 * @param entry the id that was asked for
 * @param policy what is trusted beforehand, from `parsePolicy`
 * @param present the tree head that is published now, as text; null to leave growth unchecked
 * @param fetchTile gives a tile of the log by its path
 * @param tell is told each step
 * @returns how many steps had which result, and the payload that was proven, if it was
 */
export async function checkReceipt(receipt, { entry, policy, present, fetchTile, tell }) {
  const steps = new Steps(tell);
  const trust = new Trust(policy);
  const own = await steps.take("The receipt is of this entry", [], async () => {
    const leafBytes = fromBase64(receipt.entry.leaf);
    const hash = await leafHash(leafBytes);
    if (entryId(hash) !== entry) throw new CheckError(`expected entry ${entry}, found ${entryId(hash)}`);
    return { value: { leafBytes, hash, leaf: parseLeaf(leafBytes) }, detail: "The id is the hash of the leaf." };
  });
  const opened = await steps.take("The leaf commits to what the entry says", [own], async () => {
    const { envelope, salt } = receipt.entry;
    if (envelope === null || salt === null) {
      throw new OpenStep("What the entry says is not shown to everybody, or was erased. Its leaf is in the log all the same.");
    }
    return { value: await openCommitted(receipt.entry, own.leaf), detail: "Salt and signed bytes give the commitment." };
  });
  await steps.take("What it says gives this very leaf", [own, opened], async () => {
    await requireFit(opened, own.leaf);
    return { detail: `Kind, issuer, number ${own.leaf.sequence} in the issuer's chain and target are the signed ones.` };
  });
  const head = await steps.take("The log signed a tree head", [own], async () => {
    const found = await openTreeHead(parseProof(receipt.entry.proof).note, policy);
    const { origin, size, root } = found;
    return { value: found, detail: `Log ${origin}, ${size} entries, root ${toBase64(root)}.${unchecked(found, true)}` };
  });
  await steps.take("The leaf is in that tree", [own, head], async () => {
    const { index, path } = parseProof(receipt.entry.proof);
    await verifyInclusion(own.hash, index, head.size, path, head.root);
    if (opened) requireLog(opened, head.origin);
    return { detail: `Index ${index}: ${path.length} hashes lead from the leaf to the signed root.` };
  });
  await steps.take("Witnesses cosigned the tree head", [head], async () => ({ detail: quorumOf(policy, head) }));
  const proven = own && opened ? { ...own, ...opened, index: indexOf(receipt.entry), origin: head?.origin } : null;
  const claimant = await steps.take("The key belongs to an organisation", [proven, head], async () => {
    const authority = [];
    for (const stored of receipt.authority) authority.push(await provenEntry(stored, trust));
    const found = await claimantOf(proven, authority);
    return { value: found, detail: `It was entered by "${found.name}" (${found.jurisdiction}), as they call themselves.` };
  });
  await steps.take("The issuer signed it", [proven, claimant], async () => ({ detail: await requireSigned(proven, claimant) }));
  await steps.take("Nothing speaks against it", [own, head], () => standing(receipt.status, own, head, indexOf(receipt.entry), trust));
  await steps.take("The log has only grown since", [head], async () => ({ detail: await grown(head, present, policy, fetchTile) }));
  const isProven = steps.counts.failed === 0 && opened !== null;
  return { counts: steps.counts, payload: isProven ? opened.payload : null };
}

/**
 * Check the tree head that is published now, and that the log grew out of one that was seen before.
 *
 * @param seen a tree head that held before, as text; null at the first visit
 */
export async function checkTreeHead(present, { policy, seen, fetchTile, tell }) {
  const steps = new Steps(tell);
  const head = await steps.take("The log signed its tree head", [], async () => {
    const found = await openTreeHead(present, policy);
    return { value: found, detail: `Log ${found.origin}, ${found.size} entries.${unchecked(found, true)}` };
  });
  await steps.take("Witnesses cosigned it", [head], async () => ({ detail: quorumOf(policy, head) }));
  await steps.take("The log has only grown since your last visit", [head], async () => {
    if (seen === null) throw new OpenStep("This browser had seen no tree head of this log before. It remembers this one now.");
    return { detail: await grown(await openTreeHead(seen, policy), present, policy, fetchTile) };
  });
  return { counts: steps.counts, head };
}

/** Tree heads that were checked: proofs of one receipt share them. */
class Trust {
  constructor(policy) {
    this.policy = policy;
    this.checked = new Map();
  }

  async treeHead(note) {
    if (!this.checked.has(note)) {
      const head = await openTreeHead(note, this.policy);
      quorumOf(this.policy, head, { quietly: true });
      this.checked.set(note, head);
    }
    return this.checked.get(note);
  }
}

const indexOf = (stored) => parseProof(stored.proof).index;

/** Which ML-DSA-44 signatures stand there unchecked: those of the log, or those of witnesses. */
function unchecked(head, ofLog) {
  const names = head.unchecked.filter((name) => (name === head.origin) === ofLog);
  return names.length ? ` Beside it stand ML-DSA-44 signatures, which no browser can check: ${names.join(", ")}.` : "";
}

function quorumOf(policy, head, { quietly = false } = {}) {
  const names = [...head.times].sort((a, b) => a[1] - b[1]).map(([name, at]) => `${name} ${day(at)}`);
  if (policy.quorum === "none") {
    if (quietly) return "";
    throw new OpenStep("The policy asks for no witness, so only the log's own word says that nobody sees another log.");
  }
  const at = quorumAt(policy, head.times);
  if (at === null) throw new CheckError(`the quorum is not reached; those who count cosigned: ${names.join(", ") || "nobody"}`);
  return `The quorum had cosigned by ${day(at)}: ${names.join(", ")}.${unchecked(head, false)}`;
}

async function openCommitted(stored, leaf) {
  const envelope = fromBase64(stored.envelope);
  const salt = fromHex(stored.salt);
  if ((await commitment(envelope, salt)) !== leaf.commit) {
    throw new CheckError("the leaf commits to other bytes, or to another salt");
  }
  return { ...openEnvelope(envelope), salt };
}

async function requireFit({ statement, kind, salt }, leaf) {
  const { issuer, sequence, previous, target } = statement.predicate;
  const fits = leaf.sealed
    ? leaf.target === (await sealedTarget(target ?? NONE, salt))
    : leaf.kind === kind && leaf.issuer === issuer && leaf.sequence === sequence &&
      leaf.previous === (previous ?? NONE) && leaf.target === (target ?? NONE);
  if (!fits) throw new CheckError("what was signed says something else than the leaf in the log");
}

/** What was signed for one log counts in no other. */
function requireLog({ statement }, origin) {
  const { log } = statement.predicate;
  if (log !== origin) throw new CheckError(`it was signed for ${log}, and stands in ${origin}, where it does not count`);
}

/** An entry beside the one that is checked: its leaf is proven, and its envelope belongs to it. */
async function provenEntry(stored, trust) {
  const leafBytes = fromBase64(stored.leaf);
  const hash = await leafHash(leafBytes);
  const proof = parseProof(stored.proof);
  const head = await trust.treeHead(proof.note);
  await verifyInclusion(hash, proof.index, head.size, proof.path, head.root);
  const leaf = parseLeaf(leafBytes);
  const opened = await openCommitted(stored, leaf);
  await requireFit(opened, leaf);
  requireLog(opened, head.origin);
  return { ...opened, leaf, hash, index: proof.index, origin: head.origin, head };
}

const bodyOf = (proven) => proven.statement.predicate.body;

/** Whose key issued an entry: the organisation that entered it before, in the same log. */
async function claimantOf(proven, authority) {
  const issuer = proven.statement.predicate.issuer;
  const candidates = proven.kind === "organisation" ? [proven, ...authority] : authority;
  const isBefore = (one) => one === proven || (one.index < proven.index && one.origin === proven.origin);
  for (const one of candidates.filter((each) => each.kind === "organisation" && isBefore(each))) {
    const { name, jurisdiction, roots, threshold } = bodyOf(one);
    await requireRoots(one, roots, roots.length); // every key shows that its holder wants it there
    let keys = await withId(issuer, roots);
    if (keys !== null && one !== proven && threshold > 1) await requireRoots(proven, roots, threshold);
    for (const added of keys === null ? authority : []) {
      const isAdded = added.kind === "key" && bodyOf(added).action === "add" && isBefore(added);
      if (keys !== null || !isAdded || added.statement.predicate.target !== hex(one.hash)) continue;
      keys = await withId(issuer, [bodyOf(added).public]);
      if (keys === null) continue;
      await requireRoots(added, roots, threshold);
      await requireRoots(added, [bodyOf(added).public], 1);
    }
    if (keys !== null) return { name, jurisdiction, keys, index: one.index };
  }
  throw new CheckError("no organisation in the receipt entered this key before the entry was made");
}

async function withId(issuer, candidates) {
  for (const stated of candidates) {
    const keys = await issuerKeys(stated);
    if (keys[0]?.id === issuer) return keys;
  }
  return null;
}

async function requireRoots(proven, roots, threshold) {
  const all = [];
  for (const root of roots) all.push(await issuerKeys(root));
  const { signed, unchecked: named } = await signedBy(proven, all.flat());
  const complete = all.filter((keys) => keys.every((key) => signed.has(key.id) || named.has(key.id)) && signed.has(keys[0].id));
  if (complete.length < threshold) throw new CheckError(`expected ${threshold} of ${all.length} keys to sign, found ${complete.length}`);
}

async function requireSigned(proven, claimant) {
  const { signed, unchecked: named } = await signedBy(proven, claimant.keys);
  for (const key of claimant.keys) {
    if (!signed.has(key.id) && !named.has(key.id)) throw new CheckError(`the ${key.algorithm} key of the issuer did not sign`);
  }
  if (!signed.has(proven.statement.predicate.issuer)) throw new CheckError("the issuer's own signature is missing");
  return `The Ed25519 signature of key ${proven.statement.predicate.issuer.slice(0, 16)}… holds.${
    named.size ? " An ML-DSA-44 signature stands beside it, which no browser can check." : ""}`;
}

async function standing(status, own, head, index, trust) {
  if (status === null || status === undefined) throw new OpenStep("The receipt has no proof from the status map: ask again later.");
  const map = await provenEntry(status.map, trust);
  const { root, size, log_size: covered } = bodyOf(map);
  if (map.kind !== "statusmap" || map.origin !== head.origin || map.leaf.sealed) {
    throw new CheckError("it names no status map of this log that everybody can see");
  }
  // Mirrors check the last entry of the tree heads that they cosign: an older map says nothing of what came since.
  if (map.index !== map.head.size - 1 || covered !== map.index) {
    throw new CheckError(`expected a status map of all ${map.head.size - 1} entries before the last one, which it is itself, found number ${map.index}, of ${covered} entries`);
  }
  if (covered <= index) throw new CheckError("the status map does not cover this entry");
  const authority = [];
  for (const stored of status.authority) authority.push(await provenEntry(stored, trust));
  const issuer = await claimantOf(map, authority);
  await requireSigned(map, issuer);
  if (issuer.index !== 0) throw new CheckError(`expected a status map by the bureau that runs the log, found one by "${issuer.name}"`);
  const against = await statusOf(status.proof, own.hash, fromHex(root), size);
  if (against !== null) throw new Against(`As of ${covered} entries, entry ${against} speaks against it. Read that one too.`);
  return { detail: `Two neighbours in the status map leave no room for it, as of ${covered} entries of the log.` };
}

async function grown(old, present, policy, fetchTile) {
  if (present === null) throw new OpenStep("The tree head of today could not be fetched.");
  const now = await openTreeHead(present, policy);
  if (now.origin !== old.origin) throw new OpenStep("The entry is in another log than the one that is served here.");
  if (now.size < old.size) throw new CheckError(`the log shows ${now.size} entries now, and showed ${old.size} before`);
  const path = await consistencyPath(hashReader(fetchTile, now.size), old.size, now.size);
  await verifyConsistency(old.size, now.size, old.root, now.root, path);
  return now.size === old.size
    ? `It is the tree head of now: ${now.size} entries.`
    : `The tree of ${old.size} entries is the beginning of the one of ${now.size} that the log signs now.`;
}

