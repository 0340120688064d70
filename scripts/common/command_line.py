"""What our commands share: how a wrong argument ends them."""

import argparse
import sys
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """Ends with status 2 and `error: ...` as the last line; sub-commands do so too."""

    def error(self, message: str) -> NoReturn:
        """Print the usage and the message."""
        self.print_usage(sys.stderr)
        self.exit(2, f"error: {message}\n")
