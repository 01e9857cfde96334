"""Users who were MLflow's before there was a Studio become Studio's, with the passwords they have."""

from __future__ import annotations

from typing import NamedTuple

from django.contrib.auth.hashers import make_password
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from studio.accounts import hashes
from studio.accounts.models import ADOPTED, MlflowUser, User
from studio.accounts.services import check_username, record
from studio.lib.errors import Invalid


class Adopted(NamedTuple):
    """Names. `refused` stay MLflow's alone; `exposed` are administrators with a password that everybody knows."""

    users: list[str]
    administrators: list[str]
    refused: list[str]
    exposed: list[str]

    def told(self) -> list[str]:
        """A line for each thing that an administrator should know."""
        lines = []
        if self.users:
            many = f"{len(self.users)} user{'s' if len(self.users) > 1 else ''}"
            lines.append(
                f"Adopted {many} of MLflow's, {len(self.administrators)} of them administrators."
            )
        if self.refused:
            names = ", ".join(map(repr, self.refused[:5])) + (
                ", …" if len(self.refused) > 5 else ""
            )
            lines.append(
                f"Not adopted: {names}. A name in Studio has up to 150 letters, digits and @ . + - _: "
                "docs/moving-in.md says how to rename them."
            )
        lines += [
            f"{name} has the password that older MLflow gave to everybody, which is not accepted: "
            f"`manage.py password-link {name}` makes a link that sets another."
            for name in self.exposed
        ]
        return lines


class HandedBack(NamedTuple):
    """Names of those who have no password in MLflow, and of those who were disabled in Studio."""

    without: list[str]
    disabled: list[str]

    def told(self) -> list[str]:
        lines = []
        if self.without:
            lines.append(
                f"Without a password in MLflow: {_some(self.without)}. An administrator of MLflow gives them one "
                "with its client: get_app_client('basic-auth', uri).update_user_password(name, password)."
            )
        if self.disabled:
            lines.append(
                f"Disabled in Studio, and so without a password in MLflow: {_some(self.disabled)}."
            )
        return lines


@transaction.atomic
def adopt_users() -> Adopted:
    """Make a user of Studio for each of MLflow's that has none. MLflow's rows stay as they are. Safe to repeat.

    Their hashes stay with MLflow, which can check them again after `release`: see User.check_password.
    """
    adopted = Adopted([], [], [], [])
    known = User.objects.filter(username=OuterRef("username"))
    rows = MlflowUser.objects.filter(~Exists(known), username__isnull=False).order_by("pk")
    if not rows.exists():
        return adopted
    with connection.cursor() as cursor:  # two hosts may start at once
        cursor.execute(f"LOCK TABLE {User._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")
    users = [user for user in (_user_of(row, adopted) for row in rows) if user is not None]
    User.objects.bulk_create(users, batch_size=1000)
    if users:
        administrators = ", ".join(adopted.administrators) or "none"
        record(
            actor=None,
            action="user.adopt",
            target=f"{len(users)} users of MLflow's; administrators: {administrators}",
        )
    return adopted


@transaction.atomic
def hand_back_users() -> HandedBack:
    """Have MLflow accept of everybody the password that Studio accepts now, and of the disabled none."""
    rows = {row.username: row for row in MlflowUser.objects.all()}
    handed = HandedBack([], [])
    for user in User.objects.order_by("username"):
        row = rows.get(user.username)
        if row is None:  # MLflow's own server has deleted it
            handed.without.append(user.username)
            continue
        before = row.password_hash
        if not user.is_active:
            handed.disabled.append(user.username)
            row.password_hash = hashes.UNUSABLE_HASH
        elif not hashes.is_hash(before):
            row.password_hash = hashes.for_mlflow(user.password)
            if not hashes.is_hash(row.password_hash):
                handed.without.append(user.username)
                row.password_hash = before
        if row.password_hash != before:
            row.save(update_fields=["password_hash"])
    return handed


def _some(names: list[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _user_of(row: MlflowUser, adopted: Adopted) -> User | None:
    """The user that the row becomes, noted in `adopted`; None where Studio does not allow the name."""
    name = row.username or ""
    try:
        check_username(name)
    except Invalid:
        adopted.refused.append(name)
        return None
    adopted.users.append(name)
    is_admin = bool(row.is_admin)
    has_password = hashes.is_hash(row.password_hash)
    if is_admin:
        adopted.administrators.append(name)
        if hashes.proves(row.password_hash, hashes.MLFLOWS_DEFAULT):
            adopted.exposed.append(name)
            has_password = False
    password = ADOPTED if has_password else make_password(None)
    return User(username=name, password=password, is_superuser=is_admin, is_staff=is_admin)
