"""What is asked of a driver, one function per act."""

from collections.abc import Callable

from django.conf import settings

from apps.core import statements
from apps.core.ids import decode
from apps.drivers.base import (
    CanReboot,
    CanResize,
    CanStop,
    ComputeDriver,
    HasSnapshots,
    ImageRef,
    MachineSpec,
)
from apps.drivers.errors import Rejected
from apps.instances.models import Instance
from apps.instances.plans import Act

_NAMED = """
SELECT n.name, i.slug, i.checksum, i.source, i.min_disk_gib
  FROM instances_instance m JOIN nodes_node n ON n.id = m.node_id JOIN catalog_image i ON i.id = m.image_id
 WHERE m.id = %s
"""


def act(driver: ComputeDriver, instance: Instance, what: Act) -> None:
    """Ask for it; raises DriverError, `Rejected` for what this kind of cluster cannot do."""
    _ACTS[what](driver, instance)


def snapshot_size(driver: ComputeDriver, instance: Instance) -> int | None:
    """Bytes of the snapshot in hand (0: not known); None while it is not there."""
    if not isinstance(driver, HasSnapshots):
        return None
    wanted = instance.work_params["driver_name"]
    for found in driver.list_snapshots(instance.machine_name):
        if found.name == wanted:
            return found.size_bytes
    return None


def spec_of(instance: Instance) -> MachineSpec:
    """The machine as its driver is told to make it."""
    node, *image = statements.fetch_one(_NAMED, [decode("ins", str(instance.pk))])
    return MachineSpec(
        name=instance.machine_name,
        installation=settings.INSTALLATION_ID,
        resource_id=str(instance.pk),
        fence=instance.fence,
        vcpus=instance.vcpus,
        memory_mib=instance.memory_mib,
        disk_gib=instance.disk_gib,
        image=ImageRef(*image),
        node=node,
        pci_addresses=tuple(instance.pci_addresses),
        mdev_uuids=tuple(instance.mdev_uuids),
        hostname=instance.name,
        user=instance.user,
        ssh_keys=(instance.access_public_key, *instance.ssh_keys),
        user_data=instance.user_data,
    )


def _create(driver: ComputeDriver, instance: Instance) -> None:
    driver.create(spec_of(instance))


def _delete(driver: ComputeDriver, instance: Instance) -> None:
    driver.delete(instance.machine_name)


def _start(driver: ComputeDriver, instance: Instance) -> None:
    _can_stop(driver).start(instance.machine_name)


def _stop(driver: ComputeDriver, instance: Instance) -> None:
    _can_stop(driver).stop(instance.machine_name)


def _force_stop(driver: ComputeDriver, instance: Instance) -> None:
    _can_stop(driver).stop(instance.machine_name, force=True)


def _reboot(driver: ComputeDriver, instance: Instance) -> None:
    if not isinstance(driver, CanReboot):
        raise Rejected("This cluster cannot restart machines.")
    driver.reboot(instance.machine_name)


def _resize(driver: ComputeDriver, instance: Instance) -> None:
    if not isinstance(driver, CanResize):
        raise Rejected("This cluster cannot change the size of machines.")
    new = instance.work_params["new"]
    driver.resize(
        instance.machine_name, vcpus=new["vcpus"], memory_mib=new["memory_mib"], disk_gib=new["disk_gib"]
    )


def _snapshot(driver: ComputeDriver, instance: Instance) -> None:
    _has_snapshots(driver).create_snapshot(instance.machine_name, instance.work_params["driver_name"])


def _unsnapshot(driver: ComputeDriver, instance: Instance) -> None:
    _has_snapshots(driver).delete_snapshot(instance.machine_name, instance.work_params["driver_name"])


def _restore(driver: ComputeDriver, instance: Instance) -> None:
    _has_snapshots(driver).restore_snapshot(instance.machine_name, instance.work_params["driver_name"])


def _can_stop(driver: ComputeDriver) -> CanStop:
    if not isinstance(driver, CanStop):
        raise Rejected("This cluster cannot stop machines.")
    return driver


def _has_snapshots(driver: ComputeDriver) -> HasSnapshots:
    if not isinstance(driver, HasSnapshots):
        raise Rejected("This cluster has no snapshots.")
    return driver


_ACTS: dict[Act, Callable[[ComputeDriver, Instance], None]] = {
    Act.CREATE: _create,
    Act.DELETE: _delete,
    Act.START: _start,
    Act.STOP: _stop,
    Act.FORCE_STOP: _force_stop,
    Act.REBOOT: _reboot,
    Act.RESIZE: _resize,
    Act.SNAPSHOT: _snapshot,
    Act.UNSNAPSHOT: _unsnapshot,
    Act.RESTORE: _restore,
}
