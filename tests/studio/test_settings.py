"""Settings that are wrong: a sentence names them, and never says a secret."""

import json
from pathlib import Path

import pytest

from imagegraph.cli.app import command_line

SECRET = "do-not-tell"
DATABASE = f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/studio"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TOKENS", SECRET, "STUDIO_TOKENS: expected JSON"),
        ("TOKENS", json.dumps({"ann": SECRET}), "STUDIO_TOKENS: expected a list"),
        ("TOKENS", json.dumps([{"role": "maker", "token": SECRET}]), "STUDIO_TOKENS.0.name: expected a"),
        ("TOKENS", json.dumps([{"name": "ann", "token": SECRET, "sha256": "0" * 64}]), "STUDIO_TOKENS.0"),
        ("TOKENS", json.dumps([{"name": "ann", "sha256": SECRET}]), "STUDIO_TOKENS.0.sha256"),
        ("GRAPHS", json.dumps({"draw": f"http://ann:{SECRET}@127.0.0.1:1"}), "STUDIO_GRAPHS.draw"),
        ("DATABASE", DATABASE, "STUDIO_DATABASE: expected the URL of a database that answers"),
        ("DATABASE", DATABASE.replace(SECRET, f"{SECRET}@{SECRET}"), "STUDIO_DATABASE"),
        ("DATABASE", DATABASE.replace("postgresql+psycopg", "nothing"), "STUDIO_DATABASE"),
        ("DATABASE", SECRET, "STUDIO_DATABASE"),
        ("STORAGE", f"nothing://ann:{SECRET}@127.0.0.1/pictures", "STUDIO_STORAGE: expected a folder"),
        ("PORT", "99999", "STUDIO_PORT: expected at most 65535, got '99999'"),
        ("PORT", "many", "STUDIO_PORT: expected a whole number, got 'many'"),
        ("TRUSTED_PROXIES", '["many"]', "STUDIO_TRUSTED_PROXIES.0: expected a network such as"),
        ("TRUSTED_PROXIES", "5", "STUDIO_TRUSTED_PROXIES: expected a list, got 5"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_told(
    name: str,
    value: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STUDIO_PORT", "0")
    monkeypatch.setenv("STUDIO_PRELOAD", "")
    monkeypatch.setenv(f"STUDIO_{name}", value)
    with pytest.raises(SystemExit) as ended:
        command_line(["studio", "--data", str(tmp_path)])
    told = capfd.readouterr()
    assert (ended.value.code, told.out) == (2, "")
    assert told.err.startswith(f"error: {words}")
    assert SECRET not in told.err
    assert len(told.err.splitlines()) == 1


def test_the_document_is_refused_in_a_sentence_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STUDIO_PORT", "99999")
    with pytest.raises(SystemExit) as ended:
        command_line(["studio", "--openapi"])
    assert ended.value.code == 2
    assert capfd.readouterr().err.startswith("error: STUDIO_PORT: expected")
