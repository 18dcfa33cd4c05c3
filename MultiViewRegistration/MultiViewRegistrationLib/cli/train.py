"""`mvreg train` and `mvreg models`."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..io.case import Case
from ..io.folders import data_folder
from ..regressor.initialise import card_json
from ..regressor.model_store import all_models, remove_model
from ..training import train
from .options import (
    Parser,
    add_device,
    add_one_case,
    add_out,
    add_progress,
    add_seed,
    progress_of,
    say,
    tell,
)


def add_train(command: Parser) -> None:
    """Add the options of `mvreg train`."""
    command.describe(
        _train,
        "CASE [options]",
        "case.json --minutes 2",
        "case.json --minutes 10 --out model --device auto",
    )
    add = command.add_argument
    add_progress(command)
    add_device(command)
    add_one_case(command, "; only the geometry of its X-rays is used")
    add_out(command, "folder of the model (default: a new one in your store, see mvreg models)")
    add("--minutes", type=float, default=2.0, help="of training (default: %(default)g)")
    add(
        "--steps",
        type=int,
        metavar="N",
        help="in place of minutes: with the same seed, packages and machine the same model again",
    )
    add(
        "--network",
        default="voting",
        metavar="voting|published|NAME",
        help="landmark votes, the papers' with their head as published, or NAME, of an installed package (default: %(default)s)",
    )
    add(
        "--loss",
        default="likelihood",
        metavar="likelihood|diffpose|cui2025|NAME",
        help="the papers', or NAME, which need a network of poses (default: %(default)s)",
    )
    add(
        "--begin-with",
        metavar="MODEL",
        help="folder of a model of another CT of the same region: its weights in place of random ones",
    )
    add_seed(command, "of the random images")
    add("--resume", action="store_true", help="continue the training in --out with its settings")


def add_models(command: Parser) -> None:
    """Add the options of `mvreg models`."""
    command.describe(_models, "[--remove NAME]", "", "--remove NAME    # as listed")
    command.add_argument("--remove", metavar="NAME", help="of a model as listed")


def _train(options: argparse.Namespace) -> dict:
    case = Case.load(options.case)
    case.warn_of_other_bones(
        "the network learns the whole CT; structures are registered from the pose of that."
    )
    with progress_of(options, "Training") as line:
        model = train(
            case,
            options.out,
            minutes=options.minutes,
            steps=options.steps,
            network=options.network,
            loss=options.loss,
            seed=options.seed,
            device=options.device,
            resume=options.resume,
            begin_with=options.begin_with,
            progress=lambda fraction, stage, error_mm: line.show(fraction, stage),
        )
    median, most, within = model.card.expected
    say(
        f"Trained for {model.card.seconds:.0f} s on {model.card.device}; of random "
        f"images half are found within {median:.1f} mm, 95 % within {most:.1f} mm, "
        f"{100 * within:.0f} % within 25 mm.\n  {model.folder}"
    )
    return card_json(model)


def _models(options: argparse.Namespace) -> dict:
    models = all_models()
    if options.remove:
        chosen = [stored for stored in models if stored.name == options.remove]
        if len(chosen) != 1:
            raise InputError(
                f'--remove: found {len(chosen) or "no"} models named "{options.remove}", expected one that mvreg models '
                "lists; correct the name."
            )
        remove_model(chosen[0])
        models.remove(chosen[0])
    count = len(models)
    tell(options, f"{data_folder() / 'models'}: {count or 'no'} model{'s' * (count != 1)}")
    for stored in models:
        card = stored.card
        error = "not trained yet" if card.error_mm is None else f"{card.error_mm:.1f} mm"
        state = "" if stored.finished else f", stopped after {card.done} of {card.steps} steps"
        size = f"{stored.bytes / 1e6:.1f} MB"
        tell(
            options,
            f"  {stored.name}  CT {card.ct_sha256[:8]}  {card.network}, {card.minutes:g} min  "
            f"{error}  {size}{state}",
        )
    return {
        "models": [
            {
                "folder": str(each.folder),
                "name": each.name,
                "ct_sha256": each.card.ct_sha256,
                "finished": each.finished,
                "error_mm": each.card.error_mm,
                "bytes": each.bytes,
            }
            for each in models
        ]
    }
