"""`unveil evaluate`: score restored images against their targets, under a named protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from unveil.cli import exit_status, print_failed, say
from unveil.cli.progress import bars
from unveil.errors import InputError
from unveil.util.words import listed


def evaluate(
    *,
    pred: Path,
    target: Path,
    protocol: str = "native",
    metrics: str = "psnr,ssim",
    against: Path | None = None,
    masks: Path | None = None,
    region: str | None = None,
    match: str = "stem",
    pred_suffix: str = "",
    target_suffix: str = "",
    mask_suffix: str = "",
    output: Annotated[tuple[Path, ...], Parameter(name=["--output", "-o"], negative="")] = (),
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    beside: Annotated[str, Parameter(name="--as")] = "",
    worst: int = 10,
    workers: int = 1,
    seed: int = 0,
) -> int:
    """Score restored images against their targets.

    Pairs are found by name, and files without a partner are listed. Sizes that differ are an error, never a resize.
    Prints means with 95 % intervals and the worst images first; the protocol is printed with every number.

    Args:
        pred: Folder (or file) of the images to score.
        target: Folder (or file) of the true images.
        protocol: Name of a protocol (native, istd256, lol-native, tao256-lol, ...), or a JSON file with one.
        metrics: Separated by commas: psnr, psnr_mean_matched, ssim, ms_ssim, mae_lab, ciede2000, naturalness; with the
            extra "iqa" also lpips, dists, niqe, pi, musiq, arniqa, and fid for the folders as wholes.
        against: Folder of a second method, compared with the first image by image.
        masks: Folder of shadow masks (nonzero in the shadow), for --region.
        region: all, shadow or non-shadow. Default: the protocol's.
        match: How files pair: stem (name without extension), name, or order.
        pred_suffix: End of the stems in --pred to leave out when pairing, as _real in a_real.jpg; also in --against.
        target_suffix: The same in --target.
        mask_suffix: The same in --masks.
        output: File to write as well: .csv, .json or .md. May be given several times.
        as_json: Print JSON instead of text.
        beside: Packages, separated by commas, whose numbers for the same metrics are printed beside ours, from the installed version:
            scikit-image, torchmetrics, kornia, piq, pytorch-msssim, sewar, deepinv, opencv.
        worst: How many of the worst images to print.
        workers: Images scored at the same time; the numbers do not depend on it.
        seed: Of the bootstrap that gives the intervals.

    """
    from unveil.data.leaks import cautions
    from unveil.evaluation.evaluate import compare_reports, evaluate_folders
    from unveil.evaluation.metrics import elsewhere
    from unveil.evaluation.protocols import get_protocol
    from unveil.evaluation.reading import find_images
    from unveil.evaluation.report import check_extension, to_json, to_markdown, write

    if worst < 0:
        raise InputError(f"--worst must be at least 0, got {worst}")
    for path in output:
        check_extension(path)
    rules = get_protocol(protocol)
    if region is not None and region != rules.region:
        rules = rules.changed(region=region)
    libraries = listed(beside)
    names = elsewhere.beside(list(dict.fromkeys(listed(metrics))), libraries)
    with bars() as bar:

        def score(folder: Path):  # type: ignore[no-untyped-def]
            task = bar.add_task(folder.name)
            return evaluate_folders(
                folder,
                target,
                protocol=rules,
                metrics=names,
                match=match,  # type: ignore[arg-type]
                prediction_suffix=pred_suffix,
                target_suffix=target_suffix,
                masks=masks,
                mask_suffix=mask_suffix,
                workers=workers,
                seed=seed,
                progress=lambda done, total, _: bar.update(task, completed=done, total=total),
            )

        report = score(pred)
        second = score(against) if against is not None else None
    comparisons = None if second is None or not (report.rows and second.rows) else compare_reports(report, second)
    for name in libraries:
        say(f"{name} is {elsewhere.LIBRARIES[name].version()}; docs/metrics.md says how it differs")
    print(to_json(report, comparisons) if as_json else to_markdown(report, comparisons, worst=worst), end="")
    for path in output:
        write(path, report, comparisons)
    for caution in cautions(find_images(target) if target.is_dir() else [target]):
        say(caution)
    if second is not None:
        scored = {row.key for row in second.rows} | {failure.key for failure in second.failures}
        alone = [str(path) for path in second.predictions_left] + [r.name for r in report.rows if r.key not in scored]
        for name in alone:
            say(f"{name}: without a partner in both folders, so not compared")
    failures = report.failures + (second.failures if second is not None else ())
    for failure in failures:
        print_failed(failure.name, failure.reason)
    return exit_status(len(failures), len(report.rows))
