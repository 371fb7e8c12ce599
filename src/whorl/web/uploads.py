"""One file out of a form, read from memory: nothing of it is written anywhere."""

from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from whorl.web.errors import ApiError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_HEADERS: Final = 8


def uploaded_file(content_type: str, body: bytes, *, field: str) -> bytes:
    """The file that a ``multipart/form-data`` body has under a field; empty where none was chosen.

    Raises
    ------
    ApiError
        With status 400, if the body is no such form.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary or not body:
        raise _malformed("a form with a file")
    reading = _Reading(field.encode())
    try:
        parser = MultipartParser(boundary, reading.callbacks(), max_size=len(body), max_header_count=_HEADERS)
        parser.write(body)
        parser.finalize()
    except MultipartParseError:
        raise _malformed("a whole form") from None
    if reading.found is None:
        raise _malformed(f"a form with the field {field}")
    return reading.found


class _Reading:
    """What the parser tells, as far as it belongs to one field."""

    def __init__(self, field: bytes) -> None:
        self.found: bytes | None = None
        self._field = field
        self._name = b""
        self._value = b""
        self._is_sought = False
        self._pieces: list[bytes] = []

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
        }

    def _begin(self) -> None:
        self._is_sought = False
        self._pieces = []
        self._name = self._value = b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._name.lower() == b"content-disposition":
            _, options = parse_options_header(self._value)
            self._is_sought = options.get(b"name") == self._field
        self._name = self._value = b""

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_sought:
            self._pieces.append(data[start:end])

    def _end(self) -> None:
        if self._is_sought and self.found is None:
            self.found = b"".join(self._pieces)


def _malformed(expected: str) -> ApiError:
    return ApiError(400, "malformed", f"expected {expected}, found something else; choose the file again")
