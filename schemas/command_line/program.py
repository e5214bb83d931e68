"""A program and its commands: help with examples first, one line for what was typed wrong, versions and completion.

Owns the look of the help and of usage errors, on click, which parses and completes. A command is built when it is
asked for, so `--help` of the program loads none. Never knows what a command does: it is given a function.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import TextIOWrapper
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, shell_complete
from typing_extensions import override

from schemas import __version__
from schemas.command_line.options import OWN, OneOf, Option, Words, given
from schemas.command_line.page import Page, write_end, write_page, write_setting
from schemas.command_line.spelling import did_you_mean
from schemas.command_line.usage import line_of

USAGE: Final = 2
_SHELLS: Final = ("bash", "zsh", "fish")
_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 80}


class _Paged(click.Command):
    """What has a page of help, a program and a command alike."""

    page: Page

    @override
    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_page(formatter, self.page)

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_end(formatter, self.page)

    @override
    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.help = "print this help and exit"
        return option


class Command(_Paged):
    """A command of a program, or a program that has no others.

    Args:
        name: what is typed.
        page: what its help says.
        run: does the work: gets the command's own flags by name and the settings that were given as flags, and returns
            the exit code.
        own: the command's own flags.
        words: what is typed without a flag.
        settings: makes the flags that are settings; asked when the command is used.
    """

    def __init__(
        self,
        name: str,
        page: Page,
        run: Callable[[dict[str, Any], dict[str, Any]], int],
        own: Sequence[Option] = (),
        words: Words | None = None,
        settings: Callable[[], Iterable[Option]] = tuple,
    ) -> None:
        super().__init__(name, context_settings=_CONTEXT, params=[*own])
        self.page = page
        self.run = run
        self.words = words
        self._settings: Callable[[], Iterable[Option]] | None = settings

    @override
    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if self._settings is not None:
            settings, self._settings = self._settings(), None
            self.params += settings
            if self.words is not None:
                option = next(param for param in self.params if self.words.flag in param.opts)
                self.params.append(
                    click.Argument(
                        ["without_flag"],
                        metavar=self.words.metavar,
                        nargs=-1 if self.words.several else 1,
                        required=False,
                        type=option.type,
                        shell_complete=option._custom_shell_complete,
                    )
                )
            if not any("--version" in param.opts for param in self.params):
                self.params.append(_version_option())
        return super().get_params(ctx)

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            left = super().parse_args(ctx, args)
        except click.UsageError as error:  # click's parser does not say which command's flag it is
            error.ctx = error.ctx or ctx
            raise
        if self.words is not None and not ctx.resilient_parsing:
            _merge(ctx, self.words, self.page)
        return left

    @override
    def invoke(self, ctx: click.Context) -> int:
        return self.run(*self.given(ctx))

    def given(self, ctx: click.Context) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the command's own flags by name, and the settings that were given as flags."""
        options = {param.name: param for param in self.params if isinstance(param, Option)}
        settings = {
            name: value
            for name, option in options.items()
            if name is not None and option.setting and (value := given(option, ctx.params.get(name))) is not None
        }
        own = {name: value for name, value in ctx.params.items() if name in options and not options[name].setting}
        return own, settings

    @override
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        words = self.words
        pieces = [f"{words.metavar}..." if words.several else words.metavar] if words else []
        return [*(pieces if words and words.required else [f"[{piece}]" for piece in pieces]), "[OPTIONS]"]

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        params = [param for param in self.get_params(ctx) if isinstance(param, click.Option) and not param.hidden]
        with formatter.section(OWN):
            plain = [param for param in params if getattr(param, "group", "") in {"", OWN}]
            formatter.write_dl([self._record(param, ctx) for param in sorted(plain, key=_is_last)])
        settings = [param for param in params if isinstance(param, Option) and param.group not in {"", OWN}]
        for title in dict.fromkeys(option.group for option in settings):
            with formatter.section(title):
                for option in settings:
                    if option.group == title:
                        write_setting(formatter, *self._record(option, ctx), option.note)

    def _record(self, param: click.Option, ctx: click.Context) -> tuple[str, str]:
        flag, text = param.get_help_record(ctx) or ("", "")
        if isinstance(param, Option) and param.only_on:
            flag = flag.partition(" / ")[0]
        text += f"  [{param.note}]" if isinstance(param, Option) and param.group == OWN and param.note else ""
        words = self.words
        return f"{words.metavar}, {flag}" if words is not None and words.flag in param.opts else flag, text


Sections = Mapping[str, Mapping[str, tuple[str, Callable[[], click.Command]]]]


class Program(_Paged, click.Group):
    """A program, or a command with commands of its own.

    Args:
        name: what is typed.
        page: what its help says.
        commands: by the heading it stands under, each command's line in the list, and what builds it.
    """

    def __init__(self, name: str, page: Page, commands: Sections) -> None:
        super().__init__(name, context_settings=_CONTEXT, params=[_version_option()])
        self.page = page
        self._sections = commands
        self._builders = {name: build for section in commands.values() for name, (_, build) in section.items()}
        self._older: dict[str, str] = {}

    def older_name(self, older: str, name: str) -> None:
        """Take an older name of a command, which the help does not show."""
        self._older[older] = name

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._builders]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = self._older.get(cmd_name, cmd_name)
        if name in self._builders and name not in self.commands:
            self.commands[name] = self._builders[name]()
        return self.commands.get(name)

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = did_you_mean(args[0], self._builders) or f"; there are {', '.join(self._builders)}"
            ctx.fail(f"{args[0]}: no such command{near}")
        return super().resolve_command(ctx, args)

    @override
    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        lines = {name: line for section in self._sections.values() for name, (line, _) in section.items()}
        found = [CompletionItem(name, help=line) for name, line in lines.items() if name.startswith(incomplete)]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    @override
    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return ["COMMAND"]

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, line) for name, (line, _) in commands.items()])
        with formatter.section(OWN):
            formatter.write_dl([record for param in self.get_params(ctx) if (record := param.get_help_record(ctx))])


def run(program: Program | Command, words: Sequence[str] | None = None) -> int:
    """Parse a command line, run its command and return the exit code.

    What was typed wrong is one line on stderr and `USAGE`. Errors of the command itself are its program's to catch.
    """
    typed = [*(sys.argv[1:] if words is None else words)]
    if isinstance(sys.stdout, TextIOWrapper):
        # As stderr is by default: a file's name may hold any bytes, and a terminal may have no stars.
        sys.stdout.reconfigure(errors="backslashreplace")
    name = str(program.name)
    if instruction := os.environ.get(_variable(name)):
        return shell_complete(program, {}, name, _variable(name), instruction)
    try:
        with program.make_context(name, typed) as ctx:
            return int(program.invoke(ctx))
    except BrokenPipeError:  # `--help | head` has seen enough; what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return USAGE
    except click.UsageError as error:
        complain(name, line_of(error))
        return USAGE


def complain(who: str, line: str) -> None:
    """Print one line on stderr, whatever bytes a flag held."""
    shown = " ".join(line.split()).encode("utf-8", "backslashreplace").decode()
    print(f"{who}: {shown}", file=sys.stderr)


def completion_command(program: str) -> Command:
    """Return the command that prints what makes a shell complete a program's commands, flags and values."""

    def show(own: dict[str, Any], _settings: dict[str, Any]) -> int:
        from click.shell_completion import get_completion_class

        kind = get_completion_class(own["shell"])
        assert kind is not None  # noqa: S101 - click has a class for each of these shells
        print(kind(click.Command(program), {}, program, _variable(program)).source(), flush=True)
        return 0

    examples = f"""\
  eval "$({program} completion bash)"   in ~/.bashrc
  eval "$({program} completion zsh)"    in ~/.zshrc, after compinit
  {program} completion fish | source   in ~/.config/fish/config.fish"""
    page = Page("Print what makes a shell complete commands, flags, channels and files.", examples)
    shells = Option("--shell", type=OneOf(*_SHELLS), metavar="|".join(_SHELLS), help="which shell")
    return Command("completion", page, show, own=[shells], words=Words("--shell", "SHELL"))


def _is_last(param: click.Option) -> int:
    return 0 if not param.is_flag else {"version": 1, "help": 2}.get(param.name or "", 0)


def _variable(program: str) -> str:
    """Return the variable in which a shell asks for completions."""
    return f"_{program}_COMPLETE".replace("-", "_").upper()


def _version_option() -> Option:
    def show(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            print(f"{ctx.find_root().info_name} {__version__}")
            ctx.exit()

    return Option(
        "--version", is_flag=True, expose_value=False, is_eager=True, callback=show, help="print the version and exit"
    )


def _merge(ctx: click.Context, words: Words, page: Page) -> None:
    """Put the words without a flag where their flag would have put them."""
    typed, flagged = ctx.params.pop("without_flag"), ctx.params.get(words.name)
    if typed and flagged:
        ctx.fail(f"{words.metavar} and {words.flag}: give one of the two")
    if typed:
        ctx.params[words.name] = typed
    elif not flagged and words.required:
        lines = [line.strip().partition("   ")[0] for line in page.examples.split("\n")]
        example = next((line for line in lines if line.startswith(f"{ctx.command_path} ")), lines[0])
        ctx.fail(f"{words.metavar} is missing; for example: {example}")
