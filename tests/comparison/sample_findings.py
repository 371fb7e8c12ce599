"""Hand-built findings, one of each kind, for the tests of what readers see. All names and figures are invented."""

from whorl.core.evidence import (
    Alternative,
    Conclusion,
    Direction,
    EstablishedTransformation,
    EValue,
    Evidence,
    Finding,
    LayerMatch,
    LikelihoodRatio,
    NotComparable,
    Power,
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


POPULATION = "sha256:" + "5a17" * 16


def ratio(
    alternative: Alternative,
    central: float,
    *,
    claimed: float,
    caps: tuple[float, float] = (1.21, 1.14),
    spread: float = 0.4,
) -> LikelihoodRatio:
    return LikelihoodRatio(
        tier="T4",
        method="population_ratio/1",
        alternative=alternative,
        log10_lr=claimed,
        central=central,
        lower=central - spread,
        upper=central + spread,
        caps={"sampling": caps[0], "process": caps[1]},
        families=(61, 47),
        population=POPULATION,
        statistic={"agreement": 7.63},
        detail="61 families with descendants against 47 families of this alternative (903 and 431 pairs)",
    )


def no_ratio(spoken: str) -> NotComparable:
    return NotComparable(
        tier="T4",
        method="population_ratio/1",
        reason="too_little_data",
        detail=f"no ratio against {spoken}: no layers correspond",
    )


def power(change: str, probability: float, lower: float, upper: float) -> Power:
    return Power(
        tier="T5",
        method="simulated_copies/1",
        change=change,
        probability=probability,
        lower=lower,
        upper=upper,
        simulated=80,
        statistic={"seen": round(80 * probability)},
        detail=f"{round(80 * probability)} of 80 simulated copies of this reference had a layer recognised.",
    )


def no_power() -> NotComparable:
    return NotComparable(
        tier="T5",
        method="simulated_copies/1",
        reason="not_validated",
        detail="no drift of real children was measured on fingerprint in this release",
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
    log10_lr: float | None = None,
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
            log10_lr=log10_lr,
            direction=direction,
            direction_reason=direction_reason,
            transformations=tuple(changes or ()),
        ),
        evidence=evidence,
        layers=layers,
        unmatched_reference_layers=unmatched,
        transformations=tuple(EstablishedTransformation(name=n, detail=d) for n, d in (changes or {}).items()),
        limits=limits,
        parameters={
            "seed": 20260101,
            "rows_per_view": 4096,
            "threshold": 0.013,
            "alignment": "procrustes",
            "population_name": "Meridian population 3",
        },
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
        log10_lr=0.0,
        direction=Direction(questioned_from_reference=0.664, reference_from_questioned=0.004, common_ancestor=0.332),
        direction_reason="if one of them descends from the other, the questioned model descends from the reference; "
        "two models alone do not exclude a common ancestor; the shares depend on the prior",
        evidence=(
            exact_bit_equality(0, 201),
            coincidences(-312.4),
            product_over_layers(288.7),
            two_view_agreement(0.93),
            head_invariants(0.88),
            ratio("independent", 5.97, claimed=0.87),
            ratio("same_data", 4.3, claimed=0.56, caps=(0.91, 0.82)),
            ratio("same_seed", 0.2, claimed=0.0),
            ratio("common_ancestor", 0.32, claimed=0.24, spread=0.01),
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
        "No test saw anything in common.",
        log10_p=-0.31,
        evidence=(
            exact_bit_equality(0, 201),
            coincidences(-0.31),
            two_view_agreement(0.006),
            head_invariants(0.05),
            ratio("independent", -1.04, claimed=-0.54, caps=(1.28, 0.81), spread=0.17),
            ratio("same_data", -1.19, claimed=-0.04, caps=(1.25, 0.05), spread=0.2),
            no_ratio("a common start alone"),
            no_ratio("a common ancestor"),
            power("fine-tuned for half as long as pre-training", 1.0, 0.782, 1.0),
            power("with 60 % of the weights set to zero", 0.0636, 0.004, 0.4128),
        ),
        log10_lr=-0.54,
        layers=tuple(layer(n, None, 0.004) for n in range(24)),
        unmatched=tuple(range(24)),
    )


def shared_initialisation() -> Finding:
    return finding(
        "shared_initialisation",
        "Both models started from the same random weights and were then trained apart.",
        log10_p=-74.9,
        direction_reason="Both sides moved away from a common start by similar amounts.",
        log10_lr=-0.56,
        evidence=(
            coincidences(-74.9),
            two_view_agreement(0.22),
            head_invariants(0.12),
            ratio("same_seed", -3.92, claimed=-0.56, caps=(1.17, 0.68), spread=1.97),
            no_ratio("independent training"),
        ),
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
            *(no_ratio(spoken) for spoken in ("independent training", "a common start alone")),
            no_power(),
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
        direction=Direction(questioned_from_reference=1.0, reference_from_questioned=0.0, common_ancestor=0.0),
        direction_reason="the key's dither is in the released copy alone; this holds where the key was secret",
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
        evidence=(
            attack,
            sneaky,
            ratio("independent", 2.0, claimed=0.5).model_copy(
                update={"population": HOSTILE_NAME, "detail": HOSTILE_NAME, "caps": {HOSTILE_NAME: 0.5}}
            ),
            no_ratio(HOSTILE_NAME),
            power(HOSTILE_NAME, 0.5, 0.1, 0.9),
            two_view_agreement(0.5).model_copy(update={"method": HOSTILE_NAME}),
        ),
        log10_lr=0.5,
        direction=Direction(questioned_from_reference=0.3, reference_from_questioned=0.3, common_ancestor=0.4),
        layers=(layer(0, 0, 0.6),),
        changes={"merged": HOSTILE_NAME},
        limits=(HOSTILE_NAME,),
    )
    return whole.model_copy(
        update={
            "whorl_version": HOSTILE_NAME,
            "parameters": {HOSTILE_NAME: HOSTILE_NAME, "population_name": HOSTILE_NAME},
        }
    )


ALL = {
    "derived": derived,
    "none_found": none_found,
    "shared_initialisation": shared_initialisation,
    "inconclusive": inconclusive,
    "identical": identical,
    "deep": deep,
    "hostile": hostile,
}
