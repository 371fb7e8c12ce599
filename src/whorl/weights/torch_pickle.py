"""The pickle inside a PyTorch file, read without Python's unpickler: it can describe tensors and do nothing else.

A pickle is a program for a stack machine. Ours knows the two dozen instructions that a saved state dict consists of;
what the program would import stays a name on a list, and its "calls" build the records below. There is no instruction
that could reach code.
"""

import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from whorl.core.errors import CheckpointError
from whorl.weights.files import shown

MAX_INSTRUCTIONS: Final = 2_000_000  # a tensor takes about 40; bounds the time to seconds and the memory to 0.3 GB
MAX_ARGUMENTS: Final = 16
_MARK: Final = object()

STORAGES: Final = {
    f"torch {name}Storage": storage
    for name, storage in {
        "Double": "F64",
        "Float": "F32",
        "Half": "F16",
        "BFloat16": "BF16",
        "Long": "I64",
        "Int": "I32",
        "Short": "I16",
        "Char": "I8",
        "Byte": "U8",
        "Bool": "BOOL",
    }.items()
}
UNTYPED: Final = "torch.storage UntypedStorage"
DTYPES: Final = {
    "torch float8_e4m3fn": "F8_E4M3",
    "torch float8_e5m2": "F8_E5M2",
    "torch float8_e4m3fnuz": "F8_E4M3FNUZ",
    "torch float8_e5m2fnuz": "F8_E5M2FNUZ",
    "torch float8_e8m0fnu": "F8_E8M0",
    "torch uint16": "U16",
    "torch uint32": "U32",
    "torch uint64": "U64",
}
KNOWN_NAMES: Final = frozenset(
    {
        *STORAGES,
        *DTYPES,
        UNTYPED,
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_tensor_v3",  # for the number formats that came after typed storages
        "torch._utils _rebuild_parameter",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickledName:
    """Something the pickle would have imported; for us only its name."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PickledStorage:
    """A run of values in the archive: the record ``data/<key>``. ``storage`` is None for untyped bytes."""

    key: str
    storage: str | None
    values: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PickledTensor:
    """A view of a storage, as claimed. ``offset`` and ``strides`` count values; nothing is checked yet."""

    storage: PickledStorage
    number: str
    offset: Any
    shape: Any
    strides: Any


class _RefusedError(Exception):
    """The pickle is broken or does something other than describing tensors; becomes a `CheckpointError`."""


def read_state_dict(data: bytes, file: Path) -> dict[Any, Any]:
    """The top-level dictionary of a saved state dict, its tensors as `PickledTensor`.

    Raises
    ------
    CheckpointError
        If the pickle is malformed, too long, or holds anything else than tensors, numbers, text and dictionaries.
    """
    try:
        found = _Machine().run(data)
    except (_RefusedError, ValueError) as error:
        raise CheckpointError(
            f"expected a plain state dict, found: {error}; save the state dict alone, or convert it to safetensors",
            file=file,
        ) from error
    if not isinstance(found, dict):
        raise CheckpointError(f"expected a state dict, found {type(found).__name__}", file=file)
    return found


class _Machine:
    """The stack machine: one method per kind of instruction."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_INSTRUCTIONS:
                raise _RefusedError(f"more than {MAX_INSTRUCTIONS} instructions")
            if opcode.name == "STOP":
                return self.pop()
            self.step(opcode.name, argument)
        raise _RefusedError("no end")

    def step(self, instruction: str, argument: Any) -> None:
        match instruction:
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                self.stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = self.peek()
            case "MEMOIZE":
                self.memo[len(self.memo)] = self.peek()
            case "BINGET" | "LONG_BINGET":
                if argument not in self.memo:
                    raise _RefusedError("a value that was never kept")
                self.stack.append(self.memo[argument])
            case "MARK":
                self.stack.append(_MARK)
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(instruction[-1])
                self.stack.append(tuple([self.pop() for _ in range(size)][::-1]))
            case "TUPLE":
                self.stack.append(tuple(self.pop_to_mark()))
            case "EMPTY_DICT":
                self.stack.append({})
            case "SETITEM":
                value, key = self.pop(), self.pop()
                self.set_items([key, value])
            case "SETITEMS":
                self.set_items(self.pop_to_mark())
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[instruction])
            case "GLOBAL":
                self.stack.append(_name(argument))
            case "STACK_GLOBAL":
                name, module = self.pop(), self.pop()
                self.stack.append(_name(f"{module} {name}" if type(module) is type(name) is str else ""))
            case "BINPERSID":
                self.stack.append(_storage(self.pop()))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                self.stack.append(_call(function, arguments))
            case "BUILD":  # attributes of the dictionary, such as the module versions that PyTorch keeps
                self.pop()
                if not isinstance(self.peek(), dict):
                    raise _RefusedError("attributes set on something other than a dictionary")
            case "PROTO" | "FRAME":
                pass
            case _:
                raise _RefusedError(f"the instruction {instruction}, which no state dict needs")

    def pop(self) -> Any:
        value = self.peek()
        self.stack.pop()
        return value

    def peek(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _RefusedError("an instruction without its operands")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while at >= 0 and self.stack[at] is not _MARK:
            at -= 1
        if at < 0:
            raise _RefusedError("an instruction without its mark")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def set_items(self, flat: list[Any]) -> None:
        target = self.peek()
        if not isinstance(target, dict) or len(flat) % 2:
            raise _RefusedError("entries that belong to no dictionary")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            # Nothing but text and numbers: hashing a deeply nested tuple would exhaust the C stack.
            if type(key) not in (str, int):
                raise _RefusedError(f"a key of type {type(key).__name__}")
            if key in target:
                raise _RefusedError(f"the key {shown(key)} twice")
            target[key] = value


def _name(name: str) -> PickledName:
    if name not in KNOWN_NAMES:
        raise _RefusedError(f"a call for {name[:200]!r}, which is code and never run")
    return PickledName(name=name)


def _storage(identity: object) -> PickledStorage:
    match identity:
        case ("storage", PickledName(name=name), str(key), str(), int(values)) if name in STORAGES or name == UNTYPED:
            return PickledStorage(key=key, storage=STORAGES.get(name), values=values)
        case _:
            raise _RefusedError("a stored object that is no tensor storage")


def _call(function: object, arguments: object) -> Any:
    if not isinstance(arguments, tuple) or len(arguments) > MAX_ARGUMENTS:  # long ones, passed often, would take hours
        raise _RefusedError("a call with other arguments than a tensor's")
    match function, arguments:
        case PickledName(name="collections OrderedDict"), ():
            return {}
        case PickledName(name="torch._utils _rebuild_parameter"), (PickledTensor() as tensor, _, _):
            return tensor
        case PickledName(name="torch._utils _rebuild_tensor_v2"), (PickledStorage() as storage, *view):
            number, metadata = storage.storage, view[5:]
        case PickledName(name="torch._utils _rebuild_tensor_v3"), (PickledStorage() as storage, *view):
            dtype = view[5] if len(view) > 5 and storage.storage is None else None
            number = DTYPES.get(dtype.name) if isinstance(dtype, PickledName) else None
            metadata = view[6:]
        case _:
            raise _RefusedError("a call that builds no tensor")
    # What may follow says that the values are to be negated or conjugated: PyTorch writes it for lazy views only.
    if number is None or len(view) < 5 or any(metadata):
        raise _RefusedError("a tensor described in an unknown way")
    return PickledTensor(storage=storage, number=number, offset=view[0], shape=view[1], strides=view[2])
