"""Several methods on the same images, as one page.

    python -m scripts.evaluation.report FOLDER [FOLDER ...] --output DIR

FOLDERs are output folders of evaluations; the first one is the reference that the others are compared with.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.evaluation.report.build import write_report

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; exit status 2 when a folder is no evaluation or they cannot be compared."""
    parser = argparse.ArgumentParser(prog="scripts.evaluation.report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+", help="output folders of evaluations, the reference first")
    parser.add_argument("--output", type=Path, default=Path("runs/report"), help="folder of the report")
    parser.add_argument("--note", default="", help="statement about the data (default: the evaluation's data_note)")
    parser.add_argument("--names", nargs="+", default=(), help="what to call the methods (default: as evaluated)")
    parser.add_argument("--not-run", nargs="+", default=(), help="methods that are missing and why, one text each")
    parser.add_argument("--title", default="", help="heading of the page")
    parser.add_argument("--cases", type=int, default=1, help="best, median and worst images shown, of each")
    args = parser.parse_args(arguments)
    try:
        page = write_report(args.folders, args.output, args.note, args.names, args.not_run, args.title, args.cases)
    except ValueError as error:
        logger.error("%s", error)
        sys.exit(2)
    logger.info("report: %s", page)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    main()
