/**
 * The RFC 6962 Merkle tree in a browser: hashes, proofs of inclusion and consistency, and hashes read out of tiles.
 *
 * Hashes are Uint8Arrays of 32 bytes. What does not hold throws a CheckError, whose message a reader sees. Nothing here
 * touches the page or the network. The same rules as src/whorl/log/merkle.py and tiles.py.
 */

export class CheckError extends Error {}

const HASH_BYTES = 32;
const TILE_HEIGHT = 8;
const TILE_WIDTH = 256;

export function join(...parts) {
  const joined = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

export function same(one, other) {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

export async function sha256(...parts) {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));
}

export const leafHash = (entry) => sha256(Uint8Array.of(0), entry);
export const nodeHash = (left, right) => sha256(Uint8Array.of(1), left, right);

/** The root that a tree must have if the path proves its leaf (RFC 9162, section 2.1.3.2). */
export async function rootFromInclusion(leaf, index, size, path) {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) {
    throw new CheckError(`expected an index below the tree's size ${size}, found ${index}`);
  }
  requireHashes(leaf, ...path);
  const sides = [...siblings(index, size - 1)];
  requireLength("proof of inclusion", path, sides.length);
  let node = leaf;
  for (const [at, left] of sides.entries()) {
    node = left ? await nodeHash(path[at], node) : await nodeHash(node, path[at]);
  }
  return node;
}

export async function verifyInclusion(leaf, index, size, path, root) {
  if (!same(await rootFromInclusion(leaf, index, size, path), root)) {
    throw new CheckError(`leaf ${index} is not under the root of the tree of size ${size}`);
  }
}

/** That the old tree is what the new one starts with (RFC 9162, section 2.1.4.2). */
export async function verifyConsistency(oldSize, newSize, oldRoot, newRoot, path) {
  if (!Number.isSafeInteger(oldSize) || !Number.isSafeInteger(newSize) || oldSize < 1 || oldSize > newSize) {
    throw new CheckError(`expected an old size from 1 to the new size ${newSize}, found ${oldSize}`);
  }
  requireHashes(oldRoot, newRoot, ...path);
  if (oldSize === newSize) {
    requireLength("proof of consistency", path, 0);
    if (!same(oldRoot, newRoot)) throw new CheckError(`the log shows two roots for one tree of size ${newSize}`);
    return;
  }
  const level = trailingZeros(oldSize);
  const known = isPowerOfTwo(oldSize) ? [oldRoot] : [];
  const sides = [...siblings(oldSize / 2 ** level - 1, Math.floor((newSize - 1) / 2 ** level))];
  requireLength("proof of consistency", path, 1 + sides.length - known.length);
  const [start, ...others] = [...known, ...path];
  let oldNode = start;
  let newNode = start;
  for (const [at, left] of sides.entries()) {
    if (left) {
      oldNode = await nodeHash(others[at], oldNode);
      newNode = await nodeHash(others[at], newNode);
    } else {
      newNode = await nodeHash(newNode, others[at]);
    }
  }
  if (!same(oldNode, oldRoot) || !same(newNode, newRoot)) {
    throw new CheckError(`the tree of size ${oldSize} is not the beginning of the tree of size ${newSize}`);
  }
}

/** A proof of consistency made of hashes that `read` gives; it proves nothing until it is verified. */
export async function consistencyPath(read, oldSize, newSize) {
  if (oldSize === newSize) return [];
  const path = [];
  let start = 0;
  let end = newSize;
  while (end !== oldSize) {
    const middle = middleOf(start, end);
    if (oldSize <= middle) {
      path.unshift(await rangeRoot(read, middle, end));
      end = middle;
    } else {
      path.unshift(await rangeRoot(read, start, middle));
      start = middle;
    }
  }
  path.unshift(await rangeRoot(read, start, end));
  return isPowerOfTwo(oldSize) ? path.slice(1) : path; // the root of a complete old tree is known
}

/** Reads hashes of complete subtrees from the tiles of a tree; `fetchTile(path)` gives a tile's bytes. */
export function hashReader(fetchTile, size) {
  const tiles = new Map();
  const tile = async (level, index) => {
    const row = Math.floor(size / 2 ** (TILE_HEIGHT * level));
    const width = Math.min(TILE_WIDTH, row - index * TILE_WIDTH);
    const path = tilePath(level, index, width);
    if (!tiles.has(path)) tiles.set(path, fetchTile(path));
    const data = await tiles.get(path);
    if (data.length !== width * HASH_BYTES) {
      throw new CheckError(`${path}: expected ${width} hashes, found ${data.length} bytes`);
    }
    return data;
  };
  return async (level, index) => {
    const tileLevel = Math.floor(level / TILE_HEIGHT);
    const inTile = 2 ** (level % TILE_HEIGHT); // hashes of the tile under this one
    const number = Math.floor((index * inTile) / TILE_WIDTH);
    const first = index * inTile - number * TILE_WIDTH;
    const data = await tile(tileLevel, number);
    let row = [];
    for (let at = first; at < first + inTile; at += 1) row.push(data.slice(at * HASH_BYTES, (at + 1) * HASH_BYTES));
    while (row.length > 1) {
      const above = [];
      for (let at = 0; at < row.length; at += 2) above.push(await nodeHash(row[at], row[at + 1]));
      row = above;
    }
    return row[0];
  };
}

/** Path of a tile below the log's prefix (C2SP tlog-tiles). */
export function tilePath(level, index, width) {
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/.{3}/g);
  const number = [...groups.slice(0, -1).map((group) => `x${group}`), groups.at(-1)].join("/");
  return `tile/${level}/${number}${width === TILE_WIDTH ? "" : `.p/${width}`}`;
}

/** From a node up to the root: whether its sibling is on the left. */
function* siblings(index, last) {
  while (last > 0) {
    if (index % 2 === 1) yield true;
    else if (index < last) yield false;
    index = Math.floor(index / 2);
    last = Math.floor(last / 2);
  }
}

async function rangeRoot(read, start, end) {
  const length = end - start;
  if (isPowerOfTwo(length)) return read(trailingZeros(length), start / length);
  const middle = middleOf(start, end);
  return nodeHash(await rangeRoot(read, start, middle), await rangeRoot(read, middle, end));
}

function middleOf(start, end) {
  let half = 1;
  while (half * 2 < end - start) half *= 2;
  return start + half;
}

function trailingZeros(number) {
  let zeros = 0;
  while (number % 2 === 0) {
    number /= 2;
    zeros += 1;
  }
  return zeros;
}

function isPowerOfTwo(number) {
  return 2 ** trailingZeros(number) === number;
}

function requireHashes(...hashes) {
  const wrong = hashes.find((hash) => hash.length !== HASH_BYTES);
  if (wrong) throw new CheckError(`expected hashes of ${HASH_BYTES} bytes, found one of ${wrong.length}`);
}

function requireLength(what, path, expected) {
  if (path.length !== expected) throw new CheckError(`${what}: expected ${expected} hashes, found ${path.length}`);
}
