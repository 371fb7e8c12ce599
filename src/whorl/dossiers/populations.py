"""Files of populations that a case rests on: calibrated ones, for ratios, and control models' answers, for ranks."""

from collections.abc import Mapping
from typing import Final

from whorl.statistics.ratio_population import Population, parse_populations

MAX_POPULATION_BYTES: Final = 64 << 20
_PARQUET: Final = b"PAR1"


def is_answers(data: bytes) -> bool:
    """Whether the file holds control models' answers (``docs/specs/answer-population.md``), by its first bytes."""
    return data[: len(_PARQUET)] == _PARQUET


def calibrated(files: Mapping[str, bytes]) -> dict[str, Population]:
    """The calibrated ones among files of populations, by their own digests.

    Raises
    ------
    InputError
        If one is neither.
    """
    return parse_populations({name: data for name, data in files.items() if not is_answers(data)})
