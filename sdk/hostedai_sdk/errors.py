"""What can go wrong for whoever calls."""

from typing import Any


class HostedaiError(Exception):
    """The sentence is for people."""


class ApiError(HostedaiError):
    """The API refused. `code` is stable; `problem` is the whole problem document (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", "unknown"))
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        said = str(self.problem.get("detail") or self.problem.get("title") or f"status {self.status}")
        errors = self.problem.get("errors") or []
        fields = [f"{one.get('field')}: {one.get('detail')}" for one in errors if one.get("field")]
        return "; ".join([said, *fields])


class Unreachable(HostedaiError):
    """Nobody answers at the address, after several tries."""
