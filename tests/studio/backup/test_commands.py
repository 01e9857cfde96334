"""`manage.py backup` and `restore` as an administrator sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.studio.backup.kit import contents


def test_a_backup_is_taken_verified_and_kept_by_number(
    store: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        call_command("backup", str(place), "--keep", "2")
    told = capsys.readouterr().out
    first, second, third = [
        line.removeprefix("The backup is ") for line in told.splitlines() if "The backup is" in line
    ]
    assert f"removed {first}" in told
    assert not Path(first).exists()
    call_command("backup", str(place), "--verify")
    assert f"{third} is whole: every file is as it was written" in capsys.readouterr().out
    call_command("backup", second, "--verify")
    assert f"{second} is whole" in capsys.readouterr().out


def test_beside_a_backup_of_a_clock_that_ran_ahead_none_is_taken_and_none_removed(
    store: Path, place: Path
) -> None:
    """It would count as the newest for ever, and `--keep` remove the one just taken."""
    call_command("backup", str(place))
    [ahead] = place.glob("2*")
    ahead = ahead.rename(place / "2999-01-01T000000Z")
    with pytest.raises(CommandError, match=f"The backup {ahead} is named for a time .* move it"):
        call_command("backup", str(place), "--keep", "1")
    assert list(place.glob("*2*")) == [ahead]


def test_what_is_wrong_with_a_backup_is_one_line(store: Path, place: Path) -> None:
    call_command("backup", str(place))
    [damaged] = place.glob("*/artifacts/1/run/plot.png")
    damaged.write_text("x")
    with pytest.raises(CommandError, match=f"The backup is damaged: {damaged} is not the file"):
        call_command("backup", str(place), "--verify")
    with pytest.raises(CommandError, match="is not the file|not empty"):
        call_command("restore", str(place))


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_number_to_keep_must_be_one(store: Path, place: Path, number: str) -> None:
    with pytest.raises(CommandError, match="write a number from 1"):
        call_command("backup", str(place), f"--keep={number}")
    assert not place.exists()


def test_a_place_that_cannot_be_written_is_told(store: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    before = contents(tmp_path)
    with pytest.raises(CommandError, match="file"):
        call_command("backup", str(tmp_path / "file"))
    assert contents(tmp_path) == before
