"""What hides a copy, and what that costs: ``python -m bench.zoo.limits ZOO`` disguises founders and looks for them.

Every disguise is stored in bfloat16, compared with its founder, then rewritten (rotated, permuted, rescaled) and
compared again. Lines are kept in ZOO/limits.jsonl, so that an interrupted run goes on where it stopped. The table is
printed, and all of it is written to bench/results/limits.json.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from bench.zoo import surgery
from bench.zoo.bases import Base, bases, configuration
from bench.zoo.texts import rows_of
from demo import edits
from demo.folders import write_folder
from demo.training import Recipe, evaluate, fresh_model, train
from whorl.comparison.comparing import HEADS, TWO_VIEW, compare
from whorl.core.evidence import Finding, Score
from whorl.core.progress import silent

RESULT: Final = Path(__file__).parents[2] / "bench" / "results" / "limits.json"
FAMILIES: Final = ("llama64-0", "llama64-1", "llama96-0")
HEALING: Final = Recipe(steps=100, learning_rate=3e-3, order=31, batch=8)
SEED: Final = 20261125

Record = dict[str, Any]
Neurons = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Gate rows and up rows as the residual stream sees them (norm gain folded), and down columns as rows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """What a disguise may use beside the copy: its own tokenizer and text, and a stranger of equal shape."""

    base: Base
    tokenizer: Tokenizer
    rows: torch.Tensor
    stranger: PreTrainedModel

    def healed(self, model: PreTrainedModel, steps: int) -> PreTrainedModel:
        """Trained further, in place, on the text that the founder learned."""
        if steps:
            train(model, self.rows, replace(HEALING, steps=steps))
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Disguise:
    """One way of hiding a copy; ``steps`` of training are part of its price."""

    name: str
    steps: int
    make: Callable[[PreTrainedModel, Setting], PreTrainedModel]
    strings: Callable[[list[str]], list[str]] | None = None


def _with_neurons(model: PreTrainedModel, change: Callable[[Neurons, torch.Generator], Neurons]) -> PreTrainedModel:
    """A copy whose feed-forward blocks have the neurons that ``change`` makes of theirs."""
    copied = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(SEED)
    with torch.no_grad():
        for layer in edits.layers_of(copied):
            mlp, gain = layer.mlp, layer.post_attention_layernorm.weight
            folded = (mlp.gate_proj.weight * gain, mlp.up_proj.weight * gain, mlp.down_proj.weight.T)
            gate, up, down = change(folded, generator)
            for linear, weight in ((mlp.gate_proj, gate / gain), (mlp.up_proj, up / gain), (mlp.down_proj, down.T)):
                linear.weight = nn.Parameter(weight.contiguous())
                linear.out_features, linear.in_features = weight.shape
            mlp.intermediate_size = copied.config.intermediate_size = len(gate)
    return copied


def _noise(like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(like.shape, generator=generator)


def _halved(neurons: Neurons, _: torch.Generator) -> Neurons:
    gate, up, down = neurons
    return torch.cat([gate, gate]), torch.cat([up, up]), torch.cat([down, down]) / 2


def _halved_unequally(neurons: Neurons, generator: torch.Generator) -> Neurons:
    gate, up, down = neurons
    apart = [part + 0.05 * part.std() * _noise(part, generator) for part in neurons]
    return torch.cat([gate, apart[0]]), torch.cat([up, apart[1]]), torch.cat([0.7 * down, 0.3 * apart[2]])


def _tilted(size: float) -> Callable[[Neurons, torch.Generator], Neurons]:
    """Each neuron twice, its gate turned a little one way and the other: what it computes changes by the square."""

    def change(neurons: Neurons, generator: torch.Generator) -> Neurons:
        gate, up, down = neurons
        length = gate.norm(dim=1, keepdim=True)
        aside = _noise(gate, generator)
        aside -= gate * (aside * gate).sum(1, keepdim=True) / length.square()
        aside *= size * length / aside.norm(dim=1, keepdim=True)
        return torch.cat([gate + aside, gate - aside]), torch.cat([up, up]), torch.cat([down, down]) / 2

    return change


def _fakes(neurons: Neurons, count: int, generator: torch.Generator) -> Neurons:
    """Neurons that stand out: of the usual size, but writing three times as much as the strongest."""
    drawn = [torch.randn((count, part.shape[1]), generator=generator) for part in neurons]
    sizes = [part.norm(dim=1).median() for part in neurons[:2]] + [3 * neurons[2].norm(dim=1).max()]
    gate, up, down = (part * size / part.norm(dim=1, keepdim=True) for part, size in zip(drawn, sizes, strict=True))
    return gate, up, down


def _padded(times: int) -> Callable[[Neurons, torch.Generator], Neurons]:
    """As many neurons again, in pairs that cancel."""

    def change(neurons: Neurons, generator: torch.Generator) -> Neurons:
        gate, up, down = _fakes(neurons, times * len(neurons[0]) // 2, generator)
        fakes = gate.repeat(2, 1), up.repeat(2, 1), torch.cat([down, -down])
        return _joined(neurons, fakes)

    return change


def _padded_by_fours(neurons: Neurons, generator: torch.Generator) -> Neurons:
    """Four times as many neurons again, in fours that cancel and of which no two are alike.

    The activation s has s(x) - s(-x) = x, so that (s(g) - s(-g)) u and (s(u) - s(-u)) g are both g u.
    """
    gate, up, down = _fakes(neurons, len(neurons[0]), generator)
    fakes = torch.cat([gate, -gate, up, -up]), torch.cat([up, up, gate, gate]), torch.cat([down, -down, -down, down])
    return _joined(neurons, fakes)


def _joined(neurons: Neurons, fakes: Neurons) -> Neurons:
    gate, up, down = (torch.cat(parts) for parts in zip(neurons, fakes, strict=True))
    return gate, up, down


def _mirrored(neurons: Neurons, _: torch.Generator) -> Neurons:
    """Three neurons for one, none of which opens as it did: s(g) u = s(-g) u + s(u) g - s(-u) g."""
    gate, up, down = neurons
    return torch.cat([-gate, up, -up]), torch.cat([up, gate, gate]), torch.cat([down, down, -down])


def _low_rank(share: float) -> Callable[[Neurons, torch.Generator], Neurons]:
    def change(neurons: Neurons, _: torch.Generator) -> Neurons:
        gate, up, down = (_truncated(part, share) for part in neurons)
        return gate, up, down

    return change


def _truncated(matrix: torch.Tensor, share: float) -> torch.Tensor:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    values[round(share * len(values)) :] = 0
    return (left * values) @ right


def _neurons(change: Callable[[Neurons, torch.Generator], Neurons]) -> Callable[[PreTrainedModel, Setting], Any]:
    return lambda model, _: _with_neurons(model, change)


def _averaged(own: float, steps: int) -> Callable[[PreTrainedModel, Setting], PreTrainedModel]:
    def make(model: PreTrainedModel, setting: Setting) -> PreTrainedModel:
        both = surgery.merged("linear", None, [model, setting.stranger], [own, 1 - own], SEED)
        return setting.healed(both, steps)

    return make


def _noisy(share: float, steps: int) -> Callable[[PreTrainedModel, Setting], PreTrainedModel]:
    return lambda model, setting: setting.healed(edits.noisy(model, share, SEED), steps)


def _fresh_mlps(steps: int) -> Callable[[PreTrainedModel, Setting], PreTrainedModel]:
    return lambda model, setting: setting.healed(surgery.reinitialised(model, "mlp", SEED), steps)


def _foreign_mlps(steps: int) -> Callable[[PreTrainedModel, Setting], PreTrainedModel]:
    """A stranger's feed-forward blocks under the copy's attention and embeddings."""

    def make(model: PreTrainedModel, setting: Setting) -> PreTrainedModel:
        copied = copy.deepcopy(model)
        for layer, other in zip(edits.layers_of(copied), edits.layers_of(setting.stranger), strict=True):
            layer.mlp.load_state_dict(other.mlp.state_dict())
        return setting.healed(copied, steps)

    return make


def _fresh_embeddings(steps: int) -> Callable[[PreTrainedModel, Setting], PreTrainedModel]:
    """Embeddings learned anew under frozen blocks for half of the steps, then everything trained."""

    def make(model: PreTrainedModel, setting: Setting) -> PreTrainedModel:
        copied = copy.deepcopy(model).requires_grad_(False)
        generator = torch.Generator().manual_seed(SEED)
        for embedding in (copied.get_input_embeddings(), copied.get_output_embeddings()):
            embedding.weight.normal_(0, model.config.initializer_range, generator=generator).requires_grad_(True)
        setting.healed(copied, steps // 2)
        return setting.healed(copied.requires_grad_(True), steps - steps // 2)

    return make


def _as_it_is(model: PreTrainedModel, _: Setting) -> PreTrainedModel:
    return copy.deepcopy(model)


def _renamed(tokens: list[str]) -> list[str]:
    return [f"<{number}>" for number in range(len(tokens))]


def _shuffled(order: int) -> Callable[[list[str]], list[str]]:
    return lambda tokens: [tokens[place] for place in np.random.default_rng(order).permutation(len(tokens))]


def disguises() -> Iterator[Disguise]:
    """All of them, those without training first."""
    yield Disguise(name="none", steps=0, make=_as_it_is)
    yield Disguise(name="neurons split in equal halves", steps=0, make=_neurons(_halved))
    yield Disguise(name="neurons split unequally, one part 5 % noise", steps=0, make=_neurons(_halved_unequally))
    for size in (0.05, 0.15, 0.3, 0.5):
        yield Disguise(name=f"neurons split, gates tilted {size:g}", steps=0, make=_neurons(_tilted(size)))
    for times in (1, 4):
        yield Disguise(name=f"padded with cancelling pairs, {times}x", steps=0, make=_neurons(_padded(times)))
    yield Disguise(name="padded with cancelling fours, 4x", steps=0, make=_neurons(_padded_by_fours))
    yield Disguise(name="mirrored: three neurons for one", steps=0, make=_neurons(_mirrored))
    for share in (0.75, 0.5, 0.25):
        yield Disguise(name=f"MLP matrices of {share:.0%} rank", steps=0, make=_neurons(_low_rank(share)))
    yield Disguise(name="token strings renamed", steps=0, make=_as_it_is, strings=_renamed)
    for number, order in enumerate((SEED, 1, 2), 1):
        name = f"token strings shuffled, order {number}"
        yield Disguise(name=name, steps=0, make=_as_it_is, strings=_shuffled(order))
    for steps in (0, 100, 400):
        long = steps == 400  # the dearest are fewer
        for own in (0.3, 0.2) if long else (0.3, 0.2, 0.15, 0.1):
            yield Disguise(name=f"averaged with a stranger, {own:.0%} copy", steps=steps, make=_averaged(own, steps))
        for share in (1.0, 2.0) if long else (0.5, 1.0, 1.5, 2.0):
            yield Disguise(name=f"noise of {share:g} standard deviations", steps=steps, make=_noisy(share, steps))
        yield Disguise(name="a stranger's MLPs", steps=steps, make=_foreign_mlps(steps))
        if steps:
            yield Disguise(name="fresh MLPs", steps=steps, make=_fresh_mlps(steps))
    yield Disguise(name="fresh embeddings", steps=400, make=_fresh_embeddings(400))
    yield Disguise(name="fresh MLPs", steps=1000, make=_fresh_mlps(1000))


def measure(zoo: Path, family: str, done: set[tuple[str, str, int]]) -> Iterator[Record]:
    """One line for every disguise of one founder that is not done, and for models trained from scratch as long."""
    base = next(base for base in bases() if base.name == family)
    founder_folder = zoo / family / "base"
    founder, stranger = (_load(zoo / name / "base") for name in (family, f"{family}-twin"))
    tokenizer = Tokenizer.from_file(str(founder_folder / "tokenizer.json"))
    setting = Setting(base=base, tokenizer=tokenizer, rows=rows_of(tokenizer, base.text), stranger=stranger)
    own = evaluate(founder, setting.rows)
    for disguise in disguises():
        if (family, disguise.name, disguise.steps) not in done:
            torch.manual_seed(SEED)
            yield {
                "family": family,
                "disguise": disguise.name,
                "steps": disguise.steps,
                "founder_loss": round(own, 4),
                **_outcome(founder_folder, founder, disguise, setting),
            }
    for steps in (100, 400, 1000):
        if (family, "from scratch", steps) not in done:
            # The founder's own recipe; at its full length, that is what the stranger is.
            model = stranger
            if steps < base.recipe.steps:
                model = fresh_model(configuration(base.shape, tokenizer.get_vocab_size()), base.seed + 700)
                train(model, setting.rows, replace(base.recipe, steps=steps))
            loss = round(evaluate(model, setting.rows), 4)
            yield {
                "family": family,
                "disguise": "from scratch",
                "steps": steps,
                "founder_loss": round(own, 4),
                "loss": loss,
            }


def _outcome(founder_folder: Path, founder: PreTrainedModel, disguise: Disguise, setting: Setting) -> Record:
    plain = disguise.make(founder, setting)
    tokenizer = setting.tokenizer
    if disguise.strings is not None:
        document = json.loads(tokenizer.to_str())
        names = sorted(document["model"]["vocab"], key=document["model"]["vocab"].__getitem__)
        document["model"]["vocab"] = {name: number for number, name in enumerate(disguise.strings(names))}
        # Merges name strings that are gone; a reader of names needs none, and the ids of a text stay as they were.
        document["model"]["merges"] = []
        document["added_tokens"] = []
        tokenizer = Tokenizer.from_str(json.dumps(document))
    found: Record = {"parameters": round(plain.num_parameters() / founder.num_parameters(), 3)}
    for kind, model in (("plain", plain), ("rewritten", edits.rewritten(plain, np.random.default_rng(SEED)))):
        stored = copy.deepcopy(model).to(torch.bfloat16).float()
        found[kind] = {"loss": round(evaluate(stored, setting.rows), 4)}
        with tempfile.TemporaryDirectory() as folder:
            write_folder(Path(folder) / "model", model, tokenizer)
            found[kind] |= _seen(
                compare(Path(folder) / "model", founder_folder, progress=silent, jobs=1, with_power=False)
            )
    return found


def _seen(finding: Finding) -> Record:
    scores = {item.method: item for item in finding.evidence if isinstance(item, Score)}
    two_view, heads = scores.get(TWO_VIEW), scores.get(HEADS)
    return {
        "relation": finding.conclusion.relation,
        "statement": finding.conclusion.statement,
        "agreement": None if two_view is None else round(two_view.value, 4),
        "heads": None if heads is None else round(heads.value, 4),
        "layers": None if two_view is None else int(two_view.statistic["layers"]),
    }


def table(records: list[Record]) -> str:
    """One line for each disguise, over families: what it costs, and what is seen of the rewritten copy."""
    order = {(item.name, item.steps): number for number, item in enumerate(disguises())}
    scratch = {(line["family"], line["steps"]): line["loss"] for line in records if line["disguise"] == "from scratch"}
    told = sorted(
        (line for line in records if (line["disguise"], line["steps"]) in order),
        key=lambda line: order[line["disguise"], line["steps"]],
    )
    lines = [
        "| disguise | steps | parameters | loss above the founder's | from scratch, as many steps | agreement "
        "| heads | as stored | rewritten |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (name, steps), group in groupby(told, key=lambda line: (line["disguise"], line["steps"])):
        members = list(group)
        above = [line["rewritten"]["loss"] - line["founder_loss"] for line in members]
        fresh = [
            scratch[line["family"], steps] - line["founder_loss"]
            for line in members
            if (line["family"], steps) in scratch
        ]
        cells = [
            name,
            str(steps),
            f"{mean(line['parameters'] for line in members):.2f}x",
            _range(above, "+.3f"),
            _range(fresh, "+.3f") if fresh else "",
            _range([line["rewritten"]["agreement"] for line in members], ".0%"),
            _range([line["rewritten"]["heads"] for line in members], ".0%"),
            _relations([line["plain"]["relation"] for line in members]),
            _relations([line["rewritten"]["relation"] for line in members]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(values: list[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    ends = [format(value, form) for value in (min(known), max(known))]
    return ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"


def _relations(found: list[str]) -> str:
    return ", ".join(f"{found.count(name)} {name}" for name in dict.fromkeys(sorted(found)))


def _load(path: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def _run(zoo: Path, family: str) -> None:
    torch.set_num_threads(1)
    for line in measure(zoo, family, _done(zoo)):
        with (zoo / "limits.jsonl").open("a") as ledger:
            ledger.write(json.dumps(line) + "\n")
        print(family, line["disguise"], line["steps"], line.get("rewritten", {}).get("relation", ""), flush=True)


def _records(zoo: Path) -> list[Record]:
    ledger = zoo / "limits.jsonl"
    return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []


def _done(zoo: Path) -> set[tuple[str, str, int]]:
    return {(line["family"], line["disguise"], line["steps"]) for line in _records(zoo)}


def main() -> None:
    """Disguise, look, tell."""
    if len(sys.argv) != 2:
        raise SystemExit("expected the folder of a built zoo: python -m bench.zoo.limits ZOO")
    zoo = Path(sys.argv[1])
    with ProcessPoolExecutor(len(FAMILIES), mp_context=get_context("spawn")) as executor:
        for job in [executor.submit(_run, zoo, family) for family in FAMILIES]:
            job.result()
    records = sorted(_records(zoo), key=lambda line: (line["family"], line["disguise"], line["steps"]))
    RESULT.write_text(json.dumps({"families": FAMILIES, "seed": SEED, "records": records}, indent=1) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()
