"""``python -m napari_pcnet.cli`` is the command ``napari-pcnet``."""

import sys

from napari_pcnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
