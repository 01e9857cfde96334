"""What may be written down of uv's words: nothing that says where the package index is, or how to get in."""

from __future__ import annotations

from pathlib import Path

import pytest

from endpoints.masking import Mask, mask

INDEX = "https://ana:s3cret@depot.example.com/of/wheels"


def hidden(folder: Path, told: str, *lines: str, **environment: str) -> str:
    return mask(environment, lines, folder)(told)


class TestIndex:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("UV_INDEX_URL", INDEX),
            ("UV_DEFAULT_INDEX", INDEX),
            ("UV_DEFAULT_INDEX", f"team={INDEX}/"),
            ("UV_INDEX", f"https://one.example.org/simple team={INDEX}"),
            ("UV_EXTRA_INDEX_URL", f"{INDEX} https://two.example.org/simple"),
            ("UV_FIND_LINKS", f"/srv/wheels,{INDEX},https://two.example.org"),
            ("UV_PYTHON_INSTALL_MIRROR", INDEX),
        ],
    )
    @pytest.mark.parametrize(
        "told",
        [
            "error sending request for url (https://depot.example.com/of/wheels/tiny/)",
            "Failed to fetch: `https://ana:s3cret@depot.example.com/of/wheels/tiny/`",
            "from https://DEPOT.example.com/files/tiny-1.0.whl, it cannot be read",
            "failed to look up depot.example.com.",
            "depot.example.com: no such host",
        ],
    )
    def test_its_address_is_hidden_however_it_was_given(
        self, tmp_path: Path, name: str, value: str, told: str
    ) -> None:
        found = hidden(tmp_path, told, **{name: value})
        assert "(the package index)" in found
        assert "depot" not in found.lower()
        assert "of/packages" not in found
        assert "files" not in found
        assert "s3cret" not in found

    @pytest.mark.parametrize(
        "line",
        [
            f"--index-url {INDEX}",
            f"--index-url={INDEX}",
            f"-i {INDEX}",
            f"--extra-index-url {INDEX}",
            f"--find-links {INDEX}",
            f"-f {INDEX}",
            "--index-url https://${USER}:${TOKEN}@${HOST}/of/wheels",
        ],
    )
    def test_the_models_own_index_is_hidden_too(self, tmp_path: Path, line: str) -> None:
        (tmp_path / "more.txt").write_text(f"numpy\n{line}\n-r more.txt\n")
        told = "could not reach https://depot.example.com/of/wheels/tiny/ (s3cret)"
        given = {"USER": "ana", "TOKEN": "s3cret", "HOST": "depot.example.com"}
        for lines in (["numpy", line], ["numpy", "-r more.txt"], ["-c", "--requirement=more.txt"]):
            assert (
                hidden(tmp_path, told, *lines, **given)
                == "could not reach (the package index) (***)"
            )

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("home/.config/uv/uv.toml", f'index-url = "{INDEX}"'),
            ("home/.config/uv/uv.toml", f'[[index]]\nname = "team"\nurl = "{INDEX}"'),
            ("model/pyproject.toml", f'[tool.uv.pip]\nextra-index-url = ["{INDEX}"]'),
            ("own.toml", f'find-links = ["{INDEX}"]'),
        ],
    )
    def test_one_of_uvs_files_of_settings_is_hidden(
        self, tmp_path: Path, name: str, text: str
    ) -> None:
        (tmp_path / "model").mkdir()
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        given = {"HOME": str(tmp_path / "home"), "UV_CONFIG_FILE": str(tmp_path / "own.toml")}
        told = "https://depot.example.com/of/wheels/tiny/ is away"
        assert hidden(tmp_path / "model", told, **given) == "(the package index) is away"

    def test_a_folder_of_packages_is_hidden(self, tmp_path: Path) -> None:
        told = hidden(tmp_path, "in /srv/wheels/tiny-1.0.whl", UV_FIND_LINKS="/srv/wheels")
        assert told == "in (the package index)"

    @pytest.mark.parametrize(
        "told",
        [
            "http://127.0.0.1:1/tiny is another server than 127.0.0.1:4000 at http://127.0.0.10/",
            "tiny==1.0 (from https://files.example.org/tiny.whl)",
            "Because tiny was not found in the package registry and you require tiny, we can conclude",
        ],
    )
    def test_other_words_stay(self, tmp_path: Path, told: str) -> None:
        assert hidden(tmp_path, told, UV_INDEX_URL="http://127.0.0.1:9000/simple") == told

    def test_broken_settings_and_files_that_are_not_there_hide_nothing(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "uv.toml").write_text("index-url = [")
        lines = ("-r gone.txt", "-r ../../etc/passwd", "--index-url", "-i http://[broken")
        assert hidden(tmp_path, "a word", *lines, UV_INDEX="/", UV_FIND_LINKS="") == "a word"


class TestSecrets:
    @pytest.mark.parametrize(
        "told",
        ["http_proxy=http://ana:s3cret@proxy.example.com:3128", "proxy.example.com:3128 refused"],
    )
    @pytest.mark.parametrize("scheme", ["http://", ""])
    def test_a_proxy_with_a_password_is_hidden(
        self, tmp_path: Path, told: str, scheme: str
    ) -> None:
        found = hidden(tmp_path, told, HTTPS_PROXY=f"{scheme}ana:s3cret@proxy.example.com:3128")
        assert "(the proxy)" in found
        assert "example" not in found
        assert "s3cret" not in found

    def test_a_proxy_that_anyone_may_use_may_be_told(self, tmp_path: Path) -> None:
        told = "proxy.example.com:3128 refused"
        assert hidden(tmp_path, told, https_proxy="http://proxy.example.com:3128") == told

    def test_a_password_is_hidden_wherever_it_stands(self, tmp_path: Path) -> None:
        given = {
            "UV_INDEX_TEAM_PASSWORD": "of-the-team",
            "UV_INDEX_URL": "https://ana:p%40ssword@depot.example.com/of/wheels",
        }
        told = hidden(tmp_path, "env: of-the-team p%40ssword p@ssword PASSWORD", **given)
        assert told == "env: *** *** *** PASSWORD"

    def test_a_login_in_any_other_address_is_hidden_and_so_is_a_signed_query(self) -> None:
        plain = Mask([], [], [])
        assert plain("git+https://ana:s3cret@example.org/own") == "git+https://example.org/own"
        signed = "from https://store.example.org/tiny.whl?X-Signature=s3cret&a=b) is broken"
        assert plain(signed) == "from https://store.example.org/tiny.whl) is broken"
