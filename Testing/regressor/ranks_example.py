"""A training of a few steps as one rank of two goes through it; as a program, the second one: python ranks_example.py FOLDER."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from phantom import make_ct, make_views

from MultiViewRegistrationLib.errors import Cancelled
from MultiViewRegistrationLib.registration.anatomy import Anatomy
from MultiViewRegistrationLib.regressor import ranks, training
from MultiViewRegistrationLib.regressor.poses import PoseRange
from MultiViewRegistrationLib.regressor.training import Plan, Training

STEPS, STOPPED_AT = 4, 3


def begin(folder: Path) -> Training:
    """A training of STEPS steps."""
    ct, cameras = make_ct(), [view.camera for view in make_views(make_ct())]
    poses = PoseRange(
        camera=cameras[0],
        world_from_ct=np.eye(4),
        centroid=ct.centroid(),
        orbital_deg=15,
        tilt_deg=15,
        roll_deg=20,
        columns_mm=15,
        rows_mm=15,
        beam_mm=20,
    )
    begun = Training.begin(ct, cameras, poses, Anatomy(ct).corners(), Plan(), folder)
    begun.card = replace(begun.card, steps=STEPS, every=2)
    return begun


def gradient(begun: Training, averaged: ranks.Averaged | None) -> torch.Tensor:
    """Of its first step, all parameters in a row."""
    begun._learn(begun._network, 0, averaged)
    found = torch.cat([parameter.grad.flatten() for parameter in begun._network.parameters()])
    begun._network.zero_grad()
    return found


def weights(network: torch.nn.Module) -> torch.Tensor:
    """Of a network, its buffers among them, all in a row."""
    return torch.cat([tensor.flatten().double() for tensor in network.state_dict().values()])


def go_through(folder: Path) -> dict[str, torch.Tensor]:
    """The gradient of the first step; a training that the first rank wants to stop and that goes on from its folder; its weights."""
    told = []
    with ranks.joined():
        begun = begin(folder)
        first = gradient(begun, ranks.Averaged(begun._network, begun._criterion))

        def progress(fraction: float, stage: str, error_mm: float | None) -> bool:
            told.append(stage)
            return ranks.rank() > 0 or f"step {STOPPED_AT} of" not in stage

        try:
            begun.run(progress)
        except Cancelled:
            stopped = begun.card.done
        ct = make_ct()
        resumed = Training.resume(folder, ct, [view.camera for view in make_views(ct)], Anatomy(ct).corners())
        model = resumed.run(lambda *_: None)
        errors = [row[2] for row in model.card.validation]
    return {
        "gradient": first,
        "weights": weights(model.network),
        "stopped": torch.tensor(stopped),
        "errors": torch.tensor(errors),
    }


if __name__ == "__main__":
    from safetensors.torch import save_file

    training.VALIDATED, training.LAST_VALIDATED, Training._set_pace = 2, 4, lambda self: None
    save_file(go_through(Path(sys.argv[1])), sys.argv[1] + ".second")
