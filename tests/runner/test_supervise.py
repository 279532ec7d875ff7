"""A first start that was interrupted begins anew; what somebody has used is never thrown away."""

from pathlib import Path

from runner.supervise import FILLING, forget_half_filled


def _installation(base: Path) -> tuple[Path, Path]:
    folder, var = base / "run", base / "var"
    for path in (folder / "postgres" / "data", folder / "objects", var / "sim", var / "images"):
        path.mkdir(parents=True)
        (path / "kept").write_text("by somebody")
    return folder, var


def test_what_an_interrupted_first_start_left_is_thrown_away(tmp_path: Path) -> None:
    folder, var = _installation(tmp_path)
    (folder / FILLING).touch()
    forget_half_filled(folder, var)
    assert sorted(path.name for path in folder.iterdir()) == []
    assert sorted(path.name for path in var.iterdir()) == ["images"]


def test_what_was_filled_is_kept(tmp_path: Path) -> None:
    folder, var = _installation(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    forget_half_filled(folder, var)
    assert sorted(tmp_path.rglob("*")) == before
