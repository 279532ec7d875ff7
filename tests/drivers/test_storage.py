"""Files of a libvirt host, as far as no qemu-img is needed."""

import hashlib

import pytest

from apps.drivers.base import ImageRef
from apps.drivers.errors import Rejected
from apps.drivers.libvirt.documents import Tag
from apps.drivers.libvirt.storage import Storage, checked_name, image_opts


@pytest.mark.parametrize("name", ["", "..", "a/b", "-rf", ".hidden", "a b", "a\n", "x" * 101, "é"])
def test_a_name_never_leads_out_of_its_folder(name):
    with pytest.raises(Rejected):
        checked_name(name)


def test_options_for_a_disk_name_its_format(tmp_path):
    assert image_opts(tmp_path / "a,b") == f"driver=qcow2,file.driver=file,file.filename={tmp_path}/a,,b"


@pytest.mark.parametrize("checksum", ["", "md5:abc", "sha256:short", "sha256:" + "g" * 64])
def test_an_image_needs_a_checksum(tmp_path, checksum):
    with pytest.raises(Rejected, match="checksum"):
        Storage(tmp_path).base_image(ImageRef("image", checksum, "/nowhere"))


def test_an_image_must_be_what_its_checksum_says(tmp_path):
    source = tmp_path / "source.img"
    source.write_bytes(b"something else")
    wrong = "sha256:" + hashlib.sha256(b"something").hexdigest()
    storage = Storage(tmp_path / "storage")
    with pytest.raises(Rejected, match="not what its checksum says"):
        storage.base_image(ImageRef("image", wrong, str(source)))
    with pytest.raises(Rejected, match="not in this region"):
        storage.base_image(ImageRef("image", wrong, str(tmp_path / "absent")))
    assert [path.name for path in storage.images.iterdir()] == [".lock"]


def test_what_is_left_of_a_machine_is_known_by_its_note(tmp_path):
    storage, tag = Storage(tmp_path), Tag("inst", "ins_1", 3, "key")
    files = storage.machine("hai-ins_1")
    assert not files.exist()
    files.folder.mkdir(parents=True)
    (storage.machines / "hai-unreadable").mkdir()
    files.write_tag(tag)
    files.root.write_bytes(b"QFI\xfb" + bytes(20) + (5 << 30).to_bytes(8, "big"))
    assert storage.leftovers() == [("hai-ins_1", tag)]
    assert files.disk_gib() == 5
    files.remove()
    files.remove()
    assert not files.exist()
