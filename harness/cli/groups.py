"""Groups of commands that suggest the nearest name for a mistyped one."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import ClassVar

import click

# Longer than any first sentence.
MOST_HELP = 300


class SuggestingGroup(click.Group):
    """A group that suggests similar names among all of its commands and theirs, imported or not.

    Attributes:
        other_words: Words for its commands that users know from other tools.
    """

    other_words: ClassVar[Mapping[str, str]] = {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names.

        Raises:
            click.NoSuchCommand: There is no such command; the message suggests others.
        """
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            words = f"No such command {error.command_name!r}. {self._suggestion(ctx, error.command_name)}"
            raise click.NoSuchCommand(error.command_name, words, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands with the whole first sentence of each, where click would cut it at the line's end."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, one.get_short_help_str(MOST_HELP)) for name, one in commands if one is not None and not one.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def _suggestion(self, ctx: click.Context, typed: str) -> str:
        own = self.list_commands(ctx)
        # A command of this group is preferred to one below it of the same name.
        known = {**self._commands_below(ctx), **self.other_words, **{name: name for name in own}}
        near = dict.fromkeys(known[word] for word in get_close_matches(typed, known))
        if near:
            return f"Did you mean {' or '.join(map(repr, near))}?"
        return f"The commands are {', '.join(own)}."

    def _commands_below(self, ctx: click.Context) -> dict[str, str]:
        """Return the commands of the groups in this one, each with the words that call it: `make` is `data make`."""
        groups = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        return {
            below: f"{name} {below}"
            for name, group in groups
            if isinstance(group, click.Group)
            for below in group.list_commands(ctx)
        }
