"""Groups of commands that suggest the nearest name for a mistyped one."""

import click


class SuggestingGroup(click.Group):
    """A group that suggests similar names among all of its commands, imported or not."""

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
            raise click.NoSuchCommand(error.command_name, possibilities=self.list_commands(ctx), ctx=ctx) from None
