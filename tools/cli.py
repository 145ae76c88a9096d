"""The study's one command: ``side-effects run``, ``list``, ``compare``, ``ask`` and the others.

A command is a function that reads arguments and hands over. What it needs is imported inside it,
so that ``--help`` answers at once. What a person can mend is one paragraph on stderr.
"""

import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from lib.errors import NotebookFailedError, StudyError, require

EXAMPLES = """\b
Examples, also with ./run_all.sh, which first sets up what is missing:
  side-effects run                                  the default profile, sandbox
  side-effects run --profile smoke                  a quick check that everything runs
  side-effects run --only 03                        one notebook (--only 01,03 for two)
  side-effects run --from 02                        notebook 02 and all after it
  side-effects run -p finetune.rank=8 -p seed=7     other settings; names as in
                                                    profiles/sandbox.yaml
  side-effects run --fresh                          delete this profile's results, start over

A run that was stopped, by whatever cause, continues where it stopped: run the same command again.
Results are in runs/<profile>/. Exit codes: 0 all done, 1 a notebook failed, 2 wrong input or an
environment that does not fit, 130 stopped by Ctrl-C."""

ASKED = """\b
Examples:
  side-effects ask models/base
  side-effects ask models/base models/tuned --out runs/chat
  side-effects ask models/base models/tuned --set hex_phi   (gated, see DEBIAS_GATED)
  side-effects ask models/base --most 3 --tokens 32         (a quick look)

A model is a folder of safetensors, or an adapter's folder. Without a chat template it is asked in
a plain transcript; where it could think first, that is turned off. No request and no answer is
printed or written. Exit codes: 0 written, 2 wrong input or a disk that refuses, 130 stopped by
Ctrl-C."""

GATED = """\b
Examples:
  side-effects gate models/base models/tuned
  side-effects gate models/base models/tuned --quick             (two minutes for 135 M parameters)
  side-effects gate models/base seed1 seed2 seed3 --out card     (seeds of one recipe)
  side-effects gate models/base models/tuned --requests policy.yml --budget budget.yml
  side-effects gate owner/base owner/tuned --axes safety --axes utility

A model is a folder of safetensors, an adapter's folder, a name of side-effects model list, or a hub
id. policy.yml lists requests under forbidden: and harmless:. The default budget, with reasons, is
data/budget.yml. Written are gate.json, card.html, a section for a model card and paired records;
never a request or an answer. Measured items are kept: a gate that was stopped goes on.
Exit codes: 0 pass, 1 fail, 2 not enough evidence, 3 an error, 130 stopped by Ctrl-C."""

EXPORTED = """\b
Examples:
  side-effects instructions --out rational_forecasts
  side-effects instructions --profile reference --seed 7 --out more_forecasts
  side-effects instructions --label bayes -p forecasting.history=24 --out bayes_forecasts

Then, anywhere: datasets.load_from_disk("rational_forecasts"), or read its jsonl/*.jsonl."""


class Paragraphs(TyperGroup):
    """Commands whose errors are the user's to mend, and shown so."""

    def invoke(self, ctx: Any) -> Any:
        """Exit code 1 where a notebook failed, 2 for wrong input, 130 for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except StudyError as error:
            typer.echo(f"\n{error}", err=True)
            raise typer.Exit(1 if isinstance(error, NotebookFailedError) else 2) from None
        except KeyboardInterrupt:
            typer.echo("\nStopped. Run the same command again to continue: what is finished is "
                       "kept.", err=True)
            raise typer.Exit(130) from None


class Verdicts(TyperCommand):
    """A command whose exit codes 1 and 2 are verdicts: a call that is wrong ends with 3."""

    def make_context(self, *given: Any, **more: Any) -> Any:
        """As always, but for the exit code of a wrong call."""
        try:
            return super().make_context(*given, **more)
        except Exception as error:
            if getattr(error, "exit_code", None) == 2:  # click's, for a wrong call
                error.exit_code = 3
            raise


app = typer.Typer(
    cls=Paragraphs, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="What fine-tuning a language model fixes, and what it breaks: run the study, compare it, "
         "ask models of your own.",
)

ProfileName = Annotated[
    str, typer.Option("--profile", metavar="NAME", help="settings: a file in profiles/, or a path")
]
Parameters = Annotated[
    list[str] | None, typer.Option("-p", "--parameter", metavar="NAME=VALUE",
                                   help="change one setting of the profile; may be repeated")
]


@app.command(epilog=EXAMPLES)
def run(
    profile: ProfileName = "sandbox",
    only: Annotated[list[str] | None, typer.Option(
        metavar="NN", help="run only this notebook; may be repeated")] = None,
    start: Annotated[str | None, typer.Option(
        "--from", metavar="NN", help="run this notebook and later ones")] = None,
    parameter: Parameters = None,
    scheduler: Annotated[str | None, typer.Option(
        metavar="ADDRESS", help="a Dask scheduler; its workers train and measure")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="delete earlier results first")] = False,
    verify: Annotated[bool, typer.Option(
        "--verify", help="read all bytes of stored artefacts, not only sizes and times")] = False,
    listed: Annotated[bool, typer.Option(
        "--list", help="show profiles and notebooks, and end")] = False,
) -> None:
    """Run the study's notebooks in order; skip what is done."""
    import os

    from tools.run import run as runner

    require(not only or start is None, "either --only or --from", "both", "leave one out")
    if verify:
        os.environ["STUDY_VERIFY"] = "1"
    if scheduler:
        os.environ["STUDY_SCHEDULER"] = scheduler
    if listed:
        list_(profile)
    else:
        runner.run(runner.request(profile, parameter or [], only, start, fresh))


@app.command("list")
def list_(profile: ProfileName = "sandbox") -> None:
    """Show profiles and notebooks.

    How long each notebook took last, and why it would run again."""
    from tools.run.listing import listing

    typer.echo(listing(profile))


Runs = Annotated[list[Path] | None, typer.Argument(
    metavar="[RUN_FOLDER]...", help="such as runs/sandbox")]


@app.command()
def compare(
    found: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="a run's folder (default: runs/sandbox)")] = None,
    committed: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="exhibits of the reference (default: figures)")] = None,
    tolerances: Annotated[Path | None, typer.Option(
        metavar="FILE", help="how far cells may differ (default: data/tolerances.yml)")] = None,
    notebooks: Annotated[str, typer.Option(
        metavar="NN,NN", help="only the exhibits and claims of these notebooks")] = "",
) -> None:
    """Compare a run with the committed reference: its cells and its conclusions.

    Runs of the same base, arm and seed must agree within measured tolerances, and no claim may be
    decided the other way round: exit code 1 if anything differs."""
    from tools.reference import report

    text, same = report(found, committed, tolerances, notebooks)
    typer.echo(text)
    raise typer.Exit(int(not same))


@app.command("claims")
def claims_(runs: Runs = None) -> None:
    """Show what every claim of the book comes to, in the reference and in other runs.

    Whatever the seed and the settings of those runs are."""
    from tools.reference import listing

    typer.echo(listing(runs or []))


@app.command()
def tolerances(runs: Runs = None) -> None:
    """Measure how far other arithmetic moves a run's cells; writes data/tolerances.yml.

    The first folder is held against the others, which are reruns of the same profile with, say,
    ATEN_CPU_CAPABILITY=default or avx2, MKL_CBWR=COMPATIBLE, one thread or two, another processor.
    """
    from tools.tolerances import write_tolerances

    typer.echo(write_tolerances(runs or []))


Base = Annotated[Path, typer.Argument(metavar="BASE", help="folder of the model of comparison")]
Tuned = Annotated[list[Path] | None, typer.Argument(
    metavar="[TUNED]...", help="folders of tuned models, or of adapters on BASE")]
Most = Annotated[int | None, typer.Option(
    metavar="N", min=1, help="a quick look: the first N only (default: all)")]


@app.command(epilog=ASKED)
def ask(
    base: Base,
    tuned: Tuned = None,
    benchmark: Annotated[str, typer.Option(
        "--set", metavar="NAME", help="xstest, or a gated set in the folder DEBIAS_GATED names",
    )] = "xstest",
    judge: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="chat model that reads the answers (default: BASE)")] = None,
    tokens: Annotated[int, typer.Option(metavar="N", min=1, help="longest answer")] = 64,
    most: Most = None,
    dtype: Annotated[str, typer.Option(
        metavar="TYPE", help="float32, bfloat16 or float16")] = "float32",
    out: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="where to write (default: chat/NAME of the set among the runs)",
    )] = None,
) -> None:
    """Ask chat models of your own, and compare their refusals.

    Refusals, needless refusals and compliance on XSTest or a gated set, by a keyword list and by an
    audited judge; changes are paired with BASE."""
    from tools.ask import ask

    ask(base, tuned or [], set=benchmark, out=out, most=most, tokens=tokens, judge=judge,
        dtype=dtype)


@app.command(cls=Verdicts, epilog=GATED)
def gate(
    base: Annotated[str, typer.Argument(metavar="BASE", help="the model before tuning")],
    tuned: Annotated[list[str], typer.Argument(
        metavar="TUNED...", help="tuned models: several are training seeds of one recipe")],
    axes: Annotated[list[str] | None, typer.Option(
        "--axes", metavar="NAME", help="only this axis of the budget; may be repeated or have "
        "commas (default: all)")] = None,
    budget: Annotated[Path | None, typer.Option(
        metavar="FILE", help="what may be lost (default: data/budget.yml)")] = None,
    requests: Annotated[str | None, typer.Option(
        metavar="FILE", help="a policy of your own: YAML with forbidden: and harmless:; or the "
        "name of a set, such as xstest")] = None,
    quick: Annotated[bool, typer.Option(
        "--quick", help="few items: finds what is loud, and says what it cannot decide")] = False,
    dtype: Annotated[str, typer.Option(
        metavar="TYPE", help="float32, bfloat16 or float16")] = "float32",
    out: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="where to write (default: gate/TUNED among the runs)")] = None,
) -> None:
    """Decide whether a fine-tune may be released: what it cost, against a budget.

    Base and tuned models are asked the same items on every axis. Each line of the budget is decided
    by a one-sided test: pass, fail, or not enough evidence, with the items that would be needed."""
    wanted = [name.strip() for several in axes or [] for name in several.split(",")]
    try:
        from tools.gate.gate import gate

        code = gate([base, *tuned], axes=wanted, budget=budget, requests=requests, out=out,
                    quick=quick, dtype=dtype)
    except StudyError as error:  # 1 and 2 are verdicts here
        typer.echo(f"\n{error}", err=True)
        raise typer.Exit(3) from None
    except (Exception, SystemExit):  # Python's own exit code would be that of a fail
        traceback.print_exc()
        raise typer.Exit(3) from None
    raise typer.Exit(code)


@app.command()
def bench(
    base: Base,
    tuned: Tuned = None,
    names: Annotated[list[str] | None, typer.Option(
        "--benchmark", metavar="NAME",
        help="only this one, such as stereoset; may be repeated (default: all but toxigen, a gated "
        "set in the folder DEBIAS_GATED names)")] = None,
    most: Most = None,
    out: Annotated[Path | None, typer.Option(
        metavar="FOLDER", help="where to write (default: bench among the runs)")] = None,
) -> None:
    """Measure public benchmarks of a model, and what tuning changed.

    A gated one is asked by its name alone; none of its texts is printed or written."""
    from lib.study.paths import runs_dir
    from tools.bench import bench

    bench(base, tuned or [], names or [], out or runs_dir() / "bench", most)


@app.command(epilog=EXPORTED)
def instructions(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="a new or empty folder to write")],
    profile: ProfileName = "sandbox",
    seed: Annotated[int | None, typer.Option(metavar="N", help="default: the profile's")] = None,
    label: Annotated[str, typer.Option(
        metavar="TYPE", help="whose forecast is the answer: full_information, bayes, least_squares",
    )] = "full_information",
    parameter: Parameters = None,
) -> None:
    """Export instruction sets of rational forecasts.

    A Hugging Face datasets folder, JSONL and a data card."""
    from lib.forecasting.instructions.export import export
    from lib.study.profiles import load_profile, parse_overrides

    given = [*(parameter or []), *([] if seed is None else [f"seed={seed}"])]
    typer.echo(export(load_profile(profile, parse_overrides(given)), out, label=label))


@app.command()
def bases(
    numbers: Annotated[list[int] | None, typer.Argument(
        metavar="[NUMBER]...", help="only these bases (default: all)")] = None,
    retrain: Annotated[bool, typer.Option(
        "--retrain", help="train them here and put them in their place")] = False,
    check: Annotated[int | None, typer.Option(
        metavar="NUMBER", help="train this base here and compare it with all")] = None,
    judge: Annotated[bool, typer.Option(
        "--judge", help="train the judge of notebook 07 here and put it in its place")] = False,
) -> None:
    """Show the shipped base models.

    Whether each fits the code and the world's text, and what it shows. With --check, train one
    here and hold it against them: exit code 1 if it misses a target."""
    from tools import bases

    if check is not None:
        require(not (numbers or retrain or judge), "--check alone", "more", "leave the rest out")
        text, met = bases.check(check)
        typer.echo(text)
        raise typer.Exit(int(not met))
    if judge:
        bases.retrain_judge()
    if retrain:
        bases.retrain(numbers or [])
    typer.echo(bases.listing(numbers or []))


models = typer.Typer(help="Public models: list them, fetch one.", no_args_is_help=True)
app.add_typer(models, name="model")


@models.command("list")
def model_list() -> None:
    """Show the public models that can be fetched.

    Their rights, and which are on this machine."""
    from tools.models import listing

    typer.echo(listing())


@models.command("fetch")
def model_fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="as side-effects model list says")],
) -> None:
    """Fetch a public model once, and print its folder.

    It is kept outside the repository: in STUDY_MODELS, else in the user's cache. Its bytes are
    checked; where it comes packed it is converted to safetensors. The folder is an ordinary model
    folder: side-effects ask and bench take it."""
    from tools.models import fetch_named

    typer.echo(fetch_named(name))


@app.command()
def guards(
    profile: Annotated[str, typer.Option(
        metavar="NAME", help="a profile on a public model")] = "real",
    again: Annotated[bool, typer.Option(
        "--again", help="ask them on this machine, and the model without a guard")] = False,
    teach: Annotated[int | None, typer.Option(
        metavar="N", min=0, help="teach this guard anew, in place of what is there")] = None,
) -> None:
    """Show what the guards of a real chat model refuse, or teach one.

    A small chat model refuses little, so there is little to break. A guard is an adapter that does
    not talk about animals; guards differ in what was drawn for their training. Shown are shares
    refused: animals and phrasings of no training, other things, things that bear an animal's name.
    To teach one takes twelve minutes on one core."""
    from tools.guards import shown, taught

    typer.echo(shown(profile, again) if teach is None else taught(profile, teach))


@app.command()
def data() -> None:
    """Print the tables of data/README.md.

    Public datasets, their rights, sources and checksums."""
    from tools.datasets import dataset_tables

    typer.echo(dataset_tables())


@app.command()
def readme(
    check: Annotated[bool, typer.Option(
        "--check", help="write nothing; exit code 1 if it is out of date")] = False,
    manifest: Annotated[Path | None, typer.Option(
        metavar="FILE", help="first make figures/run.json of this manifest")] = None,
) -> None:
    """Write the README's generated blocks anew."""
    from tools.readme import refresh

    require(not (check and manifest), "either --check or --manifest", "both", "leave one out")
    difference = refresh(manifest, write=not check)
    if check:
        typer.echo(difference or "README.md is up to date")
    raise typer.Exit(int(check and bool(difference)))


@app.command()
def publish(
    executed: Annotated[list[Path], typer.Argument(
        metavar="NOTEBOOK...", help="executed notebooks, such as runs/reference/*.ipynb")],
) -> None:
    """Put outputs of executed notebooks into the committed ones.

    Of a run of the profile reference also figures, tables and run tables, into figures/; of the
    profile real these alone, into figures/real/."""
    from lib.study import paths
    from tools.publish import is_of_real, publish, publish_exhibits

    for path in executed:
        if not is_of_real(path):
            publish(path, paths.NOTEBOOKS / path.name)
        count = publish_exhibits(path, paths.FIGURES)
        files = "exhibits stay, as this is no run of the reference" if count is None else (
            f"{count} files of its exhibits")
        typer.echo(f"{path.name}: {'no outputs' if is_of_real(path) else 'outputs'}; {files}")


@app.command()
def handout(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="a new or empty folder to write")],
) -> None:
    """Write the notebooks without solutions and outputs, for a class."""
    from lib.study import paths
    from tools.handout import handout

    typer.echo(f"{handout(paths.NOTEBOOKS, out)} notebooks without solutions: {out}")
