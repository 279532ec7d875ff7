"""One file's way into the object store: in parts, several at once, never whole in memory."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

import httpx

from hostedai_sdk.errors import ApiError, HostedaiError, Unreachable
from hostedai_sdk.shapes import Address, File
from hostedai_sdk.transport import Transport

Progress = Callable[[str, int, int], None]

BATCH = 64
TRIES = 5
ROUNDS = 5
CHUNK = 256 * 1024
PATIENCE = httpx.Timeout(120, connect=10)


def ignore(_name: str, _done: int, _total: int) -> None:
    """Nobody watches."""


class Push:
    """Sends the files of one version; `here` is its address in the API."""

    def __init__(self, api: Transport, here: str, *, parallel: int, progress: Progress) -> None:
        self._api = api
        self._here = here
        self._parallel = max(parallel, 1)
        self._progress = progress

    def send(self, file: File, source: Path) -> None:
        """Send what the store lacks, then complete the file. A store that lost the upload gets it anew."""
        place = f"{self._here}/files/{file['id']}"
        for _round in range(ROUNDS):
            arrived = {one["number"]: one["size"] for one in self._api.get(f"{place}/parts")["parts"]}
            self._send_parts(place, file, source, arrived)
            try:
                self._api.post(f"{place}/complete")
            except ApiError as error:
                if error.code not in ("upload_incomplete", "upload_gone"):
                    raise
            else:
                return
        raise HostedaiError(f"{file['path']} could not be sent.")

    def _send_parts(self, place: str, file: File, source: Path, arrived: dict[int, int]) -> None:
        """As many parts at once as were asked for; the first failure calls the rest off."""
        sent = sum(arrived.values())
        missing = [number for number in range(1, file["parts"] + 1) if number not in arrived]
        self._progress(file["path"], sent, file["size"])
        with httpx.Client(timeout=PATIENCE) as http, ThreadPoolExecutor(self._parallel) as threads:
            lengths: dict[Future[None], int] = {}
            for part in self._signed(place, missing):
                lengths[threads.submit(self._send_part, http, file, source, part)] = part["length"]
                while len(lengths) >= self._parallel:
                    sent = self._gather(file, lengths, sent)
            while lengths:
                sent = self._gather(file, lengths, sent)

    def _signed(self, place: str, numbers: list[int]) -> Iterator[Address]:
        """Addresses as they are needed: they run out after hours, and a large file takes longer."""
        for at in range(0, len(numbers), BATCH):
            yield from self._api.ask(f"{place}/sign", {"numbers": numbers[at : at + BATCH]})["parts"]

    def _gather(self, file: File, lengths: dict[Future[None], int], sent: int) -> int:
        """Wait for some part; what has been sent by then."""
        done, _others = wait(lengths, return_when=FIRST_COMPLETED)
        for future in done:
            length = lengths.pop(future)
            future.result()
            sent += length
            self._progress(file["path"], sent, file["size"])
        return sent

    def _send_part(self, http: httpx.Client, file: File, source: Path, part: Address) -> None:
        begin = (part["number"] - 1) * file["part_size"]
        problem = ""
        for attempt in range(TRIES):
            try:
                answer = http.put(
                    part["url"],
                    content=_read(source, begin, part["length"]),
                    headers={"Content-Length": str(part["length"])},
                )
            except httpx.TransportError as error:
                problem = str(error)
            else:
                if answer.is_success or answer.status_code == httpx.codes.NOT_FOUND:
                    return  # an upload that is gone shows when the file is completed
                problem = f"status {answer.status_code}"
            time.sleep(min(0.5 * 2**attempt, 10))
        raise Unreachable(
            f"The object store does not take part {part['number']} of {file['path']}: {problem}"
        )


def _read(source: Path, begin: int, length: int) -> Iterator[bytes]:
    with source.open("rb") as file:
        file.seek(begin)
        while length > 0 and (chunk := file.read(min(CHUNK, length))):
            length -= len(chunk)
            yield chunk
