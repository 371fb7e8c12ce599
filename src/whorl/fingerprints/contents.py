"""What a model consists of besides its matrices: name, vocabulary, norm gains, and the digests of everything small."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from whorl.core.arrays import Floats
from whorl.core.digest import digest_array, digest_document
from whorl.fingerprints.extraction import layer_norms
from whorl.fingerprints.model_view import Vocabulary
from whorl.weights.anatomy import BLOCK_BYTES, Anatomy


def describe(anatomy: Anatomy) -> str:
    """Architecture, shape and file format for people."""
    shape = f"{len(anatomy.layers)} layers x {anatomy.width}"
    return f"{anatomy.architecture}, {shape}, {anatomy.source.description}"[:512]


def name_of(path: Path) -> str:
    """A checkpoint's name for people: its folder's or file's, with bytes that are no text written out."""
    return path.resolve().name.encode("utf-8", "backslashreplace").decode()[:512]


def vocabulary_of(anatomy: Anatomy) -> Vocabulary:
    """Digests of the token strings that have an embedding row."""
    size = anatomy.embedding.shape[0]
    if anatomy.vocabulary is None:
        return Vocabulary(size=size, ordered=None, unordered=None)
    tokens = anatomy.vocabulary[:size]
    return Vocabulary(size=size, ordered=_digest_strings(tokens), unordered=_digest_strings(sorted(set(tokens) - {""})))


def norm_gains(anatomy: Anatomy) -> dict[str, Floats]:
    """Every norm's effective gain by role."""
    gains = {
        f"layers.{number}.{role}": norm.gain
        for number, layer in enumerate(anatomy.layers)
        for role, norm in layer_norms(layer).items()
    }
    return gains if anatomy.final_norm is None else {**gains, "final_norm": anatomy.final_norm.gain}


def vector_digests(anatomy: Anatomy) -> dict[str, str]:
    """Digest of every gain and bias by role, and of every tensor without a role by name."""
    vectors: dict[str, Floats | None] = {f"{role}.gain": gain for role, gain in norm_gains(anatomy).items()}
    if anatomy.final_norm is not None:
        vectors["final_norm.bias"] = anatomy.final_norm.bias
    for number, layer in enumerate(anatomy.layers):
        at = f"layers.{number}"
        vectors |= {f"{at}.{role}.bias": norm.bias for role, norm in layer_norms(layer).items()}
        if layer.attention is not None:
            names = ("query_bias", "key_bias", "value_bias", "output_bias", "query_norm", "key_norm")
            vectors |= {f"{at}.{name}": getattr(layer.attention, name) for name in names}
        for expert, mlp in enumerate(layer.mlps):
            vectors |= {f"{at}.mlp.{expert}.{n}": getattr(mlp, n) for n in ("gate_bias", "up_bias", "down_bias")}
    digests = {role: digest_array(vector) for role, vector in vectors.items() if vector is not None}
    return digests | {f"leftover.{name}": _leftover_digest(anatomy, name) for name in anatomy.leftover}


def _leftover_digest(anatomy: Anatomy, name: str) -> str:
    """Digest of a stored tensor without a role, whatever it holds."""
    state, meta = hashlib.sha256(), anatomy.source.meta(name)
    rows = max(1, BLOCK_BYTES // (4 * max(1, meta.columns)))
    for start in range(0, meta.rows, rows):
        anatomy.source.read_rows(name, start, min(start + rows, meta.rows), state.update)
    return f"sha256:{state.hexdigest()}"


def _digest_strings(strings: Sequence[str]) -> str:
    # Surrogates (broken bytes in a tokenizer) have no UTF-8 form; escape them so that every vocabulary has a digest.
    safe = [string.encode("utf-8", "backslashreplace").decode() for string in strings]
    return digest_document("whorl.vocabulary/1", {"tokens": safe})
