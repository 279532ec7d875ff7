"""What may be asked for, and what is answered."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from apps.operations.specs import OperationPlan, StepPlan
from apps.operations.states import Plane
from apps.policies.specs import Gate

NAME_PATTERN = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
NAME = re.compile(NAME_PATTERN[:-1] + r"\Z")
MAX_DISK_GIB = 16_384
_KEY = re.compile(
    r"(ssh-(rsa|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/=]+( [^\r\n]*)?"
)


class InstanceSpec(BaseModel):
    """What a caller may ask for; `region`, `type` and `image` are slugs. `disk_gib` None takes the type's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME_PATTERN)
    region: str = Field(min_length=1, max_length=40)
    type: str = Field(min_length=1, max_length=60)
    image: str = Field(min_length=1, max_length=60)
    disk_gib: int | None = Field(default=None, ge=1, le=MAX_DISK_GIB)
    ssh_keys: tuple[str, ...] = Field(default=(), max_length=32)
    user_data: dict[str, Any] | None = None

    @field_validator("ssh_keys")
    @classmethod
    def _are_public_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        for key in keys:
            if len(key) > 8192 or not _KEY.fullmatch(key):
                raise ValueError("each must be one public key in OpenSSH format")
        return keys


@dataclass(frozen=True, slots=True)
class Explanation:
    """Every question a launch must pass, and the nearest launch that would pass them all."""

    gates: tuple[Gate, ...]
    nearest: Mapping[str, object] | None = None

    @property
    def ok(self) -> bool:
        return all(gate.ok for gate in self.gates)

    @property
    def refusals(self) -> tuple[Gate, ...]:
        return tuple(gate for gate in self.gates if not gate.ok)

    def as_json(self) -> dict[str, object]:
        return {
            "ok": self.ok,
            "gates": [gate.as_json() for gate in self.gates],
            "nearest": dict(self.nearest) if self.nearest else None,
        }


@dataclass(frozen=True, slots=True)
class Admission:
    """What a redeemed ticket lets its bearer reach, since when. `private_key` is the portal's own, in OpenSSH
    format."""

    ticket_id: str
    opened_at: datetime
    instance_id: str
    instance_name: str
    team_id: str
    user_id: str
    access: str
    state: str
    actor_label: str = ""
    address: str = ""
    port: int = 22
    user: str = ""
    host_key: str = ""
    private_key: str = field(default="", repr=False)


def _plan(
    kind: str, deadline: timedelta | None, *steps: StepPlan, is_cancellable: bool = False
) -> OperationPlan:
    return OperationPlan(f"instance.{kind}", steps, deadline, is_cancellable)


def _asked(name: str) -> StepPlan:
    return StepPlan(name, Plane.USER, is_done=True)


CREATE = _plan(
    "create",
    timedelta(minutes=20),
    _asked("accepted"),
    StepPlan("placed", Plane.ADMIN, is_done=True),
    StepPlan("provision", Plane.CLUSTER),
    StepPlan("boot", Plane.MACHINE),
    is_cancellable=True,
)
STOP = _plan("stop", timedelta(minutes=15), _asked("accepted"), StepPlan("shut_down", Plane.CLUSTER))
START = _plan(
    "start",
    timedelta(minutes=15),
    _asked("accepted"),
    StepPlan("placed", Plane.ADMIN, is_done=True),
    StepPlan("power_on", Plane.CLUSTER),
    StepPlan("boot", Plane.MACHINE),
    is_cancellable=True,
)
REBOOT = _plan(
    "reboot",
    timedelta(minutes=15),
    _asked("accepted"),
    StepPlan("restart", Plane.CLUSTER),
    StepPlan("boot", Plane.MACHINE),
)
RESIZE = _plan(
    "resize",
    timedelta(minutes=15),
    _asked("accepted"),
    StepPlan("placed", Plane.ADMIN, is_done=True),
    StepPlan("resize", Plane.CLUSTER),
)
SNAPSHOT = _plan("snapshot", timedelta(minutes=30), _asked("accepted"), StepPlan("copy", Plane.CLUSTER))
UNSNAPSHOT = _plan(
    "snapshot_delete", timedelta(minutes=30), _asked("accepted"), StepPlan("remove", Plane.CLUSTER)
)
RESTORE = _plan(
    "snapshot_restore", timedelta(minutes=30), _asked("accepted"), StepPlan("restore", Plane.CLUSTER)
)
# A removal has no deadline: it is tried until the machine is proven gone.
DELETE = _plan(
    "delete",
    None,
    _asked("accepted"),
    StepPlan("remove", Plane.CLUSTER),
    StepPlan("release", Plane.ADMIN),
)
