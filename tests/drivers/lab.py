"""What the contract suite needs of each driver besides the contract: a place to try it in."""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path

import asyncssh

from apps.drivers.base import ImageRef, MachineSpec, Observed, Power
from apps.drivers.registry import driver_for

PATIENCE = 180.0
WELCOME = 'it\'s $HOME, `id` and "ünïcode"'
INSTALLATION = "installation-under-test"
FOREIGN_DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os></domain>"""


def wait_for(ask, *, until, what):
    """Ask until the answer is good; returns it."""
    deadline = time.monotonic() + PATIENCE
    while not until(answer := ask()):
        assert time.monotonic() < deadline, f"{what}: still {answer}"
        time.sleep(0.1)
    return answer


def read_until(console, wanted: bytes) -> bytes:
    """What the console says, up to the words that were waited for."""
    said = b""
    deadline = time.monotonic() + PATIENCE
    while wanted not in said:
        assert time.monotonic() < deadline, f"the console only said {said!r}"
        data = console.read(0.5)
        assert data is not None, f"the console ended after {said!r}"
        said += data
    return said


class Lab(ABC):
    """A driver, and one machine that tests share because a real boot takes seconds."""

    shared = "hai-ins_contract"

    def __init__(self, driver, image: ImageRef) -> None:
        self.driver = driver
        self.image = image
        self.key = asyncssh.generate_private_key("ssh-ed25519")

    def spec(self, name: str, **wishes) -> MachineSpec:
        name_and_id = {"name": name, "resource_id": name.removeprefix("hai-")}
        keys = (self.key.export_public_key().decode().strip(),)
        usual = {"installation": INSTALLATION, "fence": 1, "vcpus": 1, "memory_mib": 256, "disk_gib": 1}
        usual["user_data"] = {"write_files": [{"path": "/etc/welcome", "content": WELCOME}]}
        login = {"hostname": "box", "user": "alice", "ssh_keys": keys, "image": self.image}
        return MachineSpec(**(name_and_id | usual | login | wishes))

    def booted(self) -> Observed:
        """The shared machine, up and answering, whatever the test before did to it."""
        seen = self.driver.observe(self.shared)
        if seen is None or seen.power is Power.PARTIAL:
            self.driver.create(self.spec(self.shared))
        elif seen.power is Power.STOPPED:
            self.driver.start(self.shared)
        return self.wait_booted()

    def wait_booted(self) -> Observed:
        return wait_for(self.observe, until=lambda seen: seen.booted, what="booted")

    def wait_power(self, power: Power) -> Observed:
        return wait_for(self.observe, until=lambda seen: seen.power is power, what=power)

    def observe(self) -> Observed:
        seen = self.driver.observe(self.shared)
        assert seen is not None
        return seen

    def shut_down(self) -> Observed:
        """Ask until the guest has heard: one that is still booting may not listen yet."""

        def asked() -> Observed:
            self.driver.stop(self.shared)
            return self.observe()

        return wait_for(asked, until=lambda seen: seen.power is Power.STOPPED, what="shut down")

    def wait_gone(self, name: str) -> None:
        wait_for(lambda: self.driver.observe(name), until=lambda seen: seen is None, what="gone")

    @abstractmethod
    def boot_id(self) -> str:
        """Another word for each boot of the shared machine."""

    @abstractmethod
    def plant_foreign(self, name: str) -> None:
        """A machine that somebody else made."""

    @abstractmethod
    def remove_foreign(self, name: str) -> None: ...

    def close(self) -> None:
        self.driver.delete(self.shared)
        self.driver.close()


class SimLab(Lab):
    def __init__(self, folder: Path) -> None:
        nodes = [{"prefix": "plain"}, {"prefix": "gpu", "count": 1, "gpus": 2, "gpu_model": "H100"}]
        config = {"path": str(folder / "world.sqlite"), "nodes": nodes}
        config |= {"boot_seconds": 0.2, "stop_seconds": 0.1, "delete_seconds": 0.1}
        super().__init__(driver_for("sim", config), ImageRef("any"))

    def boot_id(self) -> str:
        count = self.driver.world.effect_count
        return str(count("start", self.shared) + count("reboot", self.shared))

    def plant_foreign(self, name: str) -> None:
        self.driver.world.plant(name)

    def remove_foreign(self, name: str) -> None:
        """It stays; nobody else sees this world."""


LOST = (OSError, asyncssh.Error, asyncio.TimeoutError)  # what a machine that restarts does to a session


class LibvirtLab(Lab):
    def __init__(self, hypervisor, tiny) -> None:
        image = ImageRef("tiny", checksum=str(tiny["checksum"]), source=str(tiny["path"]))
        super().__init__(driver_for("libvirt", hypervisor.config()), image)

    def boot_id(self) -> str:
        return self.run("cat /proc/sys/kernel/random/boot_id")

    def run(self, command: str) -> str:
        """Log in as the user, with the host key that the driver told, and run a command."""

        def tried() -> tuple[bool, str]:
            try:
                return True, asyncio.run(self._run(self.wait_booted(), command)).strip()
            except LOST as error:
                return False, repr(error)

        return wait_for(tried, until=lambda answer: answer[0], what=command)[1]

    async def _run(self, seen: Observed, command: str) -> str:
        known = ([asyncssh.import_public_key(seen.host_key)], [], [])
        async with asyncssh.connect(
            seen.address, seen.ssh_port, username="alice", client_keys=[self.key], known_hosts=known,
            config=None, agent_path=None, connect_timeout=60, login_timeout=60,
        ) as connection:  # fmt: skip
            done = await asyncio.wait_for(connection.run(command, check=True), 60)
            return str(done.stdout)

    def plant_foreign(self, name: str) -> None:
        self.driver.client.define(FOREIGN_DOMAIN.format(name=name))

    def remove_foreign(self, name: str) -> None:
        domain = self.driver.client.find(name)
        if domain is not None:
            self.driver.client.undefine(domain)

    def files(self) -> set[str]:
        """Every file that belongs to a machine."""
        walked = os.walk(self.driver.storage.machines)
        return {str(Path(folder, name)) for folder, _, names in walked for name in names}
