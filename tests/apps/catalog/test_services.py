"""The catalogue: shapes, images and GPU models."""

import pytest

from apps.catalog import services
from apps.catalog.specs import ImageSpec, ModelSpec, TypeSpec
from apps.core.actor import SYSTEM, Actor
from apps.core.errors import Conflict, Invalid, NotPermitted
from apps.core.ids import new_id
from apps.core.states import IllegalTransition

pytestmark = pytest.mark.django_db


def test_a_type_is_made_described_and_retired() -> None:
    model = services.create_model(actor=SYSTEM, spec=ModelSpec("h100", "NVIDIA", "H100", 80))
    spec = TypeSpec("h100-1", "1× H100", 8, 4096, 50, gpu_model_id=model.pk, gpus=1)
    kind = services.create_instance_type(actor=SYSTEM, spec=spec)
    assert kind.product == "type:h100-1"
    with pytest.raises(Conflict):
        services.create_instance_type(actor=SYSTEM, spec=spec)
    services.describe_instance_type(actor=SYSTEM, kind=kind, name="One H100")
    assert services.move_instance_type(actor=SYSTEM, kind=kind, event="retire").state == "retired"
    with pytest.raises(IllegalTransition):
        services.move_instance_type(actor=SYSTEM, kind=kind, event="deprecate")


@pytest.mark.parametrize(
    "fields",
    [
        {"slug": "No"},
        {"name": " "},
        {"vcpus": 0},
        {"disk_gib": -1},
        {"memory_mib": 2**40},
        {"gpus": 1},
        {"gpu_model_id": new_id("gpm"), "gpus": 1},
    ],
)
def test_types_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    size = {"slug": "x", "name": "X", "vcpus": 1, "memory_mib": 512, "disk_gib": 1}
    with pytest.raises(Invalid):
        services.create_instance_type(actor=SYSTEM, spec=TypeSpec(**{**size, **fields}))


@pytest.mark.parametrize(
    "fields", [{"checksum": "md5:1"}, {"default_user": "root; rm"}, {"min_disk_gib": 0}, {"version": " "}]
)
def test_images_that_make_no_sense_are_refused(fields: dict[str, object]) -> None:
    about = {"slug": "x", "name": "X", "version": "1", "os": "x"}
    with pytest.raises(Invalid):
        services.create_image(actor=SYSTEM, spec=ImageSpec(**{**about, **fields}))


def test_an_image_version_exists_once() -> None:
    spec = ImageSpec("debian-13", "Debian", "13", "debian", checksum=f"sha256:{'0' * 64}")
    image = services.create_image(actor=SYSTEM, spec=spec)
    with pytest.raises(Conflict):
        services.create_image(actor=SYSTEM, spec=ImageSpec("debian-trixie", "Debian", "13", "debian"))
    assert services.move_image(actor=SYSTEM, image=image, event="deprecate").state == "deprecated"
    with pytest.raises(NotPermitted):
        services.move_image(actor=Actor("nobody"), image=image, event="retire")


def test_an_image_built_anew_keeps_its_name_and_gets_the_new_bytes() -> None:
    old, new = (f"sha256:{digit * 64}" for digit in "01")
    spec = ImageSpec("tiny", "Tiny", "1", "linux", checksum=old, source="/old")
    image = services.create_image(actor=SYSTEM, spec=spec)
    services.replace_image(actor=SYSTEM, image=image, checksum=new, source="/new", size_bytes=7)
    image.refresh_from_db()
    assert (image.checksum, image.source, image.size_bytes) == (new, "/new", 7)
    with pytest.raises(Invalid):
        services.replace_image(actor=SYSTEM, image=image, checksum="", source="/new", size_bytes=7)
