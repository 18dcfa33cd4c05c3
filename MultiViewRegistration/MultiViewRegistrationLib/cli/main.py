"""`mvreg`: the program.

Results go to stdout, messages and progress to stderr. Exit status: 0 done, 2 wrong use or bad input, 1 failed, 130 stopped by Ctrl-C, or
by the end of stdin where another program reads the progress, 141 when nobody reads what it prints.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
import webbrowser
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..errors import InputError
from ..io.transforms import AXES, DIRECTIONS
from ..jobs.progress import stopped_by_end_of_stdin
from ..published.presets import PRESETS
from . import case as case_command
from . import cohort as cohort_command
from . import export, import_dataset
from . import track as track_command
from . import view as view_command
from .working import PREPARING, progress_of

if TYPE_CHECKING:
    from ..io.case import Case


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    warnings.showwarning = _tell_warning
    options = _parser().parse_args(arguments)
    try:
        with stopped_by_end_of_stdin() if options.progress == "json" else nullcontext():
            answer = options.run(options)
        if options.json:
            print(json.dumps(answer, indent=1))
        sys.stdout.flush()
    except InputError as error:
        print(f"mvreg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nmvreg: stopped; no file was left half written.", file=sys.stderr)
        return 130
    except MemoryError:
        print(
            "mvreg: not enough memory; crop the CT to what the X-rays show, or close other programs.", file=sys.stderr
        )
        return 1
    except BrokenPipeError:  # whoever reads it has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python still flushes at its end
        return 141
    except OSError as error:
        print(f"mvreg: {error.filename or 'file'}: {error.strerror or error}.", file=sys.stderr)
        return 1
    return 0


def _tell_warning(message, *_ignored, **_more) -> None:
    print(f"mvreg: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mvreg", description="Registers a CT to two or more X-ray images. For research use only."
    )
    parser.add_argument("--version", action="version", version=f"mvreg {__version__}")
    parser.set_defaults(progress="line")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--json", action="store_true", help="print machine-readable output on stdout, and nothing else there"
    )

    working = argparse.ArgumentParser(add_help=False)
    working.add_argument(
        "--progress",
        choices=["line", "json"],
        default="line",
        help="how to tell it on stderr; json: an object a line, for another program; then the end of stdin stops the work "
        "(default: %(default)s)",
    )

    refining = argparse.ArgumentParser(add_help=False)
    refining.add_argument(
        "--refine",
        choices=["joint", *PRESETS],
        default="joint",
        help="joint: all views together, second order (default); the others: published ones, which need PyTorch",
    )
    refining.add_argument(
        "--device",
        default="cpu",
        metavar="auto|cpu|cuda[:N]",
        help="where it works; auto: a CUDA device where one can be used; a published refinement also on any other of "
        "PyTorch's, such as mps (default: %(default)s)",
    )

    command = commands.add_parser(
        "demo", parents=[common, working], help="register a real CT to X-rays of it, and show how it went"
    )
    command.add_argument(
        "--out", type=Path, default=Path("demo-result"), help="folder of the results (default: %(default)s)"
    )
    command.add_argument("--open", action="store_true", help="open the report in a browser")
    command.set_defaults(run=_demo)

    command = commands.add_parser(
        "register", parents=[common, working, refining], help="register the CT of a case to its X-rays"
    )
    command.add_argument("case", type=Path, help="case.json, or a folder that holds one")
    command.add_argument(
        "--start",
        choices=["given", "search", "landmarks", "regressor", "auto"],
        default="given",
        help="where to start: the case's world_from_ct, a search through a range about it, what its landmarks say, what a "
        "regressor of this CT says (trained first, where there is none), or auto: such a regressor where there is "
        "one, and a search (default: %(default)s)",
    )
    command.add_argument(
        "--model", type=Path, metavar="DIR", help="folder of the regressor (default: the newest one of this CT)"
    )
    command.add_argument(
        "--minutes",
        type=float,
        default=2.0,
        help="of training, where --start regressor finds no model (default: %(default)g)",
    )
    command.add_argument(
        "--range", type=float, nargs=2, metavar=("DEG", "MM"), help="range of the search (default: the case's)"
    )
    command.add_argument(
        "--start-pose",
        type=Path,
        metavar="FILE",
        help="a transform in place of the case's world_from_ct: ITK or Slicer (.tfm, .txt, .h5), or a 4x4 matrix (text, "
        ".npy, .json); what the file does not say itself, --frame and --direction must",
    )
    command.add_argument("--frame", choices=AXES, help="axes of the --start-pose; ITK's and Slicer's own files are lps")
    command.add_argument(
        "--direction",
        choices=DIRECTIONS,
        help="of the --start-pose. forward: it takes points of the CT to the world; resampling: the inverse, as Slicer "
        "saves transforms",
    )
    command.add_argument(
        "--ct-landmarks",
        type=Path,
        metavar="FILE",
        help="Slicer's .fcsv or .mrk.json: places in the CT of the case's landmarks, by their names",
    )
    command.add_argument("--seed", type=int, default=0, help="of the search (default: %(default)s)")
    command.add_argument(
        "--diagnose",
        action="store_true",
        help="look for the likely cause of a poor fit for longer than the registration took, if need be",
    )
    command.add_argument(
        "--out", type=Path, required=True, help="folder of result.json, transforms, overlays and report.html"
    )
    command.set_defaults(run=_register)

    command = commands.add_parser(
        "train", parents=[common, working], help="train a network to find the pose of a case's CT in its views"
    )
    command.add_argument(
        "case", type=Path, help="case.json, or a folder that holds one; of its X-rays only the geometry counts"
    )
    command.add_argument(
        "--out", type=Path, help="folder of the model (default: a new one in your store, see mvreg models)"
    )
    command.add_argument(
        "--minutes", type=float, default=2.0, help="of training, on this machine (default: %(default)g)"
    )
    command.add_argument(
        "--network",
        default="voting",
        metavar="voting|pose",
        help="landmark votes, or the papers' (default: %(default)s)",
    )
    command.add_argument(
        "--loss",
        default="likelihood",
        metavar="likelihood|diffpose|cui2025|...",
        help="the papers' losses need their network (default: %(default)s)",
    )
    command.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: %(default)s)")
    command.add_argument(
        "--poses",
        choices=["range", "diffpose"],
        default="range",
        help="how they are drawn: evenly in the case's training range, or as DiffPose did (default: %(default)s)",
    )
    command.add_argument(
        "--device",
        default="cpu",
        metavar="auto|cpu|cuda[:N]",
        help="where it is trained; auto: on a CUDA device where one can be used (default: %(default)s)",
    )
    command.add_argument("--resume", action="store_true", help="go on with the training in --out, as it was begun")
    command.set_defaults(run=_train)

    command = commands.add_parser(
        "models", parents=[common], help="list the trained models in your store, or remove one"
    )
    command.add_argument("--remove", metavar="NAME", help="of a model as listed")
    command.set_defaults(run=_models)

    command = commands.add_parser("render", parents=[common], help="render the CT as each view of a case sees it (DRR)")
    command.add_argument("case", type=Path, help="case.json, or a folder that holds one")
    command.add_argument(
        "--pose",
        default="start",
        metavar="start|truth|FILE.tfm",
        help="pose of the CT: the case's start or truth, or a transform file (default: %(default)s)",
    )
    command.add_argument(
        "--out", type=Path, required=True, help="folder of NAME_drr.mha (line integrals) and NAME_drr.png"
    )
    command.set_defaults(run=_render)

    track_command.add(commands, common, working)
    case_command.add(commands, common)
    view_command.add(commands, common)
    export.add(commands, common)

    command = commands.add_parser(
        "evaluate", parents=[common, working, refining], help="register many cases from many starts, and tell how well"
    )
    command.add_argument(
        "cases", type=Path, nargs="+", help="case.json files, or folders that hold one; with --protocol, files of CTs"
    )
    command.add_argument(
        "--protocol",
        action="store_true",
        help="instead of cases, simulate thousands of registrations of these CTs (Hounsfield units, head first, supine), "
        "as docs/accuracy.md says; it can be stopped at any time and goes on where it was",
    )
    command.add_argument(
        "--real",
        action="store_true",
        help="of --protocol: the cases are of real X-rays, to which another projection of the bone is added as a truth",
    )
    command.add_argument(
        "--simulator",
        choices=["rtk", "gvxr"],
        default="rtk",
        help="of --protocol: whose X-rays; gVirtualXray, the extra gvxr, knows bodies alone (default: %(default)s)",
    )
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="of --protocol: a small file for each registration, tables and pictures"
    )
    command.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="of --protocol: only the first N registrations, which are spread over all conditions; the page tells of all "
        "that are done (default: all)",
    )
    command.add_argument(
        "--starts", type=int, default=20, metavar="N", help="starts of each case (default: %(default)s)"
    )
    command.add_argument(
        "--reach",
        type=float,
        default=22.0,
        metavar="MM",
        help="with truth: starts have an mTRE from 0 up to this, uniformly (default: %(default)s)",
    )
    command.add_argument(
        "--off",
        type=float,
        nargs=2,
        default=(8.0, 8.0),
        metavar=("DEG", "MM"),
        help="without truth: starts are turned and moved by this from where the case's own start leads (default: 8 8)",
    )
    command.add_argument(
        "--search",
        type=float,
        nargs=2,
        metavar=("DEG", "MM"),
        help="range of a search (default: each case's), and by itself --start search; with truth, centres are spread "
        "evenly about it",
    )
    command.add_argument(
        "--start",
        choices=["given", "search", "regressor", "auto"],
        nargs="+",
        help="where to start, see register --start; several are told side by side "
        "(default: given, or search where there is a --search)",
    )
    command.add_argument(
        "--model", type=Path, metavar="DIR", help="folder of the regressor (default: the newest one of each case's CT)"
    )
    command.add_argument("--seed", type=int, default=0)
    command.add_argument(
        "--page",
        type=Path,
        metavar="FILE.md",
        help="also write the tables as a Markdown page, and pictures in a folder of the same name (default with "
        "--protocol: DIR/protocol.md)",
    )
    command.add_argument("--append", action="store_true", help="add to that page instead of replacing it")
    command.add_argument("--title", help="of that page (default: Accuracy, or Protocol)")
    command.add_argument("--about", default="", metavar="TEXT", help="what the cases are, for that page")
    cohort_command.add_options(command)
    command.set_defaults(run=_evaluate)

    import_dataset.add(commands, common)

    command = commands.add_parser(
        "bench", parents=[common, working], help="measure speed, memory and accuracy beside other programs"
    )
    command.add_argument(
        "--only",
        default="",
        metavar="PART,...",
        help="render, registration, growth, memory, search, or a piece of a row's name (default: all, half an hour)",
    )
    command.add_argument(
        "--device",
        metavar="cuda[:N]",
        help="measure on this CUDA device, beside nanodrr there: rendering in batches, registration, "
        "growth, memory, search (default: everything on the processor)",
    )
    command.add_argument(
        "--page",
        type=Path,
        metavar="FILE.md",
        help="also write a Markdown page with figures; what is not measured again stays as it was",
    )
    command.set_defaults(run=_bench)
    return parser


def _register(options: argparse.Namespace) -> dict:
    from ..api import register

    case = _case_to_register(options)
    if options.range:
        case.search = dict(zip(("rotation_deg", "translation_mm"), options.range, strict=True))
    with progress_of(options, "Registering") as line:
        line.show(0.0, PREPARING)
        result = register(
            case,
            options.start,
            progress=line,
            seed=options.seed,
            refinement=options.refine,
            device=options.device,
            model=options.model,
            minutes=options.minutes,
            diagnose=options.diagnose,
        )
        line.show(1.0, "writing the results")
        result.save(options.out)
    _tell(result, options.out)
    return result.to_json()


def _case_to_register(options: argparse.Namespace) -> Case:
    """The case with what other programs' files say of its start, their SHA-256 among its inputs."""
    from ..io.case import Case
    from ..io.files import sha256
    from ..io.points import with_ct_points
    from ..io.pose_files import read_start_pose

    if not options.start_pose and (options.frame or options.direction):
        raise InputError(
            "--frame, --direction: found without --start-pose, expected them with it alone; add it, or leave them out."
        )
    pose = read_start_pose(options.start_pose, options.frame, options.direction) if options.start_pose else None
    case = Case.load(options.case, world_from_ct=pose)
    if options.ct_landmarks:
        case.landmarks = with_ct_points(case.landmarks, options.ct_landmarks)
    for file in filter(None, (options.start_pose, options.ct_landmarks)):
        case.inputs[file.name] = sha256(file)
    return case


def _tell(result, out: Path) -> None:
    """The few lines that a person wants to read when a registration is done."""
    from .terminal import landmark_table

    seconds, where = (
        result.seconds,
        f" on {result.compute_device.display_name}" if result.compute_device.display_name else "",
    )
    print(
        f"{result.case.name}: registered in {seconds['initialise'] + seconds['refine']:.2f} s{where} (loading {seconds['load']:.1f} s).",
        file=sys.stderr,
    )
    if result.regressor:
        print(f"  start: {result.regressor}", file=sys.stderr)
    if result.landmark_fit:
        print(f"  landmarks at the start:\n{landmark_table(result.landmark_fit.residuals)}", file=sys.stderr)
    for view, similarity in zip(result.case.views, result.refinement.fit.similarity, strict=True):
        print(f"  {view.name}: local NCC {similarity:.3f}", file=sys.stderr)
    for reason in result.reasons:
        print(f"  {reason}", file=sys.stderr)
    errors = result.errors
    if errors:
        print(f"  against the truth: mTRE {errors.mtre_mm:.3f} mm, mRPD {errors.mrpd_mm:.3f} mm", file=sys.stderr)
    if result.predicted_tre_mm:
        mean, upper = result.predicted_tre_mm.values()
        print(
            f"  predicted error at the targets: below {upper:.2f} mm with 95 %, {mean:.2f} mm on average then",
            file=sys.stderr,
        )
    print(f"  verdict: {result.verdict or 'not assessed'}. Look at {out / 'report.html'}", file=sys.stderr)


def _train(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from ..regressor.learning import card_json, train

    case = Case.load(options.case)
    with progress_of(options, "Training") as line:
        line.show(0.0, PREPARING)
        model = train(
            case,
            options.out,
            minutes=options.minutes,
            network=options.network,
            loss=options.loss,
            seed=options.seed,
            poses=options.poses,
            device=options.device,
            resume=options.resume,
            progress=lambda fraction, stage, error_mm: line.show(fraction, stage),
        )
    median, most, within = model.card.expected
    print(
        f"{case.name}: trained for {model.card.seconds:.0f} s on {model.card.device}; of random images half are found within "
        f"{median:.1f} mm, 95 % within {most:.1f} mm, {100 * within:.0f} % within 25 mm.\n  {model.folder}",
        file=sys.stderr,
    )
    return card_json(model)


def _models(options: argparse.Namespace) -> dict:
    from ..regressor.model_store import all_models, data_folder, remove_model

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
    if not options.json:
        print(f"{data_folder() / 'models'}: {len(models) or 'no'} model{'s' * (len(models) != 1)}")
        for stored in models:
            card = stored.card
            error = "nothing learnt yet" if card.error_mm is None else f"{card.error_mm:.1f} mm"
            state = "" if stored.finished else f", stopped after {card.done} of {card.steps} steps"
            size = f"{stored.bytes / 1e6:.1f} MB"
            print(
                f"  {stored.name}  CT {card.ct_sha256[:8]}  {card.network}, {card.minutes:g} min  {error}  {size}{state}"
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


def _render(options: argparse.Namespace) -> dict:
    from ..io.case import Case
    from .render import render_views

    return {"files": [str(path) for path in render_views(Case.load(options.case), options.pose, options.out)]}


def _evaluate(options: argparse.Namespace) -> dict:
    if options.protocol:
        return _protocol(options)
    if options.out or options.limit or options.real or options.simulator != "rtk":
        raise InputError(
            "--out, --limit, --simulator, --real: found without --protocol, expected them with it alone; add it, or leave "
            "them out."
        )
    from ..registration.ranges import Range
    from ..studies.evaluation_page import pages

    starts = options.start or [None]
    evaluate, evaluations = cohort_command.evaluator(options), []
    with progress_of(options, "Evaluating") as line:
        line.show(0.0, PREPARING)
        for done, start in enumerate(starts):

            def show(fraction: float, stage: str, done: int = done) -> None:
                line.show((done + fraction) / len(starts), stage)

            evaluations.append(
                evaluate(
                    options.cases,
                    starts=options.starts,
                    reach_mm=options.reach,
                    off=tuple(options.off),
                    seed=options.seed,
                    progress=show,
                    refinement=options.refine,
                    device=options.device,
                    search=Range(*options.search) if options.search else None,
                    start=start,
                    model=options.model,
                )
            )
    folder = (options.page or Path("pictures")).with_suffix("")
    text = pages(evaluations, options.about, options.title or "Accuracy", folder.name)
    if options.page:
        pictures = {name: picture for evaluation in evaluations for name, picture in evaluation.pictures.items()}
        _write_page(options.page, text, pictures, options.append)
    if not options.json:
        print(text)
    told = [evaluation.to_json() for evaluation in evaluations]
    return told[0] if len(told) == 1 else {"evaluations": told}


def _protocol(options: argparse.Namespace) -> dict:
    from ..studies.protocol.page import page
    from ..studies.protocol.run import run, run_real

    if options.out is None:
        raise InputError("--out: found none, expected the folder in which --protocol keeps what it does; add it.")
    if options.start or options.search or options.refine != "joint" or options.device != "cpu" or options.scheduler:
        raise InputError(
            "--start, --search, --refine, --device, --scheduler: found with --protocol, which registers here and from given "
            "starts, as mvreg register does; leave them out."
        )
    if options.real and options.simulator != "rtk":
        raise InputError("--simulator: found with --real, whose X-rays are real; leave out one of the two.")
    execute = run_real if options.real else partial(run, simulator=options.simulator)
    with progress_of(options, "Protocol") as line:
        line.show(0.0, PREPARING)
        done = execute(options.cases, options.out, seed=options.seed, limit=options.limit, progress=line.show)
    file = options.page or options.out / "protocol.md"
    text, pictures = page(done, options.about, options.title or "Protocol", file.with_suffix("").name)
    _write_page(file, text, pictures, options.append)
    if not options.json:
        print(text)
    return {"done": len(done.rows), "planned": done.planned, "page": str(file)}


def _write_page(page: Path, text: str, pictures: dict[str, bytes], append: bool) -> None:
    """The pictures first, in a folder of the page's name."""
    from ..io.files import write_atomically

    for name, picture in pictures.items():
        page.with_suffix("").mkdir(parents=True, exist_ok=True)
        write_atomically(page.with_suffix("") / name, picture)
    before = page.read_text(encoding="utf-8") + "\n" if append and page.exists() else ""
    write_atomically(page, before + text)


def _bench(options: argparse.Namespace) -> dict:
    from ..bench.machine import machine
    from ..bench.program import run
    from ..bench.rows import terminal
    from ..bench.setting import Setting
    from ..rendering.devices import cuda_device

    device = None if options.device is None else cuda_device(options.device)
    with progress_of(options, "Measuring") as line:
        results = run(Setting(device=device), options.only, options.page, tell=line.show)
    rows = [row for record in results.values() for row in record.rows]
    if not options.json:
        print(terminal(rows))
    return {"machine": machine(device), "rows": [asdict(row) for row in rows]}


def _demo(options: argparse.Namespace) -> dict:
    from .demo import demo

    with progress_of(options, "Demo") as line:
        results = demo(options.out, tell=line.show)
    for result in results:
        _tell(result, options.out)
    if options.open:
        webbrowser.open((options.out / "report.html").resolve().as_uri())
    return {"report": str(options.out / "report.html"), "results": [result.to_json() for result in results]}


if __name__ == "__main__":
    sys.exit(main())
