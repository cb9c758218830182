"""The command line: ``napari-pcnet segment | demo | measure | classify | export | weights | doctor ...``.

A surface: it reads arguments and files, calls the library and prints the result. Each command is a
module with its ``HELP``, a line; ``fill(parser)``, which adds its arguments; and the function that runs
it. Modules load what needs torch inside their functions, so that ``--help`` is quick. A mistake of the
user ends with one sentence on stderr and exit status 2.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from napari_pcnet.cli import exits

if TYPE_CHECKING:
    from napari_pcnet.cli.flags import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    try:
        if sys.stdout is None:  # what is opened next would get its number, and what is printed
            return exits.refuse("standard output is closed; send it to a file or to /dev/null")
        with exits.warnings_as_sentences():
            status = _status_of(sys.argv[1:] if arguments is None else list(arguments))
        return exits.end_output() or status
    except KeyboardInterrupt:  # at any time, also while modules are loaded
        return exits.stopped()


def _status_of(words: Sequence[str]) -> int:
    try:
        namespace = parser_for(words).parse(words)
        from napari_pcnet.cli.flags import naming_flags

        with naming_flags():
            status: int = namespace.run(namespace)
    except BrokenPipeError:
        return exits.CLOSED_PIPE
    except ModuleNotFoundError as error:
        return exits.refuse_without(error)
    except exits.REFUSALS as error:
        return exits.refuse(exits.sentence_of(error))
    return status


def parser_for(words: Sequence[str]) -> "Parser":
    """Make the parser of all commands; only the one that `words` begin with has its arguments."""
    from napari_pcnet import __version__
    from napari_pcnet.cli import (
        benchmark,
        classify,
        demo,
        doctor,
        evaluate,
        export,
        measure,
        segment,
        train,
        weights,
    )
    from napari_pcnet.cli.flags import Parser

    parser = Parser(prog="napari-pcnet", description="Superpixels by PCNet, for images of any size.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    chosen = next((word for word in words if not word.startswith("-")), None)
    for module in (segment, demo, measure, classify, export, weights, doctor, train, evaluate, benchmark):
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(name, help=module.HELP)
        if name == chosen:  # the arguments of some need heavy imports
            module.fill(command)
    return parser
