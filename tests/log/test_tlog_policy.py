"""Trust policies: the C2SP file, and who must have cosigned, tried over all subsets of seven witnesses."""

import itertools
from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signing_parties import AT, LOG, LOG_PQ, ORIGIN, WITNESS_PQ, WITNESSES, head_of, party, signed_head

from whorl.core.errors import InputError, VerificationError
from whorl.log.keys import Signature, Signer, signer_from_bytes
from whorl.log.notes import Note
from whorl.log.policy import (
    MAX_OF_A_KIND,
    MAX_POLICY_BYTES,
    Group,
    KnownLog,
    KnownWitness,
    Policy,
    check_tree_head,
    parse_policy,
)

KEYS = [witness.verifier.vkey for witness in WITNESSES]
LOG_LINE = f"log {LOG.verifier.vkey}\n"

# Three bureaus in three jurisdictions; the quorum needs two of them, and no group makes it alone.
SEVEN = (
    LOG_LINE
    + f"""\
witness n1 {KEYS[0]}
witness n2 {KEYS[1]}
witness n3 {KEYS[2]}
group north 2 n1 n2 n3
witness s1 {KEYS[3]}
witness s2 {KEYS[4]}
group south all s1 s2
witness w1 {KEYS[5]}
witness w2 {KEYS[6]}
group west any w1 w2
group bureaus 2 north south west
quorum bureaus
"""
)
NAMES = ("n1", "n2", "n3", "s1", "s2", "w1", "w2")


def seven(names: Collection[str]) -> bool:
    """The policy `SEVEN` in words."""
    north = sum(name in names for name in ("n1", "n2", "n3")) >= 2
    south = "s1" in names and "s2" in names
    west = "w1" in names or "w2" in names
    return (north and south) or (north and west) or (south and west)


def subsets() -> list[tuple[str, ...]]:
    return [names for count in range(8) for names in itertools.combinations(NAMES, count)]


# Quorums


def test_the_quorum_over_all_subsets_of_seven_witnesses() -> None:
    policy = parse_policy(SEVEN)
    assert len(subsets()) == 128
    for names in subsets():
        assert policy.satisfied_by(names) is seven(names), names
        assert (policy.shortfall(names) == ()) is seven(names), names


def test_tree_heads_cosigned_by_all_subsets_of_seven_witnesses() -> None:
    policy = parse_policy(SEVEN)
    for names in subsets():
        data = signed_head(5, *(WITNESSES[NAMES.index(name)] for name in names)).to_bytes()
        if seven(names):
            signed = check_tree_head(data, policy)
            assert signed.head == head_of(5)
            assert policy.times(signed.cosigned) == {name: AT + later for later, name in enumerate(names, 1)}
        else:
            with pytest.raises(VerificationError, match="expected the quorum 'bureaus'"):
                check_tree_head(data, policy)


def test_no_group_and_no_witness_alone_makes_the_quorum() -> None:
    policy = parse_policy(SEVEN)
    for group in policy.groups[:-1]:
        assert not policy.satisfied_by(group.members)
    assert not any(policy.satisfied_by([name]) for name in NAMES)


def test_the_message_says_which_groups_lack_whom() -> None:
    data = signed_head(5, WITNESSES[0], WITNESSES[3]).to_bytes()
    with pytest.raises(VerificationError) as error:
        check_tree_head(data, parse_policy(SEVEN))
    assert str(error.value) == (
        "tree head of 'log.example/northwind', size 5: expected the quorum 'bureaus', found 2 cosignatures that count: "
        "group 'bureaus' needs 2 of 3, has 0, lacks 'north', 'south', 'west'; "
        "group 'west' needs 1 of 2, has 0, lacks 'w1', 'w2'; "
        "group 'south' needs 2 of 2, has 1, lacks 's2'; "
        "group 'north' needs 2 of 3, has 1, lacks 'n2', 'n3'"
    )


def test_groups_that_are_not_asked_for_are_not_reported() -> None:
    policy = parse_policy(SEVEN.replace("quorum bureaus", "quorum north"))
    assert policy.shortfall(["w1"]) == ("group 'north' needs 2 of 3, has 0, lacks 'n1', 'n2', 'n3'",)
    assert policy.satisfied_by(["n1", "n3"])


def test_one_witness_may_be_the_quorum() -> None:
    policy = parse_policy(f"{LOG_LINE}witness w {KEYS[0]}\nquorum w\n")
    assert check_tree_head(signed_head(5, WITNESSES[0]).to_bytes(), policy).head == head_of(5)
    with pytest.raises(VerificationError, match="found 0 cosignatures that count: witness 'w' has not cosigned"):
        check_tree_head(signed_head(5, WITNESSES[1]).to_bytes(), policy)


def test_nobody_may_be_asked_for() -> None:
    policy = parse_policy(f"{LOG_LINE}quorum none\n")
    assert policy.satisfied_by(())
    assert policy.shortfall(()) == ()
    assert policy.quorum_at({}) is None
    assert check_tree_head(signed_head(5).to_bytes(), policy).cosigned == ()


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(1, 9)))
def test_the_quorums_time_is_the_first_at_which_it_was_reached(times: dict[str, int]) -> None:
    policy = parse_policy(SEVEN)
    reached = [
        second for second in range(1, 10) if policy.satisfied_by([name for name, at in times.items() if at <= second])
    ]
    assert policy.quorum_at(times) == min(reached, default=None)


# Tree heads under a policy


def test_only_listed_logs_are_accepted() -> None:
    other = party("log.example/other", "ed25519")
    text = head_of(5).to_text().replace(ORIGIN, other.name)
    data = Note(text=text, signatures=(other.sign(text.encode()),)).to_bytes()
    with pytest.raises(VerificationError, match=r"in the policy \('log\.example/northwind'\), found 'log\.example/o"):
        check_tree_head(data, parse_policy(f"{LOG_LINE}quorum none\n"))
    with pytest.raises(VerificationError, match=r"in the policy \(none\)"):
        check_tree_head(data, parse_policy("quorum none\n"))
    both = parse_policy(f"{LOG_LINE}log {other.verifier.vkey}\nquorum none\n")
    assert check_tree_head(data, both).head.origin == other.name
    # the key of one listed log does not sign for another
    crossed = Note(text=text, signatures=(LOG.sign(text.encode()),)).to_bytes()
    with pytest.raises(VerificationError, match="one of 1 known keys"):
        check_tree_head(crossed, both)


def test_any_of_a_logs_keys_will_do_but_one_is_ed25519() -> None:
    newer = party(ORIGIN, "ed25519", 2)
    policy = parse_policy(f"{LOG_LINE}log {newer.verifier.vkey}\nlog {LOG_PQ.verifier.vkey}\nquorum none\n")
    for signers in ([LOG], [newer], [newer, LOG_PQ], [LOG, newer, LOG_PQ]):
        signed = check_tree_head(signed_head(5, log=signers).to_bytes(), policy)
        assert [one.verifier for one in signed.signed] == [signer.verifier for signer in signers]
    only_pq = parse_policy(f"log {LOG_PQ.verifier.vkey}\nquorum none\n")
    with pytest.raises(VerificationError, match="expected an Ed25519 signature"):
        check_tree_head(signed_head(5, log=[LOG, LOG_PQ]).to_bytes(), only_pq)


def test_a_bad_signature_by_a_witness_of_the_policy_rejects_the_tree_head() -> None:
    policy = parse_policy(SEVEN)
    note = signed_head(5, *WITNESSES)
    last = note.signatures[-1]
    bad = Signature(name=last.name, key_id=last.key_id, blob=last.blob[:-1] + bytes([last.blob[-1] ^ 1]))
    with pytest.raises(VerificationError, match="does not hold"):
        check_tree_head(Note(text=note.text, signatures=(*note.signatures[:-1], bad)).to_bytes(), policy)


def test_a_witness_that_signs_twice_counts_once() -> None:
    policy = parse_policy(SEVEN)
    one = WITNESSES[0]
    with pytest.raises(VerificationError, match="found 1 cosignatures that count"):
        check_tree_head(signed_head(5, one, one, one, one).to_bytes(), policy)


def test_a_cosignature_without_a_time_does_not_count() -> None:
    note = signed_head(5)
    key = WITNESSES[0].verifier
    blob = bytes(8) + WITNESSES[0].private.sign(b"cosignature/v1\ntime 0\n" + note.text.encode())
    timeless = Signature(name=key.name, key_id=key.key_id, blob=blob)
    policy = parse_policy(f"{LOG_LINE}witness w {KEYS[0]}\nquorum w\n")
    with pytest.raises(VerificationError, match="found 0 cosignatures that count"):
        check_tree_head(Note(text=note.text, signatures=(*note.signatures, timeless)).to_bytes(), policy)


def test_witnesses_of_another_policy_have_no_time_here() -> None:
    signed = check_tree_head(signed_head(5, *WITNESSES).to_bytes(), parse_policy(SEVEN))
    policy = parse_policy(f"{LOG_LINE}witness w {KEYS[0]}\nquorum w\n")
    assert policy.times(signed.cosigned) == {"w": AT + 1}


def test_a_quorum_may_ask_for_post_quantum_cosignatures() -> None:
    policy = parse_policy(
        f"{LOG_LINE}witness ed {KEYS[0]}\nwitness pq {WITNESS_PQ.verifier.vkey}\ngroup w1 all ed pq\nquorum w1\n"
    )
    both = signed_head(5, WITNESSES[0], WITNESS_PQ).to_bytes()
    assert len(check_tree_head(both, policy).cosigned) == 2
    with pytest.raises(VerificationError, match="lacks 'pq'"):
        check_tree_head(signed_head(5, WITNESSES[0]).to_bytes(), policy)


def test_a_malformed_tree_head_is_bad_input() -> None:
    for data in (b"", b"text\n", signed_head(5).to_bytes().replace(b"\n5\n", b"\n05\n")):
        with pytest.raises(InputError):
            check_tree_head(data, parse_policy(SEVEN))


# The file


def test_the_layout_of_the_specification_is_read() -> None:
    text = "\n".join(
        [
            "# The example of tlog-policy, with keys.",
            f"log {LOG.verifier.vkey} https://log.example/",
            "",
            *(f"witness X{number} {KEYS[number - 1]}" for number in (1, 2, 3)),
            "group X-witnesses 2 X1 X2 X3",
            " \t ",
            *(f"witness\tY{number}  {KEYS[number + 2]} \t https://witness.example/{number} " for number in (1, 2, 3)),
            "\t# between",
            "group Y-witnesses any Y1 Y2 Y3",
            "group X-and-Y all X-witnesses Y-witnesses",
            "quorum X-and-Y",
            "",
        ]
    )
    policy = parse_policy(text.encode())
    assert [(log.verifier, log.url) for log in policy.logs] == [(LOG.verifier, "https://log.example/")]
    assert [one.name for one in policy.witnesses] == ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
    assert [one.url for one in policy.witnesses] == [None] * 3 + [f"https://witness.example/{n}" for n in (1, 2, 3)]
    assert [(group.name, group.threshold) for group in policy.groups] == [
        ("X-witnesses", 2),
        ("Y-witnesses", 1),
        ("X-and-Y", 2),
    ]
    assert policy.quorum == "X-and-Y"
    assert policy.satisfied_by(["X1", "X3", "Y2"])
    assert not policy.satisfied_by(["X1", "X2", "X3"])
    assert parse_policy(policy.to_text()) == policy


ONE = f"witness a {KEYS[0]}\n"
TWO = f"{ONE}witness b {KEYS[1]}\n"


def retyped(signer: Signer, name: str, algorithm: str) -> str:
    """The vkey of the same key under another name or type."""
    return signer_from_bytes(name, algorithm, signer.seed).verifier.vkey


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "newline after the last line"),
        ("quorum none", "newline after the last line"),
        ("# nothing\n", "expected a line 'quorum NAME'"),
        (f"{LOG_LINE}{ONE}", "expected a line 'quorum NAME'"),
        ("quorum none\nquorum none\n", "line 2: expected one quorum line"),
        (f"{ONE}quorum a\nquorum none\n", "line 3: expected one quorum line"),
        ("quorum\n", "line 1: expected 'log"),
        ("quorum a b\n", "line 1: expected 'log"),
        ("quorum a\n", "line 1: expected names defined on lines above, found 'a'"),
        (f"quorum a\n{ONE}", "line 1: expected names defined on lines above, found 'a'"),
        (f"{ONE}quorum A\n", "line 2: expected names defined on lines above, found 'A'"),
        ("Quorum none\n", "line 1: expected 'log"),
        ("quorum none # nobody\n", "line 1: expected 'log"),
        ("quorum\u00a0none\n", "line 1: expected 'log"),
        ("quorum none\r\n", r"line 1: expected no control characters but tabs, found '\\r'"),
        ("\nquorum none\x0b\n", "line 2: expected no control characters"),
        ("quorum none\x7f\n", "line 1: expected no control characters"),
        ("# \x00\nquorum none\n", "line 1: expected no control characters"),
        ("\ud800\nquorum none\n", "half of a surrogate pair"),
        ("log\nquorum none\n", "line 1: expected 'log"),
        (f"log {LOG.verifier.vkey} https://log.example/ more\nquorum none\n", "line 1: expected 'log"),
        (f"log {LOG.verifier.vkey[:-4]}\nquorum none\n", "line 1: key '.*expected a public key of 32 bytes"),
        (f"log {LOG.verifier.vkey[:-1]}\nquorum none\n", "line 1: verifier key of .*base64"),
        (f"log {KEYS[0]}\nquorum none\n", r"expected a log's key \(type 0x01 or 0x06\), found type 0x04"),
        (f"{LOG_LINE}{LOG_LINE}quorum none\n", "expected two public keys, found one"),
        (f"{LOG_LINE}log {retyped(LOG, 'log.example/b', 'ed25519')}\nquorum none\n", "expected two public keys"),
        ("witness a\nquorum none\n", "line 1: expected 'log"),
        (f"witness a {KEYS[0]} https://w.example/ more\nquorum a\n", "line 1: expected 'log"),
        (f"witness a {LOG.verifier.vkey}\nquorum a\n", r"expected a cosignature key \(type 0x04 or 0x06\)"),
        (f"{ONE}witness b {KEYS[0]}\nquorum a\n", "expected two public keys, found one"),
        (
            f"{ONE}witness b {retyped(WITNESSES[0], 'w.example', 'cosignature_ed25519')}\nquorum a\n",
            "expected two public keys, found one",
        ),
        (
            f"{LOG_LINE}witness a {retyped(LOG, 'w.example', 'cosignature_ed25519')}\nquorum a\n",
            "expected two public keys, found one",
        ),
        (f"{ONE}witness a {KEYS[1]}\nquorum a\n", "names that are new"),
        (f"witness none {KEYS[0]}\nquorum none\n", "not 'none', found 'none'"),
        (f"{ONE}group none any a\nquorum none\n", "not 'none', found 'none'"),
        (f"{ONE}group a any a\nquorum a\n", "names that are new"),
        (f"{TWO}group g any a\ngroup g any b\nquorum g\n", "names that are new"),
        (f"{ONE}group g\nquorum g\n", "line 2: expected 'log"),
        (f"{ONE}group g any\nquorum g\n", "line 2: expected 'log"),
        (f"{ONE}group g 1\nquorum g\n", "line 2: expected 'log"),
        (f"{ONE}group g any none\nquorum g\n", "line 2: expected names defined on lines above, found 'none'"),
        (f"{ONE}group g any g\nquorum g\n", "line 2: expected names defined on lines above, found 'g'"),
        (f"{ONE}group g any b\nwitness b {KEYS[1]}\nquorum g\n", "line 2: expected names defined on lines above"),
        (f"{ONE}group g any h\ngroup h any a\nquorum g\n", "line 2: expected names defined on lines above"),
        (f"{TWO}group g 0 a b\nquorum g\n", "line 3: expected 'all', 'any' or a number from 1 to 2, found '0'"),
        (f"{TWO}group g 3 a b\nquorum g\n", "expected a threshold from 1 to 2, found 3"),
        (f"{TWO}group g 01 a b\nquorum g\n", "number from 1 to 2, found '01'"),
        (f"{TWO}group g +1 a b\nquorum g\n", "number from 1 to 2"),
        (f"{TWO}group g -1 a b\nquorum g\n", "number from 1 to 2"),
        (f"{TWO}group g \u0661 a b\nquorum g\n", "number from 1 to 2"),
        (f"{TWO}group g {'9' * 5000} a b\nquorum g\n", "number from 1 to 2"),
        (f"{TWO}group g All a b\nquorum g\n", "number from 1 to 2"),
        (f"{TWO}group g 2 a a\nquorum g\n", "each member once and in one group, found 'a' again"),
        (f"{TWO}group g any a\ngroup h any a b\nquorum h\n", "each member once and in one group, found 'a' again"),
        (f"{TWO}group g any a\ngroup h all g a\nquorum h\n", "each member once and in one group, found 'a' again"),
        (f"wittness a {KEYS[0]}\nquorum none\n", "line 1: expected 'log"),
    ],
)
def test_a_malformed_policy_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_policy(text)


def test_octets_beyond_ascii_are_opaque() -> None:
    kelvin = f"witness K {KEYS[0]}\nwitness \u212a {KEYS[1]}\n".encode()
    octets = f"witness \udcff {KEYS[2]}\ngroup \udcfe\u0085 2 K \u212a \udcff\n".encode(errors="surrogateescape")
    policy = parse_policy(b"# \xff\xfe\n" + kelvin + octets + b"quorum \xfe\xc2\x85\n")
    assert [one.name for one in policy.witnesses] == ["K", "\u212a", "\udcff"]
    assert policy.satisfied_by(["K", "\udcff"])
    assert not policy.satisfied_by(["K"])
    assert parse_policy(policy.to_text()) == policy
    assert parse_policy(policy.to_text().encode(errors="surrogateescape")) == policy
    policy.shortfall(())[0].encode()  # fit for a terminal


def built(logs: int, witnesses: int, groups: int) -> str:
    """A policy with so many of each, one group holding all others."""
    lines = [f"log {party(f'log.example/{number}', 'ed25519').verifier.vkey}" for number in range(logs)]
    for number in range(witnesses):
        lines.append(f"witness w{number} {party(f'w.example/{number}', 'cosignature_ed25519').verifier.vkey}")
    lines += [f"group g{number} all w{number}" for number in range(groups)]
    return "\n".join((*lines, "quorum none\n"))


@pytest.mark.parametrize("count", [32, MAX_OF_A_KIND])
def test_as_many_of_each_as_promised_are_read(count: int) -> None:
    policy = parse_policy(built(count, count, count))
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (count, count, count)


@pytest.mark.parametrize("counts", [(129, 0, 0), (0, 129, 0), (0, 129, 129)])
def test_more_of_a_kind_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(InputError, match="at most 128"):
        parse_policy(built(*counts))


def test_more_groups_than_allowed_are_refused() -> None:
    chain = "".join(f"group g{number} any g{number - 1}\n" for number in range(1, 129))
    whole = f"{ONE}group g0 any a\n{chain}quorum g128\n"
    with pytest.raises(InputError, match="at most 128 groups, found 129"):
        parse_policy(whole)
    deep = parse_policy(whole.replace("group g128 any g127\n", "").replace("quorum g128", "quorum g127"))
    assert deep.satisfied_by(["a"])
    assert len(deep.shortfall(())) == 128


def test_a_policy_has_a_size_at_most() -> None:
    end = b"\nquorum none\n"
    comment = b"#" * (MAX_POLICY_BYTES - len(end))
    assert parse_policy(comment + end).quorum == "none"
    with pytest.raises(InputError, match="at most 1048576 bytes"):
        parse_policy(b"#" + comment + end)


def policy_of(**change: object) -> Policy:
    """A policy built in a program."""
    parts: dict[str, object] = {
        "logs": (KnownLog(verifier=LOG.verifier),),
        "witnesses": (
            KnownWitness(name="a", verifier=WITNESSES[0].verifier, url="https://w.example/"),
            KnownWitness(name="b", verifier=WITNESSES[1].verifier),
        ),
        "groups": (Group(name="g", threshold=1, members=("a", "b")),),
        "quorum": "g",
    }
    return Policy(**{**parts, **change})


def test_a_policy_built_in_a_program_is_held_to_the_same_rules() -> None:
    assert parse_policy(policy_of().to_text()) == policy_of()
    for name in ("", "a b", "a\tb", "a\nquorum none", "a\x00", "\ud800", "\udcc3\udca9"):
        with pytest.raises(InputError):
            policy_of(groups=(Group(name=name, threshold=1, members=("a",)),), quorum=name)
    for url in ("", "https://w.example/ more", "https://w.example/\nquorum none"):
        with pytest.raises(InputError, match="name or address"):
            policy_of(logs=(KnownLog(verifier=LOG.verifier, url=url),))
        with pytest.raises(InputError, match="name or address"):
            policy_of(witnesses=(KnownWitness(name="a", verifier=WITNESSES[0].verifier, url=url),))
    with pytest.raises(InputError, match="expected a quorum that is defined, found 'x'"):
        policy_of(quorum="x")
    later = (Group(name="g", threshold=1, members=("h",)), Group(name="h", threshold=1, members=("a",)))
    with pytest.raises(InputError, match="defined before it, found 'h'"):
        policy_of(groups=later)
    with pytest.raises(InputError, match="threshold from 1 to 0"):
        policy_of(groups=(Group(name="g", threshold=0, members=()),))


KEYWORDS = ("log", "witness", "group", "quorum", "none", "all", "any")
words = st.sampled_from([*KEYWORDS, *"12abg#", "\t", "\n", "\n", "\n", LOG.verifier.vkey, *KEYS[:2]])


@given(st.lists(words, max_size=24))
def test_any_lines_give_a_policy_or_a_refusal(items: list[str]) -> None:
    text = f"{' '.join(items)}\n"
    try:
        policy = parse_policy(text)
    except InputError:
        return
    assert parse_policy(policy.to_text()) == policy


@st.composite
def policies(draw: st.DrawFn) -> str:
    """Policy files of up to seven witnesses, in groups of groups."""
    count = draw(st.integers(1, 7))
    lines = [f"witness w{number} {KEYS[number]}" for number in range(count)]
    free = [f"w{number}" for number in range(count)]
    for number in range(draw(st.integers(0, 4))):
        members = draw(st.lists(st.sampled_from(free), min_size=1, unique=True))
        threshold = draw(st.integers(1, len(members)))
        lines.append(f"group g{number} {threshold} {' '.join(members)}")
        free = [name for name in free if name not in members] + [f"g{number}"]
    return "\n".join([*lines, f"quorum {draw(st.sampled_from(free))}", ""])


@given(policies(), st.sets(st.sampled_from([f"w{number}" for number in range(7)])), st.integers(0, 6))
def test_more_cosignatures_never_undo_a_quorum(text: str, names: set[str], more: int) -> None:
    policy = parse_policy(text)
    assert parse_policy(policy.to_text()) == policy
    if policy.satisfied_by(names):
        assert policy.satisfied_by(names | {f"w{more}"})
    else:
        assert policy.shortfall(names)
    assert not policy.satisfied_by(())
    assert policy.satisfied_by([one.name for one in policy.witnesses])
