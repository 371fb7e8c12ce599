"""The questioned model as a CycloneDX 1.6 bill of materials, with as much of a pedigree as the opinion supports.

A reader of a bill of materials takes an ancestor for a fact. So the reference is an ancestor only where the opinion
weighed every other way to share weights; where it did not, it is a variant, which CycloneDX defines as related in a way
that is not known. Without a supported relation the reference is not named at all.
"""

import uuid
from typing import Any, Final

from whorl import __version__
from whorl.cases.exports.standing import Standing, Support, not_excluded, ratio_behind, support_of
from whorl.dossiers.events import CodedMember
from whorl.dossiers.opinion import Opinion
from whorl.dossiers.wording import require_fair

SPECIFICATION: Final = "1.6"
_PREFIX: Final = "sha256:"
_RELATION_IN_PEDIGREE: Final[dict[Support, str]] = {"descent": "ancestors", "shared_weights": "variants"}
_HASH_OF: Final = "the model's content (every matrix, vector and token), and not a file's bytes"


def bill_of_materials(standing: Standing) -> dict[str, Any]:
    """The bill of materials as a JSON object.

    Raises
    ------
    VerificationError
        If a text of the opinion is worded as none may be.
    """
    view, opinion = standing.view, standing.opinion
    described = _component(standing.questioned)
    described["bom-ref"] = f"urn:whorl:case:{view.id}:questioned"
    described["properties"] += _case_properties(standing)
    if opinion is not None and (support := support_of(opinion)) is not None:
        described["properties"] += _support_properties(opinion, support)
        if place := _RELATION_IN_PEDIGREE.get(support):
            described["pedigree"] = _pedigree(standing.reference, opinion, place)
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:whorl:case:{view.id}:{view.head}')}",
        "version": 1,
        "metadata": {
            "timestamp": view.kept[-1].record.at,
            "tools": {"components": [{"type": "application", "name": "whorl", "version": __version__}]},
            "component": described,
        },
    }


def _component(member: CodedMember) -> dict[str, Any]:
    component: dict[str, Any] = {"type": "machine-learning-model", "name": member.name, "properties": []}
    if member.digest is not None:
        component["hashes"] = [{"alg": "SHA-256", "content": member.digest.removeprefix(_PREFIX)}]
        component["properties"].append(_property("hash-of", _HASH_OF))
    return component


def _case_properties(standing: Standing) -> list[dict[str, str]]:
    opinion = standing.opinion
    found = [_property("case", standing.view.id), _property("head", standing.view.head)]
    if opinion is None:
        return [*found, _property("pedigree-withheld", standing.withheld or "")]
    found += [_property("opinion", standing.digest or ""), _property("verdict", opinion.verdict)]
    if support_of(opinion) is None:
        found.append(_property("pedigree-withheld", "The opinion supports no relation to another model."))
    return found


def _support_properties(opinion: Opinion, support: Support) -> list[dict[str, str]]:
    ratio = ratio_behind(opinion)
    if ratio is None:
        raise ValueError("an opinion that supports a relation gives a ratio")
    limits = (*opinion.remarks.deviations, *opinion.remarks.limitations)
    for text in limits:
        require_fair(text, where="export")
    return [
        _property("supported", support),
        _property("log10-ratio-bounded", _number(ratio.bounded)),
        _property("log10-ratio-against", ratio.against),
        _property("log10-ratio-interval", f"{_number(ratio.lower)} to {_number(ratio.upper)}, before the caps"),
        *(_property(f"log10-cap-{name}", _number(cap)) for name, cap in sorted(ratio.caps.items())),
        _property("families", f"{ratio.families[0]} and {ratio.families[1]}"),
        _property("population", ratio.population),
        *(_property("not-excluded", one) for one in not_excluded(opinion)),
        *(_property("limit", text) for text in limits),
    ]


def _pedigree(reference: CodedMember, opinion: Opinion, place: str) -> dict[str, Any]:
    require_fair(opinion.statement, where="export")
    open_ones = ", ".join(one.replace("_", " ") for one in not_excluded(opinion))
    notes = f"{opinion.statement} Not excluded: {open_ones}." if open_ones else opinion.statement
    return {place: [_component(reference)], "notes": notes}


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"whorl:{name}", "value": value}


def _number(log10: float) -> str:
    return f"{log10:.6f}"
