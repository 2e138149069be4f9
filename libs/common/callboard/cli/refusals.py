"""Why a command line cannot be carried out; `failures` turns it into an exit code."""

from __future__ import annotations


class Refused(Exception):
    """The command cannot do that; the text is for people."""


class WrongUsage(Exception):
    """The command line, or something it points at, is not acceptable."""
