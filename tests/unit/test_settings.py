"""Settings: built-in defaults, a person's file, the environment; the later wins and every mistake has a place."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.errors import OperatorError
from probes.settings import load_settings


def write(folder: Path, text: str) -> Path:
    """A settings file of one's own."""
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults_need_nothing(tmp_path: Path) -> None:
    """A fresh clone has settings; folders follow the XDG rules."""
    settings = load_settings(environ={"HOME": str(tmp_path)})
    assert settings.region == "local"
    assert settings.target == ""
    assert settings.state_dir == tmp_path / ".local/state/probe-fleet"
    assert settings.evidence_dir == settings.state_dir / "evidence"
    assert settings.parts_dir == tmp_path / ".cache/probe-fleet/parts"
    assert settings.probe


def test_xdg_folders_are_used_when_they_are_absolute(tmp_path: Path) -> None:
    """Source: the XDG specification tells to ignore relative ones."""
    settings = load_settings(environ={"HOME": "/h", "XDG_STATE_HOME": str(tmp_path), "XDG_CACHE_HOME": "relative"})
    assert settings.state_dir == tmp_path / "probe-fleet"
    assert settings.parts_dir == Path("/h/.cache/probe-fleet/parts")


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    """Each layer replaces only what it names."""
    path = write(tmp_path, 'region = "eu"\nfleet = "ours"\n[evidence]\nkeep_days = 3\n')
    settings = load_settings(environ={"HOME": "/h", "PROBE_FLEET_REGION": "us"}, path=path)
    assert (settings.region, settings.fleet) == ("us", "ours")
    assert (settings.evidence_keep_days, settings.evidence_mode) == (3, "failures")
    assert settings.sources[1:] == (str(path), "the environment")


def test_the_file_is_found_by_variable_and_in_the_xdg_folder(tmp_path: Path) -> None:
    """A file that is named must exist; the usual one may."""
    (tmp_path / "probe-fleet").mkdir()
    (tmp_path / "probe-fleet/fleet.toml").write_text('region = "usual"\n', encoding="utf-8")
    environ = {"HOME": "/h", "XDG_CONFIG_HOME": str(tmp_path)}
    assert load_settings(environ=environ).region == "usual"
    named = write(tmp_path, 'region = "named"\n')
    assert load_settings(environ={**environ, "PROBE_FLEET_SETTINGS": str(named)}).region == "named"
    with pytest.raises(OperatorError, match="cannot read"):
        load_settings(environ=environ, path=tmp_path / "none.toml")


def test_an_unknown_key_in_ones_own_file_is_found_there(tmp_path: Path) -> None:
    """The place is that of the layer that brought it."""
    path = write(tmp_path, 'region = "eu"\n[evidence]\nmod = "never"\n')
    with pytest.raises(OperatorError) as caught:
        load_settings(environ={"HOME": "/h"}, path=path)
    assert caught.value.where == f"{path}:3"
    assert "'mode'" in caught.value.remedy


def test_a_slip_inside_a_list_is_found_in_the_layer_that_brought_the_list(tmp_path: Path) -> None:
    """The environment has settings too, but not this one."""
    path = write(tmp_path, 'region = "eu"\nregions = ["eu", "u/s"]\n')
    with pytest.raises(OperatorError, match=r"regions\[1\]") as caught:
        load_settings(environ={"HOME": "/h", "PROBE_FLEET_REGION": "eu"}, path=path)
    assert caught.value.where == f"{path}:2"


@pytest.mark.parametrize("url", ["nope", "ftp://127.0.0.1/", "http://"])
def test_a_control_target_that_nobody_could_ask_is_refused(url: str) -> None:
    """Every minute would be unfit because of it, and no run would count."""
    with pytest.raises(OperatorError, match="control_url") as caught:
        load_settings(environ={"HOME": "/h", "PROBE_FLEET_WORKER_CONTROL_URL": url})
    assert caught.value.where == "PROBE_FLEET_WORKER_CONTROL_URL"


def test_an_unknown_variable_suggests_the_nearest() -> None:
    """A slip in the environment is not ignored."""
    with pytest.raises(OperatorError) as caught:
        load_settings(environ={"HOME": "/h", "PROBE_FLEET_EVIDENCE_MOD": "never"})
    assert caught.value.where == "PROBE_FLEET_EVIDENCE_MOD"
    assert "PROBE_FLEET_EVIDENCE_MODE" in caught.value.remedy


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PROBE_FLEET_MAX_IN_FLIGHT", "many", "'many' is not a number"),
        ("PROBE_FLEET_MAX_IN_FLIGHT", "0", "greater than or equal to 1"),
        ("PROBE_FLEET_EVIDENCE_MODE", "sometimes", "'failures'"),
        ("PROBE_FLEET_REGION", "a/b", "region"),
    ],
)
def test_a_wrong_value_names_the_variable(variable: str, text: str, message: str) -> None:
    """The remedy is where the value came from."""
    with pytest.raises(OperatorError) as caught:
        load_settings(environ={"HOME": "/h", variable: text})
    assert caught.value.where == variable
    assert message in str(caught.value)


def test_a_secret_comes_from_a_variable_and_is_never_shown(tmp_path: Path) -> None:
    """Settings can be printed."""
    path = write(tmp_path, '[secrets.broker]\nenv = "BROKER_PASSWORD"\n')
    settings = load_settings(environ={"HOME": "/h", "BROKER_PASSWORD": "s3cret"}, path=path)
    assert settings.secret("broker").get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
    with pytest.raises(OperatorError, match="BROKER_PASSWORD"):
        load_settings(environ={"HOME": "/h"}, path=path).secret("broker")
    with pytest.raises(OperatorError, match="no secret 'other'"):
        settings.secret("other")


def test_a_missing_secret_is_told_with_the_line_that_describes_it(tmp_path: Path) -> None:
    """Not with the layer that came last: nobody can set a secret in the variables of our settings."""
    path = write(tmp_path, 'fleet = "f"\n[secrets.broker]\nenv = "BROKER"\nfile = "broker.txt"\n')
    settings = load_settings(environ={"HOME": "/h", "PROBE_FLEET_REGION": "eu"}, path=path)
    with pytest.raises(OperatorError) as caught:
        settings.secret("broker")
    assert caught.value.where == f"{path}:2: secrets.broker"
    assert "Set the environment variable BROKER" in caught.value.remedy
    assert str(Path("broker.txt").resolve()) in caught.value.remedy
    with pytest.raises(OperatorError, match=r"below \[secrets\] of a settings file"):
        settings.secret("other")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ('fleet = "My Fleet"', "lower-case letters, digits, dots and hyphens"),
        ('[broker]\nurl = "http://broker"', "begins with mqtt://"),
        ('[broker]\nprobes = ["eu-west"]', "REGION/PROBE"),
        ('[worker]\nhealth = "8080"', "HOST:PORT"),
        ('[secrets.x]\ncredential = "../shadow"', "no path"),
    ],
)
def test_a_slip_of_form_is_told_in_words(tmp_path: Path, text: str, rule: str) -> None:
    """The rule, and what was found; no expression that a person would have to read."""
    with pytest.raises(OperatorError) as caught:
        load_settings(environ={"HOME": "/h"}, path=write(tmp_path, text))
    assert rule in str(caught.value)
    assert "found " in str(caught.value)
    assert "pattern" not in str(caught.value)


def test_a_secret_may_be_a_credential_of_the_unit(tmp_path: Path) -> None:
    """The variable goes before it, a file after it; what is missing is named in all three."""
    path = write(tmp_path, '[secrets.broker]\nenv = "BROKER"\ncredential = "broker"\nfile = "fallback"\n')
    (tmp_path / "broker").write_text("from systemd\n")
    environ = {"HOME": "/h", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert load_settings(environ=environ, path=path).secret("broker").get_secret_value() == "from systemd"
    assert load_settings(environ={**environ, "BROKER": "x"}, path=path).secret("broker").get_secret_value() == "x"
    with pytest.raises(OperatorError) as caught:
        load_settings(environ={"HOME": "/h"}, path=path).secret("broker")
    assert all(word in caught.value.remedy for word in ("BROKER", "LoadCredential=", "fallback"))


def test_a_credential_is_a_name_and_no_path(tmp_path: Path) -> None:
    """It cannot lead out of the unit's own folder."""
    with pytest.raises(OperatorError, match="credential"):
        load_settings(environ={"HOME": "/h"}, path=write(tmp_path, '[secrets.x]\ncredential = "../shadow"\n'))


def test_the_browser_sandbox_is_left_to_the_browser_unless_told(tmp_path: Path) -> None:
    """`auto` decides nothing; a container that denies namespaces switches it off by a variable."""
    assert load_settings(environ={"HOME": "/h"}).browser_sandbox is None
    off = load_settings(environ={"HOME": "/h", "PROBE_FLEET_BROWSER_SANDBOX": "off"})
    assert off.browser_sandbox is False
    with pytest.raises(OperatorError, match="sandbox"):
        load_settings(environ={"HOME": "/h"}, path=write(tmp_path, '[browser]\nsandbox = "maybe"\n'))
