"""Choosing jobs, running them for real at a tiny size, and what is said where a peer is missing."""

import json
import subprocess
from dataclasses import asdict

import numpy as np
import phantom
import pytest
from numpy.testing import assert_allclose
from phantom import write_phantom_case
from refusals import refuses

from benchmarks.speed import nanodrr_peer, program, registration, rendering
from benchmarks.speed.measurement import BenchmarkJob, Measured, Setting, compared
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import Body
from MultiViewRegistrationLib.io.case import Case

CONTRACT = {"name", "unit", "ours", "peer", "peer_name", "ratio", "repeats", "spread"}


@pytest.fixture(scope="module")
def setting():
    """The phantom in place of the chest."""
    ct = phantom.make_ct()
    return Setting(
        Case(
            (Body(ct),),
            phantom.make_views(ct),
            targets=phantom.CORNERS,
            truth_world_from_ct=phantom.TRUE_POSE,
        )
    )


@pytest.fixture
def peers():
    for package in ("torch", "nanodrr", "itk.rtkJosephForwardProjectionImageFilterPython"):
        pytest.importorskip(package, reason='needs the peers: pip install -e ".[bench]"')


def test_the_rows_of_the_contract_are_there_and_jobs_are_chosen_by_part_and_by_row():
    on_processor, on_device = (program.all_jobs(Setting(device=device)) for device in (None, "cpu"))
    for jobs in (on_processor, on_device):
        names = [name for job in jobs for name in job.rows]
        assert {"two-view registration to 1 mm", "two-view registration to 0.1 mm"} <= set(names)
        assert len(set(names)) == len(names)
        for part in program.PARTS:
            assert program.chosen(jobs, part) == [job for job in jobs if job.part == part] != []
    assert {f"image+jacobian {n}x{n}" for n in (64, 128, 200, 512)} <= {
        name for job in on_processor for name in job.rows
    }

    jobs = [
        BenchmarkJob("render", ("image 64x64", "image 64x64, RTK"), 1, None),
        BenchmarkJob("render", ("image 128x128",), 1, None),
        BenchmarkJob("memory", ("peak memory, image 64x64",), 1, None),
    ]
    assert program.chosen(jobs, "") == program.chosen(jobs, "memory,render") == jobs
    assert program.chosen(jobs, " 128x128 , RTK") == jobs[:2]
    with refuses('"radiograph", expected render, registration, growth, memory, search'):
        program.chosen(jobs, "render,radiograph")


@pytest.mark.slow
def test_images_agree_and_rows_are_whole(setting, peers):
    (job,) = rendering.jobs(setting, {16: 1})
    measured = job.run()
    assert [row.name for row in measured.rows] == list(job.rows)
    for row in measured.rows:
        assert row.failed == "" and "images agree" in row.note
        assert (
            row.ratio == pytest.approx(row.peer / row.ours)
            and row.ratio > 0
            and row.repeats == [1, 1]
        )
        assert asdict(row).keys() >= CONTRACT and json.dumps(asdict(row), allow_nan=False)
    assert measured.rows[3].peer == pytest.approx(13 * measured.rows[2].peer)
    assert {points[0][0] for points in measured.curves[rendering.FIGURE].values()} == {256}


@pytest.mark.slow
def test_images_that_differ_are_noticed(setting, peers):
    wrong = Setting(setting.case)
    flipped = type(wrong.volume)(wrong.volume.values[::-1].copy(), wrong.volume.ct_from_index)
    wrong.subject = nanodrr_peer.subject_of(flipped)
    (job,) = rendering.jobs(wrong, {16: 1})
    rows = job.run().rows
    assert "do not agree" in rows[0].failed and "do not agree" in rows[1].failed
    assert rows[2].failed == rows[3].failed == ""


def test_both_step_equally_far_and_derive_the_same(setting, peers):
    """nanodrr's gradient by its 4x4 matrix, carried to our twist, is the sum of our Jacobian over the pixels.

    Over half the image: the sum over all of it hardly changes with the pose.
    """
    camera, pose = setting.camera(64).cropped(0, 0, 30, 64), setting.pose
    samples, ours, theirs = nanodrr_peer.samples_for_step(setting.volume, camera, pose)
    assert (
        theirs == pytest.approx(ours, rel=0.02) and 2.0 <= ours < 2.3
    )  # 2 mm voxels, looked at straight and a little obliquely
    gradient = (
        nanodrr_peer.Renderer(setting.subject, setting.volume, [camera], [pose], 8 * samples)
        .run_backward()
        .numpy()[0]
    )
    by_twist = []
    for twist in 1e-4 * np.eye(6):
        there, back = (
            nanodrr_peer.ras_from_camera(camera, rigid.exp_se3(sign * twist) @ pose)
            for sign in (1, -1)
        )
        by_twist.append(np.sum(gradient * (there - back)) / 2e-4)
    jacobian = setting.projector.render(camera, pose, jacobian=True).jacobian.sum(axis=(1, 2))
    assert_allclose(by_twist, jacobian, rtol=0.02, atol=0.02 * np.abs(jacobian).max())


def test_a_registration_is_there_once_it_stays_there():
    trace = [(1.0, 5.0), (2.0, 0.9), (3.0, 1.5), (4.0, 0.8), (5.0, 0.2)]
    assert registration.time_to_stay_below(trace, 1.0) == 4.0
    assert registration.time_to_stay_below(trace, 0.1) is None
    assert registration.time_to_stay_below(trace, 10.0) == 1.0


@pytest.mark.slow
def test_the_peers_loop_goes_to_the_true_pose(setting, peers):
    """Its pose has to come back from RAS and cameras to our world_from_ct.

    Then the error falls from where it started.
    """
    from MultiViewRegistrationLib.assessment.metrics import mtre

    start = rigid.exp_se3([0.02, -0.03, 0.01, 3.0, 2.0, -2.0]) @ setting.pose
    trace, _ = nanodrr_peer.register(
        setting.subject, setting.volume, setting.case.views, start, 60.0, iterations=4
    )
    errors = [mtre(pose, setting.pose, setting.case.targets) for _, pose in trace]
    assert errors[-1] < 0.8 * mtre(start, setting.pose, setting.case.targets)
    assert [seconds for seconds, _ in trace] == sorted(seconds for seconds, _ in trace)


def test_parts_are_written_one_by_one_and_kept(setting, monkeypatch, tmp_path):
    jobs = [
        BenchmarkJob(
            "render",
            (name,),
            1,
            lambda name=name: Measured([compared(name, "ms", [1.0], [2.0], "peer")]),
        )
        for name in "ab"
    ]
    monkeypatch.setattr(program, "all_jobs", lambda setting: jobs)
    monkeypatch.setattr(nanodrr_peer, "modules", lambda: None)
    page, told = tmp_path / "docs" / "page.md", []
    assert list(program.run(setting, "a", page, lambda *at: told.append(at))) == ["render: a"]
    assert list(program.run(setting, "b", page)) == ["render: b"]
    assert "| a |" in page.read_text() and "| b |" in page.read_text()
    assert told[-1] == (0.0, "a")

    def stopped():
        raise KeyboardInterrupt

    jobs[1] = BenchmarkJob("render", ("b",), 1, stopped)
    before = page.read_text()
    with pytest.raises(KeyboardInterrupt):
        program.run(setting, "b", page)
    assert page.read_text() == before
    assert list(program.run(Setting(setting.case, "cpu"), "a", page)) == ["card: a, on the card"]
    assert "| a, on the card |" in page.read_text() and "| a |" in page.read_text()
    assert sorted(path.name for path in (tmp_path / "docs").rglob("*")) == [
        "page",
        "page.md",
        "results.json",
    ]


def test_on_a_device_both_render_the_same_in_batches(setting, peers, monkeypatch):
    """Ours and nanodrr on the processor in place of a card.

    Nanodrr in bfloat16, too, and what does not compile is told.
    """
    monkeypatch.setattr(nanodrr_peer.modules().torch, "compile", lambda *args, **how: 1 / 0)
    monkeypatch.setattr(rendering, "COMPILED_AT", 16)
    monkeypatch.setattr(rendering, "BATCHES", ((16, 2),))
    monkeypatch.setattr(rendering, "BATCH_REPEATS", 1)
    job = program.all_jobs(Setting(setting.case, "cpu"))[0]
    measured = job.run()
    rows, lines = measured.rows, measured.curves[rendering.FIGURE]
    assert lines["ours, image"] == [[256, rows[0].ours]]
    assert lines["nanodrr, forward + backward"] == [[256, rows[1].peer]]
    assert tuple(row.name for row in rows) == job.rows
    failed = "nanodrr Triton, bf16, torch.compile does not work here (ZeroDivisionError)"
    assert [row.failed for row in rows[4:]] == 2 * [failed]
    for row in rows[:4]:
        assert row.failed == "" and "images agree" in row.note and "a second, the peer" in row.note


@pytest.fixture
def small(monkeypatch):
    for name, value in {
        "PIXELS": 16,
        "VIEW_PIXELS": 12,
        "LEVELS": 2,
        "VIEWS": (1, 2),
        "POSES": (1, 3),
        "REPEATS": 1,
    }.items():
        monkeypatch.setattr(rendering, name, value)


@pytest.mark.parametrize("device, last", [(None, "threads"), ("cpu", "poses")])
def test_growth_is_measured_on_the_processor_and_on_a_device(setting, peers, small, device, last):
    jobs = rendering.growth_jobs(Setting(setting.case, device), last)
    for job, variable in zip(jobs, ["voxels", "views", last], strict=True):
        measured = job.run()
        assert tuple(row.name for row in measured.rows) == job.rows
        assert all(row.failed == "" and row.ratio > 0 for row in measured.rows)
        ((figure, lines),) = measured.curves.items()
        assert figure == rendering.GROWTH[variable] and list(lines) == [
            rendering.OURS_JACOBIAN,
            rendering.BACKWARD,
        ]
        assert [y for _, y in lines[rendering.OURS_JACOBIAN]] == [row.ours for row in measured.rows]
    if device:
        assert [x for x, _ in lines[rendering.BACKWARD]] == [1, 3]


def test_what_a_device_renders_at_once_is_what_the_processor_renders_one_by_one(setting):
    cameras, poses = [setting.camera(16)] * 3, setting.poses(3)
    one_by_one, at_once = (
        np.stack(Setting(setting.case, device).renderer(setting.projector, cameras, poses)(True))
        for device in (None, "cpu")
    )
    assert_allclose(at_once, one_by_one, rtol=0, atol=1e-5 * at_once.max())
    assert not np.allclose(at_once[0], at_once[1])


@pytest.mark.parametrize("device", [None, "cpu"])
@pytest.mark.slow
def test_memory_is_measured_in_a_process_for_each_side(
    setting, peers, tmp_path, monkeypatch, capsys, device
):
    """Done here in place of the processes: what each is asked for, and that it can be done."""

    def done_here(command, **how):
        assert command[1:3] == ["-m", "benchmarks.speed.registration"]
        monkeypatch.setattr(Setting, "starts", lambda self: self.pose[None])
        registration.main(*command[3:])
        told.append(command[3:])
        return subprocess.CompletedProcess(command, 0, capsys.readouterr().out, "")

    told: list[list[str]] = []
    monkeypatch.setattr(registration.subprocess, "run", done_here)
    path = write_phantom_case(tmp_path)
    render_one, render_two, register = registration.memory_jobs(
        Setting(Case.load(path), device), ((16, 1), (16, 2))
    )
    for job in (render_one, render_two, register):
        (row,) = job.run().rows
        assert (row.name,) == job.rows and row.failed == "" and min(row.ours, row.peer) > 50
    asked = [*(["16", count] for count in "12"), ["0", "0"]]
    assert [words[3:] for words in told] == [
        [*words, *filter(None, [device])] for words in asked for _ in range(2)
    ]
