"""What DC, DSA and DM do with students: ``python students_dsa.py CHECKOUT``, of github.com/VICO-UoE/DatasetCondensation."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import scipy.ndimage
import torch
from student_stand_ins import commit, figure, script, stand_in, state

from made_inputs import student_batches, tiny_student
from published import write_golden


def run(folder: Path, epochs: int) -> dict[str, Any]:
    """A student trained on forty images in one batch, none of them augmented; the rate at which each epoch's step is made."""
    rates: list[float] = []
    with script(folder, []):
        module = importlib.import_module("utils")
        torch.set_num_threads(1)  # a thousand tiny steps
        ((images, classes),) = student_batches(40, 40)
        tested = types.SimpleNamespace(device="cpu", lr_net=0.01, epoch_eval_train=epochs, batch_train=256)
        tested.dsa, tested.dsa_strategy, tested.dsa_param = True, "none", module.ParamDiffAug()
        step = torch.optim.SGD.step

        def watched(self: torch.optim.SGD, *args: Any) -> Any:
            rates.append(self.param_groups[0]["lr"])
            return step(self, *args)

        torch.optim.SGD.step = watched
        loader = torch.utils.data.DataLoader(module.TensorDataset(images, classes), batch_size=256)
        network, _, _ = module.evaluate_synset(0, tiny_student(), images, classes, loader, tested)
        torch.optim.SGD.step = step
    lower = next(epoch for epoch, rate in enumerate(rates) if rate < rates[0])
    return {"epochs": len(rates), "lower": lower, "rates": figure([rates[0], rates[-1]]), "student": state(network)}


if __name__ == "__main__":
    repository = Path(sys.argv[1]).resolve()
    stand_in()
    torch.cuda.device_count = lambda: 0
    sys.modules["scipy.ndimage.interpolation"] = scipy.ndimage  # as it was called
    figures = {"1000": run(repository, 1000), "12": run(repository, 12)}
    del figures["1000"]["student"]  # of a thousand steps, no two libraries agree on all digits
    address = "https://github.com/VICO-UoE/DatasetCondensation"
    write_golden("students_dsa", address, commit(repository), ["utils.py", "main_DM.py"], figures)
