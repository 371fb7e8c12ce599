"""Hand-built findings, one of each kind, for the tests of what readers see. All names and figures are invented."""

from whorl.core.evidence import (
    Conclusion,
    Direction,
    EstablishedTransformation,
    EValue,
    Evidence,
    Finding,
    LayerMatch,
    NotComparable,
    PValue,
    Relation,
    Score,
    Subject,
    Transformation,
)

INDEPENDENCE = "the two models' weights are independent draws, each symmetric under reordering of its neurons"


def subject(name: str, layers: int = 24) -> Subject:
    return Subject(
        name=name,
        digest="sha256:" + (name.encode().hex() * 64)[:64].ljust(64, "0"),
        description=f"Llama, {layers} layers x 2048, safetensors",
        access="weights",
    )


def exact_bit_equality(same: int, total: int) -> Score:
    share = same / total
    return Score(
        tier="T1",
        method="tensor_digests/1",
        value=share,
        lower=share,
        upper=share,
        unrelated_at_most=0.0,
        statistic={"equal_tensors": float(same), "tensors": float(total)},
        detail=f"{same} of {total} tensors have the same digest.",
    )


def coincidences(log10_p: float) -> PValue:
    return PValue(
        tier="T2",
        method="index_coincidences/1",
        log10_p=log10_p,
        null=INDEPENDENCE,
        assumptions=("neurons of one layer are exchangeable before training", "the views were fixed beforehand"),
        statistic={"coincidences": 812.0, "neurons": 135168.0},
        detail="Neurons whose nearest counterpart sits at the same index, summed over 22 layers.",
    )


def product_over_layers(log10_e: float) -> EValue:
    return EValue(
        tier="T2",
        method="layer_product/1",
        log10_e=log10_e,
        null=INDEPENDENCE,
        assumptions=("layers were paired without looking at their agreement",),
        statistic={"layers": 22.0},
        detail="Product over layers of e-values from the count of coincidences.",
    )


def two_view_agreement(value: float, unrelated: float | None = 0.013) -> Score:
    return Score(
        tier="T3",
        method="two_view_agreement/1",
        value=value,
        lower=max(0.0, value - 0.02),
        upper=min(1.0, value + 0.015),
        unrelated_at_most=unrelated,
        statistic={"neurons": 135168.0, "residual_rank": 512.0},
        detail="Share of neurons whose incoming and outgoing weights name the same counterpart after alignment.",
    )


def head_invariants(value: float) -> Score:
    return Score(
        tier="T3",
        method="head_invariants/1",
        value=value,
        lower=max(0.0, value - 0.06),
        upper=min(1.0, value + 0.05),
        unrelated_at_most=0.09,
        statistic={"heads": 352.0},
        detail="Share of attention heads whose spectra pick one head of the other model.",
    )


def power(detail: str) -> Score:
    return Score(
        tier="T5",
        method="simulated_power/1",
        value=0.98,
        lower=0.95,
        upper=1.0,
        unrelated_at_most=None,
        statistic={"trials": 200.0},
        detail=detail,
    )


def unanswered() -> NotComparable:
    return NotComparable(
        tier="T2",
        method="longest_increasing_run/1",
        reason="not_needed",
        detail="Meant for different widths; these two have the same width.",
    )


def needs_weights() -> NotComparable:
    return NotComparable(
        tier="T1",
        method="grid_containment/1",
        reason="needs_weights",
        detail="One side is a stored fingerprint; rounding grids are only seen in the weights.",
    )


def layer(questioned: int, reference: int | None, agreement: float) -> LayerMatch:
    return LayerMatch(
        questioned=questioned,
        reference=reference,
        agreement=agreement,
        neurons=5632,
        similarity=round(0.9 * agreement, 3),
        coincidences=None if reference is None else 37,
        heads=None if reference is None else round(agreement, 2),
    )


def finding(
    relation: Relation,
    statement: str,
    *,
    questioned: Subject | None = None,
    reference: Subject | None = None,
    log10_p: float | None = None,
    direction: Direction | None = None,
    direction_reason: str = "No relation was established, so there is no direction to tell.",
    evidence: tuple[Evidence, ...] = (),
    layers: tuple[LayerMatch, ...] = (),
    unmatched: tuple[int, ...] = (),
    changes: dict[Transformation, str] | None = None,
    limits: tuple[str, ...] = ("A model that was trained on the other's answers would look unrelated here.",),
) -> Finding:
    return Finding(
        schema="whorl.finding/1",
        whorl_version="0.1.0",
        questioned=questioned or subject("Northwind Labs Chat 2B"),
        reference=reference or subject("Meridian AI Base 2B"),
        conclusion=Conclusion(
            relation=relation,
            statement=statement,
            log10_p=log10_p,
            log10_lr=None,
            direction=direction,
            direction_reason=direction_reason,
            transformations=tuple(changes or ()),
        ),
        evidence=evidence,
        layers=layers,
        unmatched_reference_layers=unmatched,
        transformations=tuple(EstablishedTransformation(name=n, detail=d) for n, d in (changes or {}).items()),
        limits=limits,
        parameters={"seed": 20260101, "rows_per_view": 4096, "threshold": 0.013, "alignment": "procrustes"},
    )


def derived() -> Finding:
    kept = [n for n in range(24) if n not in (7, 15)]
    layers = tuple(layer(n, m, 0.31 if m in (0, 23) else 0.97 - 0.004 * m) for n, m in enumerate(kept))
    return finding(
        "derived",
        "The questioned model shares trained weights with the reference: all of its 22 layers have a counterpart, in "
        "the reference's order. Independent models would do this with p <= 10^-312.",
        questioned=subject("Northwind Labs Chat 2B", 22),
        log10_p=-312.4,
        direction=Direction(questioned_from_reference=0.97, reference_from_questioned=0.01, common_ancestor=0.02),
        direction_reason="Two layers of the reference are missing, and what remains is rounded more coarsely.",
        evidence=(
            exact_bit_equality(0, 201),
            coincidences(-312.4),
            product_over_layers(288.7),
            two_view_agreement(0.93),
            head_invariants(0.88),
            unanswered(),
            needs_weights(),
        ),
        layers=layers,
        unmatched=(7, 15),
        changes={
            "rotated": "The residual coordinates differ by an orthogonal map; after undoing it the agreement is 0.93.",
            "permuted": "Neurons of all 22 layers are in another order.",
            "rescaled": "Up and down projections differ by one factor per neuron, between 0.5 and 2.",
            "layers_dropped": "Reference layers 7 and 15 have no counterpart.",
            "fine_tuned": "What remains after alignment has rank above 64 and grows with depth.",
        },
        limits=(
            "It does not show who trained which model first in time, only in which direction the weights changed.",
            "It does not show training on the other model's answers.",
            "The exact test assumes that no one chose the order of neurons in view of the other model.",
        ),
    )


def none_found() -> Finding:
    return finding(
        "none_found",
        "No test saw anything in common. A relation by fine-tuning or rewriting would have been seen with power 0.98.",
        log10_p=-0.31,
        evidence=(
            exact_bit_equality(0, 201),
            coincidences(-0.31),
            two_view_agreement(0.006),
            head_invariants(0.05),
            power("Copies of this reference, rewritten and trained on, were recognised in 196 of 200 trials."),
        ),
        layers=tuple(layer(n, None, 0.004) for n in range(24)),
        unmatched=tuple(range(24)),
    )


def shared_initialisation() -> Finding:
    return finding(
        "shared_initialisation",
        "Both models started from the same random weights and were then trained apart.",
        log10_p=-74.9,
        direction_reason="Both sides moved away from a common start by similar amounts.",
        evidence=(coincidences(-74.9), two_view_agreement(0.22), head_invariants(0.12)),
        layers=tuple(layer(n, n, 0.19 + 0.01 * (n % 5)) for n in range(12)),
    )


def inconclusive() -> Finding:
    return finding(
        "inconclusive",
        "Too little of the two models can be compared to say anything.",
        evidence=(
            NotComparable(
                tier="T2",
                method="index_coincidences/1",
                reason="shapes_differ",
                detail="The questioned model has 40 neurons per layer, the reference 5632.",
            ),
            NotComparable(
                tier="T3",
                method="two_view_agreement/1",
                reason="no_shared_vocabulary",
                detail="3 tokens in common; at least 64 are needed to align the two.",
            ),
        ),
    )


def identical() -> Finding:
    return finding(
        "identical",
        "All 201 tensors are the same, bit for bit.",
        evidence=(exact_bit_equality(201, 201), unanswered()),
        layers=tuple(layer(n, n, 1.0) for n in range(4)),
        direction_reason="Equal weights have no direction.",
    )


def deep() -> Finding:
    """80 layers out of 60: a stretch is repeated, another is weak, some are new."""
    sources = [*range(40), *range(20, 40), *range(40, 60)]
    layers = tuple(
        layer(n, None if n in (33, 34) else m, 0.02 if n in (33, 34) else 0.35 if 66 <= n < 72 else 0.95 - 0.003 * n)
        for n, m in enumerate(sources)
    )
    return finding(
        "derived",
        "The questioned model repeats layers of the reference.",
        questioned=subject("Northwind Labs Tower 120B", 80),
        reference=subject("Meridian AI Base 90B", 60),
        log10_p=-2048.2,
        direction_reason="Neither side is closer to a common start.",
        evidence=(coincidences(-2048.2), two_view_agreement(0.81, unrelated=None)),
        layers=layers,
        changes={"layers_repeated": "Reference layers 20-39 appear twice."},
    )


HOSTILE_NAME = (
    "</title><script>alert(1)</script><img src=x onerror=alert(2)>\"' \x1b[31mred\x1b[0m \u202egnitirw\u202c \x07"
)


def hostile() -> Finding:
    """Every free text is an attack, or 500 characters long."""
    evil = Subject(name=HOSTILE_NAME, digest=HOSTILE_NAME, description=HOSTILE_NAME, access="fingerprint")
    long = Subject(name="متجر \N{ROBOT FACE} " + "m" * 500, digest="f" * 500, description="d" * 500, access="weights")
    attack = NotComparable(tier="T4", method=HOSTILE_NAME, reason="architecture", detail=HOSTILE_NAME)
    sneaky = coincidences(-9.2).model_copy(
        update={"method": HOSTILE_NAME, "null": HOSTILE_NAME, "assumptions": (HOSTILE_NAME,), "detail": HOSTILE_NAME}
        | {"statistic": {HOSTILE_NAME: 1.0}}
    )
    whole = finding(
        "derived",
        HOSTILE_NAME,
        questioned=evil,
        reference=long,
        direction_reason=HOSTILE_NAME,
        evidence=(attack, sneaky, two_view_agreement(0.5).model_copy(update={"method": HOSTILE_NAME})),
        layers=(layer(0, 0, 0.6),),
        changes={"merged": HOSTILE_NAME},
        limits=(HOSTILE_NAME,),
    )
    return whole.model_copy(update={"whorl_version": HOSTILE_NAME, "parameters": {HOSTILE_NAME: HOSTILE_NAME}})


ALL = {
    "derived": derived,
    "none_found": none_found,
    "shared_initialisation": shared_initialisation,
    "inconclusive": inconclusive,
    "identical": identical,
    "deep": deep,
    "hostile": hostile,
}
