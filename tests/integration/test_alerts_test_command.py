"""`alerts test`: what each channel makes of a message, said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.app import main
from tests.free_ports import free_port
from tests.message_kit import target


def call(folder: Path, text: str, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The command with settings of its own: the exit code and what was said, on one line."""
    file = folder / "fleet.toml"
    file.write_text(text, encoding="utf-8")
    code = main(["alerts", "test", "--settings", str(file), *words])
    captured = capsys.readouterr()
    return code, " ".join((captured.out + captured.err).split())


def channel(name: str, url: str, kind: str = "webhook") -> str:
    """A channel's settings."""
    return f'[alerts.channels.{name}]\nkind = "{kind}"\nurl = "{url}"\n'


def test_every_channel_is_tried_and_one_that_fails_is_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each says what became of it, without its password; a good one is told although another is dead."""
    with target() as there:
        bad = f"http://ada:pa55word@127.0.0.1:{free_port()}"
        text = channel("good", there.url) + channel("bad", bad)
        code, said = call(tmp_path, text, capsys=capsys)
        assert code == 1
        assert "good (webhook): taken" in said
        assert "bad (webhook): NOT taken: " in said
        assert "pa55word" not in said
        code, said = call(tmp_path, text, "--channel", "good", capsys=capsys)
        assert (code, said) == (0, "good (webhook): taken")
        assert [one.json["facts"] for one in there.taken] == [{"test": "true"}] * 2
        assert len({one.key for one in there.taken}) == 2


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("", (), "the settings name no channel"),
        (
            channel("one", "http://x.example"),
            ("--channel", "two"),
            "no channel is called 'two' where: --channel next: There are: one",
        ),
        (channel("one", "ftp://x.example"), (), "it is no address of the web where: alerts.channels.one"),
        ('[alerts.channels.one]\nkind = "webhook"\n', (), "a channel needs url = its address, or secret"),
        ('[alerts.channels.one]\nkind = "pigeon"\nurl = "x"\n', (), "kind"),
        ('[alerts.channels.one]\nkind = "webhook"\nsecret = "chat"\n', (), "no secret 'chat' is described"),
        (channel("one", "http://x.example"), ("now",), "`alerts test` takes no further word"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_sent(
    tmp_path: Path, text: str, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and words that say where."""
    code, found = call(tmp_path, text, *words, capsys=capsys)
    assert code == 2
    assert said in found
