"""Two checkpoints taken apart into elements of architecture and tokenizer: the abstraction that needs no opinion."""

from collections.abc import Iterator, Mapping

from whorl.cases.filtering import Element, Layer
from whorl.fingerprints.contents import vocabulary_of
from whorl.weights.anatomy import Anatomy


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
        "neurons": ", ".join(sorted({str(mlp.up.shape[0]) for layer in anatomy.layers for mlp in layer.mlps})),
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


def _tokenizer(anatomy: Anatomy) -> dict[str, str]:
    vocabulary = vocabulary_of(anatomy)
    found = {"size": str(vocabulary.size)}
    if vocabulary.ordered is not None:
        found["tokens_in_order"] = vocabulary.ordered
    if vocabulary.unordered is not None:
        found["tokens"] = vocabulary.unordered
    return found
