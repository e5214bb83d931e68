"""What was typed wrong, as one line: what came, what is expected, and the nearest name.

Owns these words. click finds the fault.
"""

from __future__ import annotations

import re

import click

from schemas.command_line.options import Option
from schemas.command_line.spelling import did_you_mean


def line_of(error: click.UsageError) -> str:
    """Return one line that says what came and what is expected."""
    ctx = error.ctx
    if isinstance(error, click.NoSuchOption) and ctx is not None:
        flags = [flag for param in ctx.command.get_params(ctx) for flag in (*param.opts, *param.secondary_opts)]
        near = did_you_mean(error.option_name, flags) or f"; `{ctx.command_path} --help` lists them"
        return f"{error.option_name}: no such flag{near}"
    if isinstance(error, click.MissingParameter) and error.param is not None:
        return f"{error.param.opts[0]} is missing; `{ctx.command_path if ctx else ''} --help` shows examples"
    if isinstance(error, click.BadParameter) and error.param is not None:
        name = error.param.metavar if isinstance(error.param, click.Argument) else error.param.opts[0]
        return f"{name} {error.message}"
    if isinstance(error, click.BadOptionUsage) and ctx is not None:
        return _bad_option(error, ctx)
    extra = re.fullmatch(r"Got unexpected extra arguments? \((.*)\)", error.format_message(), re.DOTALL)
    if extra and ctx is not None:
        return f"{extra[1]}: not expected here; `{ctx.command_path} --help` shows examples"
    return error.format_message()


def _bad_option(error: click.BadOptionUsage, ctx: click.Context) -> str:
    name = error.option_name
    param = next((param for param in ctx.command.get_params(ctx) if name in param.opts), None)
    if isinstance(param, Option) and not param.is_flag:
        return f"{name}: takes a value ({param.metavar or 'TEXT'})"
    off = f"; {param.secondary_opts[0]} switches it off" if param is not None and param.secondary_opts else ""
    return f"{name}: takes no value{off}"
