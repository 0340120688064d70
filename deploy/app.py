"""The bundle as an application of MONAI Deploy: DICOM studies in, results of every mammogram in them out.

    python deploy/app.py --input FOLDER --output FOLDER

MONAI Deploy loads the studies, selects the series of modality MG, and runs the bundle: its configs, network, transforms
and inferer, by the SDK's own bundle operator. Only reading is the bundle's own: the SDK's `DICOMSeriesToVolumeOperator`
makes volumes, and knows neither VOI LUT, nor MONOCHROME1, nor the pixel spacing at the detector.

Results lie in a folder for each image, named by its SOP Instance UID; run_report.json tells of all. The exit status is
1 when one has no result, 3 when a part of one failed.
"""

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import AppContext, Application, IOType
from monai.deploy.operators.dicom_data_loader_operator import DICOMDataLoaderOperator
from monai.deploy.operators.dicom_series_selector_operator import DICOMSeriesSelectorOperator
from monai.deploy.operators.monai_bundle_inference_operator import (
    BundleConfigNames,
    IOMapping,
    MonaiBundleInferenceOperator,
)

BUNDLE = Path(__file__).resolve().parents[1]
MAMMOGRAMS = json.dumps({"selections": [{"name": "mammograms", "conditions": {"Modality": "MG"}}]})
OUTPUTS = ("mask", "picture", "table", "clusters", "findings", "segmentation", "report_sr")
SERIES = "study_selected_series_list"

logger = logging.getLogger(__name__)


class MammogramOperator(MonaiBundleInferenceOperator):
    """Runs the bundle on every image of the selected series, and writes its files."""

    def __init__(self, fragment: Any, *args: Any, app_context: AppContext, output_folder: Path, **kwargs: Any) -> None:
        self.output_folder, self.exit_status = output_folder, 0
        self._item: dict[str, Any] = {}  # of the image in work
        super().__init__(
            fragment,
            *args,
            app_context=app_context,
            input_mapping=[IOMapping(SERIES, list, IOType.IN_MEMORY)],
            output_mapping=[],
            bundle_path=BUNDLE,
            bundle_config_names=BundleConfigNames(config_names=["inference", "deploy"]),
            **kwargs,
        )

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Every image of every selected series; one that fails is recorded."""
        self._init_config(self._bundle_config_names.config_names)  # makes the bundle's code importable, too
        self._init_completed = True
        from scripts.common.outcomes import exit_status
        from scripts.data.lists.folder import describe_failure
        from scripts.outputs.writer import FindingsWriter

        self.parser["output_dir"] = str(self.output_folder)
        report = self.parser.get_parsed_content("run_report")
        writer = FindingsWriter(self.output_folder, OUTPUTS)
        images = [
            instance.get_native_sop_instance()
            for study in op_input.receive(SERIES)
            for selected in study.selected_series
            for instance in selected.series.get_sop_instances()
        ]
        report.start(len(images))
        for image in images:
            state = SimpleNamespace(batch={"image_id": [str(image.SOPInstanceUID)]}, failure=None, output=[])
            self._item = {"image": str(image.filename), "image_id": str(image.SOPInstanceUID)}
            try:
                super().compute(op_input, op_output, context)
                self._item["outputs"] = writer.write(self._item["image_id"], self._item)
                state.output = [self._item]
            except Exception as error:
                state.failure = describe_failure(image.filename, "processing", error)
                writer.fail(str(image.SOPInstanceUID), state.failure)
            report.add(report.entry_of(state))
        report.end()
        self.exit_status = exit_status(entry["status"] for entry in report.images)

    def _receive_input(self, name: str, op_input: Any, context: Any) -> tuple[Any, dict[str, Any]]:
        """The image in work, as the bundle reads it: its `LoadMammogramd` lets it pass."""
        from scripts.transforms import LoadMammogramd

        reading = self.parser.get_parsed_content("reading")
        image = LoadMammogramd(reading=reading)({"image": self._item["image"]})["image"]
        return image.as_tensor(), dict(image.meta)

    def predict(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """Logits; of the masks that preprocessing adds, the inferer wants the breast."""
        return super().predict(data, breast=kwargs["breast"])

    def _send_output(self, value: Any, name: str, metadata: Any, op_output: Any, context: Any) -> None:
        """Nothing: results are files."""

    def post_process(self, data: Any, *args: Any, **kwargs: Any) -> Any:
        """What the bundle's postprocessing makes of the logits."""
        self._item |= super().post_process(data, *args, **kwargs)
        return self._item


class MammogramApp(Application):
    """Loads studies, selects mammograms, finds microcalcifications."""

    operator: MammogramOperator

    def compose(self) -> None:
        """The operators and how they follow each other."""
        context = Application.init_app_context(self.argv)
        given, made = Path(context.input_path).absolute(), Path(context.output_path).absolute()
        loader = DICOMDataLoaderOperator(self, CountCondition(self, 1), input_folder=given, name="loader")
        selector = DICOMSeriesSelectorOperator(self, rules=MAMMOGRAMS, all_matched=True, name="selector")
        self.operator = MammogramOperator(self, app_context=context, output_folder=made, name="bundle")
        self.add_flow(loader, selector, {("dicom_study_list", "dicom_study_list")})
        self.add_flow(selector, self.operator, {(SERIES, SERIES)})


if __name__ == "__main__":
    app = MammogramApp()
    app.run()
    sys.exit(app.operator.exit_status)
