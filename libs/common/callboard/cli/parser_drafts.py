"""The command line of drafts, of publishing, and of layers."""

from __future__ import annotations

from callboard.cli.parsing import REFERENCE, Commands, command, exit_code, group, why


def add_drafts(commands: Commands) -> None:
    """`callboard draft …` and `callboard publish`."""
    _drafts(group(commands, "draft", "edits of a playbook that are not served yet"))
    publish = command(commands, "publish", "drafts:publish", "make the draft of a playbook its next version", org=True)
    publish.add_argument("name", metavar=REFERENCE, nargs="?")
    outdated = "instead of one: all whose layers have changed, but those that are being edited"
    publish.add_argument("--outdated", action="store_true", help=outdated)
    why(publish, required=False)
    publish.add_argument("--dry-run", action="store_true", help="only say what would change, and whom it hurts")
    publish.add_argument("--expect-version", type=int, metavar="N", help="refuse unless N is the current version")
    publish.add_argument("--expect-revision", type=int, metavar="N", help="refuse unless the draft is at revision N")
    publish.add_argument("--accept-drift", action="store_true", help="also show what servers changed since")
    exit_code(publish)


def add_layers(commands: Commands) -> None:
    """`callboard layer …`."""
    layers = group(commands, "layer", "prompts and resources that playbooks get without saying so")
    command(layers, "ls", "layers:list_layers", "list layers, and playbooks that are to be published again", org=True)
    show = command(layers, "show", "layers:show", "show a layer and its history", org=True)
    which = "this version of it (default: the newest)"
    show.add_argument("--version", dest="number", type=int, default=0, metavar="N", help=which)
    publish = command(layers, "publish", "layers:publish", "make the next version of a layer", org=True)
    publish.add_argument("-f", "--file", required=True, metavar="FILE", help="instructions, prompts, resources; YAML")
    why(publish, required=False)
    publish.add_argument("--dry-run", action="store_true", help="only say what would change, and for which playbooks")
    publish.add_argument("--expect-version", type=int, metavar="N", help="refuse unless N is its current version")
    exit_code(publish)
    for parser in (show, publish):
        whose = parser.add_mutually_exclusive_group()
        whose.add_argument("--project", default="", metavar="NAME", help="the layer of this project")
        whose.add_argument("--system", action="store_true", help="the layer of the whole installation")


def _drafts(drafts: Commands) -> None:
    command(drafts, "ls", "drafts:list_drafts", "list drafts", org=True)
    show = command(drafts, "show", "drafts:show", "show a draft, and what it changes", org=True)
    edit = command(drafts, "edit", "drafts:edit", "edit the whole definition, in $VISUAL or $EDITOR", org=True)
    edit.add_argument("-f", "--file", metavar="FILE", help="take this definition instead (YAML; - for stdin)")
    put = command(drafts, "set", "drafts:put", "edit single places of the definition", org=True)
    rebase = command(drafts, "rebase", "drafts:rebase", "take what was published since into the draft", org=True)
    prefer = "which side wins where both changed the same thing (default: refuse)"
    rebase.add_argument("--prefer", choices=("draft", "version"), default="", help=prefer)
    discard = command(drafts, "discard", "drafts:discard", "throw the draft away", org=True)
    for parser in (show, edit, put, rebase, discard):
        parser.add_argument("name", metavar=REFERENCE)
    for parser in (edit, put, rebase, discard):
        why(parser, required=False)
    place = "like servers.git.tools.deny='[git_reset]'; a path that begins with / is parted by / instead of dots"
    put.add_argument("steps", metavar="PATH=VALUE", nargs="*", help=place)
    put.add_argument("--unset", action="append", default=[], metavar="PATH", help="take away what is there; repeat it")
    revision = "refuse unless the draft is at revision N (0: there is none)"
    for parser in (edit, put):
        parser.add_argument("--expect-revision", type=int, metavar="N", help=revision)
