"""`mvreg register`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import InputError, OutputError
from ..finding import REGRESSOR_STARTS, STARTS
from ..imaging.body import StructureSource
from ..io.case_file import CaseFile, case_name, refuse_mask_beside_structures
from ..io.files import InputFile, JsonObject, image_sha256, read_json, sha256
from ..io.folders import RESULT, SCHEMA, complete, refuse_other_case
from ..io.result_json import REJECTED, RegistrationExport
from ..io.transforms import AXES, DIRECTIONS, read_start_pose
from ..io.view_record import sha256_of
from .options import (
    CASE_HELP,
    Parser,
    SearchRange,
    add_out,
    add_progress,
    add_refinement,
    add_seed,
    add_structures,
    case_path,
    checked,
    hide_folder,
    out_folder,
    parse_structures,
    progress_of,
    say,
)

if TYPE_CHECKING:  # what takes most of a second to import is imported while the CT is read
    from ..assessment.bodies import JointResult
    from ..geometry.landmarks import LandmarkResidual
    from ..imaging.ct import CT
    from ..io.case import Case
    from ..report.result import Result


#: Options that decide nothing about a result: which cases, where it goes, what is said and drawn.
OTHER_OPTIONS = "cases out resume names override exit_code json log progress run status".split()
#: By the verdict, with --exit-code; 1, 2 and what `main` returns besides mean something else.
EXIT_STATUS = {"accept": 0, "check": 3, "reject": 4, "not assessed": 5}


def add_register(command: Parser) -> None:
    """Add the options of `mvreg register`."""
    command.describe(
        _register,
        "CASE ... [options]",
        "case.json                            # from its start pose, or by a search; into result/ "
        "beside it",
        "case.json --start search --range 18 55 --out out    # within 18 degrees and 55 mm",
        "case.json --start landmarks",
        "case.json --start-pose slicer.tfm --frame lps --direction resampling",
        "case.json --ct-labels bones.seg.nrrd --structures L1 L2    # each with a pose of its own",
        "cases/* --out results --resume      # a folder each, and a table; what is done already stays",
    )
    add = command.add_argument
    add_progress(command)
    add_refinement(command)
    add("cases", type=case_path, nargs="+", metavar="CASE", help=CASE_HELP)
    add(
        "--start",
        choices=STARTS,
        help="given: the case's world_from_ct; search: a range about it; landmarks: the pose that fits the case's landmarks; "
        "regressor: a regressor of this CT, trained first if there is none; auto: a regressor if "
        "there is one, and a search (default: what the case has: its pose, else its landmarks, "
        "else a search)",
    )
    add(
        "--model",
        type=Path,
        metavar="DIR",
        help="folder of the regressor (default: the newest one of this CT)",
    )
    add(
        "--minutes",
        type=float,
        default=2.0,
        help="of training, if --start regressor finds no model (default: %(default)g)",
    )
    add("--range", action=SearchRange, help="range of the search (default: the case's)")
    add(
        "--start-pose",
        type=Path,
        metavar="FILE",
        help="a transform in place of the case's world_from_ct: ITK or Slicer (.tfm, .txt, .h5), or a 4x4 matrix (text, "
        ".npy, .json), with --frame and --direction unless the file defines them",
    )
    add(
        "--frame",
        choices=AXES,
        help="axes of the --start-pose; ITK's and Slicer's own files are lps",
    )
    add(
        "--direction",
        choices=DIRECTIONS,
        help="of the --start-pose. forward: it takes points of the CT to the world; resampling: the inverse, as Slicer "
        "saves transforms",
    )
    add(
        "--ct-landmarks",
        type=Path,
        metavar="FILE",
        help="Slicer's .fcsv or .mrk.json: the CT points of the case's landmarks, by name",
    )
    add_structures(command, "those of the case; all of --ct-labels")
    add(
        "--same-patient",
        action="store_true",
        help="you have checked that CT and X-rays are of one patient, whatever their DICOM headers say; the result says so",
    )
    add_seed(command, "of the search")
    add(
        "--names",
        action="store_true",
        help="name the case and its files in report.html: such names may be a patient's",
    )
    add_out(
        command,
        "folder of result.json, transforms, overlays and report.html (default: result, beside the case); an older "
        "result of this case in it is replaced. Of several cases: a folder of such folders",
    )
    add(
        "--resume",
        action="store_true",
        help="leave out cases whose folder has a whole result of the same files, options and version; then a single case has a "
        "folder in --out, too",
    )
    add(
        "--override",
        action="store_true",
        help="write the transforms of a rejected result, too; every file then says so",
    )
    add(
        "--exit-code",
        action="store_true",
        help=f"exit status by the verdict: {', '.join(f'{status} {verdict}' for verdict, status in EXIT_STATUS.items())}",
    )


def _register(options: argparse.Namespace) -> dict | list[dict]:
    if len(options.cases) > 1 or options.resume:
        return _register_all(options)
    (case,) = options.cases
    content = _register_one(options, case, options.out or _beside(case), "Registering")
    if options.exit_code:
        options.status = EXIT_STATUS[content["verdict"] or "not assessed"]
    return content


def _beside(case: Path) -> Path:
    """Return the folder for the result of a case, if no other is named."""
    return checked(out_folder, (case if case.is_dir() else case.parent) / "result")


def _register_all(options: argparse.Namespace) -> list[dict]:
    """Register one case after another; one that cannot be does not stop the others."""
    rows = []
    for number, (case, out) in enumerate(_folders(options).items(), start=1):
        hide_folder(out, "result")
        row = {"case": str(case), "out": str(out), "problem": ""}
        try:
            title = f"Case {number} of {len(options.cases)}"
            done = _result_of(options, case, out) if options.resume else None
            content = done or _register_one(options, case, out, title)
            row |= {key: content[key] for key in ("verdict", "predicted_tre_mm", "seconds")}
        except InputError as error:
            say(f"mvreg: case {number}: {error}")
            row["problem"] = str(error)
        rows.append(row)
    say(_table(rows))
    if any(row["problem"] for row in rows):
        options.status = 1
    elif options.exit_code:
        verdicts = [row["verdict"] or "not assessed" for row in rows]
        options.status = max(EXIT_STATUS[verdict] for verdict in verdicts)
    return rows


def _folders(options: argparse.Namespace) -> dict[Path, Path]:
    """Return the folder of each case's result.

    Raises
    ------
    InputError
        Two cases would share one.
    """
    if options.out is None:
        folders = {case: _beside(case) for case in options.cases}
    else:
        folders = {case: options.out / case_name(case) for case in options.cases}
    if len(set(folders.values())) < len(options.cases):
        raise InputError(
            "CASE: the results of two cases would lie in one folder, expected one for each; "
            "register them one by one, each with its --out."
        )
    return folders


def _is_whole(path: Path) -> bool:
    """Return whether a result.json can be read, and has all that it must have."""
    try:
        RegistrationExport.read(path)
        fields = JsonObject.read(path)
        fields.section("seconds").number("total", "a number of seconds")
        if fields.value("predicted_tre_mm", "an object or null") is not None:
            fields.section("predicted_tre_mm").number("typical", "a number of mm")
        fields.section("inputs")
    except InputError:
        return False
    return fields.values.keys() >= {*read_json(SCHEMA)["required"]}


def _result_of(options: argparse.Namespace, case: Path, out: Path) -> dict | None:
    """Return the result in a folder if it is whole, and of the same files, options and version.

    If not, say why the case is registered again.
    """
    from ..io.case import hashes

    complete(out)
    if not (out / RESULT).is_file():
        return None
    if not _is_whole(out / RESULT):
        say(f"mvreg: {case}: {out / RESULT} is damaged; the case is registered again.")
        return None
    content = read_json(out / RESULT)
    file = _case_file(options, case)
    inputs = hashes(file)[0] | _further_inputs(options)
    if content.get("digest") != _digest(options, file, inputs, file.first.read):
        say(
            f"mvreg: {case}: the result in {out} is of other files, other options or another "
            "version of the program; the case is registered again."
        )
        return None
    if options.override and "withheld" in content:
        say(f"mvreg: {case}: the transforms were withheld; the case is registered again.")
        return None
    return content


def _digest(
    options: argparse.Namespace,
    file: CaseFile,
    inputs: Mapping[str, str],
    read_ct: Callable[[], CT],
) -> str:
    """Return the SHA-256 of all that decides a result.

    Cameras that a marker's beads give and regressors of the CT are no files of the case.
    """
    chosen = {key: value for key, value in vars(options).items() if key not in OTHER_OPTIONS}
    for key, value in chosen.items():
        if isinstance(value, Path):
            chosen[key] = image_sha256(value)
    weights = []
    if options.start in REGRESSOR_STARTS and options.model is None:
        from ..regressor.model_store import ct_sha256, models_of

        models = models_of(ct_sha256(read_ct()))
        weights = [each.card.weights_sha256 for each in models if each.finished]
    cameras = [view.geometry_json for view in file.views]
    return sha256_of([__version__, chosen, inputs, cameras, weights])


def _table(rows: Sequence[dict]) -> str:
    """Return a line for each case, by its number: its name is often a patient's."""
    lines = ["case  verdict       error mm  seconds"]
    for number, row in enumerate(rows, start=1):
        if row["problem"]:
            lines.append(f"{number:4}  failed        see above")
            continue
        expected = row["predicted_tre_mm"]
        error = f"{expected['typical']:8.2f}" if expected else " " * 8
        verdict = row["verdict"] or "not assessed"
        seconds = row["seconds"]["total"]
        lines.append(f"{number:4}  {verdict:12}  {error}  {seconds:7.1f}")
    return "\n".join(lines)


def _register_one(options: argparse.Namespace, case: Path, out: Path, title: str) -> dict:
    """Register a case, write its files, and return what is in its result.json."""
    file = _case_file(options, case)
    complete(out)
    older = (out / RESULT).is_file()
    damaged = older and options.resume and not _is_whole(out / RESULT)
    if older and not damaged:
        images = [image_sha256(view.image_path) for view in file.views]
        refuse_other_case(out, file.path.name, images)
    with ThreadPoolExecutor(2) as background:
        ct = background.submit(file.first.read)
        from ..api import register
        from ..registration.prepared_ct import PreparedCT
        from ..registration.warm_up import warm_up

        def with_xrays() -> Case:
            read = ct.result()  # first, so that one child process reads the CT and the X-rays
            return _case_to_register(options, file, lambda: read)

        ready = background.submit(with_xrays)
        anatomy = background.submit(lambda: PreparedCT(ct.result()))
        with progress_of(options, title) as line:
            warm_up()
            loaded = ready.result()
            prepared_ct = anatomy.result()
            drrs = list[Any]()
            # It takes a tenth of a second, while kernels find the pose.
            page = background.submit(import_module, "..report.result_page", __package__)
            result = register(
                loaded,
                options.start,
                progress=line,
                anatomy=prepared_ct,
                seed=options.seed,
                refinement=options.refine,
                device=options.device,
                model=options.model,
                minutes=options.minutes,
                unassessed=lambda result: drrs.append(page.result().begin_drrs(result)),
            )
            result = replace(result, digest=_digest(options, file, loaded.inputs, ct.result))
            line.show(1.0, "writing the files")
            override = REJECTED if options.override and result.withheld() else None
            content = dict[str, Any]()
            failure = None
            try:
                content = page.result().save_result(
                    result,
                    out,
                    override,
                    names=options.names,
                    replace=damaged,
                    drrs=drrs[0] if drrs else None,
                )
            except OutputError as error:
                failure = error
    summarise(
        result, title if len(options.cases) > 1 else ""
    )  # also where the disk is full: the work was done
    if failure:
        raise failure
    say_report(out)
    if withheld := content.get("withheld"):
        say(f"  {withheld} --override writes them, and they say so.")
    return content


def _case_file(options: argparse.Namespace, case: Path) -> CaseFile:
    """Read the case.json, with the structures and the start pose of other programs' files if they were named."""
    if not options.start_pose and (options.frame or options.direction):
        raise InputError("--frame, --direction: belong to --start-pose; add it, or leave them out.")
    file = CaseFile.read(case)
    file.same_patient |= options.same_patient
    if options.ct_labels or options.structures:
        file = _with_structures(
            file, options.ct_labels, parse_structures(options.structures or ["all"])
        )
    if options.start_pose:
        file.world_from_ct = read_start_pose(options.start_pose, options.frame, options.direction)
    return file


def _with_structures(
    file: CaseFile, labels: Path | None, chosen: Sequence[StructureSource]
) -> CaseFile:
    """Return the case with these labels in place of its own, and the chosen structures, none for all.

    A name that is given without a label means the case's structure of that name, if its labels are
    not replaced or it has a mask.
    """
    first = file.first
    if first.name and labels is not None:
        raise InputError(
            "--ct-labels: the structures of the case have a CT each, expected one CT; leave it out."
        )
    meant = {each.name.casefold(): each for each in chosen}
    every = [body for body in file.bodies if body.name]
    bodies = [body for body in every if not meant or body.name.casefold() in meant]
    for body in bodies:
        meant.pop(body.name.casefold(), None)
    own = [each for each in first.structures if labels is None or each.label is None]
    for each in own:
        asked = meant.get(each.name.casefold())
        if asked is not None and asked.label is None:
            meant[each.name.casefold()] = each
    structures = [*meant.values()]
    named = first.labels if labels is None else InputFile(str(labels), labels)
    if not (chosen or named):
        structures = own
    if not (bodies or structures or named):
        raise InputError(
            "--structures: the case has no labels, expected them; add --ct-labels FILE."
        )
    if unknown := [each.name for each in structures if not (named or each.mask)]:
        raise InputError(
            f'--structures: found "{unknown[0]}", which is no structure of the case; correct it, or add --ct-labels FILE.'
        )
    if not first.name:
        bodies.insert(0, replace(first, labels=named, structures=tuple(structures)))
        refuse_mask_beside_structures("--structures", bodies[0])
    found = replace(file, bodies=tuple(bodies))
    known = file.structure_truths
    found.structure_truths = {name: known[name] for name in found.bone_names if name in known}
    return found


def _case_to_register(
    options: argparse.Namespace, file: CaseFile, read_ct: Callable[[], CT]
) -> Case:
    """Return the case to register.

    It has the landmarks of another program's file, the SHA-256 of such files among its inputs, and
    the range of --range.
    """
    from ..io.case import Case

    case = Case.of(file, read_ct=read_ct)
    if options.ct_landmarks:
        from ..io.points import with_ct_points

        case.landmarks = with_ct_points(case.landmarks, options.ct_landmarks)
    if options.range:
        case.search = options.range
    case.inputs |= _further_inputs(options)
    return case


def _further_inputs(options: argparse.Namespace) -> dict[str, str]:
    """Return the SHA-256 of other programs' files that no case.json names, by their names."""
    paths = filter(None, (options.start_pose, options.ct_landmarks))
    return {path.name: sha256(path) for path in paths}


def summarise(result: Result, name: str = "") -> None:
    """Print the summary of a registration: the verdict for each use, what limits it, why, and then the rest.

    Parameters
    ----------
    name
        What the registration is called, if it is one of several.
    """
    seconds = result.seconds
    device = result.compute_device.display_name or "the processor"
    errors = result.errors
    alike = zip(result.views, result.refinement.fit.similarity, strict=True)
    similarity = ", ".join(f"{view.name} {ncc:.3f}" for view, ncc in alike)
    lines = _answer_lines(result)
    lines[0] = f"{name}: {lines[0]}" if name else lines[0]
    if errors:
        lines.append(
            f"Against the truth, at {result.error_points}: mTRE {errors.mtre_mm:.3f} mm, "
            f"mRPD {errors.mrpd_mm:.3f} mm."
        )
    if result.regressor:
        lines.append(f"Start: {result.regressor}")
    if result.landmark_fit:
        lines.append(f"landmarks at the start:\n{_landmark_table(result.landmark_fit.residuals)}")
    if result.together.bodies:
        lines += _bone_lines(result.together)
    lines.append(
        f"Similarity (local NCC): {similarity}; registered in "
        f"{seconds['initialise'] + seconds['refine']:.2f} s on {device} "
        f"(loading {seconds['load']:.1f} s)."
    )
    say("\n  ".join(lines))


def _answer_lines(result: Result) -> list[str]:
    """Return the verdict and expected error of each use, the first limiting finding, and the further findings."""
    from ..report.messages import USE_NAMES, describe_use
    from ..report.result_page import sentences_of  # with all that a report needs

    headline, text, *further = sentences_of(result)
    lines = ["Verdict and expected error"]
    if result.assessment is None:
        lines = ["Not assessed"]
    elif result.each_bone_is_accepted:
        lines = ["Verdict on each bone: accept"]
        if relative := result.uses.get("relative"):
            lines.append(f"{USE_NAMES['relative']}: {describe_use(relative)}")
    else:
        lines += [f"{USE_NAMES[use]}: {describe_use(each)}" for use, each in result.uses.items()]
    lines.append(f"{headline} {text}".rstrip())
    return [*lines, "Why:", *(f"  {sentence}" for sentence in further)] if further else lines


def _bone_lines(found: JointResult) -> list[str]:
    """Return a line for each bone, and for each pair that is measured."""
    from ..report.messages import cautions, sentences

    width = max(len(bone.name) for bone in found.bodies)
    lines = ["Bones, against the pose of the whole CT:" if found.bodies[0].moved else "Bones:"]
    for bone in found.bodies:
        by = bone.moved
        moved = f", moved by {by.mm:.1f} mm and {by.degrees:.1f} degrees" if by else ""
        findings = cautions(bone.assessment.findings) if bone.assessment else []
        said = f"{bone.name:{width}}  {bone.verdict}{moved}. {' '.join(sentences(findings))}"
        lines.append(said.rstrip())
    for motion in found.motions:
        how = f"{motion.words}, {motion.mm:.1f} mm ({motion.verdict})"
        lines.append(f"{motion.name} on {motion.against}: {how}")
    for each in found.relative_poses:
        turn, shift = map(", ".join, each.numbers.in_words())
        lines.append(
            f"{each.name} to {each.against}: turned by {turn} degrees, its middle at {shift} mm, "
            f"along the principal axes of {each.against} ({each.verdict})"
        )
    return lines


def say_report(out: Path) -> None:
    """Print where the report of a result lies."""
    say(f"  Report: {out / 'report.html'}")


def _landmark_table(residuals: Sequence[LandmarkResidual]) -> str:
    """Return a line for each landmark and view.

    Its distance at the start, and whether it was used.
    """
    names = max(len(each.name) for each in residuals)
    views = max(len(each.view) for each in residuals)
    return "\n".join(
        f"  {each.name:{names}}  {each.view:{views}}  {each.residual_px:6.1f} px  "
        f"{each.residual_mm:6.2f} mm  {each.status}"
        for each in residuals
    )
