"""libvirt with a network, a file-system view and sockets of its own: the machine's network stays as it was.

The daemons live in a network and a mount namespace that a keeper process holds. One veth pair leads from
the machine to the namespace, so that guests can be reached by their addresses; no forwarding, rule or bridge
is made outside. Everything that runs in the namespace is ours and ends with it.
"""

import ipaddress
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner import packages, paths
from runner.console import Stopped
from runner.processes import Identity, end, identify, is_alive, spawn, tail, wait_until

PRIVATE = {
    "etc": "/etc/libvirt",
    "run": "/run/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
}
TOOLS = (
    "libvirtd",
    "virtlogd",
    "virsh",
    "qemu-img",
    "qemu-system-x86_64",
    "unshare",
    "nsenter",
    "ip",
    "dnsmasq",
)
SBIN = "/usr/sbin:/sbin:/usr/bin:/bin"
NETWORK = "default"
BRIDGE = "virbr0"
SECONDS = 90
MARK = "HOSTEDAI_LIBVIRT_FOLDER"
LIBVIRTD_CONF = 'auth_unix_rw = "none"\nauth_unix_ro = "none"\nunix_sock_rw_perms = "0700"\nmdns_adv = 0\n'
QEMU_CONF = """\
user = "+0"
group = "+0"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = []
namespaces = []
"""
NETWORK_XML = """\
<network>
  <name>{name}</name>
  <forward mode='open'/>
  <bridge name='{bridge}' stp='off' delay='0'/>
  <ip address='{gateway}' netmask='255.255.255.0'>
    <dhcp><range start='{first}' end='{last}'/></dhcp>
  </ip>
</network>
"""


@dataclass(frozen=True)
class Plan:
    """The addresses of one namespace: a /24 for guests, a /30 between it and the machine."""

    guests: ipaddress.IPv4Network
    link: ipaddress.IPv4Network


def unavailable() -> str:
    """Why there is no libvirt here, in words; empty when there may be."""
    if os.geteuid() != 0:
        return "real machines need root (libvirt in a network namespace)"
    lacking = [tool for tool in TOOLS if not shutil.which(tool, path=SBIN)]
    if lacking:
        return f"not installed: {' '.join(packages.missing(packages.LIBVIRT)) or ' '.join(lacking)}"
    probe = _call("unshare", "--net", "--mount", "true")
    return "" if probe.returncode == 0 else f"namespaces are not allowed here: {probe.stderr.strip()}"


def _call(*command: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    env = {"PATH": SBIN, "LC_ALL": "C", "HOME": "/"}
    words = [str(part) for part in command]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, env=env)


def _do(*command: str | Path) -> str:
    done = _call(*command)
    if done.returncode:
        raise Stopped(
            f"{' '.join(str(part) for part in command)}: {done.stderr.strip() or done.stdout.strip()}"
        )
    return done.stdout


def _taken() -> list[ipaddress.IPv4Network]:
    """What this machine routes already."""
    found = []
    for line in _do("ip", "-4", "route", "show", "table", "all").splitlines():
        for word in line.split()[:2]:
            try:
                network = ipaddress.ip_network(word, strict=False)
            except ValueError:
                continue
            found += [network] if isinstance(network, ipaddress.IPv4Network) else []
    return found


def _plan() -> Plan:
    """Two networks that nobody routes; drawn, so that checkouts side by side differ."""
    taken, dice = _taken(), random.SystemRandom()
    while True:
        base = ipaddress.ip_network(f"10.{dice.randint(64, 250)}.{dice.randrange(0, 254, 2)}.0/23")
        if isinstance(base, ipaddress.IPv4Network) and not any(base.overlaps(network) for network in taken):
            guests, other = base.subnets()
            return Plan(guests=guests, link=next(iter(other.subnets(new_prefix=30))))


class Libvirt:
    """One libvirtd with a guest network, in namespaces of its own."""

    def __init__(self, folder: Path, *, dies_by_us: bool = True) -> None:
        self.folder = folder
        self.log = folder / "libvirtd.log"
        self.storage = folder / "storage"
        self._dies_by = signal.SIGTERM if dies_by_us else None
        self.identities: dict[str, Identity] = {}

    @property
    def socket(self) -> Path:
        """Where libvirtd listens, as seen from outside its namespace."""
        return self.folder / "run" / "libvirt-sock"

    @property
    def uri(self) -> str:
        """What clients connect to."""
        return f"qemu+unix:///system?socket={self.socket}"

    def environment(self) -> dict[str, str]:
        """How the product and its tests learn of it."""
        return {"HOSTEDAI_LIBVIRT_URI": self.uri, "HOSTEDAI_LIBVIRT_STORAGE": str(self.storage)}

    def start(self) -> None:
        """Make the namespaces, start the daemons in them, and start the guest network."""
        if reason := unavailable():
            raise Stopped(reason)
        self._make_folders()
        try:
            self._keep_namespaces()
            self._isolate_files()
            plan = _plan()
            self._link(plan)
            self._start_daemons()
            self._start_network(plan)
        except BaseException:
            self.stop()
            raise

    def _make_folders(self) -> None:
        paths.open_folder(self.folder)
        for name in (*PRIVATE, "storage"):
            paths.open_folder(self.folder / name)
        if len(str(self.socket)) > 100:
            raise Stopped(f"The path of libvirt's socket is too long: {self.socket}")
        (self.folder / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF)
        (self.folder / "etc" / "qemu.conf").write_text(QEMU_CONF)

    def _keep_namespaces(self) -> None:
        command = ["unshare", "--net", "--mount", "--propagation", "private", "sleep", "infinity"]
        process = spawn(command, log=self.log, env={"PATH": SBIN}, cwd=Path("/"), dies_by=self._dies_by)
        identity = identify(process.pid)
        mine = os.stat("/proc/self/ns/net").st_ino
        if identity is None or not wait_until(lambda: _namespace(process.pid) not in (0, mine), seconds=30):
            raise Stopped(f"A namespace could not be made:\n{tail(self.log)}")
        self.identities["keeper"] = identity

    def _inside(self, *command: str | Path) -> list[str]:
        pid = self.identities["keeper"].pid
        return [
            "nsenter",
            f"--net=/proc/{pid}/ns/net",
            f"--mount=/proc/{pid}/ns/mnt",
            *(str(c) for c in command),
        ]

    def _isolate_files(self) -> None:
        for name, place in PRIVATE.items():
            Path(place).mkdir(parents=True, exist_ok=True)
            _do(*self._inside("mount", "--bind", self.folder / name, place))
        _do(*self._inside("mount", "-t", "sysfs", "sysfs", "/sys"))

    def _link(self, plan: Plan) -> None:
        outside, inside = plan.link.hosts()
        name = f"hai{random.SystemRandom().randrange(16**8):08x}"
        pid = str(self.identities["keeper"].pid)
        _do("ip", "link", "add", name, "type", "veth", "peer", "name", "uplink", "netns", pid)
        _do("ip", "addr", "add", f"{outside}/30", "dev", name)
        _do("ip", "link", "set", name, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("addr", "add", f"{inside}/30", "dev", "uplink"),
            ("link", "set", "uplink", "up"),
            ("route", "add", "default", "via", str(outside)),
        ):
            _do(*self._inside("ip", *command))
        _do("ip", "route", "add", str(plan.guests), "via", str(inside), "dev", name)
        _do(*self._inside("sysctl", "-q", "-w", "net.ipv4.ip_forward=1"))

    def _daemon(self, name: str, *options: str) -> None:
        command = self._inside(name, "-p", self.folder / f"{name}.pid", *options)
        env = {"PATH": SBIN, "LC_ALL": "C.UTF-8", "HOME": "/", MARK: str(self.folder)}
        process = spawn(command, log=self.log, env=env, cwd=Path("/"), dies_by=self._dies_by)
        identity = identify(process.pid)
        if identity is None:
            raise Stopped(f"{name} did not start:\n{tail(self.log)}")
        self.identities[name] = identity

    def _start_daemons(self) -> None:
        for stale in (self.socket, self.folder / "libvirtd.pid", self.folder / "virtlogd.pid"):
            stale.unlink(missing_ok=True)
        self._daemon("virtlogd")
        self._daemon("libvirtd", "-f", "/etc/libvirt/libvirtd.conf")
        if not wait_until(self._answers, seconds=SECONDS, every=0.2):
            raise Stopped(f"libvirtd did not start:\n{tail(self.log)}")

    def _answers(self) -> bool:
        if not is_alive(self.identities["libvirtd"]):
            raise Stopped(f"libvirtd ended:\n{tail(self.log)}")
        return self.socket.exists() and self.virsh("uri").returncode == 0

    def virsh(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one virsh command against this daemon."""
        return _call("virsh", "-q", "-c", self.uri, *command)

    def _start_network(self, plan: Plan) -> None:
        hosts = list(plan.guests.hosts())
        document = self.folder / "network.xml"
        document.write_text(
            NETWORK_XML.format(name=NETWORK, bridge=BRIDGE, gateway=hosts[0], first=hosts[1], last=hosts[-1])
        )
        self.virsh("net-destroy", NETWORK)
        self.virsh("net-undefine", NETWORK)
        for command in (("net-define", document), ("net-start", NETWORK)):
            done = self.virsh(*command)
            if done.returncode:
                raise Stopped(f"The guest network did not start: {done.stderr.strip()}")

    def stop(self) -> None:
        """End everything in the namespace: guests, daemons, keeper. The veth pair goes with the namespace."""
        keeper = self.identities.get("keeper")
        if keeper is None or not is_alive(keeper):
            return
        for identity in residents(keeper.pid):
            end(identity, patience=5)
        end(keeper)
        self.identities = {}


def _namespace(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def residents(keeper: int) -> Sequence[Identity]:
    """The processes in the keeper's network namespace, itself left out."""
    wanted = _namespace(keeper)
    if not wanted or wanted == _namespace(os.getpid()):
        return []
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    found = [identify(pid) for pid in numbers if pid != keeper and _namespace(pid) == wanted]
    return [identity for identity in found if identity]


def end_leftovers(folder: Path) -> None:
    """End guests and daemons that a killed run left; they carry the folder in command or environment."""
    mark, word = f"{MARK}={folder}\0".encode(), f"{folder}/".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or (identity := identify(int(entry.name))) is None:
            continue
        try:
            name, line = (entry / "comm").read_text(), (entry / "cmdline").read_bytes()
            surroundings = (entry / "environ").read_bytes()
        except OSError:
            continue
        if mark in surroundings + b"\0" or (name.startswith("qemu-system") and word in line):
            end(identity, patience=5)
