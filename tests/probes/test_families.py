"""Batteries: the same everywhere for one seed, others for another, complete, harmless, and without hints in names."""

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from item_replies import good_reply
from puzzle_solvers import SOLVERS

from whorl.core.errors import InputError
from whorl.probes.battery import Battery, Item
from whorl.probes.context_window import filler
from whorl.probes.context_window import items as context_items
from whorl.probes.families import BATTERIES, FAMILIES, WRAPPERS, battery
from whorl.probes.generating import Draws
from whorl.probes.scoring import ERRORS, SCORERS, score
from whorl.probes.tokenizer import COPIES
from whorl.probes.wrong_answers import PUZZLES

SEED = 20260
STANDARD = battery("standard", SEED)
ALONE = {name: battery(name, SEED) for name in FAMILIES}


def requests(of: Battery) -> int:
    return sum(item.draws for item in of.items)


def asked(of: Battery) -> set[str]:
    return {repr([message.text for message in item.messages]) for item in of.items}


def said(item: Item) -> str:
    return " ".join(message.text for message in item.messages)


# --- one seed, one battery


def test_a_battery_is_the_same_in_another_process() -> None:
    program = f"from whorl.probes.families import battery; print(battery('standard', {SEED}).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == STANDARD.digest


@pytest.mark.parametrize("name", BATTERIES)
def test_another_seed_gives_another_battery(name: str) -> None:
    other = battery(name, SEED + 1)
    mine = battery(name, SEED)
    assert other.digest != mine.digest
    # Short strings of a few kinds coincide now and then; whatever a model could be trained on does not.
    allowed = 0.15 if name in ("tokenizer", "border_inputs") else 0.05
    assert len(asked(mine) & asked(other)) <= allowed * len(asked(mine))


def test_small_batteries_are_parts_of_large_ones() -> None:
    quick = {item.id: item for item in battery("quick", SEED).items}
    standard = {item.id: item for item in STANDARD.items}
    alone = {item.id: item for of in ALONE.values() for item in of.items}
    assert quick.items() < standard.items() < alone.items()


def test_sizes() -> None:
    assert 250 <= requests(battery("quick", SEED)) <= 350
    assert 2300 <= requests(STANDARD) <= 2700
    assert {item.family for item in STANDARD.items} == set(FAMILIES)
    assert {item.family for item in battery("quick", SEED).items} == set(FAMILIES)
    assert all(item.family == name for name, of in ALONE.items() for item in of.items)


def test_a_battery_survives_storage() -> None:
    assert Battery.model_validate_json(STANDARD.model_dump_json()) == STANDARD


def test_the_stream_of_choices_is_fixed() -> None:
    # Origin: numpy's PCG64 seeded with SHA-256 of the JSON text of seed and place. Committed batteries depend on it.
    draws = Draws(7, "style", 12)
    assert [draws.below(1000) for _ in range(6)] == [830, 92, 699, 563, 813, 552]
    assert "".join(Draws(7, "style", 12).shuffled("abcdef")) == "fdbcae"


def test_choices_are_even() -> None:
    counts = Counter(Draws(seed, "even").below(8) for seed in range(8_000))
    chi_square = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert chi_square < 24.3  # 99.9 % point of chi-square with 7 degrees of freedom
    firsts = Counter(Draws(seed, "even").shuffled("abcd")[0] for seed in range(4_000))
    assert all(abs(count - 1000) < 120 for count in firsts.values())


@pytest.mark.parametrize(("name", "seed"), [("thorough", 1), ("quick", -1), ("quick", 2**53)])
def test_an_unknown_battery_or_seed_is_refused(name: str, seed: int) -> None:
    with pytest.raises(InputError, match=r"there are quick, standard|whole number from 0"):
        battery(name, seed)


# --- items


def test_no_question_is_asked_twice() -> None:
    for name, of in ALONE.items():
        if name != "tokenizer":  # there the limit differs, and short strings coincide
            assert len(asked(of)) == len(of.items), name


def test_every_item_has_a_scorer_and_its_good_reply_scores() -> None:
    for of in ALONE.values():
        for item in of.items:
            reply, label = good_reply(item)
            if item.scorer == "attack/1" and item.key["aim"] == "rule":
                reply = reply if item.key["rule"] != "lines" else "two\nlines"
            assert score(item, reply, "stop").label == label, item.id
    assert {item.scorer for of in ALONE.values() for item in of.items} == set(SCORERS) == set(ERRORS)


def test_families_name_the_scorers_of_their_items() -> None:
    for name, family in FAMILIES.items():
        assert {item.scorer for item in ALONE[name].items} == set(family.scorers)
        assert len(family.errors) == len(family.scorers)
        for text in (family.purpose, family.shows, family.cannot_show, family.cost, *family.confounders):
            assert len(text) > 10


def test_ids_do_not_encode_the_answer() -> None:
    hidden = [
        text
        for item in STANDARD.items
        for name in ("right", "code", "codes", "word", "first", "last")
        if (value := item.key.get(name)) is not None
        for text in ([value] if isinstance(value, str) else list(value) if isinstance(value, tuple) else [])
        if len(text) > 2 and text.lower() in item.id.lower()
    ]
    assert hidden == []
    rights: dict[str, set[object]] = {}
    for seed in range(12):
        for item in battery("quick", seed).items:
            if item.scorer == "letter/1":
                rights.setdefault(item.id, set()).add(item.key["right"])
    assert all(len(found) >= 2 for found in rights.values())


def test_right_letters_are_spread_evenly() -> None:
    rights = Counter(item.key["right"] for item in ALONE["wrong_answers"].items if item.scorer == "letter/1")
    expected = sum(rights.values()) / 4
    assert set(rights) == set("ABCD")
    assert sum((count - expected) ** 2 / expected for count in rights.values()) < 16.3  # 99.9 %, 3 degrees of freedom


@pytest.mark.parametrize("kind", PUZZLES)
def test_puzzles_have_the_answer_that_their_wording_has(kind: str) -> None:
    of_kind = [item for item in ALONE["wrong_answers"].items if item.stratum == f"puzzle/{kind}"]
    assert len(of_kind) == 120
    for item in of_kind:
        options, slips = item.key["options"], item.key["slips"]
        assert isinstance(options, tuple)
        assert isinstance(slips, tuple)
        right = options["ABCD".index(str(item.key["right"]))]
        assert right == SOLVERS[kind](item.messages[-1].text.partition("\n\n")[0])
        assert len(set(options)) == 4
        assert slips.count("right") == 1


def test_twins_differ_in_order_only() -> None:
    for name in ("constitution", "bias_pairs"):
        twins = [item for item in ALONE[name].items if item.scorer == "named_option/1"]
        for one, other in list(pairwise(twins))[::2]:
            assert re.sub(r"\.(ab|ba)", "", one.id) == re.sub(r"\.(ab|ba)", "", other.id)
            first, second = one.key["stands_for"], other.key["stands_for"]
            assert isinstance(first, tuple)
            assert isinstance(second, tuple)
            assert first == second[::-1]
            assert sorted(said(one)) == sorted(said(other))
            assert one.wrapper == other.wrapper


def test_strata_are_not_tied_to_wrappers() -> None:
    for name in ("wrong_answers", "constitution", "bias_pairs", "style"):
        by_stratum: dict[str, set[str]] = {}
        for item in ALONE[name].items:
            if not item.stratum.startswith("critique"):
                by_stratum.setdefault(item.stratum, set()).add(item.wrapper)
        assert all(len(wrappers) == 3 for wrappers in by_stratum.values()), name


def test_wrappers_stand_in_front() -> None:
    for item in STANDARD.items:
        prompt = WRAPPERS[item.wrapper]
        if prompt is not None:
            assert item.messages[0].role == "system"
            assert item.messages[0].text.startswith(prompt)
            assert item.id.endswith(f"/{item.wrapper}")


def test_placebos_have_the_length_and_words_of_their_attack() -> None:
    found = ALONE["failure_transfer"].items
    for attack, placebo in list(pairwise(found))[::2]:
        assert placebo.id == attack.id.replace("/attack/", "/placebo/")
        assert placebo.messages[0] == attack.messages[0]
        one, other = attack.messages[-1].text, placebo.messages[-1].text
        assert 0.65 < len(one) / len(other) < 1.5, (one, other)
        words, others = set(one.lower().split()), set(other.lower().split())
        assert len(words & others) >= 0.45 * len(words), (one, other)


def test_only_the_system_prompt_knows_the_secret() -> None:
    for item in ALONE["failure_transfer"].items:
        if item.key["aim"] == "word":
            secret = str(item.key["word"])
            assert secret in item.messages[0].text
            assert secret not in item.messages[-1].text


def test_low_entropy_cells_are_drawn_often_enough_and_in_several_languages() -> None:
    cells = [item for item in STANDARD.items if item.family == "low_entropy"]
    assert min(item.draws for item in cells) >= 10
    assert all(item.temperature == 1 for item in cells)
    assert len({item.stratum.partition("/")[0] for item in cells}) == 6


def test_long_texts_have_their_length_and_their_codes() -> None:
    assert 1_000 <= len(" ".join(filler(Draws(1, "length"), 1_000)).split()) < 1_030
    for item in context_items(SEED, "standard", lengths=(150,)):
        codes = item.key.get("codes") or (item.key.get("code") or item.key["first"],)
        assert isinstance(codes, tuple)
        places = [said(item).index(str(code)) for code in codes]
        assert places == sorted(places)


def test_needles_stand_at_their_depth() -> None:
    for item in ALONE["context_window"].items:
        if item.stratum.startswith("position/3000/"):
            depth = int(item.stratum.rpartition("/")[2]) / 100
            text = item.messages[0].text.rpartition("\n\n")[0]
            assert abs(text.index(str(item.key["code"])) / len(text) - depth) < 0.02


def test_counted_texts_come_once_and_repeated() -> None:
    counted = [item for item in ALONE["tokenizer"].items if item.scorer == "prompt_tokens/1"]
    for one, many in list(pairwise(counted))[::2]:
        assert one.key["text"] == one.messages[0].text
        assert many.messages[0].text == "\n".join([one.messages[0].text] * COPIES)
    assert len({item.stratum for item in counted}) == 40


HARM = (
    "weapon|explosive|bomb|gun|ammunition|drug|cocaine|suicide|self-harm|malware|ransom|phishing|terror(?:is[mt])?|murder|rape|sexual"
    "|nude|porn|nazi|genocide|slavery|racis[mt]|bioweapon|nerve agent|credit card|social security"
)


def test_nothing_is_asked_that_could_hurt() -> None:
    found = [
        (item.id, match[0])
        for seed in range(3)
        for name in FAMILIES
        for item in battery(name, seed).items
        if (match := re.search(rf"\b(?:{HARM})s?\b", said(item).lower()))
    ]
    assert found == []
