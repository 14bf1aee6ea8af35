"""Target descriptions: loaded by name or path, checked to the line, resolved from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.errors import OperatorError
from probes.targets import Target, list_targets, load_target

MINIMAL = """
name = "mine"
[bases]
api = "http://127.0.0.1:1"
"""

REAL_VARIABLES = {
    "CNC_QUOTE_API_URL": "https://api.example.test/",
    "CNC_QUOTE_WEB_URL": "https://example.test",
    "CNC_QUOTE_CAD_URL": "https://cad.example.test",
    "CNC_QUOTE_HOST_PAGE_URL": "https://customer.example.test",
    "CNC_QUOTE_EMAIL": "probe@example.test",
}


def load(tmp_path: Path, text: str, **environ: str) -> Target:
    """The description `text` as a target."""
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_target(path, environ=environ)


def refused(tmp_path: Path, text: str, **environ: str) -> OperatorError:
    """The error that `text` is refused with."""
    with pytest.raises(OperatorError) as caught:
        load(tmp_path, text, **environ)
    return caught.value


def operation(body: str, name: str = "upload") -> str:
    """A minimal file with one operation whose only request has the lines of `body` (first one: line 7)."""
    return f"{MINIMAL}\n[[operations.{name}.requests]]\n{body}\n"


def test_the_stand_in_is_described_and_complete() -> None:
    """Every scenario that comes with the fleet can run against the built-in stand-in."""
    target = load_target("stand-in", environ={})
    assert target.is_stand_in
    assert target.allows.writes
    assert target.allows.payment == "test"
    assert target.secret("password").get_secret_value() == "probe-password"
    assert target.lacks(("upload", "analyse", "price", "quote", "settle", "parts.over_limit")) == ()


def test_the_real_platform_takes_its_bases_from_the_environment() -> None:
    """No URL of anybody's deployment is in this project."""
    target = load_target("cnc-quote", environ=REAL_VARIABLES)
    assert target.base("api") == "https://api.example.test"
    assert not target.allows.writes
    assert target.allows.payment == "none"
    assert target.lacks(("settle",)) == ("settle",)


def test_missing_bases_are_all_named_at_once() -> None:
    """A person sets them in one go."""
    with pytest.raises(OperatorError) as caught:
        load_target("cnc-quote", environ={"CNC_QUOTE_API_URL": "http://x"})
    assert "bases.web, bases.cad, bases.host" in caught.value.what
    assert "CNC_QUOTE_CAD_URL" in caught.value.remedy
    assert "CNC_QUOTE_API_URL" not in caught.value.remedy


def test_a_base_that_is_no_url_is_refused() -> None:
    """The variable's content is checked like the file's."""
    with pytest.raises(OperatorError, match="not a URL"):
        load_target("cnc-quote", environ={**REAL_VARIABLES, "CNC_QUOTE_API_URL": "api.example.test"})


def test_a_missing_secret_is_an_error_only_when_it_is_used() -> None:
    """A health check needs no password."""
    target = load_target("cnc-quote", environ=REAL_VARIABLES)
    assert target.known_secrets() == ()
    with pytest.raises(OperatorError) as caught:
        target.secret("password")
    assert "CNC_QUOTE_PASSWORD" in caught.value.remedy
    assert "cnc-quote.toml:" in caught.value.where


def test_a_secret_is_read_from_a_file_beside_the_description(tmp_path: Path) -> None:
    """White space at its end is the editor's, not the secret's."""
    (tmp_path / "token").write_text("s3cret\n", encoding="utf-8")
    target = load(tmp_path, MINIMAL + '[secrets.token]\nfile = "token"\n')
    assert target.secret("token").get_secret_value() == "s3cret"
    assert "s3cret" not in repr(target)
    assert target.known_secrets() == ("s3cret",)


def test_an_unknown_target_suggests_the_nearest() -> None:
    """The message names it."""
    with pytest.raises(OperatorError, match="unknown target 'standin'") as caught:
        load_target("standin", environ={})
    assert "'stand-in'" in caught.value.remedy


def test_a_path_that_does_not_exist_is_not_taken_for_a_name(tmp_path: Path) -> None:
    """A slip in a path says so."""
    with pytest.raises(OperatorError, match="there is no target description"):
        load_target(tmp_path / "none.toml", environ={})


def test_ones_own_folder_comes_before_the_built_in_one(tmp_path: Path) -> None:
    """A description of the same name replaces ours."""
    (tmp_path / "stand-in.toml").write_text(MINIMAL, encoding="utf-8")
    assert load_target("stand-in", environ={}, folders=(tmp_path,)).name == "mine"
    assert dict(list_targets((tmp_path,)))["stand-in"] == tmp_path / "stand-in.toml"


def test_base_overrides_replace_bases_and_nothing_else() -> None:
    """The runner's own stand-in has ports of its own; a name that does not exist is a slip."""
    target = load_target("stand-in", environ={}, base_overrides={"api": "http://127.0.0.1:5"})
    assert target.base("api") == "http://127.0.0.1:5"
    with pytest.raises(OperatorError, match="no base 'apii'"):
        load_target("stand-in", environ={}, base_overrides={"apii": "http://127.0.0.1:5"})


@pytest.mark.parametrize(
    ("body", "line", "message", "remedy"),
    [
        ('url = "{aip}/x"', 7, "unknown placeholder {aip}", "'api'"),
        ('url = "/x"', 7, "does not start with a base", "{api}"),
        ('url = "{api}/{"', 7, "lone '{'", ""),
        ('url = "{api}/x"\nheaders = { A = "{token}" }', 8, "unknown placeholder {token}", ""),
        ('url = "{api}/x"\njson = { a = ["{file_nam}"] }', 8, "unknown placeholder {file_nam}", "'file_name'"),
        ('url = "{api}/x"\nresults.id = "a["', 8, "is not a JMESPath expression", ""),
        ('url = "{api}/x"\nresults.id = "a[?lenght(b) > `1`]"', 8, "Unknown function: lenght()", ""),
        ('url = "{api}/x"\nchecks.a = { path = "length(a, b)" }', 8, "Expected 1 argument", ""),
        ('url = "{api}/x"\nresults.size_mm3 = { path = "a", unit = "mn3" }', 8, "'mn3' is not a unit", ""),
        ('url = "{api}/x"\nresults.size_mm3 = { path = "a", unit = "cm2" }', 8, "cm2 is not a unit of volume", ""),
        ('url = "{api}/x"\nresults.id = { path = "a", unit = "cm2" }', 8, "no unit of its own", ""),
        ('url = "{api}/x"\nresults.api = "a"', 8, "this name is taken", ""),
        ('url = "{api}/x"\nmethod = "FETCH"', 8, "found 'FETCH'", ""),
        ('url = "{api}/x"\naccept = []', 8, "at least 1", ""),
        ('url = "{api}/x"\njson = {}\nfile = true', 6, "one body", ""),
        ('url = "{api}/x"\npoll = { deadline_s = 3 }', 8, "pending_statuses or pending", ""),
        ('url = "{api}/x"\npol = { deadline_s = 3 }', 8, "unknown key", "'poll'"),
        ('url = "{api}/x"\nchecks.a = { path = "@", matches = "[" }', 8, "not a regular expression", ""),
    ],
)
def test_a_mistake_in_a_request_names_file_line_and_key(
    tmp_path: Path, body: str, line: int, message: str, remedy: str
) -> None:
    """It is found when the description is read, not in the middle of a run."""
    error = refused(tmp_path, operation(body))
    assert error.where == f"{tmp_path / 'mine.toml'}:{line}"
    assert message in error.what
    assert "operations.upload.requests[0]" in error.what
    assert remedy in error.remedy


def test_an_unknown_operation_suggests_the_nearest(tmp_path: Path) -> None:
    """Operations are the ones that scenarios know."""
    error = refused(tmp_path, operation('url = "{api}"', name="uplaod"))
    assert "operations.uplaod: unknown operation" in error.what
    assert "'upload'" in error.remedy


def test_an_operation_must_say_where_its_results_stand(tmp_path: Path) -> None:
    """An analysis without a volume would prove nothing."""
    error = refused(tmp_path, operation('url = "{api}"\nresults.volume_mm3 = "v"', name="analyse"))
    assert "area_mm2" in str(error)
    assert "bbox_mm or bbox_min_mm and bbox_max_mm" in str(error)


def test_a_file_can_be_sent_only_where_there_is_one(tmp_path: Path) -> None:
    """`price` has no file."""
    body = 'url = "{api}"\nfile = true\nresults = { currency = "a", unit_price = "b", total_price = "c" }'
    assert "no file to send" in refused(tmp_path, operation(body, name="price")).what


def test_results_of_other_operations_are_seen_where_they_can_exist(tmp_path: Path) -> None:
    """A sign-in comes before an upload, an analysis does not."""
    sign_in = '[[operations.sign_in.requests]]\nurl = "{api}"\nresults.token = "t"\n'
    good = operation('url = "{api}"\nheaders = { A = "{sign_in.token}" }') + sign_in
    assert load(tmp_path, good).has("sign_in")
    bad = operation('url = "{api}"\nheaders = { A = "{sign_in.tokn}" }') + sign_in
    assert "'sign_in.token'" in refused(tmp_path, bad).remedy


def test_a_test_payment_needs_permission_to_write(tmp_path: Path) -> None:
    """It makes a quote."""
    assert "allows.writes" in str(refused(tmp_path, MINIMAL + '[allows]\npayment = "test"\n'))


def test_a_value_from_the_environment_has_a_default_or_is_demanded(tmp_path: Path) -> None:
    """The error names the variable."""
    text = MINIMAL + '[values]\na = { env = "A", default = "d" }\nb = { env = "B" }\n'
    assert load(tmp_path, text, B="x").values == {"a": "d", "b": "x"}
    error = refused(tmp_path, text)
    assert "values.b" in error.what
    assert "B" in error.remedy
    assert error.where.endswith(":7")
