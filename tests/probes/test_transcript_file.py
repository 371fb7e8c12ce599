"""The transcript file: what was written is read again, and nothing else is."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_batteries import battery, header, item, reply, started

from whorl.core.errors import InputError
from whorl.endpoints.exchange import Usage
from whorl.probes import transcript_file, transcript_reading
from whorl.probes.battery import Battery
from whorl.probes.transcript import Answered, GivenUp, question_of, recorded
from whorl.probes.transcript_file import continue_transcript, is_unwritten, start_transcript
from whorl.probes.transcript_reading import is_transcript, read_transcript

FIRST, SECOND, THIRD = ((f"low_entropy/{number:05}", 0) for number in range(3))


def answered(asked: tuple[str, int], text: str = "blue", **more: object) -> Answered:
    return Answered(item=asked[0], draw=asked[1], reply=reply(text, **more))


def given_up(asked: tuple[str, int]) -> GivenUp:
    return GivenUp(item=asked[0], draw=asked[1], trouble="timed_out", detail="no answer within 120 s")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed transcript of two answers and a question given up."""
    path = tmp_path / "a.transcript"
    with started(path) as transcript:
        transcript.add(answered(FIRST, "blue"))
        transcript.add(given_up(SECOND))
        transcript.add(answered(THIRD, "grün\n"))
        transcript.end("budget")
    return path


def chained(*entries: bytes) -> bytes:
    """A file of these entries with a right chain, built as the specification says and not by the package."""
    chain, lines = hashlib.sha256(b"whorl.transcript/1").digest(), []
    for entry in entries:
        chain = hashlib.sha256(chain + entry).digest()
        lines.append(b'{"chain":"sha256:' + chain.hex().encode() + b'","entry":' + entry + b"}\n")
    return b"".join(lines)


def entries_of(path: Path) -> list[bytes]:
    return [line[91:-1] for line in path.read_bytes().splitlines()]


def test_what_is_written_is_read(path: Path) -> None:
    read = read_transcript(path)
    assert dict(read.answered) == {FIRST: reply("blue"), THIRD: reply("grün\n")}
    assert dict(read.given_up) == {SECOND: given_up(SECOND)}
    assert read.header == header()
    assert read.seal is not None
    assert (read.seal.reason, read.seal.answered, read.seal.given_up) == ("budget", 2, 1)
    assert not read.complete


def test_the_file_is_what_the_specification_says(path: Path) -> None:
    entries = entries_of(path)
    assert path.read_bytes() == chained(*entries)
    lines = path.read_bytes().splitlines()
    assert [set(json.loads(line)) for line in lines] == [{"chain", "entry"}] * 5
    assert read_transcript(path).digest == json.loads(lines[-1])["chain"]


def test_what_is_read_cannot_be_changed(path: Path) -> None:
    read = read_transcript(path)
    with pytest.raises(TypeError):
        read.answered[SECOND] = reply()  # type: ignore[index]


def test_a_file_without_a_seal_is_usable_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with started(path) as transcript:
        transcript.add(answered(FIRST))
    read = read_transcript(path)
    assert read.seal is None
    assert set(read.answered) == {FIRST}


def test_a_transcript_is_told_from_other_files(path: Path, tmp_path: Path) -> None:
    assert is_transcript(path)
    for content in (b"", b"{}", path.read_bytes()[:80], b'{"chain":"sha256:' + b"x" * 64 + b'","entry":{}}\n'):
        (tmp_path / "other").write_bytes(content)
        assert not is_transcript(tmp_path / "other")
    assert not is_transcript(tmp_path)
    assert not is_transcript(tmp_path / "missing")


def test_the_recorded_endpoint_gives_each_draw_its_own_answer(path: Path) -> None:
    import asyncio

    endpoint = recorded(read_transcript(path))
    first, second, third, *_ = battery().items
    assert asyncio.run(endpoint.ask(question_of(first, 0))).text == "blue"
    assert asyncio.run(endpoint.ask(question_of(third, 0))).text == "grün\n"
    for item_, draw in ((first, 1), (second, 0)):
        with pytest.raises(Exception, match="never asked or never answered"):
            asyncio.run(endpoint.ask(question_of(item_, draw)))
    assert endpoint.name.kind == "recorded"
    assert endpoint.name.address == read_transcript(path).digest


# Going on.


def test_going_on_asks_nothing_twice_and_seals_again(path: Path) -> None:
    with continue_transcript(path) as transcript:
        assert transcript.answered == {FIRST, THIRD}
        assert transcript.given_up == {SECOND}
        assert transcript.seal is not None
        transcript.add(answered(SECOND))
        assert transcript.seal is None
        with pytest.raises(ValueError, match="has an answer already"):
            transcript.add(answered(FIRST))
        transcript.end("interrupted")
    read = read_transcript(path)
    assert set(read.answered) == {FIRST, SECOND, THIRD}
    assert not read.given_up
    assert read.seal is not None
    assert read.seal.reason == "interrupted"
    assert path.read_bytes().count(b'"kind":"seal"') == 1


def test_a_file_in_two_parts_is_the_file_in_one(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with started(one) as transcript:
        transcript.add(answered(FIRST))
        transcript.add(answered(SECOND))
        transcript.end("complete")
    with started(two) as transcript:
        transcript.add(answered(FIRST))
        transcript.end("interrupted")
    with continue_transcript(two) as transcript:
        transcript.add(answered(SECOND))
        transcript.end("complete")
        assert transcript.digest == read_transcript(one).digest
    assert one.read_bytes() == two.read_bytes()


def test_looking_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with continue_transcript(path) as transcript:
        transcript.end("budget")
    assert path.read_bytes() == before


@pytest.mark.parametrize("cut", [1, 2, 40, 200])
def test_a_torn_last_line_is_dropped_and_written_over(cut: int, path: Path) -> None:
    whole = path.read_bytes()
    without_seal = whole[: whole.rindex(b"\n", 0, -1) + 1]
    path.write_bytes(without_seal[:-cut])
    read = read_transcript(path)
    assert set(read.answered) == {FIRST}
    assert read.seal is None
    with continue_transcript(path) as transcript:
        assert transcript.answered == {FIRST}
        transcript.add(answered(THIRD, "grün\n"))
        transcript.end("budget")
    assert path.read_bytes() == whole


@pytest.mark.parametrize("torn", [b"{", b'{"chain":"sha256:', b"x" * 5000])
def test_nothing_of_a_torn_line_stays(torn: bytes, path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1] + torn)
    with continue_transcript(path) as transcript:
        transcript.end("budget")
    assert path.read_bytes() == whole


def test_every_place_to_cut_leaves_a_readable_file_or_a_clear_error(path: Path) -> None:
    whole = path.read_bytes()
    header_ends = whole.index(b"\n") + 1
    for length in (*range(0, header_ends, 97), *range(header_ends, len(whole), 23), len(whole)):
        path.write_bytes(whole[:length])
        if length < header_ends:
            assert is_unwritten(path)
            with pytest.raises(InputError, match=r"header|empty"):
                read_transcript(path)
        else:
            complete_lines = whole[:length].count(b"\n")
            read = read_transcript(path)
            assert len(read.answered) + len(read.given_up) == min(3, complete_lines - 1)


def test_a_header_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    with started(path):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with started(path):
        pass
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"a line\n", b"no line end", b'{"chain":"sha256:' + b"0" * 70 + b"\n", b"{\n"])
def test_files_that_are_not_ours_are_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.transcript"
    path.write_bytes(content)
    assert not is_unwritten(path)
    with pytest.raises(InputError, match="exists already"):
        started(path)
    with pytest.raises(InputError, match="line 1"):
        continue_transcript(path)
    assert path.read_bytes() == content


def test_pipes_and_folders_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        for use in (started, continue_transcript, read_transcript):
            with pytest.raises(InputError):
                use(path)
    assert not is_transcript(tmp_path / "pipe")


def test_a_second_writer_is_told(path: Path) -> None:
    with continue_transcript(path), pytest.raises(InputError, match="another run is writing"):
        continue_transcript(path)
    continue_transcript(path).close()


def test_a_second_process_is_told(path: Path) -> None:
    code = (
        "import sys, pathlib; from whorl.probes.transcript_file import *\n"
        "try: continue_transcript(pathlib.Path(sys.argv[1]))\n"
        "except Exception as error: print(error)"
    )
    with continue_transcript(path):
        done = subprocess.run(
            [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=True
        )
    assert "another run is writing" in done.stdout


def test_a_full_disk_leaves_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = read_transcript(path), os.pwrite

    def half(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 300:
            return write(descriptor, data[:300], offset)
        raise OSError(28, "No space left on device")

    with continue_transcript(path) as transcript:
        monkeypatch.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="No space left"):
            transcript.add(answered(SECOND))
        monkeypatch.setattr(os, "pwrite", write)
    after = read_transcript(path)
    assert after.seal is None
    assert after.answered == before.answered
    with continue_transcript(path) as transcript:
        transcript.add(answered(SECOND))
    assert SECOND in read_transcript(path).answered


def test_a_reply_too_large_for_a_line_is_given_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript_file, "MAX_LINE_BYTES", 2000)
    with continue_transcript(path) as transcript:
        written = transcript.add(answered(SECOND, "x" * 3000))
        assert isinstance(written, GivenUp)
        assert written.trouble == "malformed"
        assert SECOND not in transcript.answered
    assert SECOND in read_transcript(path).given_up


def test_half_a_surrogate_pair_is_written_as_an_escape(path: Path) -> None:
    with continue_transcript(path) as transcript:
        transcript.add(answered(SECOND, "half \ud83d", request="\udc00"))
    assert read_transcript(path).answered[SECOND].text == "half \\ud83d"


def test_giving_up_over_and_over_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript_reading, "LINES_PER_QUESTION", 3)
    path = tmp_path / "a.transcript"
    with started(path, battery(1, draws=1)) as transcript:
        for _ in range(3):
            transcript.add(given_up(FIRST))
        with pytest.raises(InputError, match="given up over and over"):
            transcript.add(given_up(FIRST))
        transcript.end("endpoint_lost")
    assert read_transcript(path).seal is not None


def test_a_battery_too_large_to_be_read_again_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ask for a smaller one"):
        start_transcript(tmp_path / "a", header(battery(2, draws=1_000_000)))
    assert not (tmp_path / "a").exists()


# Hostile and damaged files.


def replaced(number: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    def change(entries: list[bytes]) -> list[bytes]:
        assert old in entries[number]
        return [*entries[:number], entries[number].replace(old, new, 1), *entries[number + 1 :]]

    return change


def put(entry: bytes, at: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda entries: [*entries[:at], entry, *entries[at:]]


ELSEWHERE = answered(("style/none", 0)).model_dump_json().encode()
TOO_MANY = answered((FIRST[0], 2)).model_dump_json().encode()
AGAIN = answered(FIRST, "red").model_dump_json().encode()
GIVEN_UP_AFTERWARDS = given_up(FIRST).model_dump_json().encode()
ANOTHER = answered(SECOND).model_dump_json().encode()


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (put(ELSEWHERE, 1), 2, "question of the battery"),
        (put(TOO_MANY, 1), 2, "question of the battery"),
        (put(AGAIN, 2), 3, "answered once"),
        (put(GIVEN_UP_AFTERWARDS, 2), 3, "answered once"),
        (put(ANOTHER, 5), 6, "after the seal"),
        (lambda entries: [*entries, entries[-1]], 6, "after the seal"),
        (lambda entries: entries[1:], 1, "whorl.transcript/1"),
        (lambda entries: [entries[0], *entries], 2, "whorl.transcript/1"),
        (lambda entries: [*entries[:3], entries[4]], 4, "the seal counts 2 answered and 1 given up, found 1 and 1"),
        (replaced(0, b"whorl.transcript/1", b"whorl.transcript/2"), 1, "schema"),
        (replaced(0, b'"draws":2', b'"draws":2000000'), 1, "at most 1000000 questions"),
        (replaced(0, b'"draws":2', b'"draws":' + b"9" * 400), 1, "2^53"),
        (replaced(0, b'"draws":2', b'"draws":0'), 1, "draws"),
        (replaced(0, b"low_entropy/00001", b"low_entropy/00000"), 1, "share an id"),
        (replaced(1, b'"seconds":0.1', b'"seconds":NaN'), 2, "seconds"),
        (replaced(1, b'"seconds":0.1', b'"seconds":Infinity'), 2, "seconds"),
        (replaced(1, b'"seconds":0.1', b'"seconds":1e999'), 2, "seconds"),
        (replaced(1, b'"prompt_tokens":12', b'"prompt_tokens":' + b"9" * 300), 2, "2^53"),
        (replaced(1, b'"prompt_tokens":12', b'"prompt_tokens":' + b"9" * 9000), 2, "out of range"),
        (replaced(1, b'"prompt_tokens":12', b'"prompt_tokens":12.5'), 2, "prompt_tokens"),
        (replaced(1, b'"prompt_tokens":12', b'"prompt_tokens":-1'), 2, "prompt_tokens"),
        (replaced(1, b'"draw":0', b'"draw":' + b"9" * 300), 2, "2^53"),
        (replaced(1, b'"draw":0', b'"draw":0,"draw":1'), 2, "twice"),
        (replaced(1, b'"status":200', b'"status":9007199254740993'), 2, "2^53"),
        (replaced(1, b'"status":200', b'"status":-9007199254740993'), 2, "2^53"),
        (replaced(1, b'"text":"blue"', b'"text":"blue","note":1'), 2, "note"),
        (replaced(1, b'"text":"blue"', b'"text":' + b"[" * 100_000), 2, "recursion"),
        (replaced(1, b'"text":"blue"', b'"text":' + b'{"a":' * 100_000), 2, "recursion"),
        (replaced(1, b'"text":"blue"', b'"text":"\xff"'), 2, "whorl.transcript/1"),
        (replaced(1, b'"text":"blue"', b'"text":"\\ud800"'), 2, "whorl.transcript/1"),
        (replaced(1, b'"kind":"answered"', b'"kind":"guessed"'), 2, "kind"),
        (replaced(1, b"{", b" {"), 2, None),
        (replaced(4, b'"reason":"budget"', b'"reason":"bored"'), 5, "reason"),
    ],
)
def test_a_file_that_breaks_a_rule_is_refused_with_its_line(
    change: Callable[[list[bytes]], list[bytes]], line: int, message: str | None, path: Path
) -> None:
    path.write_bytes(chained(*change(entries_of(path))))
    if message is None:  # white space between an entry and its frame is JSON, and is read
        read_transcript(path)
        return
    for read in (read_transcript, continue_transcript):
        with pytest.raises(InputError, match=f"line {line}: ") as refused:
            read(path)
        assert message in str(refused.value)
        assert len(str(refused.value)) < 1000


def altered(number: int, change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def alter(data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        lines[number] = change(lines[number])
        return b"".join(lines)

    return alter


def without(number: int) -> Callable[[bytes], bytes]:
    return altered(number, lambda _: b"")


def swapped(data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join([lines[0], lines[2], lines[1], *lines[3:]])


@pytest.mark.parametrize(
    ("alter", "line"),
    [
        (altered(1, lambda line: line.replace(b'"text":"blue"', b'"text":"teal"')), 2),
        (altered(0, lambda line: line.replace(b"northwind-7b", b"meridian-7b")), 1),
        (altered(4, lambda line: line.replace(b'"budget"', b'"complete"')), 5),
        (altered(2, lambda line: line.replace(b"0", b"1", 1)), 3),
        (altered(2, lambda line: line.upper()), 3),
        (altered(2, lambda line: b" " + line), 3),
        (altered(2, lambda line: line[:-2] + b" }\n"), 3),
        (altered(2, lambda line: line[:-2] + b"}}\n"), 3),
        (altered(2, lambda _: b"\n"), 3),
        (altered(2, lambda line: line + b"\n"), 4),
        (without(0), 1),
        (without(1), 2),
        (without(3), 4),
        (swapped, 2),
        (lambda data: data + b" ", 6),
        (lambda data: data + b"\n", 6),
        (lambda data: data[:-1], 0),
    ],
)
def test_an_altered_file_is_refused_with_its_line(alter: Callable[[bytes], bytes], line: int, path: Path) -> None:
    path.write_bytes(alter(path.read_bytes()))
    if line == 0:  # the seal's own line end is missing: a torn last line
        assert read_transcript(path).seal is None
        return
    for read in (read_transcript, continue_transcript):
        with pytest.raises(InputError, match=f"line {line}: "):
            read(path)


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    """Any one bit: refused, or (in the last line's end) the seal is gone. Never other answers."""
    whole, truth = path.read_bytes(), read_transcript(path)
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(bytes(damaged))
        try:
            read = read_transcript(path)
        except InputError:
            continue
        assert read.seal is None
        assert set(read.answered) <= set(truth.answered)


def test_lines_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript_reading, "MAX_LINE_BYTES", 1000)
    entries = entries_of(path)
    entries[1] = answered(FIRST, "x" * 2000).model_dump_json().encode()
    path.write_bytes(chained(*entries))
    with pytest.raises(InputError, match="line 2: expected a line of at most 1000 bytes"):
        read_transcript(path)
    path.write_bytes(chained(*entries[:1]) + b"x" * 5000)
    with pytest.raises(InputError, match="line 2: expected a line of at most 1000 bytes"):
        read_transcript(path)


def test_the_number_of_lines_is_bounded_by_the_battery(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript_reading, "LINES_PER_QUESTION", 1)
    entry = given_up(SECOND).model_dump_json().encode()
    path.write_bytes(chained(entries_of(path)[0], *[entry] * 14))
    with pytest.raises(InputError, match="line 15: expected at most 14 lines"):
        read_transcript(path)


def test_reading_holds_one_line_at_a_time(tmp_path: Path) -> None:
    """A file of 200 MB of refused questions is read in far less memory."""
    path = tmp_path / "large"
    with started(path, battery(1, draws=1)):
        pass
    entry = GivenUp(item=FIRST[0], draw=0, trouble="malformed", detail="x" * 2_000_000).model_dump_json().encode()
    path.write_bytes(chained(entries_of(path)[0], *[entry] * 100))
    code = (
        "import resource, sys, pathlib; from whorl.probes.transcript_reading import read_transcript\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "read_transcript(pathlib.Path(sys.argv[1]))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=120, check=True)
    assert float(done.stdout) < 60


def test_a_counted_usage_of_2_to_53_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with started(path) as transcript:
        transcript.add(answered(FIRST, usage=Usage(prompt_tokens=2**53, completion_tokens=1)))
    assert FIRST in read_transcript(path).answered


def test_another_battery_gives_another_digest(tmp_path: Path) -> None:
    digests = set()
    for number, asked in enumerate((battery(), battery(7), Battery(name="small", seed=7, items=(item(0, text="?"),)))):
        with started(tmp_path / str(number), asked) as transcript:
            digests.add(transcript.digest)
    assert len(digests) == 3
