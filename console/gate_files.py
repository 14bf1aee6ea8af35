"""Writes a gate's report in every format that was asked for: whole files or none. Called by `console.smoke_command`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from console.arguments import Arguments
from console.atomic_file import write_atomically
from console.gate_html import render_gate_html
from console.gate_json import render_gate_json
from console.gate_junit import render_gate_junit
from console.gate_markdown import render_gate_markdown
from console.gate_options import GateOptions
from console.gate_story import GateStory

__all__ = ["write_files"]


def write_files(story: GateStory, arguments: Arguments, options: GateOptions, *, generated_at: datetime) -> None:
    """JSON (- is stdout), JUnit, HTML, Markdown. Raises DependencyError when the disk refuses."""
    if arguments.json_file:
        document = render_gate_json(story, generated_at=generated_at)
        if arguments.json_to_stdout:
            sys.stdout.buffer.write(document)
            sys.stdout.buffer.flush()
        else:
            write_atomically(Path(arguments.json_file), document)
    if arguments.junit_file is not None:
        write_atomically(arguments.junit_file, render_gate_junit(story))
    if options.html_file is not None:
        write_atomically(options.html_file, render_gate_html(story))
    if options.markdown_file is not None:
        write_atomically(options.markdown_file, render_gate_markdown(story))
