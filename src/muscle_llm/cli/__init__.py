"""The command line: parse, call one function, print. Commands are imported only when they run."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Sequence

import click

from muscle_llm import __version__
from muscle_llm.errors import MuscleError

__all__ = ["main"]

# name -> (module, one line for --help). Listing them must not import them: `--help` stays fast.
COMMANDS: dict[str, tuple[str, str]] = {
    "compare": ("muscle_llm.cli.compare", "Show what an update broke, from two files of predictions."),
    "inspect": ("muscle_llm.cli.inspect", "Show what a file or folder of predictions holds."),
    "report": ("muscle_llm.cli.report", "Write the pages and plots of a finished run again."),
    "view": ("muscle_llm.cli.view", "Serve a comparison to the local browser, however large it is."),
    "update": ("muscle_llm.cli.update", "Run a whole update: adapters, predictions, remedies, comparison."),
    "study": (
        "muscle_llm.cli.study",
        "Run a grid of updates, remedies, tasks and seeds: which remedy works?",
    ),
    "demo": ("muscle_llm.cli.demo", "Run a small update offline: what it breaks and what fixes it."),
    "train": ("muscle_llm.cli.train", "Train a task adapter or a compatibility adapter."),
    "teachers": (
        "muscle_llm.cli.teachers",
        "Write or check both teachers' caches ahead of training.",
    ),
    "dial": ("muscle_llm.cli.dial", "Mix the new adapter and the compatibility adapter, exactly."),
    "predict": ("muscle_llm.cli.predict", "Run one model on a task and store its answers."),
    "push": ("muscle_llm.cli.push", "Upload a compatibility adapter and its report to the Hugging Face Hub."),
    "tasks": ("muscle_llm.cli.tasks", "List the available tasks, or show one's prompts."),
    "init": ("muscle_llm.cli.init", "Write a commented starter file: init task, update or policy."),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules that are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of ``cmd_name`` and return its ``command``."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve like click, but name the nearest command when there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from muscle_llm.errors import did_you_mean

            ctx.fail(f"No such command '{args[0]}'. {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="muscle-llm")
def cli() -> None:
    """Show what a language-model update broke, and train the adapter that mends it.

    \b
    Examples:
      muscle-llm compare old.jsonl new.jsonl --html report.html
      muscle-llm demo
      muscle-llm update examples/arc_easy.yaml
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code: 0 done, 2 unusable input, 130 interrupted, 141 when what
    reads standard output has gone.

    Errors of the package become one printed sentence, never a traceback.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        arguments = None if argv is None else list(argv)
        code = cli.main(args=arguments, prog_name="muscle-llm", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        from muscle_llm.cli.options import drop_output

        drop_output()
        return 141
    except MuscleError as error:
        from muscle_llm.text import printable

        click.echo(f"error: {printable(str(error), newlines=True)}", err=True)
        return error.exit_code
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
