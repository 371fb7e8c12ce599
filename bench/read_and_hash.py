"""The yardstick: read files and hash them with SHA-256, doing nothing else.

``python bench/read_and_hash.py JOBS FILE ...``. The files are cut into pieces, so that all threads have work to the
end; each piece has its own digest.
"""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BUFFER_BYTES = 1 << 20
PIECE_BYTES = 256 << 20


def hash_piece(path: Path, start: int) -> str:
    """Digest of the bytes from ``start`` to the end of the piece or of the file."""
    state, buffer, end = hashlib.sha256(), memoryview(bytearray(BUFFER_BYTES)), start + PIECE_BYTES
    with path.open("rb", buffering=0) as file:
        while start < end and (count := os.preadv(file.fileno(), [buffer[: end - start]], start)):
            state.update(buffer[:count])
            start += count
    return state.hexdigest()


def main() -> None:
    pieces = [(path, at) for path in map(Path, sys.argv[2:]) for at in range(0, path.stat().st_size, PIECE_BYTES)]
    with ThreadPoolExecutor(int(sys.argv[1])) as pool:
        digests = list(pool.map(lambda piece: hash_piece(*piece), pieces))
    print(hashlib.sha256("".join(digests).encode()).hexdigest())


if __name__ == "__main__":
    main()
