"""What is known of a model from its files, and how they are read: a few bytes at a time."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

Read = Callable[[int, int], bytes]  # offset and length in bytes

WINDOW = 1024 * 1024
MIB = 1024 * 1024


class Unreadable(Exception):
    """The file is not what it claims to be; the sentence is for its owner."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


def printable(text: str) -> str:
    """What a file says, as far as it can be shown and kept: no NUL, no half characters."""
    return "".join(letter for letter in text if letter.isprintable())


@dataclass(frozen=True, slots=True)
class Facts:
    """0 and "" mean that the files do not say."""

    format: str = ""
    architecture: str = ""
    parameters: int = 0
    context_length: int = 0
    dtype: str = ""
    layers: int = 0
    hidden_size: int = 0
    heads: int = 0
    kv_heads: int = 0
    head_dim: int = 0
    vocabulary: int = 0
    has_chat_template: bool = False


class Cursor:
    """Walks through a file whose bytes are fetched by the window; refuses to go past `limit`."""

    def __init__(self, read: Read, size: int, limit: int) -> None:
        self._read, self._size, self._limit = read, size, limit
        self._start, self._window = 0, b""
        self.at = 0

    def take(self, length: int) -> bytes:
        """The next bytes."""
        end = self.at + length
        if length < 0 or end > self._size:
            raise Unreadable("The file ends in the middle of its header.")
        if end > self._limit:
            raise Unreadable("The header is too long.")
        if end > self._start + len(self._window):
            self._start = self.at
            self._window = self._read(self.at, min(max(WINDOW, length), self._size - self.at))
            if len(self._window) < length:
                raise Unreadable("The file is shorter than it should be.")
        found = self._window[self.at - self._start : end - self._start]
        self.at = end
        return found

    def number(self, code: str) -> int:
        """The next number, by its code of `struct`, little-endian."""
        value: int = struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]
        return value

    def skip(self, length: int) -> None:
        """Leave bytes out without fetching them."""
        if length < 0 or self.at + length > min(self._size, self._limit):
            raise Unreadable("The file ends in the middle of its header.")
        self.at += length
        if self.at > self._start + len(self._window):
            self._start, self._window = self.at, b""
