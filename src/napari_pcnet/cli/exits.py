"""Exit statuses of commands, as shells have them, and errors as one sentence on stderr."""

import sys

FAILED = 1
USER_ERROR = 2
INTERRUPTED = 130
CLOSED_PIPE = 141

EXTRAS = {
    "cv2": "benchmark",
    "matplotlib": "train,benchmark",
    "pysnic": "benchmark",
    "tensorboard": "train",
}
"""Modules that only some commands need, and the extra that installs each."""


def refuse(message: str) -> int:
    """Print what a user got wrong, in one line; return the exit status for it."""
    print(f"napari-pcnet: {' '.join(message.split())}", file=sys.stderr)
    return USER_ERROR


def refuse_without(module: ModuleNotFoundError) -> int:
    """Refuse a command whose extra is not installed; any other missing module is raised again."""
    name = (module.name or "").partition(".")[0]
    if name not in EXTRAS:
        raise module
    return refuse(f"{module.name} is not installed; pip install 'napari-pcnet[{EXTRAS[name]}]'")
