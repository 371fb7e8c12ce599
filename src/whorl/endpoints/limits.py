"""How much an endpoint may cost us, and how hard we may lean on it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds on one exchange, on the tries at one question, and on the rate of questions.

    Parameters
    ----------
    body_bytes : longest response body that is read, before and after decompression
    exchange_seconds : longest duration of one exchange, from connecting to the last byte
    connect_seconds : longest wait for a connection
    connections : connections kept open between exchanges, over TLS only; as many as are asked at once
    tries : most exchanges for one question
    first_wait : seconds of back-off after the first failure, doubled after each further one, before jitter
    longest_wait : seconds of the longest wait, asked for by the server or not; a server that asks for more ends it
    question_seconds : total time for one question, back-off included, waiting for our own rate excluded
    requests_per_minute, tokens_per_minute : rates that are not exceeded; None for no limit
    """

    body_bytes: int = 8 * 2**20
    exchange_seconds: float = 120.0
    connect_seconds: float = 10.0
    connections: int = 64
    tries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 120.0
    question_seconds: float = 600.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def __post_init__(self) -> None:
        counts = (self.body_bytes, self.connections, self.tries)
        seconds = (self.exchange_seconds, self.connect_seconds, self.first_wait, self.longest_wait)
        rates = [rate for rate in (self.requests_per_minute, self.tokens_per_minute) if rate is not None]
        if min(counts) < 1 or not all(value > 0 for value in (*seconds, self.question_seconds, *rates)):
            raise ValueError(f"every limit must be positive: {self}")
