"""Put what MONAI Label needs besides packages into the environment of this Python (see the modules themselves)."""

import shutil
import sysconfig
from pathlib import Path

target = Path(sysconfig.get_paths()["purelib"])
for name in ("torchvision_operators", "pydicom_seg"):
    shutil.copy(Path(__file__).with_name(f"{name}.py"), target)
(target / "torchvision_operators.pth").write_text("import torchvision_operators\n", encoding="utf-8")
