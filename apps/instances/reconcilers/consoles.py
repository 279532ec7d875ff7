"""The serial console of a machine, opened for whoever the wiring has admitted."""

from django.db import close_old_connections
from django.utils.translation import gettext as _

from apps.core import tenancy
from apps.core.errors import NotFound, Unavailable
from apps.drivers.base import Console, HasConsole
from apps.drivers.errors import DriverError
from apps.instances.models import Instance
from apps.regions.reconcilers import driver_of


def open_console(instance_id: str) -> Console:
    """The machine's console; Unavailable where its driver has none or the machine does not run."""
    close_old_connections()
    with tenancy.everything():
        instance = Instance.objects.select_related("cluster").filter(pk=instance_id).first()
        if instance is None:
            raise NotFound(_("There is no such instance."))
        driver = driver_of(instance.cluster)
    if not isinstance(driver, HasConsole):
        raise Unavailable(_("Machines of this kind have no serial console."))
    try:
        return driver.open_console(instance.machine_name)
    except DriverError as error:
        raise Unavailable(_("The console cannot be opened now.")) from error
