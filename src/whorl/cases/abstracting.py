"""Two checkpoints taken apart into elements of architecture and tokenizer: the abstraction that needs no opinion."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whorl.cases.filtering import Element
from whorl.comparison.subjects import CheckpointSubject, checkpoint_record, open_subject
from whorl.core.digest import digest_bytes
from whorl.core.errors import InputError
from whorl.core.evidence import Subject
from whorl.core.progress import Progress
from whorl.dossiers.heard import Layer
from whorl.fingerprints.contents import vocabulary_of
from whorl.fingerprints.weight_fingerprint import fingerprint_anatomy
from whorl.weights.anatomy import Anatomy

MOST_LISTED: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenApart:
    """A checkpoint, identified by its content, and how it is built."""

    subject: Subject
    anatomy: Anatomy


def take_apart(path: Path, *, progress: Progress) -> TakenApart:
    """Open a checkpoint; its weights are read once, for its digest.

    Raises
    ------
    InputError
        If it cannot be read or is a stored fingerprint, which does not keep all of how the model is built.
    """
    found = open_subject(path)
    if not isinstance(found, CheckpointSubject):
        raise InputError(
            f"{path}: expected a checkpoint, found a stored fingerprint, which does not keep all of how the model is "
            "built; name the checkpoint it was made of"
        )
    view = fingerprint_anatomy(found.anatomy, name=found.name, progress=progress).view()
    return TakenApart(subject=checkpoint_record(found, view), anatomy=found.anatomy)


def elements_of(questioned: Anatomy, reference: Anatomy) -> list[Element]:
    """Architecture and tokenizer of both, element by element.

    What a public ancestor has alike is filtered by `whorl.cases.filtering.explained_by_ancestor`, given the elements of
    the questioned model and that ancestor.
    """
    return [
        *_side_by_side("architecture", _architecture(questioned), _architecture(reference)),
        *_side_by_side("tokenizer", _tokenizer(questioned), _tokenizer(reference)),
    ]


def _side_by_side(layer: Layer, ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[Element]:
    for name in sorted(ours.keys() | theirs.keys()):
        yield Element(layer=layer, name=name, questioned=ours.get(name), reference=theirs.get(name))


def _architecture(anatomy: Anatomy) -> dict[str, str]:
    first = anatomy.layers[0]
    found = {
        "family": anatomy.architecture,
        "width": str(anatomy.width),
        "layers": str(len(anatomy.layers)),
        "neurons": _listed(sorted({mlp.up.shape[0] for layer in anatomy.layers for mlp in layer.mlps})),
        "experts": str(len(first.mlps)),
        "gated": "yes" if first.mlps and first.mlps[0].gate is not None else "no",
        "tied_embeddings": "yes" if anatomy.unembedding is None else "no",
        "normalisation": "none" if anatomy.final_norm is None else anatomy.final_norm.kind,
    }
    if first.attention is not None:
        at = first.attention
        found |= {
            "heads": str(at.heads),
            "key_value_heads": str(at.kv_heads),
            "head_size": str(at.head_size),
            "rotary_size": str(at.rotary_size),
        }
    return found


def _listed(numbers: Sequence[int]) -> str:
    """All of a few, the digest of many: every layer of a pruned model may have a width of its own."""
    text = ", ".join(map(str, numbers))
    return text if len(numbers) <= MOST_LISTED else f"{len(numbers)} sizes, {digest_bytes(text.encode())}"


def _tokenizer(anatomy: Anatomy) -> dict[str, str]:
    vocabulary = vocabulary_of(anatomy)
    found = {"size": str(vocabulary.size)}
    if vocabulary.ordered is not None:
        found["tokens_in_order"] = vocabulary.ordered
    if vocabulary.unordered is not None:
        found["tokens"] = vocabulary.unordered
    return found
