"""DICOM files in transfer syntaxes that only gdcm writes."""

from pathlib import Path

import gdcm


def change_syntax(source: Path, target: Path, name: str) -> Path:
    """Write `source` as `target` in the transfer syntax that gdcm calls `name`."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(source))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return target
